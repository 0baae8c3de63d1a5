/* Every route answers what the contract says, and names what is wrong with what it refuses. */
#include "api_rig.h"

#include <stdlib.h>
#include <string.h>

static struct rig *rig;
static struct reply reply;

static json_t *commands_json(void *ctx) {
  (void)ctx;
  return json_pack("[{ss, ss}]", "name", "echo", "help", "Answers what it is given.");
}

static int setup(void **state) {
  (void)state;
  json_t *const config = json_pack("{ss, s{ss, ss}}", "nodes", "node-config.json", "admin", "listen", "127.0.0.1:9200", "token",
                                   "***");
  const struct cox_api_options options = {.config = config, .commands_json = commands_json};
  rig = rig_create(&options, 0);
  json_decref(config);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  reply_fini(&reply);
  rig_destroy(rig);
  return 0;
}

/* The reply stays in `reply` until the next. */
static int ask(const char *method, const char *target, const char *body) {
  reply_fini(&reply);
  reply = rig_ask(rig, method, target, NULL, body);
  return reply.status;
}

static const char *text_at(const json_t *value, const char *key) {
  const char *const text = json_string_value(json_object_get(value, key));
  return text != NULL ? text : "(none)";
}

static void assert_error(int status, const char *method, const char *target, const char *body, const char *part) {
  assert_int_equal(ask(method, target, body), status);
  if (strstr(reply_error(&reply), part) == NULL) fail_msg("%s %s: \"%s\" lacks \"%s\"", method, target, reply.body, part);
}

static void a_new_node_is_registered_and_a_known_one_updated(void **state) {
  (void)state;
  assert_int_equal(ask("POST", "/admin/v1/nodes", rig_node("node1", 5000)), 200);
  assert_string_equal(text_at(reply.json, "id"), "node1");
  assert_int_equal(json_integer_value(json_object_get(reply.json, "node_num")), 0);
  assert_int_equal(ask("POST", "/admin/v1/nodes", rig_node("node1", 5001)), 200);
  assert_int_equal(json_integer_value(json_object_get(reply.json, "inference_port")), 5001);
  assert_int_equal(ask("PUT", "/admin/v1/nodes/node1", rig_node("node1", 5002)), 200);
  assert_int_equal(ask("GET", "/admin/v1/nodes/node1", NULL), 200);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(reply.json, "node"), "inference_port")), 5002);
  assert_string_equal(text_at(json_object_get(reply.json, "state"), "poc_current_status"), "IDLE");
}

static void a_put_fills_in_the_id_of_its_path_and_refuses_another(void **state) {
  (void)state;
  assert_int_equal(ask("PUT", "/admin/v1/nodes/n", "{\"host\":\"h\",\"inference_port\":1,\"poc_port\":2,\"max_concurrent\":1,"
                       "\"models\":{\"m\":{\"args\":[]}}}"), 200);
  assert_string_equal(text_at(reply.json, "id"), "n");
  assert_error(400, "PUT", "/admin/v1/nodes/other", rig_node("n", 5000), "other");
  assert_error(400, "PUT", "/admin/v1/nodes/n", "{\"id\":3}", "id");
  assert_int_equal(ask("GET", "/admin/v1/nodes/other", NULL), 404);
}

static void the_list_has_a_node_and_a_state_each(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/admin/v1/nodes", NULL), 200);
  assert_string_equal(reply.body, "[]\n");
  ask("POST", "/admin/v1/nodes", rig_node("a", 5000));
  ask("POST", "/admin/v1/nodes", rig_node("b", 5001));
  assert_int_equal(ask("GET", "/admin/v1/nodes", NULL), 200);
  assert_string_equal(reply_header(&reply, "Content-Type"), "application/json");
  assert_int_equal(json_array_size(reply.json), 2);
  assert_string_equal(text_at(json_object_get(json_array_get(reply.json, 1), "node"), "id"), "b");
  assert_true(json_is_object(json_object_get(json_array_get(reply.json, 1), "state")));
}

static void an_invalid_node_is_refused_with_all_its_faults_and_nothing_changes(void **state) {
  (void)state;
  assert_error(400, "POST", "/admin/v1/nodes", "{\"id\":\"x\",\"inference_port\":0,\"colour\":1,\"size\":2}", "host is required");
  assert_non_null(strstr(reply_error(&reply), "inference_port must be between 1 and 65535"));
  assert_non_null(strstr(reply_error(&reply), "at least one model must be specified"));
  assert_non_null(strstr(reply_error(&reply), "unknown field colour"));
  assert_non_null(strstr(reply_error(&reply), "unknown field size"));
  assert_error(400, "POST", "/admin/v1/nodes", "{}", "node id is required");
  assert_error(400, "POST", "/admin/v1/nodes", "{\"id\":7}", "node id must be a string");
  assert_error(400, "POST", "/admin/v1/nodes", "[]", "must be an object");
  assert_error(400, "POST", "/admin/v1/nodes", NULL, "needs a JSON body");
  assert_int_equal(ask("POST", "/admin/v1/nodes", rig_node("a", 5000)), 200);
  assert_error(400, "POST", "/admin/v1/nodes", rig_node("b", 5000), "same host");
  ask("GET", "/admin/v1/nodes", NULL);
  assert_int_equal(json_array_size(reply.json), 1);
}

static void a_batch_says_what_became_of_each_node(void **state) {
  (void)state;
  char both[2048];
  int len = snprintf(both, sizeof both, "[%s,", rig_node("a", 5000));
  snprintf(both + len, sizeof both - (size_t)len, "%s]", rig_node("b", 5001));
  assert_int_equal(ask("POST", "/admin/v1/nodes/batch", both), 201);
  assert_int_equal(json_array_size(reply.json), 2);
  len = snprintf(both, sizeof both, "[{\"id\":\"bad\"},");
  snprintf(both + len, sizeof both - (size_t)len, "%s,7]", rig_node("c", 5002));
  assert_int_equal(ask("POST", "/admin/v1/nodes/batch", both), 206);
  assert_int_equal(json_array_size(json_object_get(reply.json, "nodes")), 1);
  const json_t *const errors = json_object_get(reply.json, "errors");
  assert_int_equal(json_array_size(errors), 2);
  assert_string_equal(text_at(json_array_get(errors, 0), "id"), "bad");
  assert_int_equal(json_integer_value(json_object_get(json_array_get(errors, 1), "index")), 2);
  assert_int_equal(ask("POST", "/admin/v1/nodes/batch", "[{},{}]"), 400);
  assert_int_equal(json_array_size(json_object_get(reply.json, "errors")), 2);
  assert_error(400, "POST", "/admin/v1/nodes/batch", "{}", "list of nodes");
  assert_int_equal(ask("POST", "/admin/v1/nodes/batch", "[]"), 201);
}

static void a_batch_of_many_nodes_goes_through_the_queue_in_pieces(void **state) {
  (void)state;
  enum { MANY = 500 };
  char *const body = malloc(MANY * 256);
  size_t len = 0;
  for (int i = 0; i < MANY; i++) {
    char id[16];
    snprintf(id, sizeof id, "n%d", i % (MANY - 1)); /* the first comes twice: its second entry is an update */
    len += (size_t)sprintf(body + len, "%c%s", i == 0 ? '[' : ',', rig_node(id, 1 + i));
  }
  body[len++] = ']';
  body[len] = '\0';
  assert_int_equal(ask("POST", "/admin/v1/nodes/batch", body), 201);
  free(body);
  assert_int_equal(json_array_size(reply.json), MANY);
  ask("GET", "/admin/v1/nodes", NULL);
  assert_int_equal(json_array_size(reply.json), MANY - 1);
  const json_t *const first = json_object_get(json_array_get(reply.json, 0), "node");
  assert_string_equal(text_at(first, "id"), "n0");
  assert_int_equal(json_integer_value(json_object_get(first, "inference_port")), MANY);
}

static void an_upsert_that_lost_a_race_tries_the_other_command(void **state) {
  (void)state;
  rig->lost_races = 1;
  assert_error(400, "POST", "/admin/v1/nodes", rig_node("a", 5000), "registered already"); /* refused, and still unknown */
  assert_int_equal(ask("POST", "/admin/v1/nodes", rig_node("a", 5000)), 200);
  char twice[2048];
  int len = snprintf(twice, sizeof twice, "[%s,", rig_node("b", 5001)); /* both are unknown when they are sent */
  snprintf(twice + len, sizeof twice - (size_t)len, "%s]", rig_node("b", 5002));
  assert_int_equal(ask("POST", "/admin/v1/nodes/batch", twice), 201);
  ask("GET", "/admin/v1/nodes/b", NULL);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(reply.json, "node"), "inference_port")), 5002);
}

static void removing_tells_whether_there_was_one(void **state) {
  (void)state;
  ask("POST", "/admin/v1/nodes", rig_node("a", 5000));
  assert_int_equal(ask("DELETE", "/admin/v1/nodes/a", NULL), 200);
  assert_string_equal(reply.body, "true\n");
  assert_int_equal(ask("DELETE", "/admin/v1/nodes/a", NULL), 200);
  assert_string_equal(reply.body, "false\n");
}

static void enabling_and_disabling_answer_as_the_original_does(void **state) {
  (void)state;
  ask("POST", "/admin/v1/nodes", rig_node("node1", 5000));
  assert_int_equal(ask("POST", "/admin/v1/nodes/node1/disable", "{\"reason\":\"broken fan\"}"), 200);
  assert_string_equal(reply.body, "{\"message\":\"node disabled successfully\",\"node_id\":\"node1\"}\n");
  ask("GET", "/admin/v1/nodes/node1", NULL);
  const json_t *const admin = json_object_get(json_object_get(reply.json, "state"), "admin_state");
  assert_true(json_is_false(json_object_get(admin, "enabled")));
  assert_string_equal(text_at(admin, "reason"), "broken fan");
  assert_int_equal(ask("POST", "/admin/v1/nodes/node1/enable", NULL), 200);
  assert_string_equal(reply.body, "{\"message\":\"node enabled successfully\",\"node_id\":\"node1\"}\n");
  assert_error(404, "POST", "/admin/v1/nodes/node2/enable", NULL, "node2");
  assert_error(400, "POST", "/admin/v1/nodes/node1/enable", "{\"why\":1,\"who\":2}", "why, who");
}

static void the_config_shows_the_fleet_as_it_is(void **state) {
  (void)state;
  ask("POST", "/admin/v1/nodes", rig_node("node1", 5000));
  assert_int_equal(ask("GET", "/admin/v1/config", NULL), 200);
  assert_string_equal(text_at(json_object_get(reply.json, "admin"), "token"), "***");
  const json_t *const nodes = json_object_get(reply.json, "nodes");
  assert_int_equal(json_array_size(nodes), 1);
  assert_string_equal(text_at(json_array_get(nodes, 0), "id"), "node1");
}

static void the_world_is_empty_before_the_first_block(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/v1/world", NULL), 200);
  assert_string_equal(reply.body, "{}\n");
  ask("POST", "/v1/commands/new_block", "{\"height\":12,\"hash\":\"AB\"}");
  ask("GET", "/v1/world", NULL);
  assert_int_equal(json_integer_value(json_object_get(reply.json, "height")), 12);
}

static void a_command_is_done_skipped_or_refused_with_the_right_status(void **state) {
  (void)state;
  assert_int_equal(ask("POST", "/v1/commands/echo", "{\"a\":[1,2.5,\"ü\"]}"), 200);
  assert_string_equal(reply.body, "{\"status\":\"done\",\"result\":{\"a\":[1,2.5,\"ü\"]}}\n");
  assert_int_equal(ask("POST", "/v1/commands/echo", NULL), 200);
  assert_string_equal(reply.body, "{\"status\":\"done\",\"result\":{}}\n");
  assert_int_equal(ask("POST", "/v1/commands/skip", "{}"), 200);
  assert_string_equal(reply.body, "{\"status\":\"skipped\",\"reason\":\"not in this phase\"}\n");
  assert_error(404, "POST", "/v1/commands/nonsense", NULL, "unknown command nonsense");
  assert_error(400, "POST", "/v1/commands/wrong", NULL, "height must be an integer");
  assert_error(400, "POST", "/v1/commands/refuse", NULL, "not today");
  assert_error(404, "POST", "/v1/commands/missing", NULL, "no such node");
  assert_error(400, "POST", "/v1/commands/echo", "[1]", "must be a JSON object");
}

static void a_handler_that_fails_is_named_with_file_and_line(void **state) {
  (void)state;
  assert_error(422, "POST", "/v1/commands/broken", NULL, "attempt to index nil");
  assert_string_equal(text_at(reply.json, "file"), "commands/broken.lua");
  assert_int_equal(json_integer_value(json_object_get(reply.json, "line")), 12);
  assert_error(422, "POST", "/v1/commands/endless", NULL, "ran longer");
}

static void the_commands_are_listed_with_their_help(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/v1/commands", NULL), 200);
  assert_string_equal(reply.body, "[{\"name\":\"echo\",\"help\":\"Answers what it is given.\"}]\n");
}

static void health_tells_alive_from_ready(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/livez", NULL), 200);
  assert_int_equal(ask("GET", "/readyz", NULL), 503);
  assert_true(json_array_size(json_object_get(reply.json, "reasons")) > 0);
  cox_api_set_ready(rig->api, true);
  assert_int_equal(ask("GET", "/readyz", NULL), 200);
  assert_string_equal(reply.body, "{\"status\":\"ready\",\"degraded\":false}\n");
  cox_api_set_ready(rig->api, false);
  assert_int_equal(ask("GET", "/readyz", NULL), 503);
}

static void the_routes_are_listed_for_people(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/routes", NULL), 200);
  assert_non_null(strstr(reply.body, "/admin/v1/nodes/:id/enable"));
}

/* A store that can be read and not written. */
static int load(void *ctx, struct cox_stored *out, struct cox_err *err) {
  (void)ctx, (void)err;
  *out = (struct cox_stored){.tables = json_object(), .start = 1, .is_shut = true};
  cox_err_set(&out->why, COX_EDEGRADED, "writing coxswain.db failed: disk full");
  return 0;
}

static void watch(void *ctx, void (*is_back)(void *arg), void *arg) { (void)ctx, (void)is_back, (void)arg; }

static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  (void)ctx, (void)batch;
  return cox_err_set(err, COX_EDEGRADED, "disk full");
}

static void settle(void *ctx) { (void)ctx; }

static void degraded_is_ready_and_says_why(void **state) {
  (void)state;
  static const struct cox_store store = {.load = load, .watch = watch, .append = append, .settle = settle};
  const struct cox_broker_options options = {.clock = cox_clock_system(), .seed = 1, .policy = &rig->policy, .store = &store};
  struct cox_broker *const broker = cox_broker_create(&options, NULL);
  assert_int_equal(cox_broker_load(broker, NULL), 0);
  const struct cox_api_options served = {.listen = "127.0.0.1:0", .broker = broker};
  struct rig degraded = {.api = cox_api_create(&served, NULL)};
  cox_api_set_ready(degraded.api, true);
  reply = rig_ask(&degraded, "GET", "/readyz", NULL, NULL);
  assert_int_equal(reply.status, 200);
  assert_true(json_is_true(json_object_get(reply.json, "degraded")));
  assert_non_null(strstr(json_string_value(json_array_get(json_object_get(reply.json, "reasons"), 0)), "disk full"));
  reply_fini(&reply);
  reply = rig_ask(&degraded, "GET", "/metrics", NULL, NULL);
  assert_non_null(strstr(reply.body, "coxswain_store_degraded 1\n"));
  cox_api_destroy(degraded.api);
  cox_broker_destroy(broker);
}

/* GET with a header of the client's: the status; the answer is in `reply`. */
static int ask_if(const char *target, const char *tag) {
  char header[128];
  snprintf(header, sizeof header, "If-None-Match: %s\r\n", tag);
  reply_fini(&reply);
  reply = rig_ask(rig, "GET", target, header, NULL);
  return reply.status;
}

static void the_page_comes_in_parts_that_are_guarded_and_sent_once(void **state) {
  (void)state;
  static const struct {
    const char *target, *type, *part;
  } parts[] = {
      {"/", "text/html; charset=utf-8", "src=\"page.js\""},
      {"/page.js", "text/javascript; charset=utf-8", "class Stream"},
      {"/page.css", "text/css; charset=utf-8", "color-scheme"},
      {"/page.svg", "image/svg+xml", "<svg "},
  };
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    assert_int_equal(ask("GET", parts[i].target, NULL), 200);
    assert_string_equal(reply_header(&reply, "Content-Type"), parts[i].type);
    assert_non_null(strstr(reply.body, parts[i].part));
    assert_string_equal(reply_header(&reply, "X-Content-Type-Options"), "nosniff");
    assert_non_null(strstr(reply_header(&reply, "Content-Security-Policy"), "default-src 'none'; script-src 'self'"));
    char tag[64];
    snprintf(tag, sizeof tag, "%s", reply_header(&reply, "ETag"));
    assert_int_equal(ask_if(parts[i].target, tag), 304);
    assert_string_equal(reply.body, "");
    assert_int_equal(ask_if(parts[i].target, "\"x\""), 200);
  }
}

static void the_page_needs_nothing_from_elsewhere(void **state) {
  (void)state;
  static const char *const targets[] = {"/", "/page.js", "/page.css"};
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    ask("GET", targets[i], NULL);
    for (const char *at = reply.body; (at = strstr(at, "http")) != NULL; at++) {
      if (strncmp(at, "http://", 7) != 0 && strncmp(at, "https://", 8) != 0) continue;
      assert_int_equal(strncmp(at, "http://www.w3.org/2000/svg", 26), 0); /* a name, not an address */
    }
  }
  ask("GET", "/page.js", NULL);
  assert_null(strstr(reply.body, "\nimport ")); /* they are joined */
  assert_null(strstr(reply.body, "\nexport "));
  assert_null(strstr(reply.body, "innerHTML ="));
}

static void a_wrong_method_is_405_with_those_that_are_right(void **state) {
  (void)state;
  assert_error(405, "PATCH", "/admin/v1/nodes", NULL, "GET, HEAD, POST");
  assert_string_equal(reply_header(&reply, "Allow"), "GET, HEAD, POST");
  assert_int_equal(ask("OPTIONS", "/admin/v1/nodes/x", NULL), 405);
  assert_string_equal(reply_header(&reply, "Allow"), "GET, HEAD, PUT, DELETE");
  assert_int_equal(ask("GET", "/v1/commands/echo", NULL), 405);
  assert_string_equal(reply_header(&reply, "Allow"), "POST");
  assert_int_equal(ask("POST", "/livez", "{}"), 405);
  assert_int_equal(ask("GET", "/admin/v1/nodes/batch", NULL), 404); /* a node of that name, not the batch */
  assert_error(404, "GET", "/admin/v2/nodes", NULL, "there is nothing at /admin/v2/nodes: see GET /routes");
  assert_int_equal(ask("GET", "/admin/v1/nodes/", NULL), 404);
  assert_int_equal(ask("GET", "//livez", NULL), 404);
  assert_int_equal(ask("GET", "/a/b/c/d/e/f/g/h/i/j", NULL), 404);
}

static void a_head_is_a_get_without_its_body(void **state) {
  (void)state;
  assert_int_equal(ask("HEAD", "/livez", NULL), 200);
  assert_string_equal(reply_header(&reply, "Content-Length"), "16");
  assert_string_equal(reply.body, "");
  assert_int_equal(ask("HEAD", "/admin/v1/nodes", NULL), 200);
}

static void ids_are_decoded_from_the_path(void **state) {
  (void)state;
  assert_int_equal(ask("PUT", "/admin/v1/nodes/a%2Fb%20%C3%BC", rig_node("a/b ü", 5000)), 200);
  assert_int_equal(ask("GET", "/admin/v1/nodes/a%2fb%20%c3%bc", NULL), 200);
  assert_string_equal(text_at(json_object_get(reply.json, "node"), "id"), "a/b ü");
  assert_int_equal(ask("POST", "/admin/v1/nodes/a%2Fb%20%C3%BC/disable", NULL), 200);
  assert_int_equal(ask("GET", "/admin/v1/nodes/a/b", NULL), 404);
  assert_int_equal(ask("GET", "/admin/v1/nodes/..%2Fconfig", NULL), 404);
  assert_int_equal(ask("GET", "/admin/v1/nodes/../config", NULL), 404);
  assert_int_equal(ask("GET", "/admin/v1/nodes/+", NULL), 404);
  assert_int_equal(ask("GET", "/admin/v1/node%73/a%2Fb%20%C3%BC", NULL), 200);
}

static void a_path_that_cannot_be_decoded_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"%", "%4", "%zz", "%00", "a%00b", "%ff", "%C3", "%ED%A0%80"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char target[64];
    snprintf(target, sizeof target, "/admin/v1/nodes/%s", bad[i]);
    assert_error(400, "GET", target, NULL, "percent escapes");
  }
}

static void every_answer_has_a_request_id(void **state) {
  (void)state;
  char first[128];
  ask("GET", "/livez", NULL);
  snprintf(first, sizeof first, "%s", reply_header(&reply, "X-Request-Id"));
  ask("GET", "/nothing", NULL);
  assert_string_not_equal(first, reply_header(&reply, "X-Request-Id"));
  reply_fini(&reply);
  reply = rig_ask(rig, "GET", "/livez", "X-Request-Id: my-id.7\r\n", NULL);
  assert_string_equal(reply_header(&reply, "X-Request-Id"), "my-id.7");
  reply_fini(&reply);
  reply = rig_ask(rig, "GET", "/livez", "X-Request-Id: <script>\r\n", NULL);
  assert_null(strstr(reply_header(&reply, "X-Request-Id"), "script"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(a_new_node_is_registered_and_a_known_one_updated),
      TEST(a_put_fills_in_the_id_of_its_path_and_refuses_another),
      TEST(the_list_has_a_node_and_a_state_each),
      TEST(an_invalid_node_is_refused_with_all_its_faults_and_nothing_changes),
      TEST(a_batch_says_what_became_of_each_node),
      TEST(a_batch_of_many_nodes_goes_through_the_queue_in_pieces),
      TEST(an_upsert_that_lost_a_race_tries_the_other_command),
      TEST(removing_tells_whether_there_was_one),
      TEST(enabling_and_disabling_answer_as_the_original_does),
      TEST(the_config_shows_the_fleet_as_it_is),
      TEST(the_world_is_empty_before_the_first_block),
      TEST(a_command_is_done_skipped_or_refused_with_the_right_status),
      TEST(a_handler_that_fails_is_named_with_file_and_line),
      TEST(the_commands_are_listed_with_their_help),
      TEST(health_tells_alive_from_ready),
      TEST(degraded_is_ready_and_says_why),
      TEST(the_routes_are_listed_for_people),
      TEST(the_page_comes_in_parts_that_are_guarded_and_sent_once),
      TEST(the_page_needs_nothing_from_elsewhere),
      TEST(a_wrong_method_is_405_with_those_that_are_right),
      TEST(a_head_is_a_get_without_its_body),
      TEST(ids_are_decoded_from_the_path),
      TEST(a_path_that_cannot_be_decoded_is_refused),
      TEST(every_answer_has_a_request_id),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
