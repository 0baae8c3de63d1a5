/* The modules of jobs on real workers: websockets against a server that misbehaves, HTTP, commands that wait, programs. */
#include "job_rig.h"
#include "ws_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "net/handshake.h"
#include "sim/sim.h"

static struct ws_server *server;

static int setup(void **state) {
  (void)state;
  server = ws_server_create();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  ws_server_destroy(server);
  return 0;
}

/* Runs a job in which `url` is that path, and returns what it noted. */
static json_t *run(const char *path, const char *body) {
  char *text = NULL;
  if (asprintf(&text, "local url = \"%s\"\nlocal function note(value) broker.command(\"note\", value) end\n%s", ws_server_url(server, path), body) < 0) abort();
  json_t *const note = job_rig_run(text);
  free(text);
  return note;
}

static const char *text_of(const json_t *note, const char *key) {
  const char *const text = json_string_value(json_object_get(note, key));
  return text != NULL ? text : "(none)";
}

static void expect_words(const json_t *note, const char *key, const char *words) {
  if (strstr(text_of(note, key), words) == NULL) fail_msg("%s is \"%s\", without \"%s\"", key, text_of(note, key), words);
}

static void handshakes_follow_rfc_6455(void **state) {
  (void)state;
  char accept[COX_HANDSHAKE_ACCEPT_BYTES], key[COX_HANDSHAKE_KEY_BYTES], why[COX_HANDSHAKE_WHY_MAX];
  cox_handshake_accept("dGhlIHNhbXBsZSBub25jZQ==", accept); /* the document's own example */
  assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  cox_handshake_key(key);
  assert_int_equal(strlen(key), 24);
  struct cox_buf request = {0};
  assert_true(cox_handshake_request("wss://user:word@host:443/a?b#c", key, &request));
  assert_non_null(strstr(request.data, "GET /a?b HTTP/1.1\r\nHost: host:443\r\n"));
  cox_buf_clear(&request);
  assert_true(cox_handshake_request("ws://[::1]:80", key, &request));
  assert_non_null(strstr(request.data, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n"));
  static const char *const bad[] = {"", "ws://", "ftp://host/", "ws:///path", "ws://user@/", "ws://host/a b", "ws://host/\r\nX: y"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(cox_handshake_request(bad[i], key, &request));
  cox_buf_fini(&request);
  char answer[256];
  const int length = snprintf(answer, sizeof answer, "HTTP/1.1 101 x\r\nSEC-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nUpgrade: WEBSOCKET\r\n\r\n\x81");
  size_t used = 0;
  int status;
  for (int i = 0; i < length - 1; i++) { /* whole only when it is whole */
    assert_int_equal(cox_handshake_read(answer, (size_t)i, "dGhlIHNhbXBsZSBub25jZQ==", &used, &status, why), COX_HANDSHAKE_UNFINISHED);
  }
  assert_int_equal(cox_handshake_read(answer, (size_t)length, "dGhlIHNhbXBsZSBub25jZQ==", &used, &status, why), COX_HANDSHAKE_DONE);
  assert_int_equal(used, length - 1);
}

static void a_job_sends_and_receives(void **state) {
  (void)state;
  json_t *const note = run("/echo", "local c = assert(ws.connect(url))\n"
                                    "local big = ('ä'):rep(100000)\n"
                                    "assert(c:send('one')) assert(c:send(big)) assert(c:send(''))\n"
                                    "local a, b, e = c:receive(10), c:receive(10), c:receive(10)\n"
                                    "local none, why = c:receive(0.01)\n"
                                    "local pong = c:ping()\n"
                                    "c:close() c:close()\n"
                                    "local sent, closed = c:send('x')\n"
                                    "note { a = a, b = b == big, e = e, none = none == nil, why = why, pong = pong, sent = sent == nil, closed = closed }");
  assert_string_equal(text_of(note, "a"), "one");
  assert_true(json_is_true(json_object_get(note, "b")));
  assert_string_equal(text_of(note, "e"), "");
  assert_true(json_is_true(json_object_get(note, "none")));
  assert_string_equal(text_of(note, "why"), "timeout");
  assert_true(json_is_true(json_object_get(note, "pong")));
  assert_true(json_is_true(json_object_get(note, "sent")));
  expect_words(note, "closed", "closed");
  json_decref(note);
}

static void a_handshake_that_fails_says_why(void **state) {
  (void)state;
  static const struct {
    const char *path, *class_, *words;
  } rows[] = {
      {"/refuse", "client", "403"},      {"/html", "client", "no HTTP"},  {"/wrong", "client", "Sec-WebSocket-Accept"},
      {"/early", "reset", "closed"},     {"/hang", "timeout", "300 ms"},  {"/headers", "client", "header larger"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    json_t *const note = run(rows[i].path, "local c, failure = ws.connect(url, { timeout_s = 0.3 })\n"
                                           "note { is_nil = c == nil, class = failure.class, message = failure.message, status = failure.status }");
    assert_true(json_is_true(json_object_get(note, "is_nil")));
    expect_words(note, "message", rows[i].words);
    assert_string_equal(text_of(note, "class"), rows[i].class_);
    expect_words(note, "message", rows[i].path);
    json_decref(note);
  }
}

static void addresses_that_lead_nowhere_are_failures(void **state) {
  (void)state;
  json_t *const note = job_rig_run("local _, refused = ws.connect('ws://127.0.0.1:1/')\n"
                                   "local _, named = ws.connect('ws://no-such-name.invalid/')\n"
                                   "local is_run, message = pcall(ws.connect, 'gopher://x')\n"
                                   "broker.command('note', { refused = refused.class, named = named.class, message = message, is_run = is_run })");
  assert_string_equal(text_of(note, "refused"), "refused");
  assert_string_equal(text_of(note, "named"), "resolve");
  expect_words(note, "message", "ws://");
  json_decref(note);
}

static void what_has_come_before_the_end_is_received(void **state) {
  (void)state;
  static const struct {
    const char *path, *words;
  } rows[] = {{"/close", "code 1001"}, {"/cut", "closed by the other side"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    json_t *const note = run(rows[i].path, "local c = assert(ws.connect(url))\n"
                                           "time.sleep(0.05)\n"
                                           "local first = c:receive(10)\n"
                                           "local _, why = c:receive(10)\n"
                                           "local _, again = c:receive(10)\n"
                                           "local _, ping = c:ping()\n"
                                           "note { first = first, why = why, again = again, ping = ping }");
    assert_string_equal(text_of(note, "first"), "last words");
    expect_words(note, "why", rows[i].words);
    assert_string_equal(text_of(note, "why"), text_of(note, "again"));
    assert_string_equal(text_of(note, "why"), text_of(note, "ping"));
    json_decref(note);
  }
}

static void messages_come_however_they_are_cut(void **state) {
  (void)state;
  static const struct {
    const char *path, *text;
  } rows[] = {{"/parts", "one two three"}, {"/together", "at once"}, {"/slow", "byte by byte"}, {"/ping", "pong: are you there"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    json_t *const note = run(rows[i].path, "local c = assert(ws.connect(url))\nnote { text = c:receive(10) }");
    assert_string_equal(text_of(note, "text"), rows[i].text);
    json_decref(note);
  }
}

static void a_connection_that_ends_at_once_was_open(void **state) {
  (void)state;
  json_t *const note = run("/brief", "local c, failure = ws.connect(url)\n"
                                     "local text = c and c:receive(10)\n"
                                     "local _, why = c and c:receive(10)\n"
                                     "note { text = text, why = why, failure = failure and failure.message }");
  assert_string_equal(text_of(note, "text"), "all at once");
  assert_string_equal(text_of(note, "failure"), "(none)");
  json_decref(note);
}

static void a_message_over_the_limit_ends_the_connection(void **state) {
  (void)state;
  json_t *const note = run("/big", "local c = assert(ws.connect(url, { max_bytes = 10000 }))\n"
                                   "local text, why = c:receive(10)\n"
                                   "local good = assert(ws.connect(url, { max_bytes = 65536 }))\n"
                                   "note { text = text == nil, why = why, length = #good:receive(10) }");
  assert_true(json_is_true(json_object_get(note, "text")));
  expect_words(note, "why", "larger than 10000 bytes");
  assert_int_equal(json_integer_value(json_object_get(note, "length")), 65536);
  json_decref(note);
}

static void a_frame_that_is_none_ends_the_connection(void **state) {
  (void)state;
  json_t *const note = run("/bad", "local c = assert(ws.connect(url))\nlocal _, why = c:receive(10)\nnote { why = why }");
  expect_words(note, "why", "no frame");
  json_decref(note);
}

static void a_flood_waits_until_it_is_received(void **state) {
  (void)state;
  json_t *const note = run("/flood", "local c = assert(ws.connect(url))\n"
                                     "time.sleep(0.2)\n" /* far more than the inbox takes */
                                     "local count, last, is_ordered = 0, 0, true\n"
                                     "while count < 3000 do\n"
                                     "  local text = assert(c:receive(10))\n"
                                     "  local number = tonumber(text:match('^%d+'))\n"
                                     "  is_ordered = is_ordered and number == last + 1 and #text == 1024\n"
                                     "  count, last = count + 1, number\n"
                                     "end\n"
                                     "local _, why = c:receive(0)\n"
                                     "note { count = count, is_ordered = is_ordered, why = why }");
  assert_int_equal(json_integer_value(json_object_get(note, "count")), 3000);
  assert_true(json_is_true(json_object_get(note, "is_ordered")));
  assert_string_equal(text_of(note, "why"), "timeout");
  json_decref(note);
}

static void a_silent_server_is_found_by_ping(void **state) {
  (void)state;
  json_t *const note = run("/silent", "local c = assert(ws.connect(url))\n"
                                      "local pong, why = c:ping(0.1)\n"
                                      "local text, again = c:receive(0.05)\n"
                                      "note { pong = pong == nil, why = why, again = again }");
  assert_true(json_is_true(json_object_get(note, "pong")));
  assert_string_equal(text_of(note, "why"), "timeout");
  assert_string_equal(text_of(note, "again"), "timeout");
  json_decref(note);
}

static void wait_until_none_is_open(void) {
  const int64_t until_us = cox_clock_mono_us(cox_clock_system()) + RIG_LIMIT_MS * 1000LL;
  while (ws_server_open(server) > 0 && cox_clock_mono_us(cox_clock_system()) < until_us) usleep(1000);
  assert_int_equal(ws_server_open(server), 0);
}

static void connections_close_with_their_script(void **state) {
  (void)state;
  json_decref(run("/echo", "local a, b = assert(ws.connect(url)), assert(ws.connect(url))\nnote {}\na:receive(3600) b:close()"));
  wait_until_none_is_open(); /* the rig was stopped while the job waited */
  json_decref(run("/echo", "local a = assert(ws.connect(url))\nnote {}\nassert(a:send('x'))"));
  wait_until_none_is_open();
}

static void a_script_may_not_open_without_end(void **state) {
  (void)state;
  json_t *const note = run("/silent", "local open, why = 0, nil\n"
                                      "while true do\n"
                                      "  local c, failure = ws.connect(url)\n"
                                      "  if not c then why = failure.message break end\n"
                                      "  open = open + 1\n"
                                      "end\n"
                                      "note { open = open, why = why }");
  assert_int_equal(json_integer_value(json_object_get(note, "open")), 8);
  expect_words(note, "why", "close one first");
  json_decref(note);
}

static void a_job_follows_a_simulated_chain(void **state) {
  (void)state;
  struct cox_err err = {0};
  struct cox_sim_chain *const chain = cox_sim_chain_create(&(struct cox_sim_chain_options){.block_ms = 20, .block_bytes = 30000}, &err);
  if (chain == NULL) fail_msg("%s", err.text);
  char *text = NULL;
  if (asprintf(&text, "local c = assert(ws.connect('http://127.0.0.1:%u/websocket'))\n"
                      "assert(c:send('{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"id\":\"1\",\"params\":[\"tm.event=\\'NewBlock\\'\"]}'))\n"
                      "local first = json.decode(c:receive(10))\n"
                      "local heights = json.array {}\n"
                      "for i = 1, 5 do heights[i] = math.tointeger(tonumber(json.decode(c:receive(10)).result.data.value.block.header.height)) end\n"
                      "local answer = http.get('http://127.0.0.1:%u/status')\n"
                      "broker.command('note', { first = next(first.result) == nil, heights = heights, status = answer.status,\n"
                      "  catching_up = answer.json.result.sync_info.catching_up })",
               cox_sim_chain_port(chain), cox_sim_chain_port(chain)) < 0) abort();
  json_t *const note = job_rig_run(text);
  free(text);
  cox_sim_chain_destroy(chain);
  assert_true(json_is_true(json_object_get(note, "first")));
  const json_t *const heights = json_object_get(note, "heights");
  for (size_t i = 1; i < 5; i++)
    assert_int_equal(json_integer_value(json_array_get(heights, i)), json_integer_value(json_array_get(heights, i - 1)) + 1);
  assert_int_equal(json_integer_value(json_object_get(note, "status")), 200);
  assert_true(json_is_false(json_object_get(note, "catching_up")));
  json_decref(note);
}

static void http_failures_are_values(void **state) {
  (void)state;
  json_t *const note = job_rig_run("local answer, failure = http.get('http://127.0.0.1:1/')\n"
                                   "local _, bad = pcall(http.get, 'file:///etc/passwd')\n"
                                   "local _, option = pcall(http.get, 'http://x/', { timeout = 1 })\n"
                                   "local _, limit = pcall(http.post, 'http://x/', {}, { max_bytes = 1 << 40 })\n"
                                   "broker.command('note', { is_nil = answer == nil, class = failure.class, bad = bad, option = option, limit = limit })");
  assert_true(json_is_true(json_object_get(note, "is_nil")));
  assert_string_equal(text_of(note, "class"), "refused");
  expect_words(note, "bad", "http://");
  expect_words(note, "option", "unknown option timeout");
  expect_words(note, "limit", "max_bytes");
  json_decref(note);
}

/* ---- commands that wait ---- */

static const char chore[] = "return { help = \"A spec's.\", waits = true, args = { way = \"string\" }, run = function(job, args)\n"
                            "  if args.way == 'refuse' then return nil, 'not today' end\n"
                            "  if args.way == 'fail' then error('broken') end\n"
                            "  if args.way == 'hang' then broker.command('note', {}) time.sleep(3600) end\n"
                            "  time.sleep(0.01)\n"
                            "  return { way = args.way, name = job.name, kind = job.config.feed.kind }\nend }\n";

static void a_command_that_waits_is_answered(void **state) {
  (void)state;
  struct job_rig rig;
  json_t *const config = json_pack("{s:{s:s}}", "feed", "kind", "none");
  job_rig_start(&rig, (const char *const[]){"commands/slow.lua", chore, NULL}, config);
  json_decref(config);
  const struct {
    const char *way, *status, *words;
  } rows[] = {{"good", "done", NULL}, {"refuse", "error", "not today"}, {"fail", "error", "broken"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    json_t *const args = json_pack("{s:s}", "way", rows[i].way);
    json_t *const answer = job_rig_chore(&rig, "slow", args);
    assert_string_equal(text_of(answer, "status"), rows[i].status);
    if (rows[i].words != NULL) expect_words(answer, "error", rows[i].words);
    else assert_string_equal(text_of(json_object_get(answer, "result"), "kind"), "none");
    json_decref(args);
    json_decref(answer);
  }
  json_t *const wrong = json_pack("{s:i}", "way", 3);
  json_t *answer = job_rig_chore(&rig, "slow", wrong);
  expect_words(answer, "error", "way must be");
  json_decref(answer);
  answer = job_rig_chore(&rig, "nothing", wrong);
  expect_words(answer, "error", "there is no command nothing");
  json_decref(answer);
  json_decref(wrong);
  job_rig_stop(&rig);
}

static void count_answer(void *arg, const struct cox_answer *answer) {
  assert_int_equal(answer->err.code, COX_ESTOPPED);
  ++*(unsigned *)arg;
}

static void commands_that_wait_are_answered_by_the_end(void **state) {
  (void)state;
  struct job_rig rig;
  unsigned answers = 0, refused = 0;
  job_rig_start(&rig, (const char *const[]){"commands/slow.lua", chore, NULL}, NULL);
  const struct cox_transport *const transport = cox_net_transport(rig.net);
  json_t *const args = json_pack("{s:s}", "way", "hang");
  for (unsigned i = 0; i < COX_CHORES_MAX + 5; i++) {
    struct cox_err err = {0};
    if (transport->chore(transport->ctx, "slow", args, count_answer, &answers, &err) == 0) continue;
    assert_int_equal(err.code, COX_EFULL);
    refused++;
  }
  assert_int_equal(refused, 5);
  json_decref(job_rig_note(&rig)); /* one at least is under way */
  json_decref(args);
  job_rig_stop(&rig);
  assert_int_equal(answers, COX_CHORES_MAX);
}

/* ---- signing outside ---- */

static void write_program(const char *path, const char *text) {
  FILE *const file = fopen(path, "w");
  assert_non_null(file);
  fprintf(file, "#!/bin/sh\n%s\n", text);
  fclose(file);
  chmod(path, 0700);
}

/* Key 1's public key and its signature of "Satoshi Nakamoto" (RFC 6979). */
static const char public_key[] = "Anm+Zn753LusVaBilc6HCwcCm/zbLc4o2VnygVsW+BeY";
static const char address[] = "cosmos1w508d6qejxtdg4y5r3zarvary0c5xw7k6ah60c";
static const char signature[] =
    "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5";

static void an_external_signer_is_asked_and_not_believed_blindly(void **state) {
  (void)state;
  char path[] = "/tmp/coxswain-signer-XXXXXX", text[600];
  close(mkstemp(path));
  const char *job = "local function run() local s, why = wallet.sign('Satoshi Nakamoto')\n"
                    "broker.command('note', { bytes = s and #s, why = why }) end\nreturn { help = 'x', run = run }\n";
  snprintf(text, sizeof text, "test \"$(cat)\" = 'Satoshi Nakamoto' && echo %s", signature);
  const struct {
    const char *program, *words;
  } rows[] = {
      {text, NULL},
      {"cat >/dev/null; echo no", "128 hex digits"},
      {"cat >/dev/null; exit 3", "exit code 3"},
      {"kill -9 $$", "signal 9"},
      {"yes | head -c 100000", "more than it may"},
      {"cat >/dev/null; echo 934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
       "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e6", "not one of this document"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    write_program(path, rows[i].program);
    struct job_rig rig;
    json_t *const config = json_pack("{s:{s:s, s:s, s:s}}", "participant", "address", address, "pubkey", public_key, "signer", path);
    job_rig_start(&rig, (const char *const[]){"jobs/spec.lua", job, NULL}, config);
    job_rig_begin(&rig, "spec");
    json_t *const note = job_rig_note(&rig);
    if (rows[i].words == NULL) assert_int_equal(json_integer_value(json_object_get(note, "bytes")), 64);
    else expect_words(note, "why", rows[i].words);
    json_decref(note);
    job_rig_stop(&rig);
    json_decref(config);
  }
  unlink(path);
}

static void a_signer_that_hangs_is_killed_with_its_job(void **state) {
  (void)state;
  char path[] = "/tmp/coxswain-signer-XXXXXX";
  close(mkstemp(path));
  write_program(path, "exec sleep 3600");
  struct job_rig rig;
  json_t *const config = json_pack("{s:{s:s, s:s, s:s}}", "participant", "address", address, "pubkey", public_key, "signer", path);
  job_rig_start(&rig, (const char *const[]){"jobs/spec.lua", "return { help = 'x', run = function() broker.command('note', {})\nwallet.sign('x') end }", NULL}, config);
  job_rig_begin(&rig, "spec");
  json_decref(job_rig_note(&rig));
  job_rig_stop(&rig);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
  assert_int_equal(errno, ECHILD);
  json_decref(config);
  unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(handshakes_follow_rfc_6455),
      TEST(a_job_sends_and_receives),
      TEST(a_handshake_that_fails_says_why),
      TEST(addresses_that_lead_nowhere_are_failures),
      TEST(what_has_come_before_the_end_is_received),
      TEST(messages_come_however_they_are_cut),
      TEST(a_connection_that_ends_at_once_was_open),
      TEST(a_message_over_the_limit_ends_the_connection),
      TEST(a_frame_that_is_none_ends_the_connection),
      TEST(a_flood_waits_until_it_is_received),
      TEST(a_silent_server_is_found_by_ping),
      TEST(connections_close_with_their_script),
      TEST(a_script_may_not_open_without_end),
      TEST(a_job_follows_a_simulated_chain),
      TEST(http_failures_are_values),
      TEST(a_command_that_waits_is_answered),
      TEST(commands_that_wait_are_answered_by_the_end),
      TEST(an_external_signer_is_asked_and_not_believed_blindly),
      TEST(a_signer_that_hangs_is_killed_with_its_job),
  };
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
