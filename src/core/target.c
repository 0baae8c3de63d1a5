#include "core/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const param_names[] = {"model",      "args",    "block_height", "block_hash", "public_key",
                                          "node_id",    "node_count", "url",       "task"};

static bool is_param(const char *key) {
  for (size_t i = 0; i < sizeof param_names / sizeof *param_names; i++) {
    if (strcmp(param_names[i], key) == 0) return true;
  }
  return false;
}

static int take_status(struct cox_target *target, const json_t *value, struct cox_err *err) {
  const char *const text = json_string_value(value);
  if (value == NULL) return cox_err_set(err, COX_EINVAL, "target: status is required");
  if (cox_status_parse(text, &target->status) && target->status != COX_STATUS_UNKNOWN && target->status != COX_STATUS_FAILED) return 0;
  return cox_err_set(err, COX_EINVAL, "target: status must be INFERENCE, POC, TRAINING or STOPPED, not %s", text ? text : "this");
}

static int take_poc(struct cox_target *target, const json_t *value, struct cox_err *err) {
  const char *const text = json_string_value(value);
  if (value == NULL || cox_poc_parse(text, &target->poc)) return 0;
  return cox_err_set(err, COX_EINVAL, "target: poc must be IDLE, GENERATING or VALIDATING, not %s", text ? text : "this");
}

static int take_drain(struct cox_target *target, const json_t *value, struct cox_err *err) {
  if (value == NULL) return 0;
  target->drain_s = json_number_value(value);
  if (json_is_number(value) && target->drain_s >= 0) return 0;
  return cox_err_set(err, COX_EINVAL, "target: drain_s must be a number of seconds from 0");
}

static int take_reason(struct cox_target *target, const char *reason, const json_t *value, struct cox_err *err) {
  if (value != NULL && !json_is_string(value)) return cox_err_set(err, COX_EINVAL, "target: reason must be a string");
  const char *const text = reason != NULL ? reason : json_string_value(value);
  if (text == NULL) return 0;
  target->reason = strdup(text);
  return target->reason != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "target: out of memory");
}

/* What is left are the parameters. */
static int check_params(json_t *params, struct cox_err *err) {
  const char *key;
  json_t *value;
  void *next;
  json_object_foreach_safe(params, next, key, value) {
    if (!is_param(key)) return cox_err_set(err, COX_EINVAL, "target: unknown field %s", key);
    if (json_is_null(value)) json_object_del(params, key);
  }
  return 0;
}

static int take(struct cox_target *target, const char *reason, struct cox_err *err) {
  static const char *const own[] = {"status", "poc", "drain_s", "reason"};
  json_t *const params = target->params;
  int rc = take_status(target, json_object_get(params, "status"), err);
  if (rc == 0) rc = take_poc(target, json_object_get(params, "poc"), err);
  if (rc == 0) rc = take_drain(target, json_object_get(params, "drain_s"), err);
  if (rc == 0) rc = take_reason(target, reason, json_object_get(params, "reason"), err);
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) json_object_del(params, own[i]);
  return rc == 0 ? check_params(params, err) : rc;
}

static int check(const struct cox_target *target, struct cox_err *err) {
  const bool wants_poc = target->status == COX_STATUS_POC;
  if (wants_poc && target->poc == COX_POC_IDLE) {
    return cox_err_set(err, COX_EINVAL, "target: status POC needs poc = GENERATING or VALIDATING");
  }
  if (!wants_poc && target->poc != COX_POC_IDLE) {
    return cox_err_set(err, COX_EINVAL, "target: poc is only for status POC, not %s", cox_status_name(target->status));
  }
  return 0;
}

/* A set of parameters of our own: the object itself when nobody else holds it. */
static json_t *own_params(json_t *object) {
  if (object->refcount == 1) return object;
  json_t *const copy = json_copy(object);
  json_decref(object);
  return copy;
}

struct cox_target *cox_target_create(json_t *object, const char *reason, struct cox_err *err) {
  if (!json_is_object(object)) {
    cox_err_set(err, COX_EINVAL, "target: a table with a status is required");
    json_decref(object);
    return NULL;
  }
  struct cox_target *target = calloc(1, sizeof *target);
  if (target == NULL) {
    json_decref(object);
    cox_err_set(err, COX_ENOMEM, "target: out of memory");
    return NULL;
  }
  atomic_init(&target->references, 1);
  target->params = own_params(object);
  if (target->params == NULL) cox_err_set(err, COX_ENOMEM, "target: out of memory");
  if (target->params != NULL && take(target, reason, err) == 0 && check(target, err) == 0) return target;
  cox_target_release(target);
  return NULL;
}

struct cox_target *cox_target_hold(struct cox_target *target) {
  if (target != NULL) atomic_fetch_add_explicit(&target->references, 1, memory_order_relaxed);
  return target;
}

void cox_target_release(struct cox_target *target) {
  if (target == NULL || atomic_fetch_sub_explicit(&target->references, 1, memory_order_acq_rel) != 1) return;
  json_decref(target->params);
  free(target->reason);
  free(target);
}

bool cox_target_equal(const struct cox_target *left, const struct cox_target *right) {
  if (left == right) return true;
  if (left == NULL || right == NULL) return false;
  return left->status == right->status && left->poc == right->poc && json_equal(left->params, right->params);
}

json_t *cox_target_json(const struct cox_target *target, bool with_reason) {
  json_t *const object = json_copy(target->params);
  json_object_set_new(object, "status", json_string(cox_status_name(target->status)));
  if (target->status == COX_STATUS_POC) json_object_set_new(object, "poc", json_string(cox_poc_name(target->poc)));
  if (target->drain_s > 0) json_object_set_new(object, "drain_s", json_real(target->drain_s));
  if (with_reason && target->reason != NULL) json_object_set_new(object, "reason", json_string(target->reason));
  return object;
}
