/* The body of a request as JSON: what is not exactly one good value is refused with its place. */
#include <stdio.h>
#include <string.h>

#include "api/request.h"

enum { DEPTH_MAX = 64 }; /* of objects and lists; what we take is 6 deep, and what reads it recurses */

static bool is_blank(const struct cox_buf *body) {
  return body->len == 0 || strspn(body->data, " \t\r\n") == body->len;
}

static bool is_too_deep(const struct cox_buf *body) {
  size_t depth = 0;
  bool is_text = false;
  for (size_t i = 0; i < body->len; i++) {
    const char c = body->data[i];
    if (is_text && c == '\\') i++;
    else if (c == '"') is_text = !is_text;
    else if (!is_text && (c == '{' || c == '[') && ++depth > DEPTH_MAX) return true;
    else if (!is_text && (c == '}' || c == ']') && depth > 0) depth--;
  }
  return false;
}

json_t *cox_request_json(struct cox_request *request) {
  const char *const target = request->target; /* what was called, not its pattern: a list of commands has many of one */
  if (is_blank(&request->body)) {
    cox_request_fail(request, 400, "%s %.200s needs a JSON body, and none came", request->method, target);
    return NULL;
  }
  if (is_too_deep(&request->body)) {
    cox_request_fail(request, 400, "the body of %s %.200s is nested deeper than %d levels", request->method, target, DEPTH_MAX);
    return NULL;
  }
  json_error_t error;
  json_t *const value = json_loadb(request->body.data, request->body.len, JSON_REJECT_DUPLICATES, &error);
  if (value == NULL) {
    cox_request_fail(request, 400, "the body of %s %.200s is not JSON: %s (line %d, column %d)", request->method, target, error.text,
                     error.line, error.column);
  }
  return value;
}

json_t *cox_request_object(struct cox_request *request) {
  if (is_blank(&request->body)) return json_object();
  json_t *const value = cox_request_json(request);
  if (value == NULL || json_is_object(value)) return value;
  json_decref(value);
  cox_request_fail(request, 400, "the body of %s %.200s must be a JSON object", request->method, request->target);
  return NULL;
}

static bool is_among(const char *key, const char *const *keys) {
  while (*keys != NULL && strcmp(*keys, key) != 0) keys++;
  return *keys != NULL;
}

bool cox_request_has_only(struct cox_request *request, json_t *object, const char *const *keys) {
  char names[256] = "";
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    const size_t len = strlen(names);
    if (!is_among(key, keys)) snprintf(names + len, sizeof names - len, "%s%.80s", len > 0 ? ", " : "", key);
  }
  if (names[0] == '\0') return true;
  cox_request_fail(request, 400, "%s %s does not know the field %s: leave it out", request->method, request->match.route->pattern,
                   names);
  return false;
}
