/* Proof of compute and training on a node. */
#include <string.h>

#include "sim/fleet_node_private.h"

/* ---- proof of compute ---- */

static bool is_given(const json_t *body, const char *field, bool is_text) {
  const json_t *const value = json_object_get(body, field);
  return is_text ? json_is_string(value) : json_is_number(value);
}

static const char *missing_in_init(const json_t *body) {
  static const struct {
    const char *name;
    bool is_text;
  } fields[] = {{"block_hash", true}, {"block_height", false}, {"public_key", true}, {"batch_size", false},
                {"r_target", false},  {"fraud_threshold", false}, {"url", true}};
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    if (!is_given(body, fields[i].name, fields[i].is_text)) return fields[i].name;
  }
  return NULL;
}

static json_int_t share(const json_t *body, const char *field) {
  const json_t *const value = json_object_get(body, field);
  return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* The same body goes on with what is initialised, any other begins anew. */
static void init_pow(struct cox_fleet_node *node, struct cox_fleet_call *call, const char *status, int64_t at_us) {
  const char *const missing = missing_in_init(call->body);
  if (missing != NULL) {
    cox_fleet_answer_invalid(node, call, at_us, missing, "Field required");
    return;
  }
  if (share(call->body, "node_id") == -1 || share(call->body, "node_count") == -1) {
    cox_fleet_answer_detail(node, call, at_us, 400, "Node ID and node count must be set");
    return;
  }
  if (node->service != COX_SERVICE_POW || !json_equal(node->pow.asked, call->body)) {
    cox_fleet_keep(&node->pow.asked, call->body);
    node->service = COX_SERVICE_POW;
    node->pow.initialized_at_us = at_us + node->options.pow_load_us;
    node->pow_inits++;
  }
  cox_fleet_keep(&node->last_init, call->body);
  node->pow.status = status;
  json_t *const words = json_pack("{sss{sssb}}", "status", "OK", "pow_status", "status", status, "is_model_initialized",
                                  at_us > node->pow.initialized_at_us);
  cox_fleet_wait(call, COX_WAIT_TIME, at_us + node->options.init_us, 200, words);
}

void cox_fleet_pow_generate(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  init_pow(node, call, "GENERATING", at_us);
}

void cox_fleet_pow_validate(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  init_pow(node, call, "VALIDATING", at_us);
}

json_t *cox_fleet_pow_words(const struct cox_fleet_node *node, int64_t at_us) {
  const struct cox_fleet_fault *const lie = node->faults[COX_FAULT_LIE_POW];
  const bool is_ready = at_us > node->pow.initialized_at_us;
  if (lie == NULL && node->pow.status == NULL) return json_pack("{ss}", "status", "NOT_LOADED");
  const char *status = node->pow.status;
  if (!is_ready && node->faults[COX_FAULT_POW_LOADING] != NULL) status = "LOADING";
  return json_pack("{sssb}", "status", lie != NULL ? lie->value : status, "is_model_initialized", is_ready && node->pow.status != NULL);
}

void cox_fleet_pow_status(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  cox_fleet_answer(node, call, at_us, 200, cox_fleet_pow_words(node, at_us));
}

void cox_fleet_pow_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (node->service == COX_SERVICE_STOPPED) { /* a string, not an object */
    cox_fleet_answer(node, call, at_us, 200, json_pack("{ssss}", "status", "OK", "pow_status", "NOT_LOADED"));
    return;
  }
  cox_fleet_stop(node, at_us);
  cox_fleet_wait(call, COX_WAIT_STOP, 0, 200, json_pack("{sss{ss}}", "status", "OK", "pow_status", "status", "NOT_LOADED"));
}

/* ---- proof of compute inside of the inference service (new nodes) ---- */

void cox_fleet_inner_generate(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (!cox_fleet_is_healthy(node, at_us)) {
    cox_fleet_answer_detail(node, call, at_us, 503, "no healthy backend");
  } else if (!is_given(call->body, "block_hash", true)) {
    cox_fleet_answer_invalid(node, call, at_us, "block_hash", "Field required");
  } else {
    node->inference_pow = "GENERATING";
    cox_fleet_keep(&node->last_init, call->body);
    cox_fleet_answer(node, call, at_us, 200, json_pack("{ssss}", "status", "OK", "pow_status", "GENERATING"));
  }
}

void cox_fleet_inner_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  node->inference_pow = NULL;
  cox_fleet_answer(node, call, at_us, 200, json_pack("{ss}", "status", "OK"));
}

void cox_fleet_inner_status(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  const char *const idle = cox_fleet_is_healthy(node, at_us) ? "IDLE" : "NO_BACKENDS";
  cox_fleet_answer(node, call, at_us, 200, json_pack("{ss}", "status", node->inference_pow != NULL ? node->inference_pow : idle));
}

/* ---- training ---- */

static bool has_other_than_strings(const json_t *env) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)env, key, value) {
    if (!json_is_string(value)) return true;
  }
  return false;
}

void cox_fleet_train_start(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  const json_t *const env = json_object_get(call->body, "train_env");
  if (!json_is_object(json_object_get(call->body, "train_config"))) {
    cox_fleet_answer_invalid(node, call, at_us, "train_config", "Field required");
  } else if (!json_is_object(env)) {
    cox_fleet_answer_invalid(node, call, at_us, "train_env", "Field required");
  } else if (node->service == COX_SERVICE_TRAIN) {
    cox_fleet_answer_detail(node, call, at_us, 400, "Training is already running");
  } else if (has_other_than_strings(env)) {
    cox_fleet_answer_detail(node, call, at_us, 500, "expected str, bytes or os.PathLike object, not int");
  } else {
    node->service = COX_SERVICE_TRAIN;
    cox_fleet_keep(&node->last_train, call->body);
    cox_fleet_answer(node, call, at_us, 200, json_pack("{ss}", "status", "OK"));
  }
}

void cox_fleet_train_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (node->service != COX_SERVICE_TRAIN) {
    cox_fleet_answer_detail(node, call, at_us, 400, "Training is not running");
    return;
  }
  cox_fleet_stop(node, at_us);
  cox_fleet_wait(call, COX_WAIT_STOP, 0, 200, json_pack("{ss}", "status", "OK"));
}
