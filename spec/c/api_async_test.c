/* Answers that come later: or never, or after the client, or the API, is gone. */
#include "api_rig.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/thread.h"

enum { QUEUE_MAX = 300, MANY = 200 };

static struct rig *rig;
static struct reply reply;

/* Commands have time enough on the slowest machine. */
static int setup(void **state) {
  (void)state;
  const struct cox_api_options options = {.command_s = 300};
  rig = rig_create(&options, QUEUE_MAX);
  return 0;
}

/* Commands have a third of a second. */
static int setup_hasty(void **state) {
  (void)state;
  const struct cox_api_options options = {.command_s = 0.3};
  rig = rig_create(&options, QUEUE_MAX);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  reply_fini(&reply);
  if (rig != NULL) rig_destroy(rig);
  rig = NULL;
  return 0;
}

static void send_command(int fd, const char *name) {
  char request[256];
  snprintf(request, sizeof request, "POST /v1/commands/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", name);
  rig_send(fd, request);
}

/* cox-command stands still in "hold" until rig_open; that command came in on the returned connection. */
static int hold(void) {
  rig_shut(rig);
  const int fd = rig_connect(rig);
  send_command(fd, "hold");
  rig_wait_held(rig);
  return fd;
}

static int read_status(int fd) {
  reply_fini(&reply);
  reply = rig_read(fd, true);
  return reply.status;
}

static void a_command_that_is_not_answered_in_time_is_504_and_its_late_answer_is_dropped(void **state) {
  (void)state;
  const int held = hold();
  assert_int_equal(read_status(held), 504);
  assert_non_null(strstr(reply_error(&reply), reply_header(&reply, "X-Request-Id")));
  send_command(held, "echo"); /* waits behind it; the connection is still good */
  assert_int_equal(read_status(held), 504);
  assert_int_equal(rig_status(rig, "POST", "/admin/v1/nodes", rig_node("a", 5000)), 504);
  assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
  rig_open(rig);
  for (int i = 0; i < 600; i++) { /* the late ones are carried out all the same */
    if (rig_status(rig, "GET", "/admin/v1/nodes/a", NULL) == 200) break;
    usleep(100000);
  }
  assert_int_equal(rig_status(rig, "GET", "/admin/v1/nodes/a", NULL), 200);
  close(held);
}

static void reading_goes_on_while_commands_wait(void **state) {
  (void)state;
  const int held = hold();
  assert_int_equal(rig_status(rig, "GET", "/admin/v1/nodes", NULL), 200);
  assert_int_equal(rig_status(rig, "GET", "/v1/world", NULL), 200);
  assert_int_equal(rig_status(rig, "GET", "/admin/v1/nodes/x", NULL), 404);
  rig_open(rig);
  assert_int_equal(read_status(held), 200);
  close(held);
}

/* Until so many commands wait; 60 s at most. */
static void wait_for_depth(size_t depth) {
  struct cox_stats stats = {0};
  for (int i = 0; i < 6000 && stats.queue_depth[COX_PRIORITY_HIGH] != depth; i++) {
    usleep(10000);
    cox_broker_stats(rig->broker, &stats);
  }
  assert_int_equal(stats.queue_depth[COX_PRIORITY_HIGH], depth);
}

static void a_full_queue_is_429(void **state) {
  (void)state;
  const int held = hold();
  static int waiting[QUEUE_MAX];
  for (int i = 0; i < QUEUE_MAX; i++) send_command(waiting[i] = rig_connect(rig), "echo");
  wait_for_depth(QUEUE_MAX);
  reply = rig_ask(rig, "POST", "/v1/commands/echo", NULL, "{}");
  assert_int_equal(reply.status, 429);
  assert_string_equal(reply_header(&reply, "Retry-After"), "1");
  assert_int_equal(rig_status(rig, "POST", "/admin/v1/nodes", rig_node("a", 5000)), 429);
  rig_open(rig);
  assert_int_equal(read_status(held), 200);
  for (int i = 0; i < QUEUE_MAX; i++) {
    assert_int_equal(read_status(waiting[i]), 200);
    close(waiting[i]);
  }
  close(held);
}

static void clients_that_leave_while_their_command_waits_leave_nothing_behind(void **state) {
  (void)state;
  const int held = hold();
  for (int i = 0; i < MANY; i++) {
    const int fd = rig_connect(rig);
    send_command(fd, "echo");
    const struct linger at_once = {.l_onoff = 1};
    if (i % 2 == 0) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* a reset instead of an end */
    close(fd);
  }
  assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
  rig_open(rig);
  assert_int_equal(read_status(held), 200);
  for (int i = 0; i < 20; i++) assert_int_equal(rig_status(rig, "POST", "/v1/commands/echo", "{}"), 200);
  close(held);
}

static void stopping_answers_all_that_wait_and_late_answers_find_nobody(void **state) {
  (void)state;
  const int held = hold();
  static int waiting[MANY];
  for (int i = 0; i < MANY; i++) send_command(waiting[i] = rig_connect(rig), "echo");
  wait_for_depth(MANY);
  const int silent = rig_connect(rig);
  const int64_t start_us = cox_clock_mono_us(cox_clock_system());
  cox_api_destroy(rig->api);
  rig->api = NULL;
  const int64_t took_us = cox_clock_mono_us(cox_clock_system()) - start_us;
  print_message("%d waiting requests: stopped in %lld ms\n", MANY, (long long)took_us / 1000);
  assert_true(took_us < 30 * 1000000LL); /* they would wait for 300 s */
  for (int i = 0; i < MANY; i++) {
    assert_int_equal(read_status(waiting[i]), 503);
    assert_non_null(strstr(reply_error(&reply), "stopping"));
    close(waiting[i]);
  }
  assert_int_equal(read_status(held), 503);
  assert_true(rig_is_cut(silent));
  close(held);
  close(silent);
  rig_open(rig); /* now the answers come */
}

/* More than all buffers between server and client hold. */
static json_t *commands_json(void *ctx) {
  (void)ctx;
  enum { BYTES = 32 * 1024 * 1024 };
  char *const text = malloc(BYTES + 1);
  memset(text, 'x', BYTES);
  text[BYTES] = '\0';
  json_t *const list = json_pack("[s]", text);
  free(text);
  return list;
}

static void a_client_that_does_not_read_does_not_hold_up_the_end(void **state) {
  (void)state;
  cox_api_destroy(rig->api);
  rig->options.commands_json = commands_json;
  rig->options.request_s = 300; /* nothing else would cut it */
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
  const int fd = rig_connect(rig);
  rig_send(fd, "GET /v1/commands HTTP/1.1\r\nHost: x\r\n\r\n");
  assert_false(rig_is_cut(fd)); /* the first byte came: the answer is on its way */
  const int64_t start_us = cox_clock_mono_us(cox_clock_system());
  cox_api_destroy(rig->api);
  rig->api = NULL;
  const int64_t took_us = cox_clock_mono_us(cox_clock_system()) - start_us;
  print_message("an unread answer: stopped in %lld ms\n", (long long)took_us / 1000);
  assert_true(took_us < 30 * 1000000LL);
  close(fd);
}

static void a_command_may_take_longer_than_a_request(void **state) {
  (void)state;
  cox_api_destroy(rig->api);
  rig->options.request_s = 2;
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
  const int held = hold(), silent = rig_connect(rig);
  assert_true(rig_is_cut(silent)); /* so long it took */
  rig_open(rig);
  assert_int_equal(read_status(held), 200);
  close(held);
  close(silent);
}

static void a_broker_that_stops_answers_503(void **state) {
  (void)state;
  cox_broker_stop(rig->broker, 1000);
  reply = rig_ask(rig, "POST", "/v1/commands/echo", NULL, NULL);
  assert_int_equal(reply.status, 503);
  assert_non_null(strstr(reply_error(&reply), "stopping"));
}

struct client {
  struct cox_thread thread;
  unsigned good, bad;
  bool writes;
};

static size_t ignore(char *bytes, size_t size, size_t count, void *arg) {
  (void)bytes;
  (void)arg;
  return size * count;
}

static void talk(void *arg) {
  struct client *const client = arg;
  CURL *const easy = curl_easy_init();
  char url[128];
  for (int i = 0; i < 60; i++) {
    const bool is_post = client->writes && i % 3 == 0;
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", cox_api_port(rig->api),
             is_post ? "/v1/commands/echo" : i % 3 == 1 ? "/admin/v1/nodes" : "/admin/v1/nodes/n7");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (is_post) curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{\"x\":1}");
    else curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    long status = 0;
    if (curl_easy_perform(easy) == CURLE_OK) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) client->good++;
    else client->bad++;
  }
  curl_easy_cleanup(easy);
}

static void many_clients_at_once_get_what_they_ask_for(void **state) {
  (void)state;
  enum { CLIENTS = 8, NODES = 400 };
  struct cox_buf list = {0};
  for (int i = 0; i < NODES; i++) {
    char id[16];
    snprintf(id, sizeof id, "n%d", i);
    cox_buf_addf(&list, "%c%s", i == 0 ? '[' : ',', rig_node(id, 1 + i));
  }
  cox_buf_addf(&list, "]");
  assert_int_equal(rig_status(rig, "POST", "/admin/v1/nodes/batch", list.data), 201);
  cox_buf_fini(&list);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  struct client clients[CLIENTS] = {0};
  for (int i = 0; i < CLIENTS; i++) {
    clients[i].writes = i % 2 == 0;
    assert_int_equal(cox_thread_start(&clients[i].thread, "client", talk, &clients[i], NULL), 0);
  }
  for (int i = 0; i < CLIENTS; i++) {
    cox_thread_join(&clients[i].thread);
    assert_int_equal(clients[i].good, 60);
    assert_int_equal(clients[i].bad, 0);
  }
  curl_global_cleanup();
}

static void open_gate(void *arg) {
  (void)arg;
  rig_open(rig);
}

/* Answers, deadlines and the end at the same moment: only one of them may resume a connection. */
static void an_end_at_the_moment_of_the_answers_resumes_each_connection_once(void **state) {
  (void)state;
  for (int round = 0; round < 10; round++) {
    const int held = hold();
    int waiting[32];
    for (int i = 0; i < 32; i++) send_command(waiting[i] = rig_connect(rig), "echo");
    struct cox_thread opener = {0};
    assert_int_equal(cox_thread_start(&opener, "opener", open_gate, NULL, NULL), 0);
    cox_api_destroy(rig->api);
    cox_thread_join(&opener);
    for (int i = 0; i < 32; i++) {
      const int status = read_status(waiting[i]);
      assert_true(status == 200 || status == 503 || status == 504 || status == 0); /* 0: it was still on its way in */
      close(waiting[i]);
    }
    close(held);
    struct cox_err err;
    rig->api = cox_api_create(&rig->options, &err);
    assert_non_null(rig->api);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
      TEST_WITH(a_command_that_is_not_answered_in_time_is_504_and_its_late_answer_is_dropped, setup_hasty),
      TEST(reading_goes_on_while_commands_wait),
      TEST(a_full_queue_is_429),
      TEST(clients_that_leave_while_their_command_waits_leave_nothing_behind),
      TEST(stopping_answers_all_that_wait_and_late_answers_find_nobody),
      TEST(a_client_that_does_not_read_does_not_hold_up_the_end),
      TEST(a_command_may_take_longer_than_a_request),
      TEST(a_broker_that_stops_answers_503),
      TEST(many_clients_at_once_get_what_they_ask_for),
      TEST(an_end_at_the_moment_of_the_answers_resumes_each_connection_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
