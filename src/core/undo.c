/* Before images: an operator's change that could not be stored is taken back. Newest first, so that each finds what it left. What
 * others decided since (a phase's target) stands; what was sent to a machine meanwhile cannot be taken back, so such a node is
 * unsettled and its numbers are not given out again.                                                                          */
#include "core/txn_private.h"

#define LOCK txn->broker->registry.lock

/* The departed attempt, taken out of the list; false: it has come back already. */
static bool rejoin_locked(struct cox_txn *txn, uint64_t attempt, bool *is_cancelled) COX_REQUIRES(LOCK) {
  struct cox_registry *const registry = &txn->broker->registry;
  for (size_t i = 0; i < registry->departing_count; i++) {
    if (registry->departing[i].attempt != attempt) continue;
    *is_cancelled = registry->departing[i].is_cancelled;
    registry->departing[i] = registry->departing[--registry->departing_count];
    return true;
  }
  return false;
}

static void unsettle_locked(struct cox_txn *txn, struct cox_node *node) COX_REQUIRES(LOCK) {
  (void)txn;
  node->is_settled = false;
  if (node->failed_by == COX_FAILED_NOT) {
    node->current = COX_STATUS_UNKNOWN;
    node->current_poc = COX_POC_IDLE;
  }
}

/* A removal: the node is back, with what was in flight if that is still out. */
static void restore_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = change->fresh;
  change->fresh = NULL;
  change->removed_id = NULL;
  if (node->flight.attempt != 0 && rejoin_locked(txn, node->flight.attempt, &node->flight.is_cancelled)) {
    node->flight.is_unwanted = node->flight.is_cancelled; /* by us, so it has not failed */
  } else if (node->flight.attempt != 0) {
    cox_target_release(node->flight.target);
    json_decref(node->flight.note);
    node->flight = (struct cox_in_flight){0};
    unsettle_locked(txn, node);
  }
  if (node->probe != 0 && !rejoin_locked(txn, node->probe, &node->is_probe_cancelled)) node->probe = 0;
  node->change++;
  node->probe_at_us = node->look_at_us = 0; /* timers that came due meanwhile are lost */
  cox_registry_insert_locked(&txn->broker->registry, node);
  cox_lease_push_locked(txn->broker, node);
}

/* A registration: the node goes as if it never was. Its number stays held back when its machine may have been told it. */
static void unregister_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_registry *const registry = &txn->broker->registry;
  struct cox_node *const node = change->node;
  const bool was_used = node->attempts > 0 || node->flight.attempt != 0;
  cox_lease_push_removed_locked(txn->broker, node);
  cox_registry_remove_locked(&txn->broker->registry, node);
  if (!was_used) registry->num_freed_at[node->num] = change->freed_at;
  if (change->freed_at != INT64_MIN && (size_t)node->num >= registry->num_count) registry->num_count = (size_t)node->num + 1;
  change->fresh = node; /* freed with the transaction */
  change->node = NULL;
}

static void undo_config_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = change->node;
  SWAP(json_t *, node->config, change->config);
  const uint64_t poc = cox_node_url_hash(node->config, true), inference = cox_node_url_hash(node->config, false);
  if (poc != node->url_hash || inference != node->inference_hash) {
    cox_registry_move_locked(&txn->broker->registry, node, poc, inference);
  }
  if (!change->has_forgotten) return;
  SWAP(struct cox_target *, node->applied, change->old_applied);
  SWAP(json_t *, node->memory, change->old_memory);
  node->generation++; /* an attempt to the other machine must not count for this one */
  node->failures = 0;
  node->next_at_us = 0;
  node->unanswered.call[0] = '\0';
  unsettle_locked(txn, node);
}

static void undo_change_locked(struct cox_txn *txn, struct cox_change *change) COX_REQUIRES(LOCK) {
  struct cox_node *const node = change->node;
  if (change->is_new) {
    unregister_locked(txn, change);
    return;
  }
  if (change->has_target && node->generation == change->generation) { /* else somebody has decided anew since */
    SWAP(struct cox_target *, node->target, change->target);
    node->drain_until_us = change->drain_until_us;
    node->generation++;
    node->failures = 0;
    node->next_at_us = 0;
  }
  if (change->has_admin) SWAP(struct cox_admin, node->admin, change->admin);
  if (change->has_config) undo_config_locked(txn, change);
  node->change++;
  cox_lease_push_locked(txn->broker, node);
  cox_registry_mark_locked(&txn->broker->registry, node);
}

void cox_txn_undo(struct cox_txn *txn) {
  cox_rwlock_write(&LOCK);
  for (struct cox_change *change = txn->last; change != NULL; change = change->prev) {
    if (!change->is_removed && change->node != NULL) undo_change_locked(txn, change);
  }
  for (struct cox_change *change = txn->last; change != NULL; change = change->prev) {
    if (change->is_removed) restore_locked(txn, change);
  }
  cox_rwlock_write_unlock(&LOCK);
}
