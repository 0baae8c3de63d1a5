/* What is under way while the scripts are exchanged: attempts finish with the driver they began with, and jobs are begun anew. */
#include "reload_rig.h"

#include <string.h>

enum { FIBERS = 500 };

static struct reload_rig rig;
static const struct cox_fiber_ops *ops;
static void *vm;

#define DRIVER(version)                                                                                              \
  "return {\n  help = \"A spec's.\",\n  deadline = { INFERENCE = 10 },\n  reach = { INFERENCE = function(node)\n"       \
  "    node:get(\"/state\")\n    node:post(\"/" version "\")\n  end },\n"                                               \
  "  probe = function() return { status = \"INFERENCE\", ready = true } end,\n}\n"

static int setup(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  reload_rig_start(&rig);
  reload_rig_write(&rig, "drivers/versioned.lua", DRIVER("first"));
  struct cox_err err;
  ops = cox_script_fiber_ops(rig.script);
  if (reload_rig_ask(&rig, RIG_RELOAD, NULL) != COX_SCRIPTS_DONE) return -1;
  vm = ops->vm_create(ops->ctx, &err);
  return vm != NULL ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  ops->vm_destroy(vm);
  reload_rig_stop(&rig);
  return 0;
}

struct flight {
  struct cox_attempt *attempt;
  struct cox_fiber *fiber;
  struct cox_io_request request;
};

static void begin(struct flight *flight) {
  flight->attempt = cox_attempt_create(COX_ATTEMPT_REACH);
  flight->attempt->node = fake_node("node1", 5000);
  json_object_set_new(flight->attempt->node, "kind", json_string("versioned"));
  flight->attempt->target = cox_target_create(json_pack("{ss}", "status", "INFERENCE"), "because", NULL);
  flight->attempt->deadline_us = INT64_MAX;
  flight->fiber = ops->start(vm, flight->attempt);
  assert_int_equal(ops->resume(flight->fiber, NULL, &flight->request), COX_FIBER_WAITS);
  assert_string_equal(flight->request.method, "GET");
}

static enum cox_fiber_state answer(struct flight *flight) {
  return ops->resume(flight->fiber, &(struct cox_io_reply){.http_status = 200, .body = "{}", .body_len = 2}, &flight->request);
}

static void end(struct flight *flight, enum cox_fiber_end why) {
  ops->finish(flight->fiber, why, NULL);
  cox_attempt_destroy(flight->attempt);
}

/* Goes on to the end; the driver's version is in its second call. */
static void finish(struct flight *flight, const char *version) {
  assert_int_equal(answer(flight), COX_FIBER_WAITS);
  assert_string_equal(flight->request.method, "POST");
  assert_non_null(strstr(flight->request.url, version));
  assert_int_equal(answer(flight), COX_FIBER_DONE);
  assert_int_equal(flight->attempt->result.class_, COX_CLASS_NONE);
  end(flight, COX_END_DONE);
}

static void load(const char *path, const char *text) {
  reload_rig_write(&rig, path, text);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
}

static void attempts_in_flight_finish_with_the_driver_they_began_with(void **state) {
  (void)state;
  static struct flight flights[FIBERS];
  struct flight later;
  for (int i = 0; i < FIBERS; i++) begin(&flights[i]);
  load("drivers/versioned.lua", DRIVER("second"));
  begin(&later);
  finish(&later, "/second");
  assert_int_equal(cox_script_alive(rig.script), 2);
  load("policy/note.lua", "return {}");
  assert_int_equal(cox_script_alive(rig.script), 3); /* the first one is held by its attempts alone */
  for (int i = 0; i < FIBERS; i++) finish(&flights[i], "/first");
  assert_int_equal(cox_script_alive(rig.script), 2);
}

static void a_reload_that_leaves_drivers_alone_leaves_their_machines_alone(void **state) {
  (void)state;
  struct flight flight, later;
  begin(&flight);
  load("policy/note.lua", "return {}");
  begin(&later);
  struct cox_attempt *const attempt = ops->outdated(vm);
  assert_null(attempt);
  finish(&later, "/first");
  finish(&flight, "/first");
}

static void beyond_eight_sets_of_drivers_the_oldest_attempts_are_ended(void **state) {
  (void)state;
  struct flight flights[9];
  for (int i = 0; i < 9; i++) {
    assert_null(ops->outdated(vm));
    char text[512];
    snprintf(text, sizeof text, "%s-- %d\n", DRIVER("many"), i);
    load("drivers/versioned.lua", text);
    begin(&flights[i]);
  }
  assert_ptr_equal(ops->outdated(vm), flights[0].attempt);
  end(&flights[0], COX_END_CANCELLED);
  assert_null(ops->outdated(vm));
  for (int i = 1; i < 9; i++) finish(&flights[i], "/many");
}

static void an_old_driver_that_comes_back_finds_its_machine(void **state) {
  (void)state;
  struct flight flight, later;
  begin(&flight);
  load("drivers/versioned.lua", DRIVER("second"));
  begin(&later);
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  struct flight again;
  begin(&again);
  finish(&again, "/first");
  finish(&later, "/second");
  finish(&flight, "/first");
  assert_int_equal(cox_script_alive(rig.script), 1);
}

/* ---- jobs ---- */

#define JOB(step)                                                                                                     \
  "local count = 0\nreturn { help = \"Counts.\", save = function() return count end, restore = function(old) count = old end,\n"  \
  "  run = function() while true do count = count + " step "; time.sleep(count) end end }\n"

static struct cox_fiber *begin_job(json_int_t slept_s) {
  struct cox_err err;
  struct cox_io_request request;
  struct cox_fiber *const fiber = ops->start_job(vm, "count", &err);
  assert_non_null(fiber);
  assert_int_equal(ops->resume(fiber, NULL, &request), COX_FIBER_WAITS);
  assert_int_equal(request.sleep_ms, slept_s * 1000);
  return fiber;
}

static void a_job_begins_anew_with_what_the_old_one_saved(void **state) {
  (void)state;
  struct cox_err err;
  load("jobs/count.lua", JOB("1"));
  struct cox_fiber *fiber = begin_job(1);
  load("jobs/count.lua", JOB("10"));
  ops->finish(fiber, COX_END_CANCELLED, &err);
  fiber = begin_job(11);
  ops->finish(fiber, COX_END_CANCELLED, &err);
  load("jobs/count.lua", "return { help = \"Counts.\", run = function() time.sleep(5) end }");
  fiber = begin_job(5); /* has no use for it */
  ops->finish(fiber, COX_END_CANCELLED, &err);
}

static void a_job_that_cannot_restore_begins_without(void **state) {
  (void)state;
  struct cox_err err = {0};
  load("jobs/count.lua", JOB("1"));
  struct cox_fiber *const fiber = begin_job(1);
  load("jobs/count.lua",
       "return { help = \"Counts.\", save = function() end, restore = function() error(\"too old\") end, run = function() time.sleep(7) end }");
  ops->finish(fiber, COX_END_CANCELLED, &err);
  ops->finish(begin_job(7), COX_END_CANCELLED, &err);
}

static void half_a_pair_of_save_and_restore_is_a_fault(void **state) {
  (void)state;
  reload_rig_write(&rig, "jobs/count.lua", "return { help = \"Counts.\", save = function() end, run = function() end }");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_non_null(strstr(rig.err.text, "restore must be a function"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(attempts_in_flight_finish_with_the_driver_they_began_with),
      TEST(a_reload_that_leaves_drivers_alone_leaves_their_machines_alone),
      TEST(beyond_eight_sets_of_drivers_the_oldest_attempts_are_ended),
      TEST(an_old_driver_that_comes_back_finds_its_machine),
      TEST(a_job_begins_anew_with_what_the_old_one_saved),
      TEST(a_job_that_cannot_restore_begins_without),
      TEST(half_a_pair_of_save_and_restore_is_a_fault),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
