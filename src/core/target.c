#include "core/target.h"

#include <assert.h>
#include <stdio.h>
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

/* What each of them is. */
static const enum { TEXT, NUMBER, LIST, TABLE } param_kinds[COX_TARGET_PARAMS] = {
    [COX_TARGET_MODEL] = TEXT,
    [COX_TARGET_ARGS] = LIST,
    [COX_TARGET_BLOCK_HEIGHT] = NUMBER,
    [COX_TARGET_BLOCK_HASH] = TEXT,
    [COX_TARGET_PUBLIC_KEY] = TEXT,
    [COX_TARGET_NODE_ID] = NUMBER,
    [COX_TARGET_NODE_COUNT] = NUMBER,
    [COX_TARGET_URL] = TEXT,
    [COX_TARGET_TASK] = TABLE,
};

const char *cox_target_param_name(enum cox_target_param param) { return param_names[param]; }

bool cox_target_takes_integer(enum cox_target_param param, json_int_t value) { return param_kinds[param] == NUMBER && value >= 0; }

/* ---- values ---- */

static bool is_text(const json_t *value) { return json_is_string(value) && json_string_length(value) <= COX_TARGET_TEXT_BYTES_MAX; }

static bool is_list(const json_t *value) {
  for (size_t i = 0; i < json_array_size(value); i++) {
    const json_t *const item = json_array_get(value, i);
    if (!is_text(item)) return false;
  }
  return json_is_array(value) && json_array_size(value) <= COX_TARGET_ARGS_MAX;
}

/* A whole number is one, whichever way a script came to it. */
static json_t *number_of(json_t *value) {
  const double real = json_real_value(value);
  if (json_is_integer(value)) return json_integer_value(value) >= 0 ? json_incref(value) : NULL;
  if (!json_is_real(value) || !(real >= 0) || real > 9007199254740992.0 || real != (double)(json_int_t)real) return NULL;
  return json_integer((json_int_t)real);
}

/* A new reference to what `value` is for that parameter; NULL: it is none. An empty table of Lua is an empty list, too. */
static json_t *param_value(enum cox_target_param param, json_t *value) {
  switch (param_kinds[param]) {
    case TEXT: return is_text(value) ? json_incref(value) : NULL;
    case NUMBER: return number_of(value);
    case LIST:
      if (json_is_object(value) && json_object_size(value) == 0) return json_array();
      return is_list(value) ? json_incref(value) : NULL;
    case TABLE: return json_is_object(value) ? json_incref(value) : NULL;
  }
  return NULL;
}

static int refuse_param(enum cox_target_param param, const json_t *value, struct cox_err *err) {
  static const char *const given[] = {[JSON_OBJECT] = "a table", [JSON_ARRAY] = "a list",   [JSON_STRING] = "this text", [JSON_INTEGER] = "this number",
                                      [JSON_REAL] = "this number", [JSON_TRUE] = "true", [JSON_FALSE] = "false"};
  char wanted[96];
  switch (param_kinds[param]) {
    case TEXT: snprintf(wanted, sizeof wanted, "a text of at most %d bytes", COX_TARGET_TEXT_BYTES_MAX); break;
    case NUMBER: snprintf(wanted, sizeof wanted, "an integer from 0"); break;
    case LIST: snprintf(wanted, sizeof wanted, "a list of at most %d texts, each of at most %d bytes", COX_TARGET_ARGS_MAX, COX_TARGET_TEXT_BYTES_MAX); break;
    case TABLE: snprintf(wanted, sizeof wanted, "a table with named fields"); break;
  }
  return cox_err_set(err, COX_EINVAL, "target: %s must be %s, not %s", param_names[param], wanted, given[json_typeof(value)]);
}

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
  if (json_is_number(value) && target->drain_s >= 0 && target->drain_s <= COX_TARGET_DRAIN_S_MAX) return 0;
  return cox_err_set(err, COX_EINVAL, "target: drain_s must be a number of seconds from 0 to %d", COX_TARGET_DRAIN_S_MAX);
}

/* Cut between two characters. */
static json_t *short_words(json_t *value) {
  const char *const text = json_string_value(value);
  size_t len = json_string_length(value);
  if (len <= COX_TARGET_REASON_BYTES_MAX) return json_incref(value);
  len = COX_TARGET_REASON_BYTES_MAX;
  while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) len--;
  return json_stringn(text, len);
}

static int read_reason(struct cox_target *target, json_t *value, struct cox_err *err) {
  if (!json_is_string(value)) return cox_err_set(err, COX_EINVAL, "target: reason must be a string");
  json_decref(target->reason);
  target->reason = short_words(value);
  return target->reason != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "target: out of memory");
}

static int read_param(struct cox_target *target, const char *name, json_t *value, struct cox_err *err) {
  for (size_t i = 0; i < COX_TARGET_PARAMS; i++) {
    if (param_names[i][0] != name[0] || strcmp(param_names[i], name) != 0) continue; /* mostly told apart without a call */
    json_t *const taken = param_value((enum cox_target_param)i, value);
    if (taken == NULL) return refuse_param((enum cox_target_param)i, value, err);
    json_decref(target->params[i]);
    target->params[i] = taken;
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
