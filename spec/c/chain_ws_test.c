/* The websocket of the simulated chain: handshake, subscription, events, and everything that can go wrong with them. */
#include "chain_client.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define HANDSHAKE                                                                                                       \
  "GET /websocket HTTP/1.1\r\nHost: chain\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static struct cox_sim_chain *chain;
static unsigned port;

static void begin(struct cox_sim_chain_options options) {
  cox_sim_chain_destroy(chain);
  chain = chain_start(&options);
  port = cox_sim_chain_port(chain);
}

static int setup(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){0});
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

static int64_t now_ms(void) { return cox_clock_mono_us(cox_clock_system()) / 1000; }

/* Waits until the simulator counts so many websockets of that kind ("open", "subscribed"). */
static void wait_count(const char *kind, int64_t expected) {
  const int64_t until_ms = now_ms() + CHAIN_LIMIT_MS;
  int64_t seen = -1;
  while (seen != expected && now_ms() < until_ms) {
    json_t *const state = cox_sim_chain_state(chain);
    seen = json_integer_value(json_object_get(json_object_get(state, "websockets"), kind));
    json_decref(state);
    if (seen != expected) poll(NULL, 0, 2);
  }
  assert_int_equal(seen, expected);
}

static void expect_answer(struct chain_client *client, const char *request, const char *path, const char *expected) {
  chain_client_say(client, request);
  json_t *const answer = chain_client_json(client);
  assert_string_equal(chain_text(answer, path), expected);
  json_decref(answer);
}

/* ---- handshake ---- */

static void a_wrong_handshake_is_refused(void **unused) {
  (void)unused;
  static const struct {
    const char *headers;
    int status;
  } cases[] = {
      {"", 400},
      {"Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400},
      {"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400},
      {"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 426},
      {"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n", 400},
      {"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", 400},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct chain_client client;
    chain_client_connect(&client, port);
    assert_int_equal(chain_client_shake(&client, cases[i].headers), cases[i].status);
    chain_client_close(&client);
  }
}

static void a_refused_websocket_works_again_when_the_fault_ends(void **unused) {
  (void)unused;
  static const char headers[] = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  static const struct {
    const char *spec;
    int status;
  } cases[] = {{"refuse-ws", 404}, {"refuse-ws=503", 503}, {"refuse-ws=off", 101}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct chain_client client;
    set(cases[i].spec);
    chain_client_connect(&client, port);
    assert_int_equal(chain_client_shake(&client, headers), cases[i].status);
    chain_client_close(&client);
  }
}

static void what_comes_with_the_handshake_is_not_lost(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_connect(&client, port);
  static const char with_ping[] = HANDSHAKE "\x89\x81\x01\x02\x03\x04\x40"; /* "A", masked */
  chain_client_send_raw(&client, with_ping, sizeof with_ping - 1);
  assert_int_equal(chain_client_status(&client), 101);
  struct chain_frame pong = chain_client_frame(&client, CHAIN_LIMIT_MS);
  assert_int_equal(pong.opcode, CHAIN_PONG);
  assert_int_equal(pong.payload.len, 1);
  assert_int_equal(pong.payload.data[0], 'A');
  cox_buf_fini(&pong.payload);
  chain_client_close(&client);
}

/* ---- subscription ---- */

static void a_subscriber_gets_each_block_in_the_networks_shape(void **unused) {
  (void)unused;
  struct chain_client client;
  advance(3);
  chain_client_subscribe(&client, port);
  advance(1);
  json_t *const event = chain_client_json(&client);
  json_t *const block = chain_get(port, "/block?height=5");
  assert_string_equal(chain_text(event, "id"), "1");
  assert_string_equal(chain_text(event, "result.query"), "tm.event='NewBlock'");
  assert_string_equal(chain_text(event, "result.data.type"), "tendermint/event/NewBlock");
  assert_string_equal(chain_text(event, "result.data.value.block.header.height"), "5");
  assert_string_equal(chain_text(event, "result.data.value.block_id.hash"), chain_text(block, "result.block_id.hash"));
  assert_string_equal(chain_text(event, "result.data.value.block.header.time"), chain_text(block, "result.block.header.time"));
  json_decref(event);
  json_decref(block);
  advance(3);
  for (int64_t height = 6; height <= 8; height++) assert_int_equal(chain_client_height(&client), height);
  assert_true(chain_client_is_quiet(&client));
  chain_client_close(&client);
}

static void events_have_the_size_of_real_ones_when_asked(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){.block_bytes = 30000});
  struct chain_client client;
  chain_client_subscribe(&client, port);
  advance(2);
  for (int i = 0; i < 2; i++) {
    struct chain_frame frame = chain_client_frame(&client, CHAIN_LIMIT_MS);
    assert_in_range(frame.payload.len, 30000, 31000);
    json_t *const event = json_loadb(frame.payload.data, frame.payload.len, 0, NULL);
    assert_true(json_array_size(chain_at(event, "result.data.value.block.data.txs")) > 20);
    json_decref(event);
    cox_buf_fini(&frame.payload);
  }
  chain_client_close(&client);
}

static void who_has_not_subscribed_gets_nothing(void **unused) {
  (void)unused;
  struct chain_client idle, client;
  chain_client_open(&idle, port);
  chain_client_subscribe(&client, port);
  advance(2);
  assert_int_equal(chain_client_height(&client), 2);
  assert_int_equal(chain_client_height(&client), 3);
  assert_true(chain_client_is_quiet(&idle));
  chain_client_close(&idle);
  chain_client_close(&client);
}

static void the_id_of_a_subscription_is_echoed_as_it_was_sent(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_open(&client, port);
  chain_client_say(&client, "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"id\":77,\"params\":{\"query\":\"tm.event = 'NewBlock'\"}}");
  json_t *answer = chain_client_json(&client);
  assert_int_equal(json_integer_value(json_object_get(answer, "id")), 77);
  json_decref(answer);
  advance(1);
  answer = chain_client_json(&client);
  assert_int_equal(json_integer_value(json_object_get(answer, "id")), 77);
  json_decref(answer);
  chain_client_close(&client);
}

static void wrong_requests_are_answered_with_what_is_wrong(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_subscribe(&client, port);
  expect_answer(&client, "{\"method\":\"subscribe\",\"id\":2,\"params\":[\"tm.event='NewBlock'\"]}", "error.data", "already subscribed");
  expect_answer(&client, "{\"method\":\"subscribe\",\"id\":2,\"params\":[]}", "error.message", "Invalid params");
  expect_answer(&client, "{\"method\":\"subscribe\",\"id\":2,\"params\":[\"tm.event='New\"]}", "error.message", "Internal error");
  expect_answer(&client, "{\"method\":\"broadcast\",\"id\":2}", "error.message", "Method not found");
  expect_answer(&client, "{\"method\":\"health\"}", "error.message", "Invalid Request");
  expect_answer(&client, "{\"id\":1}", "error.message", "Invalid Request");
  expect_answer(&client, "[]", "error.message", "Invalid Request");
  expect_answer(&client, "{nonsense", "error.message", "Parse error. Invalid JSON");
  expect_answer(&client, "", "error.message", "Parse error. Invalid JSON");
  advance(1);
  assert_int_equal(chain_client_height(&client), 2); /* and it goes on */
  chain_client_close(&client);
}

static void who_unsubscribes_gets_no_more(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_subscribe(&client, port);
  expect_answer(&client, "{\"method\":\"unsubscribe_all\",\"id\":\"u\"}", "id", "u");
  advance(3);
  expect_answer(&client, "{\"method\":\"unsubscribe\",\"id\":\"v\"}", "error.data", "subscription not found");
  chain_client_close(&client);
}

/* ---- frames ---- */

static void a_ping_is_answered_with_its_own_payload(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_open(&client, port);
  chain_client_send(&client, CHAIN_PING, "are you there", 13, true);
  struct chain_frame pong = chain_client_frame(&client, CHAIN_LIMIT_MS);
  assert_int_equal(pong.opcode, CHAIN_PONG);
  assert_string_equal(pong.payload.data, "are you there");
  cox_buf_fini(&pong.payload);
  chain_client_close(&client);
}

static void a_close_is_answered_and_the_socket_ends(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_subscribe(&client, port);
  chain_client_send(&client, CHAIN_CLOSE, "\x03\xe8", 2, true);
  assert_int_equal(chain_client_drain(&client), 1000);
  wait_count("open", 0);
  chain_client_close(&client);
}

static void frames_against_the_rules_end_the_connection(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_open(&client, port);
  chain_client_send(&client, CHAIN_TEXT, "{}", 2, false); /* not masked */
  assert_int_equal(chain_client_drain(&client), 1002);
  chain_client_close(&client);
  chain_client_open(&client, port);
  chain_client_send(&client, 3, "", 0, true); /* no such opcode */
  assert_int_equal(chain_client_drain(&client), 1002);
  chain_client_close(&client);
  chain_client_open(&client, port);
  char *const large = calloc(1, 2 << 20);
  chain_client_send(&client, CHAIN_TEXT, large, 2 << 20, true);
  const int code = chain_client_drain(&client); /* the code may be lost to a reset: not all was read */
  assert_true(code == 1009 || code == 0);
  free(large);
  chain_client_close(&client);
  wait_count("open", 0);
}

static void a_peer_that_answers_no_ping_is_cut(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){.ping_ms = 50});
  struct chain_client client;
  chain_client_open(&client, port);
  struct chain_frame ping = chain_client_frame(&client, CHAIN_LIMIT_MS);
  assert_int_equal(ping.opcode, CHAIN_PING);
  cox_buf_fini(&ping.payload);
  assert_int_equal(chain_client_drain(&client), 0);
  wait_count("open", 0);
  chain_client_close(&client);
}

static void a_peer_that_reads_too_slowly_is_cut(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){.block_bytes = 8 << 20});
  struct chain_client client;
  chain_client_subscribe(&client, port);
  advance(4);
  wait_count("open", 0);
  chain_client_close(&client);
}

/* ---- faults of blocks ---- */

static void blocks_come_reordered_doubled_and_dropped(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_subscribe(&client, port);
  set("reorder=3");
  set("double");
  advance(3);
  static const int64_t expected[] = {4, 4, 3, 3, 2, 2, 5, 7};
  for (size_t i = 0; i < 6; i++) assert_int_equal(chain_client_height(&client), expected[i]);
  set("off");
  set("drop=6");
  advance(3); /* 5, 6, 7 */
  for (size_t i = 6; i < 8; i++) assert_int_equal(chain_client_height(&client), expected[i]);
  assert_true(chain_client_is_quiet(&client));
  chain_client_close(&client);
}

static void every_boundary_can_be_missing(void **unused) {
  (void)unused;
  struct chain_client client;
  advance(48); /* 49 */
  set("drop-boundaries");
  chain_client_subscribe(&client, port);
  advance(36); /* 50 … 85 */
  for (int64_t height = 50; height <= 85; height++) {
    if (height == 51 || height == 67 || height == 71 || height == 73 || height == 81 || height == 83) continue;
    assert_int_equal(chain_client_height(&client), height);
  }
  chain_client_close(&client);
}

static void a_node_that_catches_up_announces_old_blocks(void **unused) {
  (void)unused;
  struct chain_client client;
  advance(9);
  chain_client_subscribe(&client, port);
  advance(1);
  assert_int_equal(chain_client_height(&client), 11);
  set("catching-up=5");
  advance(2);
  assert_int_equal(chain_client_height(&client), 7);
  assert_int_equal(chain_client_height(&client), 8);
  chain_client_close(&client);
}

static void blocks_come_by_themselves_and_in_order(void **unused) {
  (void)unused;
  begin((struct cox_sim_chain_options){.block_ms = 10}); /* slow enough for a slow machine: nobody is cut for reading slowly */
  struct chain_client client;
  chain_client_subscribe(&client, port);
  int64_t last = chain_client_height(&client);
  for (int i = 0; i < 30; i++) {
    const int64_t height = chain_client_height(&client);
    assert_int_equal(height, last + 1);
    last = height;
  }
  chain_client_close(&client);
}

/* ---- faults of the websocket ---- */

static void a_half_open_websocket_is_silent_and_a_new_one_works(void **unused) {
  (void)unused;
  struct chain_client old, fresh;
  chain_client_subscribe(&old, port);
  set("half-open");
  chain_client_subscribe(&fresh, port); /* its answer shows that the fault is done */
  chain_client_send(&old, CHAIN_PING, "x", 1, true);
  advance(1);
  assert_int_equal(chain_client_height(&fresh), 2);
  advance(1);
  assert_int_equal(chain_client_height(&fresh), 3);
  assert_true(chain_client_is_quiet(&old));
  wait_count("open", 2);
  chain_client_close(&old); /* that a muted peer goes is noticed all the same */
  wait_count("open", 1);
  chain_client_close(&fresh);
}

static void while_silent_no_websocket_says_anything(void **unused) {
  (void)unused;
  struct chain_client old, new_one, fresh;
  chain_client_subscribe(&old, port);
  set("silent");
  chain_client_open(&new_one, port);
  chain_client_say(&new_one, "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"id\":1,\"params\":[\"tm.event='NewBlock'\"]}");
  wait_count("open", 2);
  set("silent=off");
  chain_client_subscribe(&fresh, port);
  advance(1);
  assert_int_equal(chain_client_height(&fresh), 2);
  assert_true(chain_client_is_quiet(&old));
  assert_true(chain_client_is_quiet(&new_one));
  chain_client_close(&old);
  chain_client_close(&new_one);
  chain_client_close(&fresh);
}

static void websockets_are_closed_with_a_code_and_may_come_back(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_subscribe(&client, port);
  set("close-ws=1012");
  assert_int_equal(chain_client_drain(&client), 1012);
  chain_client_close(&client);
  chain_client_subscribe(&client, port);
  advance(1);
  assert_int_equal(chain_client_height(&client), 2);
  chain_client_close(&client);
}

static void websockets_are_cut_without_a_word(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_subscribe(&client, port);
  set("cut-ws");
  assert_int_equal(chain_client_frame(&client, CHAIN_LIMIT_MS).opcode, CHAIN_END);
  chain_client_close(&client);
}

static void who_does_not_answer_a_close_is_cut(void **unused) {
  (void)unused;
  struct chain_client client;
  chain_client_subscribe(&client, port); /* answered: the websocket is there, not only its handshake */
  set("close-ws");
  wait_count("open", 0);
  chain_client_close(&client);
}

/* ---- life ---- */

static void a_chain_that_ends_says_goodbye(void **unused) {
  (void)unused;
  struct chain_client clients[8];
  for (size_t i = 0; i < 8; i++) chain_client_subscribe(&clients[i], port);
  set("half-open");
  struct chain_client last;
  chain_client_subscribe(&last, port);
  cox_sim_chain_destroy(chain);
  chain = NULL;
  assert_int_equal(chain_client_drain(&last), 1001);
  for (size_t i = 0; i < 8; i++) chain_client_close(&clients[i]);
  chain_client_close(&last);
}

static void clients_that_come_and_go_leave_nothing_behind(void **unused) {
  (void)unused;
  struct chain_client client;
  for (int i = 0; i < 40; i++) {
    switch (i % 4) {
      case 0: chain_client_connect(&client, port); break;
      case 1: chain_client_open(&client, port); break;
      case 2: chain_client_subscribe(&client, port); break;
      default:
        chain_client_open(&client, port);
        chain_client_send(&client, CHAIN_TEXT, "{\"half a", 8, true);
        break;
    }
    advance(1);
    chain_client_close(&client);
  }
  wait_count("open", 0);
}

static void a_chain_may_end_in_the_middle_of_handshakes(void **unused) {
  (void)unused;
  for (int round = 0; round < 10; round++) {
    struct chain_client clients[8];
    begin((struct cox_sim_chain_options){.block_ms = 1});
    for (size_t i = 0; i < 8; i++) {
      chain_client_connect(&clients[i], port);
      chain_client_send_raw(&clients[i], HANDSHAKE, sizeof HANDSHAKE - 1);
    }
    cox_sim_chain_destroy(chain);
    chain = NULL;
    for (size_t i = 0; i < 8; i++) chain_client_close(&clients[i]);
  }
}

int main(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(a_wrong_handshake_is_refused),
      TEST(a_refused_websocket_works_again_when_the_fault_ends),
      TEST(what_comes_with_the_handshake_is_not_lost),
      TEST(a_subscriber_gets_each_block_in_the_networks_shape),
      TEST(events_have_the_size_of_real_ones_when_asked),
      TEST(who_has_not_subscribed_gets_nothing),
      TEST(the_id_of_a_subscription_is_echoed_as_it_was_sent),
      TEST(wrong_requests_are_answered_with_what_is_wrong),
      TEST(who_unsubscribes_gets_no_more),
      TEST(a_ping_is_answered_with_its_own_payload),
      TEST(a_close_is_answered_and_the_socket_ends),
      TEST(frames_against_the_rules_end_the_connection),
      TEST(a_peer_that_answers_no_ping_is_cut),
      TEST(a_peer_that_reads_too_slowly_is_cut),
      TEST(blocks_come_reordered_doubled_and_dropped),
      TEST(every_boundary_can_be_missing),
      TEST(a_node_that_catches_up_announces_old_blocks),
      TEST(blocks_come_by_themselves_and_in_order),
      TEST(a_half_open_websocket_is_silent_and_a_new_one_works),
      TEST(while_silent_no_websocket_says_anything),
      TEST(websockets_are_closed_with_a_code_and_may_come_back),
      TEST(websockets_are_cut_without_a_word),
      TEST(who_does_not_answer_a_close_is_cut),
      TEST(a_chain_that_ends_says_goodbye),
      TEST(clients_that_come_and_go_leave_nothing_behind),
      TEST(a_chain_may_end_in_the_middle_of_handshakes),
  };
  const int failures = cmocka_run_group_tests(tests, NULL, NULL);
  curl_global_cleanup();
  return failures;
}
