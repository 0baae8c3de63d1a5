/* What a configuration may say, and every way in which it can be wrong. */
#include "load_config.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "script/config_lines.h"
#include "script/config_schema.h"
#include "script/script.h"

/* The text of a configuration has exactly one fault, with these words, at that line. */
static void assert_only_fault(const char *text, int line, const char *part) {
  struct cox_faults faults = load_bad(load_file(text), NULL);
  load_assert_fault(&faults, "coxswain.lua", line, part);
  assert_int_equal(faults.count, 1);
  cox_faults_fini(&faults);
}

static void the_example_of_the_contract_is_a_good_configuration(void **state) {
  (void)state;
  json_t *const config = load_good(LOAD_FIXTURES "contract.lua", NULL);
  assert_string_equal(load_text(config, "participant.address"), "gonka1…");
  assert_string_equal(load_text(config, "feed.rpc"), "http://127.0.0.1:26657");
  assert_float_equal(load_number(config, "reconcile.resync_s"), 300, 0);
  json_t *const nodes = json_object_get(config, "nodes");
  assert_int_equal(json_array_size(nodes), 1);
  assert_string_equal(json_string_value(json_object_get(json_array_get(nodes, 0), "id")), "node1");
  assert_null(cox_config_get(config, "admin.token"));
  json_decref(config);
}

static void both_examples_of_nodes_files_are_good(void **state) {
  (void)state;
  const char *const overrides[] = {"nodes=" LOAD_FIXTURES "node-config-two-nodes.json", NULL};
  json_t *const config = load_good(LOAD_FIXTURES "contract.lua", overrides);
  assert_int_equal(json_array_size(json_object_get(config, "nodes")), 2);
  assert_non_null(strstr(load_text(config, "nodes_file"), "/node-config-two-nodes.json"));
  json_decref(config);
}

static void an_empty_table_and_no_file_at_all_give_the_defaults(void **state) {
  (void)state;
  const char *const paths[] = {load_file("return {}"), NULL};
  for (size_t i = 0; i < 2; i++) {
    json_t *const config = load_good(paths[i], NULL);
    assert_string_equal(load_text(config, "admin.listen"), "127.0.0.1:9200");
    assert_string_equal(load_text(config, "feed.kind"), "none");
    assert_string_equal(load_text(config, "scripts"), "/usr/share/coxswain/scripts");
    assert_float_equal(load_number(config, "workers"), 2, 0);
    assert_int_equal(json_array_size(json_object_get(config, "nodes")), 0);
    assert_true(json_is_array(json_object_get(config, "nodes")));
    assert_null(json_object_get(config, "nodes_file"));
    assert_null(cox_config_get(config, "feed.block_ms"));
    json_decref(config);
  }
}

static void the_defaults_of_a_feed_come_only_with_its_kind(void **state) {
  (void)state;
  json_t *const config = load_good(load_file("return { feed = { kind = 'clock', epoch = { epoch_length = 60 } } }"), NULL);
  assert_float_equal(load_number(config, "feed.block_ms"), 1000, 0);
  assert_float_equal(load_number(config, "feed.epoch.epoch_length"), 60, 0);
  assert_float_equal(load_number(config, "feed.epoch.poc_stage_duration"), 20, 0);
  assert_null(cox_config_get(config, "feed.rpc"));
  json_decref(config);
}

static void a_configuration_may_compute_what_it_returns(void **state) {
  (void)state;
  json_t *const config =
      load_good(load_file("local nodes = {}\n"
                          "for i = 1, 50 do\n"
                          "  nodes[i] = { id = ('n%02d'):format(i), host = '10.0.0.' .. i, inference_port = 5050,\n"
                          "    poc_port = 8080, max_concurrent = 10, models = { ['a/b'] = {} } }\n"
                          "end\n"
                          "return { nodes = nodes, probe = { timeout_s = 1 / 4 } }"),
                NULL);
  assert_int_equal(json_array_size(json_object_get(config, "nodes")), 50);
  assert_null(json_object_get(config, "nodes_file"));
  assert_float_equal(load_number(config, "probe.timeout_s"), 0.25, 0);
  json_decref(config);
}

static void all_faults_are_listed_at_once_with_their_lines(void **state) {
  (void)state;
  struct cox_faults faults = load_bad(LOAD_FIXTURES "faults.lua", NULL);
  const struct {
    const char *file;
    int line;
    const char *part;
  } expected[] = {
      {"faults.lua", 4, "stor: unknown key; accepted here: participant, callback_url, nodes, prune, scripts, store"},
      {"faults.lua", 5, "workers: must be an integer from 1 to 64, not \"two\""},
      {"faults.lua", 6, "feed.kind: must be one of \"cometbft\", \"clock\", \"none\", not \"carrier pigeon\""},
      {"faults.lua", 7, "admin.lisen: unknown key; accepted here: listen, socket, token"},
      {"faults.lua", 7, "admin.token: must be a secret text, not this"},
      {"faults.lua", 7, "admin.listen: must be an address and a port"},
      {"faults.lua", 8, "reconcile.interval_s: must be seconds from 0.001 to 86400, not 0"},
      {"faults.lua", 8, "reconcile.backoff_s: must be two numbers of seconds"},
      {"faults.lua", 9, "probe.interval_s: must be seconds"},
      {"faults.lua", 10, "log: must be a table, not 3"},
      {"faults.lua", 11, "callback_url: must be a URL"},
      {"broken-nodes.json", 3, "[1]: host is required (node n2)"},
      {"broken-nodes.json", 3, "[1]: poc_port must be between 1 and 65535 (node n2)"},
      {"broken-nodes.json", 7, "[2]: the id n1 is that of [0] already"},
      {"broken-nodes.json", 8, "[3]: node n4 has the same host and inference_port as node n1"},
      {"broken-nodes.json", 9, "[4]: node n5 has the same host and poc_port as node n1"},
      {"broken-nodes.json", 10, "[5]: a node must be an object"},
      {"broken-nodes.json", 10, "[6]: node id is required"},
      {"broken-nodes.json", 10, "[6]: unknown field colour"},
  };
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    load_assert_fault(&faults, expected[i].file, expected[i].line, expected[i].part);
  }
  assert_int_equal(faults.count, sizeof expected / sizeof *expected);
  cox_faults_fini(&faults);
}

static void faults_of_a_file_stand_in_the_order_of_its_lines(void **state) {
  (void)state;
  struct cox_faults faults = load_bad(LOAD_FIXTURES "faults.lua", NULL);
  for (size_t i = 1; i < faults.count && strstr(faults.list[i].file, ".lua") != NULL; i++) {
    assert_true(faults.list[i - 1].line <= faults.list[i].line);
  }
  cox_faults_fini(&faults);
}

static void a_file_that_cannot_run_says_why_and_where(void **state) {
  (void)state;
  assert_only_fault("return {\n  workers = 2\n  store = 'x'\n}", 3, "expected");
  assert_only_fault("local a = nil\nreturn { workers = a.b }", 2, "attempt to index");
  assert_only_fault("return 5", 0, "must return a table");
  assert_only_fault("", 0, "must return a table");
  assert_only_fault("return { 'a', 'b' }", 0, "named keys");
  assert_only_fault("return { workers = function() end }", 0, "workers: must be plain data");
  assert_only_fault("return { store = 'a\\0b' }", 0, "store: must be text in UTF-8");
  assert_only_fault("return { store = '\\xff' }", 0, "store: must be text in UTF-8");
  assert_only_fault("return { workers = 0 / 0 }", 0, "workers: must be a finite number");
}

static void a_table_inside_of_itself_is_a_fault(void **state) {
  (void)state;
  struct cox_faults faults = load_bad(load_file("local t = {}\nt.admin = t\nreturn t"), NULL);
  load_assert_fault(&faults, "coxswain.lua", 0, "nested too deeply");
  cox_faults_fini(&faults);
}

static void a_file_that_is_not_there_or_no_file_is_a_fault(void **state) {
  (void)state;
  struct cox_faults faults = load_bad("/nowhere/coxswain.lua", NULL);
  load_assert_fault(&faults, "coxswain.lua", 0, "reading the configuration failed: No such file or directory");
  cox_faults_fini(&faults);
  faults = load_bad(load_folder, NULL);
  load_assert_fault(&faults, load_folder + strlen("/tmp/"), 0, "Is a directory");
  cox_faults_fini(&faults);
}

static void an_endless_loop_ends_with_the_budget(void **state) {
  (void)state;
  const int64_t start_us = cox_clock_mono_us(cox_clock_system());
  assert_only_fault("\nwhile true do end", 2, "budget of 1 s");
  assert_true(cox_clock_mono_us(cox_clock_system()) - start_us >= 900000);
}

static void a_memory_bomb_ends_with_the_limit(void **state) {
  (void)state;
  assert_only_fault("local t = {}\nfor i = 1, 1e9 do t[i] = ('x'):rep(1 << 20) .. i end\nreturn t", 0, "64 MiB");
  assert_only_fault("return { store = ('x'):rep(1 << 30) }", 0, "64 MiB");
}

static void the_sandbox_has_no_way_out(void **state) {
  (void)state;
  const char *const names[] = {"io", "os", "require", "debug", "package", "coroutine", "load", "dofile", "pcall", "setmetatable"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char text[64];
    snprintf(text, sizeof text, "return { store = %s.x }", names[i]);
    assert_only_fault(text, 1, names[i]);
  }
  load_write(load_config_path, "\x1bLua", 4);
  struct cox_faults faults = load_bad(load_config_path, NULL);
  load_assert_fault(&faults, "coxswain.lua", 0, "binary chunk");
  cox_faults_fini(&faults);
}

static void a_line_is_named_only_when_it_is_plain(void **state) {
  (void)state;
  assert_only_fault("local level = 3\nreturn {\n  log = { level = level },\n}", 3, "log.level: must be one of");
  assert_only_fault("local t = {}\nt.workers = 0\nt.workers = -1\nreturn t", 0, "workers: must be an integer");
  assert_only_fault("return {\n  --[[ workers = 1\n  workers = 2 ]]\n  store = [[ workers = 3 ]], workers =\n  -1 }", 4,
                    "workers: must be");
  assert_only_fault("local name = 'wor' .. 'kers'\nreturn { [name] = 0 }", 0, "workers: must be an integer");
}

static void lines_are_found_in_broken_sources_without_reading_past_their_end(void **state) {
  (void)state;
  const char *const sources[] = {"",    "'",    "\"\\", "[",  "[=",  "[==[",    "--",
                                 "--[", "--[[", "a",    "a=", "a={", "a={b={}", "a = 1 -- a = 2"};
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
    struct cox_config_lines lines;
    cox_config_lines_init(&lines, sources[i], strlen(sources[i]));
    assert_in_range(cox_config_lines_find(&lines, "a.b"), 0, 1);
    assert_int_equal(cox_config_lines_find(&lines, "a"), strlen(sources[i]) > 1 && sources[i][0] == 'a' ? 1 : 0);
    assert_int_equal(cox_config_lines_find(&lines, ""), 0);
    assert_int_equal(cox_config_lines_find(&lines, "..a."), 0);
    cox_config_lines_fini(&lines);
  }
}

static void an_epoch_must_be_longer_than_its_own_stages(void **state) {
  (void)state;
  assert_only_fault("return {\n feed = { kind = 'clock', epoch = { epoch_length = 34 } } }", 2,
                    "feed.epoch.epoch_length: must be more than");
}

static void a_missing_nodes_file_is_a_fault_beside_the_others(void **state) {
  (void)state;
  struct cox_faults faults = load_bad(load_file("return {\n nodes = 'missing.json',\n workers = 0 }"), NULL);
  load_assert_fault(&faults, "missing.json", 0, "reading the nodes file failed: No such file or directory");
  load_assert_fault(&faults, "coxswain.lua", 3, "workers");
  assert_int_equal(faults.count, 2);
  cox_faults_fini(&faults);
}

static void a_nodes_file_that_is_no_array_of_nodes_is_a_fault_at_its_line(void **state) {
  (void)state;
  const struct {
    const char *text;
    int line;
    const char *part;
  } cases[] = {
      {"{}", 1, "must be a JSON array of node objects"},
      {"[\n{ \"id\": \"a\",\n \"host\" }\n]", 3, "must be a JSON array of node objects"},
      {"[ {\"id\": \"a\", \"id\": \"b\"} ]", 1, "duplicate"},
      {"[]x", 1, "end of file expected"},
      {"", 1, "must be a JSON array"},
      {"[\n\n1]", 3, "[0]: a node must be an object"},
      {"[[],\n[2,[\"]\"]],\n{}]", 2, "[1]: a node must be an object"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    load_write(load_nodes_path, cases[i].text, strlen(cases[i].text));
    struct cox_faults faults = load_bad(load_file("return { nodes = 'nodes.json' }"), NULL);
    load_assert_fault(&faults, "nodes.json", cases[i].line, cases[i].part);
    cox_faults_fini(&faults);
  }
}

static void an_empty_nodes_file_is_an_empty_fleet(void **state) {
  (void)state;
  load_write(load_nodes_path, "[]\n", 3);
  json_t *const config = load_good(load_file("return { nodes = 'nodes.json' }"), NULL);
  assert_int_equal(json_array_size(json_object_get(config, "nodes")), 0);
  assert_string_equal(load_text(config, "nodes_file"), load_nodes_path);
  json_decref(config);
}

static void nodes_written_into_the_file_are_checked_too(void **state) {
  (void)state;
  struct cox_faults faults = load_bad(load_file("return { nodes = { { id = 'a' }, 5 } }"), NULL);
  load_assert_fault(&faults, "coxswain.lua", 0, "nodes[0]: host is required (node a)");
  load_assert_fault(&faults, "coxswain.lua", 0, "nodes[0]: at least one model must be specified (node a)");
  load_assert_fault(&faults, "coxswain.lua", 0, "nodes[1]: a node must be an object");
  cox_faults_fini(&faults);
}

static void machines_behind_one_port_differ_by_their_segments(void **state) {
  (void)state;
  const char *const text =
      "local function node(id, segment)\n"
      "  return { id = id, host = 'h', inference_port = 80, poc_port = 80, max_concurrent = 1, models = { m = {} },\n"
      "    inference_segment = segment, poc_segment = segment }\n"
      "end\n"
      "return { nodes = { node('a', '/a'), node('b', '/b') } }";
  json_decref(load_good(load_file(text), NULL));
}

static void ten_thousand_nodes_are_read_in_little_time(void **state) {
  (void)state;
  struct cox_buf text = {0};
  for (int i = 0; i < 10000; i++) {
    assert_true(
        cox_buf_addf(&text,
                     "%s{\"id\":\"n%d\",\"host\":\"10.0.%d.%d\",\"inference_port\":5050,\"poc_port\":%d,\"max_concurrent\":5,"
                     "\"models\":{\"m\":{}}}",
                     i == 0 ? "[\n" : ",\n", i, i / 250, i % 250, i % 2 == 0 ? 8080 : 0));
  }
  assert_true(cox_buf_addf(&text, "]"));
  load_write(load_nodes_path, text.data, text.len);
  cox_buf_fini(&text);
  struct cox_faults faults = load_bad(load_file("return { nodes = 'nodes.json' }"), NULL);
  assert_int_equal(faults.count, 5000);
  assert_int_equal(faults.list[4999].line, 10001);
  cox_faults_fini(&faults);
}

static void tokens_are_found_beside_the_file_and_masked_for_people(void **state) {
  (void)state;
  json_t *const config = load_good(load_file("return { admin = { tokens = { { token_file = 'reader', scope = 'read', name = 'eyes' },\n"
                                             "  { token = 'secret', scope = 'admin', name = 'head' } } } }"), NULL);
  const json_t *const tokens = cox_config_get(config, "admin.tokens");
  const char *const path = json_string_value(json_object_get(json_array_get(tokens, 0), "token_file"));
  assert_int_equal(path[0], '/');
  assert_string_equal(strrchr(path, '/'), "/reader");
  json_t *const masked = cox_config_masked(config);
  char *const text = json_dumps(masked, 0);
  assert_null(strstr(text, "secret"));
  assert_non_null(strstr(text, "head"));
  free(text);
  json_decref(masked);
  json_decref(config);
}

static void no_fault_shows_a_token(void **state) {
  (void)state;
  struct cox_faults faults = load_bad(load_file("return { admin = { tokens = { token = 'secret' } } }"), NULL);
  for (size_t i = 0; i < faults.count; i++) assert_null(strstr(faults.list[i].text, "secret"));
  assert_int_equal(faults.count, 1);
  cox_faults_fini(&faults);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_example_of_the_contract_is_a_good_configuration),
      cmocka_unit_test(both_examples_of_nodes_files_are_good),
      cmocka_unit_test(tokens_are_found_beside_the_file_and_masked_for_people),
      cmocka_unit_test(no_fault_shows_a_token),
      cmocka_unit_test(an_empty_table_and_no_file_at_all_give_the_defaults),
      cmocka_unit_test(the_defaults_of_a_feed_come_only_with_its_kind),
      cmocka_unit_test(a_configuration_may_compute_what_it_returns),
      cmocka_unit_test(all_faults_are_listed_at_once_with_their_lines),
      cmocka_unit_test(faults_of_a_file_stand_in_the_order_of_its_lines),
      cmocka_unit_test(a_file_that_cannot_run_says_why_and_where),
      cmocka_unit_test(a_table_inside_of_itself_is_a_fault),
      cmocka_unit_test(a_file_that_is_not_there_or_no_file_is_a_fault),
      cmocka_unit_test(an_endless_loop_ends_with_the_budget),
      cmocka_unit_test(a_memory_bomb_ends_with_the_limit),
      cmocka_unit_test(the_sandbox_has_no_way_out),
      cmocka_unit_test(a_line_is_named_only_when_it_is_plain),
      cmocka_unit_test(lines_are_found_in_broken_sources_without_reading_past_their_end),
      cmocka_unit_test(an_epoch_must_be_longer_than_its_own_stages),
      cmocka_unit_test(a_missing_nodes_file_is_a_fault_beside_the_others),
      cmocka_unit_test(a_nodes_file_that_is_no_array_of_nodes_is_a_fault_at_its_line),
      cmocka_unit_test(an_empty_nodes_file_is_an_empty_fleet),
      cmocka_unit_test(nodes_written_into_the_file_are_checked_too),
      cmocka_unit_test(machines_behind_one_port_differ_by_their_segments),
      cmocka_unit_test(ten_thousand_nodes_are_read_in_little_time),
  };
  return cmocka_run_group_tests(tests, load_make_folder, load_remove_folder);
}
