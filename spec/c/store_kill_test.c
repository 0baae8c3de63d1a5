/* The real program is killed at random moments under load: what it acknowledged is there after the next start, nothing is half, the
 * file is whole, and the fleet converges again.                                                                              */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/thread.h"
#include "sim/sim.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 8 };
#else
enum { ROUNDS = 50 }; /* COX_KILL_ROUNDS: another number */
#endif
enum { NODES = 6, CLIENTS = 3, LIMIT_MS = 60000 };

static char folder[64], file[128];
static int port;
static pid_t running; /* 0: none */
static struct cox_sim_fleet *fleet;

/* ---- the daemon ---- */

static int free_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

static void write_text(const char *name, const char *text) {
  char path[160];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *const out = fopen(path, "w");
  assert_true(out != NULL && fputs(text, out) >= 0 && fclose(out) == 0);
}

static void write_config(void) {
  json_t *const nodes = cox_sim_fleet_nodes(fleet);
  char *const list = json_dumps(nodes, 0);
  struct cox_buf config = {0};
  write_text("nodes.json", list);
  cox_buf_addf(&config,
               "return { participant = { address = 'gonka1kill', pubkey = 'A' }, callback_url = 'http://127.0.0.1:9', nodes = 'nodes.json', store = 'cox.db',\n"
               "  feed = { kind = 'clock', block_ms = 40, epoch = { epoch_length = 40, poc_stage_duration = 10, poc_validation_delay = 2,\n"
               "    poc_validation_duration = 10, set_new_validators_delay = 1 } }, admin = { listen = '127.0.0.1:%d' },\n"
               "  reconcile = { interval_s = 1, resync_s = 5, backoff_s = { 0.05, 0.5 } }, probe = { interval_s = 1, timeout_s = 1 }, log = { level = 'error' } }\n",
               port);
  write_text("cox.lua", config.data);
  cox_buf_fini(&config);
  free(list);
  json_decref(nodes);
}

static pid_t start_daemon(void) {
  const char *const program = getenv("COXSWAIN_BIN");
  char config[160];
  snprintf(config, sizeof config, "%s/cox.lua", folder);
  const pid_t pid = fork();
  if (pid != 0) return running = pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execl(program != NULL ? program : "build/coxswain", "coxswain", "run", "-c", config, (char *)NULL);
  _exit(127);
}

/* Its wait status. */
static int end_daemon(int signal_number) {
  int status = -1;
  kill(running, signal_number);
  assert_int_equal(waitpid(running, &status, 0), running);
  running = 0;
  return status;
}

/* ---- one exchange ---- */

/* The status, 0: no whole answer came. `answer` (may be NULL) gets the body as JSON. */
static int exchange(const char *method, const char *path, const char *body, json_t **answer) {
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct cox_buf out = {0}, in = {0};
  char piece[8192];
  int status = 0;
  cox_buf_addf(&out, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", method, path, strlen(body), body);
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 && send(fd, out.data, out.len, MSG_NOSIGNAL) == (ssize_t)out.len) {
    for (ssize_t count; (count = recv(fd, piece, sizeof piece, 0)) > 0;) cox_buf_add(&in, piece, (size_t)count);
  }
  const char *const end = in.data != NULL ? strstr(in.data, "\r\n\r\n") : NULL;
  const char *const length = in.data != NULL ? strcasestr(in.data, "\r\nContent-Length: ") : NULL;
  if (end != NULL && length != NULL && strlen(end + 4) >= strtoul(length + 18, NULL, 10)) status = atoi(in.data + 9);
  if (status != 0 && answer != NULL) *answer = json_loads(end + 4, JSON_DECODE_ANY, NULL);
  close(fd);
  cox_buf_fini(&out);
  cox_buf_fini(&in);
  return status;
}

static int64_t now_ms(void) { return cox_clock_mono_us(cox_clock_system()) / 1000; }
static void pause_ms(int64_t ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL); }

static void wait_ready(pid_t pid) {
  const int64_t end = now_ms() + LIMIT_MS;
  while (exchange("GET", "/readyz", "", NULL) != 200) {
    int status;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      running = 0;
      fail_msg("the daemon ended at its start (status %d)", status);
    }
    if (now_ms() > end) fail_msg("the daemon was not ready in time");
    pause_ms(5);
  }
}

/* ---- the load ---- */

/* What one client knows of one node: its admin state carries a number. Written by its client only while that runs. */
struct belief {
  char id[32];
  int64_t acked, sent; /* 0: none; disabled when odd */
};

static struct belief beliefs[NODES];

/* False: no answer came, the daemon is gone. */
static bool change(struct belief *belief) {
  char path[128], body[64];
  const int64_t number = belief->sent + 1;
  belief->sent = number;
  snprintf(path, sizeof path, "/admin/v1/nodes/%s/%s", belief->id, number % 2 != 0 ? "disable" : "enable");
  snprintf(body, sizeof body, "{\"reason\":\"%lld\"}", (long long)number);
  const int status = exchange("POST", path, body, NULL);
  if (status == 200) belief->acked = number;
  return status != 0;
}

/* Ends with the first request that is not answered: so each client leaves at most one change open. */
static void run_client(void *arg) {
  const size_t own = (size_t)(uintptr_t)arg;
  size_t i = own;
  while (change(&beliefs[i])) i = i + CLIENTS < NODES ? i + CLIENTS : own;
}

/* ---- what is checked ---- */

static void check_file(void) {
  sqlite3 *db;
  sqlite3_stmt *check;
  assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(check), SQLITE_ROW);
  assert_string_equal((const char *)sqlite3_column_text(check, 0), "ok");
  sqlite3_finalize(check);
  sqlite3_close(db);
}

static void check_beliefs(int round) {
  json_t *nodes = NULL;
  assert_int_equal(exchange("GET", "/admin/v1/nodes", "", &nodes), 200);
  assert_int_equal(json_array_size(nodes), NODES);
  for (size_t i = 0; i < NODES; i++) {
    struct belief *const belief = &beliefs[i];
    size_t k;
    json_t *object, *admin = NULL;
    json_array_foreach(nodes, k, object) {
      const char *const id = json_string_value(json_object_get(json_object_get(object, "node"), "id"));
      if (strcmp(id, belief->id) == 0) admin = json_object_get(json_object_get(object, "state"), "admin_state");
    }
    assert_non_null(admin);
    const char *const reason = json_string_value(json_object_get(admin, "reason"));
    const int64_t number = reason != NULL ? atoll(reason) : 0;
    if (number != belief->acked && number != belief->sent) {
      fail_msg("round %d: %s is at %lld; acknowledged was %lld, sent %lld", round, belief->id, (long long)number, (long long)belief->acked,
               (long long)belief->sent);
    }
    assert_int_equal(json_is_true(json_object_get(admin, "enabled")), number % 2 == 0); /* whole */
    belief->acked = belief->sent = number;
  }
  json_decref(nodes);
}

static bool is_converged(const json_t *nodes) {
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    json_t *const state = json_object_get(object, "state");
    if (!json_is_true(json_object_get(json_object_get(state, "explain"), "settled"))) return false;
    if (!json_equal(json_object_get(state, "intended_status"), json_object_get(state, "current_status"))) return false;
  }
  return true;
}

static void check_convergence(void) {
  const int64_t end = now_ms() + LIMIT_MS;
  for (bool is_good = false; !is_good;) {
    json_t *nodes = NULL;
    assert_int_equal(exchange("GET", "/admin/v1/nodes", "", &nodes), 200);
    is_good = is_converged(nodes);
    json_decref(nodes);
    if (now_ms() > end) fail_msg("the fleet did not converge again");
    if (!is_good) pause_ms(20);
  }
}

static void one_round(int round, struct cox_rng *rng) {
  struct cox_thread clients[CLIENTS] = {0};
  const pid_t pid = start_daemon();
  wait_ready(pid);
  check_beliefs(round);
  if (round % 10 == 9) check_convergence();
  for (size_t i = 0; i < CLIENTS; i++) assert_int_equal(cox_thread_start(&clients[i], "client", run_client, (void *)(uintptr_t)i, NULL), 0);
  pause_ms(5 + (int64_t)cox_rng_below(rng, 120)); /* the moment is the point: any will do */
  const int status = end_daemon(SIGKILL);
  for (size_t i = 0; i < CLIENTS; i++) cox_thread_join(&clients[i]);
  assert_true(WIFSIGNALED(status));
  check_file();
}

static void a_daemon_that_is_killed_at_any_moment_loses_nothing_it_acknowledged(void **state) {
  (void)state;
  struct cox_rng rng;
  const uint64_t seed = cox_rng_system_seed();
  printf("seed %llu\n", (unsigned long long)seed);
  cox_rng_init(&rng, seed);
  const char *const wanted = getenv("COX_KILL_ROUNDS");
  const int rounds = wanted != NULL ? atoi(wanted) : ROUNDS;
  for (int round = 0; round < rounds; round++) one_round(round, &rng);
  int64_t changes = 0;
  for (size_t i = 0; i < NODES; i++) changes += beliefs[i].acked;
  printf("%lld changes were acknowledged in %d lives\n", (long long)changes, rounds);
  assert_true(changes > rounds);
}

static void a_node_that_was_disabled_stays_so_when_the_daemon_is_killed(void **state) {
  (void)state;
  json_t *node = NULL;
  char path[128];
  pid_t pid = start_daemon();
  wait_ready(pid);
  snprintf(path, sizeof path, "/admin/v1/nodes/%s/disable", beliefs[0].id);
  assert_int_equal(exchange("POST", path, "{\"reason\":\"broken fan\"}", NULL), 200);
  end_daemon(SIGKILL);
  pid = start_daemon();
  wait_ready(pid);
  snprintf(path, sizeof path, "/admin/v1/nodes/%s", beliefs[0].id);
  assert_int_equal(exchange("GET", path, "", &node), 200);
  json_t *const admin = json_object_get(json_object_get(node, "state"), "admin_state");
  assert_true(json_is_false(json_object_get(admin, "enabled")));
  assert_string_equal(json_string_value(json_object_get(admin, "reason")), "broken fan");
  json_decref(node);
  const int status = end_daemon(SIGTERM);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int setup(void **state) {
  (void)state;
  struct cox_err err;
  snprintf(folder, sizeof folder, "/tmp/cox-kill-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(file, sizeof file, "%s/cox.db", folder);
  port = free_port();
  const struct cox_sim_fleet_options options = {.count = NODES, .load_ms = 60, .stop_ms = 5, .restart_ms = 50, .seed = 1};
  fleet = cox_sim_fleet_create(&options, &err);
  if (fleet == NULL) fail_msg("%s", err.text);
  write_config();
  json_t *const nodes = cox_sim_fleet_nodes(fleet);
  for (size_t i = 0; i < NODES; i++) {
    beliefs[i] = (struct belief){0};
    snprintf(beliefs[i].id, sizeof beliefs[i].id, "%s", json_string_value(json_object_get(json_array_get(nodes, i), "id")));
  }
  json_decref(nodes);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  if (running != 0) end_daemon(SIGKILL);
  cox_sim_fleet_destroy(fleet);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_node_that_was_disabled_stays_so_when_the_daemon_is_killed, setup, teardown),
      cmocka_unit_test_setup_teardown(a_daemon_that_is_killed_at_any_moment_loses_nothing_it_acknowledged, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
