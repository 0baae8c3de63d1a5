/* Exchanging the scripts while the broker runs: what a reload, a rollback and a plan do, and what they leave alone. */
#include "reload_rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

#define ASK_SERVE "inference_up_all = { status = \"INFERENCE\" },"

static void a_reload_changes_exactly_the_targets_that_the_plan_named(void **state) {
  (void)state;
  assert_string_equal(fake_state(rig.fake, "node2", "intended_status"), "INFERENCE");
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
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
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
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
  reload_rig_edit(&rig, RIG_PHASES, ASK_SERVE, ASK_SERVE "\n  this is no Lua");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  const json_t *const fault = json_array_get(rig.result, 0);
  assert_non_null(strstr(json_string_value(json_object_get(fault, "file")), RIG_PHASES));
  assert_true(json_integer_value(json_object_get(fault, "line")) > 5);
  assert_non_null(strstr(rig.err.text, "phases.lua:"));
  assert_int_equal(reload_rig_number(&rig), 1);
  assert_int_equal(reload_rig_block(&rig, 51, 0, 0), COX_ANSWER_DONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED); /* asked for: tried again */
}


/* ---- what is tried before the flip ---- */

static void a_plan_of_another_folder_changes_nothing(void **state) {
  (void)state;
  char text[256], other[80];
  snprintf(other, sizeof other, "%s/other", rig.folder); /* not read with the rest: its scripts are below no known folder */
  snprintf(text, sizeof text, "mkdir %s && cp -r scripts/. %s", other, other);
  assert_int_equal(system(text), 0);
  reload_rig_edit(&rig, "other/" RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_PLAN, other), COX_SCRIPTS_DONE);
  assert_int_equal(json_array_size(json_object_get(rig.result, "changes")), 1);
  assert_int_equal(reload_rig_ask(&rig, RIG_PLAN, "/nowhere"), COX_SCRIPTS_REFUSED);
  assert_non_null(strstr(rig.err.text, "/nowhere"));
  assert_int_equal(reload_rig_number(&rig), 1);
  assert_null(json_object_get(reload_rig_show(&rig), "rejected"));
}

static void a_failure_in_a_window_to_come_is_found_before_it_comes(void **state) {
  (void)state;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, "if world.epoch ~= 7 and world.command == \"init_validate\" then error(\"not thought of\") end\n  " RIG_SERVE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_non_null(strstr(rig.err.text, "init_validate"));
  assert_non_null(strstr(rig.err.text, "not thought of"));
  assert_non_null(strstr(json_string_value(json_object_get(json_array_get(rig.result, 0), "file")), RIG_PHASES));
  assert_true(json_integer_value(json_object_get(json_array_get(rig.result, 0), "line")) > 0);
  assert_int_equal(reload_rig_number(&rig), 1);
}

static void a_refusal_is_shown_until_the_folders_hold_something_else(void **state) {
  (void)state;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, "= broken");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_non_null(json_object_get(reload_rig_show(&rig), "rejected"));
  reload_rig_edit(&rig, RIG_PHASES, "= broken", RIG_STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_null(json_object_get(reload_rig_show(&rig), "rejected"));
}

static void every_fault_is_named_and_the_old_set_goes_on(void **state) {
  (void)state;
  reload_rig_write(&rig, "commands/start_poc.lua", "return {");
  reload_rig_write(&rig, "jobs/bad.lua", "return { help = 'A job.', run = 5 }");
  reload_rig_write(&rig, "drivers/bad.lua", "return { help = 5 }");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_true(json_array_size(rig.result) >= 3);
  assert_non_null(strstr(rig.err.text, "more faults"));
  assert_int_equal(fake_send(rig.fake, "inference_up_all", json_object()), COX_ANSWER_DONE);
  const json_t *const rejected = json_object_get(reload_rig_show(&rig), "rejected");
  assert_true(json_equal(json_object_get(rejected, "faults"), rig.result));
}

static void names_and_texts_that_are_no_text_are_faults(void **state) {
  (void)state;
  reload_rig_write(&rig, "policy/n\xff.lua", "return {}");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_int_equal(json_array_size(rig.result), 1);
  assert_non_null(strstr(json_string_value(json_object_get(json_array_get(rig.result, 0), "message")), "name is not text"));
  assert_int_equal(reload_rig_number(&rig), 1);
}

/* ---- state ---- */

#define COUNTER_WITH(restore)                                                                                      \
  "local calls = 0\nreturn { next = function() calls = calls + 1; return calls end,\n"                           \
  "  save = function() return { calls = calls } end,\n  restore = function(old) " restore " end }\n"

static json_int_t counted(void) {
  assert_int_equal(fake_send(rig.fake, "count", json_object()), COX_ANSWER_DONE);
  return json_integer_value(json_object_get(rig.fake->last.result, "calls"));
}

static void load_counter(const char *text) {
  reload_rig_write(&rig, "policy/counter.lua", text);
  reload_rig_write(&rig, "commands/count.lua", "return { help = \"Counts.\", run = function() return { calls = require(\"policy.counter\").next() } end }");
}

static void what_policy_saves_outlives_a_reload_and_a_rollback(void **state) {
  (void)state;
  load_counter(COUNTER_WITH("calls = old.calls"));
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(counted(), 1);
  assert_int_equal(counted(), 2);
  load_counter(COUNTER_WITH("calls = old.calls + 100"));
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(counted(), 103);
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(counted(), 104);
}

static void a_state_that_cannot_be_restored_refuses_the_new_scripts(void **state) {
  (void)state;
  load_counter(COUNTER_WITH("calls = old.calls"));
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(counted(), 1);
  load_counter(COUNTER_WITH("error(\"an older kind of state\")"));
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_non_null(strstr(rig.err.text, "an older kind of state"));
  assert_int_equal(reload_rig_number(&rig), 2);
  assert_int_equal(counted(), 2);
}

/* ---- going back by itself ---- */

static bool is_first_again(struct reload_rig *of) { return json_object_get(reload_rig_show(of), "rejected") != NULL && reload_rig_number(of) == 1; }

/* A phase command that fails only at heights that no rehearsal knows. */
#define FAIL_LATE "if world.height and world.height >= 60 and world.height < 90 then local t = nil; t.x = 1 end\n  " RIG_SERVE

static void three_failures_of_a_phase_command_go_back_at_any_age(void **state) {
  (void)state;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, FAIL_LATE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  for (int height = 51; height <= 60; height++) assert_int_equal(reload_rig_block(&rig, height, 0, 0), COX_ANSWER_DONE);
  for (int i = 0; i < 2; i++) assert_int_equal(fake_send(rig.fake, "inference_up_all", json_object()), COX_ANSWER_ERROR);
  assert_int_equal(fake_send(rig.fake, "start_poc", json_object()), COX_ANSWER_SKIPPED); /* another command does not count */
  assert_int_equal(reload_rig_number(&rig), 2);
  assert_int_equal(fake_send(rig.fake, "inference_up_all", json_object()), COX_ANSWER_ERROR);
  reload_rig_until(&rig, is_first_again, "the rollback");
  assert_int_equal(fake_send(rig.fake, "inference_up_all", json_object()), COX_ANSWER_DONE);
  const char *const reason = json_string_value(json_object_get(json_object_get(reload_rig_show(&rig), "rejected"), "reason"));
  assert_non_null(strstr(reason, "inference_up_all failed 3 times in a row"));
  assert_non_null(strstr(reason, "phases.lua"));
}

static void a_bad_start_goes_back(void **state) {
  (void)state;
  reload_rig_edit(&rig, "commands/new_block.lua", "local old = broker.world or {}", "local old = nil; old.x = 1");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  for (int height = 51; height <= 53; height++) assert_int_equal(reload_rig_block(&rig, height, 0, 0), COX_ANSWER_ERROR);
  reload_rig_until(&rig, is_first_again, "the rollback");
  assert_int_equal(reload_rig_block(&rig, 54, 0, 0), COX_ANSWER_DONE);
}

static void a_refusal_in_words_is_no_failure(void **state) {
  (void)state;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(fake_send(rig.fake, "set_admin_state", json_pack("{ss, sb}", "node_id", "gone", "enabled", 1)), COX_ANSWER_ERROR);
  }
  assert_int_equal(reload_rig_ask(&rig, RIG_PLAN, NULL), COX_SCRIPTS_DONE); /* a rollback would have come before it */
  assert_int_equal(reload_rig_number(&rig), 2);
}

static void where_there_is_nothing_to_go_back_to_it_goes_on(void **state) {
  (void)state;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, FAIL_LATE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(reload_rig_number(&rig), 1);
  assert_false(json_is_true(json_object_get(reload_rig_show(&rig), "can_roll_back")));
}

/* ---- what is kept ---- */

static void only_what_is_held_stays(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++) {
    char text[64];
    snprintf(text, sizeof text, "-- %d\nreturn {}\n", i);
    reload_rig_write(&rig, "policy/note.lua", text);
    assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
    assert_int_equal(cox_script_alive(rig.script), 2); /* the live one and the one before */
    assert_int_equal(reload_rig_ask(&rig, RIG_PLAN, NULL), COX_SCRIPTS_DONE);
    assert_int_equal(cox_script_alive(rig.script), 2);
  }
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(cox_script_alive(rig.script), 1);
}

static void the_same_content_again_does_not_push_out_the_one_before(void **state) {
  (void)state;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  reload_rig_write(&rig, "jobs/bad.lua", "return 1");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  char path[128];
  snprintf(path, sizeof path, "%s/jobs/bad.lua", rig.folder);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE); /* not what was tried last */
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  assert_string_equal(fake_state(rig.fake, "node2", "intended_status"), "INFERENCE");
}

static void the_difference_shows_both_texts(void **state) {
  (void)state;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  reload_rig_write(&rig, "policy/note.lua", "return {}\n");
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  json_t *const difference = rig.scripts->difference(rig.scripts->ctx), *const files = json_object_get(difference, "files");
  assert_int_equal(json_object_size(files), 2);
  assert_non_null(strstr(json_string_value(json_object_get(json_object_get(files, RIG_PHASES), "live")), "tried out"));
  assert_null(strstr(json_string_value(json_object_get(json_object_get(files, RIG_PHASES), "previous")), "tried out"));
  assert_null(json_object_get(json_object_get(files, "policy/note.lua"), "previous"));
  json_decref(difference);
}

static void after_the_stop_every_request_is_refused_at_once(void **state) {
  (void)state;
  cox_script_stop(rig.script);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_FAILED);
  assert_int_equal(rig.err.code, COX_ESTOPPED);
}

/* ---- the store ---- */

enum { HELD_MAX = 256 };

static struct cox_batch *held[HELD_MAX];
static size_t held_count;
static bool is_choice_stored, was_stored_when_answered;

static int hold_back(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  (void)ctx;
  (void)err;
  assert_true(held_count < HELD_MAX);
  held[held_count++] = batch;
  return 0;
}

static bool has_choice(const struct cox_batch *batch) {
  bool has_it = false;
  for (size_t i = 0; i < batch->count; i++) {
    json_t *const record = cox_record_json(batch->records[i]);
    const char *const name = json_string_value(json_object_get(record, "name"));
    has_it = has_it || (name != NULL && strcmp(name, "choice") == 0);
    json_decref(record);
  }
  return has_it;
}

static void let_in(void) {
  for (size_t i = 0; i < held_count; i++) {
    is_choice_stored = is_choice_stored || has_choice(held[i]);
    held[i]->done(held[i], NULL);
  }
  held_count = 0;
}

/* Looks whether it is answered before anything more is let into the store. */
static bool is_answered_after_a_commit(struct reload_rig *asked) {
  cox_mutex_lock(&asked->mutex);
  const bool is_answered = asked->is_answered;
  cox_mutex_unlock(&asked->mutex);
  if (is_answered) was_stored_when_answered = is_choice_stored;
  else let_in();
  return is_answered;
}

static void who_asked_is_answered_after_the_choice_is_stored(void **state) {
  (void)state;
  int (*const append)(void *, struct cox_batch *, struct cox_err *) = rig.fake->store.append;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  for (int i = 0; i < 2; i++) {
    rig.fake->store.append = hold_back;
    is_choice_stored = was_stored_when_answered = false;
    reload_rig_begin(&rig, i == 0 ? RIG_RELOAD : RIG_ROLLBACK, NULL);
    reload_rig_until(&rig, is_answered_after_a_commit, "an answer of cox-reload");
    assert_int_equal(rig.status, COX_SCRIPTS_DONE);
    assert_true(was_stored_when_answered);
    let_in();
    rig.fake->store.append = append;
  }
}

/* ---- folders ---- */

static json_t *file_named(json_t *show, const char *path) {
  size_t i;
  json_t *file;
  json_array_foreach(json_object_get(show, "files"), i, file) {
    if (strcmp(json_string_value(json_object_get(file, "path")), path) == 0) return file;
  }
  return NULL;
}

static int setup_over(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  snprintf(rig.second, sizeof rig.second, "/tmp/coxswain-over-XXXXXX");
  if (mkdtemp(rig.second) == NULL) return -1;
  char text[512];
  snprintf(text, sizeof text, "mkdir -p %s/policy %s/commands && sed 's/id < first/id > first/' scripts/policy/models.lua > %s/policy/models.lua", rig.second,
           rig.second, rig.second);
  if (system(text) != 0) return -1;
  snprintf(text, sizeof text, "printf 'return { help = \"Says hello.\", run = function() return { hello = require(\"policy.fleet\") ~= nil } end }' > %s/commands/hello.lua", rig.second);
  if (system(text) != 0) return -1;
  reload_rig_start(&rig);
  return 0;
}

static void the_first_folder_replaces_and_adds(void **state) {
  (void)state;
  json_t *const show = reload_rig_show(&rig), *const models = file_named(show, "policy/models.lua");
  assert_string_equal(json_string_value(json_array_get(json_object_get(show, "folders"), 0)), rig.second);
  assert_string_equal(json_string_value(json_object_get(models, "from")), rig.second);
  assert_string_equal(json_string_value(json_array_get(json_object_get(models, "shadows"), 0)), rig.folder);
  assert_string_equal(json_string_value(json_object_get(file_named(show, RIG_PHASES), "from")), rig.folder);
  assert_null(json_object_get(file_named(show, RIG_PHASES), "shadows"));
  assert_int_equal(fake_send(rig.fake, "hello", json_object()), COX_ANSWER_DONE);
  assert_true(json_is_true(json_object_get(rig.fake->last.result, "hello"))); /* require goes through the folders */
}

static void a_fault_names_the_folder_it_is_in(void **state) {
  (void)state;
  char text[256];
  snprintf(text, sizeof text, "echo 'return {' > %s/commands/hello.lua", rig.second);
  assert_int_equal(system(text), 0);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_int_equal(strncmp(json_string_value(json_object_get(json_array_get(rig.result, 0), "file")), rig.second, strlen(rig.second)), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_OVER(name) cmocka_unit_test_setup_teardown(name, setup_over, teardown)
      TEST(a_reload_changes_exactly_the_targets_that_the_plan_named),
      TEST(a_rollback_brings_the_targets_back_and_remembers_what_it_left),
      TEST(the_same_content_is_unchanged),
      TEST(a_syntax_error_is_refused_with_file_and_line),
      TEST(a_plan_of_another_folder_changes_nothing),
      TEST(a_failure_in_a_window_to_come_is_found_before_it_comes),
      TEST(a_refusal_is_shown_until_the_folders_hold_something_else),
      TEST(every_fault_is_named_and_the_old_set_goes_on),
      TEST(names_and_texts_that_are_no_text_are_faults),
      TEST(what_policy_saves_outlives_a_reload_and_a_rollback),
      TEST(a_state_that_cannot_be_restored_refuses_the_new_scripts),
      TEST(three_failures_of_a_phase_command_go_back_at_any_age),
      TEST(a_bad_start_goes_back),
      TEST(a_refusal_in_words_is_no_failure),
      TEST(where_there_is_nothing_to_go_back_to_it_goes_on),
      TEST(only_what_is_held_stays),
      TEST(the_same_content_again_does_not_push_out_the_one_before),
      TEST(the_difference_shows_both_texts),
      TEST(after_the_stop_every_request_is_refused_at_once),
      TEST(who_asked_is_answered_after_the_choice_is_stored),
      TEST_OVER(the_first_folder_replaces_and_adds),
      TEST_OVER(a_fault_names_the_folder_it_is_in),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
