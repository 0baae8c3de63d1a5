/* The OpenAPI document, made from the table of routes and what surface.c says about each. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/surface.h"
#include "base/buf.h"

static json_t *reference(const char *kind, const char *name, size_t len) {
  return json_pack("{so}", "$ref", json_sprintf("#/components/%s/%.*s", kind, (int)len, name));
}

static const char *media_type(const char *schema) {
  if (strcmp(schema, "Page") == 0) return "text/html";
  if (strcmp(schema, "Script") == 0) return "text/javascript";
  if (strcmp(schema, "Style") == 0) return "text/css";
  if (strcmp(schema, "Picture") == 0) return "image/svg+xml";
  if (strcmp(schema, "Metrics") == 0) return "text/plain";
  return strcmp(schema, "Events") == 0 ? "text/event-stream" : "application/json";
}

static json_t *content(const char *schema) {
  return json_pack("{s{so}}", media_type(schema), "schema", reference("schemas", schema, strlen(schema)));
}

/* "/admin/v1/nodes/:id" → "/admin/v1/nodes/{id}"; the parameters are added to the list. */
static bool add_path(struct cox_buf *path, const char *pattern, json_t *parameters) {
  bool is_whole = true;
  while (*pattern != '\0' && is_whole) {
    const size_t plain = strcspn(pattern, ":");
    is_whole = cox_buf_add(path, pattern, plain);
    pattern += plain;
    if (*pattern == '\0') break;
    const size_t len = strcspn(++pattern, "/");
    is_whole = is_whole && cox_buf_addf(path, "{%.*s}", (int)len, pattern);
    json_array_append_new(parameters, json_pack("{ss%, ss, sb, s{ss}}", "name", pattern, len, "in", "path", "required", 1, "schema",
                                                "type", "string"));
    pattern += len;
  }
  return is_whole;
}

static void add_named_parameters(json_t *parameters, const char *names) {
  while (names != NULL && *(names += strspn(names, " ?")) != '\0') {
    const size_t len = strcspn(names, " ");
    json_array_append_new(parameters, reference("parameters", names, len));
    names += len;
  }
}

static const char *describe(unsigned status) {
  switch (status) {
    case 200: return "Done.";
    case 201: return "Done; what was made.";
    case 206: return "A part was done: see errors.";
    case 304: return "As it was when it was last read.";
    case 400: return "The request is wrong; nothing was changed.";
    case 401: return "A valid token is missing.";
    case 403: return "The token's scope is too small.";
    case 404: return "There is no such thing.";
    case 409: return "It is another's.";
    case 410: return "It has ended.";
    case 412: return "It has changed since it was read, or is not what the headers ask for; nothing was changed.";
    case 413: return "The body is too long.";
    case 422: return "The handler failed, or the Idempotency-Key was used for another request.";
    case 429: return "Too much waits already; try again.";
    case 503: return "Not now.";
    case 504: return "Not answered in time, and not undone: the same Idempotency-Key gets the outcome.";
    default: return "See the body.";
  }
}

static void add_answer(json_t *responses, unsigned status, const char *schema) {
  char name[16];
  snprintf(name, sizeof name, "%u", status);
  json_t *const response = json_pack("{ss}", "description", describe(status));
  if (*schema != '\0') json_object_set_new(response, "content", content(schema));
  json_object_set_new(responses, name, response);
}

static json_t *responses_of(const struct cox_route *route, const struct cox_surface *surface) {
  json_t *const responses = json_object();
  unsigned status;
  char schema[32];
  for (const char *at = surface->answers; (at = cox_surface_next(at, &status, schema)) != NULL;) add_answer(responses, status, schema);
  if (!route->is_public) {
    add_answer(responses, 401, "Error");
    add_answer(responses, 403, "Error");
  }
  json_object_set_new(responses, "default", json_pack("{ss, so}", "description", "Any route: a request that cannot be read or has a parameter "
                      "that is not listed (400), a wrong method (405), no memory (500), the end of the daemon (503), an answer that takes too long (504).", "content",
                      content("Error")));
  return responses;
}

static json_t *operation_of(const struct cox_route *route, const struct cox_surface *surface, json_t *parameters) {
  json_t *const operation = json_pack("{ss, so}", "summary", surface->summary, "responses", responses_of(route, surface));
  add_named_parameters(parameters, surface->parameters);
  if (json_array_size(parameters) > 0) json_object_set(operation, "parameters", parameters);
  if (surface->request != NULL) json_object_set_new(operation, "requestBody", json_pack("{so}", "content", content(surface->request)));
  if (route->is_public) json_object_set_new(operation, "security", json_array());
  else json_object_set_new(operation, "x-scope", json_string(cox_scope_name(surface->scope)));
  return operation;
}

static bool add_route(json_t *paths, const struct cox_route *route) {
  const struct cox_surface *const surface = cox_surface_of(route);
  if (surface == NULL) return true; /* a spec tells */
  struct cox_buf path = {0};
  json_t *const parameters = json_array();
  char method[8] = "";
  for (size_t i = 0; route->method[i] != '\0' && i < sizeof method - 1; i++) method[i] = (char)tolower((unsigned char)route->method[i]);
  const bool is_whole = add_path(&path, route->pattern, parameters);
  if (is_whole) {
    if (json_object_get(paths, path.data) == NULL) json_object_set_new(paths, path.data, json_object());
    json_object_set_new(json_object_get(paths, path.data), method, operation_of(route, surface, parameters));
  }
  json_decref(parameters);
  cox_buf_fini(&path);
  return is_whole;
}

json_t *cox_openapi(void) {
  size_t count;
  const struct cox_route *const routes = cox_routes(&count);
  json_t *const paths = json_object();
  bool is_whole = true;
  for (size_t i = 0; i < count; i++) is_whole = is_whole && add_route(paths, &routes[i]);
  json_t *const document =
      json_pack("{ss, s{ss, ss, ss}, s[{s[]}], so, s{so, so, s{s{ss, ss}}}}", "openapi", "3.1.0", "info", "title", "Coxswain", "version",
                COX_VERSION, "description", "Keeps a fleet of ML nodes in the state that the network's phase asks for. Every answer "
                "carries X-Request-Id.", "security", "token", "paths", paths, "components", "schemas", cox_openapi_schemas(), "parameters",
                cox_openapi_parameters(), "securitySchemes", "token", "type", "http", "scheme", "bearer");
  if (is_whole) return document;
  json_decref(document);
  return NULL;
}
