/* Targets that a handler sets one after another: what is as in the one before is taken from there, and what is not is converted. */
#include "fake_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostile.h"
#include "script/script.h"

static const char command[] =
    "return {\n"
    "  help = 'Registers nodes and gives each its target.',\n"
    "  run = function(broker)\n"
    "    local targets = {\n"
    "      { status = 'INFERENCE', model = 'm', args = { '--a', '1' } },\n"
    "      { status = 'INFERENCE', model = 'm', args = { '--a', '1' } },\n"
    "      { status = 'INFERENCE', model = 'M', args = { '--a', '2' } },\n"
    "      { status = 'INFERENCE', model = 'M', args = { '--a', '2', '3' } },\n"
    "      { status = 'INFERENCE', model = 'M', args = { '--a' } },\n"
    "      { status = 'INFERENCE', model = 'M', args = json.array {} },\n"
    "      { status = 'STOPPED' },\n"
    "      { status = 'POC', poc = 'GENERATING', node_id = 1, node_count = 9, block_hash = 'A' },\n"
    "      { status = 'POC', poc = 'VALIDATING', node_id = 2, node_count = 9, block_hash = 'A' },\n"
    "      { status = 'POC', poc = 'VALIDATING', node_id = 2.0, node_count = json.null, block_hash = 'B' },\n"
    "      { status = 'INFERENCE', model = 'M', args = {}, reason = ('its own '):rep(1000) .. 'ä' },\n"
    "    }\n"
    "    local bad = {\n"
    "      { status = 'INFERENCE', args = { '--a', '1', x = 1 } },\n"
    "      { status = 'INFERENCE', args = { '--a', [3] = '1' } },\n"
    "      { status = 'INFERENCE', [1] = 'x' },\n"
    "      { status = 'INFERENCE', modell = 'm' },\n"
    "      { status = 'inference' },\n"
    "      { poc = 'GENERATING' },\n"
    "      { status = 'STOPPED', poc = 'VALIDATING' },\n"
    "      { status = 'STOPPED', model = '\\xff' },\n"
    "      { status = 'STOPPED', model = print },\n"
    "      { status = 'INFERENCE', model = 42 },\n"
    "      { status = 'INFERENCE', model = true },\n"
    "      { status = 'INFERENCE', model = ('x'):rep(1024 * 1024 + 1) },\n"
    "      { status = 'INFERENCE', model = 'm', args = '--a' },\n"
    "      { status = 'INFERENCE', model = 'm', args = { a = '1' } },\n"
    "      { status = 'INFERENCE', model = 'm', args = { 1, '--a' } },\n"
    "      { status = 'POC', poc = 'GENERATING', node_count = -1 },\n"
    "      { status = 'POC', poc = 'GENERATING', node_count = 1.5 },\n"
    "      { status = 'POC', poc = 'GENERATING', node_id = '1' },\n"
    "      { status = 'POC', poc = 'GENERATING', block_hash = 7 },\n"
    "      { status = 'TRAINING', task = 'x' },\n"
    "      { status = 'INFERENCE', drain_s = 1e300 },\n"
    "    }\n"
    "    local errors = json.array {}\n"
    "    for i, target in ipairs(targets) do\n"
    "      local node = broker:register { id = 'node' .. i, host = '10.0.0.1', inference_port = i, poc_port = 100 + i,\n"
    "        max_concurrent = 1, models = { m = { args = {} } } }\n"
    "      node:intend(target, i < 11 and 'as told' or nil)\n"
    "      for _, other in ipairs(i == 2 and bad or {}) do\n"
    "        local is_good, why = pcall(node.intend, node, other)\n"
    "        errors[#errors + 1] = is_good and 'none' or why\n"
    "      end\n"
    "    end\n"
    "    return errors\n"
    "  end,\n"
    "}\n";

static char *folder;
static struct cox_script *script;
static struct fake *f;

static int setup(void **state) {
  (void)state;
  folder = hostile_folder();
  hostile_write(folder, "commands/give.lua", command, strlen(command));
  f = fake_create(-1);
  struct cox_faults faults = {0};
  script = cox_script_create(&(struct cox_script_options){.scripts_dir = folder, .library_dir = "lua", .clock = &f->clock}, &faults);
  for (size_t i = 0; i < faults.count; i++) print_error("%s:%d: %s\n", faults.list[i].file, faults.list[i].line, faults.list[i].text);
  cox_faults_fini(&faults);
  if (script == NULL) return -1;
  fake_use_policy(f, cox_script_policy(script), NULL, NULL);
  if (fake_send(f, "give", json_object()) == COX_ANSWER_DONE) return 0;
  print_error("%s\n", f->last.err.text);
  return -1;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(f);
  cox_script_destroy(script);
  hostile_remove(folder);
  return 0;
}

/* `wanted` is JSON. */
static void expect_target(int node, const char *wanted, const char *reason) {
  char id[16];
  snprintf(id, sizeof id, "node%d", node);
  json_t *const shown = cox_broker_node_json(f->broker, id), *const expected = json_loads(wanted, 0, NULL);
  const json_t *const explain = json_object_get(json_object_get(shown, "state"), "explain"), *const target = json_object_get(explain, "target");
  const char *const words = json_string_value(json_object_get(explain, "reason"));
  const bool is_same = json_equal(target, expected) != 0 && words != NULL && strcmp(words, reason) == 0;
  char *const text = json_dumps(target, JSON_SORT_KEYS);
  if (!is_same) print_error("%s: %s (%s) and not %s (%s)\n", id, text, words != NULL ? words : "none", wanted, reason);
  free(text);
  json_decref(expected);
  json_decref(shown);
  assert_true(is_same);
}

static void each_node_has_the_target_that_was_set(void **state) {
  (void)state;
  expect_target(1, "{\"status\": \"INFERENCE\", \"model\": \"m\", \"args\": [\"--a\", \"1\"]}", "as told");
  expect_target(2, "{\"status\": \"INFERENCE\", \"model\": \"m\", \"args\": [\"--a\", \"1\"]}", "as told");
  expect_target(3, "{\"status\": \"INFERENCE\", \"model\": \"M\", \"args\": [\"--a\", \"2\"]}", "as told");
  expect_target(4, "{\"status\": \"INFERENCE\", \"model\": \"M\", \"args\": [\"--a\", \"2\", \"3\"]}", "as told");
  expect_target(5, "{\"status\": \"INFERENCE\", \"model\": \"M\", \"args\": [\"--a\"]}", "as told");
  expect_target(6, "{\"status\": \"INFERENCE\", \"model\": \"M\", \"args\": []}", "as told");
  expect_target(7, "{\"status\": \"STOPPED\"}", "as told");
  expect_target(8, "{\"status\": \"POC\", \"poc\": \"GENERATING\", \"node_id\": 1, \"node_count\": 9, \"block_hash\": \"A\"}", "as told");
  expect_target(9, "{\"status\": \"POC\", \"poc\": \"VALIDATING\", \"node_id\": 2, \"node_count\": 9, \"block_hash\": \"A\"}", "as told");
  expect_target(10, "{\"status\": \"POC\", \"poc\": \"VALIDATING\", \"node_id\": 2, \"block_hash\": \"B\"}", "as told");
  char words[4097] = "";
  for (size_t i = 0; i < sizeof words - 1; i++) words[i] = "its own "[i % 8];
  expect_target(11, "{\"status\": \"INFERENCE\", \"model\": \"M\", \"args\": []}", words);
}

static void a_bad_target_is_refused_beside_a_good_one_like_it(void **state) {
  (void)state;
  static const char *const wanted[] = {"must be a list",     "must be a list", "must be a list", "unknown field modell", "status must be",
                                       "status is required", "poc is only",    "UTF-8",          "not a function", "model must be a text of at most 1048576 bytes, not this number",
                                       "not true", "model must be a text", "args must be a list of at most 10000 texts",
                                       "args must be a list", "args must be a list", "node_count must be an integer from 0", "node_count must be an integer",
                                       "node_id must be an integer from 0, not this text", "block_hash must be a text", "task must be a table",
                                       "from 0 to 86400"};
  const size_t count = sizeof wanted / sizeof *wanted;
  assert_int_equal(json_array_size(f->last.result), count);
  for (size_t i = 0; i < count; i++) {
    const char *const text = json_string_value(json_array_get(f->last.result, i));
    if (text == NULL || strstr(text, wanted[i]) == NULL) fail_msg("%zu: %s and not %s", i, text != NULL ? text : "nothing", wanted[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_bad_target_is_refused_beside_a_good_one_like_it),
      cmocka_unit_test(each_node_has_the_target_that_was_set),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
