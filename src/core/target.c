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

/* Reads one key of the policy's object into `target`. */
static int take(struct cox_target *target, const char *key, json_t *value, struct cox_err *err) {
  const char *const text = json_string_value(value);
  if (strcmp(key, "status") == 0) {
    if (cox_status_parse(text, &target->status) && target->status != COX_STATUS_UNKNOWN && target->status != COX_STATUS_FAILED) {
      return 0;
    }
    return cox_err_set(err, COX_EINVAL, "target: status must be INFERENCE, POC, TRAINING or STOPPED, not %s", text ? text : "this");
  }
  if (strcmp(key, "poc") == 0) {
    if (cox_poc_parse(text, &target->poc)) return 0;
    return cox_err_set(err, COX_EINVAL, "target: poc must be IDLE, GENERATING or VALIDATING, not %s", text ? text : "this");
  }
  if (strcmp(key, "drain_s") == 0) {
    if (json_is_number(value) && json_number_value(value) >= 0) {
      target->drain_s = json_number_value(value);
      return 0;
    }
    return cox_err_set(err, COX_EINVAL, "target: drain_s must be a number of seconds from 0");
  }
  if (strcmp(key, "reason") == 0) {
    if (text == NULL) return cox_err_set(err, COX_EINVAL, "target: reason must be a string");
    free(target->reason);
    target->reason = strdup(text);
    return target->reason != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "target: out of memory");
  }
  if (!is_param(key)) return cox_err_set(err, COX_EINVAL, "target: unknown field %s", key);
  if (json_is_null(value)) return 0;
  if (json_object_set(target->params, key, value) != 0) return cox_err_set(err, COX_ENOMEM, "target: out of memory");
  return 0;
}

static int check(const struct cox_target *target, struct cox_err *err) {
  if (target->status == COX_STATUS_UNKNOWN) return cox_err_set(err, COX_EINVAL, "target: status is required");
  const bool wants_poc = target->status == COX_STATUS_POC;
  if (wants_poc && target->poc == COX_POC_IDLE) {
    return cox_err_set(err, COX_EINVAL, "target: status POC needs poc = GENERATING or VALIDATING");
  }
  if (!wants_poc && target->poc != COX_POC_IDLE) {
    return cox_err_set(err, COX_EINVAL, "target: poc is only for status POC, not %s", cox_status_name(target->status));
  }
  return 0;
}

struct cox_target *cox_target_create(json_t *object, const char *reason, struct cox_err *err) {
  if (!json_is_object(object)) {
    cox_err_set(err, COX_EINVAL, "target: a table with a status is required");
    return NULL;
  }
  struct cox_target *target = calloc(1, sizeof *target);
  if (target != NULL) target->params = json_object();
  if (target == NULL || target->params == NULL) {
    cox_err_set(err, COX_ENOMEM, "target: out of memory");
    goto fail;
  }
  atomic_init(&target->references, 1);
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    if (take(target, key, value, err) != 0) goto fail;
  }
  if (check(target, err) != 0) goto fail;
  if (reason != NULL) {
    free(target->reason);
    target->reason = strdup(reason);
  }
  return target;
fail:
  if (target != NULL) {
    atomic_store(&target->references, 1);
    cox_target_release(target);
  }
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
