#include "core/shadow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/snapshot.h"
#include "core/txn_private.h"

#define LOCK broker->registry.lock

/* The part of a broker that transactions read; nothing of it runs. */
struct cox_shadow {
  struct cox_broker copy;
  struct cox_txn txn;
  bool has_txn;
};

/* What snapshots leave out. */
static void copy_history(struct cox_broker *broker, struct cox_registry *copy) {
  cox_rwlock_read(&LOCK);
  memcpy(copy->blocks, broker->registry.blocks, sizeof copy->blocks);
  copy->block_next = broker->registry.block_next;
  copy->episode = broker->registry.episode;
  copy->episodes = broker->registry.episodes;
  cox_rwlock_read_unlock(&LOCK);
}

/* Moves the snapshot's nodes over. False: out of memory; what was not moved is still the snapshot's. */
static bool take_nodes(struct cox_registry *registry, struct cox_snapshot *snapshot) {
  size_t nums = 0;
  for (size_t i = 0; i < snapshot->count; i++) {
    if ((size_t)snapshot->nodes[i].num >= nums) nums = (size_t)snapshot->nodes[i].num + 1;
  }
  if (cox_registry_reserve(registry, nums) != 0) return false;
  while (snapshot->count > 0) {
    struct cox_node *const node = malloc(sizeof *node);
    if (node == NULL) return false;
    *node = snapshot->nodes[--snapshot->count];
    node->lease = NULL;
    node->next_by_id = node->next_by_registration = node->next_by_url = node->next_by_inference = NULL;
    node->dirty_prev = node->dirty_next = NULL;
    node->is_dirty = false;
    cox_rwlock_write(&registry->lock);
    cox_registry_insert_locked(registry, node);
    cox_rwlock_write_unlock(&registry->lock);
  }
  return true;
}

struct cox_shadow *cox_shadow_create(struct cox_broker *broker) {
  struct cox_shadow *const shadow = calloc(1, sizeof *shadow);
  struct cox_snapshot snapshot;
  if (shadow == NULL || cox_registry_init(&shadow->copy.registry, 1) != 0) {
    free(shadow);
    return NULL;
  }
  struct cox_broker *const copy = &shadow->copy;
  copy->options.clock = broker->options.clock;
  copy->options.participant = json_incref(broker->options.participant);
  copy->callback_url = json_incref(broker->callback_url);
  if (!cox_snapshot_take(broker, NULL, &snapshot)) {
    cox_shadow_destroy(shadow);
    return NULL;
  }
  copy_history(broker, &copy->registry);
  copy->registry.world = json_incref(snapshot.world);
  const bool is_whole = take_nodes(&copy->registry, &snapshot);
  cox_snapshot_release(&snapshot);
  if (is_whole) return shadow;
  cox_shadow_destroy(shadow);
  return NULL;
}

void cox_shadow_destroy(struct cox_shadow *shadow) {
  if (shadow == NULL) return;
  if (shadow->has_txn) cox_shadow_end(shadow);
  cox_registry_fini(&shadow->copy.registry);
  json_decref(shadow->copy.options.participant);
  json_decref(shadow->copy.callback_url);
  free(shadow);
}

json_t *cox_shadow_world(struct cox_shadow *shadow) { return shadow->copy.registry.world; }

void cox_shadow_set_world(struct cox_shadow *shadow, json_t *world) {
  json_decref(shadow->copy.registry.world);
  shadow->copy.registry.world = world;
}

struct cox_txn *cox_shadow_begin(struct cox_shadow *shadow) {
  assert(!shadow->has_txn);
  cox_txn_init(&shadow->txn, &shadow->copy);
  shadow->has_txn = true;
  return &shadow->txn;
}

void cox_shadow_end(struct cox_shadow *shadow) {
  cox_txn_fini(&shadow->txn);
  shadow->has_txn = false;
}
