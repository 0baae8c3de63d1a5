/* Idempotency keys: one request is carried out once, whatever its senders do. */
#include "api_rig.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/key.h"
#include "api/server.h"
#include "base/thread.h"
#include "outcomes.h"

static struct rig *rig;
static struct reply reply;
static struct {
  struct cox_mutex mutex;
  int count;
  char caller[64], key[64], body[256];
  uint64_t fingerprint;
  int forgotten;
  char forgot[64];                     /* the last key of these */
  bool is_slow, is_refusing;           /* `done` comes when it is let go; the store does not take it */
  void (*done)(void *arg, const struct cox_err *err);
  void *arg;
} kept;

/* Tells the API that the outcome is stored, on any thread. */
static void let_go(void) {
  cox_mutex_lock(&kept.mutex);
  void (*const done)(void *arg, const struct cox_err *err) = kept.done;
  kept.done = NULL;
  cox_mutex_unlock(&kept.mutex);
  if (done != NULL) done(kept.arg, NULL);
}

static void forget_outcome(void *ctx, const char *caller, const char *key) {
  (void)ctx;
  (void)caller;
  cox_mutex_lock(&kept.mutex);
  kept.forgotten++;
  snprintf(kept.forgot, sizeof kept.forgot, "%s", key);
  cox_mutex_unlock(&kept.mutex);
}

static int keep_outcome(void *ctx, const struct cox_key_record *record, void (*done)(void *arg, const struct cox_err *err), void *arg) {
  (void)ctx;
  if (kept.is_refusing) return COX_EDEGRADED;
  cox_mutex_lock(&kept.mutex);
  kept.count++;
  snprintf(kept.caller, sizeof kept.caller, "%s", record->caller);
  snprintf(kept.key, sizeof kept.key, "%s", record->key);
  snprintf(kept.body, sizeof kept.body, "%.*s", (int)record->body_len, record->body);
  kept.fingerprint = record->fingerprint;
  const bool is_slow = kept.is_slow;
  if (is_slow) {
    kept.done = done;
    kept.arg = arg;
  }
  cox_mutex_unlock(&kept.mutex);
  if (!is_slow) done(arg, NULL);
  return 0;
}

static int set_up(struct cox_api_options options) {
  kept.count = kept.forgotten = 0;
  kept.is_slow = kept.is_refusing = false;
  options.keep_outcome = keep_outcome;
  options.forget_outcome = forget_outcome;
  rig = rig_create(&options, 50);
  return 0;
}

static int setup(void **state) {
  (void)state;
  return set_up((struct cox_api_options){.command_s = 300});
}

/* Commands have a third of a second. */
static int setup_hasty(void **state) {
  (void)state;
  return set_up((struct cox_api_options){.command_s = 0.3});
}

/* Three outcomes are kept. */
static int setup_small(void **state) {
  (void)state;
  return set_up((struct cox_api_options){.keys_max = 3});
}

/* Outcomes are kept for a third of a second. */
static int setup_forgetful(void **state) {
  (void)state;
  return set_up((struct cox_api_options){.key_s = 0.3});
}

static int setup_locked(void **state) {
  (void)state;
  json_t *const tokens = json_pack("[{ss, ss, ss}, {ss, ss, ss}]", "token", "aaa", "scope", "admin", "name", "ann", "token", "bbb", "scope",
                                   "admin", "name", "bob");
  const int rc = set_up((struct cox_api_options){.tokens = tokens});
  json_decref(tokens);
  return rc;
}

static int teardown(void **state) {
  (void)state;
  let_go();
  reply_fini(&reply);
  rig_destroy(rig);
  return 0;
}

static const char *header(const char *key) {
  static char text[512];
  snprintf(text, sizeof text, "Idempotency-Key: %s\r\n", key);
  return text;
}

static int ask(const char *method, const char *target, const char *key, const char *body) {
  reply_fini(&reply);
  reply = rig_ask(rig, method, target, header(key), body);
  return reply.status;
}

static bool is_replay(void) { return reply_header(&reply, "Idempotency-Replayed") != NULL; }

static void the_same_request_with_the_same_key_is_carried_out_once(void **state) {
  (void)state;
  assert_int_equal(ask("PUT", "/admin/v1/nodes/a", "k1", rig_node("a", 5000)), 200);
  assert_false(is_replay());
  char *const first = strdup(reply.body);
  assert_int_equal(rig_status(rig, "DELETE", "/admin/v1/nodes/a", NULL), 200);
  assert_int_equal(ask("PUT", "/admin/v1/nodes/a", "k1", rig_node("a", 5000)), 200);
  assert_true(is_replay());
  assert_string_equal(reply.body, first);
  free(first);
  assert_int_equal(rig_status(rig, "GET", "/admin/v1/nodes/a", NULL), 404); /* it was not registered again */
  assert_int_equal(ask("DELETE", "/admin/v1/nodes/a", "k2", NULL), 200);
  assert_string_equal(reply.body, "false\n");
  assert_int_equal(rig_status(rig, "PUT", "/admin/v1/nodes/a", rig_node("a", 5000)), 200);
  ask("DELETE", "/admin/v1/nodes/a", "k2", NULL);
  assert_string_equal(reply.body, "false\n");
  assert_int_equal(rig_status(rig, "GET", "/admin/v1/nodes/a", NULL), 200);
}

static void the_same_key_with_another_request_is_422(void **state) {
  (void)state;
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":2}"), 422);
  assert_non_null(strstr(reply_error(&reply), "another request"));
  assert_int_equal(ask("POST", "/v1/commands/skip", "k", "{\"a\":1}"), 422);
  assert_int_equal(ask("DELETE", "/admin/v1/nodes/a", "k", NULL), 422);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  assert_int_equal(ask("GET", "/admin/v1/nodes", "k", NULL), 200); /* reading needs no key, and does not look at it */
}

static void refusals_are_outcomes_too(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(ask("POST", "/v1/commands/broken", "k1", NULL), 422);
    assert_int_equal(is_replay(), i > 0);
    assert_int_equal(ask("PUT", "/admin/v1/nodes/a", "k2", "{}"), 400);
    assert_int_equal(ask("POST", "/v1/commands/nonsense", "k3", NULL), 404);
    assert_int_equal(ask("POST", "/admin/v1/nodes/batch", "k4", "[{}]"), 400);
  }
}

static void a_key_that_is_none_is_refused(void **state) {
  (void)state;
  char longest[300];
  memset(longest, 'k', sizeof longest);
  longest[COX_KEY_LENGTH_MAX] = '\0';
  assert_int_equal(ask("POST", "/v1/commands/echo", longest, NULL), 200);
  longest[COX_KEY_LENGTH_MAX] = 'k';
  longest[COX_KEY_LENGTH_MAX + 1] = '\0';
  assert_int_equal(ask("POST", "/v1/commands/echo", longest, NULL), 400);
  assert_int_equal(ask("POST", "/v1/commands/echo", "", NULL), 400);
  assert_int_equal(ask("POST", "/v1/commands/echo", "a b", NULL), 400);
  assert_int_equal(ask("POST", "/v1/commands/echo", "\xc3\xbc", NULL), 400);
}

static int begin(const char *name, const char *key) {
  char request[512];
  const int fd = rig_connect(rig);
  snprintf(request, sizeof request, "POST /v1/commands/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nIdempotency-Key: %s\r\n\r\n{\"a\":1}", name,
           key);
  rig_send(fd, request);
  return fd;
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

/* Until so many jobs are open. */
static void wait_for_jobs(size_t count) {
  for (int i = 0; i < 6000 && atomic_load(&rig->api->keys.open) != count; i++) usleep(10000);
  assert_int_equal(atomic_load(&rig->api->keys.open), count);
}

static void who_comes_while_it_is_under_way_gets_the_same_answer(void **state) {
  (void)state;
  rig_shut(rig);
  const int first = begin("hold", "k");
  rig_wait_held(rig);
  int others[10];
  for (int i = 0; i < 10; i++) others[i] = begin("hold", "k");
  assert_int_equal(ask("POST", "/v1/commands/hold", "k", "{\"a\":2}"), 422); /* not made to wait for what is not its own */
  struct cox_stats stats;
  cox_broker_stats(rig->broker, &stats);
  assert_int_equal(stats.queue_depth[COX_PRIORITY_HIGH], 0); /* no second command */
  rig_open(rig);
  int replays = 0;
  for (int i = 0; i < 11; i++) {
    const int fd = i < 10 ? others[i] : first;
    reply_fini(&reply);
    reply = rig_read(fd, true);
    assert_int_equal(reply.status, 200);
    replays += is_replay();
    close(fd);
  }
  assert_int_equal(replays, 10);
}

static void after_a_504_the_key_gets_the_outcome(void **state) {
  (void)state;
  rig_shut(rig);
  const int held = begin("hold", "k0");
  rig_wait_held(rig);
  assert_int_equal(ask("PUT", "/admin/v1/nodes/a", "k", rig_node("a", 5000)), 504);
  assert_non_null(strstr(reply_error(&reply), "same Idempotency-Key"));
  assert_non_null(strstr(reply_error(&reply), reply_header(&reply, "X-Request-Id")));
  assert_int_equal(ask("PUT", "/admin/v1/nodes/a", "k", rig_node("a", 5000)), 504); /* still the same one */
  rig_open(rig);
  wait_for_jobs(0);
  assert_int_equal(ask("PUT", "/admin/v1/nodes/a", "k", rig_node("a", 5000)), 200);
  assert_true(is_replay());
  close(held);
}

static void a_client_that_left_finds_the_outcome_when_it_is_back(void **state) {
  (void)state;
  rig_shut(rig);
  const int held = begin("hold", "k0");
  rig_wait_held(rig);
  close(begin("echo", "k"));
  wait_for_depth(1);
  rig_open(rig);
  wait_for_jobs(0);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  assert_true(is_replay());
  assert_string_equal(reply.body, "{\"status\":\"done\",\"result\":{\"a\":1}}\n");
  close(held);
}

static void try_again_is_no_outcome(void **state) {
  (void)state;
  rig_shut(rig);
  const int held = begin("hold", "k0");
  rig_wait_held(rig);
  static int waiting[50];
  for (int i = 0; i < 50; i++) {
    char key[16];
    snprintf(key, sizeof key, "w%d", i);
    waiting[i] = begin("echo", key);
  }
  wait_for_depth(50);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 429);
  assert_string_equal(reply_header(&reply, "Retry-After"), "1");
  rig_open(rig);
  wait_for_jobs(0);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  assert_false(is_replay());
  for (int i = 0; i < 50; i++) close(waiting[i]);
  close(held);
}

static void only_so_many_wait_for_one_outcome(void **state) {
  (void)state;
  rig_shut(rig);
  static int waiting[COX_KEY_WAITERS_MAX];
  for (int i = 0; i < COX_KEY_WAITERS_MAX; i++) {
    waiting[i] = begin("hold", "k");
    if (i == 0) rig_wait_held(rig);
  }
  for (int i = 0; i < 6000 && atomic_load(&rig->api->suspended) < COX_KEY_WAITERS_MAX; i++) usleep(10000);
  assert_int_equal(ask("POST", "/v1/commands/hold", "k", "{\"a\":1}"), 503);
  rig_open(rig);
  for (int i = 0; i < COX_KEY_WAITERS_MAX; i++) {
    reply_fini(&reply);
    reply = rig_read(waiting[i], true);
    assert_int_equal(reply.status, 200);
    close(waiting[i]);
  }
}

static void the_oldest_outcome_is_forgotten_first(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%d", i);
    assert_int_equal(ask("POST", "/v1/commands/echo", key, NULL), 200);
  }
  assert_int_equal(rig->api->keys.count, 3);
  ask("POST", "/v1/commands/echo", "k3", NULL);
  assert_true(is_replay());
  ask("POST", "/v1/commands/echo", "k1", NULL);
  assert_true(is_replay());
  ask("POST", "/v1/commands/echo", "k0", NULL);
  assert_false(is_replay());
}

static void outcomes_are_forgotten_after_their_time(void **state) {
  (void)state;
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", NULL), 200);
  for (int i = 0; i < 600; i++) { /* 60 s at most */
    ask("POST", "/v1/commands/echo", "k", NULL);
    if (!is_replay()) return;
    usleep(100000);
  }
  fail_msg("the outcome is still there");
}

static void nobody_gets_the_answers_of_another(void **state) {
  (void)state;
  static const char ann[] = "Authorization: Bearer aaa\r\nIdempotency-Key: k\r\n", bob[] = "Authorization: Bearer bbb\r\nIdempotency-Key: k\r\n";
  reply = rig_ask(rig, "POST", "/v1/commands/echo", ann, "{\"a\":1}");
  assert_int_equal(reply.status, 200);
  reply_fini(&reply);
  reply = rig_ask(rig, "POST", "/v1/commands/echo", bob, "{\"a\":2}");
  assert_int_equal(reply.status, 200);
  assert_false(is_replay());
  assert_string_equal(kept.caller, "bob");
}

static int read_status(int fd) {
  reply_fini(&reply);
  reply = rig_read(fd, true);
  close(fd);
  return reply.status;
}

/* Until so many outcomes were kept. */
static void wait_for_kept(int count) {
  for (int i = 0; i < 60000; i++) {
    cox_mutex_lock(&kept.mutex);
    const bool is_there = kept.count >= count;
    cox_mutex_unlock(&kept.mutex);
    if (is_there) return;
    usleep(1000);
  }
  fail_msg("%d outcomes were not kept", count);
}

static void nobody_is_told_an_outcome_that_could_be_lost(void **state) {
  (void)state;
  kept.is_slow = true;
  const int first = begin("echo", "k"), second = begin("echo", "k");
  wait_for_kept(1);
  struct pollfd early = {.fd = first, .events = POLLIN};
  assert_int_equal(poll(&early, 1, 50), 0);
  let_go();
  assert_int_equal(read_status(first), 200);
  assert_int_equal(read_status(second), 200);
  assert_int_equal(kept.count, 1);
}

static void what_the_store_will_not_have_is_told_all_the_same(void **state) {
  (void)state;
  kept.is_refusing = true;
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", NULL), 200);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", NULL), 200);
  assert_true(is_replay());
}

static void an_end_while_the_store_writes_waits_for_nobody(void **state) {
  (void)state;
  kept.is_slow = true;
  const int fd = begin("echo", "k");
  wait_for_kept(1);
  cox_api_destroy(rig->api);
  const int status = read_status(fd);
  assert_true(status == 503 || status == 200 || status == 0);
  let_go(); /* late, and no harm */
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
  assert_non_null(rig->api);
}

static void what_is_forgotten_is_forgotten_by_the_store_too(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%d", i);
    assert_int_equal(ask("POST", "/v1/commands/echo", key, NULL), 200);
  }
  for (int i = 0, forgotten = 0; i < 60000 && forgotten == 0; i++) {
    usleep(1000);
    cox_mutex_lock(&kept.mutex);
    forgotten = kept.forgotten;
    cox_mutex_unlock(&kept.mutex);
  }
  assert_int_equal(kept.forgotten, 1);
  assert_string_equal(kept.forgot, "k0");
  cox_api_destroy(rig->api); /* an end forgets nothing */
  assert_int_equal(kept.forgotten, 1);
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
}

static void leases_are_kept_in_memory_only(void **state) {
  (void)state;
  assert_int_equal(ask("POST", "/v1/leases", "k", "{\"model\":\"n\"}"), 404);
  ask("POST", "/v1/leases", "k", "{\"model\":\"n\"}");
  assert_true(is_replay());
  assert_int_equal(kept.count, 0);
}

/* What a store kept, at a start. */
static void restore_outcomes(void *ctx, struct cox_api *api) {
  (void)ctx;
  const struct cox_key_record record = {.caller = "anonymous", .key = "k", .fingerprint = kept.fingerprint, .status = 200, .body = kept.body,
                                        .body_len = strlen(kept.body), .age_ms = 1000};
  assert_int_equal(cox_api_restore_outcome(api, &record), 0);
  assert_int_equal(cox_api_restore_outcome(api, &record), 0);
}

static void a_store_can_keep_outcomes_over_a_restart(void **state) {
  (void)state;
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  assert_int_equal(kept.count, 1);
  assert_string_equal(kept.caller, "anonymous");
  assert_string_equal(kept.key, "k");
  assert_string_equal(kept.body, reply.body);
  cox_api_destroy(rig->api);
  struct cox_err err;
  rig->options.restore_outcomes = restore_outcomes;
  rig->api = cox_api_create(&rig->options, &err);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":2}"), 422);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  assert_true(is_replay());
  assert_string_equal(reply.body, kept.body);
  assert_int_equal(kept.count, 1);
}

enum { HOUR_MS = 3600 * 1000 };

/* What the broker keeps of the one outcome, once it does. */
static json_t *kept_outcome(const char **name) {
  for (int i = 0; i < 6000; i++) {
    json_t *const all = cox_broker_kept_all(rig->broker, "idempotency"), *value = NULL;
    json_object_foreach(all, *name, value) break;
    json_t *const outcome = json_deep_copy(value);
    static char copy[128];
    snprintf(copy, sizeof copy, "%s", value != NULL ? *name : "");
    *name = copy;
    json_decref(all);
    if (outcome != NULL) return outcome;
    poll(NULL, 0, 10);
  }
  fail_msg("the outcome was not kept within 60 s");
  return NULL;
}

static void note_kept(void *arg, const struct cox_err *err) {
  assert_null(err);
  atomic_store((atomic_bool *)arg, true);
}

/* The next daemon on the store finds that the outcome was kept so long ago by each of the two clocks. */
static void restart_later(int64_t wall_ms, int64_t mono_ms) {
  const char *name;
  struct cox_err err = {0};
  json_t *const outcome = kept_outcome(&name);
  json_object_set_new(outcome, "at_ms", json_integer(json_integer_value(json_object_get(outcome, "at_ms")) - wall_ms));
  json_object_set_new(outcome, "at_us", json_integer(json_integer_value(json_object_get(outcome, "at_us")) - mono_ms * 1000));
  cox_api_destroy(rig->api);
  atomic_bool is_kept = false;
  assert_int_equal(cox_broker_keep(rig->broker, "idempotency", name, outcome, note_kept, &is_kept, &err), 0);
  for (int i = 0; !atomic_load(&is_kept) && i < 6000; i++) poll(NULL, 0, 10);
  assert_true(atomic_load(&is_kept));
  rig->api = cox_api_create(&rig->options, &err);
  assert_non_null(rig->api);
}

static void an_outcome_is_kept_for_its_time_whatever_the_clock_was_set_to(void **state) {
  (void)state;
  cox_api_destroy(rig->api);
  cox_outcomes_use(&rig->options, rig->broker);
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  restart_later(48 * HOUR_MS, 0);
  ask("POST", "/v1/commands/echo", "k", "{\"a\":1}");
  assert_true(is_replay());
  restart_later(-96 * HOUR_MS, 23 * HOUR_MS);
  ask("POST", "/v1/commands/echo", "k", "{\"a\":1}");
  assert_true(is_replay());
  restart_later(0, 25 * HOUR_MS);
  assert_int_equal(ask("POST", "/v1/commands/echo", "k", "{\"a\":1}"), 200);
  assert_false(is_replay());
}

static void refused_leases_with_a_key_may_be_asked_for_again(void **state) {
  (void)state;
  assert_int_equal(rig_status(rig, "PUT", "/admin/v1/nodes/a", rig_node("a", 5000)), 200);
  assert_int_equal(ask("POST", "/v1/leases", "l1", "{\"model\":\"m\",\"bind\":\"connection\"}"), 400);
  assert_non_null(strstr(reply_error(&reply), "Idempotency-Key"));
  assert_int_equal(ask("POST", "/v1/leases", "l2", "{\"model\":\"m\"}"), 503); /* the node does not serve: try again, so not kept */
  assert_int_equal(ask("POST", "/v1/leases", "l2", "{\"model\":\"m\",\"wait_ms\":100}"), 504);
  assert_int_equal(ask("POST", "/v1/leases", "l2", "{\"model\":\"n\"}"), 404);
  assert_int_equal(ask("DELETE", "/v1/leases/00000000000000000000000000000000", "l3", NULL), 404);
  assert_int_equal(ask("DELETE", "/v1/leases/00000000000000000000000000000000", "l3", NULL), 404);
  assert_true(is_replay());
}

static void open_gate(void *arg) {
  (void)arg;
  rig_open(rig);
}

static void an_end_at_the_moment_of_the_outcomes_leaves_nothing_behind(void **state) {
  (void)state;
  for (int round = 0; round < 8; round++) {
    rig_shut(rig);
    int waiting[24];
    waiting[0] = begin("hold", "k0");
    rig_wait_held(rig);
    for (int i = 1; i < 24; i++) {
      char key[16];
      snprintf(key, sizeof key, "k%d", i % 6);
      waiting[i] = begin("hold", key);
    }
    wait_for_jobs(6);
    struct cox_thread opener = {0};
    assert_int_equal(cox_thread_start(&opener, "opener", open_gate, NULL, NULL), 0);
    cox_api_destroy(rig->api);
    cox_thread_join(&opener);
    for (int i = 0; i < 24; i++) {
      reply_fini(&reply);
      reply = rig_read(waiting[i], true);
      assert_true(reply.status == 200 || reply.status == 503 || reply.status == 0);
      close(waiting[i]);
    }
    struct cox_err err;
    rig->api = cox_api_create(&rig->options, &err);
    assert_non_null(rig->api);
  }
}

int main(void) {
  cox_mutex_init(&kept.mutex);
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
      TEST(the_same_request_with_the_same_key_is_carried_out_once),
      TEST(the_same_key_with_another_request_is_422),
      TEST(refusals_are_outcomes_too),
      TEST(a_key_that_is_none_is_refused),
      TEST(who_comes_while_it_is_under_way_gets_the_same_answer),
      TEST_WITH(after_a_504_the_key_gets_the_outcome, setup_hasty),
      TEST(a_client_that_left_finds_the_outcome_when_it_is_back),
      TEST(try_again_is_no_outcome),
      TEST(only_so_many_wait_for_one_outcome),
      TEST_WITH(the_oldest_outcome_is_forgotten_first, setup_small),
      TEST_WITH(outcomes_are_forgotten_after_their_time, setup_forgetful),
      TEST_WITH(nobody_gets_the_answers_of_another, setup_locked),
      TEST(a_store_can_keep_outcomes_over_a_restart),
      TEST(an_outcome_is_kept_for_its_time_whatever_the_clock_was_set_to),
      TEST(nobody_is_told_an_outcome_that_could_be_lost),
      TEST(what_the_store_will_not_have_is_told_all_the_same),
      TEST(an_end_while_the_store_writes_waits_for_nobody),
      TEST_WITH(what_is_forgotten_is_forgotten_by_the_store_too, setup_small),
      TEST(leases_are_kept_in_memory_only),
      TEST(refused_leases_with_a_key_may_be_asked_for_again),
      TEST(an_end_at_the_moment_of_the_outcomes_leaves_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
