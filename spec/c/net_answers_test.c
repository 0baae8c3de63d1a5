/* What becomes of a request: each way in which a machine answers, and does not answer, with its class and its words. */
#include "evil_server.h"
#include "scripted_net.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define HEADER_LINE "X-Filler: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567\r\n"
#define FOUR(text) text text text text
#define BODY_KIB FOUR(FOUR(FOUR("0123456789abcdef")))
#define BODY FOUR(FOUR(BODY_KIB))

static const struct evil_route routes[] = {
    {"/hang", {{0}}},
    {"/half-header", {{EVIL_SEND, OK_HEAD "Content-Le", 0, 0}}},
    {"/half-body", {{EVIL_SEND, OK_HEAD "Content-Length: 100\r\n\r\nabcde", 0, 0}}},
    {"/drip", {{EVIL_SEND, OK_HEAD "Content-Length: 1000000\r\n\r\n", 0, 0}, {EVIL_DRIP, "x", EVIL_FOREVER, 5}}},
    {"/drip-header", {{EVIL_SEND, OK_HEAD "X-Slow: ", 0, 0}, {EVIL_DRIP, "x", EVIL_FOREVER, 5}}},
    {"/big-header", {{EVIL_SEND, OK_HEAD, 0, 0}, {EVIL_SEND, HEADER_LINE, 700, 0}, {EVIL_SEND, "\r\nok", 0, 0}}},
    {"/endless-header", {{EVIL_SEND, OK_HEAD, 0, 0}, {EVIL_SEND, HEADER_LINE, EVIL_FOREVER, 0}}},
    {"/endless-line", {{EVIL_SEND, OK_HEAD "X-Long: ", 0, 0}, {EVIL_SEND, BODY, EVIL_FOREVER, 0}}},
    {"/endless-100", {{EVIL_SEND, FOUR("HTTP/1.1 100 Continue\r\n\r\n"), EVIL_FOREVER, 0}}},
    {"/endless", {{EVIL_SEND, OK_HEAD "\r\n", 0, 0}, {EVIL_SEND, BODY, EVIL_FOREVER, 0}}},
    {"/endless-chunks",
     {{EVIL_SEND, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n", 0, 0}, {EVIL_SEND, FOUR("400\r\n" BODY_KIB "\r\n"), EVIL_FOREVER, 0}}},
    {"/endless-trailer",
     {{EVIL_SEND, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n", 0, 0}, {EVIL_SEND, HEADER_LINE, EVIL_FOREVER, 0}}},
    {"/ten-gigabytes", {{EVIL_SEND, OK_HEAD "Content-Length: 10737418240\r\n\r\n", 0, 0}, {EVIL_SEND, BODY, EVIL_FOREVER, 0}}},
    {"/ten", {{EVIL_SEND, OK_HEAD "Content-Length: 10\r\n\r\n0123456789", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/ten-to-end", {{EVIL_SEND, OK_HEAD "\r\n0123456789", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/reset", {{EVIL_RESET, 0, 0, 0}}},
    {"/close", {{EVIL_CLOSE, 0, 0, 0}}},
    {"/close-header", {{EVIL_SEND, OK_HEAD "Content-Le", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/close-body", {{EVIL_SEND, OK_HEAD "Content-Length: 100\r\n\r\nabcde", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/close-chunk", {{EVIL_SEND, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n64\r\nabcde", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/reset-body", {{EVIL_SEND, OK_HEAD "Content-Length: 100\r\n\r\nabcde", 0, 0}, {EVIL_PAUSE, 0, 0, 20}, {EVIL_RESET, 0, 0, 0}}},
    {"/garbage", {{EVIL_SEND, "\x01\x02 +OK POP3 ready, what do you want?\r\n\r\n", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/garbage-hang", {{EVIL_SEND, "SSH-2.0-OpenSSH_9.2\r\n", 0, 0}}},
    {"/bad-chunk", {{EVIL_SEND, OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nabcd\r\n", 0, 0}}},
    {"/bad-length", {{EVIL_SEND, OK_HEAD "Content-Length: -5\r\n\r\nabcd", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/redirect", {{EVIL_SEND, "HTTP/1.1 302 Found\r\nLocation: /ten\r\nContent-Length: 4\r\n\r\ngone", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/nothing", {{EVIL_SEND, "HTTP/1.1 204 No Content\r\n\r\n", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/continue",
     {{EVIL_SEND, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", 0, 0},
      {EVIL_SEND, OK_HEAD "Content-Length: 4\r\n\r\ndone", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/chunked",
     {{EVIL_SEND, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\nX-End: 1\r\n\r\n", 0, 0},
      {EVIL_NEXT, 0, 0, 0}}},
    {"/byte-by-byte",
     {{EVIL_DRIP, "H", 0, 1}, {EVIL_DRIP, "TTP/1.1 20", 0, 1}, {EVIL_DRIP, "0 OK\r\nContent-Len", 0, 1},
      {EVIL_DRIP, "gth: 6\r\n\r", 0, 1}, {EVIL_DRIP, "\n", 0, 1}, {EVIL_DRIP, "a", 6, 1}, {EVIL_NEXT, 0, 0, 0}}},
    {"/many-headers",
     {{EVIL_SEND, OK_HEAD, 0, 0}, {EVIL_SEND, HEADER_LINE, 500, 0}, {EVIL_SEND, "Content-Length: 2\r\n\r\nok", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/twice",
     {{EVIL_SEND, OK_HEAD "Content-Length: 5\r\n\r\nfirst" OK_HEAD "Content-Length: 6\r\n\r\nsecond", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/old", {{EVIL_SEND, "HTTP/1.0 200 OK\r\n\r\nold times", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/conflict", {{EVIL_SEND, "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/error", {{EVIL_SEND, "HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nwrong", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/zero-byte", {{EVIL_SEND, OK_HEAD "X: y\r\nContent-Length: 1\r\n\r\n", 0, 0}, {EVIL_SEND, "z", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
};

static struct scripted net;
static struct evil_server *server;
static size_t files_before;

static int setup(void **state) {
  (void)state;
  files_before = open_files();
  server = evil_server_create(&(const struct evil_options){.routes = routes, .route_count = sizeof routes / sizeof routes[0]});
  scripted_start(&net, 1);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  scripted_stop(&net);
  evil_server_destroy(server);
  wait_open_files(files_before);
  return 0;
}

/* One step; what came of it is to be forgotten by the caller. */
static struct script *ask(struct script_step step) {
  struct script *const script = script_create((struct script_step[]){step, {0}});
  scripted_run(&net, script);
  assert_int_equal(script->why, COX_END_DONE);
  return script;
}

static void check_seen(const struct script_seen *seen, enum cox_class class_, const char *words) {
  if (seen->class_ != class_) fail_msg("class %s, not %s: %s", cox_class_name(seen->class_), cox_class_name(class_), seen->error);
  if (strstr(seen->error, words) == NULL) fail_msg("\"%s\" has no \"%s\"", seen->error, words);
}

static void expect_failure(const char *path, enum cox_class class_, const char *words) {
  const enum script_do ways[] = {SCRIPT_GET, SCRIPT_POST, SCRIPT_MUTATE};
  for (size_t i = 0; i < 3; i++) {
    struct script *const script = ask((struct script_step){.what = ways[i], .text = evil_url(server, path)});
    check_seen(&script->seen[0], class_, words);
    assert_non_null(strstr(script->seen[0].error, ways[i] == SCRIPT_GET ? "GET http://127.0.0.1:" : "POST http://127.0.0.1:"));
    assert_non_null(strstr(script->seen[0].error, path));
    assert_null(script->seen[0].body);
    assert_int_equal(script->seen[0].status, 0);
    script_destroy(script);
  }
  evil_server_wait_open(server, 0);
}

static void expect_answer(const char *path, int status, const char *body) {
  for (int i = 0; i < 2; i++) {
    const enum script_do what = i == 0 ? SCRIPT_GET : SCRIPT_MUTATE;
    struct script *const script = ask((struct script_step){.what = what, .text = evil_url(server, path)});
    check_seen(&script->seen[0], COX_CLASS_NONE, "");
    assert_int_equal(script->seen[0].status, status);
    assert_string_equal(script->seen[0].body, body);
    assert_int_equal(script->seen[0].body_len, strlen(body));
    script_destroy(script);
  }
}

/* On a slow machine a short limit may pass earlier than meant: then it is asked again with a longer one. */
static void expect_timeout(const char *path, const char *words) {
  for (int64_t ms = 50;; ms *= 2) {
    struct script *const script = ask((struct script_step){.what = SCRIPT_GET, .text = evil_url(server, path), .ms = ms});
    const bool is_so = strstr(script->seen[0].error, words) != NULL;
    if (is_so || ms > 10000) check_seen(&script->seen[0], COX_CLASS_TIMEOUT, words);
    script_destroy(script);
    if (is_so) break;
  }
  evil_server_wait_open(server, 0);
}

/* ---- answers ---- */

static void a_whole_answer_of_any_status_is_a_success_of_the_transport(void **state) {
  (void)state;
  expect_answer("/fast", 200, "ok");
  expect_answer("/conflict", 409, "no");
  expect_answer("/error", 500, "wrong");
  expect_answer("/nothing", 204, "");
}

static void a_redirect_is_handed_over_and_not_followed(void **state) {
  (void)state;
  expect_answer("/redirect", 302, "gone");
  assert_int_equal(evil_server_requests(server, "/ten"), 0);
}

static void every_form_of_an_answer_is_understood(void **state) {
  (void)state;
  expect_answer("/continue", 200, "done");
  expect_answer("/chunked", 200, "abcdefg");
  expect_answer("/byte-by-byte", 200, "aaaaaa");
  expect_answer("/many-headers", 200, "ok");
  expect_answer("/old", 200, "old times");
  expect_answer("/ten-to-end", 200, "0123456789");
  expect_answer("/zero-byte", 200, "z");
}

static void a_second_answer_is_not_taken_for_that_of_the_next_request(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    expect_answer("/twice", 200, "first");
    expect_answer("/fast", 200, "ok");
  }
}

static void the_body_and_its_type_are_sent(void **state) {
  (void)state;
  struct script *script = ask((struct script_step){.what = SCRIPT_MUTATE, .text = evil_url(server, "/up"), .body = "{\"model\":\"m\"}"});
  const char *request = evil_server_last_request(server);
  assert_non_null(strstr(request, "POST /up HTTP/1.1\r\n"));
  assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
  assert_non_null(strstr(request, "\r\nContent-Length: 13\r\n"));
  assert_non_null(strstr(request, "\r\n\r\n{\"model\":\"m\"}"));
  assert_null(strstr(request, "Expect:"));
  script_destroy(script);
  script = ask((struct script_step){.what = SCRIPT_MUTATE, .text = evil_url(server, "/stop")});
  request = evil_server_last_request(server);
  assert_non_null(strstr(request, "\r\nContent-Length: 0\r\n"));
  assert_null(strstr(request, "Content-Type"));
  script_destroy(script);
  script = ask((struct script_step){.what = SCRIPT_GET, .text = evil_url(server, "/state")});
  request = evil_server_last_request(server);
  assert_non_null(strstr(request, "GET /state HTTP/1.1\r\n"));
  assert_null(strstr(request, "Content-"));
  script_destroy(script);
}

static void a_large_body_is_sent_whole(void **state) {
  (void)state;
  char *const body = malloc(200001);
  memset(body, 'b', 200000);
  body[200000] = '\0';
  struct script *const script = ask((struct script_step){.what = SCRIPT_MUTATE, .text = evil_url(server, "/up"), .body = body});
  check_seen(&script->seen[0], COX_CLASS_NONE, "");
  assert_non_null(strstr(evil_server_last_request(server), "\r\nContent-Length: 200000\r\n"));
  script_destroy(script);
  free(body);
}

/* ---- no answers ---- */

static void a_silent_machine_is_a_timeout_that_says_how_far_it_came(void **state) {
  (void)state;
  expect_timeout("/hang", "no answer within ");
  expect_timeout("/half-header", "the answer was not whole after ");
  expect_timeout("/half-body", "the answer was not whole after ");
}

static void a_slow_answer_does_not_live_past_the_limit_of_the_request(void **state) {
  (void)state;
  expect_timeout("/drip", "the answer was not whole after ");
  expect_timeout("/drip-header", "the answer was not whole after ");
}

/* libcurl forgets its own limit when bytes come within the last millisecond before it. */
static void a_limit_is_kept_when_bytes_come_just_before_it(void **state) {
  (void)state;
  struct script *scripts[100];
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 100; i++) {
      scripts[i] = script_create((struct script_step[]){{.what = SCRIPT_GET, .text = evil_url(server, "/half-body"), .ms = 1 + i % 8}, {0}});
      scripted_post(&net, scripts[i], 0);
    }
    for (int i = 0; i < 100; i++) {
      scripted_wait(&net, scripts[i]);
      assert_int_equal(scripts[i]->seen[0].class_, COX_CLASS_TIMEOUT);
      script_destroy(scripts[i]);
    }
  }
}

static void a_broken_connection_is_a_reset(void **state) {
  (void)state;
  expect_failure("/close", COX_CLASS_RESET, "the connection was closed without an answer");
  expect_failure("/reset", COX_CLASS_RESET, "the connection broke before the answer was whole");
  expect_failure("/close-header", COX_CLASS_RESET, "the connection broke before the answer was whole");
  expect_failure("/close-body", COX_CLASS_RESET, "the connection broke before the answer was whole");
  expect_failure("/close-chunk", COX_CLASS_RESET, "the connection broke before the answer was whole");
  expect_failure("/reset-body", COX_CLASS_RESET, "the connection broke before the answer was whole");
}

static void what_is_no_http_is_a_bad_answer(void **state) {
  (void)state;
  expect_failure("/garbage", COX_CLASS_BAD_ANSWER, "the answer could not be understood");
  expect_failure("/garbage-hang", COX_CLASS_BAD_ANSWER, "the answer could not be understood");
  expect_failure("/bad-chunk", COX_CLASS_BAD_ANSWER, "the answer could not be understood");
  expect_failure("/bad-length", COX_CLASS_BAD_ANSWER, "the answer could not be understood");
}

static void garbage_on_a_connection_used_before_is_a_bad_answer_too(void **state) {
  (void)state;
  struct script *const script = script_create((struct script_step[]){
      {.what = SCRIPT_GET, .text = evil_url(server, "/fast")}, {.what = SCRIPT_GET, .text = evil_url(server, "/garbage")}, {0}});
  scripted_run(&net, script);
  check_seen(&script->seen[0], COX_CLASS_NONE, "");
  check_seen(&script->seen[1], COX_CLASS_BAD_ANSWER, "the answer could not be understood");
  assert_int_equal(evil_server_counts(server).accepted, 1);
  script_destroy(script);
}

static void a_timeout_on_a_connection_used_before_is_no_answer_and_not_no_connection(void **state) {
  (void)state;
  struct script *const script = script_create((struct script_step[]){{.what = SCRIPT_GET, .text = evil_url(server, "/fast")},
                                                                     {.what = SCRIPT_GET, .text = evil_url(server, "/hang"), .ms = 2000},
                                                                     {0}});
  scripted_run(&net, script);
  check_seen(&script->seen[1], COX_CLASS_TIMEOUT, "no answer within 2000 ms");
  script_destroy(script);
}

/* ---- limits ---- */

static size_t memory_max_kib(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (size_t)usage.ru_maxrss;
}

static void an_endless_answer_ends_as_a_bad_answer_with_bounded_memory(void **state) {
  (void)state;
  expect_failure("/endless", COX_CLASS_BAD_ANSWER, "answer larger than 1048576 bytes");
  const size_t before_kib = memory_max_kib();
  for (int i = 0; i < 3; i++) {
    expect_failure("/endless", COX_CLASS_BAD_ANSWER, "answer larger than 1048576 bytes");
    expect_failure("/endless-chunks", COX_CLASS_BAD_ANSWER, "answer larger than 1048576 bytes");
    expect_failure("/ten-gigabytes", COX_CLASS_BAD_ANSWER, "answer larger than 1048576 bytes");
  }
#ifndef __SANITIZE_ADDRESS__ /* it keeps what is freed for a while */
  assert_true(memory_max_kib() - before_kib < 64 * 1024);
#else
  (void)before_kib;
#endif
}

static void an_endless_header_ends_as_a_bad_answer(void **state) {
  (void)state;
  expect_failure("/big-header", COX_CLASS_BAD_ANSWER, "header of the answer larger than 65536 bytes");
  expect_failure("/endless-header", COX_CLASS_BAD_ANSWER, "header of the answer larger than 65536 bytes");
  expect_failure("/endless-100", COX_CLASS_BAD_ANSWER, "header of the answer larger than 65536 bytes");
  expect_failure("/endless-trailer", COX_CLASS_BAD_ANSWER, "header of the answer larger than 65536 bytes");
  expect_failure("/endless-line", COX_CLASS_BAD_ANSWER, "header");
}

static void the_limit_of_a_body_is_exact(void **state) {
  (void)state;
  const char *const paths[] = {"/ten", "/ten-to-end"};
  for (int i = 0; i < 2; i++) {
    struct script *script = ask((struct script_step){.what = SCRIPT_GET, .text = evil_url(server, paths[i]), .response_max = 10});
    check_seen(&script->seen[0], COX_CLASS_NONE, "");
    assert_string_equal(script->seen[0].body, "0123456789");
    script_destroy(script);
    script = ask((struct script_step){.what = SCRIPT_GET, .text = evil_url(server, paths[i]), .response_max = 9});
    check_seen(&script->seen[0], COX_CLASS_BAD_ANSWER, "answer larger than 9 bytes");
    script_destroy(script);
  }
}

/* ---- no connection ---- */

static void expect_no_connection(const char *url, enum cox_class class_, const char *words) {
  struct script *const script = ask((struct script_step){.what = SCRIPT_MUTATE, .text = url});
  check_seen(&script->seen[0], class_, words);
  script_destroy(script);
}

static void a_closed_port_is_refused(void **state) {
  (void)state;
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%d/x", evil_closed_port());
  expect_no_connection(url, COX_CLASS_REFUSED, "connection refused; is the node running?");
}

/* A label of more than 63 bytes: no name server need be asked to know that it is none. */
static void a_name_that_is_none_is_not_resolved(void **state) {
  (void)state;
  expect_no_connection("http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid:80/x", COX_CLASS_RESOLVE,
                       "the name could not be resolved");
}

static void localhost_is_a_name_like_any_other(void **state) {
  (void)state;
  char url[64];
  snprintf(url, sizeof url, "http://localhost:%d/fast", evil_server_port(server));
  struct script *const script = ask((struct script_step){.what = SCRIPT_GET, .text = url});
  check_seen(&script->seen[0], COX_CLASS_NONE, "");
  script_destroy(script);
}

static void tls_to_a_plain_port_is_a_reset_of_tls(void **state) {
  (void)state;
  const struct evil_route speaks_first[] = {{"", {{EVIL_SEND, "220 mail ready\r\n", 0, 0}}}};
  struct evil_server *const plain = evil_server_create(&(const struct evil_options){.routes = speaks_first, .route_count = 1});
  char url[64];
  snprintf(url, sizeof url, "https://127.0.0.1:%d/x", evil_server_port(plain));
  expect_no_connection(url, COX_CLASS_RESET, "TLS failed");
  evil_server_destroy(plain);
}

static void what_is_no_address_is_a_fault_of_the_configuration(void **state) {
  (void)state;
  expect_no_connection("http://[::1", COX_CLASS_SCRIPT, "not an address");
  expect_no_connection("ftp://127.0.0.1/x", COX_CLASS_SCRIPT, "only http:// and https:// are spoken");
  expect_no_connection("file:///etc/passwd", COX_CLASS_SCRIPT, "only http:// and https:// are spoken");
}

static void a_password_in_an_address_is_sent_and_never_told(void **state) {
  (void)state;
  char url[96];
  snprintf(url, sizeof url, "http://user:secret@127.0.0.1:%d/close", evil_server_port(server));
  struct script *const script = ask((struct script_step){.what = SCRIPT_GET, .text = url});
  assert_non_null(strstr(evil_server_last_request(server), "Authorization: Basic dXNlcjpzZWNyZXQ="));
  assert_null(strstr(script->seen[0].error, "secret"));
  assert_non_null(strstr(script->seen[0].error, "GET http://127.0.0.1:"));
  script_destroy(script);
}

static void a_limit_of_years_is_taken(void **state) {
  (void)state;
  struct script *const script = ask((struct script_step){.what = SCRIPT_GET, .text = evil_url(server, "/fast"), .ms = INT64_MAX});
  check_seen(&script->seen[0], COX_CLASS_NONE, "");
  script_destroy(script);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(a_whole_answer_of_any_status_is_a_success_of_the_transport),
      TEST(a_redirect_is_handed_over_and_not_followed),
      TEST(every_form_of_an_answer_is_understood),
      TEST(a_second_answer_is_not_taken_for_that_of_the_next_request),
      TEST(the_body_and_its_type_are_sent),
      TEST(a_large_body_is_sent_whole),
      TEST(a_silent_machine_is_a_timeout_that_says_how_far_it_came),
      TEST(a_slow_answer_does_not_live_past_the_limit_of_the_request),
      TEST(a_limit_is_kept_when_bytes_come_just_before_it),
      TEST(a_broken_connection_is_a_reset),
      TEST(what_is_no_http_is_a_bad_answer),
      TEST(garbage_on_a_connection_used_before_is_a_bad_answer_too),
      TEST(a_timeout_on_a_connection_used_before_is_no_answer_and_not_no_connection),
      TEST(an_endless_answer_ends_as_a_bad_answer_with_bounded_memory),
      TEST(an_endless_header_ends_as_a_bad_answer),
      TEST(the_limit_of_a_body_is_exact),
      TEST(a_closed_port_is_refused),
      TEST(a_name_that_is_none_is_not_resolved),
      TEST(localhost_is_a_name_like_any_other),
      TEST(tls_to_a_plain_port_is_a_reset_of_tls),
      TEST(what_is_no_address_is_a_fault_of_the_configuration),
      TEST(a_password_in_an_address_is_sent_and_never_told),
      TEST(a_limit_of_years_is_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
