/* The console's verbs that ask others: commands with the name of who asks, and the scripts. One thread drives all: whoever waits
 * for an answer lets the broker run, or the scripts answer.                                                                    */
#include "fake_core.h"

#include <string.h>

#include "console/control_verbs.h"
#include "fake_scripts.h"

static struct fake *f;
static struct fake_scripts scripts;
static struct cox_buf out;
static int pauses, pauses_max; /* more: Ctrl-C */

static json_t *commands(void *ctx) {
  (void)ctx;
  return json_pack("[{ss}, {ss}]", "name", "skip", "name", "admin");
}

static bool pause_verb(void *arg, int64_t ms) {
  (void)arg;
  (void)ms;
  if (++pauses > pauses_max) return false;
  fake_run(f);
  if (pauses == 3) fake_scripts_let_go(&scripts);
  return true;
}

static int setup(void **state) {
  (void)state;
  f = fake_create(-1);
  fake_register(f, "node1", 5000);
  fake_scripts_init(&scripts);
  pauses_max = 1000;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_scripts_fini(&scripts);
  fake_destroy(f);
  cox_buf_fini(&out);
  return 0;
}

static enum cox_verb_outcome say_with(const char *line, const struct cox_scripts *there) {
  static const struct cox_console_caller ann = {.uid = 1000, .name = "ann"};
  const struct cox_verb_call call = {.broker = f->broker, .commands = commands, .caller = &ann, .scripts = there, .out = &out, .pause = pause_verb};
  const char *about;
  pauses = 0;
  cox_buf_clear(&out);
  cox_buf_add(&out, "", 0);
  return cox_verbs_run(&call, line, &about);
}

static enum cox_verb_outcome say(const char *line) { return say_with(line, &scripts.scripts); }

static void expect(const char *line, enum cox_verb_outcome outcome, const char *text) {
  assert_int_equal(say(line), outcome);
  assert_string_equal(out.data, text);
}

static void the_journal_knows_who_commanded_at_the_console(void **state) {
  (void)state;
  expect("command admin node_id=node1 enabled=false", COX_VERB_DONE, "{\n  \"value\": 0\n}");
  json_t *const told = cox_broker_events_json(f->broker, 0, 100, NULL);
  size_t i, found = 0;
  json_t *event;
  json_array_foreach(json_object_get(told, "events"), i, event) {
    const char *const caller = json_string_value(json_object_get(event, "caller"));
    found += caller != NULL && strcmp(caller, "console ann") == 0;
  }
  assert_int_equal(found, 1);
  json_decref(told);
}

static void refused_commands_are_told(void **state) {
  (void)state;
  expect("command skip", COX_VERB_DONE, "skipped: not now");
  expect("command nonsense", COX_VERB_FAILED, "there is no command nonsense: `commands` lists them");
  expect("command skp x=1", COX_VERB_FAILED, "there is no command skp: did you mean skip?");
  pauses_max = 0;
  expect("command admin node_id=node1", COX_VERB_FAILED,
         "admin was asked for and not answered before this was cancelled; it may still be carried out");
  pauses_max = 1000;
  fake_run(f); /* the late answer does no harm */
}

static void a_reload_is_done_in_the_name_of_who_asks(void **state) {
  (void)state;
  expect("reload", COX_VERB_DONE, "generation 2 is live");
  assert_string_equal(scripts.caller, "console ann");
  assert_string_equal(scripts.what, "reload");
  expect("rollback", COX_VERB_DONE, "generation 2 is live");
  assert_string_equal(scripts.what, "rollback");
}

static void broken_scripts_are_told_with_file_and_line(void **state) {
  (void)state;
  fake_scripts_refuse(&scripts);
  expect("reload", COX_VERB_FAILED, "/etc/own/policy/phases.lua:3: unexpected symbol near 'x'\nthere is no driver\n"
                                    "the scripts were not loaded: 2 faults; the live set goes on");
  fake_scripts_answer(&scripts, COX_SCRIPTS_FAILED, NULL, COX_EREFUSED, "there is nothing to go back to");
  expect("rollback", COX_VERB_FAILED, "there is nothing to go back to");
}

static void a_reload_that_takes_its_time_is_waited_for_until_ctrl_c(void **state) {
  (void)state;
  fake_scripts_hold(&scripts);
  expect("reload", COX_VERB_DONE, "generation 2 is live");
  assert_int_equal(pauses, 3);
  fake_scripts_hold(&scripts);
  pauses_max = 2;
  expect("plan /tmp/mine", COX_VERB_FAILED, "a plan was asked for and not answered before this was cancelled; it may still be carried out");
  fake_scripts_let_go(&scripts); /* the late answer does no harm */
}

static void a_plan_says_that_nothing_was_done(void **state) {
  (void)state;
  fake_scripts_answer(&scripts, COX_SCRIPTS_DONE, json_pack("{s[{ss, s{ss}, s{ss}, ss}]}", "changes", "node_id", "node1", "from", "status",
                                                            "INFERENCE", "to", "status", "STOPPED", "reason", "a spare"), 0, "");
  expect("plan", COX_VERB_DONE, "NODE   FROM       TO       REASON\nnode1  INFERENCE  STOPPED  a spare\n\n"
                                "1 node would get another target; this was a plan: nothing was changed and no node was called");
  assert_string_equal(scripts.dir, "");
  assert_int_equal(say("plan /tmp/mine"), COX_VERB_DONE);
  assert_string_equal(scripts.dir, "/tmp/mine");
  assert_int_equal(say("plan mine"), COX_VERB_FAILED);
  assert_non_null(strstr(out.data, "absolute path"));
  assert_int_equal(scripts.asked, 2);
}

static void scripts_are_shown_with_what_they_shadow(void **state) {
  (void)state;
  assert_int_equal(say("scripts"), COX_VERB_DONE);
  assert_non_null(strstr(out.data, "generation  2, hash 222222222222"));
  assert_non_null(strstr(out.data, "policy/phases.lua   /etc/own      /usr/scripts"));
}

static void without_that_room_the_verbs_say_so(void **state) {
  (void)state;
  static const char *const lines[] = {"reload", "rollback", "plan", "scripts"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    assert_int_equal(say_with(lines[i], NULL), COX_VERB_FAILED);
    assert_non_null(strstr(out.data, "does not load scripts while it runs"));
  }
}

static void a_name_with_an_equals_sign_is_still_lua(void **state) {
  (void)state;
  assert_int_equal(say("plan = 5"), COX_VERB_NONE);
  assert_int_equal(say("plan / 2"), COX_VERB_NONE);
  assert_int_equal(say("scripts.x"), COX_VERB_NONE);
  assert_int_equal(say("reload()"), COX_VERB_NONE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(the_journal_knows_who_commanded_at_the_console),
      TEST(refused_commands_are_told),
      TEST(a_reload_is_done_in_the_name_of_who_asks),
      TEST(broken_scripts_are_told_with_file_and_line),
      TEST(a_reload_that_takes_its_time_is_waited_for_until_ctrl_c),
      TEST(a_plan_says_that_nothing_was_done),
      TEST(scripts_are_shown_with_what_they_shadow),
      TEST(without_that_room_the_verbs_say_so),
      TEST(a_name_with_an_equals_sign_is_still_lua),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
