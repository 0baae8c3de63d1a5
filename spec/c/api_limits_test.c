/* Bad input, limits and strangers: each gets its documented answer, and the others go on. */
#include "api_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/server.h" /* the count of bytes held */
#include "base/clock.h"

static struct rig *rig;
static struct reply reply;

static int setup(void **state) {
  (void)state;
  rig = rig_create(NULL, 0);
  return 0;
}

/* A token is set. */
static int setup_locked(void **state) {
  (void)state;
  const struct cox_api_options options = {.token = "s3cret"};
  rig = rig_create(&options, 0);
  return 0;
}

/* A request has two seconds. */
static int setup_hasty(void **state) {
  (void)state;
  const struct cox_api_options options = {.request_s = 2};
  rig = rig_create(&options, 0);
  return 0;
}

/* A request has a minute. */
static int setup_patient(void **state) {
  (void)state;
  const struct cox_api_options options = {.request_s = 60};
  rig = rig_create(&options, 0);
  return 0;
}

/* There is room for four connections. */
static int setup_small(void **state) {
  (void)state;
  const struct cox_api_options options = {.request_s = 2, .connections_max = 4};
  rig = rig_create(&options, 0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  reply_fini(&reply);
  rig_destroy(rig);
  return 0;
}

/* Sends raw bytes on a new connection and reads one answer. Returns the status; the reply stays in `reply`. */
static int say(const char *bytes) {
  const int fd = rig_connect(rig);
  rig_send(fd, bytes);
  reply_fini(&reply);
  reply = rig_read(fd, true);
  close(fd);
  return reply.status;
}

static int post(const char *target, const char *body) {
  reply_fini(&reply);
  reply = rig_ask(rig, "POST", target, NULL, body);
  return reply.status;
}

static void assert_refused(const char *body, const char *part) {
  assert_int_equal(post("/v1/commands/echo", body), 400);
  if (strstr(reply_error(&reply), part) == NULL) fail_msg("\"%s\" lacks \"%s\"", reply_error(&reply), part);
}

static char *repeated(const char *text, size_t times) {
  const size_t len = strlen(text);
  char *const all = malloc(len * times + 1);
  for (size_t i = 0; i < times; i++) memcpy(all + i * len, text, len);
  all[len * times] = '\0';
  return all;
}

static void what_is_not_exactly_one_json_value_is_refused(void **state) {
  (void)state;
  assert_refused("{\"a\":1", "line 1");
  assert_refused("{\"a\":1} {}", "not JSON");
  assert_refused("{\"a\":1,\"a\":2}", "duplicate");
  assert_refused("{\"a\":\"\xff\xfe\"}", "unable to decode byte 0xff");
  assert_refused("{\"a\":\"\\u0000\"}", "\\u0000");
  assert_refused("{'a':1}", "not JSON");
  assert_refused("{\"a\":123456789012345678901234567890}", "integer");
  assert_refused("nonsense", "not JSON");
  assert_refused("\x01", "not JSON");
  assert_int_equal(post("/v1/commands/echo", "  \r\n"), 200);
}

static void deep_nesting_is_refused_and_brackets_in_text_do_not_count(void **state) {
  (void)state;
  char *const open = repeated("[", 100000), *const body = malloc(100100);
  snprintf(body, 100100, "{\"a\":%s", open);
  assert_refused(body, "nested deeper");
  snprintf(body, 100100, "{\"a\":\"\\\"%s\"}", open);
  assert_int_equal(post("/v1/commands/echo", body), 200);
  free(open);
  free(body);
}

static void a_body_over_the_limit_is_413_however_it_comes(void **state) {
  (void)state;
  char *const big = repeated("x", 2 * 1024 * 1024);
  assert_int_equal(post("/v1/commands/echo", big), 413); /* read and thrown away, so that the sender can read why */
  assert_non_null(strstr(reply_error(&reply), "1048576"));
  char *const piece = repeated("y", 65536);
  const int fd = rig_connect(rig);
  rig_send(fd, "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 32; i++) {
    rig_send(fd, "10000\r\n");
    rig_send(fd, piece);
    rig_send(fd, "\r\n");
  }
  rig_send(fd, "0\r\n\r\n");
  reply_fini(&reply);
  reply = rig_read(fd, true);
  assert_int_equal(reply.status, 413);
  close(fd);
  free(big);
  free(piece);
}

static void a_huge_body_is_refused_before_it_is_sent(void **state) {
  (void)state;
  assert_int_equal(say("POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"), 413);
  assert_int_equal(say("POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                       "Content-Length: 2000000\r\n\r\n"), 413);
  assert_int_equal(say("DELETE /admin/v1/nodes/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"), 413);
  assert_int_equal(say("GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n"), 413);
}

static void a_body_of_exactly_the_limit_passes(void **state) {
  (void)state;
  char *const body = repeated(" ", 1024 * 1024);
  memcpy(body, "{\"a\":1}", 7);
  assert_int_equal(post("/v1/commands/echo", body), 200);
  free(body);
}

static void a_body_may_come_in_chunks_and_pieces(void **state) {
  (void)state;
  const int fd = rig_connect(rig);
  const char *const request = "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "4\r\n{\"a\"\r\n3;x=y\r\n:1}\r\n0\r\n\r\n";
  for (const char *p = request; *p != '\0'; p++) rig_send(fd, (const char[]){*p, '\0'});
  reply_fini(&reply);
  reply = rig_read(fd, true);
  assert_string_equal(reply.body, "{\"status\":\"done\",\"result\":{\"a\":1}}\n");
  close(fd);
}

static void a_body_that_is_announced_is_asked_for(void **state) {
  (void)state;
  const int fd = rig_connect(rig);
  rig_send(fd, "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
  reply = rig_read(fd, false);
  assert_int_equal(reply.status, 100);
  reply_fini(&reply);
  rig_send(fd, "{\"a\":1}");
  reply = rig_read(fd, true);
  assert_int_equal(reply.status, 200);
  close(fd);
}

/* Until the API holds so many bytes of bodies; 60 s at most. */
static void wait_for_bodies(size_t bytes) {
  for (int i = 0; i < 6000 && atomic_load(&rig->api->body_bytes) != bytes; i++) poll(NULL, 0, 10);
  assert_int_equal(atomic_load(&rig->api->body_bytes), bytes);
}

static void bodies_together_have_a_limit_too(void **state) {
  (void)state;
  enum { BODIES = 64 };
  char *const body = repeated(" ", 1024 * 1024 - 1); /* one byte less than announced: they are held */
  int fds[BODIES];
  for (int i = 0; i < BODIES; i++) {
    fds[i] = rig_connect(rig);
    rig_send(fds[i], "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
    rig_send(fds[i], body);
  }
  body[100] = '\0';
  wait_for_bodies(BODIES * (1024 * 1024 - 1));
  const int full = rig_status(rig, "POST", "/v1/commands/echo", body);
  for (int i = 0; i < BODIES; i++) close(fds[i]);
  wait_for_bodies(0);
  const int empty = rig_status(rig, "POST", "/v1/commands/echo", body);
  free(body);
  assert_int_equal(full, 503);
  assert_int_equal(empty, 200);
}

static void two_ways_to_tell_the_length_of_a_body_are_refused_and_end_the_connection(void **state) {
  (void)state;
  static const char *const heads[] = {
      "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
      "Content-Length: 2\r\nContent-Length: 3\r\n", "Content-Length: 2\r\nContent-Length: 2\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
    char request[256];
    snprintf(request, sizeof request, "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\n%s\r\n{}"
             "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", heads[i]);
    const int fd = rig_connect(rig);
    rig_send(fd, request);
    reply_fini(&reply);
    reply = rig_read(fd, true);
    assert_int_equal(reply.status, 400);
    assert_string_equal(reply_header(&reply, "Connection"), "close");
    assert_true(rig_is_cut(fd)); /* what follows is not taken for a request */
    close(fd);
  }
  assert_int_equal(say("POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
  assert_true(say("POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n") / 100 != 2);
  assert_true(say("POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n") / 100 != 2);
}

static void an_id_of_ten_thousand_characters_is_looked_up_like_any_other(void **state) {
  (void)state;
  char *const id = repeated("i", 10000), *const target = malloc(10100);
  snprintf(target, 10100, "/admin/v1/nodes/%s", id);
  assert_int_equal(rig_status(rig, "GET", target, NULL), 404);
  reply = rig_ask(rig, "PUT", target, NULL, rig_node("", 5000));
  assert_int_equal(reply.status, 400);
  reply_fini(&reply);
  reply = rig_ask(rig, "DELETE", target, NULL, NULL);
  assert_string_equal(reply.body, "false\n");
  reply_fini(&reply);
  snprintf(target, 10100, "/v1/commands/%s", id);
  reply = rig_ask(rig, "POST", target, NULL, NULL);
  assert_int_equal(reply.status, 404);
  assert_non_null(strstr(reply_error(&reply), "unknown command iii"));
  free(id);
  free(target);
}

static void a_text_that_is_cut_in_the_middle_of_a_character_still_makes_an_error(void **state) {
  (void)state;
  for (size_t pad = 0; pad < 3; pad++) {
    char *const euros = repeated("%E2%82%AC", 400);
    char target[4000];
    snprintf(target, sizeof target, "/v1/commands/%.*s%s", (int)pad, "aaa", euros);
    reply = rig_ask(rig, "POST", target, NULL, NULL);
    assert_int_equal(reply.status, 404);
    assert_true(strlen(reply_error(&reply)) > 20);
    reply_fini(&reply);
    free(euros);
  }
}

static void headers_without_end_are_refused(void **state) {
  (void)state;
  char *const many = repeated("X-Filler: 0123456789012345678901234567890123456789\r\n", 2000);
  char *const request = malloc(strlen(many) + 100);
  sprintf(request, "GET /livez HTTP/1.1\r\nHost: x\r\n%s\r\n", many);
  const int status = say(request);
  assert_true(status == 431 || status == 413 || status == 0); /* with unread bytes left the answer may get lost */
  free(many);
  free(request);
  assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
}

static void garbage_is_no_request(void **state) {
  (void)state;
  static const char *const garbage[] = {"\r\n\r\n\r\n", "\x16\x03\x01\x02\x01\x01\xfc\x03\x03\r\n\r\n", "GET\r\n\r\n",
                                        "GET /livez\r\n\r\n",
                                        "GET /livez HTTP/9.9\r\nHost: x\r\n\r\n", "GET /livez HTTP/1.1\r\n\r\n",
                                        "GET /livez HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n", "\xff\xff\xff\xff\r\n\r\n"};
  for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
    const int fd = rig_connect(rig);
    rig_send(fd, garbage[i]);
    shutdown(fd, SHUT_WR);
    reply_fini(&reply);
    reply = rig_read(fd, true);
    assert_true(reply.status == 0 || reply.status >= 400);
    close(fd);
  }
  assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
}

static void pipelined_requests_are_answered_in_order(void **state) {
  (void)state;
  const int fd = rig_connect(rig);
  rig_send(fd, "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}"
           "GET /admin/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
           "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":2}");
  static const char *const starts[] = {"{\"status\":\"done\",\"result\":{\"a\":1}}", "[]", "{\"error\"",
                                       "{\"status\":\"done\",\"result\":{\"a\":2}}"};
  for (size_t i = 0; i < 4; i++) {
    reply_fini(&reply);
    reply = rig_read(fd, true);
    if (strncmp(reply.body, starts[i], strlen(starts[i])) != 0) fail_msg("answer %zu is %s", i, reply.body);
  }
  close(fd);
}

static void a_client_that_has_closed_its_half_still_gets_its_answer(void **state) {
  (void)state;
  const int fd = rig_connect(rig);
  rig_send(fd, "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
  shutdown(fd, SHUT_WR);
  reply = rig_read(fd, true);
  assert_int_equal(reply.status, 200);
  assert_true(rig_is_cut(fd));
  close(fd);
}

static int with_token(const char *target, const char *header) {
  reply_fini(&reply);
  reply = rig_ask(rig, "GET", target, header, NULL);
  return reply.status;
}

static void with_a_token_only_health_is_public(void **state) {
  (void)state;
  static const char *const closed[] = {"/admin/v1/nodes", "/admin/v1/nodes/a", "/v1/world", "/admin/v1/config", "/v1/commands",
                                       "/routes", "/nothing", "/admin/v1/nodes/%ff"};
  for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
    assert_int_equal(with_token(closed[i], NULL), 401);
    assert_string_equal(reply_header(&reply, "WWW-Authenticate"), "Bearer");
  }
  assert_int_equal(post("/v1/commands/echo", "{}"), 401);
  assert_int_equal(post("/livez", "{}"), 401);
  assert_int_equal(with_token("/livez", NULL), 200);
  assert_int_equal(with_token("/readyz", NULL), 503);
  static const char *const open[] = {"/", "/page.js", "/page.css", "/page.svg"};
  for (size_t i = 0; i < sizeof open / sizeof *open; i++) assert_int_equal(with_token(open[i], NULL), 200);
}

static void only_the_right_token_opens(void **state) {
  (void)state;
  static const char *const wrong[] = {"Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Bearer S3CRET", "Basic s3cret",
                                      "s3cret", "Bearer s3crets3cret", "Bearer x"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char header[128];
    snprintf(header, sizeof header, "Authorization: %s\r\n", wrong[i]);
    assert_int_equal(with_token("/admin/v1/nodes", header), 401);
  }
  assert_int_equal(with_token("/admin/v1/nodes", "Authorization: Bearer s3cret\r\n"), 200);
  assert_int_equal(with_token("/admin/v1/nodes", "authorization: bearer s3cret\r\n"), 200);
}

static void refused(const char *listen_at, const char *token, int code, const char *part) {
  struct cox_err err = {0};
  const struct cox_api_options options = {.listen = listen_at, .token = token, .broker = rig->broker};
  assert_null(cox_api_create(&options, &err));
  assert_int_equal(err.code, code);
  if (strstr(err.text, part) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.text, part);
}

static void a_public_address_needs_a_token_or_the_operators_word(void **state) {
  (void)state;
  refused("0.0.0.0:0", NULL, COX_EINVAL, "admin.insecure");
  refused("[::]:0", NULL, COX_EINVAL, "admin.token");
  refused("127.0.0.1:0", "", COX_EINVAL, "admin.token is empty");
}

static void an_address_that_is_none_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"", "9200", ":9200", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:http", "127.0.0.1:-1",
                                    "example.com:80", "::1:80", "[::1]", "[x]:1", "1.2.3:4"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refused(bad[i], NULL, COX_EINVAL, "admin.listen");
  refused(NULL, NULL, COX_EINVAL, "admin.listen");
}

static void a_port_in_use_is_named(void **state) {
  (void)state;
  char where[64];
  snprintf(where, sizeof where, "127.0.0.1:%u", cox_api_port(rig->api));
  refused(where, NULL, COX_EBUSY, where);
}

static void it_listens_on_ipv6_too(void **state) {
  (void)state;
  struct cox_err err = {0};
  const struct cox_api_options options = {.listen = "[::1]:0", .broker = rig->broker};
  struct cox_api *const api = cox_api_create(&options, &err);
  if (api == NULL) { /* a machine without IPv6 */
    assert_int_equal(err.code, COX_ESYS);
    skip();
  }
  const struct sockaddr_in6 where = {.sin6_family = AF_INET6, .sin6_port = htons((in_port_t)cox_api_port(api)),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof where), 0);
  rig_send(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
  reply = rig_read(fd, true);
  assert_int_equal(reply.status, 200);
  close(fd);
  cox_api_destroy(api);
}

/* Feeds single bytes until the other side has enough. */
static void drip(const char *start, const char *drop) {
  const int fd = rig_connect(rig);
  rig_send(fd, start);
  for (int i = 0; i < 600; i++) { /* 60 s at most */
    struct pollfd event = {.fd = fd, .events = POLLIN};
    if (poll(&event, 1, 100) > 0) break;
    rig_send(fd, drop);
  }
  assert_true(rig_is_cut(fd));
  close(fd);
}

static void a_client_that_drips_is_cut_in_head_and_body(void **state) {
  (void)state;
  drip("GET /livez HTTP/1.1\r\nX-", "a");
  drip("POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", " ");
  drip("G", "E");
}

static void a_connection_may_be_used_again_and_again_but_not_idle(void **state) {
  (void)state;
  const int fd = rig_connect(rig);
  for (int i = 0; i < 20; i++) {
    rig_send(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    reply_fini(&reply);
    reply = rig_read(fd, true);
    assert_int_equal(reply.status, 200);
  }
  assert_true(rig_is_cut(fd));
  close(fd);
}

enum { SILENT = 1000, QUESTIONS = 200 };

static int by_time(const void *left, const void *right) {
  const int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

/* 99th percentile of the time a new client needs for /livez. */
static int64_t livez_p99_us(void) {
  int64_t took[QUESTIONS];
  for (int i = 0; i < QUESTIONS; i++) {
    const int64_t start = cox_clock_mono_us(cox_clock_system());
    assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
    took[i] = cox_clock_mono_us(cox_clock_system()) - start;
  }
  qsort(took, QUESTIONS, sizeof took[0], by_time);
  return took[QUESTIONS * 99 / 100];
}

static void a_thousand_silent_connections_disturb_nobody(void **state) {
  (void)state;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 4096) skip();
  rig_destroy(rig); /* again, with the new limit */
  rig = rig_create(NULL, 0);
  const int64_t before_us = livez_p99_us();
  static int silent[SILENT];
  for (int i = 0; i < SILENT; i++) silent[i] = rig_connect(rig);
  const int64_t during_us = livez_p99_us();
  print_message("/livez p99: %lld us alone, %lld us beside %d silent connections\n", (long long)before_us, (long long)during_us,
                SILENT);
  for (int i = 0; i < SILENT; i++) close(silent[i]);
}

static void silent_connections_are_cut(void **state) {
  (void)state;
  int silent[100];
  for (int i = 0; i < 100; i++) silent[i] = rig_connect(rig);
  for (int i = 0; i < 100; i++) {
    assert_true(rig_is_cut(silent[i]));
    close(silent[i]);
  }
}

static void a_client_beyond_the_limit_of_connections_waits_for_its_turn(void **state) {
  (void)state;
  int silent[8];
  for (int i = 0; i < 8; i++) silent[i] = rig_connect(rig);
  assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
  for (int i = 0; i < 8; i++) close(silent[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
      TEST(what_is_not_exactly_one_json_value_is_refused),
      TEST(deep_nesting_is_refused_and_brackets_in_text_do_not_count),
      TEST(a_body_over_the_limit_is_413_however_it_comes),
      TEST(a_huge_body_is_refused_before_it_is_sent),
      TEST(a_body_of_exactly_the_limit_passes),
      TEST(a_body_may_come_in_chunks_and_pieces),
      TEST(a_body_that_is_announced_is_asked_for),
      TEST_WITH(bodies_together_have_a_limit_too, setup_patient),
      TEST(two_ways_to_tell_the_length_of_a_body_are_refused_and_end_the_connection),
      TEST(an_id_of_ten_thousand_characters_is_looked_up_like_any_other),
      TEST(a_text_that_is_cut_in_the_middle_of_a_character_still_makes_an_error),
      TEST(headers_without_end_are_refused),
      TEST_WITH(garbage_is_no_request, setup_hasty),
      TEST(pipelined_requests_are_answered_in_order),
      TEST(a_client_that_has_closed_its_half_still_gets_its_answer),
      TEST_WITH(with_a_token_only_health_is_public, setup_locked),
      TEST_WITH(only_the_right_token_opens, setup_locked),
      TEST(a_public_address_needs_a_token_or_the_operators_word),
      TEST(an_address_that_is_none_is_refused),
      TEST(a_port_in_use_is_named),
      TEST(it_listens_on_ipv6_too),
      TEST_WITH(a_client_that_drips_is_cut_in_head_and_body, setup_hasty),
      TEST_WITH(a_connection_may_be_used_again_and_again_but_not_idle, setup_hasty),
      TEST_WITH(silent_connections_are_cut, setup_hasty),
      TEST_WITH(a_client_beyond_the_limit_of_connections_waits_for_its_turn, setup_small),
      TEST(a_thousand_silent_connections_disturb_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
