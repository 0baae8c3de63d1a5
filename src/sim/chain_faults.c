#include "sim/chain_faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPEC_MAX = 128 };

enum kind {
  FLAG,   /* takes no value */
  VALUE,  /* a number with a meaning of its own */
  COUNT,  /* how many, then off; without a value until it is switched off */
  ACTION, /* done once */
};

struct fault {
  const char *name;
  enum kind kind;
  bool is_answer;   /* may be limited to a route */
  int64_t fallback; /* the value when none is given */
  int64_t least, most;
  const char *help;
};

static const struct fault faults_known[COX_CHAIN_FAULT_COUNT] = {
    [COX_CHAIN_REORDER] = {"reorder", VALUE, false, 2, 2, 64, "every N blocks are announced in reverse order"},
    [COX_CHAIN_DOUBLE] = {"double", VALUE, false, 2, 2, 16, "each block is announced N times"},
    [COX_CHAIN_DROP] = {"drop", VALUE, false, 2, 1, INT32_MAX, "every Nth block is not announced (1: none is)"},
    [COX_CHAIN_DROP_BOUNDARIES] = {"drop-boundaries", FLAG, false, 0, 0, 0,
                                   "blocks at which a phase or command changes are not announced"},
    [COX_CHAIN_STALL] = {"stall", COUNT, false, 0, 1, INT32_MAX, "no block is made, N block times long"},
    [COX_CHAIN_CATCHING_UP] = {"catching-up", VALUE, false, 0, 0, INT32_MAX,
                               "catching_up is true, and all answers lag N blocks behind"},
    [COX_CHAIN_OLD_TIME] = {"old-time", VALUE, false, 3600, 1, INT32_MAX, "block times are N seconds old"},
    [COX_CHAIN_EMPTY_GROUP] = {"empty-group", VALUE, false, 1, 1, INT32_MAX, "the newest epoch's group data is empty for N blocks"},
    [COX_CHAIN_SILENT] = {"silent", FLAG, false, 0, 0, 0, "websockets open and say nothing, pongs and events included"},
    [COX_CHAIN_REFUSE_WS] = {"refuse-ws", VALUE, false, 404, 400, 599, "the websocket handshake is answered with status N"},
    [COX_CHAIN_HALF_OPEN] = {"half-open", ACTION, false, 0, 0, 0,
                             "the websockets open now stay open and say nothing any more; new ones work"},
    [COX_CHAIN_CLOSE_WS] = {"close-ws", ACTION, false, 1001, 1000, 4999, "all websockets are closed with code N"},
    [COX_CHAIN_CUT_WS] = {"cut-ws", ACTION, false, 0, 0, 0, "all websockets are cut without a close frame"},
    [COX_CHAIN_BUMP_SEQUENCE] = {"bump-sequence", COUNT, false, 0, 1, INT32_MAX, "another transaction comes before ours, N times"},
    [COX_CHAIN_LOSE_ANSWER] = {"lose-answer", COUNT, false, 0, 1, INT32_MAX, "a broadcast transaction is taken, but a 502 is answered, N times"},
    [COX_CHAIN_LOSE_TX] = {"lose-tx", COUNT, false, 0, 1, INT32_MAX, "a broadcast transaction is taken, and comes into no block, N times"},
    [COX_CHAIN_SLOW] = {"slow", VALUE, true, 2000, 1, 600000, "answers take N milliseconds"},
    [COX_CHAIN_BAD_GATEWAY] = {"502", COUNT, true, 0, 1, INT32_MAX, "a proxy's 502 page, N times"},
    [COX_CHAIN_HTML] = {"html", COUNT, true, 0, 1, INT32_MAX, "a page of HTML with status 200, N times"},
    [COX_CHAIN_MISSING] = {"missing", COUNT, true, 0, 1, INT32_MAX, "an empty object, N times"},
    [COX_CHAIN_NULL_FIELDS] = {"null-fields", VALUE, true, 1, 1, 16, "all fields at depth N (1: outermost) are null"},
    [COX_CHAIN_WRONG_TYPES] = {"wrong-types", COUNT, true, 0, 1, INT32_MAX, "every value has another type, N times"},
    [COX_CHAIN_TRUNCATED] = {"truncated", COUNT, true, 0, 1, INT32_MAX, "the connection ends in the middle of the body, N times"},
    [COX_CHAIN_HUGE] = {"huge", VALUE, true, 10 << 20, 1, 256 << 20, "answers are padded to N bytes of valid JSON"},
};

static const char *const route_names[COX_CHAIN_ROUTE_COUNT] = {
    [COX_CHAIN_ANY_ROUTE] = "",
    [COX_CHAIN_STATUS] = "status",
    [COX_CHAIN_BLOCK] = "block",
    [COX_CHAIN_EPOCH_INFO] = "epoch_info",
    [COX_CHAIN_MODELS_ALL] = "models_all",
    [COX_CHAIN_GROUP_DATA] = "epoch_group_data",
    [COX_CHAIN_MODEL_GROUP_DATA] = "model_group_data",
    [COX_CHAIN_HARDWARE_NODES] = "hardware_nodes",
    [COX_CHAIN_ACCOUNTS] = "accounts",
    [COX_CHAIN_TXS] = "txs",
};

const char *cox_chain_route_name(enum cox_chain_route route) { return route_names[route]; }

/* ---- specs ---- */

static int find_route(const char *name, size_t length) {
  for (int i = COX_CHAIN_ANY_ROUTE + 1; i < COX_CHAIN_ROUTE_COUNT; i++) {
    if (strlen(route_names[i]) == length && memcmp(route_names[i], name, length) == 0) return i;
  }
  return -1;
}

static int find_fault(const char *name, size_t length) {
  for (int i = 0; i < COX_CHAIN_FAULT_COUNT; i++) {
    if (strlen(faults_known[i].name) == length && memcmp(faults_known[i].name, name, length) == 0) return i;
  }
  return -1;
}

static int refuse_fault(const char *spec, struct cox_err *err) {
  struct cox_buf names = {0};
  for (int i = 0; i < COX_CHAIN_FAULT_COUNT; i++) cox_buf_addf(&names, "%s%s", i > 0 ? ", " : "", faults_known[i].name);
  cox_err_set(err, COX_EINVAL, "the fault \"%s\" is not known; known are %s, and off for none", spec,
              names.data != NULL ? names.data : "?");
  cox_buf_fini(&names);
  return COX_EINVAL;
}

static int refuse_route(const char *spec, struct cox_err *err) {
  struct cox_buf names = {0};
  for (int i = COX_CHAIN_ANY_ROUTE + 1; i < COX_CHAIN_ROUTE_COUNT; i++) cox_buf_addf(&names, "%s%s", i > 1 ? ", " : "", route_names[i]);
  cox_err_set(err, COX_EINVAL, "the fault \"%s\" names a route that is not known; known are %s", spec,
              names.data != NULL ? names.data : "?");
  cox_buf_fini(&names);
  return COX_EINVAL;
}

/* `text` NULL: the default. */
static int read_value(const struct fault *fault, const char *text, int64_t *value, struct cox_err *err) {
  *value = fault->fallback;
  if (text == NULL) return 0;
  if (fault->most == 0) return cox_err_set(err, COX_EINVAL, "the fault %s takes no value but off, not \"%s\"", fault->name, text);
  char *end = NULL;
  errno = 0;
  *value = strtoll(text, &end, 10);
  if (errno == 0 && end != text && *end == '\0' && *value >= fault->least && *value <= fault->most) return 0;
  return cox_err_set(err, COX_EINVAL, "the fault %s takes a number from %" PRId64 " to %" PRId64 " or off, not \"%s\"", fault->name,
                     fault->least, fault->most, text);
}

static int set_one(struct cox_chain_faults *faults, int route, int index, const char *text, cox_chain_act_fn *act, void *ctx,
                   struct cox_err *err) {
  const struct fault *const fault = &faults_known[index];
  const bool is_off = text != NULL && strcmp(text, "off") == 0;
  int64_t value = 0;
  const int rc = is_off ? 0 : read_value(fault, text, &value, err);
  if (rc != 0) return rc;
  if (fault->kind == ACTION) {
    if (is_off) return cox_err_set(err, COX_EINVAL, "the fault %s is done once: there is nothing to switch off", fault->name);
    if (act == NULL)
      return cox_err_set(err, COX_EINVAL, "the fault %s acts on what is open when it is set: set it while the chain runs",
                         fault->name);
    act(ctx, (enum cox_chain_fault)index, value);
    return 0;
  }
  faults->settings[route][index] = (struct cox_chain_setting){.is_on = !is_off, .value = value};
  return 0;
}

int cox_chain_faults_set(struct cox_chain_faults *faults, const char *spec, cox_chain_act_fn *act, void *ctx, struct cox_err *err) {
  if (strlen(spec) > SPEC_MAX) return cox_err_set(err, COX_EINVAL, "a fault is written in at most %d characters", SPEC_MAX);
  if (strcmp(spec, "off") == 0) {
    memset(faults, 0, sizeof *faults);
    return 0;
  }
  const char *const colon = strchr(spec, ':');
  const char *const name = colon != NULL ? colon + 1 : spec;
  const char *const equals = strchr(name, '=');
  const int index = find_fault(name, equals != NULL ? (size_t)(equals - name) : strlen(name));
  if (index < 0) return refuse_fault(spec, err);
  const int route = colon != NULL ? find_route(spec, (size_t)(colon - spec)) : COX_CHAIN_ANY_ROUTE;
  if (route < 0) return refuse_route(spec, err);
  if (route != COX_CHAIN_ANY_ROUTE && !faults_known[index].is_answer)
    return cox_err_set(err, COX_EINVAL, "the fault %s is none of an answer: it takes no route", faults_known[index].name);
  return set_one(faults, route, index, equals != NULL ? equals + 1 : NULL, act, ctx, err);
}

/* ---- what is on ---- */

static enum cox_chain_route where(const struct cox_chain_faults *faults, enum cox_chain_route route, enum cox_chain_fault fault) {
  return faults->settings[route][fault].is_on ? route : COX_CHAIN_ANY_ROUTE;
}

struct cox_chain_setting cox_chain_faults_get(const struct cox_chain_faults *faults, enum cox_chain_route route,
                                              enum cox_chain_fault fault) {
  return faults->settings[where(faults, route, fault)][fault];
}

bool cox_chain_faults_take(struct cox_chain_faults *faults, enum cox_chain_route route, enum cox_chain_fault fault) {
  struct cox_chain_setting *const setting = &faults->settings[where(faults, route, fault)][fault];
  if (!setting->is_on) return false;
  const bool is_last = faults_known[fault].kind == COUNT && setting->value > 0 && --setting->value == 0;
  if (is_last) setting->is_on = false;
  return true;
}

static json_t *spec_of(int route, int index, int64_t value) {
  const struct fault *const fault = &faults_known[index];
  const char *const colon = route != COX_CHAIN_ANY_ROUTE ? ":" : "";
  if (fault->kind == FLAG || (fault->kind == COUNT && value == 0)) return json_sprintf("%s%s%s", route_names[route], colon, fault->name);
  return json_sprintf("%s%s%s=%" PRId64, route_names[route], colon, fault->name, value);
}

json_t *cox_chain_faults_json(const struct cox_chain_faults *faults) {
  json_t *const list = json_array();
  for (int route = 0; route < COX_CHAIN_ROUTE_COUNT; route++) {
    for (int i = 0; i < COX_CHAIN_FAULT_COUNT; i++) {
      const struct cox_chain_setting setting = faults->settings[route][i];
      if (setting.is_on) json_array_append_new(list, spec_of(route, i, setting.value));
    }
  }
  return list;
}

static bool describe(struct cox_buf *out, const struct fault *fault) {
  char shown[48];
  snprintf(shown, sizeof shown, "%s%s", fault->name, fault->most > 0 ? "[=N]" : "");
  if (!cox_buf_addf(out, "  %s%-18s %s", fault->is_answer ? "[route:]" : "        ", shown, fault->help)) return false;
  if (fault->most == 0) return cox_buf_addf(out, "\n");
  if (fault->kind == COUNT) return cox_buf_addf(out, " (default: until off)\n");
  return cox_buf_addf(out, " (default %" PRId64 ")\n", fault->fallback);
}

bool cox_chain_faults_usage(struct cox_buf *out) {
  bool is_done = cox_buf_addf(out, "Faults, as [route:]fault[=value], [route:]fault=off, or off for all:\n");
  for (int i = 0; i < COX_CHAIN_FAULT_COUNT; i++) is_done = is_done && describe(out, &faults_known[i]);
  is_done = is_done && cox_buf_addf(out, "Routes:");
  for (int i = COX_CHAIN_ANY_ROUTE + 1; i < COX_CHAIN_ROUTE_COUNT; i++) is_done = is_done && cox_buf_addf(out, " %s", route_names[i]);
  return is_done && cox_buf_addf(out, "\n");
}
