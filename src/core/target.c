#include "core/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const param_names[COX_TARGET_PARAMS] = {
    [COX_TARGET_MODEL] = "model",
    [COX_TARGET_ARGS] = "args",
    [COX_TARGET_BLOCK_HEIGHT] = "block_height",
    [COX_TARGET_BLOCK_HASH] = "block_hash",
    [COX_TARGET_PUBLIC_KEY] = "public_key",
    [COX_TARGET_NODE_ID] = "node_id",
    [COX_TARGET_NODE_COUNT] = "node_count",
    [COX_TARGET_URL] = "url",
    [COX_TARGET_TASK] = "task",
};

const char *cox_target_param_name(enum cox_target_param param) { return param_names[param]; }

/* ---- making one ---- */

static int read_status(struct cox_target *target, const json_t *value, struct cox_err *err) {
  const char *const text = json_string_value(value);
  if (cox_status_parse(text, &target->status) && target->status != COX_STATUS_UNKNOWN && target->status != COX_STATUS_FAILED)
    return 0;
  return cox_err_set(err, COX_EINVAL, "target: status must be INFERENCE, POC, TRAINING or STOPPED, not %s", text ? text : "this");
}

static int read_poc(struct cox_target *target, const json_t *value, struct cox_err *err) {
  const char *const text = json_string_value(value);
  if (cox_poc_parse(text, &target->poc)) return 0;
  return cox_err_set(err, COX_EINVAL, "target: poc must be IDLE, GENERATING or VALIDATING, not %s", text ? text : "this");
}

static int read_drain(struct cox_target *target, const json_t *value, struct cox_err *err) {
  target->drain_s = json_number_value(value);
  if (json_is_number(value) && target->drain_s >= 0) return 0;
  return cox_err_set(err, COX_EINVAL, "target: drain_s must be a number of seconds from 0");
}

static int read_reason(struct cox_target *target, json_t *value, struct cox_err *err) {
  if (!json_is_string(value)) return cox_err_set(err, COX_EINVAL, "target: reason must be a string");
  json_decref(target->reason);
  target->reason = json_incref(value);
  return 0;
}

static int read_param(struct cox_target *target, const char *name, json_t *value, struct cox_err *err) {
  for (size_t i = 0; i < COX_TARGET_PARAMS; i++) {
    if (param_names[i][0] != name[0] || strcmp(param_names[i], name) != 0) continue; /* mostly told apart without a call */
    json_decref(target->params[i]);
    target->params[i] = json_incref(value);
    return 0;
  }
  return cox_err_set(err, COX_EINVAL, "target: unknown field %s", name);
}

static int read_field(struct cox_target *target, const char *name, json_t *value, struct cox_err *err) {
  if (json_is_null(value)) return 0;
  if (strcmp(name, "status") == 0) return read_status(target, value, err);
  if (strcmp(name, "poc") == 0) return read_poc(target, value, err);
  if (strcmp(name, "drain_s") == 0) return read_drain(target, value, err);
  if (strcmp(name, "reason") == 0) return read_reason(target, value, err);
  return read_param(target, name, value, err);
}

struct cox_target *cox_target_share(struct cox_target *made) {
  struct cox_target *const target = malloc(sizeof *target); /* there are many, and calloc has no quick way to a block just freed */
  if (target == NULL) return NULL;
  *target = *made;
  atomic_init(&target->references, 1);
  *made = COX_TARGET_NOTHING;
  return target;
}

void cox_target_drop(struct cox_target *made) {
  for (size_t i = 0; i < COX_TARGET_PARAMS; i++) json_decref(made->params[i]);
  json_decref(made->reason);
}

int cox_target_set(struct cox_target *target, const char *name, json_t *value, struct cox_err *err) {
  if (value == NULL) return cox_err_set(err, COX_ENOMEM, "target: out of memory");
  const int rc = read_field(target, name, value, err);
  json_decref(value);
  return rc;
}

int cox_target_check(const struct cox_target *target, struct cox_err *err) {
  const bool wants_poc = target->status == COX_STATUS_POC;
  if (target->status == COX_STATUS_UNKNOWN) return cox_err_set(err, COX_EINVAL, "target: status is required");
  if (wants_poc && target->poc == COX_POC_IDLE) {
    return cox_err_set(err, COX_EINVAL, "target: status POC needs poc = GENERATING or VALIDATING");
  }
  if (!wants_poc && target->poc != COX_POC_IDLE) {
    return cox_err_set(err, COX_EINVAL, "target: poc is only for status POC, not %s", cox_status_name(target->status));
  }
  return 0;
}

static int read_all(struct cox_target *target, json_t *object, const char *reason, struct cox_err *err) {
  const char *name;
  json_t *value;
  int rc = 0;
  if (!json_is_object(object)) return cox_err_set(err, COX_EINVAL, "target: a table with a status is required");
  json_object_foreach(object, name, value) {
    if (rc == 0) rc = read_field(target, name, value, err);
  }
  if (rc == 0 && reason != NULL) rc = cox_target_set(target, "reason", json_string(reason), err);
  return rc == 0 ? cox_target_check(target, err) : rc;
}

struct cox_target *cox_target_create(json_t *object, const char *reason, struct cox_err *err) {
  struct cox_target made = COX_TARGET_NOTHING, *target = NULL;
  if (read_all(&made, object, reason, err) == 0) {
    target = cox_target_share(&made);
    if (target == NULL) cox_err_set(err, COX_ENOMEM, "target: out of memory");
  }
  cox_target_drop(&made);
  json_decref(object);
  return target;
}

/* ---- using one ---- */

static bool is_same(const json_t *left, const json_t *right) {
  return left == right || (left != NULL && right != NULL && json_equal(left, right));
}

struct cox_target *cox_target_hold(struct cox_target *target) {
  if (target != NULL) atomic_fetch_add_explicit(&target->references, 1, memory_order_relaxed);
  return target;
}

void cox_target_release(struct cox_target *target) {
  if (target == NULL || atomic_fetch_sub_explicit(&target->references, 1, memory_order_acq_rel) != 1) return;
  cox_target_drop(target);
  free(target);
}

bool cox_target_equal(const struct cox_target *left, const struct cox_target *right) {
  if (left == right) return true;
  if (left == NULL || right == NULL) return false;
  if (left->status != right->status || left->poc != right->poc) return false;
  for (size_t i = 0; i < COX_TARGET_PARAMS; i++) {
    if (!is_same(left->params[i], right->params[i])) return false;
  }
  return true;
}

json_t *cox_target_json(const struct cox_target *target, bool with_reason) {
  json_t *const object = json_object();
  for (size_t i = 0; i < COX_TARGET_PARAMS; i++) {
    if (target->params[i] != NULL) json_object_set_nocheck(object, param_names[i], target->params[i]);
  }
  json_object_set_new_nocheck(object, "status", json_string_nocheck(cox_status_name(target->status)));
  if (target->status == COX_STATUS_POC)
    json_object_set_new_nocheck(object, "poc", json_string_nocheck(cox_poc_name(target->poc)));
  if (target->drain_s > 0) json_object_set_new_nocheck(object, "drain_s", json_real(target->drain_s));
  if (with_reason && target->reason != NULL) json_object_set_nocheck(object, "reason", target->reason);
  return object;
}
