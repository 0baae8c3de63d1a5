/* The small parts of the simulated chain: faults and their specs, the order of announcements, spoilt answers, the handshake. */
#include "chain_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/chain_accept.h"
#include "sim/chain_faults.h"
#include "sim/chain_feed.h"
#include "sim/chain_spoil.h"

static struct cox_chain_faults faults;
static struct cox_chain_feed feed;

static int setup(void **unused) {
  (void)unused;
  memset(&faults, 0, sizeof faults);
  memset(&feed, 0, sizeof feed);
  return 0;
}

static void set(const char *spec) {
  struct cox_err err = {0};
  if (cox_chain_faults_set(&faults, spec, NULL, NULL, &err) != 0) fail_msg("%s: %s", spec, err.text);
}

static void expect_on(const char *expected) {
  json_t *const list = cox_chain_faults_json(&faults);
  char *const text = json_dumps(list, JSON_COMPACT);
  assert_string_equal(text, expected);
  free(text);
  json_decref(list);
}

static void refuse(const char *spec, const char *reason) {
  struct cox_err err = {0};
  const struct cox_chain_faults before = faults;
  assert_int_equal(cox_chain_faults_set(&faults, spec, NULL, NULL, &err), COX_EINVAL);
  if (strstr(err.text, reason) == NULL) fail_msg("%s: \"%s\" does not say \"%s\"", spec, err.text, reason);
  assert_memory_equal(&before, &faults, sizeof faults);
}

/* ---- faults ---- */

static void faults_are_shown_as_specs_that_would_set_them(void **unused) {
  (void)unused;
  static const char *const specs[] = {"reorder=3", "double=2", "drop=5", "drop-boundaries", "stall=7", "catching-up=10", "old-time=60",
                                      "empty-group=4", "silent", "refuse-ws=503", "slow=100", "502", "html=1", "missing", "null-fields=2",
                                      "wrong-types", "truncated=3", "huge=1000"};
  json_t *const expected = json_array();
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
    set(specs[i]);
    json_array_append_new(expected, json_string(specs[i]));
  }
  json_t *const list = cox_chain_faults_json(&faults);
  assert_true(json_equal(list, expected));
  set("off");
  expect_on("[]");
  json_decref(list);
  json_decref(expected);
}

static void a_fault_without_a_value_has_its_default(void **unused) {
  (void)unused;
  set("reorder");
  set("slow");
  expect_on("[\"reorder=2\",\"slow=2000\"]");
  set("reorder=off");
  expect_on("[\"slow=2000\"]");
}

static void a_route_has_its_own_faults_before_those_of_all(void **unused) {
  (void)unused;
  set("slow=10");
  set("model_group_data:slow=20");
  assert_int_equal(cox_chain_faults_get(&faults, COX_CHAIN_MODEL_GROUP_DATA, COX_CHAIN_SLOW).value, 20);
  assert_int_equal(cox_chain_faults_get(&faults, COX_CHAIN_GROUP_DATA, COX_CHAIN_SLOW).value, 10);
  set("model_group_data:slow=off");
  assert_int_equal(cox_chain_faults_get(&faults, COX_CHAIN_MODEL_GROUP_DATA, COX_CHAIN_SLOW).value, 10);
}

static void a_count_runs_out(void **unused) {
  (void)unused;
  set("status:502=2");
  assert_false(cox_chain_faults_take(&faults, COX_CHAIN_BLOCK, COX_CHAIN_BAD_GATEWAY));
  assert_true(cox_chain_faults_take(&faults, COX_CHAIN_STATUS, COX_CHAIN_BAD_GATEWAY));
  expect_on("[\"status:502=1\"]");
  assert_true(cox_chain_faults_take(&faults, COX_CHAIN_STATUS, COX_CHAIN_BAD_GATEWAY));
  assert_false(cox_chain_faults_take(&faults, COX_CHAIN_STATUS, COX_CHAIN_BAD_GATEWAY));
  expect_on("[]");
  set("502");
  for (int i = 0; i < 100; i++) assert_true(cox_chain_faults_take(&faults, COX_CHAIN_STATUS, COX_CHAIN_BAD_GATEWAY));
}

static void wrong_specs_are_refused_and_change_nothing(void **unused) {
  (void)unused;
  set("drop=3");
  refuse("", "is not known; known are reorder");
  refuse("dropp", "is not known");
  refuse("dro", "is not known");
  refuse("drop=", "takes a number from 1 to 2147483647 or off, not \"\"");
  refuse("drop=0", "takes a number from 1");
  refuse("drop=3x", "takes a number");
  refuse("drop=99999999999999999999", "takes a number");
  refuse("reorder=65", "from 2 to 64");
  refuse("silent=1", "takes no value but off");
  refuse("nowhere:slow", "names a route that is not known; known are status");
  refuse(":slow", "names a route that is not known");
  refuse("status:drop", "takes no route");
  refuse("half-open", "while the chain runs");
  refuse("cut-ws=off", "nothing to switch off");
  char long_spec[300];
  memset(long_spec, 'x', sizeof long_spec - 1);
  long_spec[sizeof long_spec - 1] = '\0';
  refuse(long_spec, "at most 128 characters");
}

static void note(void *ctx, enum cox_chain_fault fault, int64_t value) {
  int64_t *const noted = ctx;
  noted[0] = fault;
  noted[1] = value;
}

static void a_fault_that_is_done_once_is_handed_over_and_not_on(void **unused) {
  (void)unused;
  int64_t noted[2] = {-1, -1};
  assert_int_equal(cox_chain_faults_set(&faults, "close-ws=1012", note, noted, NULL), 0);
  assert_int_equal(noted[0], COX_CHAIN_CLOSE_WS);
  assert_int_equal(noted[1], 1012);
  expect_on("[]");
}

static void the_usage_names_every_fault_and_route(void **unused) {
  (void)unused;
  char *const usage = cox_sim_chain_usage();
  static const char *const names[] = {"reorder", "double", "drop-boundaries", "stall", "catching-up", "old-time", "empty-group", "silent",
                                      "refuse-ws", "half-open", "close-ws", "cut-ws", "slow", "502", "html", "missing", "null-fields",
                                      "wrong-types", "truncated", "huge", "model_group_data", "POST /sim/advance"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strstr(usage, names[i]) == NULL) fail_msg("the usage does not name %s", names[i]);
  }
  free(usage);
}

/* ---- the order of announcements ---- */

/* "1 2 2": what is announced when these heights are made; a boundary is every height that 5 divides. */
static const char *announced(int64_t first, int64_t last) {
  static char text[512];
  text[0] = '\0';
  for (int64_t height = first; height <= last; height++) {
    int64_t out[COX_CHAIN_FEED_MAX];
    const size_t count = cox_chain_feed_next(&feed, &faults, height, height % 5 == 0, out);
    for (size_t i = 0; i < count; i++) {
      const size_t length = strlen(text);
      snprintf(text + length, sizeof text - length, "%s%lld", length > 0 ? " " : "", (long long)out[i]);
    }
  }
  return text;
}

static void without_faults_each_block_is_announced_once_in_order(void **unused) {
  (void)unused;
  assert_string_equal(announced(1, 6), "1 2 3 4 5 6");
}

static void reordered_blocks_come_in_reverse(void **unused) {
  (void)unused;
  set("reorder=3");
  assert_string_equal(announced(1, 6), "3 2 1 6 5 4");
}

static void blocks_kept_back_come_with_the_next_when_reordering_ends(void **unused) {
  (void)unused;
  set("reorder=4");
  assert_string_equal(announced(1, 2), "");
  set("reorder=off");
  assert_string_equal(announced(3, 4), "1 2 3 4");
}

static void doubled_blocks_come_twice(void **unused) {
  (void)unused;
  set("double");
  assert_string_equal(announced(1, 3), "1 1 2 2 3 3");
}

static void dropped_blocks_never_come(void **unused) {
  (void)unused;
  set("drop=3");
  assert_string_equal(announced(1, 7), "1 2 4 5 7");
  set("drop=1");
  assert_string_equal(announced(8, 20), "");
}

static void only_boundaries_are_dropped(void **unused) {
  (void)unused;
  set("drop-boundaries");
  assert_string_equal(announced(4, 11), "4 6 7 8 9 11");
}

static void faults_of_blocks_add_up(void **unused) {
  (void)unused;
  set("drop-boundaries");
  set("double");
  set("reorder=2");
  assert_string_equal(announced(4, 7), "6 6 4 4");
  set("double=16");
  set("reorder=64");
  announced(8, 100); /* the largest of both fit */
}

/* ---- spoilt answers ---- */

static void expect_json(json_t *made, const char *expected) {
  json_t *const wanted = json_loads(expected, 0, NULL);
  char *const text = json_dumps(made, JSON_COMPACT);
  if (!json_equal(made, wanted)) fail_msg("%s instead of %s", text, expected);
  free(text);
  json_decref(wanted);
  json_decref(made);
}

static void every_value_gets_another_type(void **unused) {
  (void)unused;
  json_t *const answer = json_loads("{\"a\":{\"s\":\"1\",\"i\":1,\"t\":true,\"n\":null,\"l\":[1]},\"r\":0.5}", 0, NULL);
  expect_json(cox_chain_spoil_types(answer), "{\"a\":{\"s\":7,\"i\":\"seven\",\"t\":\"yes\",\"n\":\"seven\",\"l\":{}},\"r\":\"seven\"}");
  json_decref(answer);
}

static void fields_at_a_depth_become_null(void **unused) {
  (void)unused;
  json_t *const answer = json_loads("{\"a\":{\"b\":{\"c\":1},\"l\":[{\"d\":2}]},\"e\":3}", 0, NULL);
  expect_json(cox_chain_spoil_nulls(answer, 1), "{\"a\":null,\"e\":null}");
  expect_json(cox_chain_spoil_nulls(answer, 2), "{\"a\":{\"b\":null,\"l\":null},\"e\":3}");
  expect_json(cox_chain_spoil_nulls(answer, 3), "{\"a\":{\"b\":{\"c\":null},\"l\":[{\"d\":null}]},\"e\":3}");
  json_decref(answer);
}

static void a_padded_answer_is_valid_and_as_large_as_asked(void **unused) {
  (void)unused;
  static const char *const answers[] = {"{}", "{\"a\":1}"};
  for (size_t i = 0; i < 2; i++) {
    struct cox_buf text = {0};
    cox_buf_addf(&text, "%s", answers[i]);
    assert_true(cox_chain_spoil_size(&text, 5000));
    assert_in_range(text.len, 5000, 5100);
    json_t *const json = json_loadb(text.data, text.len, 0, NULL);
    assert_int_equal(json_object_size(json), 1 + i);
    json_decref(json);
    cox_buf_fini(&text);
  }
}

/* ---- the handshake ---- */

static void the_handshake_of_the_standard_is_answered_as_it_says(void **unused) {
  (void)unused;
  char accept[COX_CHAIN_ACCEPT_BYTES];
  assert_true(cox_chain_accept("dGhlIHNhbXBsZSBub25jZQ==", accept)); /* RFC 6455, section 1.3 */
  assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void keys_that_are_not_16_bytes_are_refused(void **unused) {
  (void)unused;
  char accept[COX_CHAIN_ACCEPT_BYTES];
  static const char *const keys[] = {"", "short", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBs ZSBub25jZQ==",
                                     "dGhlIHNhbXBsZSBub25jZQAA", "========================"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) assert_false(cox_chain_accept(keys[i], accept));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, setup)
      TEST(faults_are_shown_as_specs_that_would_set_them),
      TEST(a_fault_without_a_value_has_its_default),
      TEST(a_route_has_its_own_faults_before_those_of_all),
      TEST(a_count_runs_out),
      TEST(wrong_specs_are_refused_and_change_nothing),
      TEST(a_fault_that_is_done_once_is_handed_over_and_not_on),
      TEST(the_usage_names_every_fault_and_route),
      TEST(without_faults_each_block_is_announced_once_in_order),
      TEST(reordered_blocks_come_in_reverse),
      TEST(blocks_kept_back_come_with_the_next_when_reordering_ends),
      TEST(doubled_blocks_come_twice),
      TEST(dropped_blocks_never_come),
      TEST(only_boundaries_are_dropped),
      TEST(faults_of_blocks_add_up),
      TEST(every_value_gets_another_type),
      TEST(fields_at_a_depth_become_null),
      TEST(a_padded_answer_is_valid_and_as_large_as_asked),
      TEST(the_handshake_of_the_standard_is_answered_as_it_says),
      TEST(keys_that_are_not_16_bytes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
