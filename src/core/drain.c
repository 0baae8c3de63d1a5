/* A node whose target leaves INFERENCE is not leased from then on. With drain_s it is left alone until its last lease ended or
 * that time has passed; in the last tenth before the PoC starts nothing waits any more, because a missed PoC costs the epoch.
 * Once it has started, what is to take part in it waits for a tenth of its first stage at most.                             */
#include "base/fault.h"
#include "core/engine.h"

enum { LOOK_US = 1000000 /* a new block may end a drain: look so often */, BATCH = 256 };

void cox_drain_begin_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_target *target) {
  const bool was_serving = node->target != NULL && node->target->status == COX_STATUS_INFERENCE;
  if (target->status == COX_STATUS_INFERENCE || target->drain_s <= 0) {
    node->drain_until_us = 0;
    return;
  }
  const int64_t until_us = cox_clock_mono_us(broker->options.clock) + (int64_t)(target->drain_s * 1e6);
  const bool is_draining = node->drain_until_us != 0;
  if (was_serving || (is_draining && until_us < node->drain_until_us)) node->drain_until_us = until_us;
}

static int64_t number(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

/* Is the next PoC so near that less than a tenth of the epoch is left? (NETWORK section 2: epoch 0 is shorter by the shift.) */
static bool is_late(const json_t *world) {
  const json_t *const params = json_object_get(world, "params");
  const int64_t length = number(params, "epoch_length");
  if (length <= 0 || json_object_get(world, "height") == NULL) return false;
  const int64_t shift = number(world, "epoch") == 0 ? number(params, "epoch_shift") : 0;
  const int64_t left = number(world, "poc_start_height") + length - shift - number(world, "height");
  return left <= length / 10 && !cox_fault("drain.misses_poc");
}

/* Does a PoC run that a node which is to take part in it has waited for long enough? */
static bool is_late_for_poc(const json_t *world) {
  const json_t *const params = json_object_get(world, "params");
  const int64_t stage = number(params, "poc_stage_duration");
  const int64_t length = stage + number(params, "poc_validation_delay") + number(params, "poc_validation_duration");
  const int64_t blocks = number(world, "height") - number(world, "poc_start_height");
  return number(world, "epoch") > 0 && blocks > stage / 10 && blocks < length;
}

static bool may_wait(const struct cox_node *node, const json_t *world) {
  const bool joins = node->target != NULL && node->target->status == COX_STATUS_POC;
  return !is_late(world) && !(joins && is_late_for_poc(world));
}

bool cox_drain_goes_on_locked(struct cox_broker *broker, struct cox_node *node, int64_t now_us, int64_t *look_us) {
  if (node->drain_until_us == 0 || cox_fault("drain.ignores_leases")) return false;
  if (now_us < node->drain_until_us && cox_lease_load(broker, node->lease) > 0 && may_wait(node, broker->registry.world)) {
    *look_us = node->drain_until_us < now_us + LOOK_US ? node->drain_until_us : now_us + LOOK_US;
    return true;
  }
  node->drain_until_us = 0;
  cox_lease_push_locked(broker, node);
  return false;
}

void cox_drain_mark_ended(struct cox_broker *broker) {
  uint64_t registrations[BATCH];
  size_t count;
  do {
    count = cox_lease_take_drained(broker, registrations, BATCH);
    if (count == 0) return;
    cox_rwlock_write(&broker->registry.lock);
    for (size_t i = 0; i < count; i++) {
      struct cox_node *const node = cox_registry_find_registration(&broker->registry, registrations[i]);
      if (node != NULL) cox_registry_mark_locked(&broker->registry, node);
    }
    cox_rwlock_write_unlock(&broker->registry.lock);
  } while (count == BATCH);
}
