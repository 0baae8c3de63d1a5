/* Degraded mode: what goes on while the store cannot be written, and how it ends. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/durable.h"
#include "core/engine.h"
#include "ledger_rig.h"
#include "manual_store.h"
#include "store_rig.h"

static void degraded_mode_refuses_what_must_be_durable_and_lets_the_rest_go_on(void **state) {
  (void)state;
  struct ledger_question question;
  struct cox_err err;
  ledger_add("node1", 5000);
  fake_arm(ledger_fake);
  manual_commit_all(ledger_fake);
  ledger_send(&question, "admin", ledger_admin("node1", false));
  manual_burn(ledger_fake, false);
  ledger_refused(&question);
  assert_true(cox_broker_is_degraded(ledger_fake->broker, &err));
  assert_non_null(strstr(err.text, "on fire"));
  char *const before = ledger_image();
  static const char *const names[] = {"admin", "remove", "register", "update", "intend"};
  json_t *const training = json_pack("{ss, s{ss}}", "status", "TRAINING", "task", "id", "t");
  json_t *const args[] = {ledger_admin("node1", false), ledger_named("node1"), json_pack("{so}", "node", fake_node("node2", 5001)),
                          json_pack("{so}", "node", fake_node("node1", 5009)), ledger_intent("node1", training)};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    ledger_send(&question, names[i], args[i]);
    ledger_refused(&question);
  }
  char *const after = ledger_image();
  assert_string_equal(before, after);
  free(before);
  free(after);
  ledger_send(&question, "intend", ledger_intent("node1", fake_target("POC", "GENERATING"))); /* a phase goes on, and so does the work */
  assert_true(question.is_answered);
  assert_int_equal(question.outcome, COX_ANSWER_DONE);
  fake_finish(ledger_fake, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(ledger_fake, "node1", "poc_current_status"), "GENERATING");
  assert_int_equal(cox_broker_keep(ledger_fake->broker, "jobs", "x", json_true(), NULL, NULL, NULL), 0);
  fake_run(ledger_fake);
  assert_null(cox_broker_kept(ledger_fake->broker, "jobs", "x"));
}

/* How many changes the one gap of the journal says are missing. */
static json_int_t told_gap(void) {
  const struct cox_event_filter gaps = {.kind = "gap"};
  json_t *const found = cox_broker_events_json(ledger_fake->broker, 0, 10, &gaps), *const events = json_object_get(found, "events");
  assert_int_equal(json_array_size(events), 1);
  const json_int_t count = json_integer_value(json_object_get(json_array_get(events, 0), "count"));
  json_decref(found);
  return count;
}

static json_t *folded; /* what the store would hold */

static void fold_all(void) {
  for (size_t i = 0; i < manual.count; i++) {
    for (size_t k = 0; k < manual.held[i]->count; k++) {
      json_t *const record = cox_record_json(manual.held[i]->records[k]);
      cox_durable_fold_into(folded, record);
      json_decref(record);
    }
  }
}

/* The records held, folded over what the store held before, are the whole state in memory. */
static void the_store_holds_the_memory(json_t *before) {
  folded = before;
  fold_all();
  manual_commit_all(ledger_fake);
  assert_false(cox_broker_is_degraded(ledger_fake->broker, NULL));
  struct store_rig rig = {.fake = ledger_fake};
  json_t *const memory = store_rig_memory(&rig), *const kept = cox_broker_kept_all(ledger_fake->broker, "jobs");
  if (json_object_size(kept) > 0) json_object_set(memory, "keep:jobs", kept);
  assert_true(store_rig_same(folded, memory));
  json_decref(kept);
  json_decref(memory);
  json_decref(folded);
}

static void it_ends_with_the_whole_state_written_anew_and_the_gap_told(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  fake_arm(ledger_fake);
  manual_commit_all(ledger_fake);
  ledger_send(&question, "admin", ledger_admin("node1", false));
  manual_burn(ledger_fake, false);
  ledger_send(&question, "intend", ledger_intent("node1", fake_target("POC", "GENERATING"))); /* the store never hears of this one */
  fake_finish(ledger_fake, "node1", COX_CLASS_NONE, NULL);
  manual_put_out(ledger_fake);
  assert_true(cox_broker_is_degraded(ledger_fake->broker, NULL)); /* until it is committed */
  the_store_holds_the_memory(json_pack("{s{ss}}", "node", "ghost", "of what had failed"));
  const struct cox_event_filter stores = {.kind = "store"};
  json_t *const both = cox_broker_events_json(ledger_fake->broker, 0, 10, &stores);
  assert_true(told_gap() >= 4);
  assert_int_equal(json_array_size(json_object_get(both, "events")), 2); /* degraded, working */
  json_decref(both);
  ledger_must("admin", ledger_admin("node1", false));
}

enum { MANY = 400, KEPT = 1500, MEANWHILE = 60 };

static void add_many(void) {
  char name[16];
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "node%d", i);
    ledger_add(name, 5000 + i);
  }
}

/* On cox-command, between two slices of the state. */
static void keep_another(void *arg, const struct cox_answer *answer) {
  (void)answer;
  const int number = (int)(intptr_t)arg;
  char name[16];
  snprintf(name, sizeof name, "n%d", KEPT - 1 - number);
  json_t *const value = number % 4 == 3 ? NULL : json_integer(1000 + number);
  assert_int_equal(cox_broker_keep(ledger_fake->broker, "jobs", name, value, NULL, NULL, NULL), 0);
}

static void submit_one(int number) {
  char id[16], fresh[16];
  snprintf(id, sizeof id, "node%d", number * 37 % MANY);
  snprintf(fresh, sizeof fresh, "fresh%d", number);
  const char *const names[] = {"admin", "intend", "remove", "register", "update", "skip"};
  json_t *const args[] = {ledger_admin(id, number % 4 == 0), ledger_intent(id, fake_target("POC", "GENERATING")), ledger_named(id),
                          json_pack("{so}", "node", fake_node(fresh, 20000 + number)),
                          json_pack("{so}", "node", fake_node(id, 30000 + number)), json_object()};
  const size_t which = (size_t)number % 6;
  cox_reply_fn *const reply = which == 5 ? keep_another : NULL;
  assert_int_equal(cox_broker_submit(ledger_fake->broker, names[which], args[which], reply, (void *)(intptr_t)number, NULL), 0);
  for (size_t i = 0; i < 6; i++) json_decref(args[i]);
}

static void what_changes_while_the_state_is_written_anew_is_in_it(void **state) {
  (void)state;
  char name[16];
  add_many();
  for (int i = 0; i < KEPT; i++) {
    snprintf(name, sizeof name, "n%d", i);
    assert_int_equal(cox_broker_keep(ledger_fake->broker, "jobs", name, json_integer(i), NULL, NULL, NULL), 0);
    if (i % 100 == 0) manual_commit_all(ledger_fake);
  }
  manual_commit_all(ledger_fake);
  ledger_fake->broker->ledger.owes = true;
  for (int i = 0; i < MEANWHILE; i++) submit_one(i);
  fake_run(ledger_fake);
  assert_false(ledger_fake->broker->ledger.owes);
  the_store_holds_the_memory(json_pack("{s{ss}}", "node", "ghost", "of what had failed"));
  json_t *const kept = cox_broker_kept_all(ledger_fake->broker, "jobs");
  assert_in_range(json_object_size(kept), 1, KEPT - 1);
  json_decref(kept);
}

/* The loop must look at other things in between. */
static void the_state_is_written_anew_in_slices(void **state) {
  (void)state;
  add_many();
  ledger_fake->broker->ledger.owes = true;
  size_t slices = 0;
  const size_t appended = manual.appended;
  while (manual.appended == appended && slices < MANY) {
    cox_ledger_handle(ledger_fake->broker);
    slices++;
  }
  assert_true(slices >= 4 && slices < 20);
  assert_true(manual.held[manual.count - 1]->count > 2 * MANY);
}

static void a_store_that_fails_while_the_state_is_put_together_begins_it_anew(void **state) {
  (void)state;
  add_many();
  ledger_fake->broker->ledger.owes = true;
  cox_ledger_handle(ledger_fake->broker);
  cox_ledger_handle(ledger_fake->broker);
  struct ledger_question question = {0};
  json_t *const args = ledger_admin("node1", false);
  assert_int_equal(cox_broker_submit(ledger_fake->broker, "admin", args, ledger_answered, &question, NULL), 0);
  json_decref(args);
  manual.is_shut = true;
  fake_run(ledger_fake);
  ledger_refused(&question);
  assert_int_equal(manual.count, 0);
  manual_put_out(ledger_fake);
  the_store_holds_the_memory(json_object());
}

static void a_store_that_fails_again_while_the_state_is_written_anew_stays_degraded(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  ledger_send(&question, "admin", ledger_admin("node1", false));
  manual_burn(ledger_fake, false);
  manual_put_out(ledger_fake);
  manual_burn(ledger_fake, false);
  assert_true(cox_broker_is_degraded(ledger_fake->broker, NULL));
  manual_put_out(ledger_fake);
  manual_commit_all(ledger_fake);
  assert_false(cox_broker_is_degraded(ledger_fake->broker, NULL));
  ledger_must("admin", ledger_admin("node1", false));
}

static void a_store_that_shuts_by_itself_is_noticed_at_the_next_change(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  manual.is_shut = true;
  ledger_send(&question, "remove", ledger_named("node1"));
  ledger_refused(&question);
  assert_string_equal(fake_state(ledger_fake, "node1", "admin_state"), "present");
  assert_true(cox_broker_is_degraded(ledger_fake->broker, NULL));
  assert_true(manual.settled > 0);
}

static bool is_enabled(const char *id) {
  json_t *const node = cox_broker_node_json(ledger_fake->broker, id);
  const bool is_so = json_is_true(json_object_get(json_object_get(json_object_get(node, "state"), "admin_state"), "enabled"));
  json_decref(node);
  return is_so;
}

/* What was undone comes back with its end, and what could not be ended is tried again. */
static void a_disable_that_ends_while_the_store_cannot_be_written_ends_when_it_can(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  json_t *const args = ledger_admin("node1", false);
  json_object_set_new(args, "expires_ms", json_integer(cox_clock_wall_ms(&ledger_fake->clock) + 60000));
  ledger_must("admin", args);
  ledger_send(&question, "admin", ledger_admin("node1", true));
  manual_burn(ledger_fake, false);
  ledger_refused(&question);
  assert_false(is_enabled("node1"));
  const size_t served = json_array_size(ledger_fake->served);
  fake_pass_time(ledger_fake, 600);
  assert_false(is_enabled("node1"));
  assert_int_equal(json_array_size(ledger_fake->served), served); /* it would only be refused */
  manual_put_out(ledger_fake);
  manual_commit_all(ledger_fake);
  fake_pass_time(ledger_fake, 6);
  manual_commit_all(ledger_fake);
  assert_true(is_enabled("node1"));
}

/* Nobody else does: the loop would sleep until the next command. */
static void what_is_owed_to_a_full_store_wakes_the_command_loop_by_itself(void **state) {
  (void)state;
  struct ledger_question question;
  int64_t next_us;
  ledger_add("node1", 5000);
  manual.is_full = true;
  ledger_send(&question, "intend", ledger_intent("node1", fake_target("POC", "GENERATING")));
  manual.is_full = false;
  ledger_fake->broker->commands.is_woken = false;
  cox_broker_step_reconcile(ledger_fake->broker, &next_us);
  assert_true(ledger_fake->broker->ledger.owes);
  assert_in_range(next_us - ledger_fake->now_us, 0, 1000000);
  ledger_fake->now_us = next_us;
  cox_broker_step_reconcile(ledger_fake->broker, &next_us);
  assert_true(ledger_fake->broker->commands.is_woken);
  assert_true(next_us > ledger_fake->now_us); /* once */
  manual_commit_all(ledger_fake);
  assert_false(ledger_fake->broker->ledger.owes);
}

/* The command loop must not go round and round meanwhile, and must not forget. */
static void a_store_without_room_for_the_whole_state_is_asked_again_a_second_later(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  manual_commit_all(ledger_fake);
  manual.is_full = true;
  ledger_send(&question, "intend", ledger_intent("node1", fake_target("POC", "GENERATING")));
  assert_true(question.is_answered); /* in force, and the store's state is another now */
  fake_run(ledger_fake);
  const size_t refused = manual.refused, appended = manual.appended;
  fake_pass_time(ledger_fake, 0.4);
  fake_run(ledger_fake);
  assert_int_equal(manual.refused, refused);
  fake_pass_time(ledger_fake, 1);
  fake_run(ledger_fake);
  assert_true(manual.refused > refused);
  manual.is_full = false;
  fake_pass_time(ledger_fake, 1.1);
  fake_run(ledger_fake);
  assert_true(manual.appended > appended);
  manual_commit_all(ledger_fake);
  assert_false(ledger_fake->broker->ledger.owes);
}

static void a_full_store_refuses_operators_and_counts_what_others_did(void **state) {
  (void)state;
  struct ledger_question question;
  struct cox_stats stats;
  ledger_add("node1", 5000);
  for (int i = 0; ledger_fake->broker->ledger.waiting <= COX_LEDGER_SOFT_MAX; i++) {
    json_t *const target = fake_target(i % 2 == 0 ? "INFERENCE" : "STOPPED", NULL);
    json_t *const args = ledger_intent("node1", target);
    assert_int_equal(cox_broker_submit(ledger_fake->broker, "intend", args, NULL, NULL, NULL), 0);
    json_decref(args);
    if (i % 32 == 0) fake_run(ledger_fake);
  }
  fake_run(ledger_fake);
  cox_broker_stats(ledger_fake->broker, &stats);
  const uint64_t lost = stats.unstored_records;
  const size_t appended = manual.appended;
  ledger_send(&question, "intend", ledger_intent("node1", fake_target("POC", "GENERATING")));
  assert_true(question.is_answered); /* in force, and the store is not told */
  assert_int_equal(manual.appended, appended);
  cox_broker_stats(ledger_fake->broker, &stats);
  assert_true(stats.unstored_records > lost);
  ledger_send(&question, "admin", ledger_admin("node1", false)); /* operators have room left, */
  assert_int_equal(manual.appended, appended + 1);
  ledger_fake->broker->ledger.waiting += COX_LEDGER_RECORDS_MAX; /* and then none */
  struct ledger_question late;
  ledger_send(&late, "admin", ledger_admin("node1", true));
  assert_true(late.is_answered);
  assert_int_equal(late.err.code, COX_EFULL);
  ledger_fake->broker->ledger.waiting -= COX_LEDGER_RECORDS_MAX;
  manual_commit_all(ledger_fake);
  assert_true(question.is_answered);
  assert_true(told_gap() > 0);
  assert_false(ledger_fake->broker->ledger.owes);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, ledger_setup, ledger_teardown)
  const struct CMUnitTest tests[] = {
      TEST(degraded_mode_refuses_what_must_be_durable_and_lets_the_rest_go_on),
      TEST(it_ends_with_the_whole_state_written_anew_and_the_gap_told),
      TEST(what_changes_while_the_state_is_written_anew_is_in_it),
      TEST(the_state_is_written_anew_in_slices),
      TEST(a_store_that_fails_while_the_state_is_put_together_begins_it_anew),
      TEST(a_store_that_fails_again_while_the_state_is_written_anew_stays_degraded),
      TEST(a_store_that_shuts_by_itself_is_noticed_at_the_next_change),
      TEST(a_store_without_room_for_the_whole_state_is_asked_again_a_second_later),
      TEST(what_is_owed_to_a_full_store_wakes_the_command_loop_by_itself),
      TEST(a_disable_that_ends_while_the_store_cannot_be_written_ends_when_it_can),
      TEST(a_full_store_refuses_operators_and_counts_what_others_did),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
