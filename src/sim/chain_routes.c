#include "sim/chain_routes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/chain_spoil.h"
#include "sim/chain_wire.h"

#define PREFIX "/productscience/inference/inference"

/* A whole number of at most 63 bits; false for anything else. */
static bool read_number(const char *text, int64_t *out) {
  char *end = NULL;
  errno = 0;
  *out = strtoll(text, &end, 10);
  return errno == 0 && end != text && *end == '\0';
}

/* The gateway's form of an error: gRPC code and message. */
static json_t *gateway_error(int code, const char *message) {
  return json_pack("{s:i, s:s, s:[]}", "code", code, "message", message, "details");
}

static void fail(struct cox_chain_answer *answer, int status, json_t *json) {
  answer->status = status;
  answer->json = json;
}

/* ---- RPC ---- */

static void status_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                          struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)request, (void)rest;
  struct cox_chain_block latest = {0}, earliest = {0};
  char hash[COX_CHAIN_HASH_BYTES];
  cox_chain_show_locked(chain, cox_chain_view_locked(chain), &latest, hash);
  cox_chain_show_locked(chain, cox_chain_state_first_height(chain->state), &earliest, hash);
  const bool is_catching_up = cox_chain_faults_get(&chain->faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_CATCHING_UP).is_on;
  answer->json = cox_chain_wire_result(json_integer(-1), cox_chain_wire_status(&latest, &earliest, is_catching_up));
}

/* The reason why there is no such block, in CometBFT's words. */
static json_t *no_block_locked(const struct cox_sim_chain *chain, int64_t height) COX_REQUIRES(chain->mutex) {
  const int64_t latest = cox_chain_view_locked(chain), first = cox_chain_state_first_height(chain->state);
  json_t *data = json_sprintf("height %" PRId64 " is not available, lowest height is %" PRId64, height, first);
  if (height <= 0 || height > latest) {
    json_decref(data);
    data = height <= 0 ? json_sprintf("height must be greater than 0, but got %" PRId64, height)
                       : json_sprintf("height %" PRId64 " must be less than or equal to the current blockchain height %" PRId64,
                                      height, latest);
  }
  json_t *const error = cox_chain_wire_error(json_integer(-1), -32603, "Internal error", json_string_value(data));
  json_decref(data);
  return error;
}

static void block_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                         struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)rest;
  const char *const text = request->argument(request->ctx, "height");
  int64_t height = cox_chain_view_locked(chain);
  if (text != NULL && *text != '\0' && !read_number(text, &height)) {
    fail(answer, 500,
         cox_chain_wire_error(json_integer(-1), -32602, "Invalid params",
                              "error converting http params to arguments: height must be a number"));
    return;
  }
  struct cox_chain_block block;
  char last_hash[COX_CHAIN_HASH_BYTES];
  if (cox_chain_show_locked(chain, height, &block, last_hash))
    answer->json = cox_chain_wire_result(json_integer(-1), cox_chain_wire_block(&block, last_hash));
  else fail(answer, 500, no_block_locked(chain, height));
}

/* ---- REST ---- */

static void epoch_info_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                              struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)request, (void)rest;
  answer->json = cox_chain_state_epoch_info(chain->state, cox_chain_view_locked(chain));
}

static void models_all_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                              struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)request, (void)rest;
  answer->json = cox_chain_fleet_models_all(cox_chain_state_fleet(chain->state));
}

static void group_data_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                              struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  int64_t epoch;
  if (!read_number(rest, &epoch) || epoch < 0) {
    fail(answer, 400, gateway_error(3, "type mismatch, parameter: epoch_index, error: strconv.ParseUint: invalid syntax"));
    return;
  }
  const char *const model_id = request->argument(request->ctx, "model_id");
  answer->json = cox_chain_state_group_data(chain->state, cox_chain_view_locked(chain), epoch, model_id != NULL ? model_id : "");
  if (answer->json == NULL) fail(answer, 404, gateway_error(5, "not found"));
}

static void hardware_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                            struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)request;
  answer->json = cox_chain_fleet_hardware(cox_chain_state_fleet(chain->state), rest);
}

/* ---- transactions ---- */

static void account_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                           struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)request;
  answer->json = cox_chain_txs_account(&chain->txs, rest);
  if (answer->json == NULL) fail(answer, 404, gateway_error(5, "account not found"));
}

static void find_tx_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                           struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)request;
  answer->json = cox_chain_txs_find(&chain->txs, rest);
  if (answer->json == NULL) fail(answer, 404, gateway_error(5, "tx not found"));
}

static void broadcast_locked(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                             struct cox_chain_answer *answer) COX_REQUIRES(chain->mutex) {
  (void)rest;
  struct cox_chain_faults *const faults = &chain->faults;
  json_t *const body = json_loadb(request->body != NULL ? request->body : "", request->body_bytes, 0, NULL);
  if (cox_chain_faults_take(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_BUMP_SEQUENCE)) chain->txs.sequence++;
  answer->json = cox_chain_txs_broadcast(&chain->txs, body);
  json_decref(body);
  if (answer->json == NULL) {
    fail(answer, 400, gateway_error(3, "invalid request: tx_bytes in base64 and mode BROADCAST_MODE_SYNC are needed"));
    return;
  }
  if (cox_chain_faults_take(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_LOSE_TX)) json_object_clear(chain->txs.known);
  if (!cox_chain_faults_take(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_LOSE_ANSWER)) return;
  json_decref(answer->json);
  fail(answer, 502, gateway_error(14, "upstream connect error"));
}

/* ---- which is which ---- */

struct route {
  enum cox_chain_route route;
  const char *method;
  const char *path; /* one that ends with / takes one more segment */
  void (*answer_locked)(struct cox_sim_chain *chain, const struct cox_chain_request *request, const char *rest,
                        struct cox_chain_answer *answer);
};

static const struct route routes[] = {
    {COX_CHAIN_STATUS, "GET", "/status", status_locked},
    {COX_CHAIN_BLOCK, "GET", "/block", block_locked},
    {COX_CHAIN_EPOCH_INFO, "GET", PREFIX "/epoch_info", epoch_info_locked},
    {COX_CHAIN_MODELS_ALL, "GET", PREFIX "/models_all", models_all_locked},
    {COX_CHAIN_GROUP_DATA, "GET", PREFIX "/epoch_group_data/", group_data_locked},
    {COX_CHAIN_HARDWARE_NODES, "GET", PREFIX "/hardware_nodes/", hardware_locked},
    {COX_CHAIN_ACCOUNTS, "GET", "/cosmos/auth/v1beta1/accounts/", account_locked},
    {COX_CHAIN_TXS, "GET", "/cosmos/tx/v1beta1/txs/", find_tx_locked},
    {COX_CHAIN_TXS, "POST", "/cosmos/tx/v1beta1/txs", broadcast_locked},
};

/* What follows the route's path, NULL: it is another route. */
static const char *match(const struct route *route, const char *path) {
  const size_t length = strlen(route->path);
  if (strncmp(path, route->path, length) != 0) return NULL;
  const char *const rest = path + length;
  const bool is_open = route->path[length - 1] == '/';
  return is_open ? (*rest != '\0' && strchr(rest, '/') == NULL ? rest : NULL) : (*rest == '\0' ? rest : NULL);
}

static bool is_below(const char *path, const char *folder) { return strncmp(path, folder, strlen(folder)) == 0; }

static void refuse_path(const char *path, struct cox_chain_answer *answer) {
  if (is_below(path, "/productscience/") || is_below(path, "/cosmos/")) fail(answer, 501, gateway_error(12, "Not Implemented"));
  else fail(answer, 404, gateway_error(5, "Not Found"));
}

/* ---- faults ---- */

static enum cox_chain_route faults_of(const struct route *route, const struct cox_chain_request *request) {
  if (route->route != COX_CHAIN_GROUP_DATA) return route->route;
  const char *const model_id = request->argument(request->ctx, "model_id");
  return model_id != NULL && *model_id != '\0' ? COX_CHAIN_MODEL_GROUP_DATA : COX_CHAIN_GROUP_DATA;
}

static void replace(struct cox_chain_answer *answer, int status, json_t *json, const char *page) {
  json_decref(answer->json);
  answer->status = status;
  answer->json = json;
  answer->page = page;
}

static void spoil_locked(struct cox_sim_chain *chain, enum cox_chain_route route, struct cox_chain_answer *answer)
    COX_REQUIRES(chain->mutex) {
  struct cox_chain_faults *const faults = &chain->faults;
  const struct cox_chain_setting slow = cox_chain_faults_get(faults, route, COX_CHAIN_SLOW);
  const struct cox_chain_setting huge = cox_chain_faults_get(faults, route, COX_CHAIN_HUGE);
  const struct cox_chain_setting nulls = cox_chain_faults_get(faults, route, COX_CHAIN_NULL_FIELDS);
  answer->wait_ms = slow.is_on ? slow.value : 0;
  answer->least_bytes = huge.is_on ? (size_t)huge.value : 0;
  if (nulls.is_on) replace(answer, answer->status, cox_chain_spoil_nulls(answer->json, nulls.value), NULL);
  if (cox_chain_faults_take(faults, route, COX_CHAIN_WRONG_TYPES))
    replace(answer, answer->status, cox_chain_spoil_types(answer->json), NULL);
  if (cox_chain_faults_take(faults, route, COX_CHAIN_MISSING)) replace(answer, answer->status, json_object(), NULL);
  answer->is_truncated = cox_chain_faults_take(faults, route, COX_CHAIN_TRUNCATED);
  if (cox_chain_faults_take(faults, route, COX_CHAIN_HTML)) replace(answer, 200, NULL, cox_chain_spoil_page(false));
  else if (cox_chain_faults_take(faults, route, COX_CHAIN_BAD_GATEWAY)) replace(answer, 502, NULL, cox_chain_spoil_page(true));
}

/* The answer says what was true when the request came, however slow it is. */
static void answer_route(struct cox_sim_chain *chain, const struct route *route, const char *rest,
                         const struct cox_chain_request *request, struct cox_chain_answer *answer) {
  const enum cox_chain_route counted = faults_of(route, request);
  cox_mutex_lock(&chain->mutex);
  chain->requests[counted]++;
  route->answer_locked(chain, request, rest, answer);
  if (answer->json == NULL) fail(answer, 500, gateway_error(13, "out of memory"));
  spoil_locked(chain, counted, answer);
  cox_mutex_unlock(&chain->mutex);
}

void cox_chain_answer(struct cox_sim_chain *chain, const struct cox_chain_request *request, struct cox_chain_answer *answer) {
  *answer = (struct cox_chain_answer){.status = 200};
  if (is_below(request->path, "/sim/")) {
    cox_chain_control(chain, request, answer);
    return;
  }
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    const char *const rest = match(&routes[i], request->path);
    if (rest == NULL) continue;
    if (strcmp(request->method, routes[i].method) == 0) {
      answer_route(chain, &routes[i], rest, request, answer);
      return;
    }
    answer->allow = routes[i].method;
    fail(answer, 405, gateway_error(12, "Method Not Allowed"));
    return;
  }
  refuse_path(request->path, answer);
}
