/* The fleet: reading, removing, enabling. Adding and changing: routes_upsert.c. */
#include "api/routes.h"

#include "api/call.h"
#include "api/render.h"
#include "api/server.h"

static struct cox_blob *render_nodes(struct cox_api *api) {
  struct cox_buf text = {0};
  if (cox_broker_nodes_text(api->options.broker, &text) == 0 && cox_buf_add(&text, "\n", 1)) return cox_blob_take(&text);
  cox_buf_fini(&text);
  return NULL;
}

void cox_get_nodes(struct cox_request *request) { cox_request_render(request, render_nodes, "application/json"); }

static void fail_unknown(struct cox_request *request) {
  cox_request_fail(request, 404, "node %.200s is not registered: GET /admin/v1/nodes lists those that are",
                   request->match.param[0]);
}

void cox_get_node(struct cox_request *request) {
  struct cox_buf text = {0};
  char tag[COX_TAG_MAX];
  const int rc = cox_broker_node_text(request->api->options.broker, request->match.param[0], &text, tag);
  if (rc == COX_ENOENT) {
    fail_unknown(request);
    return;
  }
  const bool is_whole = rc == 0 && cox_buf_add(&text, "\n", 1);
  if (is_whole) cox_etag_write(request->etag, tag, text.data, text.len);
  if (is_whole && cox_etag_is_among(request->if_none_match, request->etag)) {
    cox_buf_fini(&text);
    cox_request_answer_blob(request, 304, "application/json", cox_blob_text(""));
    return;
  }
  cox_request_answer_blob(request, 200, "application/json", is_whole ? cox_blob_take(&text) : NULL);
  cox_buf_fini(&text);
}

static void removed(struct cox_request *request, struct cox_wait *wait) {
  const struct cox_answer *const answer = cox_calls_answer(wait, 0);
  if (answer->outcome == COX_ANSWER_ERROR) cox_request_fail_as(request, answer);
  else cox_request_answer(request, 200, json_boolean(json_is_true(json_object_get(answer->result, "removed"))));
}

void cox_delete_node(struct cox_request *request) {
  if (!cox_request_require(request, request->match.param[0])) return;
  cox_request_call(request, "remove_node", json_pack("{ss}", "node_id", request->match.param[0]), removed);
}

static void switched(struct cox_request *request, struct cox_wait *wait, bool is_enabled) {
  const struct cox_answer *const answer = cox_calls_answer(wait, 0);
  if (answer->outcome == COX_ANSWER_ERROR && answer->err.code == COX_ENOENT) {
    fail_unknown(request);
  } else if (answer->outcome == COX_ANSWER_ERROR) {
    cox_request_fail_as(request, answer);
  } else {
    cox_request_answer(request, 200, json_pack("{ss, ss}", "message", is_enabled ? "node enabled successfully"
                                               : "node disabled successfully", "node_id", request->match.param[0]));
  }
}

static void enabled(struct cox_request *request, struct cox_wait *wait) { switched(request, wait, true); }
static void disabled(struct cox_request *request, struct cox_wait *wait) { switched(request, wait, false); }

/* The body may say why, and a disable when it ends by itself: {"reason", "expires_s" or "expires_at"}. */
static void switch_node(struct cox_request *request, bool is_enabled) {
  static const char *const enable_keys[] = {"reason", NULL}, *const disable_keys[] = {"reason", "expires_s", "expires_at", NULL};
  const char *const *const keys = is_enabled ? enable_keys : disable_keys;
  if (!cox_request_require(request, request->match.param[0])) return;
  json_t *const args = cox_request_object(request);
  if (args != NULL && cox_request_has_only(request, args, keys)) {
    json_object_set_new(args, "node_id", json_string(request->match.param[0]));
    json_object_set_new(args, "enabled", json_boolean(is_enabled));
    cox_request_call(request, "set_admin_state", json_incref(args), is_enabled ? enabled : disabled);
  }
  json_decref(args);
}

void cox_post_enable(struct cox_request *request) { switch_node(request, true); }
void cox_post_disable(struct cox_request *request) { switch_node(request, false); }
