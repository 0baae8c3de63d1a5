#include <stdio.h>
#include <string.h>

#include "core/engine.h"

static bool is_volatile(const char *key) {
  static const char *const names[] = {"height", "hash", "time", "stale_s"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], key) == 0) return true;
  }
  return false;
}

static bool has_all_of(json_t *left, json_t *right) {
  const char *key;
  json_t *value;
  json_object_foreach(left, key, value) {
    if (!is_volatile(key) && !json_equal(value, json_object_get(right, key))) return false;
  }
  return true;
}

bool cox_due_world_differs(json_t *left, json_t *right) {
  if (left == NULL || right == NULL) return left != right;
  return !has_all_of(left, right) || !has_all_of(right, left);
}

bool cox_due_is_needed(const struct cox_broker *broker, const char *name) {
  const struct cox_due *const due = &broker->due;
  return strcmp(due->name, name) != 0 || due->world_version != broker->world_version ||
         due->fleet_version != broker->fleet_version ||
         due->policy != broker->options.policy->generation(broker->options.policy->ctx) ||
         cox_clock_mono_us(broker->options.clock) - due->at_us >= (int64_t)(broker->options.resync_s * 1e6);
}

void cox_due_succeeded(struct cox_broker *broker, const char *name) {
  struct cox_due *const due = &broker->due;
  snprintf(due->name, sizeof due->name, "%s", name);
  due->world_version = broker->world_version;
  due->fleet_version = broker->fleet_version;
  due->policy = broker->options.policy->generation(broker->options.policy->ctx);
  due->at_us = cox_clock_mono_us(broker->options.clock);
}
