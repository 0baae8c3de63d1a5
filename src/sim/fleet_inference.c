/* The inference service of a node: loads, health, and a small model API. */
#include <string.h>

#include "sim/fleet_node_private.h"

enum { LOAD_MAX_S = 1200 };

bool cox_fleet_is_healthy(const struct cox_fleet_node *node, int64_t at_us) {
  return node->service == COX_SERVICE_INFERENCE && at_us >= node->server.healthy_at_us;
}

static bool is_loading(const struct cox_fleet_node *node) { return node->server.load_at_us != COX_FLEET_NEVER; }

/* ---- loads ---- */

static const char *fault_in_up(const json_t *body, const char **field) {
  *field = "model";
  const char *const model = json_string_value(json_object_get(body, "model"));
  if (model == NULL || model[0] == '\0') return "a model is required";
  const json_t *const dtype = json_object_get(body, "dtype");
  *field = "dtype";
  const char *const type = json_string_value(dtype);
  if (dtype != NULL && (type == NULL || (strcmp(type, "float16") != 0 && strcmp(type, "auto") != 0))) return "must be float16 or auto";
  const json_t *const args = json_object_get(body, "additional_args");
  *field = "additional_args";
  if (args != NULL && !json_is_array(args)) return "must be a list of strings";
  size_t i;
  const json_t *arg;
  json_array_foreach(args, i, arg) {
    if (!json_is_string(arg)) return "must be a list of strings";
  }
  return NULL;
}

static bool is_valid_up(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  const char *field;
  const char *const why = fault_in_up(call->body, &field);
  if (why != NULL) cox_fleet_answer_invalid(node, call, at_us, field, why);
  return why == NULL;
}

static void begin_load(struct cox_fleet_node *node, json_t *body, int64_t at_us) {
  const bool is_endless = node->faults[COX_FAULT_LOAD_NEVER] != NULL;
  cox_fleet_keep(&node->last_up, body);
  cox_fleet_keep(&node->server.asked, body);
  node->loads++;
  node->service = COX_SERVICE_INFERENCE;
  node->server.is_failed = false;
  node->server.healthy_at_us = COX_FLEET_NEVER;
  node->server.load_at_us = at_us + (is_endless ? (int64_t)LOAD_MAX_S * COX_FLEET_SECOND_US : node->options.load_us);
}

/* A new node is told to load too early after a load that was cut: it hangs and restarts. */
static bool is_too_early(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (node->options.is_old || at_us >= node->rested_at_us) return false;
  cox_fleet_quiet(node, at_us);
  call->wait = COX_WAIT_NEVER;
  return true;
}

void cox_fleet_up(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (!is_valid_up(node, call, at_us)) return;
  if (node->service == COX_SERVICE_INFERENCE && !node->options.is_old) {
    cox_fleet_answer_detail(node, call, at_us, 409, is_loading(node) ? "inference is already loading" : "inference is already running");
    return;
  }
  if (node->service == COX_SERVICE_INFERENCE) { /* an old node waits for the load, stops what runs, and loads again */
    if (!is_loading(node)) cox_fleet_stop(node, at_us);
    call->wait = COX_WAIT_TURN;
    return;
  }
  if (is_too_early(node, call, at_us)) return;
  begin_load(node, call->body, at_us);
  call->wait = COX_WAIT_LOAD;
}

void cox_fleet_up_async(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (!is_valid_up(node, call, at_us)) return;
  if (node->service == COX_SERVICE_INFERENCE) {
    cox_fleet_answer_detail(node, call, at_us, 409, "inference is already running or loading");
    return;
  }
  if (is_too_early(node, call, at_us)) return;
  begin_load(node, call->body, at_us);
  node->async = (struct cox_fleet_async){.status = "in_progress", .began_us = at_us};
  cox_fleet_answer(node, call, at_us, 200, json_pack("{ss}", "status", "starting"));
}

void cox_fleet_up_status(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  const struct cox_fleet_async *const async = &node->async;
  const bool is_under_way = strcmp(async->status, "in_progress") == 0;
  const bool is_failed = strcmp(async->status, "failed") == 0;
  const int64_t spent_us = (is_under_way ? at_us : async->ended_us) - async->began_us;
  json_t *const words = json_pack("{sssf}", "status", async->status, "elapsed_seconds", (double)spent_us / COX_FLEET_SECOND_US);
  if (words != NULL) json_object_set_new(words, "error", is_failed ? json_string("the model could not be loaded") : json_null());
  cox_fleet_answer(node, call, at_us, 200, words);
}

static json_t *outcome_words(const struct cox_fleet_node *node, bool is_failed) {
  if (!is_failed) return json_pack("{ss}", "status", "OK");
  const char *const why = "the model could not be loaded";
  return node->options.is_old ? json_pack("{ssss}", "status", "ERROR", "message", why) : json_pack("{ss}", "detail", why);
}

static void answer_load(struct cox_fleet_node *node, bool is_failed, int64_t at_us) {
  const int status = is_failed && !node->options.is_old ? 500 : 200;
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait != COX_WAIT_LOAD) continue;
    if (node->is_silent) {
      cox_fleet_wait(call, COX_WAIT_STOP, 0, status, outcome_words(node, is_failed)); /* it hears of it after the stop */
    } else {
      cox_fleet_answer(node, call, at_us, status, outcome_words(node, is_failed));
    }
  }
}

void cox_fleet_loaded(struct cox_fleet_node *node, int64_t at_us) {
  const bool is_failed = node->faults[COX_FAULT_LOAD_FAIL] != NULL || node->faults[COX_FAULT_LOAD_NEVER] != NULL;
  node->server.load_at_us = COX_FLEET_NEVER;
  if (is_failed) {
    cox_fleet_doom(node, at_us);
  } else if (node->faults[COX_FAULT_READY_NEVER] == NULL) {
    node->server.healthy_at_us = at_us + node->options.health_lag_us;
  }
  if (strcmp(node->async.status, "in_progress") == 0) {
    node->async.status = is_failed ? "failed" : "completed";
    node->async.ended_us = at_us;
  }
  answer_load(node, is_failed, at_us);
  if (node->is_stop_wanted) {
    node->is_stop_wanted = false;
    cox_fleet_stop(node, at_us);
  } else {
    cox_fleet_turn(node, at_us);
  }
}

void cox_fleet_cut_load(struct cox_fleet_node *node, int64_t at_us) {
  node->server.load_at_us = COX_FLEET_NEVER;
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait == COX_WAIT_LOAD) cox_fleet_answer_text(node, call, at_us, 500, "Internal Server Error");
  }
}

void cox_fleet_down(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  json_t *const words = json_pack("{ss}", "status", "OK");
  if (node->service == COX_SERVICE_STOPPED) {
    cox_fleet_answer(node, call, at_us, 200, words);
    return;
  }
  cox_fleet_stop(node, at_us);
  cox_fleet_wait(call, COX_WAIT_STOP, 0, 200, words);
}

/* ---- what the inference address answers ---- */

static bool is_serving(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (cox_fleet_is_healthy(node, at_us)) return true;
  cox_fleet_answer_detail(node, call, at_us, 503, "no healthy backend");
  return false;
}

void cox_fleet_health(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  const bool is_management = !node->options.is_split || !call->is_inference;
  if (is_management && node->options.is_old) {
    cox_fleet_answer_detail(node, call, at_us, 404, "Not Found");
  } else if (is_management) { /* liveness, whatever runs */
    cox_fleet_answer(node, call, at_us, 200, json_pack("{ss}", "status", "ok"));
  } else if (is_serving(node, call, at_us)) {
    cox_fleet_answer(node, call, at_us, 200, json_pack("{ss}", "status", "ok"));
  }
}

void cox_fleet_models(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (!is_serving(node, call, at_us)) return;
  cox_fleet_answer(node, call, at_us, 200, json_pack("{sss[{sOssss}]}", "object", "list", "data", "id",
                   json_object_get(node->server.asked, "model"), "object", "model", "owned_by", node->id));
}

void cox_fleet_chat(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (!is_serving(node, call, at_us)) return;
  json_t *const model = json_object_get(node->server.asked, "model");
  const json_t *const asked = json_object_get(call->body, "model");
  if (!json_is_string(asked) || !json_is_array(json_object_get(call->body, "messages"))) {
    cox_fleet_answer_invalid(node, call, at_us, json_is_string(asked) ? "messages" : "model", "Field required");
  } else if (!json_equal(asked, model)) {
    cox_fleet_answer(node, call, at_us, 404,
                     json_pack("{s{ssss}}", "error", "message", "The model does not exist.", "type", "NotFoundError"));
  } else {
    json_t *const content = json_sprintf("%s serves %s", node->id, json_string_value(model));
    cox_fleet_answer(node, call, at_us, 200, json_pack("{ss ss ss sO s[{si s{ss so} ss}] s{si si si}}", "id", "chatcmpl-sim", "object",
                     "chat.completion", "node", node->id, "model", model, "choices", "index", 0, "message", "role", "assistant", "content",
                     content, "finish_reason", "stop", "usage", "prompt_tokens", 1, "completion_tokens", 3, "total_tokens", 4));
  }
}
