/* Who may do what, by tokens and scopes; who may change a node, by what was seen of it. */
#include "api_rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rig *rig;
static struct reply reply;

static int setup(void **state) {
  (void)state;
  rig = rig_create(NULL, 0);
  return 0;
}

static json_t *token(const char *secret, const char *scope, const char *name) {
  return json_pack("{ss, ss, ss}", "token", secret, "scope", scope, "name", name);
}

/* Its file asks for administrators. */
static json_t *commands_json(void *ctx) {
  (void)ctx;
  return json_pack("[{ss, ss}, {ss, ss}, {ss}]", "name", "echo", "scope", "operate", "name", "skip", "scope", "admin", "name", "refuse");
}

static int setup_locked(void **state) {
  (void)state;
  json_t *const tokens = json_pack("[o, o, o]", token("rrr", "read", "eyes"), token("ooo", "operate", "hands"), token("aaa", "admin", "head"));
  const struct cox_api_options options = {.token = "root", .tokens = tokens, .commands_json = commands_json};
  rig = rig_create(&options, 0);
  json_decref(tokens);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  reply_fini(&reply);
  rig_destroy(rig);
  return 0;
}

static int as(const char *secret, const char *method, const char *target, const char *body) {
  char header[64];
  snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", secret);
  reply_fini(&reply);
  reply = rig_ask(rig, method, target, header, body);
  return reply.status;
}

static void each_scope_opens_its_routes_and_those_below(void **state) {
  (void)state;
  static const struct {
    const char *method, *target, *body;
    int scope; /* 0 read, 1 operate, 2 admin */
    int status;
  } cases[] = {
      {"GET", "/admin/v1/nodes", NULL, 0, 200},
      {"GET", "/metrics", NULL, 0, 200},
      {"GET", "/openapi.json", NULL, 0, 200},
      {"HEAD", "/v1/world", NULL, 0, 200},
      {"POST", "/v1/commands/echo", "{}", 1, 200},
      {"POST", "/v1/commands/skip", "{}", 2, 200},
      {"POST", "/v1/commands/refuse", "{}", 1, 400},
      {"POST", "/v1/commands/nothing", "{}", 1, 404},
      {"POST", "/v1/commands/remove_node", "{\"node_id\":\"x\"}", 2, 200},
      {"POST", "/admin/v1/nodes/x/enable", NULL, 1, 404},
      {"POST", "/admin/v1/nodes/x/disable", NULL, 1, 404},
      {"POST", "/admin/v1/nodes", "{}", 2, 400},
      {"PUT", "/admin/v1/nodes/x", "{}", 2, 400},
      {"POST", "/admin/v1/nodes/batch", "[]", 2, 201},
      {"DELETE", "/admin/v1/nodes/x", NULL, 2, 200},
      {"GET", "/admin/v1/config", NULL, 2, 200},
  };
  static const char *const secrets[] = {"rrr", "ooo", "aaa", "root"};
  static const char *const names[] = {"eyes", "hands"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int who = 0; who < 4; who++) {
      const bool is_open = who >= cases[i].scope;
      const int status = as(secrets[who], cases[i].method, cases[i].target, cases[i].body);
      assert_int_equal(status, is_open ? cases[i].status : 403);
      if (!is_open) assert_non_null(strstr(reply_error(&reply), names[who]));
    }
    assert_int_equal(as("zzz", cases[i].method, cases[i].target, cases[i].body), 401);
  }
}

static void where_nothing_is_any_token_is_enough_to_be_told(void **state) {
  (void)state;
  assert_int_equal(as("rrr", "GET", "/nothing", NULL), 404);
  assert_int_equal(as("rrr", "PATCH", "/admin/v1/nodes", NULL), 405);
  assert_int_equal(as("zzz", "GET", "/nothing", NULL), 401);
  assert_int_equal(as("zzz", "GET", "/livez", NULL), 200);
}

static int locally(const char *secret, const char *method, const char *target) {
  char text[256];
  const int fd = rig_connect_locally(rig);
  snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\n%s%s%s\r\n", method, target, secret != NULL ? "Authorization: Bearer " : "",
           secret != NULL ? secret : "", secret != NULL ? "\r\n" : "");
  rig_send(fd, text);
  reply_fini(&reply);
  reply = rig_read(fd, true);
  close(fd);
  return reply.status;
}

static void at_the_control_socket_no_token_is_needed_and_one_that_is_sent_holds(void **state) {
  (void)state;
  assert_int_equal(locally(NULL, "GET", "/admin/v1/config"), 200);
  assert_int_equal(locally(NULL, "DELETE", "/admin/v1/nodes/x"), 200);
  assert_int_equal(locally("zzz", "GET", "/admin/v1/nodes"), 200); /* it lets in nobody else */
  assert_int_equal(locally("rrr", "GET", "/admin/v1/nodes"), 200);
  assert_int_equal(locally("rrr", "DELETE", "/admin/v1/nodes/x"), 403);
  assert_non_null(strstr(reply_error(&reply), "eyes"));
}

static void refused_with(json_t *tokens, const char *part) {
  struct cox_err err = {0};
  const struct cox_api_options options = {.listen = "127.0.0.1:0", .tokens = tokens, .broker = rig->broker};
  assert_null(cox_api_create(&options, &err));
  assert_int_equal(err.code, COX_EINVAL);
  if (strstr(err.text, part) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.text, part);
  json_decref(tokens);
}

static void a_token_that_is_not_in_order_stops_the_start(void **state) {
  (void)state;
  refused_with(json_pack("[{ss, ss}]", "token", "t", "scope", "read"), "admin.tokens[1].name");
  refused_with(json_pack("[o]", token("t", "root", "n")), "\"read\", \"operate\" or \"admin\"");
  refused_with(json_pack("[o]", token("", "read", "n")), "is empty");
  refused_with(json_pack("[o]", token("a b", "read", "n")), "spaces");
  refused_with(json_pack("[o]", token("t", "read", "a b")), "name");
  refused_with(json_pack("[{ss, ss}]", "scope", "read", "name", "n"), "either token or token_file");
  refused_with(json_pack("[{ss, ss, ss, ss}]", "token", "t", "token_file", "f", "scope", "read", "name", "n"), "either token or token_file");
  refused_with(json_pack("[o, o]", token("t", "read", "a"), token("t", "admin", "b")), "same token");
  refused_with(json_pack("[o, o]", token("t", "read", "a"), token("u", "admin", "a")), "name a");
  refused_with(json_pack("[{ss, ss, ss}]", "token_file", "/nowhere/token", "scope", "read", "name", "n"), "/nowhere/token");
  refused_with(json_pack("[{ss, ss, ss}]", "token_file", "/", "scope", "read", "name", "n"), "token file /");
}

static void a_token_may_come_from_a_file(void **state) {
  (void)state;
  char path[] = "/tmp/cox_token_XXXXXX";
  const int fd = mkstemp(path);
  assert_int_equal(write(fd, "  from-file\n", 12), 12);
  close(fd);
  cox_api_destroy(rig->api);
  json_t *const tokens = json_pack("[{ss, ss, ss}]", "token_file", path, "scope", "read", "name", "n");
  rig->options.tokens = tokens;
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
  json_decref(tokens);
  unlink(path);
  assert_non_null(rig->api);
  assert_int_equal(as("from-file", "GET", "/admin/v1/nodes", NULL), 200);
  assert_int_equal(as("from-fil", "GET", "/admin/v1/nodes", NULL), 401);
}

/* ---- ETags ---- */

static int with(const char *method, const char *target, const char *name, const char *value, const char *body) {
  char header[1024];
  snprintf(header, sizeof header, "%s: %s\r\n", name, value);
  reply_fini(&reply);
  reply = rig_ask(rig, method, target, header, body);
  return reply.status;
}

static char *etag_of(const char *id) {
  char target[64];
  snprintf(target, sizeof target, "/admin/v1/nodes/%s", id);
  reply_fini(&reply);
  reply = rig_ask(rig, "GET", target, NULL, NULL);
  assert_int_equal(reply.status, 200);
  const char *const etag = reply_header(&reply, "ETag");
  assert_non_null(etag);
  assert_int_equal(etag[0], '"');
  return strdup(etag);
}

static void an_unchanged_node_is_304(void **state) {
  (void)state;
  rig_status(rig, "PUT", "/admin/v1/nodes/a", rig_node("a", 5000));
  char *const etag = etag_of("a");
  char list[512];
  assert_int_equal(with("GET", "/admin/v1/nodes/a", "If-None-Match", etag, NULL), 304);
  assert_string_equal(reply.body, "");
  assert_string_equal(reply_header(&reply, "ETag"), etag);
  snprintf(list, sizeof list, "\"x\", W/%s", etag);
  assert_int_equal(with("GET", "/admin/v1/nodes/a", "If-None-Match", list, NULL), 304);
  assert_int_equal(with("GET", "/admin/v1/nodes/a", "If-None-Match", "*", NULL), 304);
  assert_int_equal(with("GET", "/admin/v1/nodes/a", "If-None-Match", "\"x\"", NULL), 200);
  assert_int_equal(with("GET", "/admin/v1/nodes/a", "If-None-Match", "nonsense", NULL), 200);
  rig_status(rig, "POST", "/admin/v1/nodes/a/disable", NULL); /* a change of state only */
  assert_int_equal(with("GET", "/admin/v1/nodes/a", "If-None-Match", etag, NULL), 200);
  free(etag);
}

static void of_two_editors_the_second_is_told(void **state) {
  (void)state;
  rig_status(rig, "PUT", "/admin/v1/nodes/a", rig_node("a", 5000));
  char *const etag = etag_of("a");
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-Match", etag, rig_node("a", 5001)), 200);
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-Match", etag, rig_node("a", 5002)), 412);
  assert_non_null(strstr(reply_error(&reply), "has changed"));
  assert_int_equal(with("POST", "/admin/v1/nodes", "If-Match", etag, rig_node("a", 5003)), 412);
  assert_int_equal(with("DELETE", "/admin/v1/nodes/a", "If-Match", etag, NULL), 412);
  assert_int_equal(with("POST", "/admin/v1/nodes/a/disable", "If-Match", etag, NULL), 412);
  free(etag);
  char *const fresh = etag_of("a");
  assert_int_equal(json_integer_value(json_object_get(json_object_get(reply.json, "node"), "inference_port")), 5001);
  assert_int_equal(with("POST", "/admin/v1/nodes/a/disable", "If-Match", fresh, NULL), 200);
  assert_int_equal(with("DELETE", "/admin/v1/nodes/a", "If-Match", fresh, NULL), 200); /* its state alone has changed */
  assert_string_equal(reply.body, "true\n");
  assert_int_equal(with("DELETE", "/admin/v1/nodes/a", "If-Match", fresh, NULL), 412);
  free(fresh);
}

static void stars_ask_whether_there_is_a_node(void **state) {
  (void)state;
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-Match", "*", rig_node("a", 5000)), 412);
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-None-Match", "*", rig_node("a", 5000)), 200);
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-None-Match", "*", rig_node("a", 5001)), 412);
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-Match", "*", rig_node("a", 5001)), 200);
}

static void conditions_that_cannot_be_read_change_nothing(void **state) {
  (void)state;
  static const char *const bad[] = {"nonsense", "\"open", "a\"b\"", "W/x"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-Match", bad[i], rig_node("a", 5000)), 400);
  }
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-None-Match", "\"x\"", rig_node("a", 5000)), 400);
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-None-Match", "*\r\nIf-Match: *", rig_node("a", 5000)), 400);
  assert_int_equal(with("POST", "/admin/v1/nodes/batch", "If-Match", "*", "[]"), 400);
  assert_int_equal(with("PUT", "/admin/v1/nodes/a", "If-Match", "W/\"x\", \"a b\"", rig_node("a", 5000)), 412);
  assert_int_equal(rig_status(rig, "GET", "/admin/v1/nodes/a", NULL), 404);
}

static void metrics_count_answers_by_route_and_code(void **state) {
  (void)state;
  rig_status(rig, "GET", "/admin/v1/nodes/zz", NULL);
  rig_status(rig, "GET", "/admin/v1/nodes/yy", NULL);
  rig_status(rig, "GET", "/no/such/place", NULL);
  rig_status(rig, "POST", "/v1/commands/echo", NULL);
  reply = rig_ask(rig, "GET", "/metrics", NULL, NULL);
  assert_int_equal(reply.status, 200);
  assert_non_null(strstr(reply_header(&reply, "Content-Type"), "version=0.0.4"));
  static const char *const lines[] = {
      "\ncoxswain_http_requests_total{route=\"GET /admin/v1/nodes/:id\",code=\"404\"} 2\n",
      "\ncoxswain_http_requests_total{route=\"GET /admin/v1/nodes/:id\",code=\"304\"} 0\n",
      "\ncoxswain_http_requests_total{route=\"other\",code=\"404\"} 1\n",
      "\ncoxswain_http_requests_total{route=\"POST /v1/commands/:name\",code=\"504\"} 0\n",
      "\ncoxswain_commands_total{name=\"echo\",outcome=\"done\"} 1\n",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    if (strstr(reply.body, lines[i]) == NULL) fail_msg("no line %s", lines[i]);
  }
  assert_null(strstr(reply.body, "such"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
      TEST_WITH(each_scope_opens_its_routes_and_those_below, setup_locked),
      TEST_WITH(where_nothing_is_any_token_is_enough_to_be_told, setup_locked),
      TEST_WITH(at_the_control_socket_no_token_is_needed_and_one_that_is_sent_holds, setup_locked),
      TEST(a_token_that_is_not_in_order_stops_the_start),
      TEST(a_token_may_come_from_a_file),
      TEST(an_unchanged_node_is_304),
      TEST(of_two_editors_the_second_is_told),
      TEST(stars_ask_whether_there_is_a_node),
      TEST(conditions_that_cannot_be_read_change_nothing),
      TEST(metrics_count_answers_by_route_and_code),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
