/* The made-up chain as a state machine, under a time that the spec makes: blocks, epochs, phases, who serves what. */
#include "chain_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/chain_state.h"

static const int64_t START_MS = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */

static struct cox_chain_state *state;
static json_t *nodes;
static int64_t now_ms;

static struct cox_chain_state_options options_of(json_t *params) {
  now_ms = START_MS;
  return (struct cox_chain_state_options){.epoch_params = params, .nodes = nodes, .participant = "gonka1me", .first_height = 1,
                                          .first_time_ms = now_ms, .block_ms = 1000};
}

static void begin(struct cox_chain_state_options options) {
  struct cox_err err = {0};
  cox_chain_state_destroy(state);
  state = cox_chain_state_create(&options, &err);
  if (state == NULL) fail_msg("%s", err.text);
}

static int setup(void **unused) {
  (void)unused;
  nodes = chain_nodes(3);
  begin(options_of(NULL));
  return 0;
}

static int teardown(void **unused) {
  (void)unused;
  cox_chain_state_destroy(state);
  json_decref(nodes);
  state = NULL;
  return 0;
}

static void advance_to(int64_t height) {
  while (cox_chain_state_height(state) < height) cox_chain_state_advance(state, now_ms += 1000);
}

static const char *phase_at(int64_t height) { return cox_chain_phase_name(cox_chain_state_phase(state, height)); }

static struct cox_chain_block block_of(int64_t height) {
  struct cox_chain_block block = {0};
  assert_true(cox_chain_state_block(state, height, &block));
  return block;
}

static void blocks_have_the_hashes_of_the_clock_feed(void **unused) {
  (void)unused;
  advance_to(7);
  assert_string_equal(block_of(1).hash, "6E73E372E2338ACAE474C66A4B98B030DBEF19FC8E7B845F7DE4EB0C26F3F89E");
  assert_string_equal(block_of(7).hash, "905C768AD49F146CB579D288DF624BB6BC579644A7670405751CC222B4083479");
  struct cox_chain_state_options options = options_of(NULL);
  options.first_height = INT64_C(1) << 61;
  begin(options);
  assert_string_equal(block_of(INT64_C(1) << 61).hash, "481EC0A212A9F3DBC46FA638A630901261A685FFC80A8140592E268383E356F9");
}

static void there_is_no_block_before_the_first_and_after_the_newest(void **unused) {
  (void)unused;
  struct cox_chain_block block;
  advance_to(3);
  assert_false(cox_chain_state_block(state, 0, &block));
  assert_true(cox_chain_state_block(state, 1, &block));
  assert_true(cox_chain_state_block(state, 3, &block));
  assert_false(cox_chain_state_block(state, 4, &block));
}

static void block_times_are_those_given_and_never_go_back(void **unused) {
  (void)unused;
  cox_chain_state_advance(state, START_MS + 1234);
  cox_chain_state_advance(state, START_MS - 5000); /* the machine's clock was set back */
  cox_chain_state_advance(state, START_MS + 2000);
  assert_int_equal(block_of(1).time_ms, START_MS);
  assert_int_equal(block_of(2).time_ms, START_MS + 1234);
  assert_int_equal(block_of(3).time_ms, START_MS + 1234);
  assert_int_equal(block_of(4).time_ms, START_MS + 2000);
}

static void times_of_old_blocks_are_counted_back(void **unused) {
  (void)unused;
  advance_to(5000);
  assert_int_equal(block_of(5000).time_ms, START_MS + 4999000);
  assert_int_equal(block_of(10).time_ms, START_MS + 9000);
}

static void every_phase_begins_at_its_boundary(void **unused) {
  (void)unused;
  static const struct {
    int64_t height;
    const char *phase;
  } expected[] = {
      /* epoch_length 100, s 20, d 2, v 10: epoch 1 starts at 1 + 50 */
      {1, "Inference"},           {50, "Inference"},           {51, "PoCGenerate"},  {66, "PoCGenerate"}, {67, "PoCGenerateWindDown"},
      {71, "PoCGenerateWindDown"}, {72, "PoCGenerateWindDown"}, {73, "PoCValidate"},  {80, "PoCValidate"}, {81, "PoCValidateWindDown"},
      {82, "PoCValidateWindDown"}, {83, "Inference"},           {150, "Inference"},   {151, "PoCGenerate"}, {167, "PoCGenerateWindDown"},
      {173, "PoCValidate"},        {181, "PoCValidateWindDown"}, {183, "Inference"},
  };
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) assert_string_equal(phase_at(expected[i].height), expected[i].phase);
}

static void four_fifths_are_truncated(void **unused) {
  (void)unused;
  json_t *const params = json_pack("{s:i, s:i, s:i, s:i, s:i}", "epoch_length", 20, "poc_stage_duration", 7, "poc_validation_delay", 0,
                                   "poc_validation_duration", 3, "set_new_validators_delay", 0);
  begin(options_of(params));
  json_decref(params);
  assert_string_equal(phase_at(10), "Inference"); /* a = 11 */
  assert_string_equal(phase_at(15), "PoCGenerate"); /* 0.8 × 7 = 5.6 → 5 */
  assert_string_equal(phase_at(16), "PoCGenerateWindDown");
  assert_string_equal(phase_at(18), "PoCValidate"); /* 0.8 × 3 = 2.4 → 2 */
  assert_string_equal(phase_at(19), "PoCValidate");
  assert_string_equal(phase_at(20), "PoCValidateWindDown");
  assert_string_equal(phase_at(21), "Inference");
}

static void boundaries_are_where_a_phase_or_the_command_due_changes(void **unused) {
  (void)unused;
  static const int64_t expected[] = {51, 67, 71, 73, 81, 83, 151, 167, 171, 173, 181, 183};
  size_t found = 0;
  for (int64_t height = 1; height <= 200; height++) {
    if (!cox_chain_is_boundary(height, cox_chain_state_epoch(state, height), cox_chain_state_params(state))) continue;
    assert_true(found < sizeof expected / sizeof *expected);
    assert_int_equal(height, expected[found++]);
  }
  assert_int_equal(found, sizeof expected / sizeof *expected);
}

static void epochs_follow_each_other_by_one_length(void **unused) {
  (void)unused;
  assert_int_equal(cox_chain_state_epoch(state, 50).index, 0);
  assert_int_equal(cox_chain_state_epoch(state, 50).poc_start, 0);
  assert_int_equal(cox_chain_state_epoch(state, 51).index, 1);
  assert_int_equal(cox_chain_state_epoch(state, 51).poc_start, 51);
  assert_int_equal(cox_chain_state_epoch(state, 150).index, 1);
  assert_int_equal(cox_chain_state_epoch(state, 151).index, 2);
  assert_int_equal(cox_chain_state_epoch(state, 1000051).index, 10001);
  assert_int_equal(cox_chain_state_epoch(state, 1000051).poc_start, 1000051);
}

static void epoch_info_has_64_bit_integers_as_strings(void **unused) {
  (void)unused;
  json_t *const info = cox_chain_state_epoch_info(state, 60);
  assert_string_equal(chain_text(info, "block_height"), "60");
  assert_string_equal(chain_text(info, "latest_epoch.index"), "1");
  assert_string_equal(chain_text(info, "latest_epoch.poc_start_block_height"), "51");
  assert_string_equal(chain_text(info, "params.epoch_params.epoch_length"), "100");
  assert_string_equal(chain_text(info, "params.epoch_params.epoch_shift"), "0");
  assert_string_equal(chain_text(info, "params.epoch_params.inference_validation_cutoff"), "0");
  assert_true(json_is_null(chain_at(info, "params.validation_params")));
  json_decref(info);
}

static void heights_beyond_2_to_the_53_stay_exact(void **unused) {
  (void)unused;
  struct cox_chain_state_options options = options_of(NULL);
  options.first_height = (INT64_C(1) << 53) + 1;
  begin(options);
  advance_to((INT64_C(1) << 53) + 61);
  json_t *const info = cox_chain_state_epoch_info(state, cox_chain_state_height(state));
  assert_string_equal(chain_text(info, "block_height"), "9007199254741053");
  assert_string_equal(chain_text(info, "latest_epoch.poc_start_block_height"), "9007199254741043");
  json_decref(info);
}

static json_t *group_of(int64_t height, int64_t epoch, const char *model) {
  return cox_chain_state_group_data(state, height, epoch, model);
}

/* "node1:tf node2:tt": the nodes of a group with their two time slots. */
static const char *members_of(int64_t height, int64_t epoch, const char *model) {
  static char text[256];
  text[0] = '\0';
  json_t *const group = group_of(height, epoch, model);
  const json_t *const list = chain_at(group, "epoch_group_data.validation_weights.0.ml_nodes");
  size_t i;
  json_t *node;
  json_array_foreach(list, i, node) {
    const size_t length = strlen(text);
    snprintf(text + length, sizeof text - length, "%s%s:%c%c", i > 0 ? " " : "", chain_text(node, "node_id"),
             json_is_true(chain_at(node, "timeslot_allocation.0")) ? 't' : 'f',
             json_is_true(chain_at(node, "timeslot_allocation.1")) ? 't' : 'f');
    assert_int_equal(json_array_size(json_object_get(node, "timeslot_allocation")), 2);
    assert_true(json_is_string(json_object_get(node, "poc_weight")));
  }
  json_decref(group);
  return text;
}

static void a_node_is_in_the_group_of_its_first_model(void **unused) {
  (void)unused;
  json_t *const parent = group_of(60, 1, "");
  assert_int_equal(json_array_size(chain_at(parent, "epoch_group_data.sub_group_models")), 2);
  assert_string_equal(chain_text(parent, "epoch_group_data.sub_group_models.0"), "m1");
  assert_string_equal(chain_text(parent, "epoch_group_data.sub_group_models.1"), "shared");
  assert_string_equal(chain_text(parent, "epoch_group_data.epoch_index"), "1");
  assert_string_equal(chain_text(parent, "epoch_group_data.poc_start_block_height"), "51");
  assert_true(json_is_null(chain_at(parent, "epoch_group_data.model_snapshot")));
  json_decref(parent);
  assert_string_equal(members_of(60, 1, "m1"), "node1:tf node3:tf");
  assert_string_equal(members_of(60, 1, "shared"), "node2:tf");
}

static void a_model_group_carries_its_model_and_its_member(void **unused) {
  (void)unused;
  json_t *const group = group_of(60, 1, "shared");
  assert_string_equal(chain_text(group, "epoch_group_data.model_id"), "shared");
  assert_string_equal(chain_text(group, "epoch_group_data.model_snapshot.id"), "shared");
  assert_string_equal(chain_text(group, "epoch_group_data.model_snapshot.model_args.1"), "4096");
  assert_string_equal(chain_text(group, "epoch_group_data.validation_weights.0.member_address"), "gonka1me");
  assert_int_equal(json_array_size(chain_at(group, "epoch_group_data.sub_group_models")), 0);
  json_decref(group);
}

static void rotating_nodes_change_their_model_from_epoch_to_epoch(void **unused) {
  (void)unused;
  struct cox_chain_state_options options = options_of(NULL);
  options.is_rotating = true;
  begin(options);
  assert_string_equal(members_of(160, 1, "shared"), "node1:tf node2:tf node3:tf");
  assert_null(group_of(160, 1, "m1"));
  assert_string_equal(members_of(160, 2, "m1"), "node1:tf node3:tf");
}

static void what_does_not_exist_is_not_found(void **unused) {
  (void)unused;
  assert_null(group_of(60, 2, ""));
  assert_null(group_of(60, INT64_MAX, ""));
  assert_null(group_of(60, -1, ""));
  assert_null(group_of(60, 1, "nobody's"));
}

static void the_newest_group_is_empty_at_the_border_for_so_many_blocks(void **unused) {
  (void)unused;
  cox_chain_state_set_border(state, 3);
  for (int64_t height = 151; height < 154; height++) {
    json_t *const parent = group_of(height, 2, "");
    assert_int_equal(json_array_size(chain_at(parent, "epoch_group_data.sub_group_models")), 0);
    assert_int_equal(json_array_size(chain_at(parent, "epoch_group_data.validation_weights")), 0);
    json_decref(parent);
    assert_null(group_of(height, 2, "shared"));
    assert_string_equal(members_of(height, 1, "shared"), "node2:tf"); /* the epoch before still answers */
  }
  assert_string_equal(members_of(154, 2, "shared"), "node2:tf");
  assert_string_equal(members_of(1, 0, "shared"), "node2:tf"); /* epoch 0 has no border */
}

static void preserved_nodes_have_the_second_slot(void **unused) {
  (void)unused;
  json_t *const ids = json_pack("[s]", "node3");
  struct cox_chain_state_options options = options_of(NULL);
  options.preserved = ids;
  begin(options);
  json_decref(ids);
  assert_string_equal(members_of(60, 0, "m1"), "node1:tf node3:tt");
  assert_string_equal(members_of(60, 1, "m1"), "node1:tf node3:tt");
}

static void a_change_of_the_preserved_leaves_earlier_epochs_alone(void **unused) {
  (void)unused;
  json_t *const first = json_pack("[s]", "node1"), *const none = json_array();
  assert_int_equal(cox_chain_state_preserve(state, 1, first, NULL), 0);
  assert_int_equal(cox_chain_state_preserve(state, 3, none, NULL), 0);
  assert_string_equal(members_of(400, 0, "m1"), "node1:tf node3:tf");
  assert_string_equal(members_of(400, 1, "m1"), "node1:tt node3:tf");
  assert_string_equal(members_of(400, 2, "m1"), "node1:tt node3:tf");
  assert_string_equal(members_of(400, 3, "m1"), "node1:tf node3:tf");
  json_decref(first);
  json_decref(none);
}

static void the_table_of_changes_is_bounded(void **unused) {
  (void)unused;
  struct cox_err err = {0};
  json_t *const ids = json_pack("[s]", "node1");
  int rc = 0;
  for (int i = 0; i < 2000 && rc == 0; i++) rc = cox_chain_state_preserve(state, 1, ids, &err);
  assert_int_equal(rc, COX_EFULL);
  assert_non_null(strstr(err.text, "1024 times"));
  json_decref(ids);
}

static void hardware_is_registered_and_can_be_replaced(void **unused) {
  (void)unused;
  struct cox_chain_fleet *const fleet = cox_chain_state_fleet(state);
  json_t *answer = cox_chain_fleet_hardware(fleet, "gonka1me");
  assert_int_equal(json_array_size(chain_at(answer, "nodes.hardware_nodes")), 3);
  assert_string_equal(chain_text(answer, "nodes.hardware_nodes.0.local_id"), "node1");
  assert_string_equal(chain_text(answer, "nodes.hardware_nodes.0.status"), "INFERENCE");
  assert_string_equal(chain_text(answer, "nodes.hardware_nodes.0.port"), "8001");
  json_decref(answer);
  json_t *const none = json_array();
  assert_int_equal(cox_chain_fleet_set_hardware(fleet, none, NULL), 0);
  json_decref(none);
  answer = cox_chain_fleet_hardware(fleet, "gonka1me");
  assert_true(json_is_null(json_object_get(answer, "nodes")));
  json_decref(answer);
  struct cox_err err = {0};
  json_t *const bad = json_pack("[{s:s, s:s}]", "local_id", "x", "status", "SLEEPING");
  assert_int_equal(cox_chain_fleet_set_hardware(fleet, bad, &err), COX_EINVAL);
  assert_non_null(strstr(err.text, "status must be"));
  json_decref(bad);
}

static void another_participant_has_no_hardware(void **unused) {
  (void)unused;
  json_t *const answer = cox_chain_fleet_hardware(cox_chain_state_fleet(state), "gonka1other");
  assert_true(json_is_null(json_object_get(answer, "nodes")));
  json_decref(answer);
}

static void all_models_are_listed_once(void **unused) {
  (void)unused;
  json_t *const all = cox_chain_fleet_models_all(cox_chain_state_fleet(state));
  assert_int_equal(json_array_size(json_object_get(all, "model")), 2);
  assert_string_equal(chain_text(all, "model.0.id"), "m1");
  assert_string_equal(chain_text(all, "model.1.hf_repo"), "shared");
  assert_string_equal(chain_text(all, "pagination.total"), "2");
  json_decref(all);
}

static void refuse(struct cox_chain_state_options options, const char *reason) {
  struct cox_err err = {0};
  struct cox_chain_state *const made = cox_chain_state_create(&options, &err);
  assert_null(made);
  if (strstr(err.text, reason) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
}

static void refuse_params(const char *text, const char *reason) {
  json_t *const params = json_loads(text, JSON_DECODE_ANY, NULL);
  refuse(options_of(params), reason);
  json_decref(params);
}

static void wrong_parameters_are_refused_with_the_reason(void **unused) {
  (void)unused;
  refuse_params("[]", "must be an object");
  refuse_params("{\"epoch_lenght\": 100}", "epoch_lenght is no epoch parameter");
  refuse_params("{\"epoch_length\": -1}", "epoch_length must be a whole number");
  refuse_params("{\"epoch_length\": 1.5}", "epoch_length must be a whole number");
  refuse_params("{\"epoch_length\": \"\"}", "epoch_length must be a whole number");
  refuse_params("{\"epoch_length\": \"12x\"}", "epoch_length must be a whole number");
  refuse_params("{\"epoch_length\": 9007199254740993}", "epoch_length must be a whole number");
  refuse_params("{\"epoch_length\": 34}", "are 35: give it at least that");
}

static void parameters_may_be_numbers_in_strings(void **unused) {
  (void)unused;
  json_t *const params = json_pack("{s:s}", "epoch_length", "50");
  begin(options_of(params));
  json_decref(params);
  assert_int_equal(cox_chain_state_params(state)->epoch_length, 50);
}

static void wrong_options_are_refused_with_the_reason(void **unused) {
  (void)unused;
  struct cox_chain_state_options options = options_of(NULL);
  options.first_height = 0;
  refuse(options, "start height must be from 1");
  options = options_of(NULL);
  options.participant = "";
  refuse(options, "participant's address");
  options = options_of(NULL);
  options.preserved = json_pack("[s]", "node9");
  refuse(options, "node9 is not among the chain's nodes");
  json_decref((json_t *)(uintptr_t)options.preserved);
  options.preserved = json_pack("[i]", 1);
  refuse(options, "must be a list of node ids");
  json_decref((json_t *)(uintptr_t)options.preserved);
}

static void wrong_nodes_are_refused_with_the_reason(void **unused) {
  (void)unused;
  json_array_append(nodes, json_array_get(nodes, 0));
  refuse(options_of(NULL), "node node1 is given twice");
  json_array_remove(nodes, 3);
  json_array_append_new(nodes, json_pack("{s:s}", "id", "x"));
  refuse(options_of(NULL), "host is required");
}

static void a_chain_without_nodes_has_empty_groups(void **unused) {
  (void)unused;
  struct cox_chain_state_options options = options_of(NULL);
  options.nodes = NULL;
  begin(options);
  json_t *const parent = group_of(60, 1, "");
  assert_int_equal(json_array_size(chain_at(parent, "epoch_group_data.sub_group_models")), 0);
  json_decref(parent);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(blocks_have_the_hashes_of_the_clock_feed),
      TEST(there_is_no_block_before_the_first_and_after_the_newest),
      TEST(block_times_are_those_given_and_never_go_back),
      TEST(times_of_old_blocks_are_counted_back),
      TEST(every_phase_begins_at_its_boundary),
      TEST(four_fifths_are_truncated),
      TEST(boundaries_are_where_a_phase_or_the_command_due_changes),
      TEST(epochs_follow_each_other_by_one_length),
      TEST(epoch_info_has_64_bit_integers_as_strings),
      TEST(heights_beyond_2_to_the_53_stay_exact),
      TEST(a_node_is_in_the_group_of_its_first_model),
      TEST(a_model_group_carries_its_model_and_its_member),
      TEST(rotating_nodes_change_their_model_from_epoch_to_epoch),
      TEST(what_does_not_exist_is_not_found),
      TEST(the_newest_group_is_empty_at_the_border_for_so_many_blocks),
      TEST(preserved_nodes_have_the_second_slot),
      TEST(a_change_of_the_preserved_leaves_earlier_epochs_alone),
      TEST(the_table_of_changes_is_bounded),
      TEST(hardware_is_registered_and_can_be_replaced),
      TEST(another_participant_has_no_hardware),
      TEST(all_models_are_listed_once),
      TEST(wrong_parameters_are_refused_with_the_reason),
      TEST(parameters_may_be_numbers_in_strings),
      TEST(wrong_options_are_refused_with_the_reason),
      TEST(wrong_nodes_are_refused_with_the_reason),
      TEST(a_chain_without_nodes_has_empty_groups),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
