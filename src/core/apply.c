#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "core/txn_private.h"

#define LOCK txn->broker->registry.lock

void cox_txn_init(struct cox_txn *txn, struct cox_broker *broker) { *txn = (struct cox_txn){.broker = broker}; }

void cox_txn_fini(struct cox_txn *txn) {
  for (struct cox_change *change = txn->first; change != NULL;) {
    struct cox_change *const next = change->next;
    cox_node_destroy(change->fresh);
    json_decref(change->config);
    json_decref(change->admin_reason);
    cox_target_release(change->target);
    cox_target_release(change->old_applied);
    json_decref(change->old_memory);
    free(change);
    change = next;
  }
  free(txn->changes);
  json_decref(txn->world);
  json_decref(txn->issued);
}

#define SWAP(type, left, right) \
  do {                          \
    type swapped = (left);      \
    (left) = (right);           \
    (right) = swapped;          \
  } while (0)

static void remove_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = txn->broker->registry.by_num[change->slot];
  cox_lease_push_removed_locked(txn->broker, node);
  cox_registry_remove_locked(&txn->broker->registry, node);
  change->fresh = node;
  change->node = NULL;
  change->removed_id = node->id;
}

/* Another address or another kind of driver is another machine: nothing is known about it. */
static void forget_machine_locked(struct cox_txn *txn, struct cox_change *change, struct cox_node *node) COX_REQUIRES(LOCK) {
  (void)txn;
  node->generation++;
  node->is_settled = false;
  node->current = COX_STATUS_UNKNOWN;
  node->current_poc = COX_POC_IDLE;
  node->failed_by = COX_FAILED_NOT;
  node->failures = 0;
  node->next_at_us = 0;
  node->is_ready = node->serves_target = false;
  node->unanswered.call[0] = '\0';
  SWAP(struct cox_target *, node->applied, change->old_applied);
  SWAP(json_t *, node->memory, change->old_memory);
}

static void reconfigure_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = change->node;
  if (json_equal(node->config, change->config)) return;
  const uint64_t poc = cox_node_url_hash(change->config, true), inference = cox_node_url_hash(change->config, false);
  const bool is_other = poc != node->url_hash || inference != node->inference_hash ||
                        !json_equal(json_object_get(node->config, "kind"), json_object_get(change->config, "kind"));
  SWAP(json_t *, node->config, change->config);
  if (poc != node->url_hash || inference != node->inference_hash) {
    cox_registry_move_locked(&txn->broker->registry, node, poc, inference);
  }
  node->change++;
  change->has_config = true;
  if (is_other) forget_machine_locked(txn, change, node);
}

static void begin_episode_locked(struct cox_txn *txn, const struct cox_target *target) COX_REQUIRES(LOCK) {
  struct cox_registry *const registry = &txn->broker->registry;
  const json_t *const height = json_object_get(target->params, "block_height");
  const char *const hash = json_string_value(json_object_get(target->params, "block_hash"));
  const json_t *const count = json_object_get(target->params, "node_count");
  if (target->status != COX_STATUS_POC || height == NULL || hash == NULL || count == NULL) return;
  if (registry->episode.is_set && registry->episode.height == json_integer_value(height) &&
      strcmp(registry->episode.hash, hash) == 0) {
    return;
  }
  registry->episode.is_set = true;
  registry->episode.height = json_integer_value(height);
  registry->episode.node_count = (int)json_integer_value(count);
  snprintf(registry->episode.hash, sizeof registry->episode.hash, "%s", hash);
}

static void intend_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = change->node;
  begin_episode_locked(txn, change->target);
  cox_drain_begin_locked(txn->broker, node, change->target);
  node->serves_target = false;
  SWAP(struct cox_target *, node->target, change->target);
  node->generation++;
  node->change++;
  node->failures = 0;
  node->next_at_us = 0;
  change->has_target = true;
}

static void restart_locked(struct cox_txn *txn, struct cox_node *node, bool with_flight) COX_REQUIRES(LOCK) {
  node->failures = 0;
  node->next_at_us = 0;
  if (with_flight && node->flight.attempt != 0) node->flight.is_unwanted = true;
  cox_registry_mark_locked(&txn->broker->registry, node);
}

static void change_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  const struct cox_registry *const registry = &txn->broker->registry;
  if (change->fresh != NULL) {
    cox_registry_insert_locked(&txn->broker->registry, change->fresh);
    change->fresh = NULL;
    change->is_new = true;
  }
  struct cox_node *const node = (size_t)change->slot < registry->num_count ? registry->by_num[change->slot] : NULL;
  if (node == NULL) return; /* registered and removed by one handler */
  change->node = node;
  if (change->config != NULL) reconfigure_locked(txn, change);
  if (change->has_admin) {
    node->admin.is_enabled = change->is_enabled;
    node->admin.epoch = change->admin_epoch;
    SWAP(json_t *, node->admin.reason, change->admin_reason);
  }
  if (change->target != NULL) intend_locked(txn, change);
  if (change->wants_restart) restart_locked(txn, node, true);
  if (change->wants_probe) node->wants_probe = true;
  cox_lease_push_locked(txn->broker, node);
  if (!cox_fault("apply.misses_mark")) cox_registry_mark_locked(&txn->broker->registry, node);
}

static void set_world_locked(struct cox_txn *txn) COX_REQUIRES(LOCK) {
  struct cox_registry *const registry = &txn->broker->registry;
  SWAP(json_t *, registry->world, txn->world);
  const char *const hash = json_string_value(json_object_get(registry->world, "hash"));
  if (hash == NULL) return;
  const int64_t height = json_integer_value(json_object_get(registry->world, "height"));
  const size_t last = (registry->block_next + COX_BLOCKS_KEPT - 1) % COX_BLOCKS_KEPT;
  const size_t place = registry->blocks[last].height == height ? last : registry->block_next;
  registry->blocks[place].height = height;
  snprintf(registry->blocks[place].hash, sizeof registry->blocks[place].hash, "%s", hash);
  if (place != last) registry->block_next = (place + 1) % COX_BLOCKS_KEPT;
}

static void all_locked(struct cox_txn *txn) COX_REQUIRES(LOCK) {
  struct cox_registry *const registry = &txn->broker->registry;
  for (size_t i = 0; i < registry->num_count; i++) {
    struct cox_node *const node = registry->by_num[i];
    if (node == NULL) continue;
    if (txn->probes_all) node->wants_probe = true;
    restart_locked(txn, node, false);
  }
}

/* By hand and without checks of what is ours: a phase command makes one record for each node, and json_pack costs three times
 * as much.                                                                                                                  */
static json_t *begin_record(const char *op, json_t *node_id) {
  json_t *const record = json_object();
  json_object_set_new_nocheck(record, "op", json_string_nocheck(op));
  json_object_set_nocheck(record, "node_id", node_id);
  return record;
}

static void set_number(json_t *record, const char *key, uint64_t number) {
  json_object_set_new_nocheck(record, key, json_integer((json_int_t)number));
}

static json_t *config_record(const struct cox_change *change, const struct cox_node *node) {
  json_t *const record = begin_record(change->is_new ? "register_node" : "update_node", node->id);
  set_number(record, "node_num", (uint64_t)node->num);
  set_number(record, "registration", node->registration);
  json_object_set_nocheck(record, "node", node->config);
  return record;
}

static json_t *admin_record(const struct cox_node *node) {
  json_t *const record = begin_record("set_admin_state", node->id);
  json_object_set_new_nocheck(record, "enabled", json_boolean(node->admin.is_enabled));
  set_number(record, "epoch", (uint64_t)node->admin.epoch);
  if (node->admin.reason != NULL) json_object_set_nocheck(record, "reason", node->admin.reason);
  return record;
}

static json_t *target_record(const struct cox_node *node) {
  const struct cox_target *const target = node->target;
  json_t *const record = begin_record("target", node->id);
  set_number(record, "generation", node->generation);
  json_object_set_new_nocheck(record, "status", json_string_nocheck(cox_status_name(target->status)));
  json_object_set_new_nocheck(record, "poc", json_string_nocheck(cox_poc_name(target->poc)));
  json_object_set_nocheck(record, "params", target->params); /* immutable: shared, not copied */
  if (target->reason != NULL) json_object_set_new_nocheck(record, "reason", json_string_nocheck(target->reason));
  return record;
}

/* What the store is told about one change. Runs without the lock: this thread is the only writer of what it reads. */
static void record(const struct cox_change *change, json_t *records) {
  const struct cox_node *const node = change->node;
  if (change->removed_id != NULL) json_array_append_new(records, begin_record("remove_node", change->removed_id));
  if (change->removed_id != NULL || node == NULL) return;
  if (change->is_new || change->has_config) json_array_append_new(records, config_record(change, node));
  if (change->is_new || change->has_admin) json_array_append_new(records, admin_record(node));
  if (change->has_target) json_array_append_new(records, target_record(node));
}

static int reserve(struct cox_txn *txn, struct cox_err *err) {
  const size_t slots = cox_txn_count(txn);
  if (cox_registry_reserve(&txn->broker->registry, slots) == 0) return 0;
  return cox_err_set(err, COX_ENOMEM, "registering a node failed: out of memory for %zu nodes", slots);
}

int cox_txn_apply(struct cox_txn *txn, json_t *records, struct cox_err *err) {
  struct cox_broker *const broker = txn->broker;
  if (txn->end > 0 && reserve(txn, err) != 0) return COX_ENOMEM;
  const bool has_world = txn->world != NULL;
  if (has_world && cox_due_world_differs(txn->world, broker->registry.world)) broker->world_version++;
  for (const struct cox_change *change = txn->first; change != NULL; change = change->next) {
    if (change->fresh != NULL || change->is_removed || change->config != NULL || change->has_admin) {
      broker->fleet_version++;
      break;
    }
  }
  const bool has_work = txn->first != NULL || txn->reconciles_all || txn->probes_all;
  if (!has_work && !has_world) return 0;
  cox_rwlock_write(&LOCK);
  for (struct cox_change *change = txn->first; change != NULL; change = change->next) {
    if (change->is_removed) remove_locked(txn, change);
  }
  for (struct cox_change *change = txn->first; change != NULL; change = change->next) {
    if (!change->is_removed) change_locked(txn, change);
  }
  if (has_world) set_world_locked(txn);
  if (txn->reconciles_all || txn->probes_all) all_locked(txn);
  cox_rwlock_write_unlock(&LOCK);
  for (const struct cox_change *change = txn->first; change != NULL; change = change->next) record(change, records);
  if (has_work) cox_broker_trigger(broker);
  return 0;
}
