/* Leases over HTTP: every answer of the contract, long waits, connections that hold leases, clients that are killed. */
#include "api_rig.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/lease.h"

enum { LIMIT_MS = 60000, CLIENTS = 100, EACH = 10, WAITING = 300 };

static struct rig *rig;

static int setup(void **state) {
  (void)state;
  rig = rig_create(NULL, 0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  rig_destroy(rig);
  return 0;
}

static struct cox_lease_stats stats(void) {
  struct cox_lease_stats out;
  cox_lease_stats(rig->broker, &out);
  return out;
}

/* Until so many leases live and so many requests wait. */
static void until(size_t active, size_t waiters) {
  for (int i = 0; i < LIMIT_MS; i++) {
    const struct cox_lease_stats now = stats();
    if (now.active == active && now.waiters == waiters) return;
    poll(NULL, 0, 1);
  }
  fail_msg("%zu leases and %zu waiters, not %zu and %zu", stats().active, stats().waiters, active, waiters);
}

static struct reply ask(const char *body) { return rig_ask(rig, "POST", "/v1/leases", NULL, body); }

static void send_ask(int fd, const char *body) {
  char bytes[512];
  snprintf(bytes, sizeof bytes, "POST /v1/leases HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  rig_send(fd, bytes);
}

static const char *text(const struct reply *reply, const char *key) {
  const char *const value = json_string_value(json_object_get(reply->json, key));
  return value != NULL ? value : "";
}

/* Acquires one; the path of the lease, in a buffer that lives until the next call. */
static const char *lease(void) {
  static char path[80];
  struct reply reply = ask("{\"model\":\"m\"}");
  assert_int_equal(reply.status, 201);
  snprintf(path, sizeof path, "/v1/leases/%s", text(&reply, "lease_id"));
  reply_fini(&reply);
  return path;
}

static void a_lease_is_given_renewed_and_released_once(void **state) {
  (void)state;
  rig_serve(rig, "node1", 5000, 1);
  struct reply reply = ask("{\"model\":\"m\",\"ttl_ms\":60000,\"tenant\":\"t\",\"affinity\":\"k\",\"skip\":[\"other\"]}");
  assert_int_equal(reply.status, 201);
  assert_string_equal(text(&reply, "node_id"), "node1");
  assert_string_equal(text(&reply, "inference_url"), "http://10.0.0.1:5000");
  assert_string_equal(text(&reply, "poc_url"), "http://10.0.0.1:35000");
  const json_int_t left_ms = json_integer_value(json_object_get(reply.json, "expires_at_ms")) - cox_clock_wall_ms(cox_clock_system());
  assert_in_range(left_ms, 1, 60000 + 1000);
  char path[80];
  snprintf(path, sizeof path, "/v1/leases/%s", text(&reply, "lease_id"));
  assert_int_equal(strlen(text(&reply, "lease_id")), 32);
  reply_fini(&reply);
  reply = rig_ask(rig, "PUT", path, NULL, "{\"ttl_ms\":90000}");
  assert_int_equal(reply.status, 200);
  assert_string_equal(text(&reply, "node_id"), "node1");
  reply_fini(&reply);
  assert_int_equal(rig_status(rig, "PUT", path, "{\"ttl_ms\":90000,\"node_id\":\"node2\"}"), 409);
  assert_int_equal(rig_status(rig, "DELETE", path, "{\"outcome\":\"success\"}"), 200);
  reply = ask("{\"model\":\"m\",\"version\":\"\",\"tenant\":\"\",\"affinity\":\"\"}"); /* nothing is asked for by it */
  assert_int_equal(reply.status, 201);
  char other[80];
  snprintf(other, sizeof other, "/v1/leases/%s", text(&reply, "lease_id"));
  reply_fini(&reply);
  assert_int_equal(rig_status(rig, "DELETE", other, NULL), 200);
  assert_int_equal(rig_status(rig, "DELETE", path, NULL), 410);
  assert_int_equal(rig_status(rig, "PUT", path, "{\"ttl_ms\":1000}"), 410);
  until(0, 0);
}

static void bad_requests_are_refused_and_change_nothing(void **state) {
  (void)state;
  rig_serve(rig, "node1", 5000, 5);
  static const char *const bad[] = {
      "",  "[]", "{}", "{\"model\":1}", "{\"model\":\"\"}", "{\"model\":\"m\",\"ttl_ms\":0}", "{\"model\":\"m\",\"ttl_ms\":-1}",
      "{\"model\":\"m\",\"ttl_ms\":31536000000}", "{\"model\":\"m\",\"ttl_ms\":1.5}", "{\"model\":\"m\",\"ttl_ms\":1e300}",
      "{\"model\":\"m\",\"ttl_ms\":\"1\"}", "{\"model\":\"m\",\"ttl_ms\":null}", "{\"model\":\"m\",\"ttl_ms\":99999999999999999999}",
      "{\"model\":\"m\",\"wait_ms\":600001}", "{\"model\":\"m\",\"skip\":{}}", "{\"model\":\"m\",\"affinity\":1}",
      "{\"model\":\"m\",\"wait_ms\":-1}",
      "{\"model\":\"m\",\"wait_ms\":\"1\"}", "{\"model\":\"m\",\"wait_ms\":99999999}", "{\"model\":\"m\",\"bind\":\"socket\"}",
      "{\"model\":\"m\",\"bind\":true}", "{\"model\":\"m\",\"skip\":\"a\"}", "{\"model\":\"m\",\"skip\":[1]}",
      "{\"model\":\"m\",\"version\":1}", "{\"model\":\"m\",\"accept_earlier_version\":1}", "{\"model\":\"m\",\"tenant\":{}}",
      "{\"model\":\"m\",\"modell\":\"m\"}", "{\"model\":\"a\\u0000b\"}",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct reply reply = ask(bad[i]);
    if (reply.status != 400) fail_msg("%s: %d %s", bad[i], reply.status, reply.body);
    assert_true(strlen(reply_error(&reply)) > 10);
    reply_fini(&reply);
  }
  static const char *const ids[] = {"x", "0", "0123456789abcdef0123456789abcdeg", "0123456789abcdef0123456789abcdef0"};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    char path[100];
    snprintf(path, sizeof path, "/v1/leases/%s", ids[i]);
    assert_int_equal(rig_status(rig, "DELETE", path, NULL), 400);
    assert_int_equal(rig_status(rig, "PUT", path, "{\"ttl_ms\":1000}"), 400);
  }
  assert_int_equal(rig_status(rig, "DELETE", "/v1/leases/0123456789abcdef0123456789abcdef", NULL), 404);
  assert_int_equal(rig_status(rig, "PUT", "/v1/leases/00000000000000000000000000000000", "{\"ttl_ms\":1000}"), 404);
  const char *const mine = lease();
  static const char *const puts[] = {"{}", "{\"ttl_ms\":0}", "{\"ttl_ms\":86400001}", "{\"ttl_ms\":1,\"node_id\":3}", "{\"ttl_ms\":1,\"x\":1}"};
  for (size_t i = 0; i < sizeof puts / sizeof *puts; i++) assert_int_equal(rig_status(rig, "PUT", mine, puts[i]), 400);
  assert_int_equal(rig_status(rig, "DELETE", mine, "{\"outcome\":\"fine\"}"), 400);
  assert_int_equal(stats().active, 1);
  assert_int_equal(rig_status(rig, "GET", "/v1/leases", NULL), 405);
  assert_int_equal(rig_status(rig, "POST", mine, "{}"), 405);
  assert_int_equal(rig_status(rig, "DELETE", mine, NULL), 200);
}

static void no_free_node_is_answered_with_the_reasons(void **state) {
  (void)state;
  rig_serve(rig, "node1", 5000, 1);
  assert_int_equal(rig_status(rig, "POST", "/v1/leases", "{\"model\":\"unheard-of\"}"), 404);
  lease();
  static const struct {
    const char *body;
    int status;
  } cases[] = {{"{\"model\":\"m\"}", 503}, {"{\"model\":\"m\",\"wait_ms\":0}", 503}, {"{\"model\":\"m\",\"wait_ms\":50}", 504}};
  for (size_t i = 0; i < 3; i++) {
    struct reply reply = ask(cases[i].body);
    assert_int_equal(reply.status, cases[i].status);
    const json_t *const reason = json_array_get(json_object_get(reply.json, "reasons"), 0);
    assert_string_equal(json_string_value(json_object_get(reason, "node_id")), "node1");
    assert_string_equal(json_string_value(json_object_get(reason, "reason")), "full: 1 of 1 leases");
    reply_fini(&reply);
  }
  until(1, 0);
}

static size_t threads(void) {
  size_t count = 0;
  FILE *const file = fopen("/proc/self/status", "r");
  char line[256];
  while (file != NULL && fgets(line, sizeof line, file) != NULL) sscanf(line, "Threads: %zu", &count);
  if (file != NULL) fclose(file);
  return count;
}

static void hundreds_wait_without_a_thread_and_are_served_in_their_order(void **state) {
  (void)state;
  static int fds[WAITING];
  rig_serve(rig, "node1", 5000, 1);
  char path[80];
  snprintf(path, sizeof path, "%s", lease());
  const size_t before = threads();
  for (size_t i = 0; i < WAITING; i++) {
    fds[i] = rig_connect(rig);
    send_ask(fds[i], "{\"model\":\"m\",\"wait_ms\":600000}");
    until(1, i + 1);
  }
  assert_int_equal(threads(), before);
  assert_int_equal(rig_status(rig, "POST", "/v1/leases", "{\"model\":\"m\"}"), 503); /* nobody passes them */
  for (size_t i = 0; i < WAITING; i++) {
    assert_int_equal(rig_status(rig, "DELETE", path, NULL), 200);
    struct reply reply = rig_read(fds[i], true);
    assert_int_equal(reply.status, 201);
    snprintf(path, sizeof path, "/v1/leases/%s", text(&reply, "lease_id"));
    reply_fini(&reply);
    close(fds[i]);
  }
  assert_int_equal(rig_status(rig, "DELETE", path, NULL), 200);
  until(0, 0);
}

/* Closes with a reset, as a killed machine's kernel or an impatient client does. */
static void reset(int fd) {
  const struct linger now = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static void clients_that_hang_up_stop_waiting(void **state) {
  (void)state;
  rig_serve(rig, "node1", 5000, 1);
  char path[80];
  snprintf(path, sizeof path, "%s", lease());
  int fds[40];
  for (int i = 0; i < 40; i++) {
    fds[i] = rig_connect(rig);
    send_ask(fds[i], "{\"model\":\"m\",\"wait_ms\":600000}");
  }
  until(1, 40);
  for (int i = 0; i < 39; i++) {
    if (i % 2 == 0) close(fds[i]);
    else reset(fds[i]);
  }
  until(1, 1);
  assert_int_equal(rig_status(rig, "DELETE", path, NULL), 200);
  struct reply reply = rig_read(fds[39], true);
  assert_int_equal(reply.status, 201);
  reply_fini(&reply);
  close(fds[39]);
}

/* The slot and the hang-up come at the same moment: whichever way it ends, the slot is not lost. */
static void a_slot_that_comes_to_a_client_which_hangs_up_is_not_lost(void **state) {
  (void)state;
  rig_serve(rig, "node1", 5000, 1);
  for (int i = 0; i < 50; i++) {
    const struct cox_lease_ask wanted = {.model = "m"};
    struct cox_lease_grant grant;
    assert_int_equal(cox_lease_acquire(rig->broker, &wanted, 0, NULL, &grant, NULL), 0);
    const int fd = rig_connect(rig);
    /* Who hung up before is sent an answer that cannot arrive, or none; who does after may have had it, and only its connection tells. */
    send_ask(fd, i % 2 == 0 ? "{\"model\":\"m\",\"wait_ms\":600000}" : "{\"model\":\"m\",\"wait_ms\":600000,\"bind\":\"connection\"}");
    until(1, 1);
    if (i % 2 == 0) reset(fd);
    cox_lease_grant_fini(&grant);
    assert_int_equal(cox_lease_release(rig->broker, grant.id, COX_LEASE_UNSAID, NULL), 0);
    if (i % 2 != 0) reset(fd);
    until(0, 0);
  }
}

static void a_bound_lease_ends_with_its_connection(void **state) {
  (void)state;
  rig_serve(rig, "node1", 5000, 5);
  const int fd = rig_connect(rig);
  char path[3][80];
  for (int i = 0; i < 3; i++) {
    send_ask(fd, "{\"model\":\"m\",\"bind\":\"connection\"}");
    struct reply reply = rig_read(fd, true);
    assert_int_equal(reply.status, 201);
    snprintf(path[i], sizeof path[i], "/v1/leases/%s", text(&reply, "lease_id"));
    reply_fini(&reply);
  }
  assert_int_equal(rig_status(rig, "DELETE", path[0], NULL), 200); /* over another connection */
  until(2, 0);
  close(fd);
  until(0, 0);
  assert_int_equal(rig_status(rig, "DELETE", path[1], NULL), 410);
}

static void a_connection_that_holds_leases_may_be_idle(void **state) {
  (void)state;
  rig_destroy(rig);
  rig = rig_create(&(struct cox_api_options){.request_s = 1}, 0);
  rig_serve(rig, "node1", 5000, 5);
  const int idle = rig_connect(rig), holds = rig_connect(rig);
  struct reply reply;
  send_ask(holds, "{\"model\":\"m\",\"bind\":\"connection\"}");
  reply = rig_read(holds, true);
  assert_int_equal(reply.status, 201);
  char bytes[200];
  snprintf(bytes, sizeof bytes, "DELETE /v1/leases/%s HTTP/1.1\r\nHost: x\r\n\r\n", text(&reply, "lease_id"));
  reply_fini(&reply);
  for (int i = 0; i < 2; i++) { /* others are cut meanwhile */
    const int other = i == 0 ? idle : rig_connect(rig);
    assert_true(rig_is_cut(other));
    close(other);
  }
  assert_int_equal(stats().active, 1);
  rig_send(holds, bytes);
  reply = rig_read(holds, true);
  assert_int_equal(reply.status, 200);
  reply_fini(&reply);
  assert_true(rig_is_cut(holds)); /* it holds none any more */
  close(holds);
}

/* Eight connections: seven may be kept. However they are kept, who asks for an answer at once gets one. */
static void who_waits_or_holds_leaves_connections_to_the_others(void **state) {
  (void)state;
  enum { KEPT = 7 };
  int fds[KEPT];
  rig_destroy(rig);
  rig = rig_create(&(struct cox_api_options){.connections_max = KEPT + 1}, 0);
  rig_serve(rig, "node1", 5000, KEPT);
  for (int round = 0; round < 2; round++) { /* first they hold leases, then others wait for these */
    for (int i = 0; i < KEPT; i++) {
      if (round > 0) {
        send_ask(fds[i], "{\"model\":\"m\",\"bind\":\"connection\",\"wait_ms\":600000}");
        until(KEPT, (size_t)i + 1);
        continue;
      }
      fds[i] = rig_connect(rig);
      send_ask(fds[i], "{\"model\":\"m\",\"bind\":\"connection\"}");
      struct reply reply = rig_read(fds[i], true);
      assert_int_equal(reply.status, 201);
      reply_fini(&reply);
    }
    struct reply reply = ask("{\"model\":\"m\",\"wait_ms\":600000}");
    assert_int_equal(reply.status, 429);
    assert_string_equal(reply_header(&reply, "Retry-After"), "1");
    reply_fini(&reply);
    assert_int_equal(rig_status(rig, "POST", "/v1/leases", "{\"model\":\"m\",\"bind\":\"connection\"}"), 429);
    assert_int_equal(rig_status(rig, "POST", "/v1/leases", "{\"model\":\"m\"}"), 503);
    assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
  }
  close(fds[0]);
  until(KEPT, KEPT - 2); /* its lease went to one that waited */
  int status = 429;
  for (int i = 0; status == 429 && i < LIMIT_MS; i++) { /* until the connection is closed, too */
    status = rig_status(rig, "POST", "/v1/leases", "{\"model\":\"m\",\"wait_ms\":1}");
    poll(NULL, 0, 1);
  }
  assert_int_equal(status, 504);
  for (int i = 1; i < KEPT; i++) close(fds[i]);
  until(0, 0);
}

/* In a process of its own, that only has a socket: no memory, no locks. */
static void be_a_client(void) {
  const int fd = rig_connect(rig);
  static const char request[] =
      "POST /v1/leases HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\n{\"model\":\"m\",\"bind\":\"connection\"}  ";
  char answer[2048];
  for (int i = 0; i < EACH; i++) {
    size_t len = 0;
    if (send(fd, request, strlen(request), 0) < 0) _exit(1);
    answer[0] = '\0';
    while (strstr(answer, "}\n") == NULL) {
      const ssize_t count = recv(fd, answer + len, sizeof answer - 1 - len, 0);
      if (count <= 0) _exit(1);
      len += (size_t)count;
      answer[len] = '\0';
    }
  }
  for (;;) pause();
}

static void killed_clients_hold_nothing(void **state) {
  (void)state;
  pid_t pids[CLIENTS];
  rig_serve(rig, "node1", 5000, CLIENTS * EACH);
  for (int i = 0; i < CLIENTS; i++) {
    pids[i] = fork();
    if (pids[i] == 0) be_a_client();
    assert_true(pids[i] > 0);
  }
  until(CLIENTS * EACH, 0);
  for (int i = 0; i < CLIENTS; i++) kill(pids[i], SIGKILL);
  const int64_t killed_us = cox_clock_mono_us(cox_clock_system());
  until(0, 0);
  print_message("%d leases of %d killed clients were free after %lld ms\n", CLIENTS * EACH, CLIENTS,
                (long long)(cox_clock_mono_us(cox_clock_system()) - killed_us) / 1000);
  for (int i = 0; i < CLIENTS; i++) waitpid(pids[i], NULL, 0);
}

static void who_waits_when_the_daemon_stops_is_told(void **state) {
  (void)state;
  rig_serve(rig, "node1", 5000, 1);
  lease();
  const int fd = rig_connect(rig);
  send_ask(fd, "{\"model\":\"m\",\"wait_ms\":600000}");
  until(1, 1);
  cox_lease_stop(rig->broker);
  struct reply reply = rig_read(fd, true);
  assert_int_equal(reply.status, 503);
  reply_fini(&reply);
  close(fd);
  assert_int_equal(rig_status(rig, "POST", "/v1/leases", "{\"model\":\"m\"}"), 503);
}

static void a_lease_with_a_key_is_given_once_and_lives_on(void **state) {
  (void)state;
  static const char key[] = "Idempotency-Key: k\r\n", body[] = "{\"model\":\"m\",\"wait_ms\":50000}";
  char first[80], path[96];
  rig_serve(rig, "node1", 5000, 2);
  for (int i = 0; i < 3; i++) {
    struct reply reply = rig_ask(rig, "POST", "/v1/leases", key, body);
    assert_int_equal(reply.status, 201);
    if (i == 0) snprintf(first, sizeof first, "%s", text(&reply, "lease_id"));
    assert_string_equal(text(&reply, "lease_id"), first);
    reply_fini(&reply);
  }
  assert_int_equal(stats().active, 1);
  lease();
  struct reply waiting = {0};
  const int fd = rig_connect(rig); /* with a key of its own, for a slot that is not free yet */
  char bytes[256];
  snprintf(bytes, sizeof bytes, "POST /v1/leases HTTP/1.1\r\nHost: x\r\nIdempotency-Key: w\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  rig_send(fd, bytes);
  until(2, 1);
  snprintf(path, sizeof path, "/v1/leases/%s", first);
  for (int i = 0; i < 2; i++) { /* the second time it is the kept answer, not a 410 */
    struct reply reply = rig_ask(rig, "DELETE", path, "Idempotency-Key: d\r\n", NULL);
    assert_int_equal(reply.status, 200);
    reply_fini(&reply);
  }
  waiting = rig_read(fd, true);
  assert_int_equal(waiting.status, 201);
  reply_fini(&waiting);
  close(fd);
  assert_int_equal(stats().active, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_lease_is_given_renewed_and_released_once, setup, teardown),
      cmocka_unit_test_setup_teardown(a_lease_with_a_key_is_given_once_and_lives_on, setup, teardown),
      cmocka_unit_test_setup_teardown(bad_requests_are_refused_and_change_nothing, setup, teardown),
      cmocka_unit_test_setup_teardown(no_free_node_is_answered_with_the_reasons, setup, teardown),
      cmocka_unit_test_setup_teardown(hundreds_wait_without_a_thread_and_are_served_in_their_order, setup, teardown),
      cmocka_unit_test_setup_teardown(clients_that_hang_up_stop_waiting, setup, teardown),
      cmocka_unit_test_setup_teardown(a_slot_that_comes_to_a_client_which_hangs_up_is_not_lost, setup, teardown),
      cmocka_unit_test_setup_teardown(a_bound_lease_ends_with_its_connection, setup, teardown),
      cmocka_unit_test_setup_teardown(a_connection_that_holds_leases_may_be_idle, setup, teardown),
      cmocka_unit_test_setup_teardown(who_waits_or_holds_leaves_connections_to_the_others, setup, teardown),
      cmocka_unit_test_setup_teardown(killed_clients_hold_nothing, setup, teardown),
      cmocka_unit_test_setup_teardown(who_waits_when_the_daemon_stops_is_told, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
