/* The calls a node knows, and the two that are always allowed: GET state and POST stop. */
#include <stdio.h>
#include <string.h>

#include "sim/fleet_node_private.h"

static void handle_state(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
static void handle_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
static void handle_unknown(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);

#define INFERENCE COX_SERVICE_INFERENCE
#define POW COX_SERVICE_POW
#define TRAIN COX_SERVICE_TRAIN
const struct cox_fleet_route cox_fleet_routes[COX_FLEET_ROUTES] = {
    {"GET", "/api/v1/state", .handle = handle_state},
    {"POST", "/api/v1/stop", .handle = handle_stop},
    {"POST", "/api/v1/inference/up", INFERENCE, .handle = cox_fleet_up},
    {"POST", "/api/v1/inference/up/async", INFERENCE, .is_new = true, .handle = cox_fleet_up_async},
    {"GET", "/api/v1/inference/up/status", INFERENCE, .is_new = true, .handle = cox_fleet_up_status},
    {"POST", "/api/v1/inference/down", INFERENCE, .handle = cox_fleet_down},
    {"POST", "/api/v1/inference/pow/init/generate", INFERENCE, .is_new = true, .handle = cox_fleet_inner_generate},
    {"POST", "/api/v1/inference/pow/generate", INFERENCE, .is_new = true, .handle = cox_fleet_inner_generate},
    {"POST", "/api/v1/inference/pow/stop", INFERENCE, .is_new = true, .handle = cox_fleet_inner_stop},
    {"GET", "/api/v1/inference/pow/status", INFERENCE, .is_new = true, .handle = cox_fleet_inner_status},
    {"POST", "/api/v1/pow/init/generate", POW, .handle = cox_fleet_pow_generate},
    {"POST", "/api/v1/pow/init/validate", POW, .handle = cox_fleet_pow_validate},
    {"GET", "/api/v1/pow/status", POW, .handle = cox_fleet_pow_status},
    {"POST", "/api/v1/pow/stop", POW, .handle = cox_fleet_pow_stop},
    {"POST", "/api/v1/train/start", TRAIN, .handle = cox_fleet_train_start},
    {"POST", "/api/v1/train/stop", TRAIN, .handle = cox_fleet_train_stop},
    {"GET", "/health", .is_inference = true, .handle = cox_fleet_health},
    {"GET", "/v1/models", .is_inference = true, .handle = cox_fleet_models},
    {"POST", "/v1/chat/completions", .is_inference = true, .handle = cox_fleet_chat},
    {"", "(unknown)", .handle = handle_unknown},
};

static const struct cox_fleet_route *const unknown = &cox_fleet_routes[COX_FLEET_ROUTES - 1];

const struct cox_fleet_route *cox_fleet_route_find(const char *method, const char *path) {
  for (const struct cox_fleet_route *route = cox_fleet_routes; route < unknown; route++) {
    if (strcmp(route->path, path) == 0 && strcmp(route->method, method) == 0) return route;
  }
  return unknown;
}

/* Which address and which release have it. */
static bool is_offered(const struct cox_fleet_node *node, const struct cox_fleet_route *route, const struct cox_fleet_call *call) {
  if (route->is_new && node->options.is_old) return false;
  if (!node->options.is_split || route->handle == cox_fleet_health) return true; /* health is liveness on the other address */
  return route->is_inference == call->is_inference;
}

void cox_fleet_route_handle(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  const struct cox_fleet_route *const route = call->route;
  /* The inference server of a split node is a process of its own: a stop does not make it silent. */
  if (node->is_quiet || (node->is_silent && !call->is_inference)) {
    call->wait = COX_WAIT_TURN;
  } else if (!is_offered(node, route, call)) {
    handle_unknown(node, call, at_us);
  } else if (route->service != COX_SERVICE_STOPPED && node->service != COX_SERVICE_STOPPED && node->service != route->service) {
    char detail[160];
    snprintf(detail, sizeof detail, "Service conflict: the node is currently in ServiceState.%s mode, stop it first",
             cox_fleet_service_name(node->service));
    cox_fleet_answer_detail(node, call, at_us, 409, detail);
  } else {
    route->handle(node, call, at_us);
  }
}

static json_t *ok(void) { return json_pack("{ss}", "status", "OK"); }

json_t *cox_fleet_route_pretend(const struct cox_fleet_route *route) {
  if (route->handle == cox_fleet_up_async) return json_pack("{ss}", "status", "starting");
  if (route->handle != cox_fleet_pow_generate && route->handle != cox_fleet_pow_validate) return ok();
  return json_pack("{sss{sssb}}", "status", "OK", "pow_status", "status",
                   route->handle == cox_fleet_pow_generate ? "GENERATING" : "VALIDATING", "is_model_initialized", 0);
}

static void handle_unknown(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  cox_fleet_answer_detail(node, call, at_us, 404, "Not Found");
}

/* Two services at once: the node stops all and says so. */
static void find_two(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  const int status = node->two_services;
  node->two_services = 0;
  cox_fleet_answer_detail(node, call, at_us, status, "several services were running, all were stopped");
  if (node->server.load_at_us != COX_FLEET_NEVER) cox_fleet_cut_load(node, at_us);
  cox_fleet_clear(node);
  cox_fleet_release(node, COX_WAIT_STOP, at_us);
  cox_fleet_turn(node, at_us);
}

static void handle_state(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (node->two_services != 0) {
    find_two(node, call, at_us);
    return;
  }
  const struct cox_fleet_fault *const lie = node->faults[COX_FAULT_LIE];
  const char *const state = lie != NULL && lie->value[0] != '\0' ? lie->value : cox_fleet_service_name(node->service);
  json_t *const words = json_pack("{ss}", "state", state);
  if (words != NULL && !node->options.is_old) {
    const bool is_healthy = cox_fleet_is_healthy(node, at_us);
    const char *const busy = node->inference_pow != NULL ? node->inference_pow : "IDLE";
    json_object_set_new(words, "version", json_string("3.0.12"));
    json_object_set_new(words, "poc_status", json_string(is_healthy ? busy : "NO_BACKENDS"));
    json_object_set_new(words, "inference_healthy", json_boolean(is_healthy));
    json_object_set(words, "loaded_model", is_healthy ? json_object_get(node->server.asked, "model") : json_null());
  }
  cox_fleet_answer(node, call, at_us, 200, words);
}

static void handle_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  if (node->service == COX_SERVICE_STOPPED) {
    cox_fleet_answer(node, call, at_us, 200, ok());
    return;
  }
  cox_fleet_stop(node, at_us);
  cox_fleet_wait(call, COX_WAIT_STOP, 0, 200, ok());
}
