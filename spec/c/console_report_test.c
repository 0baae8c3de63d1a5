/* The demo's report: who followed, who did not and why, and what is not judged. */
#include "console_fake.h"

#include <stdio.h>
#include <string.h>

#include "console/demo_report.h"

static struct cox_demo_report *report;
static json_t *nodes;
static struct cox_buf buf;

static int setup(void **state) {
  (void)state;
  report = cox_demo_report_create();
  nodes = json_array();
  buf = (struct cox_buf){0};
  return 0;
}

static int teardown(void **state) {
  (void)state;
  cox_demo_report_destroy(report);
  json_decref(nodes);
  cox_buf_fini(&buf);
  return 0;
}

/* Epoch e starts its PoC at 100 e; a block each second. */
static int64_t time_of(int64_t height) { return CONSOLE_NOW_MS + height * 1000; }

static void look(int64_t epoch, int64_t height) {
  json_t *const world = console_world(epoch, 100 * epoch, height);
  cox_demo_report_feed(report, nodes, world, time_of(height));
  json_decref(world);
}

static void set(const char *id, const char *intended, const char *current) {
  json_t *const node = console_node(id, intended, current);
  size_t i;
  json_t *old;
  json_array_foreach(nodes, i, old) {
    if (strcmp(json_string_value(json_object_get(json_object_get(old, "node"), "id")), id) != 0) continue;
    json_array_set_new(nodes, i, node);
    return;
  }
  json_array_append_new(nodes, node);
}

/* One whole epoch, in which `id` follows. */
static void follow(const char *id, int64_t epoch) {
  set(id, "POC/GENERATING", "POC/GENERATING");
  look(epoch, 100 * epoch + 5);
  set(id, "POC/VALIDATING", "POC/VALIDATING");
  look(epoch, 100 * epoch + 25);
  set(id, "INFERENCE", "INFERENCE");
  look(epoch, 100 * epoch + 50);
}

static const char *rendered(void) {
  const struct cox_term term = {0};
  cox_buf_clear(&buf);
  cox_demo_report_render(report, &term, &buf);
  return buf.data;
}

static void start(void) {
  set("node1", "INFERENCE", "INFERENCE");
  look(0, 90);
}

static void a_fleet_that_follows_is_good(void **state) {
  (void)state;
  start();
  for (int epoch = 1; epoch <= 3; epoch++) follow("node1", epoch);
  assert_int_equal(cox_demo_report_epochs(report), 2);
  look(4, 400);
  assert_int_equal(cox_demo_report_epochs(report), 3);
  assert_true(cox_demo_report_is_good(report));
  assert_string_equal(rendered(), "3 epochs, 1 node: every node followed every phase (9 of 9)\n0 attempts, 0 failed\n");
}

static void a_node_that_comes_too_late_is_named_with_epoch_phase_and_cause(void **state) {
  (void)state;
  set("node2", "INFERENCE", "INFERENCE");
  start();
  set("node1", "POC/GENERATING", "POC/GENERATING");
  set("node2", "POC/GENERATING", "FAILED");
  console_state(json_array_get(nodes, 0), "failure_reason", json_string("POST /api/v1/stop: 500\x1b[2J"));
  look(1, 105);
  set("node1", "POC/VALIDATING", "POC/VALIDATING");
  set("node2", "POC/GENERATING", "POC/GENERATING"); /* too late for generation, and then it stays there */
  look(1, 122);
  set("node1", "INFERENCE", "INFERENCE");
  set("node2", "INFERENCE", "INFERENCE");
  look(1, 140);
  look(2, 200);
  assert_false(cox_demo_report_is_good(report));
  assert_string_equal(rendered(),
                      "1 epoch, 2 nodes: 2 of 6 phases were missed\n0 attempts, 0 failed\n"
                      "NODE   EPOCH  PHASE         CAUSE\n"
                      "node2      1  PoC Generate  FAILED: POST /api/v1/stop: 500\\x1b[2J\n"
                      "node2      1  PoC Validate  its intent was POC/GENERATING: start_poc: generate proofs\n");
}

static void preserved_and_disabled_nodes_are_judged_by_their_intent(void **state) {
  (void)state;
  set("kept", "INFERENCE", "INFERENCE");
  set("off", "STOPPED", "STOPPED");
  console_state(json_array_get(nodes, 1), "admin_state", json_pack("{sb, si}", "enabled", 0, "epoch", 0));
  for (int64_t height = 90; height <= 200; height += 5) {
    json_t *const world = console_world(height / 100, height / 100 * 100, height);
    json_object_set_new(world, "preserved", json_pack("{sb}", "kept", 1));
    cox_demo_report_feed(report, nodes, world, time_of(height));
    json_decref(world);
  }
  assert_string_equal(rendered(), "1 epoch, 2 nodes: every node followed every phase (6 of 6)\n0 attempts, 0 failed\n");
}

static void a_disabled_node_that_does_not_stop_is_a_miss(void **state) {
  (void)state;
  set("off", "STOPPED", "INFERENCE");
  console_state(json_array_get(nodes, 0), "admin_state", json_pack("{sb, si}", "enabled", 0, "epoch", 0));
  for (int64_t height = 95; height < 100; height++) look(0, height);
  for (int64_t height = 100; height <= 120; height++) look(1, height);
  assert_false(cox_demo_report_is_good(report));
}

static void serving_instead_of_proving_is_a_miss_unless_preserved(void **state) {
  (void)state;
  start();
  look(1, 100); /* intent and status are INFERENCE, and nobody said that it may */
  look(1, 121);
  assert_false(cox_demo_report_is_good(report));
  assert_non_null(strstr(rendered(), "node1      1  PoC Generate  its intent was INFERENCE"));
}

static void proofs_of_another_episode_do_not_count(void **state) {
  (void)state;
  start();
  set("node1", "POC/GENERATING", "POC/GENERATING");
  json_t *const target = json_pack("{ss, ss, si}", "status", "POC", "poc", "GENERATING", "block_height", 77);
  console_explain(json_array_get(nodes, 0), "target", json_incref(target));
  console_explain(json_array_get(nodes, 0), "applied", target);
  look(1, 105);
  look(1, 121);
  assert_false(cox_demo_report_is_good(report));
}

static json_t *note(int attempt, const char *status, const char *poc, const char *outcome, int64_t started_ms, int duration_ms) {
  char text[COX_CLOCK_TEXT];
  cox_clock_format(started_ms, text);
  return json_pack("[{si, ss, ss, ss, ss, si}]", "attempt", attempt, "status", status, "poc_status", poc, "outcome", outcome, "started_at", text,
                   "duration_ms", duration_ms);
}

static void what_happened_between_two_looks_is_told_by_the_attempts(void **state) {
  (void)state;
  const struct {
    int64_t started_at; /* height */
    const char *outcome;
    bool is_good;
  } cases[] = {{117, "succeeded", true}, {121, "succeeded", false}, {90, "succeeded", false}, {117, "timeout", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    start();
    set("node1", "POC/GENERATING", "INFERENCE");
    look(1, 110);
    set("node1", "POC/VALIDATING", "POC/VALIDATING");
    console_state(json_array_get(nodes, 0), "attempts",
                  note(1, "POC", "GENERATING", cases[i].outcome, time_of(cases[i].started_at), 1500));
    look(1, 124); /* the end of generation, block 120, lies between */
    assert_int_equal(cox_demo_report_is_good(report), cases[i].is_good);
    cox_demo_report_destroy(report);
    report = cox_demo_report_create();
  }
}

static void phases_that_nobody_saw_are_judged_by_attempts_or_missed(void **state) {
  (void)state;
  start();
  set("node1", "INFERENCE", "INFERENCE");
  json_t *const attempts = note(3, "POC", "VALIDATING", "succeeded", time_of(121), 1000);
  json_t *const older = note(2, "POC", "GENERATING", "succeeded", time_of(101), 1000);
  json_array_extend(attempts, older);
  json_decref(older);
  look(1, 100);
  console_state(json_array_get(nodes, 0), "attempts", attempts);
  look(1, 140);
  look(2, 200);
  assert_string_equal(rendered(), "1 epoch, 1 node: every node followed every phase (3 of 3)\n2 attempts, 0 failed\n");
  look(3, 360);
  assert_false(cox_demo_report_is_good(report));
  assert_non_null(strstr(rendered(), "nobody looked during this phase"));
}

static void a_world_that_jumps_over_epochs_is_not_called_good(void **state) {
  (void)state;
  start();
  follow("node1", 1);
  look(9, 950);
  assert_false(cox_demo_report_is_good(report));
  assert_non_null(strstr(rendered(), "passed unseen"));
}

static void what_was_not_there_from_the_beginning_is_not_judged(void **state) {
  (void)state;
  set("node1", "POC/GENERATING", "INFERENCE");
  look(1, 110); /* the report itself begins in the middle */
  look(1, 121);
  assert_false(cox_demo_report_is_good(report));
  assert_string_equal(rendered(), "0 epochs, 1 node: no phase was seen from its beginning to its end, nothing was judged\n0 attempts, 0 failed\n");
  set("node1", "POC/VALIDATING", "POC/VALIDATING");
  look(1, 122);
  set("late", "POC/VALIDATING", "UNKNOWN");
  look(1, 125);
  look(1, 133);
  assert_string_equal(rendered(), "0 epochs, 2 nodes: every node followed every phase (1 of 1)\n0 attempts, 0 failed\n"); /* node1 in validation */
  json_array_clear(nodes); /* removed nodes miss nothing */
  look(2, 200);
  assert_int_equal(cox_demo_report_epochs(report), 0);
}

static void attempts_are_counted_once_and_failures_apart(void **state) {
  (void)state;
  start();
  static const char *const outcomes[] = {"succeeded", "timeout", "cancelled"};
  for (int i = 0; i < 3; i++) {
    console_state(json_array_get(nodes, 0), "attempts", note(i + 1, "POC", "GENERATING", outcomes[i], CONSOLE_NOW_MS, 1));
    look(0, 91 + i);
    look(0, 91 + i);
  }
  assert_non_null(strstr(rendered(), "\n3 attempts, 1 failed\n"));
}

static void a_thousand_nodes_miss_and_the_list_is_bounded(void **state) {
  (void)state;
  for (int i = 0; i < 1000; i++) {
    char id[32];
    snprintf(id, sizeof id, "node%d", i);
    json_array_append_new(nodes, console_node(id, "POC/GENERATING", "INFERENCE"));
  }
  look(0, 99);
  look(1, 100);
  look(1, 120);
  assert_non_null(strstr(rendered(), "1000 of 1000 phases were missed"));
  assert_non_null(strstr(rendered(), "\nand 800 more\n"));
}

static void odd_worlds_and_nodes_do_no_harm(void **state) {
  (void)state;
  json_t *const odd = json_loads("[{}, 5, {\"node\":{\"id\":\"a\"},\"state\":{\"attempts\":[7,{\"attempt\":\"x\"}]}}]", 0, NULL);
  const char *const worlds[] = {"{}", "[]", "{\"height\":\"5\"}", "{\"height\":5,\"epoch\":1}", "{\"height\":5,\"epoch\":1,\"stages\":{\"poc_start\":\"x\"}}",
                                "{\"height\":9,\"epoch\":1,\"stages\":{\"poc_start\":5,\"poc_generation_end\":5,\"poc_validation_end\":5,\"next_poc_start\":10}}"};
  for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
    json_t *const world = json_loads(worlds[i], 0, NULL);
    cox_demo_report_feed(report, odd, world, CONSOLE_NOW_MS);
    json_decref(world);
  }
  json_decref(odd);
  assert_false(cox_demo_report_is_good(report));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_fleet_that_follows_is_good),
      TEST(a_node_that_comes_too_late_is_named_with_epoch_phase_and_cause),
      TEST(preserved_and_disabled_nodes_are_judged_by_their_intent),
      TEST(a_disabled_node_that_does_not_stop_is_a_miss),
      TEST(serving_instead_of_proving_is_a_miss_unless_preserved),
      TEST(proofs_of_another_episode_do_not_count),
      TEST(what_happened_between_two_looks_is_told_by_the_attempts),
      TEST(phases_that_nobody_saw_are_judged_by_attempts_or_missed),
      TEST(a_world_that_jumps_over_epochs_is_not_called_good),
      TEST(what_was_not_there_from_the_beginning_is_not_judged),
      TEST(attempts_are_counted_once_and_failures_apart),
      TEST(a_thousand_nodes_miss_and_the_list_is_bounded),
      TEST(odd_worlds_and_nodes_do_no_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
