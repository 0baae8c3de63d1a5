/* The simulated chain over HTTP: RPC, REST, control, and every fault of an answer. */
#include "chain_client.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"

static struct cox_sim_chain *chain;
static unsigned port;

static void begin(struct cox_sim_chain_options options) {
  cox_sim_chain_destroy(chain);
  chain = chain_start(&options);
  port = cox_sim_chain_port(chain);
}

static int setup(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){.participant = "gonka1me"});
  return 0;
}

static int teardown(void **unused) {
  (void)unused;
  cox_sim_chain_destroy(chain);
  chain = NULL;
  return 0;
}

static void advance(int64_t blocks) { assert_int_equal(cox_sim_chain_advance(chain, blocks, NULL), 0); }

static void set(const char *spec) {
  struct cox_err err = {0};
  if (cox_sim_chain_fault(chain, spec, &err) != 0) fail_msg("%s: %s", spec, err.text);
}

/* The status of an answer that carries this text. */
static void expect(const char *method, const char *path, const char *body, long status, const char *text) {
  struct cox_buf answer = {0};
  const long got = chain_http(port, method, path, body, &answer);
  if (got != status || (text != NULL && (answer.data == NULL || strstr(answer.data, text) == NULL)))
    fail_msg("%s %s %.80s: %ld %.300s instead of %ld %s", method, path, body != NULL ? body : "", got, answer.data, status, text);
  cox_buf_fini(&answer);
}

/* ---- RPC ---- */

static void status_tells_the_newest_block(void **unused) {
  (void)unused;
  advance(4);
  json_t *const status = chain_get(port, "/status");
  assert_string_equal(chain_text(status, "result.sync_info.latest_block_height"), "5");
  assert_true(json_is_false(chain_at(status, "result.sync_info.catching_up")));
  assert_string_equal(chain_text(status, "result.sync_info.earliest_block_height"), "1");
  json_t *const block = chain_get(port, "/block?height=5");
  assert_string_equal(chain_text(status, "result.sync_info.latest_block_hash"), chain_text(block, "result.block_id.hash"));
  assert_string_equal(chain_text(status, "result.sync_info.latest_block_time"), chain_text(block, "result.block.header.time"));
  json_decref(status);
  json_decref(block);
}

static void block_times_are_rfc_3339_with_nine_digits(void **unused) {
  (void)unused;
  json_t *const block = chain_get(port, "/block");
  const char *const time = chain_text(block, "result.block.header.time");
  int year, month, day, hour, minute, second;
  char fraction[16], zone;
  assert_int_equal(sscanf(time, "%d-%d-%dT%d:%d:%d.%9[0-9]%c", &year, &month, &day, &hour, &minute, &second, fraction, &zone), 8);
  assert_int_equal(strlen(fraction), 9);
  assert_int_equal(zone, 'Z');
  json_decref(block);
}

static void a_block_has_its_hash_and_that_of_the_one_before(void **unused) {
  (void)unused;
  advance(1);
  json_t *const first = chain_get(port, "/block?height=1"), *const second = chain_get(port, "/block?height=2");
  assert_string_equal(chain_text(first, "result.block_id.hash"), "6E73E372E2338ACAE474C66A4B98B030DBEF19FC8E7B845F7DE4EB0C26F3F89E");
  assert_string_equal(chain_text(first, "result.block.header.last_block_id.hash"), "");
  assert_string_equal(chain_text(second, "result.block.header.last_block_id.hash"), chain_text(first, "result.block_id.hash"));
  assert_string_equal(chain_text(second, "result.block.header.height"), "2");
  json_decref(first);
  json_decref(second);
}

static void blocks_that_are_not_there_are_errors_in_the_nodes_words(void **unused) {
  (void)unused;
  expect("GET", "/block?height=2", NULL, 500, "must be less than or equal to the current blockchain height 1");
  expect("GET", "/block?height=0", NULL, 500, "must be greater than 0");
  expect("GET", "/block?height=abc", NULL, 500, "Invalid params");
  expect("GET", "/block?height=99999999999999999999", NULL, 500, "Invalid params");
  begin((struct cox_sim_chain_options){.start_height = 1000});
  expect("GET", "/block?height=999", NULL, 500, "lowest height is 1000");
}

/* ---- REST ---- */

static void an_epoch_begins_on_the_wire(void **unused) {
  (void)unused;
  advance(49);
  json_t *info = chain_get(port, CHAIN_REST "/epoch_info");
  assert_string_equal(chain_text(info, "latest_epoch.index"), "0");
  json_decref(info);
  advance(1);
  info = chain_get(port, CHAIN_REST "/epoch_info");
  assert_string_equal(chain_text(info, "block_height"), "51");
  assert_string_equal(chain_text(info, "latest_epoch.index"), "1");
  assert_string_equal(chain_text(info, "latest_epoch.poc_start_block_height"), "51");
  json_decref(info);
}

static void group_data_is_found_by_an_escaped_model_id(void **unused) {
  (void)unused;
  json_t *const models = json_pack("{s:{s:[s]}}", "Qwen/QwQ-32B", "args", "--x");
  json_t *const nodes = json_pack("[{s:s, s:s, s:i, s:i, s:i, s:o}]", "id", "node1", "host", "h", "inference_port", 1, "poc_port", 1,
                                  "max_concurrent", 1, "models", models);
  begin((struct cox_sim_chain_options){.nodes = nodes});
  json_decref(nodes);
  json_t *const group = chain_get(port, CHAIN_REST "/epoch_group_data/0?model_id=Qwen%2FQwQ-32B");
  assert_string_equal(chain_text(group, "epoch_group_data.model_snapshot.model_args.0"), "--x");
  assert_string_equal(chain_text(group, "epoch_group_data.validation_weights.0.ml_nodes.0.node_id"), "node1");
  json_decref(group);
}

static void what_the_gateway_does_not_know_it_says_so(void **unused) {
  (void)unused;
  expect("GET", CHAIN_REST "/epoch_group_data/1", NULL, 404, "\"code\":5");
  expect("GET", CHAIN_REST "/epoch_group_data/0?model_id=none", NULL, 404, "\"code\":5");
  expect("GET", CHAIN_REST "/epoch_group_data/x", NULL, 400, "\"code\":3");
  expect("GET", CHAIN_REST "/epoch_group_data/-1", NULL, 400, "\"code\":3");
  expect("GET", CHAIN_REST "/epoch_group_data/0/1", NULL, 501, "\"code\":12");
  expect("GET", CHAIN_REST "/epoch_info/", NULL, 501, "Not Implemented");
  expect("GET", "/cosmos/bank/v1beta1/balances/x", NULL, 501, "Not Implemented");
  expect("GET", "/", NULL, 404, "Not Found");
  expect("POST", "/status", "{}", 405, NULL);
}

static void hardware_is_null_when_there_is_none(void **unused) {
  (void)unused;
  json_t *answer = chain_get(port, CHAIN_REST "/hardware_nodes/gonka1me");
  assert_string_equal(chain_text(answer, "nodes.hardware_nodes.2.local_id"), "node3");
  json_decref(answer);
  answer = chain_get(port, CHAIN_REST "/hardware_nodes/gonka1you");
  assert_true(json_is_null(json_object_get(answer, "nodes")));
  json_decref(answer);
}

/* ---- control ---- */

static void the_state_tells_what_happens(void **unused) {
  (void)unused;
  advance(60);
  set("drop=9");
  json_decref(chain_get(port, "/status"));
  json_t *const state = chain_get(port, "/sim/state");
  assert_int_equal(json_integer_value(json_object_get(state, "height")), 61);
  assert_string_equal(chain_text(state, "phase"), "PoCGenerate");
  assert_int_equal(json_integer_value(chain_at(state, "epoch.index")), 1);
  assert_string_equal(chain_text(state, "faults.0"), "drop=9");
  assert_int_equal(json_integer_value(chain_at(state, "requests.status")), 1);
  json_decref(state);
}

static void blocks_are_made_by_hand(void **unused) {
  (void)unused;
  expect("POST", "/sim/advance", "{\"blocks\":3}", 200, "\"height\":4");
  expect("POST", "/sim/advance", "{\"blocks\":1000000}", 200, "\"height\":1000004");
}

static void who_is_preserved_can_be_changed(void **unused) {
  (void)unused;
  static const char group[] = CHAIN_REST "/epoch_group_data/1?model_id=shared";
  advance(60);
  expect("GET", group, NULL, 200, "\"timeslot_allocation\":[true,false]");
  expect("POST", "/sim/preserved", "{\"nodes\":[\"node2\"]}", 200, NULL);
  expect("GET", group, NULL, 200, "\"timeslot_allocation\":[true,true]");
  expect("GET", CHAIN_REST "/epoch_group_data/0?model_id=shared", NULL, 200, "\"timeslot_allocation\":[true,false]");
  expect("POST", "/sim/preserved", "{\"nodes\":[],\"epoch\":0}", 200, NULL);
  expect("GET", group, NULL, 200, "\"timeslot_allocation\":[true,false]");
}

static void registered_hardware_can_be_replaced(void **unused) {
  (void)unused;
  expect("POST", "/sim/hardware", "{\"hardware_nodes\":[{\"local_id\":\"old\",\"status\":\"POC\"}]}", 200, NULL);
  expect("GET", CHAIN_REST "/hardware_nodes/gonka1me", NULL, 200, "\"local_id\":\"old\"");
  expect("POST", "/sim/hardware", "{\"hardware_nodes\":[]}", 200, NULL);
  expect("GET", CHAIN_REST "/hardware_nodes/gonka1me", NULL, 200, "{\"nodes\":null}");
}

static void wrong_control_is_refused_with_the_reason(void **unused) {
  (void)unused;
  expect("POST", "/sim/advance", "{\"blocks\":0}", 400, "from 1 to 1000000");
  expect("POST", "/sim/advance", "{\"blocks\":\"2\"}", 400, "from 1 to 1000000");
  expect("POST", "/sim/advance", "{\"blocks\":1000001}", 400, "from 1 to 1000000");
  expect("POST", "/sim/advance", "{}", 400, "from 1 to 1000000");
  expect("POST", "/sim/advance", "", 400, "error");
  expect("POST", "/sim/advance", "[1]", 400, "must be a JSON object");
  expect("POST", "/sim/advance", "{\"block\":1}", 400, "unknown field block");
  expect("POST", "/sim/faults", "{\"faults\":\"drop\"}", 400, "must be a list");
  expect("POST", "/sim/faults", "{\"faults\":[1]}", 400, "must be a list");
  expect("POST", "/sim/faults", "{\"faults\":[\"nope\"]}", 400, "is not known");
  expect("POST", "/sim/preserved", "{\"nodes\":[\"node9\"]}", 400, "node9 is not among");
  expect("POST", "/sim/preserved", "{\"nodes\":[],\"epoch\":-1}", 400, "whole number from 0");
  expect("POST", "/sim/hardware", "{}", 400, "must be a list");
  expect("GET", "/sim/advance", NULL, 405, "another method");
  expect("DELETE", "/sim/state", NULL, 405, "another method");
  expect("GET", "/sim/nothing", NULL, 404, "no such control");
  begin((struct cox_sim_chain_options){.block_ms = 1000});
  expect("POST", "/sim/advance", "{\"blocks\":1}", 409, "by themselves");
}

static void faults_are_set_all_or_none(void **unused) {
  (void)unused;
  expect("POST", "/sim/faults", "{\"faults\":[\"drop=3\",\"status:slow=1\"]}", 200, "\"faults\":[\"drop=3\",\"status:slow=1\"]");
  expect("POST", "/sim/faults", "{\"faults\":[\"off\",\"silent\",\"bad\"]}", 400, "\\\"bad\\\" is not known");
  expect("GET", "/sim/state", NULL, 200, "\"faults\":[\"drop=3\",\"status:slow=1\"]");
  expect("POST", "/sim/faults", "{\"faults\":[\"off\"]}", 200, "\"faults\":[]");
}

static void a_body_without_end_is_refused(void **unused) {
  (void)unused;
  const size_t count = (1 << 20) + 1;
  char *const body = malloc(count + 1);
  memset(body, ' ', count);
  body[count] = '\0';
  expect("POST", "/sim/advance", body, 413, "at most 1 MiB");
  free(body);
}

/* ---- faults of answers ---- */

static void a_proxy_answers_for_the_node(void **unused) {
  (void)unused;
  set("502=1");
  expect("GET", "/status", NULL, 502, "502 Bad Gateway");
  expect("GET", "/status", NULL, 200, "sync_info");
  set("epoch_info:html=1");
  expect("GET", "/status", NULL, 200, "sync_info");
  expect("GET", CHAIN_REST "/epoch_info", NULL, 200, "<!DOCTYPE html>");
  expect("GET", CHAIN_REST "/epoch_info", NULL, 200, "latest_epoch");
}

static void one_model_query_fails_and_the_others_do_not(void **unused) {
  (void)unused;
  set("model_group_data:502");
  expect("GET", CHAIN_REST "/epoch_group_data/0", NULL, 200, "sub_group_models");
  expect("GET", CHAIN_REST "/epoch_group_data/0?model_id=shared", NULL, 502, NULL);
}

static void answers_have_wrong_types_null_fields_or_none(void **unused) {
  (void)unused;
  set("wrong-types=1");
  expect("GET", CHAIN_REST "/epoch_info", NULL, 200, "\"block_height\":7");
  set("null-fields");
  expect("GET", CHAIN_REST "/epoch_info", NULL, 200, "\"latest_epoch\":null");
  set("null-fields=3");
  expect("GET", "/status", NULL, 200, "\"latest_block_height\":null");
  set("null-fields=off");
  set("missing=1");
  expect("GET", "/status", NULL, 200, "{}");
  expect("GET", "/status", NULL, 200, "\"latest_block_height\":\"1\"");
}

static void a_truncated_answer_ends_in_its_middle(void **unused) {
  (void)unused;
  set("truncated=1");
  struct cox_buf text = {0};
  assert_int_equal(chain_http(port, "GET", "/status", NULL, &text), -CURLE_PARTIAL_FILE);
  assert_true(text.len > 100);
  assert_null(json_loadb(text.data, text.len, 0, NULL));
  cox_buf_fini(&text);
  expect("GET", "/status", NULL, 200, "sync_info");
}

static void a_huge_answer_is_valid_json_of_ten_megabytes(void **unused) {
  (void)unused;
  set("huge");
  struct cox_buf text = {0};
  assert_int_equal(chain_http(port, "GET", CHAIN_REST "/epoch_info", NULL, &text), 200);
  assert_true(text.len >= 10u << 20);
  json_t *const json = json_loadb(text.data, text.len, 0, NULL);
  assert_string_equal(chain_text(json, "block_height"), "1");
  json_decref(json);
  cox_buf_fini(&text);
}

static int64_t now_ms(void) { return cox_clock_mono_us(cox_clock_system()) / 1000; }

static void get_slowly(void *arg) { *(long *)arg = chain_http(port, "GET", "/status", NULL, NULL); }

static void a_slow_answer_comes_late_and_holds_up_nobody(void **unused) {
  (void)unused;
  const int64_t begin_ms = now_ms();
  set("status:slow=300");
  struct cox_thread thread = {0};
  long status = 0;
  assert_int_equal(cox_thread_start(&thread, "slow", get_slowly, &status, NULL), 0);
  expect("GET", CHAIN_REST "/epoch_info", NULL, 200, NULL);
  cox_thread_join(&thread);
  assert_int_equal(status, 200);
  assert_true(now_ms() - begin_ms >= 300);
}

static void a_chain_that_ends_does_not_wait_for_slow_answers(void **unused) {
  (void)unused;
  set("status:slow=600000");
  struct cox_thread thread = {0};
  long status = 0;
  assert_int_equal(cox_thread_start(&thread, "slow", get_slowly, &status, NULL), 0);
  for (int64_t seen = 0; seen == 0;) { /* until the request is there */
    json_t *const state = cox_sim_chain_state(chain);
    seen = json_integer_value(chain_at(state, "requests.status"));
    json_decref(state);
    poll(NULL, 0, 1);
  }
  const int64_t begin_ms = now_ms();
  cox_sim_chain_destroy(chain);
  chain = NULL;
  assert_true(now_ms() - begin_ms < CHAIN_LIMIT_MS);
  cox_thread_join(&thread);
}

/* ---- faults of the chain ---- */

static void a_node_that_catches_up_lags_in_every_answer(void **unused) {
  (void)unused;
  advance(59);
  set("catching-up=20");
  json_t *const status = chain_get(port, "/status");
  assert_true(json_is_true(chain_at(status, "result.sync_info.catching_up")));
  assert_string_equal(chain_text(status, "result.sync_info.latest_block_height"), "40");
  json_decref(status);
  json_t *const info = chain_get(port, CHAIN_REST "/epoch_info");
  assert_string_equal(chain_text(info, "block_height"), "40");
  assert_string_equal(chain_text(info, "latest_epoch.index"), "0");
  json_decref(info);
  expect("GET", "/block?height=41", NULL, 500, "current blockchain height 40");
  set("catching-up=1000");
  expect("GET", CHAIN_REST "/epoch_info", NULL, 200, "\"block_height\":\"1\"");
  set("catching-up=off");
  expect("GET", CHAIN_REST "/epoch_info", NULL, 200, "\"block_height\":\"60\"");
}

static void old_block_times_are_old(void **unused) {
  (void)unused;
  json_t *const before = chain_get(port, "/status");
  set("old-time=86400");
  json_t *const after = chain_get(port, "/status");
  const char *const path = "result.sync_info.latest_block_time";
  assert_true(strcmp(chain_text(after, path), chain_text(before, path)) < 0);
  assert_string_equal(chain_text(after, path) + 10, chain_text(before, path) + 10); /* a day to the nanosecond */
  json_decref(before);
  json_decref(after);
}

static void group_data_is_empty_at_the_border(void **unused) {
  (void)unused;
  set("empty-group=2");
  advance(50);
  expect("GET", CHAIN_REST "/epoch_group_data/1", NULL, 200, "\"sub_group_models\":[]");
  expect("GET", CHAIN_REST "/epoch_group_data/1?model_id=shared", NULL, 404, NULL);
  expect("GET", CHAIN_REST "/epoch_group_data/0", NULL, 200, "\"sub_group_models\":[\"m1\",\"shared\"]");
  advance(2);
  expect("GET", CHAIN_REST "/epoch_group_data/1", NULL, 200, "\"sub_group_models\":[\"m1\",\"shared\"]");
}

static void a_stalled_chain_makes_no_blocks(void **unused) {
  (void)unused;
  set("stall=2");
  advance(5);
  expect("GET", "/status", NULL, 200, "\"latest_block_height\":\"4\"");
  set("stall");
  advance(5);
  expect("GET", "/status", NULL, 200, "\"latest_block_height\":\"4\"");
  set("stall=off");
  advance(1);
  expect("GET", "/status", NULL, 200, "\"latest_block_height\":\"5\"");
}

/* ---- life ---- */

static void blocks_come_by_themselves(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){.block_ms = 5});
  const int64_t until_ms = now_ms() + CHAIN_LIMIT_MS;
  int64_t height = 0;
  while (height < 20 && now_ms() < until_ms) {
    json_t *const info = chain_get(port, CHAIN_REST "/epoch_info");
    const int64_t next = atoll(chain_text(info, "block_height"));
    assert_true(next >= height);
    height = next;
    json_decref(info);
  }
  assert_true(height >= 20);
}

static void refuse(struct cox_sim_chain_options options, const char *reason) {
  struct cox_err err = {0};
  struct cox_sim_chain *const made = cox_sim_chain_create(&options, &err);
  assert_null(made);
  if (strstr(err.text, reason) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
}

static void a_start_that_cannot_be_is_refused_with_the_reason(void **unused) {
  (void)unused;
  refuse((struct cox_sim_chain_options){.port = port}, "in use");
  refuse((struct cox_sim_chain_options){.port = 65536}, "from 0 to 65535");
  refuse((struct cox_sim_chain_options){.listen = "localhost"}, "IPv4 address");
  refuse((struct cox_sim_chain_options){.block_ms = -1}, "block_ms must be");
  refuse((struct cox_sim_chain_options){.start_height = -5}, "start height");
  refuse((struct cox_sim_chain_options){.faults = (const char *const[]){"nope", NULL}}, "is not known");
  refuse((struct cox_sim_chain_options){.faults = (const char *const[]){"half-open", NULL}}, "while the chain runs");
  refuse((struct cox_sim_chain_options){.preserved = (const char *const[]){"node1", NULL}}, "not among the chain's nodes");
}

static void faults_given_at_the_start_are_on(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){.faults = (const char *const[]){"empty-group=3", "status:502", NULL}});
  advance(50);
  expect("GET", "/status", NULL, 502, NULL);
  expect("GET", CHAIN_REST "/epoch_group_data/1", NULL, 200, "\"sub_group_models\":[]");
}

/* ---- all at once ---- */

static void ask_around(void *arg) {
  static const char *const paths[] = {"/status",
                                      "/block",
                                      CHAIN_REST "/epoch_info",
                                      CHAIN_REST "/models_all",
                                      CHAIN_REST "/epoch_group_data/0",
                                      CHAIN_REST "/hardware_nodes/gonka1me",
                                      "/sim/state"};
  unsigned *const failures = arg;
  for (size_t i = 0; i < 70; i++) {
    const long status = chain_http(port, "GET", paths[i % (sizeof paths / sizeof *paths)], NULL, NULL);
    if (status != 200 && status != 502) ++*failures;
  }
}

static void many_clients_can_ask_while_blocks_and_faults_come(void **unused) {
  (void)unused;
  struct cox_thread threads[4] = {0};
  unsigned failures[4] = {0};
  for (size_t i = 0; i < 4; i++) assert_int_equal(cox_thread_start(&threads[i], "asker", ask_around, &failures[i], NULL), 0);
  json_t *const ids = json_pack("[s]", "node1"), *const hardware = json_pack("[{s:s, s:s}]", "local_id", "x", "status", "POC");
  for (int i = 0; i < 50; i++) {
    advance(3);
    set(i % 2 == 0 ? "502=1" : "wrong-types=1");
    assert_int_equal(cox_sim_chain_preserve(chain, -1, ids, NULL), 0);
    assert_int_equal(cox_sim_chain_set_hardware(chain, hardware, NULL), 0);
  }
  for (size_t i = 0; i < 4; i++) {
    cox_thread_join(&threads[i]);
    assert_int_equal(failures[i], 0);
  }
  json_decref(ids);
  json_decref(hardware);
}

int main(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(status_tells_the_newest_block),
      TEST(block_times_are_rfc_3339_with_nine_digits),
      TEST(a_block_has_its_hash_and_that_of_the_one_before),
      TEST(blocks_that_are_not_there_are_errors_in_the_nodes_words),
      TEST(an_epoch_begins_on_the_wire),
      TEST(group_data_is_found_by_an_escaped_model_id),
      TEST(what_the_gateway_does_not_know_it_says_so),
      TEST(hardware_is_null_when_there_is_none),
      TEST(the_state_tells_what_happens),
      TEST(blocks_are_made_by_hand),
      TEST(who_is_preserved_can_be_changed),
      TEST(registered_hardware_can_be_replaced),
      TEST(wrong_control_is_refused_with_the_reason),
      TEST(faults_are_set_all_or_none),
      TEST(a_body_without_end_is_refused),
      TEST(a_proxy_answers_for_the_node),
      TEST(one_model_query_fails_and_the_others_do_not),
      TEST(answers_have_wrong_types_null_fields_or_none),
      TEST(a_truncated_answer_ends_in_its_middle),
      TEST(a_huge_answer_is_valid_json_of_ten_megabytes),
      TEST(a_slow_answer_comes_late_and_holds_up_nobody),
      TEST(a_chain_that_ends_does_not_wait_for_slow_answers),
      TEST(a_node_that_catches_up_lags_in_every_answer),
      TEST(old_block_times_are_old),
      TEST(group_data_is_empty_at_the_border),
      TEST(a_stalled_chain_makes_no_blocks),
      TEST(blocks_come_by_themselves),
      TEST(a_start_that_cannot_be_is_refused_with_the_reason),
      TEST(faults_given_at_the_start_are_on),
      TEST(many_clients_can_ask_while_blocks_and_faults_come),
  };
  const int failures = cmocka_run_group_tests(tests, NULL, NULL);
  curl_global_cleanup();
  return failures;
}
