#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "core/durable.h"
#include "core/record.h"
#include "core/txn_private.h"

#define LOCK txn->broker->registry.lock

enum { FETCHED_AHEAD = 8 };

void cox_txn_init(struct cox_txn *txn, struct cox_broker *broker) { *txn = (struct cox_txn){.broker = broker}; }

void cox_txn_fini(struct cox_txn *txn) {
  for (struct cox_change *change = txn->first; change != NULL;) {
    struct cox_change *const next = change->next;
    cox_node_destroy(change->fresh);
    json_decref(change->config);
    cox_admin_fini(&change->admin);
    cox_target_release(change->target);
    cox_target_release(change->old_applied);
    json_decref(change->old_memory);
    change = next;
  }
  for (struct cox_change_block *block = txn->blocks; block != NULL;) {
    struct cox_change_block *const older = block->older;
    free(block);
    block = older;
  }
  free(txn->changes);
  json_decref(txn->world);
  json_decref(txn->issued);
}

static void remove_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = txn->broker->registry.by_num[change->slot];
  cox_lease_push_removed_locked(txn->broker, node);
  cox_registry_remove_locked(&txn->broker->registry, node);
  change->fresh = node;
  change->node = NULL;
  change->removed_id = node->id;
  change->freed_at = txn->broker->registry.num_freed_at[change->slot];
  cox_registry_hold_num_locked(&txn->broker->registry, change->slot);
}

void cox_txn_stand(struct cox_txn *txn) {
  for (struct cox_change *change = txn->first; change != NULL; change = change->next) {
    if (change->removed_id == NULL) continue;
    cox_rwlock_write(&LOCK);
    cox_registry_let_num_go_locked(&txn->broker->registry, change->slot);
    cox_rwlock_write_unlock(&LOCK);
  }
}

/* Another address or another kind of driver is another machine: nothing is known about it. */
static void forget_machine_locked(struct cox_txn *txn, struct cox_change *change, struct cox_node *node) COX_REQUIRES(LOCK) {
  (void)txn;
  change->has_forgotten = true;
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
  const json_t *const height = target->params[COX_TARGET_BLOCK_HEIGHT];
  const json_t *const hash_value = target->params[COX_TARGET_BLOCK_HASH];
  if (target->status != COX_STATUS_POC || height == NULL || (height == txn->begun_height && hash_value == txn->begun_hash)) return;
  const char *const hash = json_string_value(hash_value);
  const json_t *const count = target->params[COX_TARGET_NODE_COUNT];
  if (hash == NULL || count == NULL) return;
  txn->begun_height = height; /* equal values of targets are mostly one */
  txn->begun_hash = hash_value;
  if (registry->episode.is_set && registry->episode.height == json_integer_value(height) &&
      strcmp(registry->episode.hash, hash) == 0) {
    return;
  }
  registry->episodes++;
  registry->episode.is_set = true;
  registry->episode.height = json_integer_value(height);
  registry->episode.node_count = (int)json_integer_value(count);
  snprintf(registry->episode.hash, sizeof registry->episode.hash, "%s", hash);
}

static void intend_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = change->node;
  begin_episode_locked(txn, change->target);
  change->drain_until_us = node->drain_until_us;
  cox_drain_begin_locked(txn->broker, node, change->target);
  node->serves_target = false;
  SWAP(struct cox_target *, node->target, change->target);
  if (!cox_fault("apply.keeps_generation")) node->generation++;
  node->change++;
  node->failures = 0;
  node->next_at_us = 0;
  change->has_target = true;
  change->generation = node->generation;
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
    change->freed_at = (size_t)change->slot < registry->num_capacity ? registry->num_freed_at[change->slot] : INT64_MIN;
    cox_registry_insert_locked(&txn->broker->registry, change->fresh);
    change->fresh = NULL;
    change->is_new = true;
  }
  struct cox_node *const node = (size_t)change->slot < registry->num_count ? registry->by_num[change->slot] : NULL;
  if (node == NULL) return; /* registered and removed by one handler */
  change->node = node;
  if (change->config != NULL) reconfigure_locked(txn, change);
  if (change->has_admin) SWAP(struct cox_admin, node->admin, change->admin);
  if (change->target != NULL) intend_locked(txn, change);
  if (change->wants_restart) restart_locked(txn, node, true);
  if (change->wants_probe) node->wants_probe = true;
  if (!cox_fault("apply.misses_mark")) cox_registry_mark_locked(&txn->broker->registry, node);
}

/* Nodes lie anywhere in memory: what is needed of one is on its way while those before it are changed. */
static void fetch_locked(struct cox_txn *txn, const struct cox_change *change) COX_REQUIRES(LOCK) {
  const struct cox_registry *const registry = &txn->broker->registry;
  if (change == NULL || (size_t)change->slot >= registry->num_count) return;
  const struct cox_node *const node = registry->by_num[change->slot];
  if (node == NULL) return;
  __builtin_prefetch(&node->target, 1);
  __builtin_prefetch(&node->drain_until_us, 1);
  __builtin_prefetch(&node->failures, 1);
  __builtin_prefetch(&node->dirty_next, 1);
}

static void change_all_locked(struct cox_txn *txn) COX_REQUIRES(LOCK) {
  const struct cox_change *ahead = txn->first;
  for (int i = 0; i < FETCHED_AHEAD && ahead != NULL; i++, ahead = ahead->next) fetch_locked(txn, ahead);
  for (struct cox_change *change = txn->first; change != NULL; change = change->next) {
    fetch_locked(txn, ahead);
    if (ahead != NULL) ahead = ahead->next;
    if (!change->is_removed) change_locked(txn, change);
  }
}

/* In sections of their own, so that readers of the registry do not wait for all of it: a lease that is given meanwhile is one from a
 * moment before the change. The command is answered after them.                                                                     */
static void push_leases(struct cox_txn *txn) COX_EXCLUDES(LOCK) {
  for (struct cox_change *change = txn->first; change != NULL;) {
    cox_rwlock_write(&LOCK);
    for (int i = 0; i < COX_PASS_NODES && change != NULL; i++, change = change->next) {
      if (change->node != NULL) cox_lease_push_locked(txn->broker, change->node);
    }
    cox_rwlock_write_unlock(&LOCK);
  }
}

static void set_world_locked(struct cox_txn *txn) COX_REQUIRES(LOCK) {
  struct cox_registry *const registry = &txn->broker->registry;
  SWAP(json_t *, registry->world, txn->world);
  registry->world_at_us = cox_clock_mono_us(txn->broker->options.clock);
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

static struct cox_record *config_record(const struct cox_change *change, const struct cox_node *node) {
  struct cox_record *const record = cox_record_config(change->is_new ? COX_RECORD_REGISTER : COX_RECORD_UPDATE, node);
  if (record == NULL || !change->has_forgotten || cox_record_set(record, "forgets", json_true())) return record;
  cox_record_release(record);
  return NULL;
}

static struct cox_record *remove_record(const struct cox_change *change) {
  struct cox_record *const record = cox_record_create(COX_RECORD_REMOVE, change->removed_id);
  if (record == NULL) return NULL;
  bool is_good = cox_record_set(record, "node_num", json_integer(change->slot));
  if (change->freed_at != INT64_MIN) is_good = is_good && cox_record_set(record, "freed_at", json_integer(change->freed_at));
  if (is_good) return record;
  cox_record_release(record);
  return NULL;
}

/* What the store is told about one change. Runs without the lock: this thread is the only writer of what it reads. */
static void record(const struct cox_change *change, struct cox_batch *batch) {
  const struct cox_node *const node = change->node;
  if (change->removed_id != NULL) cox_batch_add(batch, remove_record(change));
  if (change->removed_id != NULL || node == NULL) return;
  if (change->is_new || change->has_config) cox_batch_add(batch, config_record(change, node));
  if (change->is_new || change->has_admin) cox_batch_add(batch, cox_record_admin(node));
  const bool has_generation = change->has_forgotten && node->target != NULL;
  if (change->has_target || has_generation) cox_batch_add(batch, cox_record_target(node));
}

bool cox_txn_is_durable(const struct cox_txn *txn) {
  for (const struct cox_change *change = txn->first; change != NULL; change = change->next) {
    if (change->fresh != NULL || change->is_removed || change->config != NULL || change->has_admin) return true;
    if (change->target != NULL && change->target->status == COX_STATUS_TRAINING) return true;
  }
  return false;
}

static int reserve(struct cox_txn *txn, struct cox_err *err) {
  const size_t slots = cox_txn_count(txn);
  if (cox_registry_reserve(&txn->broker->registry, slots) == 0) return 0;
  return cox_err_set(err, COX_ENOMEM, "registering a node failed: out of memory for %zu nodes", slots);
}

int cox_txn_apply(struct cox_txn *txn, struct cox_batch *batch, struct cox_err *err) {
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
  const uint64_t episode = broker->registry.episodes;
  cox_rwlock_write(&LOCK);
  for (struct cox_change *change = txn->first; change != NULL; change = change->next) {
    if (change->is_removed) remove_locked(txn, change);
  }
  change_all_locked(txn);
  if (has_world) set_world_locked(txn);
  if (txn->reconciles_all || txn->probes_all) all_locked(txn);
  cox_rwlock_write_unlock(&LOCK);
  push_leases(txn);
  if (episode != broker->registry.episodes) cox_batch_add(batch, cox_record_episode(&broker->registry));
  for (const struct cox_change *change = txn->first; change != NULL; change = change->next) {
    record(change, batch);
    if (change->has_admin && change->node != NULL) cox_expiry_follow(broker, change->node);
  }
  if (has_work) broker->owes_trigger = true;
  return 0;
}
