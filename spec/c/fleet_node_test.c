/* The simulated node alone, under a clock that the spec moves: every call of the management API v1, both releases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sim/fleet_node.h"

#define SECONDS(n) ((int64_t)((n) * 1000000))
#define UP "{\"model\": \"m1\", \"dtype\": \"float16\", \"additional_args\": [\"--x\"]}"
#define INIT_OF(hash, id)                                                                                                      \
  "{\"block_hash\": \"" hash "\", \"block_height\": 100, \"public_key\": \"A\", \"batch_size\": 100, \"r_target\": 1.4,"       \
  "\"fraud_threshold\": 1e-7, \"params\": {}, \"node_id\": " id ", \"node_count\": 4, \"url\": \"http://h/v1/poc-batches\"}"
#define INIT INIT_OF("AB", "1")
#define TRAIN "{\"train_config\": {}, \"train_env\": {\"TASK_ID\": \"1\", \"GLOBAL_RANK\": \"0\"}}"

enum { CALLS_MAX = 16 };

static struct cox_fleet_node *node;
static int64_t now_us;
static struct cox_fleet_call calls[CALLS_MAX]; /* each is used once per test */
static bool is_answered[CALLS_MAX];
static int used;

static void drain(void) {
  struct cox_fleet_call *call;
  while ((call = cox_fleet_node_answered(node, now_us)) != NULL) {
    is_answered[call - calls] = true;
    cox_fleet_node_close(node, call);
  }
}

/* Moves the clock, stopping at each moment the node names, as a carrier would. */
static void pass(double seconds) {
  const int64_t until_us = now_us + SECONDS(seconds);
  for (int i = 0; cox_fleet_node_next_us(node) <= until_us; i++) {
    assert_true(i < 1000);
    if (cox_fleet_node_next_us(node) > now_us) now_us = cox_fleet_node_next_us(node);
    drain();
  }
  now_us = until_us;
  drain();
}

static struct cox_fleet_node_options usual(bool is_old) {
  return (struct cox_fleet_node_options){.id = "node1", .is_old = is_old, .is_split = true, .load_us = SECONDS(60), .stop_us = SECONDS(3),
                                         .init_us = SECONDS(1), .pow_load_us = SECONDS(5), .restart_us = SECONDS(20)};
}

static void start_with(const struct cox_fleet_node_options *options) {
  node = cox_fleet_node_create(options);
  assert_non_null(node);
  now_us = SECONDS(1000);
  used = 0;
  memset(is_answered, 0, sizeof is_answered);
  memset(calls, 0, sizeof calls);
}

static void start(bool is_old) {
  const struct cox_fleet_node_options options = usual(is_old);
  start_with(&options);
}

static void finish(void) {
  for (int i = 0; i < used; i++) {
    if (!is_answered[i] && calls[i].route != NULL) cox_fleet_node_drop(node, &calls[i]);
    cox_fleet_call_fini(&calls[i]);
  }
  used = 0;
  cox_fleet_node_destroy(node);
  node = NULL;
}

static int begin_at(const char *method, const char *path, const char *body, bool is_inference) {
  if (used == CALLS_MAX) { /* forget the answered ones */
    for (int i = 0; i < used; i++) {
      assert_true(is_answered[i]);
      cox_fleet_call_fini(&calls[i]);
      is_answered[i] = false;
    }
    used = 0;
  }
  const int index = used++;
  calls[index].is_inference = is_inference;
  calls[index].body = body == NULL ? NULL : json_loads(body, 0, NULL);
  cox_fleet_node_take(node, &calls[index], method, path, now_us);
  drain();
  return index;
}

static int begin(const char *method, const char *path, const char *body) { return begin_at(method, path, body, false); }

static int status_of(int call) {
  assert_true(is_answered[call]);
  return calls[call].answer.status;
}

/* Asks, waits at most `seconds` of the node's time, gives the status. */
static int ask_for(const char *method, const char *path, const char *body, double seconds) {
  const int call = begin(method, path, body);
  pass(seconds);
  return status_of(call);
}

static int ask(const char *method, const char *path, const char *body) { return ask_for(method, path, body, 0); }

static json_t *last_json(void) { return calls[used - 1].answer.json; }
static const char *last_text(const char *key) {
  const char *const text = json_string_value(json_object_get(last_json(), key));
  return text != NULL ? text : "(none)";
}

static const char *state(void) {
  assert_int_equal(ask("GET", "/api/v1/state", NULL), 200);
  return last_text("state");
}

static bool is_healthy(void) {
  const int call = begin_at("GET", "/health", NULL, true);
  return status_of(call) == 200;
}

static void fault(const char *spec) {
  struct cox_fleet_choice choice;
  struct cox_fleet_fault parsed;
  assert_int_equal(cox_fleet_fault_parse(spec, 1, &choice, &parsed, NULL), 0);
  assert_true(cox_fleet_node_fault(node, &parsed, now_us));
  drain();
}

static void serve(void) {
  assert_int_equal(ask_for("POST", "/api/v1/inference/up", UP, 60), 200);
  assert_true(is_healthy());
}

/* ---- state and stop ---- */

static void a_new_node_tells_more_than_an_old_one(void **context) {
  (void)context;
  start(true);
  assert_string_equal(state(), "STOPPED");
  assert_int_equal(json_object_size(last_json()), 1);
  finish();
  start(false);
  assert_string_equal(state(), "STOPPED");
  assert_string_equal(last_text("poc_status"), "NO_BACKENDS");
  assert_true(json_is_false(json_object_get(last_json(), "inference_healthy")));
  assert_true(json_is_null(json_object_get(last_json(), "loaded_model")));
  assert_true(json_is_string(json_object_get(last_json(), "version")));
  serve();
  assert_string_equal(state(), "INFERENCE");
  assert_string_equal(last_text("poc_status"), "IDLE");
  assert_string_equal(last_text("loaded_model"), "m1");
  assert_true(json_is_true(json_object_get(last_json(), "inference_healthy")));
  finish();
}

static void a_stop_of_nothing_is_ok_at_once(void **context) {
  (void)context;
  for (int is_old = 0; is_old < 2; is_old++) {
    start(is_old);
    assert_int_equal(ask("POST", "/api/v1/stop", NULL), 200);
    assert_string_equal(last_text("status"), "OK");
    assert_int_equal(ask("POST", "/api/v1/inference/down", NULL), 200);
    finish();
  }
}

static void an_old_node_is_silent_while_it_stops(void **context) {
  (void)context;
  start(true);
  serve();
  const int stop = begin("POST", "/api/v1/stop", NULL);
  const int asked = begin("GET", "/api/v1/state", NULL);
  pass(2.9);
  assert_false(is_answered[stop]);
  assert_false(is_answered[asked]);
  pass(0.1);
  assert_int_equal(status_of(stop), 200);
  assert_int_equal(status_of(asked), 200);
  assert_string_equal(last_text("state"), "STOPPED");
  finish();
}

static void a_new_node_says_inference_and_healthy_while_it_stops(void **context) {
  (void)context;
  start(false);
  serve();
  const int stop = begin("POST", "/api/v1/stop", NULL);
  pass(2.9);
  assert_string_equal(state(), "INFERENCE");
  assert_true(json_is_true(json_object_get(last_json(), "inference_healthy")));
  assert_int_equal(ask("POST", "/api/v1/inference/up", UP), 409);
  assert_false(is_answered[stop]);
  const int again = begin("POST", "/api/v1/stop", NULL);
  pass(0.1);
  assert_int_equal(status_of(stop), 200);
  assert_int_equal(status_of(again), 200);
  assert_string_equal(state(), "STOPPED");
  assert_false(is_healthy());
  finish();
}

static void both_releases_are_silent_while_other_work_stops(void **context) {
  (void)context;
  for (int is_old = 0; is_old < 2; is_old++) {
    for (int is_training = 0; is_training < 2; is_training++) {
      start(is_old);
      assert_int_equal(ask_for("POST", is_training ? "/api/v1/train/start" : "/api/v1/pow/init/generate", is_training ? TRAIN : INIT, 1), 200);
      begin("POST", "/api/v1/stop", NULL);
      const int asked = begin("GET", "/api/v1/state", NULL);
      pass(2.9);
      assert_false(is_answered[asked]);
      pass(0.1);
      assert_string_equal(last_text("state"), "STOPPED");
      finish();
    }
  }
}

static void a_stop_in_the_load_of_an_old_node_waits_for_its_end_in_silence(void **context) {
  (void)context;
  start(true);
  const int up = begin("POST", "/api/v1/inference/up", UP);
  pass(10);
  assert_string_equal(state(), "INFERENCE");
  const int stop = begin("POST", "/api/v1/stop", NULL);
  const int asked = begin("GET", "/api/v1/state", NULL);
  pass(52.9);
  assert_false(is_answered[up] || is_answered[stop] || is_answered[asked]);
  pass(0.1);
  assert_int_equal(status_of(up), 200); /* OK, though nothing serves */
  assert_string_equal(json_string_value(json_object_get(calls[up].answer.json, "status")), "OK");
  assert_int_equal(status_of(stop), 200);
  assert_string_equal(state(), "STOPPED");
  finish();
}

static void two_services_are_told_once_and_all_are_stopped(void **context) {
  (void)context;
  start(false);
  serve();
  fault("two_services=500");
  assert_int_equal(ask("GET", "/api/v1/state", NULL), 500);
  assert_string_equal(state(), "STOPPED");
  fault("two_services");
  assert_int_equal(ask("GET", "/api/v1/state", NULL), 409);
  finish();
}

/* ---- inference ---- */

static void a_load_blocks_until_it_serves_and_says_inference_meanwhile(void **context) {
  (void)context;
  for (int is_old = 0; is_old < 2; is_old++) {
    start(is_old);
    const int up = begin("POST", "/api/v1/inference/up", UP);
    pass(59.9);
    assert_false(is_answered[up]);
    assert_string_equal(state(), "INFERENCE");
    assert_false(is_healthy());
    pass(0.1);
    assert_int_equal(status_of(up), 200);
    assert_true(is_healthy());
    finish();
  }
}

static void a_caller_that_gives_up_does_not_cancel_the_load(void **context) {
  (void)context;
  start(false);
  const int up = begin("POST", "/api/v1/inference/up", UP);
  cox_fleet_node_drop(node, &calls[up]);
  is_answered[up] = true;
  pass(60);
  assert_true(is_healthy());
  finish();
}

static void health_may_lag_behind_the_answer(void **context) {
  (void)context;
  struct cox_fleet_node_options options = usual(true);
  options.health_lag_us = SECONDS(5);
  start_with(&options);
  assert_int_equal(ask_for("POST", "/api/v1/inference/up", UP, 60), 200);
  assert_false(is_healthy());
  pass(5);
  assert_true(is_healthy());
  finish();
}

static void a_second_load_is_a_conflict_on_new_nodes_and_replaces_the_first_on_old_ones(void **context) {
  (void)context;
  start(false);
  begin("POST", "/api/v1/inference/up", UP);
  assert_int_equal(ask("POST", "/api/v1/inference/up", UP), 409);
  assert_int_equal(ask("POST", "/api/v1/inference/up/async", UP), 409);
  pass(60);
  assert_int_equal(ask("POST", "/api/v1/inference/up", UP), 409);
  finish();
  start(true);
  const int first = begin("POST", "/api/v1/inference/up", UP);
  pass(10);
  const int second = begin("POST", "/api/v1/inference/up", "{\"model\": \"m2\", \"dtype\": \"auto\", \"additional_args\": []}");
  pass(50);
  assert_int_equal(status_of(first), 200);
  pass(62.9); /* 3 s to stop, 60 s to load */
  assert_false(is_answered[second]);
  pass(0.1);
  assert_int_equal(status_of(second), 200);
  assert_int_equal(status_of(begin_at("GET", "/v1/models", NULL, true)), 200);
  json_t *const model = json_array_get(json_object_get(last_json(), "data"), 0);
  assert_string_equal(json_string_value(json_object_get(model, "id")), "m2");
  finish();
}

static void a_bad_body_of_inference_up_is_refused(void **context) {
  (void)context;
  static const char *const bad[] = {NULL, "[]", "{}", "{\"model\": 1}", "{\"model\": \"m\", \"dtype\": \"int3\"}",
                                    "{\"model\": \"m\", \"additional_args\": [1]}", "{\"model\": \"m\", \"additional_args\": \"--x\"}"};
  for (int is_old = 0; is_old < 2; is_old++) {
    start(is_old);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_int_equal(ask("POST", "/api/v1/inference/up", bad[i]), 422);
    assert_string_equal(state(), "STOPPED");
    finish();
  }
}

static void an_old_node_answers_a_failed_load_with_200_and_ends_6_s_later(void **context) {
  (void)context;
  start(true);
  fault("load_fail");
  assert_int_equal(ask_for("POST", "/api/v1/inference/up", UP, 60), 200);
  assert_string_equal(last_text("status"), "ERROR");
  assert_true(json_is_string(json_object_get(last_json(), "message")));
  pass(5.9);
  assert_true(cox_fleet_node_is_listening(node));
  assert_string_equal(state(), "INFERENCE");
  const unsigned starts = cox_fleet_node_starts(node);
  pass(0.2);
  assert_false(cox_fleet_node_is_listening(node));
  pass(20);
  assert_true(cox_fleet_node_is_listening(node));
  assert_int_equal(cox_fleet_node_starts(node), starts + 1);
  assert_string_equal(state(), "STOPPED");
  finish();
}

static void a_new_node_answers_a_failed_load_with_500_goes_silent_and_ends(void **context) {
  (void)context;
  start(false);
  fault("load_fail");
  assert_int_equal(ask_for("POST", "/api/v1/inference/up", UP, 60), 500);
  assert_true(json_is_string(json_object_get(last_json(), "detail")));
  pass(5.9);
  assert_string_equal(state(), "INFERENCE");
  pass(0.2);
  const int asked = begin("GET", "/api/v1/state", NULL);
  pass(34.5);
  assert_false(is_answered[asked]);
  assert_true(cox_fleet_node_is_listening(node));
  pass(1);
  assert_true(is_answered[asked]);
  assert_int_equal(calls[asked].answer.manner, COX_MANNER_RESET);
  assert_false(cox_fleet_node_is_listening(node));
  finish();
}

static void inference_down_at_once_saves_a_new_node_but_not_an_old_one(void **context) {
  (void)context;
  for (int is_old = 0; is_old < 2; is_old++) {
    start(is_old);
    fault("load_fail");
    begin("POST", "/api/v1/inference/up", UP);
    pass(61);
    assert_int_equal(ask_for("POST", "/api/v1/inference/down", NULL, 3), 200);
    assert_string_equal(state(), "STOPPED");
    pass(100);
    assert_int_equal(cox_fleet_node_starts(node), is_old ? 2 : 1);
    finish();
  }
}

static void a_serving_backend_that_dies_takes_the_process_with_it(void **context) {
  (void)context;
  for (int is_old = 0; is_old < 2; is_old++) {
    start(is_old);
    serve();
    fault("unhealthy");
    assert_false(is_healthy());
    assert_string_equal(state(), "INFERENCE");
    pass(is_old ? 5.9 : 40.9);
    assert_true(cox_fleet_node_is_listening(node));
    pass(0.2);
    assert_false(cox_fleet_node_is_listening(node));
    finish();
  }
}

static void a_stop_in_the_load_of_a_new_node_cuts_it(void **context) {
  (void)context;
  start(false);
  const int up = begin("POST", "/api/v1/inference/up", UP);
  pass(10);
  assert_int_equal(ask_for("POST", "/api/v1/stop", NULL, 3), 200);
  assert_int_equal(status_of(up), 500);
  assert_null(calls[up].answer.json); /* plain text */
  assert_string_equal(calls[up].answer.text, "Internal Server Error");
  assert_string_equal(state(), "STOPPED");
  pass(5);
  serve(); /* after 5 s of rest */
  finish();
}

static void a_new_node_that_loads_too_early_after_a_cut_load_hangs_and_restarts(void **context) {
  (void)context;
  start(false);
  begin("POST", "/api/v1/inference/up", UP);
  pass(10);
  assert_int_equal(ask_for("POST", "/api/v1/stop", NULL, 3), 200);
  pass(4.9);
  const int up = begin("POST", "/api/v1/inference/up", UP);
  const int asked = begin("GET", "/api/v1/state", NULL);
  pass(34.9);
  assert_false(is_answered[up] || is_answered[asked]);
  pass(0.2);
  assert_int_equal(calls[up].answer.manner, COX_MANNER_RESET);
  assert_int_equal(calls[asked].answer.manner, COX_MANNER_RESET);
  pass(20);
  assert_int_equal(cox_fleet_node_starts(node), 2);
  serve();
  finish();
}

static void up_status_follows_loads_of_up_async_only(void **context) {
  (void)context;
  start(false);
  assert_int_equal(ask("GET", "/api/v1/inference/up/status", NULL), 200);
  assert_string_equal(last_text("status"), "not_started");
  assert_int_equal(ask("POST", "/api/v1/inference/up/async", UP), 200);
  assert_string_equal(last_text("status"), "starting");
  pass(10);
  ask("GET", "/api/v1/inference/up/status", NULL);
  assert_string_equal(last_text("status"), "in_progress");
  assert_true(json_real_value(json_object_get(last_json(), "elapsed_seconds")) == 10.0);
  assert_int_equal(ask("POST", "/api/v1/inference/up/async", UP), 409);
  pass(50);
  ask("GET", "/api/v1/inference/up/status", NULL);
  assert_string_equal(last_text("status"), "completed");
  assert_int_equal(ask_for("POST", "/api/v1/stop", NULL, 3), 200);
  ask("GET", "/api/v1/inference/up/status", NULL);
  assert_string_equal(last_text("status"), "not_started");
  fault("load_fail");
  assert_int_equal(ask("POST", "/api/v1/inference/up/async", UP), 200);
  pass(61);
  ask("GET", "/api/v1/inference/up/status", NULL);
  assert_string_equal(last_text("status"), "failed");
  assert_true(json_is_string(json_object_get(last_json(), "error")));
  finish();
  start(true);
  assert_int_equal(ask("POST", "/api/v1/inference/up/async", UP), 404);
  assert_int_equal(ask("GET", "/api/v1/inference/up/status", NULL), 404);
  finish();
}

static void health_at_a_shared_address_means_something_else(void **context) {
  (void)context;
  for (int is_old = 0; is_old < 2; is_old++) {
    struct cox_fleet_node_options options = usual(is_old);
    options.is_split = false;
    start_with(&options);
    assert_int_equal(ask("GET", "/health", NULL), is_old ? 404 : 200);
    assert_int_equal(ask("GET", "/v1/models", NULL), 503);
    assert_int_equal(ask_for("POST", "/api/v1/inference/up", UP, 60), 200);
    assert_int_equal(ask("GET", "/health", NULL), is_old ? 404 : 200);
    assert_int_equal(ask("GET", "/v1/models", NULL), 200);
    finish();
  }
}

static void a_serving_node_completes_chats_and_names_itself(void **context) {
  (void)context;
  static const char chat[] = "{\"model\": \"m1\", \"messages\": []}";
  start(false);
  assert_int_equal(status_of(begin_at("POST", "/v1/chat/completions", chat, true)), 503);
  serve();
  assert_int_equal(status_of(begin_at("POST", "/v1/chat/completions", chat, true)), 200);
  assert_string_equal(last_text("node"), "node1");
  assert_string_equal(last_text("model"), "m1");
  assert_int_equal(status_of(begin_at("POST", "/v1/chat/completions", "{\"model\": \"m9\", \"messages\": []}", true)), 404);
  assert_int_equal(status_of(begin_at("POST", "/v1/chat/completions", "{}", true)), 422);
  assert_int_equal(ask("POST", "/v1/chat/completions", chat), 404); /* not at the management address */
  assert_int_equal(status_of(begin_at("GET", "/api/v1/state", NULL, true)), 404);
  finish();
}

/* ---- proof of compute ---- */

static void generation_begins_at_once_and_its_model_is_initialised_later(void **context) {
  (void)context;
  for (int is_old = 0; is_old < 2; is_old++) {
    start(is_old);
    assert_int_equal(ask("GET", "/api/v1/pow/status", NULL), 200);
    assert_string_equal(last_text("status"), "NOT_LOADED");
    assert_int_equal(json_object_size(last_json()), 1);
    const int init = begin("POST", "/api/v1/pow/init/generate", INIT);
    pass(0.9);
    assert_false(is_answered[init]);
    assert_string_equal(state(), "POW");
    pass(0.1);
    assert_int_equal(status_of(init), 200);
    const json_t *const words = json_object_get(calls[init].answer.json, "pow_status");
    assert_string_equal(json_string_value(json_object_get(words, "status")), "GENERATING");
    assert_true(json_is_false(json_object_get(words, "is_model_initialized")));
    pass(5);
    ask("GET", "/api/v1/pow/status", NULL);
    assert_string_equal(last_text("status"), "GENERATING");
    assert_true(json_is_true(json_object_get(last_json(), "is_model_initialized")));
    finish();
  }
}

static json_int_t inits(void) {
  json_t *const report = cox_fleet_node_report(node, now_us, 0);
  const json_int_t count = json_integer_value(json_object_get(report, "pow_inits"));
  json_decref(report);
  return count;
}

static void the_same_init_body_goes_on_and_any_other_begins_anew(void **context) {
  (void)context;
  start(true);
  assert_int_equal(ask_for("POST", "/api/v1/pow/init/generate", INIT, 10), 200);
  assert_int_equal(ask_for("POST", "/api/v1/pow/init/generate", INIT, 1), 200);
  assert_int_equal(inits(), 1);
  assert_int_equal(ask_for("POST", "/api/v1/pow/init/validate", INIT, 1), 200); /* no stop needed */
  assert_int_equal(inits(), 1);
  ask("GET", "/api/v1/pow/status", NULL);
  assert_string_equal(last_text("status"), "VALIDATING");
  assert_true(json_is_true(json_object_get(last_json(), "is_model_initialized")));
  assert_int_equal(ask_for("POST", "/api/v1/pow/init/validate", INIT_OF("CD", "1"), 1), 200);
  assert_int_equal(inits(), 2);
  ask("GET", "/api/v1/pow/status", NULL);
  assert_true(json_is_false(json_object_get(last_json(), "is_model_initialized")));
  finish();
}

static void an_init_without_its_share_is_refused(void **context) {
  (void)context;
  start(false);
  assert_int_equal(ask("POST", "/api/v1/pow/init/generate", INIT_OF("AB", "-1")), 400);
  assert_int_equal(ask("POST", "/api/v1/pow/init/validate", INIT_OF("AB", "null")), 400);
  assert_int_equal(ask("POST", "/api/v1/pow/init/generate", "{\"node_id\": 1, \"node_count\": 2}"), 422);
  assert_int_equal(ask("POST", "/api/v1/pow/init/generate", NULL), 422);
  assert_string_equal(state(), "STOPPED");
  finish();
}

static void pow_stop_says_an_object_or_a_string(void **context) {
  (void)context;
  start(false);
  assert_int_equal(ask("POST", "/api/v1/pow/stop", NULL), 200);
  assert_true(json_is_string(json_object_get(last_json(), "pow_status")));
  assert_int_equal(ask_for("POST", "/api/v1/pow/init/generate", INIT, 1), 200);
  assert_int_equal(ask_for("POST", "/api/v1/pow/stop", NULL, 3), 200);
  assert_true(json_is_object(json_object_get(last_json(), "pow_status")));
  assert_string_equal(state(), "STOPPED");
  finish();
}

static void pow_status_can_say_loading_and_things_nobody_knows(void **context) {
  (void)context;
  start(false);
  fault("pow_loading");
  assert_int_equal(ask_for("POST", "/api/v1/pow/init/generate", INIT, 1), 200);
  ask("GET", "/api/v1/pow/status", NULL);
  assert_string_equal(last_text("status"), "LOADING");
  pass(5);
  ask("GET", "/api/v1/pow/status", NULL);
  assert_string_equal(last_text("status"), "GENERATING");
  fault("lie_pow=MIXED");
  ask("GET", "/api/v1/pow/status", NULL);
  assert_string_equal(last_text("status"), "MIXED");
  finish();
}

static void a_new_node_proves_inside_of_its_inference(void **context) {
  (void)context;
  start(false);
  assert_int_equal(ask("POST", "/api/v1/inference/pow/init/generate", INIT), 503);
  serve();
  assert_int_equal(ask("POST", "/api/v1/inference/pow/init/generate", INIT), 200);
  assert_string_equal(state(), "INFERENCE");
  assert_string_equal(last_text("poc_status"), "GENERATING");
  assert_int_equal(ask("GET", "/api/v1/inference/pow/status", NULL), 200);
  assert_string_equal(last_text("status"), "GENERATING");
  assert_int_equal(ask("POST", "/api/v1/inference/pow/stop", NULL), 200);
  assert_string_equal(state(), "INFERENCE");
  assert_string_equal(last_text("poc_status"), "IDLE");
  finish();
}

/* ---- training ---- */

static void training_takes_strings_only_and_runs_once(void **context) {
  (void)context;
  start(true);
  assert_int_equal(ask("POST", "/api/v1/train/stop", NULL), 400);
  assert_int_equal(ask("POST", "/api/v1/train/start", "{\"train_config\": {}, \"train_env\": {\"RANK\": 1}}"), 500);
  assert_int_equal(ask("POST", "/api/v1/train/start", "{\"train_env\": {}}"), 422);
  assert_string_equal(state(), "STOPPED");
  assert_int_equal(ask("POST", "/api/v1/train/start", TRAIN), 200);
  assert_string_equal(state(), "TRAIN");
  assert_int_equal(ask("POST", "/api/v1/train/start", TRAIN), 400);
  assert_int_equal(ask_for("POST", "/api/v1/train/stop", NULL, 3), 200);
  assert_string_equal(state(), "STOPPED");
  finish();
}

static void training_that_does_not_die_makes_stop_fail_after_5_s(void **context) {
  (void)context;
  start(false);
  assert_int_equal(ask("POST", "/api/v1/train/start", TRAIN), 200);
  fault("train_stuck");
  const int stop = begin("POST", "/api/v1/stop", NULL);
  pass(4.9);
  assert_false(is_answered[stop]);
  pass(0.1);
  assert_int_equal(status_of(stop), 500);
  assert_string_equal(state(), "TRAIN");
  fault("none");
  assert_int_equal(ask_for("POST", "/api/v1/stop", NULL, 3), 200);
  assert_string_equal(state(), "STOPPED");
  finish();
}

/* ---- all services ---- */

static void calls_of_another_service_conflict(void **context) {
  (void)context;
  static const struct {
    const char *method, *path, *body;
    const char *service;
  } others[] = {
      {"POST", "/api/v1/inference/up", UP, "INFERENCE"},       {"POST", "/api/v1/inference/down", NULL, "INFERENCE"},
      {"POST", "/api/v1/pow/init/generate", INIT, "POW"},      {"POST", "/api/v1/pow/init/validate", INIT, "POW"},
      {"GET", "/api/v1/pow/status", NULL, "POW"},              {"POST", "/api/v1/pow/stop", NULL, "POW"},
      {"POST", "/api/v1/train/start", TRAIN, "TRAIN"},         {"POST", "/api/v1/train/stop", NULL, "TRAIN"},
  };
  static const size_t begins[] = {0, 2, 6};
  for (int is_old = 0; is_old < 2; is_old++) {
    for (size_t running = 0; running < 3; running++) {
      start(is_old);
      const size_t first = begins[running];
      assert_int_equal(ask_for(others[first].method, others[first].path, others[first].body, 60), 200);
      assert_string_equal(state(), others[first].service);
      for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(others[i].service, others[first].service) == 0) continue;
        assert_int_equal(ask(others[i].method, others[i].path, others[i].body), 409);
        assert_non_null(strstr(last_text("detail"), "currently in ServiceState."));
      }
      assert_string_equal(state(), others[first].service);
      finish();
    }
  }
}

static void a_restart_forgets_all_and_resets_what_was_open(void **context) {
  (void)context;
  start(true);
  serve();
  const int stop = begin("POST", "/api/v1/stop", NULL);
  fault("restart=2");
  assert_true(is_answered[stop]);
  assert_int_equal(calls[stop].answer.manner, COX_MANNER_RESET);
  assert_false(cox_fleet_node_is_listening(node));
  const int late = begin("GET", "/api/v1/state", NULL); /* over a connection that was there */
  assert_int_equal(calls[late].answer.manner, COX_MANNER_RESET);
  pass(2);
  assert_string_equal(state(), "STOPPED");
  finish();
}

static void the_latency_goes_before_every_answer(void **context) {
  (void)context;
  struct cox_fleet_node_options options = usual(false);
  options.latency_us = SECONDS(0.25);
  start_with(&options);
  const int asked = begin("GET", "/api/v1/state", NULL);
  const int up = begin("POST", "/api/v1/inference/up", UP);
  assert_true(cox_fleet_node_next_us(node) == now_us + SECONDS(0.25));
  pass(0.24);
  assert_false(is_answered[asked]);
  pass(0.01);
  assert_true(is_answered[asked]);
  pass(59.9);
  assert_false(is_answered[up]);
  pass(0.1);
  assert_true(is_answered[up]);
  finish();
}

static void an_idle_node_names_no_moment(void **context) {
  (void)context;
  start(false);
  assert_true(cox_fleet_node_next_us(node) == INT64_MAX);
  fault("hang");
  begin("GET", "/api/v1/state", NULL);
  assert_true(cox_fleet_node_next_us(node) == INT64_MAX);
  finish();
}

/* ---- faults ---- */

static void faults_of_the_answer_are_as_asked(void **context) {
  (void)context;
  static const struct {
    const char *spec;
    int status;
    enum cox_fleet_manner manner;
  } cases[] = {
      {"error", 500, COX_MANNER_PLAIN},       {"error=502", 502, COX_MANNER_PLAIN},          {"conflict", 409, COX_MANNER_PLAIN},
      {"redirect", 307, COX_MANNER_PLAIN},    {"close", 0, COX_MANNER_RESET},                {"half_header", 200, COX_MANNER_HALF_HEADER},
      {"huge", 200, COX_MANNER_HUGE},         {"slow=5", 200, COX_MANNER_SLOW},              {"bad_json", 200, COX_MANNER_PLAIN},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    start(false);
    fault(cases[i].spec);
    assert_int_equal(ask("GET", "/api/v1/state", NULL), cases[i].status);
    assert_int_equal(calls[0].answer.manner, cases[i].manner);
    if (i == 3) assert_non_null(calls[0].answer.location);
    if (i == 7) assert_true(calls[0].answer.interval_us == 5000);
    if (i == 8) assert_null(json_loads(calls[0].answer.text, 0, NULL));
    fault("none");
    assert_string_equal(state(), "STOPPED");
    finish();
  }
}

static void silence_does_the_work_and_a_hang_does_not(void **context) {
  (void)context;
  start(false);
  fault("hang@POST");
  const int hung = begin("POST", "/api/v1/train/start", TRAIN);
  assert_string_equal(state(), "STOPPED");
  fault("none");
  fault("silence@train/start");
  const int silent = begin("POST", "/api/v1/train/start", TRAIN);
  pass(10000);
  assert_string_equal(state(), "TRAIN");
  assert_false(is_answered[hung] || is_answered[silent]);
  finish();
}

static void a_liar_says_ok_and_does_nothing_or_names_a_wrong_state(void **context) {
  (void)context;
  start(false);
  fault("lie");
  assert_int_equal(ask("POST", "/api/v1/inference/up", UP), 200);
  assert_int_equal(ask("POST", "/api/v1/pow/init/generate", INIT), 200);
  assert_true(json_is_object(json_object_get(last_json(), "pow_status")));
  assert_string_equal(state(), "STOPPED");
  fault("lie=TRAIN");
  assert_string_equal(state(), "TRAIN");
  fault("lie=off");
  assert_string_equal(state(), "STOPPED");
  finish();
}

static void a_load_may_never_be_ready_or_never_end(void **context) {
  (void)context;
  start(true);
  fault("ready_never");
  assert_int_equal(ask_for("POST", "/api/v1/inference/up", UP, 60), 200);
  pass(1000);
  assert_string_equal(state(), "INFERENCE");
  assert_false(is_healthy());
  finish();
  start(false);
  fault("load_never");
  const int up = begin("POST", "/api/v1/inference/up", UP);
  pass(1199);
  assert_false(is_answered[up]);
  pass(1);
  assert_int_equal(status_of(up), 500);
  finish();
}

static void faults_that_make_no_sense_are_refused_in_words(void **context) {
  (void)context;
  static const struct {
    const char *spec, *part;
  } bad[] = {
      {"", "no fault \"\""},        {"explode", "explode"},        {"node9:hang", "1 to 5"},     {"x:hang", "before the colon"},
      {"3-1:hang", "1 to 5"},       {"0%:hang", "before the colon"}, {"hang=3", "no value"},     {"error=abc", "400 to 599"},
      {"error=200", "400 to 599"},  {"slow=0", "1 to"},            {"refuse@POST", "narrowed"},  {"hang@", "after the @"},
      {"two_services=410", "409 or 500"}, {"lie_pow", "give lie_pow a value"}, {"restart=off", "must be a number"}, {"node1:", "no fault"},
  };
  struct cox_fleet_choice choice;
  struct cox_fleet_fault parsed;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct cox_err err = {0};
    assert_int_equal(cox_fleet_fault_parse(bad[i].spec, 5, &choice, &parsed, &err), COX_EINVAL);
    if (strstr(err.text, bad[i].part) == NULL) fail_msg("\"%s\": %s", bad[i].spec, err.text);
  }
}

static void a_choice_of_nodes_is_read_and_repeats_with_its_seed(void **context) {
  (void)context;
  struct cox_fleet_choice choice;
  struct cox_fleet_fault parsed;
  assert_int_equal(cox_fleet_fault_parse("node2-4:redirect=http://a:1/b@GET /api", 5, &choice, &parsed, NULL), 0);
  assert_string_equal(parsed.value, "http://a:1/b");
  assert_string_equal(parsed.part, "GET /api");
  assert_false(cox_fleet_choice_has(&choice, 1, 7));
  assert_true(cox_fleet_choice_has(&choice, 2, 7) && cox_fleet_choice_has(&choice, 4, 7));
  assert_false(cox_fleet_choice_has(&choice, 5, 7));
  assert_int_equal(cox_fleet_fault_parse("5%:hang", 1000, &choice, &parsed, NULL), 0);
  unsigned chosen = 0, moved = 0;
  for (unsigned i = 1; i <= 1000; i++) {
    chosen += cox_fleet_choice_has(&choice, i, 7);
    moved += cox_fleet_choice_has(&choice, i, 7) != cox_fleet_choice_has(&choice, i, 8);
  }
  assert_in_range(chosen, 25, 80);
  assert_in_range(moved, 1, 200);
}

/* ---- the report ---- */

static void calls_are_counted_and_the_most_open_ones_remembered(void **context) {
  (void)context;
  start(false);
  const int up = begin("POST", "/api/v1/inference/up", UP);
  ask("GET", "/api/v1/state", NULL);
  ask("GET", "/api/v1/nowhere", NULL);
  ask("POST", "/api/v1/inference/up", UP);
  json_t *report = cox_fleet_node_report(node, now_us, 0);
  const json_t *const counts = json_object_get(report, "calls");
  assert_int_equal(json_integer_value(json_object_get(counts, "POST /api/v1/inference/up")), 2);
  assert_int_equal(json_integer_value(json_object_get(counts, "GET /api/v1/state")), 1);
  assert_int_equal(json_integer_value(json_object_get(counts, "(unknown)")), 1);
  assert_int_equal(json_integer_value(json_object_get(report, "mutating_open_max")), 2);
  assert_int_equal(json_integer_value(json_object_get(report, "mutating_open")), 1);
  assert_int_equal(json_integer_value(json_object_get(report, "first_call_ms")), 1000000);
  assert_string_equal(json_string_value(json_object_get(json_object_get(report, "last_up"), "model")), "m1");
  json_decref(report);
  cox_fleet_node_drop(node, &calls[up]);
  is_answered[up] = true;
  cox_fleet_node_reset_counts(node);
  report = cox_fleet_node_report(node, now_us, 0);
  assert_int_equal(json_object_size(json_object_get(report, "calls")), 0);
  assert_int_equal(json_integer_value(json_object_get(report, "mutating_open_max")), 0);
  assert_true(json_is_null(json_object_get(report, "first_call_ms")));
  assert_true(json_is_true(json_object_get(report, "is_loading")));
  json_decref(report);
  finish();
}

/* Chance: whatever is asked in whatever order, every open call is known, time ends, and nothing is left behind. */
static void no_sequence_of_calls_breaks_it(void **context) {
  (void)context;
  static const char *const specs[] = {"hang", "silence", "load_fail", "restart=1", "unhealthy", "two_services", "train_stuck", "none", "none", "refuse"};
  static const struct {
    const char *method, *path, *body;
  } asks[] = {
      {"GET", "/api/v1/state", NULL},          {"POST", "/api/v1/stop", NULL},           {"POST", "/api/v1/inference/up", UP},
      {"POST", "/api/v1/inference/up/async", UP}, {"POST", "/api/v1/inference/down", NULL}, {"POST", "/api/v1/pow/init/generate", INIT},
      {"POST", "/api/v1/pow/stop", NULL},      {"POST", "/api/v1/train/start", TRAIN},   {"POST", "/api/v1/train/stop", NULL},
  };
  uint64_t random = 88172645463325252u;
  for (int life = 0; life < 400; life++) {
    start(life % 2);
    for (int step = 0; step < CALLS_MAX; step++) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      const size_t what = random % 9;
      const int call = begin(asks[what].method, asks[what].path, asks[what].body);
      if (random % 5 == 0) fault(specs[(random >> 8) % 10]);
      if (random % 7 == 0 && !is_answered[call]) {
        cox_fleet_node_drop(node, &calls[call]);
        is_answered[call] = true;
      }
      pass((double)((random >> 16) % 70));
    }
    fault("none");
    fault("restart=1");
    pass(1);
    for (int i = 0; i < used; i++) assert_true(is_answered[i]);
    assert_true(cox_fleet_node_next_us(node) == INT64_MAX);
    json_t *const report = cox_fleet_node_report(node, now_us, 0);
    assert_int_equal(json_integer_value(json_object_get(report, "mutating_open")), 0);
    json_decref(report);
    finish();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_new_node_tells_more_than_an_old_one),
      cmocka_unit_test(a_stop_of_nothing_is_ok_at_once),
      cmocka_unit_test(an_old_node_is_silent_while_it_stops),
      cmocka_unit_test(a_new_node_says_inference_and_healthy_while_it_stops),
      cmocka_unit_test(both_releases_are_silent_while_other_work_stops),
      cmocka_unit_test(a_stop_in_the_load_of_an_old_node_waits_for_its_end_in_silence),
      cmocka_unit_test(two_services_are_told_once_and_all_are_stopped),
      cmocka_unit_test(a_load_blocks_until_it_serves_and_says_inference_meanwhile),
      cmocka_unit_test(a_caller_that_gives_up_does_not_cancel_the_load),
      cmocka_unit_test(health_may_lag_behind_the_answer),
      cmocka_unit_test(a_second_load_is_a_conflict_on_new_nodes_and_replaces_the_first_on_old_ones),
      cmocka_unit_test(a_bad_body_of_inference_up_is_refused),
      cmocka_unit_test(an_old_node_answers_a_failed_load_with_200_and_ends_6_s_later),
      cmocka_unit_test(a_new_node_answers_a_failed_load_with_500_goes_silent_and_ends),
      cmocka_unit_test(inference_down_at_once_saves_a_new_node_but_not_an_old_one),
      cmocka_unit_test(a_serving_backend_that_dies_takes_the_process_with_it),
      cmocka_unit_test(a_stop_in_the_load_of_a_new_node_cuts_it),
      cmocka_unit_test(a_new_node_that_loads_too_early_after_a_cut_load_hangs_and_restarts),
      cmocka_unit_test(up_status_follows_loads_of_up_async_only),
      cmocka_unit_test(health_at_a_shared_address_means_something_else),
      cmocka_unit_test(a_serving_node_completes_chats_and_names_itself),
      cmocka_unit_test(generation_begins_at_once_and_its_model_is_initialised_later),
      cmocka_unit_test(the_same_init_body_goes_on_and_any_other_begins_anew),
      cmocka_unit_test(an_init_without_its_share_is_refused),
      cmocka_unit_test(pow_stop_says_an_object_or_a_string),
      cmocka_unit_test(pow_status_can_say_loading_and_things_nobody_knows),
      cmocka_unit_test(a_new_node_proves_inside_of_its_inference),
      cmocka_unit_test(training_takes_strings_only_and_runs_once),
      cmocka_unit_test(training_that_does_not_die_makes_stop_fail_after_5_s),
      cmocka_unit_test(calls_of_another_service_conflict),
      cmocka_unit_test(a_restart_forgets_all_and_resets_what_was_open),
      cmocka_unit_test(the_latency_goes_before_every_answer),
      cmocka_unit_test(an_idle_node_names_no_moment),
      cmocka_unit_test(faults_of_the_answer_are_as_asked),
      cmocka_unit_test(silence_does_the_work_and_a_hang_does_not),
      cmocka_unit_test(a_liar_says_ok_and_does_nothing_or_names_a_wrong_state),
      cmocka_unit_test(a_load_may_never_be_ready_or_never_end),
      cmocka_unit_test(faults_that_make_no_sense_are_refused_in_words),
      cmocka_unit_test(a_choice_of_nodes_is_read_and_repeats_with_its_seed),
      cmocka_unit_test(calls_are_counted_and_the_most_open_ones_remembered),
      cmocka_unit_test(no_sequence_of_calls_breaks_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
