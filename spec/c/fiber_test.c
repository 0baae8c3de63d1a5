/* Drivers and jobs as fibers: what a worker does with them, done by hand. */
#include "fake_core.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/packed.h"
#include "script/script.h"

static char folder[64];
static int64_t now_us, set_by_ms;
static struct cox_clock_era era;
static struct cox_clock clock_;
static struct cox_script *script;
static const struct cox_fiber_ops *ops;
static void *vm;
static struct cox_attempt *attempt;
static struct cox_fiber *fiber;
static struct cox_io_request request;

static int64_t mono_us(void *ctx) { return *(int64_t *)ctx; }
static int64_t wall_ms(void *ctx) { return 1700000000000 + *(int64_t *)ctx / 1000 + set_by_ms; }
static struct cox_clock_era era_of(void *ctx) {
  (void)ctx;
  return era;
}

static int group_setup(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/coxswain-fibers-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  char command[256];
  snprintf(command, sizeof command, "cp -r scripts/. spec/fixtures/fibers/. %s", folder);
  return system(command);
}

static int group_teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

static int setup(void **state) {
  (void)state;
  now_us = 1000000;
  set_by_ms = 0;
  era = (struct cox_clock_era){.id = 7, .began_us = 400000};
  clock_ = (struct cox_clock){.mono_us = mono_us, .wall_ms = wall_ms, .era = era_of, .ctx = &now_us};
  struct cox_faults faults = {0};
  json_t *const config = json_pack("{s{ss}}", "feed", "kind", "none");
  const struct cox_script_options options = {.scripts_dir = folder, .library_dir = "lua", .clock = &clock_, .config = config};
  script = cox_script_create(&options, &faults);
  for (size_t i = 0; i < faults.count; i++) print_error("%s:%d: %s\n", faults.list[i].file, faults.list[i].line, faults.list[i].text);
  cox_faults_fini(&faults);
  json_decref(config);
  if (script == NULL) return -1;
  ops = cox_script_fiber_ops(script);
  struct cox_err err;
  vm = ops->vm_create(ops->ctx, &err);
  return vm != NULL ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  cox_attempt_destroy(attempt);
  attempt = NULL;
  ops->vm_destroy(vm);
  cox_script_destroy(script);
  return 0;
}

static struct cox_attempt *make_attempt(enum cox_attempt_kind kind, const char *way) {
  struct cox_attempt *const made = cox_attempt_create(kind);
  made->node = fake_node("node1", 5000);
  json_object_set_new(made->node, "kind", json_string("probe_me"));
  if (kind == COX_ATTEMPT_REACH) {
    made->target = cox_target_create(json_pack("{ss, ss}", "status", "INFERENCE", "model", way), "because", NULL);
  }
  made->deadline_us = now_us + 10000000;
  made->deadline_max_us = now_us + 40000000;
  return made;
}

static void begin(enum cox_attempt_kind kind, const char *way) {
  cox_attempt_destroy(attempt);
  attempt = make_attempt(kind, way);
  fiber = ops->start(vm, attempt);
  assert_non_null(fiber);
}

static enum cox_fiber_state go(const struct cox_io_reply *reply) { return ops->resume(fiber, reply, &request); }

static enum cox_fiber_state answer(int status, const char *body) {
  return go(&(struct cox_io_reply){.http_status = status, .body = body, .body_len = strlen(body)});
}

static enum cox_fiber_state break_off(enum cox_class class_) { return go(&(struct cox_io_reply){.class_ = class_, .error = "it failed"}); }

static void end(enum cox_fiber_end why) { ops->finish(fiber, why, NULL); }

/* Runs one that asks nothing to its end. */
static void run_alone(const char *way) {
  begin(COX_ATTEMPT_REACH, way);
  assert_int_equal(go(NULL), COX_FIBER_DONE);
  end(COX_END_DONE);
}

/* A note of the driver's, from what it left behind; borrowed until the next look. */
static json_t *remembered(const char *key) {
  static json_t *memory;
  json_decref(memory);
  memory = cox_unpacked(attempt->result.memory);
  json_t *const value = json_object_get(memory, key);
  return value;
}

static const char *memory_text(const char *key) {
  const char *const text = json_string_value(remembered(key));
  return text != NULL ? text : "absent";
}

/* On a connection that is there already a call could overtake the one that was cut off and is not read yet. */
static void only_after_an_unanswered_call_a_change_has_a_connection_of_its_own(void **state) {
  (void)state;
  for (int is_in_doubt = 0; is_in_doubt < 2; is_in_doubt++) {
    cox_attempt_destroy(attempt);
    attempt = make_attempt(COX_ATTEMPT_REACH, "good");
    if (is_in_doubt) snprintf(attempt->result.unanswered.call, sizeof attempt->result.unanswered.call, "POST /api/v1/stop");
    fiber = ops->start(vm, attempt);
    assert_int_equal(go(NULL), COX_FIBER_WAITS);
    assert_false(request.is_fresh); /* a look changes nothing */
    assert_int_equal(answer(200, "{\"value\":1}"), COX_FIBER_WAITS);
    assert_true(request.is_mutating);
    assert_int_equal(request.is_fresh, is_in_doubt); /* although the look was answered */
    end(COX_END_CANCELLED);
  }
}

static void a_driver_asks_remembers_and_returns(void **state) {
  (void)state;
  begin(COX_ATTEMPT_REACH, "good");
  assert_int_equal(go(NULL), COX_FIBER_WAITS);
  assert_int_equal(request.kind, COX_IO_HTTP);
  assert_string_equal(request.method, "GET");
  assert_string_equal(request.url, "http://10.0.0.1:15000/state");
  assert_false(request.is_mutating);
  assert_int_equal(answer(200, "{\"value\":9007199254740993}"), COX_FIBER_WAITS);
  assert_string_equal(request.method, "POST");
  assert_string_equal(request.body, "{\"list\":[],\"number\":3}");
  assert_true(request.is_mutating);
  assert_string_equal(attempt->result.unanswered.call, "POST /go");
  assert_int_equal(answer(200, "{\"status\":\"OK\"}"), COX_FIBER_DONE);
  end(COX_END_DONE);
  assert_int_equal(attempt->result.class_, COX_CLASS_NONE);
  assert_string_equal(attempt->result.unanswered.call, "");
  assert_true(attempt->result.has_answered);
  assert_true(json_integer_value(remembered("seen")) == 9007199254740993);
}

static void an_answer_that_is_no_success_fails_with_its_class_and_words(void **state) {
  (void)state;
  const struct {
    int status;
    const char *body;
    enum cox_class class_;
    const char *words;
  } cases[] = {
      {409, "{\"detail\":\"currently in ServiceState.INFERENCE mode\"}", COX_CLASS_CONFLICT, "409: currently in"},
      {500, "{\"detail\":\"boom\"}", COX_CLASS_SERVER, "POST http://10.0.0.1:15000/go was answered 500: boom"},
      {502, "<html>\nbad gateway</html>", COX_CLASS_SERVER, "502: <html> bad gateway"},
      {422, "", COX_CLASS_CLIENT, "was answered 422"},
      {302, "", COX_CLASS_CLIENT, "was answered 302"},
      {200, "{\"status\":\"ERROR\",\"message\":\"no GPU\"}", COX_CLASS_SERVER, "status ERROR: no GPU"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    begin(COX_ATTEMPT_REACH, "posts");
    go(NULL);
    assert_int_equal(request.timeout_ms, 2500);
    assert_int_equal(answer(cases[i].status, cases[i].body), COX_FIBER_DONE);
    end(COX_END_DONE);
    assert_int_equal(attempt->result.class_, cases[i].class_);
    assert_non_null(strstr(attempt->result.error, cases[i].words));
    assert_string_equal(attempt->result.unanswered.call, cases[i].status == 502 ? "POST /go" : ""); /* it was answered, but by a gateway */
  }
  begin(COX_ATTEMPT_REACH, "accepts");
  go(NULL);
  assert_int_equal(answer(409, "not json"), COX_FIBER_DONE);
  end(COX_END_DONE);
  assert_int_equal(attempt->result.class_, COX_CLASS_NONE);
  assert_int_equal(json_integer_value(remembered("status")), 409);
}

static void a_call_without_an_answer_stays_open_unless_it_never_left(void **state) {
  (void)state;
  const enum cox_class classes[] = {COX_CLASS_TIMEOUT, COX_CLASS_RESET, COX_CLASS_BAD_ANSWER, COX_CLASS_REFUSED, COX_CLASS_RESOLVE};
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
    begin(COX_ATTEMPT_REACH, "posts");
    go(NULL);
    assert_int_equal(break_off(classes[i]), COX_FIBER_DONE);
    end(COX_END_DONE);
    assert_int_equal(attempt->result.class_, classes[i]);
    assert_string_equal(attempt->result.unanswered.call, i < 3 ? "POST /go" : "");
    assert_false(attempt->result.has_answered);
  }
  begin(COX_ATTEMPT_REACH, "stays_calm");
  go(NULL);
  break_off(COX_CLASS_TIMEOUT);
  end(COX_END_DONE);
  assert_string_equal(memory_text("outcome"), "timeout");
}

static void cancelling_closes_variables_and_keeps_what_is_known(void **state) {
  (void)state;
  begin(COX_ATTEMPT_REACH, "closes");
  go(NULL);
  end(COX_END_CANCELLED);
  assert_int_equal(attempt->result.class_, COX_CLASS_CANCELLED);
  assert_true(json_is_true(remembered("is_closed")));
  begin(COX_ATTEMPT_REACH, "posts");
  go(NULL);
  end(COX_END_CANCELLED);
  assert_string_equal(attempt->result.unanswered.call, "POST /go");
  begin(COX_ATTEMPT_REACH, "good");
  end(COX_END_CANCELLED); /* before its first step */
  assert_int_equal(attempt->result.class_, COX_CLASS_CANCELLED);
  begin(COX_ATTEMPT_REACH, "posts");
  go(NULL);
  end(COX_END_DEADLINE);
  assert_int_equal(attempt->result.class_, COX_CLASS_TIMEOUT);
  assert_non_null(strstr(attempt->result.error, "POST http://10.0.0.1:15000/go was not answered"));
}

static void a_runaway_driver_is_cut_and_others_of_its_machine_go_on(void **state) {
  (void)state;
  struct cox_attempt *const other = make_attempt(COX_ATTEMPT_REACH, "good");
  struct cox_fiber *const calm = ops->start(vm, other);
  struct cox_io_request calm_request;
  assert_int_equal(ops->resume(calm, NULL, &calm_request), COX_FIBER_WAITS);
  static const char *const ways[] = {"loops", "loops_over_pcall"};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    run_alone(ways[i]);
    assert_int_equal(attempt->result.class_, COX_CLASS_SCRIPT);
    assert_non_null(strstr(attempt->result.error, "longer than its time budget"));
    assert_non_null(strstr(attempt->result.error, "drivers/probe_me.lua:"));
  }
  begin(COX_ATTEMPT_REACH, "closes_for_ever");
  go(NULL);
  end(COX_END_CANCELLED);
  assert_int_equal(attempt->result.class_, COX_CLASS_CANCELLED);
  const struct cox_io_reply reply = {.http_status = 200, .body = "{\"value\":1}", .body_len = 11};
  assert_int_equal(ops->resume(calm, &reply, &calm_request), COX_FIBER_WAITS);
  assert_int_equal(ops->resume(calm, &reply, &calm_request), COX_FIBER_DONE);
  ops->finish(calm, COX_END_DONE, NULL);
  assert_int_equal(other->result.class_, COX_CLASS_NONE);
  cox_attempt_destroy(other);
}

static void a_driver_may_sleep_and_push_its_deadline_out_within_limits(void **state) {
  (void)state;
  begin(COX_ATTEMPT_REACH, "sleeps");
  const int64_t before_us = attempt->deadline_us;
  assert_int_equal(go(NULL), COX_FIBER_WAITS);
  assert_int_equal(request.kind, COX_IO_SLEEP);
  assert_int_equal(request.sleep_ms, 1500);
  assert_int_equal(go(&(struct cox_io_reply){0}), COX_FIBER_WAITS);
  assert_true(attempt->deadline_us > before_us);
  assert_true(attempt->deadline_us == attempt->deadline_max_us);
  assert_int_equal(go(&(struct cox_io_reply){0}), COX_FIBER_DONE);
  end(COX_END_DONE);
  assert_int_equal(attempt->result.class_, COX_CLASS_NONE);
}

static void what_a_driver_does_wrong_is_told_with_its_place(void **state) {
  (void)state;
  run_alone("fails");
  assert_int_equal(attempt->result.class_, COX_CLASS_CONFLICT);
  assert_string_equal(attempt->result.error, "in plain words");
  run_alone("breaks");
  assert_int_equal(attempt->result.class_, COX_CLASS_SCRIPT);
  assert_non_null(strstr(attempt->result.error, "drivers/probe_me.lua:"));
  run_alone("raises_a_table");
  assert_non_null(strstr(attempt->result.error, "no text but a table"));
  run_alone("looks");
  assert_int_equal(attempt->result.class_, COX_CLASS_SCRIPT);
  run_alone("keeps_functions");
  assert_null(attempt->result.memory);
  begin(COX_ATTEMPT_REACH, "base");
  go(NULL);
  assert_string_equal(request.url, "http://10.0.0.1:5000/health");
  assert_int_equal(answer(200, ""), COX_FIBER_DONE);
  end(COX_END_DONE);
  assert_non_null(strstr(attempt->result.error, "base must be"));
}

static void a_node_object_does_not_outlive_its_attempt(void **state) {
  (void)state;
  run_alone("keeps_the_node");
  assert_int_equal(attempt->result.class_, COX_CLASS_NONE);
  run_alone("keeps_the_node");
  assert_non_null(strstr(attempt->result.error, "an attempt that has ended"));
}

static void a_missing_driver_is_told_in_plain_words(void **state) {
  (void)state;
  cox_attempt_destroy(attempt);
  attempt = make_attempt(COX_ATTEMPT_REACH, "good");
  json_object_set_new(attempt->node, "kind", json_string("toaster"));
  fiber = ops->start(vm, attempt);
  assert_int_equal(go(NULL), COX_FIBER_DONE);
  end(COX_END_DONE);
  assert_non_null(strstr(attempt->result.error, "no driver for nodes of kind toaster"));
}

/* Seen with a proxy that gives up after a minute: the load that it had passed on went on. */
static void a_call_that_only_a_gateway_answered_may_still_be_under_way(void **state) {
  (void)state;
  for (int status = 500; status <= 505; status++) {
    begin(COX_ATTEMPT_REACH, "posts");
    assert_int_equal(go(NULL), COX_FIBER_WAITS);
    assert_int_equal(answer(status, "<html>"), COX_FIBER_DONE);
    end(COX_END_DONE);
    const bool is_of_gateway = status >= 502 && status <= 504;
    assert_int_equal(attempt->result.class_, COX_CLASS_SERVER);
    assert_string_equal(attempt->result.unanswered.call, is_of_gateway ? "POST /go" : "");
    assert_int_equal(attempt->result.has_answered, !is_of_gateway);
  }
}

/* What cannot be said in JSON would be no reason at all. */
static void a_failure_is_told_in_words_whatever_the_node_said(void **state) {
  (void)state;
  static char huge[200000];
  memset(huge, 'x', sizeof huge - 1);
  const char *const bodies[] = {"caf\xe9 \xff\xfe", "\xed\xa0\x80 \xe0\x80\x80 \xf0\x80\x80\x80", "\xf4\x90\x80\x80", "{\"detail\": 7}", "[", huge,
                                "{\"detail\":\"\\ud83d\\ude00\"}", ""};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    for (int way = 0; way < 2; way++) {
      begin(COX_ATTEMPT_REACH, way == 0 ? "posts" : "cites");
      assert_int_equal(go(NULL), COX_FIBER_WAITS);
      assert_int_equal(answer(way == 0 ? 500 : 200, bodies[i]), COX_FIBER_DONE);
      end(COX_END_DONE);
      json_t *const text = json_string(attempt->result.error);
      assert_non_null(text);
      json_decref(text);
      assert_true(strlen(attempt->result.error) < 1200);
      assert_non_null(strstr(attempt->result.error, way == 0 ? "POST http://10.0.0.1:15000/go was answered 500" : "it said"));
    }
  }
}

static void check_what_it_is_told(struct cox_mark sent, double told_age_s) {
  cox_attempt_destroy(attempt);
  attempt = make_attempt(COX_ATTEMPT_REACH, "tells");
  attempt->applied = cox_target_hold(attempt->target);
  snprintf(attempt->unanswered.call, sizeof attempt->unanswered.call, "POST /api/v1/stop");
  attempt->unanswered.mark = sent;
  attempt->result.unanswered = attempt->unanswered;
  fiber = ops->start(vm, attempt);
  assert_int_equal(go(NULL), COX_FIBER_DONE);
  end(COX_END_DONE);
  json_t *const expected = json_pack("{s{ss, ss, ss, ss, ss, sf, ss}}", "told", "id", "node1", "host", "10.0.0.1", "poc",
                                     "http://10.0.0.1:15000", "applied", "tells", "unanswered", "POST /api/v1/stop", "age", told_age_s, "reason",
                                     "because");
  json_t *const memory = cox_unpacked(attempt->result.memory);
  assert_true(json_equal(memory, expected));
  json_decref(memory);
  json_decref(expected);
}

static void a_driver_sees_its_node_and_what_was_left_open(void **state) {
  (void)state;
  now_us += 1500000;
  check_what_it_is_told((struct cox_mark){.era = 7, .at_us = 1000000}, 1.5);
}

/* Seen in simulated lives: a driver waited two hours for a stop to be over, another one took it for over at once. */
static void the_age_of_what_was_left_open_does_not_follow_the_wall_clock(void **state) {
  (void)state;
  for (int way = -1; way <= 1; way += 2) {
    begin(COX_ATTEMPT_REACH, "good");
    go(NULL);
    answer(200, "{\"value\":1}");
    end(COX_END_CANCELLED); /* with POST /go open */
    const struct cox_mark sent = attempt->result.unanswered.mark;
    now_us += 2000000;
    set_by_ms += way * 7200 * 1000;
    check_what_it_is_told(sent, 2);
  }
}

static void of_a_call_from_before_the_machine_started_only_that_is_known(void **state) {
  (void)state;
  check_what_it_is_told((struct cox_mark){.era = 6, .at_us = 999999}, 0.6);
  check_what_it_is_told((struct cox_mark){.era = 7, .at_us = 9000000}, 0.6); /* never was */
  check_what_it_is_told((struct cox_mark){0}, 0.6);                         /* of an older store */
}

static const char *outcome_of(const char *way) {
  run_alone(way);
  return memory_text("since");
}

static void a_mark_tells_how_long_ago_it_was_in_another_attempt_too(void **state) {
  (void)state;
  run_alone("marks");
  json_t *const memory = json_incref(attempt->result.memory);
  now_us += 2500000;
  set_by_ms = INT64_C(-86400000);
  for (int is_other = 0; is_other < 2; is_other++) {
    cox_attempt_destroy(attempt);
    attempt = make_attempt(COX_ATTEMPT_REACH, "looks_at_marks");
    attempt->memory = json_incref(memory);
    if (is_other) era = (struct cox_clock_era){.id = 8, .began_us = 3000000};
    fiber = ops->start(vm, attempt);
    assert_int_equal(go(NULL), COX_FIBER_DONE);
    end(COX_END_DONE);
    assert_string_equal(memory_text("since"), is_other ? "0.5" : "2.5");
  }
  json_decref(memory);
  assert_string_equal(outcome_of("looks_at_old_notes"), "0.5 0.5 0.5 0.5");
  begin(COX_ATTEMPT_REACH, "looks_at_nothing");
  assert_int_equal(go(NULL), COX_FIBER_DONE);
  end(COX_END_DONE);
  assert_non_null(strstr(attempt->result.error, "a mark of time.mark expected"));
}

static void a_probe_looks_and_says_what_it_saw(void **state) {
  (void)state;
  begin(COX_ATTEMPT_PROBE, NULL);
  go(NULL);
  assert_int_equal(answer(200, "{\"returns\":{\"status\":\"POC\",\"poc\":\"GENERATING\",\"ready\":false,\"model\":\"m\"}}"), COX_FIBER_DONE);
  end(COX_END_DONE);
  assert_int_equal(attempt->result.class_, COX_CLASS_NONE);
  assert_int_equal(attempt->result.seen, COX_STATUS_POC);
  assert_int_equal(attempt->result.seen_poc, COX_POC_GENERATING);
  assert_string_equal(attempt->result.seen_model, "m");
  static const char *const wrong[] = {"{\"posts\":true}", "{\"returns\":{\"status\":\"SLEEPY\"}}", "{\"returns\":3}", "{}"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    begin(COX_ATTEMPT_PROBE, NULL);
    go(NULL);
    assert_int_equal(answer(200, wrong[i]), COX_FIBER_DONE);
    end(COX_END_DONE);
    assert_int_equal(attempt->result.class_, COX_CLASS_SCRIPT);
  }
}

static void a_job_commands_sleeps_and_ends(void **state) {
  (void)state;
  struct cox_err err = {0};
  fiber = ops->start_job(vm, "speaks", &err);
  assert_non_null(fiber);
  assert_int_equal(go(NULL), COX_FIBER_WAITS);
  assert_int_equal(request.kind, COX_IO_COMMAND);
  assert_string_equal(request.command, "new_block");
  assert_int_equal(json_integer_value(json_object_get(request.args, "height")), 1);
  json_t *const told = json_pack("{ss, s{si}}", "status", "done", "result", "seconds", 7);
  assert_int_equal(go(&(struct cox_io_reply){.answer = told}), COX_FIBER_WAITS);
  json_decref(told);
  assert_int_equal(request.sleep_ms, 7000);
  assert_int_equal(go(&(struct cox_io_reply){0}), COX_FIBER_DONE);
  ops->finish(fiber, COX_END_DONE, &err);
  assert_int_equal(err.code, COX_ESCRIPT);
  assert_string_equal(err.text, "job speaks of feed none is over");
  fiber = ops->start_job(vm, "returns", &err);
  assert_int_equal(go(NULL), COX_FIBER_DONE);
  ops->finish(fiber, COX_END_DONE, &err);
  assert_int_equal(err.code, 0);
  assert_null(ops->start_job(vm, "nobody", &err));
  assert_non_null(strstr(err.text, "there is no job nobody"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(only_after_an_unanswered_call_a_change_has_a_connection_of_its_own),
      TEST(a_driver_asks_remembers_and_returns),
      TEST(an_answer_that_is_no_success_fails_with_its_class_and_words),
      TEST(a_call_without_an_answer_stays_open_unless_it_never_left),
      TEST(cancelling_closes_variables_and_keeps_what_is_known),
      TEST(a_runaway_driver_is_cut_and_others_of_its_machine_go_on),
      TEST(a_driver_may_sleep_and_push_its_deadline_out_within_limits),
      TEST(what_a_driver_does_wrong_is_told_with_its_place),
      TEST(a_node_object_does_not_outlive_its_attempt),
      TEST(a_missing_driver_is_told_in_plain_words),
      TEST(a_driver_sees_its_node_and_what_was_left_open),
      TEST(a_call_that_only_a_gateway_answered_may_still_be_under_way),
      TEST(a_failure_is_told_in_words_whatever_the_node_said),
      TEST(the_age_of_what_was_left_open_does_not_follow_the_wall_clock),
      TEST(of_a_call_from_before_the_machine_started_only_that_is_known),
      TEST(a_mark_tells_how_long_ago_it_was_in_another_attempt_too),
      TEST(a_probe_looks_and_says_what_it_saw),
      TEST(a_job_commands_sleeps_and_ends),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
