/* The shipped scripts in the real runtime, under a fake clock: commands set intents, drivers run as fibers on scripted answers. */
#include "fake_core.h"

#include <stdlib.h>
#include <string.h>

#include "script/script.h"

static struct cox_script *script;
static struct fake *f; /* its broker runs the policy of the scripts */

static void print_faults(struct cox_faults *faults) {
  for (size_t i = 0; i < faults->count; i++) print_error("%s:%d: %s\n", faults->list[i].file, faults->list[i].line, faults->list[i].text);
  cox_faults_fini(faults);
}

static int setup(void **state) {
  (void)state;
  f = fake_create(-1);
  struct cox_faults faults = {0};
  const struct cox_script_options options = {.scripts_dir = "scripts", .library_dir = "lua", .clock = &f->clock};
  script = cox_script_create(&options, &faults);
  print_faults(&faults);
  if (script == NULL) return -1;
  json_t *const participant = json_pack("{ss, ss}", "address", "gonka1test", "pubkey", "Atest");
  fake_use_policy(f, cox_script_policy(script), participant, "http://10.0.0.5:9100");
  json_decref(participant);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(f);
  cox_script_destroy(script);
  return 0;
}

static void register_node(const char *id, int port) {
  assert_int_equal(fake_send(f, "register_node", json_pack("{so}", "node", fake_node(id, port))), COX_ANSWER_DONE);
}

/* Epochs of 100 blocks: stage 20, delay 2, validation 10, as in the network's own tests. */
static enum cox_outcome send_block(int height, int epoch, int start) {
  return fake_send(f, "new_block",
                   json_pack("{si, so, s{si, si}, s{si, si, si, si}}", "height", height, "hash", json_sprintf("H%d", height), "epoch",
                             "index", epoch, "poc_start_block_height", start, "params", "epoch_length", 100, "poc_stage_duration", 20,
                             "poc_validation_delay", 2, "poc_validation_duration", 10));
}

static const char *issued_status(void) {
  const json_t *const first = json_array_get(json_object_get(f->last.result, "issued"), 0);
  const char *const text = json_string_value(json_object_get(first, "status"));
  return text != NULL ? text : "none";
}

static json_t *target_of(const char *id) {
  static json_t *kept;
  json_decref(kept);
  kept = cox_broker_node_json(f->broker, id);
  return json_object_get(json_object_get(json_object_get(kept, "state"), "explain"), "target");
}

static void blocks_drive_the_intents_through_the_phases(void **state) {
  (void)state;
  register_node("node1", 5000);
  register_node("node2", 5001);
  assert_int_equal(send_block(99, 0, 0), COX_ANSWER_DONE);
  assert_string_equal(issued_status(), "done");
  assert_string_equal(fake_state(f, "node1", "intended_status"), "INFERENCE");
  assert_int_equal(f->started, 2);
  assert_int_equal(send_block(100, 1, 100), COX_ANSWER_DONE);
  assert_string_equal(fake_state(f, "node2", "poc_intended_status"), "GENERATING");
  assert_string_equal(json_string_value(json_object_get(target_of("node2"), "block_hash")), "H100");
  assert_int_equal(json_integer_value(json_object_get(target_of("node2"), "node_id")), 1);
  assert_int_equal(json_integer_value(json_object_get(target_of("node1"), "node_count")), 2);
  send_block(101, 1, 100);
  assert_string_equal(issued_status(), "none");
  send_block(116, 1, 100);
  assert_string_equal(fake_state(f, "node1", "poc_intended_status"), "GENERATING");
  send_block(120, 1, 100);
  assert_string_equal(fake_state(f, "node1", "poc_intended_status"), "VALIDATING");
  assert_string_equal(json_string_value(json_object_get(target_of("node1"), "block_hash")), "H100");
  send_block(133, 1, 100);
  assert_string_equal(fake_state(f, "node1", "intended_status"), "INFERENCE");
  assert_string_equal(json_string_value(json_object_get(target_of("node1"), "model")), "m");
}

static void a_command_in_the_wrong_phase_is_skipped_with_the_reason(void **state) {
  (void)state;
  assert_int_equal(fake_send(f, "start_poc", json_object()), COX_ANSWER_SKIPPED);
  assert_non_null(strstr(f->last.reason, "no block"));
  send_block(50, 0, 0);
  assert_int_equal(fake_send(f, "start_poc", json_object()), COX_ANSWER_SKIPPED);
  assert_non_null(strstr(f->last.reason, "only in PoCGenerate: the phase is Inference at height 50"));
  assert_int_equal(send_block(49, 0, 0), COX_ANSWER_SKIPPED);
}

static void wrong_arguments_are_named_and_nothing_is_changed(void **state) {
  (void)state;
  assert_int_equal(fake_send(f, "set_admin_state", json_pack("{ss}", "node_id", "node1")), COX_ANSWER_ERROR);
  assert_int_equal(f->last.err.code, COX_EINVAL);
  assert_non_null(strstr(f->last.err.text, "enabled is required"));
  assert_int_equal(fake_send(f, "set_admin_state", json_pack("{ss, sb}", "node_id", "typo", "enabled", 1)), COX_ANSWER_ERROR);
  assert_int_equal(f->last.err.code, COX_ENOENT);
  assert_int_equal(fake_send(f, "new_block", json_pack("{ss}", "height", "ten")), COX_ANSWER_ERROR);
  assert_int_equal(fake_send(f, "reconcile", json_pack("{si}", "nodes", 1)), COX_ANSWER_ERROR);
  assert_non_null(strstr(f->last.err.text, "unknown argument nodes"));
  assert_int_equal(fake_send(f, "register_node", json_pack("{s{ss}}", "node", "id", "a")), COX_ANSWER_ERROR);
  assert_non_null(strstr(f->last.err.text, "host is required"));
}

static void integers_beyond_two_to_the_53_stay_exact(void **state) {
  (void)state;
  const json_int_t height = 9007199254740993; /* 2^53 + 1 */
  fake_send(f, "new_block", json_pack("{sI, ss}", "height", height, "hash", "AB"));
  assert_int_equal(json_integer_value(json_object_get(f->last.result, "height")), height);
}

static void epoch_models_and_preserved_nodes_come_through_the_world(void **state) {
  (void)state;
  register_node("node1", 5000);
  register_node("node2", 5001);
  json_t *const args = json_pack("{si, ss, s{si, si}, s{si, si, si, si}, s{s[{ss, s[s]}]}, s[s]}", "height", 100, "hash", "H100", "epoch",
                                 "index", 1, "poc_start_block_height", 100, "params", "epoch_length", 100, "poc_stage_duration", 20,
                                 "poc_validation_delay", 2, "poc_validation_duration", 10, "epoch_models", "node1", "id", "big",
                                 "model_args", "--x", "preserved", "node1");
  assert_int_equal(fake_send(f, "new_block", args), COX_ANSWER_DONE);
  assert_string_equal(fake_state(f, "node1", "intended_status"), "INFERENCE");
  assert_string_equal(json_string_value(json_object_get(target_of("node1"), "model")), "big");
  assert_string_equal(fake_state(f, "node2", "intended_status"), "POC");
  assert_int_equal(send_block(101, 1, 100), COX_ANSWER_DONE); /* what is left out keeps its last value */
  json_t *const world = cox_broker_world_json(f->broker);
  assert_true(json_is_true(json_object_get(json_object_get(world, "preserved"), "node1")));
  assert_int_equal(json_object_size(json_object_get(world, "epoch_models")), 1);
  json_decref(world);
}

static void removed_and_updated_nodes_are_seen_by_later_handlers(void **state) {
  (void)state;
  register_node("node1", 5000);
  send_block(50, 0, 0);
  json_t *const node = fake_node("node1", 5000);
  json_object_set_new(node, "models", json_pack("{s{s[s]}}", "other", "args", "--y"));
  assert_int_equal(fake_send(f, "update_node", json_pack("{so}", "node", node)), COX_ANSWER_DONE);
  assert_string_equal(json_string_value(json_object_get(target_of("node1"), "model")), "other");
  assert_int_equal(fake_send(f, "remove_node", json_pack("{ss}", "node_id", "node1")), COX_ANSWER_DONE);
  assert_true(json_is_true(json_object_get(f->last.result, "removed")));
  assert_int_equal(fake_send(f, "remove_node", json_pack("{ss}", "node_id", "node1")), COX_ANSWER_DONE);
  assert_true(json_is_false(json_object_get(f->last.result, "removed")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(blocks_drive_the_intents_through_the_phases),
      TEST(a_command_in_the_wrong_phase_is_skipped_with_the_reason),
      TEST(wrong_arguments_are_named_and_nothing_is_changed),
      TEST(integers_beyond_two_to_the_53_stay_exact),
      TEST(epoch_models_and_preserved_nodes_come_through_the_world),
      TEST(removed_and_updated_nodes_are_seen_by_later_handlers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
