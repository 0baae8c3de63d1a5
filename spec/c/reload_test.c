/* Exchanging the scripts while the broker runs: what a reload, a rollback and a plan do, and what they leave alone. */
#include "reload_rig.h"

#include <string.h>

static struct reload_rig rig;

static int setup(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  reload_rig_start(&rig);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  reload_rig_stop(&rig);
  return 0;
}

#define PHASES "policy/phases.lua"
#define ASK_SERVE "inference_up_all = { status = \"INFERENCE\" },"
#define SERVE "if ask.status == \"INFERENCE\" then return serve(node, \"inference_up_all\") end"
#define STOP_ONE                                                                                                      \
  "if ask.status == \"INFERENCE\" and node.id == \"node2\" then return { status = \"STOPPED\" }, \"tried out\" end\n" \
  "  " SERVE

static void a_reload_changes_exactly_the_targets_that_the_plan_named(void **state) {
  (void)state;
  assert_string_equal(fake_state(rig.fake, "node2", "intended_status"), "INFERENCE");
  reload_rig_edit(&rig, PHASES, SERVE, STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_PLAN, NULL), COX_SCRIPTS_DONE);
  json_t *const change = json_array_get(json_object_get(rig.result, "changes"), 0);
  assert_int_equal(json_array_size(json_object_get(rig.result, "changes")), 1);
  assert_string_equal(json_string_value(json_object_get(change, "node_id")), "node2");
  assert_string_equal(json_string_value(json_object_get(json_object_get(change, "from"), "status")), "INFERENCE");
  assert_string_equal(json_string_value(json_object_get(json_object_get(change, "to"), "status")), "STOPPED");
  assert_string_equal(json_string_value(json_object_get(change, "reason")), "tried out");
  assert_string_equal(fake_state(rig.fake, "node2", "intended_status"), "INFERENCE");
  assert_int_equal(reload_rig_number(&rig), 1);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(json_integer_value(json_object_get(rig.result, "generation")), 2);
  assert_string_equal(fake_state(rig.fake, "node1", "intended_status"), "INFERENCE");
  assert_string_equal(fake_state(rig.fake, "node2", "intended_status"), "STOPPED");
  assert_string_equal(fake_state(rig.fake, "node3", "intended_status"), "INFERENCE");
  assert_int_equal(rig.exchanges, 1);
}

static void a_rollback_brings_the_targets_back_and_remembers_what_it_left(void **state) {
  (void)state;
  reload_rig_edit(&rig, PHASES, SERVE, STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_true(json_is_true(json_object_get(reload_rig_show(&rig), "can_roll_back")));
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  assert_string_equal(fake_state(rig.fake, "node2", "intended_status"), "INFERENCE");
  assert_int_equal(reload_rig_number(&rig), 1);
  assert_non_null(strstr(json_string_value(json_object_get(json_object_get(reload_rig_show(&rig), "rejected"), "reason")), "a spec"));
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_FAILED);
  assert_non_null(strstr(rig.err.text, "no scripts before"));
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_string_equal(fake_state(rig.fake, "node2", "intended_status"), "STOPPED");
  assert_int_equal(reload_rig_number(&rig), 3);
  assert_null(json_object_get(reload_rig_show(&rig), "rejected"));
}

static void the_same_content_is_unchanged(void **state) {
  (void)state;
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_UNCHANGED);
  assert_string_equal(json_string_value(json_object_get(rig.result, "status")), "unchanged");
  assert_int_equal(json_integer_value(json_object_get(rig.result, "generation")), 1);
  assert_int_equal(rig.exchanges, 0);
}

static void a_syntax_error_is_refused_with_file_and_line(void **state) {
  (void)state;
  reload_rig_edit(&rig, PHASES, ASK_SERVE, ASK_SERVE "\n  this is no Lua");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  const json_t *const fault = json_array_get(rig.result, 0);
  assert_non_null(strstr(json_string_value(json_object_get(fault, "file")), PHASES));
  assert_true(json_integer_value(json_object_get(fault, "line")) > 5);
  assert_non_null(strstr(rig.err.text, "phases.lua:"));
  assert_int_equal(reload_rig_number(&rig), 1);
  assert_int_equal(reload_rig_block(&rig, 51, 0, 0), COX_ANSWER_DONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED); /* asked for: tried again */
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(a_reload_changes_exactly_the_targets_that_the_plan_named),
      TEST(a_rollback_brings_the_targets_back_and_remembers_what_it_left),
      TEST(the_same_content_is_unchanged),
      TEST(a_syntax_error_is_refused_with_file_and_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
