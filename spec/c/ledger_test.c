/* What happens when the store is slow or refuses: answers after the commit, and changes that are taken back. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/durable.h"
#include "core/engine.h"
#include "ledger_rig.h"
#include "manual_store.h"
#include "store_rig.h"

static void an_answer_comes_after_the_commit_and_not_before(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_send(&question, "register", json_pack("{so}", "node", fake_node("node1", 5000)));
  assert_false(question.is_answered);
  assert_string_equal(fake_state(ledger_fake, "node1", "admin_state"), "present"); /* in force already */
  json_t *page = cox_broker_events_json(ledger_fake->broker, 1, 100, NULL);
  assert_int_equal(json_array_size(json_object_get(page, "events")), 0); /* and not yet told */
  json_decref(page);
  manual_commit(1);
  assert_true(question.is_answered);
  fake_run(ledger_fake);
  page = cox_broker_events_json(ledger_fake->broker, 1, 100, NULL);
  assert_int_equal(json_array_size(json_object_get(page, "events")), 3);
  json_decref(page);
}

static void what_changes_nothing_durable_is_answered_at_once(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_send(&question, "skip", json_object());
  assert_true(question.is_answered);
  ledger_send(&question, "fail", json_object());
  assert_true(question.is_answered);
}

static void dispatch_never_waits_for_the_store(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  fake_arm(ledger_fake);
  ledger_send(&question, "intend", ledger_intent("node1", fake_target("INFERENCE", NULL)));
  assert_false(question.is_answered);
  assert_non_null(fake_open(ledger_fake, "node1"));
  manual_commit_all(ledger_fake);
}

/* Every kind of change, each on top of others, none of them stored. */
static void a_failed_batch_puts_everything_back_in_reverse_order(void **state) {
  (void)state;
  for (int is_halting = 0; is_halting < 2; is_halting++) {
    char a[16], b[16], c[16], d[16];
    snprintf(a, sizeof a, "a%d", is_halting);
    snprintf(b, sizeof b, "b%d", is_halting);
    snprintf(c, sizeof c, "c%d", is_halting);
    snprintf(d, sizeof d, "d%d", is_halting);
    const int port = 5000 + 10 * is_halting;
    ledger_add(a, port);
    ledger_add(b, port + 1);
    ledger_add(c, port + 2);
    ledger_must("intend", ledger_intent(b, fake_target("STOPPED", NULL)));
    char *const before = ledger_image();
    struct ledger_question questions[12];
    json_t *const moved = fake_node(a, port + 5), *const again = fake_node(c, port + 7);
    json_object_set_new(moved, "max_concurrent", json_integer(77));
    ledger_send(&questions[0], "admin", ledger_admin(a, false));
    ledger_send(&questions[1], "update", json_pack("{so}", "node", moved));
    ledger_send(&questions[2], "remove", ledger_named(b));
    ledger_send(&questions[3], "register", json_pack("{so}", "node", fake_node(d, port + 1))); /* on the address of the one that left */
    ledger_send(&questions[4], "admin", ledger_admin(a, true));
    ledger_send(&questions[5], "remove", ledger_named(c));
    ledger_send(&questions[6], "register", json_pack("{so}", "node", again)); /* the same id, another registration */
    ledger_send(&questions[7], "admin", ledger_admin(c, false));
    ledger_send(&questions[8], "remove", ledger_named(d));
    for (int i = 0; i < 9; i++) assert_false(questions[i].is_answered);
    manual_burn(ledger_fake, is_halting != 0);
    for (int i = 0; i < 9; i++) ledger_refused(&questions[i]);
    char *const after = ledger_image();
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_true(manual.settled > 0);
    manual_put_out(ledger_fake);
    manual_commit_all(ledger_fake);
    assert_false(cox_broker_is_degraded(ledger_fake->broker, NULL));
  }
}

static void what_is_stored_already_stays_when_the_next_fails(void **state) {
  (void)state;
  struct ledger_question first, second;
  ledger_add("node1", 5000);
  ledger_send(&first, "admin", ledger_admin("node1", false));
  ledger_send(&second, "remove", ledger_named("node1"));
  manual_commit(1); /* and the core has not heard of it yet */
  manual_burn(ledger_fake, false);
  assert_int_equal(first.outcome, COX_ANSWER_DONE);
  ledger_refused(&second);
  json_t *const node = cox_broker_node_json(ledger_fake->broker, "node1");
  assert_true(json_is_false(json_object_get(json_object_get(json_object_get(node, "state"), "admin_state"), "enabled")));
  json_decref(node);
}

static void a_removal_that_is_undone_gives_the_attempt_in_flight_back(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  fake_arm(ledger_fake);
  manual_commit_all(ledger_fake);
  ledger_must("intend", ledger_intent("node1", fake_target("INFERENCE", NULL)));
  struct cox_attempt *const attempt = fake_open(ledger_fake, "node1");
  assert_non_null(attempt);
  ledger_send(&question, "remove", ledger_named("node1"));
  assert_true(fake_is_cancelled(ledger_fake, "node1"));
  manual_burn(ledger_fake, false);
  ledger_refused(&question);
  assert_ptr_equal(fake_open(ledger_fake, "node1"), attempt); /* no second one beside it */
  fake_finish(ledger_fake, "node1", COX_CLASS_CANCELLED, NULL);
  assert_non_null(fake_open(ledger_fake, "node1")); /* verified anew */
  fake_finish(ledger_fake, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(ledger_fake, "node1", "current_status"), "INFERENCE");
}

static void an_attempt_that_came_back_during_a_removal_leaves_the_node_to_be_verified(void **state) {
  (void)state;
  struct ledger_question question;
  ledger_add("node1", 5000);
  fake_arm(ledger_fake);
  manual_commit_all(ledger_fake);
  ledger_must("intend", ledger_intent("node1", fake_target("INFERENCE", NULL)));
  ledger_send(&question, "remove", ledger_named("node1"));
  fake_finish(ledger_fake, "node1", COX_CLASS_CANCELLED, NULL);
  assert_null(fake_open(ledger_fake, "node1"));
  manual_burn(ledger_fake, false);
  ledger_refused(&question);
  assert_non_null(fake_open(ledger_fake, "node1"));
  struct cox_stats stats;
  fake_finish(ledger_fake, "node1", COX_CLASS_NONE, NULL);
  cox_broker_stats(ledger_fake->broker, &stats);
  assert_int_equal(stats.in_flight, 0);
  assert_true(stats.is_degraded);
}

static json_int_t number_of(const char *id) {
  json_t *const node = cox_broker_node_json(ledger_fake->broker, id);
  assert_non_null(node);
  const json_int_t number = json_integer_value(json_object_get(json_object_get(node, "node"), "node_num"));
  json_decref(node);
  return number;
}

/* Else both would get the same part of an episode's nonces. */
static void a_number_is_free_when_the_removal_of_its_node_is_stored_and_not_before(void **state) {
  (void)state;
  struct ledger_question removal, registration;
  ledger_add("node1", 5000);
  ledger_add("node2", 5001);
  ledger_send(&removal, "remove", ledger_named("node2"));
  ledger_send(&registration, "register", json_pack("{so}", "node", fake_node("node3", 5002)));
  assert_int_equal(number_of("node3"), 2);
  manual_burn(ledger_fake, false);
  ledger_refused(&registration);
  ledger_refused(&removal);
  assert_int_equal(number_of("node2"), 1);
  manual_put_out(ledger_fake);
  manual_commit_all(ledger_fake);
  ledger_must("remove", ledger_named("node2"));
  ledger_add("node4", 5003);
  assert_int_equal(number_of("node4"), 1);
}

static void what_a_phase_decided_since_stands(void **state) {
  (void)state;
  struct ledger_question change, phase;
  ledger_add("node1", 5000);
  ledger_must("intend", ledger_intent("node1", fake_target("INFERENCE", NULL)));
  ledger_send(&change, "admin", ledger_admin("node1", false));
  ledger_send(&phase, "intend", ledger_intent("node1", fake_target("POC", "GENERATING")));
  manual_burn(ledger_fake, false);
  ledger_refused(&change);
  assert_true(phase.is_answered);
  assert_int_equal(phase.outcome, COX_ANSWER_DONE);
  assert_string_equal(fake_state(ledger_fake, "node1", "poc_intended_status"), "GENERATING");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, ledger_setup, ledger_teardown)
  const struct CMUnitTest tests[] = {
      TEST(an_answer_comes_after_the_commit_and_not_before),
      TEST(what_changes_nothing_durable_is_answered_at_once),
      TEST(dispatch_never_waits_for_the_store),
      TEST(a_failed_batch_puts_everything_back_in_reverse_order),
      TEST(what_is_stored_already_stays_when_the_next_fails),
      TEST(a_removal_that_is_undone_gives_the_attempt_in_flight_back),
      TEST(an_attempt_that_came_back_during_a_removal_leaves_the_node_to_be_verified),
      TEST(a_number_is_free_when_the_removal_of_its_node_is_stored_and_not_before),
      TEST(what_a_phase_decided_since_stands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
