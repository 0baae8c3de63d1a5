#include "api/head.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/auth.h"
#include "api/request.h"
#include "api/server.h"
#include "api/surface.h"

static enum MHD_Result read_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value) {
  (void)kind;
  struct cox_head *const head = cls;
  if (value == NULL) value = "";
  if (strcasecmp(key, "Content-Length") == 0) {
    head->lengths++;
    head->length = strtoull(value, NULL, 10); /* the library has refused what is no number */
  } else if (strcasecmp(key, "Transfer-Encoding") == 0) {
    head->encodings++;
    head->is_chunked = strcasecmp(value, "chunked") == 0;
  } else if (strcasecmp(key, "Expect") == 0) {
    head->expects_continue = strcasecmp(value, "100-continue") == 0;
  } else if (strcasecmp(key, "Authorization") == 0) {
    head->authorization = value;
  } else if (strcasecmp(key, "X-Request-Id") == 0) {
    head->request_id = value;
  } else if (strcasecmp(key, "If-Match") == 0) {
    head->if_match = value;
  } else if (strcasecmp(key, "If-None-Match") == 0) {
    head->if_none_match = value;
  } else if (strcasecmp(key, "Idempotency-Key") == 0) {
    head->key = value;
  }
  return MHD_YES;
}

void cox_head_read(struct MHD_Connection *native, struct cox_head *head) {
  *head = (struct cox_head){0};
  MHD_get_connection_values(native, MHD_HEADER_KIND, read_header, head);
}

/* Two ways to tell where a body ends are how requests are smuggled past a proxy; the library lets them pass. */
static bool has_clear_framing(struct cox_request *request, const struct cox_head *head) {
  if (head->lengths > 1 || head->encodings > 1 || (head->lengths > 0 && head->encodings > 0)) {
    cox_request_fail(request, 400, "the request says more than once how long its body is: send one Content-Length header or "
                     "Transfer-Encoding: chunked");
  } else if (head->encodings == 1 && !head->is_chunked) {
    cox_request_fail(request, 501, "the Transfer-Encoding of the request is not supported: send chunked or a Content-Length");
  } else {
    return true;
  }
  request->is_urgent = true;
  request->has_to_close = true; /* where the next request would begin is not known */
  return false;
}

static void refuse_unknown(struct cox_request *request) {
  if (request->match.allow[0] == '\0') {
    cox_request_fail(request, 404, "there is nothing at %.200s: see GET /routes for what there is", request->target);
    return;
  }
  cox_request_fail(request, 405, "%.20s is not possible on %.200s: use %s", request->method, request->target, request->match.allow);
  request->more_header = "Allow";
  request->more_value = request->match.allow;
}

static void refuse_stranger(struct cox_request *request) {
  cox_request_fail(request, 401, "%.20s %.200s needs a valid token: send the header \"Authorization: Bearer TOKEN\" with one of "
                   "admin.token or admin.tokens of the configuration", request->method, request->target);
  request->more_header = "WWW-Authenticate";
  request->more_value = "Bearer";
}

static void refuse_small(struct cox_request *request, const struct cox_caller *caller, enum cox_scope scope) {
  cox_request_fail(request, 403, "%.20s %.200s needs a token with the scope %s, and that of %s has only %s: use another token",
                   request->method, request->target, cox_scope_name(scope), caller->name, cox_scope_name(caller->scope));
}

/* Routes that nobody described are for administrators. */
static enum cox_scope scope_of(const struct cox_route *route) {
  const struct cox_surface *const surface = cox_surface_of(route);
  return surface != NULL ? surface->scope : COX_SCOPE_ADMIN;
}

/* Whoever the control socket let in needs no token; one that is sent still says who it is. */
static const struct cox_caller *caller_of(const struct cox_request *request, const struct cox_head *head) {
  const struct cox_access *const access = &request->api->access;
  const struct cox_caller *const caller = cox_access_find(access, head->authorization);
  const bool is_known = caller != NULL && caller != cox_access_anonymous();
  return is_known || !request->connection->is_local ? caller : cox_access_local(access, request->connection->uid);
}

static void judge_access(struct cox_request *request, const struct cox_head *head) {
  const bool is_path = cox_path_parse(request->target, &request->path);
  if (is_path) cox_route_match(request->method, &request->path, &request->match);
  const struct cox_route *const route = request->match.route;
  const struct cox_caller *const caller = caller_of(request, head);
  if (caller != NULL) request->caller = caller;
  const bool is_public = route != NULL && route->is_public;
  if (caller == NULL && !is_public) {
    refuse_stranger(request);
  } else if (!is_path) {
    cox_request_fail(request, 400, "the path %.200s cannot be read: its percent escapes must be complete and give UTF-8 without "
                     "NUL", request->target);
  } else if (route == NULL) {
    refuse_unknown(request);
  } else if (!is_public && caller->scope < scope_of(route)) {
    refuse_small(request, caller, scope_of(route));
  }
}

/* A parameter with a slip in its name would quietly change nothing. What is open to everybody takes none and is asked by probes and browsers,
 * some of which add a parameter of their own: a daemon that works must not look dead for that.                                      */
static void judge_query(struct cox_request *request) {
  const struct cox_route *const route = request->match.route;
  if (request->status != 0 || route->is_public) return;
  const struct cox_surface *const surface = cox_surface_of(route);
  cox_request_query_has_only(request, surface != NULL && surface->parameters != NULL ? surface->parameters : "");
}

/* The key stands in logs and errors, and in a header that was printable on its way here. */
static void judge_key(struct cox_request *request, const char *key) {
  if (request->status != 0 || key == NULL || strcmp(request->match.route->method, "GET") == 0) return;
  const size_t len = strlen(key);
  bool is_good = len > 0 && len <= COX_KEY_LENGTH_MAX;
  for (size_t i = 0; i < len; i++) is_good = is_good && key[i] > ' ' && key[i] < 0x7f;
  if (!is_good) {
    cox_request_fail(request, 400, "the Idempotency-Key must have 1 to %d visible ASCII characters: nothing was done", COX_KEY_LENGTH_MAX);
  } else if ((request->key = strdup(key)) == NULL) {
    cox_request_fail(request, 500, "nothing was done: out of memory; try again later");
  }
}

static void take_conditions(struct cox_request *request, const struct cox_head *head) {
  if (request->status != 0) return;
  request->if_match = head->if_match != NULL ? strdup(head->if_match) : NULL;
  request->if_none_match = head->if_none_match != NULL ? strdup(head->if_none_match) : NULL;
  if ((head->if_match != NULL) == (request->if_match != NULL) && (head->if_none_match != NULL) == (request->if_none_match != NULL)) return;
  cox_request_fail(request, 500, "nothing was done: out of memory; try again later");
}

void cox_request_judge(struct cox_request *request, const struct cox_head *head) {
  if (!has_clear_framing(request, head)) return;
  judge_access(request, head);
  judge_query(request);
  judge_key(request, head->key);
  take_conditions(request, head);
  const size_t own_max = request->match.route != NULL ? request->match.route->body_max : 0;
  const size_t body_max = own_max > 0 ? own_max : COX_BODY_MAX; /* a route without one throws it away, but not at any length */
  if (request->status == 0 && head->length > body_max) {
    cox_request_fail(request, 413, "the body of %s %.200s has %llu bytes, at most %zu are taken: send less at a time",
                     request->method, request->target, head->length, body_max);
  }
  if (head->length > COX_API_DRAIN_MAX) { /* more than we would read only to throw it away */
    request->is_urgent = request->has_to_close = true;
  }
  if (request->status != 0 && head->expects_continue) request->is_urgent = request->has_to_close = true;
}
