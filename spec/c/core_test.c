/* The promises of the core, one test each: intents, fences, cancellation, backoff, removal, exactly one answer. */
#include "fake_core.h"

#include <string.h>

#include "core/engine.h"

static struct fake *f;

static int setup(void **state) {
  (void)state;
  f = fake_create(-1);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(f);
  return 0;
}

static void an_intent_starts_one_attempt_and_its_success_settles_the_node(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  assert_int_equal(f->started, 1);
  assert_string_equal(fake_state(f, "node1", "intended_status"), "INFERENCE");
  assert_string_equal(fake_state(f, "node1", "current_status"), "UNKNOWN");
  assert_string_equal(fake_state(f, "node1", "reconcile_info"), "present");
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
  assert_string_equal(fake_state(f, "node1", "reconcile_info"), "absent");
  fake_pass_time(f, 1000);
  assert_int_equal(f->started, 1);
}

static void an_equal_target_changes_nothing(void **state) {
  (void)state;
  fake_serving(f);
  const size_t records = json_array_size(f->records);
  fake_intend(f, "node1", json_pack("{ss, ss, ss, sf}", "status", "INFERENCE", "model", "m", "reason", "other words", "drain_s", 5.0));
  assert_int_equal(json_integer_value(json_object_get(f->last.result, "value")), 0);
  assert_int_equal(f->started, 1);
  assert_int_equal(json_array_size(f->records), records);
}

static void nothing_starts_before_a_synced_block_and_its_command(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  assert_int_equal(f->started, 0);
  fake_send(f, "block", json_pack("{si, sb, ss}", "height", 9, "synced", 0, "command", "due"));
  fake_pass_time(f, 1000);
  assert_int_equal(f->started, 0);
  fake_arm(f);
  assert_int_equal(f->started, 1);
}

static void a_changed_target_cancels_and_waits_for_the_completion(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  fake_intend(f, "node1", fake_target("POC", "GENERATING"));
  assert_true(fake_is_cancelled(f, "node1"));
  assert_int_equal(f->started, 1);
  fake_finish(f, "node1", COX_CLASS_CANCELLED, NULL);
  assert_int_equal(f->started, 2);
  assert_int_equal(fake_open(f, "node1")->target->status, COX_STATUS_POC);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "poc_current_status"), "GENERATING");
}

static void a_late_success_of_an_old_target_is_not_believed(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  fake_intend(f, "node1", fake_target("STOPPED", NULL));
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "current_status"), "UNKNOWN");
  struct cox_stats stats;
  cox_broker_stats(f->broker, &stats);
  assert_int_equal(stats.stale_results, 1);
  assert_int_equal(f->started, 2);
}

/* A→B→A: the target equals the first one, but the attempt of the first generation must not settle it. */
static void a_to_b_to_a_verifies_again(void **state) {
  (void)state;
  uint64_t random = 88172645463325252u;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  for (int i = 0; i < 1000; i++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    fake_intend(f, "node1", fake_target("INFERENCE", NULL));
    if (random & 1) fake_pass_time(f, 0.001);
    fake_intend(f, "node1", fake_target("POC", "GENERATING"));
    if ((random & 2) && fake_open(f, "node1")) fake_finish(f, "node1", (random & 4) ? COX_CLASS_NONE : COX_CLASS_CANCELLED, NULL);
    fake_intend(f, "node1", fake_target("INFERENCE", NULL));
    if ((random & 8) && fake_is_cancelled(f, "node1")) fake_finish(f, "node1", COX_CLASS_NONE, NULL); /* it won the race */
    while (fake_open(f, "node1") != NULL) {
      const bool is_cancelled = fake_is_cancelled(f, "node1");
      assert_string_not_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
      fake_finish(f, "node1", is_cancelled ? COX_CLASS_CANCELLED : COX_CLASS_NONE, NULL);
    }
    assert_string_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
    fake_intend(f, "node1", fake_target("STOPPED", NULL));
    fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  }
}

static void a_failure_is_shown_and_retried_after_a_backoff_that_grows(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  fake_finish(f, "node1", COX_CLASS_SERVER, "POST /api/v1/inference/up: 500");
  assert_string_equal(fake_state(f, "node1", "current_status"), "FAILED");
  assert_string_equal(fake_state(f, "node1", "failure_reason"), "POST /api/v1/inference/up: 500");
  for (int i = 0; i < 8; i++) {
    fake_pass_time(f, 61);
    assert_int_equal(f->started, i + 2);
    assert_string_equal(fake_state(f, "node1", "current_status"), "FAILED");
    fake_finish(f, "node1", COX_CLASS_TIMEOUT, "late");
  }
  fake_pass_time(f, 61);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
  assert_string_equal(fake_state(f, "node1", "failure_reason"), "");
  fake_pass_time(f, 1000);
  assert_int_equal(f->started, 10);
}

static void a_changed_intent_ends_the_backoff(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  for (int i = 0; i < 12; i++) {
    fake_finish(f, "node1", COX_CLASS_CLIENT, "no");
    fake_pass_time(f, 61);
  }
  fake_finish(f, "node1", COX_CLASS_CLIENT, "no");
  const size_t started = f->started;
  fake_intend(f, "node1", fake_target("STOPPED", NULL));
  assert_int_equal(f->started, started + 1);
}

static void reconcile_with_an_id_restarts_the_attempt_in_flight(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  fake_send(f, "reconcile", json_pack("{ss}", "node_id", "node1"));
  assert_true(fake_is_cancelled(f, "node1"));
  fake_finish(f, "node1", COX_CLASS_CANCELLED, NULL);
  assert_int_equal(f->started, 2);
  assert_string_equal(fake_state(f, "node1", "failure_reason"), "");
  assert_int_equal(fake_send(f, "reconcile", json_pack("{ss}", "node_id", "typo")), COX_ANSWER_ERROR);
}

static void the_watchdog_ends_what_outlives_its_deadline(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  fake_pass_time(f, 104);
  assert_false(fake_is_cancelled(f, "node1"));
  fake_pass_time(f, 2);
  assert_true(fake_is_cancelled(f, "node1"));
  fake_finish(f, "node1", COX_CLASS_CANCELLED, NULL);
  assert_string_equal(fake_state(f, "node1", "current_status"), "FAILED");
}

static void an_extended_deadline_moves_the_watchdog(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  cox_broker_extended(f->broker, &fake_open(f, "node1")->fence, f->now_us + 300000000, "the node is loading");
  fake_pass_time(f, 200);
  assert_false(fake_is_cancelled(f, "node1"));
  fake_pass_time(f, 106);
  assert_true(fake_is_cancelled(f, "node1"));
}

static void removal_answers_at_once_and_the_late_result_changes_nothing(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  assert_int_equal(fake_send(f, "remove", json_pack("{ss}", "node_id", "node1")), COX_ANSWER_DONE);
  assert_null(cox_broker_node_json(f->broker, "node1"));
  assert_true(fake_is_cancelled(f, "node1"));
  fake_register(f, "node1", 5000);
  fake_intend(f, "node1", fake_target("STOPPED", NULL));
  assert_int_equal(f->started, 1); /* the machine still has a call open */
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "current_status"), "UNKNOWN");
  assert_int_equal(f->started, 2);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "current_status"), "STOPPED");
}

static void removal_during_a_probe_does_not_disturb_a_new_registration(void **state) {
  (void)state;
  fake_destroy(f);
  f = fake_create(10);
  fake_register(f, "node1", 5000);
  fake_pass_time(f, 1);
  assert_int_equal(f->started_probes, 1);
  fake_send(f, "remove", json_pack("{ss}", "node_id", "node1"));
  assert_true(fake_is_cancelled(f, "node1"));
  fake_register(f, "node1", 5000);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "checked_at"), "absent");
}

static void another_address_is_another_machine(void **state) {
  (void)state;
  fake_serving(f);
  json_t *const moved = fake_node("node1", 6000);
  fake_send(f, "update", json_pack("{so}", "node", moved));
  assert_string_equal(fake_state(f, "node1", "current_status"), "UNKNOWN");
  assert_int_equal(f->started, 2);
  assert_null(fake_open(f, "node1")->applied);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  json_t *const roomier = fake_node("node1", 6000);
  json_object_set_new(roomier, "max_concurrent", json_integer(99));
  fake_send(f, "update", json_pack("{so}", "node", roomier));
  assert_int_equal(f->started, 2);
  assert_string_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
}

static void wrong_nodes_are_refused_with_the_reason_and_change_nothing(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  const struct {
    const char *command;
    json_t *node;
    const char *part;
  } cases[] = {
      {"register", fake_node("node1", 6000), "registered already"},
      {"register", fake_node("node2", 5000), "node1 has the same host"},
      {"update", fake_node("typo", 6000), "not registered"},
      {"register", json_pack("{ss}", "host", "x"), "node id is required"},
      {"register", json_pack("{ss, ss, si, si, si, s{}}", "id", "a", "host", "h", "inference_port", 0, "poc_port", 1,
                             "max_concurrent", 1, "models"),
       "inference_port must be between 1 and 65535"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(fake_send(f, cases[i].command, json_pack("{so}", "node", cases[i].node)), COX_ANSWER_ERROR);
    assert_non_null(strstr(f->last.err.text, cases[i].part));
  }
  struct cox_stats stats;
  cox_broker_stats(f->broker, &stats);
  assert_int_equal(stats.nodes, 1);
}

static void a_handler_that_fails_half_way_changes_nothing(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  json_t *const args = json_pack("{ss, so}", "node_id", "node1", "target", fake_target("INFERENCE", NULL));
  assert_int_equal(fake_send(f, "half", args), COX_ANSWER_ERROR);
  assert_string_equal(fake_state(f, "node1", "intended_status"), "UNKNOWN");
  assert_int_equal(f->started, 0);
}

static void a_due_command_runs_again_only_when_something_changed(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  json_t *const due = json_string("due");
  size_t runs[6];
  for (int i = 0; i < 6; i++) {
    if (i == 2) f->generation++;
    if (i == 3) fake_send(f, "admin", json_pack("{ss, sb}", "node_id", "node1", "enabled", 0));
    if (i == 5) fake_pass_time(f, 301);
    fake_send(f, "block", json_pack("{si, ss, sb, ss, si}", "height", 10 + i, "hash", "AA", "synced", 1, "command", "due", "epoch",
                                    i >= 4 ? 2 : 1));
    runs[i] = 0;
    size_t k;
    json_t *name;
    json_array_foreach(f->served, k, name) runs[i] += (size_t)json_equal(name, due);
  }
  const size_t expected[] = {1, 1, 2, 3, 4, 5};
  for (int i = 0; i < 6; i++) assert_int_equal(runs[i], expected[i]);
  assert_int_equal(json_array_size(json_object_get(f->last.result, "issued")), 1);
  json_decref(due);
}

static void a_full_queue_refuses_and_loses_nothing(void **state) {
  (void)state;
  struct cox_err err;
  for (int i = 0; i < 64; i++) assert_int_equal(cox_broker_submit(f->broker, "read", NULL, NULL, NULL, &err), 0);
  assert_int_equal(cox_broker_submit(f->broker, "read", NULL, NULL, NULL, &err), COX_EFULL);
  assert_non_null(strstr(err.text, "64 commands"));
  assert_int_equal(cox_broker_submit(f->broker, "low", NULL, NULL, NULL, &err), 0);
  assert_int_equal(cox_broker_submit(f->broker, "typo", NULL, NULL, NULL, &err), COX_ENOENT);
  fake_run(f);
  assert_int_equal(json_array_size(f->served), 65);
}

static void low_priority_is_never_starved(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) cox_broker_submit(f->broker, "read", NULL, NULL, NULL, NULL);
  cox_broker_submit(f->broker, "low", NULL, NULL, NULL, NULL);
  cox_broker_submit(f->broker, "low", NULL, NULL, NULL, NULL);
  fake_run(f);
  assert_string_equal(json_string_value(json_array_get(f->served, 0)), "read");
  assert_string_equal(json_string_value(json_array_get(f->served, 16)), "low");
  assert_string_equal(json_string_value(json_array_get(f->served, 33)), "low");
}

static void node_numbers_never_overlap_within_one_episode(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_register(f, "node2", 5001);
  fake_intend(f, "node1", fake_target("POC", "GENERATING"));
  fake_send(f, "remove", json_pack("{ss}", "node_id", "node2"));
  fake_register(f, "node3", 5002);
  assert_int_equal(json_integer_value(json_object_get(f->last.result, "value")), 2);
  json_t *next = fake_target("POC", "GENERATING");
  json_object_set_new(next, "block_height", json_integer(200));
  fake_intend(f, "node1", next);
  fake_register(f, "node4", 5003);
  assert_int_equal(json_integer_value(json_object_get(f->last.result, "value")), 1);
}

/* Nodes of one command share their values; none of them alone says which episode it is. */
static void an_episode_begins_with_the_first_target_that_names_all_of_it(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_register(f, "node2", 5001);
  json_t *const height = json_integer(300), *const hash = json_string("H300"), *const other = json_string("H300b");
  json_t *const bare = json_pack("{ss, ss, sO, sO}", "status", "POC", "poc", "GENERATING", "block_height", height, "block_hash", hash);
  json_t *const whole = json_copy(bare), *const another = json_copy(bare);
  json_object_set_new(whole, "node_count", json_integer(2));
  json_object_set_new(another, "node_count", json_integer(2));
  json_object_set(another, "block_hash", other);
  json_t *const first = json_pack("{s[{ss, sO}, {ss, sO}]}", "list", "node_id", "node1", "target", bare, "node_id", "node2", "target", whole);
  json_t *const second = json_pack("{s[{ss, sO}, {ss, sO}]}", "list", "node_id", "node1", "target", whole, "node_id", "node2", "target", another);
  assert_int_equal(fake_send(f, "intend_each", first), COX_ANSWER_DONE);
  assert_int_equal(f->broker->registry.episode.height, 300);
  assert_string_equal(f->broker->registry.episode.hash, "H300");
  assert_int_equal(fake_send(f, "intend_each", second), COX_ANSWER_DONE);
  assert_string_equal(f->broker->registry.episode.hash, "H300b");
  json_t *const values[] = {height, hash, other, bare, whole, another};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) json_decref(values[i]);
}

static void a_machine_that_a_node_has_left_is_not_called_before_its_last_call_has_ended(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  struct cox_attempt *const first = fake_open(f, "node1");
  fake_send(f, "update", json_pack("{so}", "node", fake_node("node1", 5001)));
  fake_register(f, "node2", 5000);
  fake_intend(f, "node2", fake_target("INFERENCE", NULL));
  assert_true(fake_is_cancelled(f, "node1"));
  assert_ptr_equal(fake_open(f, "node1"), first);
  assert_null(fake_open(f, "node2"));
  fake_finish(f, "node1", COX_CLASS_CANCELLED, NULL);
  assert_non_null(fake_open(f, "node2"));
  assert_non_null(fake_open(f, "node1")); /* at its new machine */
}

static void a_node_that_moves_and_is_removed_frees_both_machines(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  json_t *const args = json_pack("{so}", "node", fake_node("node1", 5001));
  cox_broker_submit(f->broker, "update", args, NULL, NULL, NULL);
  json_decref(args);
  fake_send(f, "remove", json_pack("{ss}", "node_id", "node1")); /* in one go: the pass sees only the removal */
  assert_true(f->is_cancelled[0]);
  fake_register(f, "node2", 5000);
  fake_intend(f, "node2", fake_target("INFERENCE", NULL));
  fake_register(f, "node3", 5001);
  fake_intend(f, "node3", fake_target("INFERENCE", NULL));
  assert_null(fake_open(f, "node2"));
  assert_non_null(fake_open(f, "node3"));
  fake_give_back(f, 0, COX_CLASS_CANCELLED, NULL);
  fake_run(f);
  assert_non_null(fake_open(f, "node2"));
}

static void three_thousand_nodes_are_dispatched_and_then_left_alone(void **state) {
  (void)state;
  char id[32];
  for (int i = 0; i < 3000; i++) {
    snprintf(id, sizeof id, "node%d", i);
    fake_register(f, id, 1000 + i);
    fake_intend(f, id, fake_target("STOPPED", NULL));
  }
  fake_arm(f);
  assert_int_equal(f->started, 3000);
  while (f->opens > 0) fake_give_back(f, 0, COX_CLASS_NONE, NULL);
  fake_run(f);
  struct cox_stats stats;
  cox_broker_stats(f->broker, &stats);
  assert_int_equal(stats.converged, 3000);
  assert_int_equal(stats.in_flight, 0);
  fake_pass_time(f, 301);
  assert_int_equal(f->started, 3000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(an_intent_starts_one_attempt_and_its_success_settles_the_node),
      TEST(an_equal_target_changes_nothing),
      TEST(nothing_starts_before_a_synced_block_and_its_command),
      TEST(a_machine_that_a_node_has_left_is_not_called_before_its_last_call_has_ended),
      TEST(a_node_that_moves_and_is_removed_frees_both_machines),
      TEST(a_changed_target_cancels_and_waits_for_the_completion),
      TEST(a_late_success_of_an_old_target_is_not_believed),
      TEST(a_to_b_to_a_verifies_again),
      TEST(a_failure_is_shown_and_retried_after_a_backoff_that_grows),
      TEST(a_changed_intent_ends_the_backoff),
      TEST(reconcile_with_an_id_restarts_the_attempt_in_flight),
      TEST(the_watchdog_ends_what_outlives_its_deadline),
      TEST(an_extended_deadline_moves_the_watchdog),
      TEST(removal_answers_at_once_and_the_late_result_changes_nothing),
      TEST(removal_during_a_probe_does_not_disturb_a_new_registration),
      TEST(another_address_is_another_machine),
      TEST(wrong_nodes_are_refused_with_the_reason_and_change_nothing),
      TEST(a_handler_that_fails_half_way_changes_nothing),
      TEST(a_due_command_runs_again_only_when_something_changed),
      TEST(a_full_queue_refuses_and_loses_nothing),
      TEST(low_priority_is_never_starved),
      TEST(node_numbers_never_overlap_within_one_episode),
      TEST(an_episode_begins_with_the_first_target_that_names_all_of_it),
      TEST(three_thousand_nodes_are_dispatched_and_then_left_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
