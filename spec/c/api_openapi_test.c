/* The OpenAPI document against the routes that run: each is described, and every status that is promised is brought about, with
 * a body of the promised shape.                                                                                               */
#include "api_rig.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/route.h"
#include "api/surface.h"
#include "fake_scripts.h"

static struct rig *rig;
static struct fake_scripts scripts;
static json_t *document, *seen; /* seen: {"GET /path": {"200": true}} */

/* ---- a small validator of JSON schemas: what the document uses, and nothing else ---- */

static bool is_valid(const json_t *schema, const json_t *value, char why[256]);

static bool wrong(char why[256], const char *what, const char *where) {
  snprintf(why, 256, "%s at %s", what, where);
  return false;
}

static bool has_type(const char *type, const json_t *value) {
  if (strcmp(type, "object") == 0) return json_is_object(value);
  if (strcmp(type, "array") == 0) return json_is_array(value);
  if (strcmp(type, "string") == 0) return json_is_string(value);
  if (strcmp(type, "integer") == 0) return json_is_integer(value);
  if (strcmp(type, "boolean") == 0) return json_is_boolean(value);
  fail_msg("the document uses the type %s, which this spec does not know", type);
  return false;
}

static bool is_object_valid(const json_t *schema, const json_t *object, char why[256]) {
  const json_t *const properties = json_object_get(schema, "properties"), *const more = json_object_get(schema, "additionalProperties");
  size_t i;
  json_t *name, *value;
  json_array_foreach(json_object_get(schema, "required"), i, name) {
    if (json_object_get(object, json_string_value(name)) == NULL) return wrong(why, "is missing", json_string_value(name));
  }
  const char *key;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    const json_t *const property = json_object_get(properties, key);
    if (property == NULL && json_is_false(more)) return wrong(why, "is not described", key);
    const json_t *const of = property != NULL ? property : json_is_object(more) ? more : NULL;
    char inner[256] = "";
    if (of != NULL && !is_valid(of, value, inner)) {
      snprintf(why, 256, "%.100s: %.140s", key, inner);
      return false;
    }
  }
  return true;
}

static bool is_among(const json_t *list, const json_t *value) {
  size_t i;
  json_t *item;
  json_array_foreach(list, i, item) {
    if (json_equal(item, value)) return true;
  }
  return false;
}

static bool is_valid(const json_t *schema, const json_t *value, char why[256]) {
  const char *const reference = json_string_value(json_object_get(schema, "$ref"));
  if (reference != NULL) {
    const json_t *const schemas = json_object_get(json_object_get(document, "components"), "schemas");
    const json_t *const target = json_object_get(schemas, strrchr(reference, '/') + 1);
    return target != NULL ? is_valid(target, value, why) : wrong(why, "there is no schema", reference);
  }
  const char *const type = json_string_value(json_object_get(schema, "type"));
  if (type != NULL && !has_type(type, value)) return wrong(why, "wrong type, wanted", type);
  const json_t *const accepted = json_object_get(schema, "enum");
  if (accepted != NULL && !is_among(accepted, value)) return wrong(why, "is none of the enum", json_string_value(value));
  const json_t *const least = json_object_get(schema, "minimum");
  if (least != NULL && json_integer_value(value) < json_integer_value(least)) return wrong(why, "is too small", "a number");
  size_t i;
  json_t *item;
  const json_t *const items = json_object_get(schema, "items");
  if (items != NULL) {
    json_array_foreach(value, i, item) {
      if (!is_valid(items, item, why)) return false;
    }
  }
  return !json_is_object(value) || is_object_valid(schema, value, why);
}

/* ---- asking ---- */

/* "/a/:id" → "/a/{id}" */
static void path_of(const char *pattern, char out[128]) {
  for (; *pattern != '\0'; pattern++) {
    if (*pattern != ':') {
      *out++ = *pattern;
      continue;
    }
    *out++ = '{';
    while (pattern[1] != '\0' && pattern[1] != '/') *out++ = *++pattern;
    *out++ = '}';
  }
  *out = '\0';
}

static json_t *operation_of(const char *method, const char *pattern) {
  char path[128], name[8] = "";
  path_of(pattern, path);
  for (size_t i = 0; method[i] != '\0'; i++) name[i] = (char)tolower((unsigned char)method[i]);
  return json_object_get(json_object_get(json_object_get(document, "paths"), path), name);
}

static void check_body(const json_t *response, const struct reply *reply, const char *what) {
  const json_t *const content = json_object_get(response, "content");
  if (content == NULL) {
    assert_string_equal(reply->body, "");
    return;
  }
  const char *type = NULL;
  json_t *media;
  json_object_foreach((json_t *)(uintptr_t)content, type, media) {
    const char *const given = reply_header(reply, "Content-Type");
    if (given == NULL || strncmp(given, type, strlen(type)) != 0) fail_msg("%s came as %s instead of %s", what, given, type);
    if (strcmp(type, "application/json") != 0) continue;
    char why[256] = "";
    if (reply->json == NULL) fail_msg("%s is not JSON: %s", what, reply->body);
    if (!is_valid(json_object_get(media, "schema"), reply->json, why)) fail_msg("%s has the wrong shape: %s: %.300s", what, why, reply->body);
  }
}

/* Sends it; the answer must be `status`, be documented and have the documented shape. */
static void expect(unsigned status, const char *method, const char *pattern, const char *target, const char *header, const char *body) {
  char what[256], code[8];
  snprintf(what, sizeof what, "%s %.80s: %u", method, pattern, status);
  snprintf(code, sizeof code, "%u", status);
  struct reply reply = rig_ask(rig, method, target, header, body);
  if ((unsigned)reply.status != status) fail_msg("%s, but it was %d: %.300s", what, reply.status, reply.body);
  const json_t *const responses = json_object_get(operation_of(method, pattern), "responses");
  const json_t *const response = json_object_get(responses, code);
  if (response == NULL) fail_msg("%s is not documented", what);
  check_body(response, &reply, what);
  char route[160];
  snprintf(route, sizeof route, "%s %.120s", method, pattern);
  if (json_object_get(seen, route) == NULL) json_object_set_new(seen, route, json_object());
  json_object_set_new(json_object_get(seen, route), code, json_true());
  reply_fini(&reply);
}

static json_t *commands_json(void *ctx) {
  (void)ctx;
  return json_pack("[{ss, ss, ss}]", "name", "echo", "help", "Answers what it is given.", "priority", "high");
}

static void open_rig(struct cox_api_options options, size_t queue_max) {
  options.commands_json = commands_json;
  if (options.scripts == NULL) options.scripts = &scripts.scripts;
  rig = rig_create(&options, queue_max);
}

static void close_rig(void) { rig_destroy(rig); }

/* Routes whose statuses need what this rig has not: their own specs bring them about. */
static bool is_elsewhere(const char *pattern) {
  static const char *const starts[] = {"/v1/leases", "/v1/events", "/v1/backup"};
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    if (strncmp(pattern, starts[i], strlen(starts[i])) == 0) return true;
  }
  return false;
}

/* One good request for each route that changes something. */
static const struct change {
  const char *method, *pattern, *target;
  bool has_node, is_batch; /* of the body; else none */
  bool is_conditional;
} changes[] = {
    {"POST", "/admin/v1/nodes", "/admin/v1/nodes", true, false, true},
    {"POST", "/admin/v1/nodes/batch", "/admin/v1/nodes/batch", true, true, false},
    {"PUT", "/admin/v1/nodes/:id", "/admin/v1/nodes/a", true, false, true},
    {"POST", "/admin/v1/nodes/:id/enable", "/admin/v1/nodes/a/enable", false, false, true},
    {"POST", "/admin/v1/nodes/:id/disable", "/admin/v1/nodes/a/disable", false, false, true},
    {"POST", "/v1/commands/:name", "/v1/commands/echo", false, false, false},
    {"DELETE", "/admin/v1/nodes/:id", "/admin/v1/nodes/a", false, false, true},
};
enum { CHANGES = sizeof changes / sizeof *changes };

static const char *body_of(const struct change *change) {
  static char text[600];
  if (!change->has_node) return NULL;
  snprintf(text, sizeof text, "%s%s%s", change->is_batch ? "[" : "", rig_node("a", 5000), change->is_batch ? "]" : "");
  return text;
}

static void each_change(unsigned status, const char *header) {
  for (size_t i = 0; i < CHANGES; i++) {
    expect(status, changes[i].method, changes[i].pattern, changes[i].target, header, body_of(&changes[i]));
  }
}

static void see_what_reading_gives(void) {
  expect(503, "GET", "/readyz", "/readyz", NULL, NULL);
  cox_api_set_ready(rig->api, true);
  static const char *const plain[] = {"/", "/page.js", "/page.css", "/page.svg", "/routes", "/livez", "/readyz", "/metrics", "/openapi.json", "/admin/v1/nodes", "/admin/v1/config",
                                      "/v1/commands", "/v1/world"};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) expect(200, "GET", plain[i], plain[i], NULL, NULL);
  for (size_t i = 0; i < 4; i++) expect(304, "GET", plain[i], plain[i], "If-None-Match: *\r\n", NULL);
  expect(200, "GET", "/admin/v1/nodes/:id", "/admin/v1/nodes/a", NULL, NULL);
  expect(304, "GET", "/admin/v1/nodes/:id", "/admin/v1/nodes/a", "If-None-Match: *\r\n", NULL);
  expect(404, "GET", "/admin/v1/nodes/:id", "/admin/v1/nodes/z", NULL, NULL);
}

static void see_what_changes_give(void) {
  for (size_t i = 0; i < CHANGES; i++) {
    const struct change *const change = &changes[i];
    expect(change->is_batch ? 201 : 200, change->method, change->pattern, change->target, NULL, body_of(change));
    const bool is_delete = strcmp(change->method, "DELETE") == 0;
    expect(400, change->method, change->pattern, change->target, is_delete ? "If-Match: x\r\n" : NULL, is_delete ? NULL : "[");
    if (change->is_conditional) expect(412, change->method, change->pattern, change->target, "If-Match: \"x\"\r\n", body_of(change));
    char *const big = malloc(COX_BODY_MAX + 2);
    memset(big, ' ', COX_BODY_MAX + 1);
    big[COX_BODY_MAX + 1] = '\0';
    expect(413, change->method, change->pattern, change->target, NULL, big);
    free(big);
    char header[128];
    snprintf(header, sizeof header, "Idempotency-Key: k%zu\r\n", i);
    expect(change->is_batch ? 201 : 200, change->method, change->pattern, change->target, header, body_of(change));
    snprintf(header, sizeof header, "Idempotency-Key: k%zu\r\nIf-Match: \"y\"\r\n", i);
    expect(422, change->method, change->pattern, change->target, header, body_of(change));
  }
}

static void see_the_rest(void) {
  char half[700];
  snprintf(half, sizeof half, "[%s,{}]", rig_node("b", 5001));
  expect(206, "POST", "/admin/v1/nodes/batch", "/admin/v1/nodes/batch", NULL, half);
  expect(404, "POST", "/admin/v1/nodes/:id/enable", "/admin/v1/nodes/z/enable", NULL, NULL);
  expect(404, "POST", "/admin/v1/nodes/:id/disable", "/admin/v1/nodes/z/disable", NULL, NULL);
  expect(404, "POST", "/v1/commands/:name", "/v1/commands/nonsense", NULL, NULL);
  expect(200, "POST", "/v1/commands/:name", "/v1/commands/skip", NULL, NULL);
  expect(422, "POST", "/v1/commands/:name", "/v1/commands/broken", NULL, NULL);
}

static const char *const loads[] = {"/v1/scripts/reload", "/v1/scripts/rollback", "/v1/scripts/plan"};
enum { LOADS = sizeof loads / sizeof *loads };

static void each_load(unsigned status, const char *body) {
  for (size_t i = 0; i < LOADS; i++) expect(status, "POST", loads[i], loads[i], NULL, body);
}

static void see_what_scripts_give(void) {
  char *const big = malloc(COX_BODY_MAX + 2);
  memset(big, ' ', COX_BODY_MAX + 1);
  big[COX_BODY_MAX + 1] = '\0';
  json_t *const change = json_pack("{ss, s{ss}, s{ss}, ss}", "node_id", "a", "from", "status", "INFERENCE", "to", "status", "STOPPED", "reason", "spare");
  fake_scripts_answer(&scripts, COX_SCRIPTS_DONE, json_pack("{ss, si, s[o]}", "status", "done", "generation", 3, "changes", change), 0, "");
  expect(200, "GET", "/v1/scripts", "/v1/scripts", NULL, NULL);
  expect(200, "GET", "/v1/scripts", "/v1/scripts?difference=1", NULL, NULL);
  expect(400, "GET", "/v1/scripts", "/v1/scripts?difference=x", NULL, NULL);
  each_load(200, NULL);
  each_load(400, "[");
  each_load(413, big);
  fake_scripts_refuse(&scripts);
  each_load(422, "{}");
  fake_scripts_answer(&scripts, COX_SCRIPTS_FAILED, NULL, COX_EFULL, "too many wait");
  each_load(429, NULL);
  fake_scripts_answer(&scripts, COX_SCRIPTS_FAILED, NULL, COX_ESTOPPED, "the daemon is stopping");
  each_load(503, NULL);
  free(big);
}

static void see_what_scripts_give_otherwise(void) {
  open_rig((struct cox_api_options){.scripts_s = 0.2}, 0);
  fake_scripts_hold(&scripts);
  each_load(504, NULL);
  fake_scripts_let_go(&scripts);
  cox_api_destroy(rig->api);
  rig->options.scripts = NULL;
  rig->api = cox_api_create(&rig->options, NULL);
  expect(503, "GET", "/v1/scripts", "/v1/scripts", NULL, NULL);
  close_rig();
}

/* cox-command stands still; the connection of the command that holds it. */
static int hold(void) {
  rig_shut(rig);
  const int fd = rig_connect(rig);
  rig_send(fd, "POST /v1/commands/hold HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  rig_wait_held(rig);
  return fd;
}

static void see_what_a_busy_broker_gives(void) {
  open_rig((struct cox_api_options){.command_s = 0.2}, 0);
  int held = hold();
  each_change(504, NULL);
  close(held);
  close_rig();
  open_rig((struct cox_api_options){.command_s = 300}, 1);
  held = hold();
  const int waiting = rig_connect(rig);
  rig_send(waiting, "POST /v1/commands/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  struct cox_stats stats = {0};
  for (int i = 0; i < 6000 && stats.queue_depth[COX_PRIORITY_HIGH] == 0; i++) {
    usleep(10000);
    cox_broker_stats(rig->broker, &stats);
  }
  each_change(429, NULL);
  close(held);
  close(waiting);
  rig_open(rig);
  cox_broker_stop(rig->broker, 10000);
  each_change(503, NULL);
  close_rig();
}

static void see_what_strangers_get(void) {
  json_t *const tokens = json_pack("[{ss, ss, ss}]", "token", "t", "scope", "read", "name", "n");
  open_rig((struct cox_api_options){.tokens = tokens}, 0);
  json_decref(tokens);
  size_t count;
  const struct cox_route *const routes = cox_routes(&count);
  for (size_t i = 0; i < count; i++) {
    char target[128];
    path_of(routes[i].pattern, target); /* as good a parameter as any */
    if (routes[i].is_public || is_elsewhere(routes[i].pattern)) continue;
    expect(401, routes[i].method, routes[i].pattern, target, NULL, NULL);
    const struct cox_surface *const surface = cox_surface_of(&routes[i]);
    if (surface->scope > COX_SCOPE_READ) expect(403, routes[i].method, routes[i].pattern, target, "Authorization: Bearer t\r\n", NULL);
  }
  close_rig();
}

/* A parameter with a slip in its name would quietly change nothing. */
static void a_parameter_that_is_not_listed_is_refused_on_every_route(void **state) {
  (void)state;
  open_rig((struct cox_api_options){0}, 0);
  size_t count;
  const struct cox_route *const routes = cox_routes(&count);
  for (size_t i = 0; i < count; i++) {
    char path[128], target[160];
    path_of(routes[i].pattern, path);
    snprintf(target, sizeof target, "%s?difference_=1", path);
    struct reply reply = rig_ask(rig, routes[i].method, target, NULL, NULL);
    /* What probes and browsers ask for is open to everybody and takes no parameter: theirs do no harm. */
    if (routes[i].is_public) assert_int_not_equal(reply.status, 400);
    else if (reply.status != 400 || strstr(reply_error(&reply), "does not know the parameter difference_:") == NULL) fail_msg("%s", reply.body);
    reply_fini(&reply);
  }
  struct reply reply = rig_ask(rig, "GET", "/v1/events?format=json&Last-Event-ID=1", NULL, NULL);
  assert_int_equal(reply.status, 400);
  assert_non_null(strstr(reply_error(&reply), "Last-Event-ID: leave it out; those there are: since, max, format, kind, node"));
  reply_fini(&reply);
  reply = rig_ask(rig, "HEAD", "/admin/v1/nodes?x", NULL, NULL);
  assert_int_equal(reply.status, 400);
  reply_fini(&reply);
  reply = rig_ask(rig, "GET", "/admin/v1/nodes?", NULL, NULL);
  assert_int_equal(reply.status, 200);
  reply_fini(&reply);
  close_rig();
}

static bool was_seen(const char *route, const char *code, const json_t *operation) {
  if (strcmp(code, "default") == 0) return true;
  const char *const scope = json_string_value(json_object_get(operation, "x-scope"));
  if (strcmp(code, "403") == 0 && scope != NULL && strcmp(scope, "read") == 0) return true; /* there is no smaller one */
  return json_object_get(json_object_get(seen, route), code) != NULL;
}

static void every_status_that_is_promised_can_be_had_and_looks_as_promised(void **state) {
  (void)state;
  seen = json_object();
  open_rig((struct cox_api_options){.command_s = 300}, 0);
  struct reply reply = rig_ask(rig, "PUT", "/admin/v1/nodes/a", NULL, rig_node("a", 5000));
  assert_int_equal(reply.status, 200);
  reply_fini(&reply);
  see_what_reading_gives();
  see_what_changes_give();
  assert_int_equal(rig_status(rig, "PUT", "/admin/v1/nodes/a", rig_node("a", 5000)), 200);
  see_the_rest();
  see_what_scripts_give();
  close_rig();
  see_what_scripts_give_otherwise();
  see_what_a_busy_broker_gives();
  see_what_strangers_get();
  size_t count;
  const struct cox_route *const routes = cox_routes(&count);
  for (size_t i = 0; i < count; i++) {
    char route[160];
    snprintf(route, sizeof route, "%s %.120s", routes[i].method, routes[i].pattern);
    if (is_elsewhere(routes[i].pattern)) continue;
    json_t *const operation = operation_of(routes[i].method, routes[i].pattern);
    const char *code;
    json_t *response;
    json_object_foreach(json_object_get(operation, "responses"), code, response) {
      if (!was_seen(route, code, operation)) fail_msg("%s promises %s, which never came", route, code);
    }
  }
  json_decref(seen);
}

static void every_route_is_described_and_nothing_else_is(void **state) {
  (void)state;
  size_t count, operations = 0;
  const struct cox_route *const routes = cox_routes(&count);
  for (size_t i = 0; i < count; i++) {
    if (operation_of(routes[i].method, routes[i].pattern) == NULL) fail_msg("%s %s is not described", routes[i].method, routes[i].pattern);
  }
  const char *path;
  json_t *methods;
  json_object_foreach(json_object_get(document, "paths"), path, methods) operations += json_object_size(methods);
  assert_int_equal(operations, count);
  assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.0");
}

/* Every "#/components/…" leads somewhere. */
static void follow(const json_t *value) {
  const char *key;
  json_t *item;
  size_t i;
  json_array_foreach(value, i, item) follow(item);
  json_object_foreach((json_t *)(uintptr_t)value, key, item) {
    if (strcmp(key, "$ref") != 0) {
      follow(item);
      continue;
    }
    char kind[32], name[64];
    assert_int_equal(sscanf(json_string_value(item), "#/components/%31[^/]/%63s", kind, name), 2);
    if (json_object_get(json_object_get(json_object_get(document, "components"), kind), name) == NULL) fail_msg("%s/%s is not there", kind, name);
  }
}

static void no_reference_leads_nowhere(void **state) {
  (void)state;
  follow(document);
}

static int make_document(void **state) {
  (void)state;
  fake_scripts_init(&scripts);
  document = cox_openapi();
  return document != NULL ? 0 : -1;
}

static int drop_document(void **state) {
  (void)state;
  json_decref(document);
  fake_scripts_fini(&scripts);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_route_is_described_and_nothing_else_is),
      cmocka_unit_test(no_reference_leads_nowhere),
      cmocka_unit_test(a_parameter_that_is_not_listed_is_refused_on_every_route),
      cmocka_unit_test(every_status_that_is_promised_can_be_had_and_looks_as_promised),
  };
  return cmocka_run_group_tests(tests, make_document, drop_document);
}
