/* From the registry to the leases: what a node may be leased for, told only when it changed.
 *
 * Who calls these holds the registry's lock, so they do not nap for the pool's: among four threads that lease all the time, one push in
 * a hundred took ten milliseconds in naps, and everybody who waits for the registry with it.                                           */
#include "core/lease_push.h"

#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "core/lease_private.h"
#include "core/node_config.h"

#define LOCK broker->registry.lock

enum { MAX_CONCURRENT = 1 << 28 /* what the pick's arithmetic holds */ };

/* What holds now. */
struct view {
  enum cox_lease_bar bar;
  const char *model; /* with COX_BAR_NONE; borrowed */
  bool is_draining;
};

static const char *model_of(const struct cox_target *target) { return json_string_value(target->params[COX_TARGET_MODEL]); }

/* After a start, until the first synced block: a stored intent is believed when a probe saw it fulfilled. */
static enum cox_lease_bar bar_unarmed(const struct cox_node *node) {
  if (!node->admin.is_enabled) return COX_BAR_DISABLED;
  return node->is_ready && node->serves_target ? COX_BAR_NONE : COX_BAR_NOT_SEEN;
}

static enum cox_lease_bar bar_of(const struct cox_node *node, bool is_armed) {
  if (node->target == NULL) return COX_BAR_NO_TARGET;
  if (node->target->status != COX_STATUS_INFERENCE) return COX_BAR_INTENT;
  if (node->flight.attempt != 0) return COX_BAR_ATTEMPT;
  if (node->failed_by != COX_FAILED_NOT) return COX_BAR_FAILED;
  if (cox_node_is_converged(node)) return COX_BAR_NONE;
  return is_armed ? COX_BAR_UNSETTLED : bar_unarmed(node);
}

static struct view view_of(const struct cox_node *node, bool is_armed) {
  struct view view = {.bar = bar_of(node, is_armed), .is_draining = node->drain_until_us != 0};
  if (view.bar == COX_BAR_NONE) view.model = model_of(node->target);
  if (view.bar == COX_BAR_NONE && view.model == NULL) view.bar = COX_BAR_NO_MODEL;
  return view;
}

static bool is_known(const struct cox_lease_node *lease, const struct view *view, const json_t *config) {
  if (lease->bar != view->bar || lease->is_draining != view->is_draining || lease->place->config != config) return false;
  return view->bar != COX_BAR_NONE || (lease->is_serving && strcmp(lease->group->model->name, view->model) == 0);
}

/* NULL: out of memory. */
static struct cox_lease_node *make_locked(struct cox_leases *leases, const struct cox_node *node) COX_REQUIRES(COX_POOL) {
  struct cox_lease_place *const place = cox_lease_place_create_locked(leases, node->config);
  struct cox_lease_node *const lease = place != NULL ? cox_lease_node_alloc_locked(leases) : NULL;
  if (lease == NULL) {
    cox_lease_place_release(place);
    return NULL;
  }
  lease->place = place;
  lease->id_text = json_incref(node->id);
  lease->id_hash = node->id_hash;
  lease->registration = node->registration;
  lease->warmth = COX_LEASE_WARM_STEPS;
  lease->bar = COX_BAR_NO_TARGET;
  if (cox_index_add_locked(leases, lease)) return lease;
  cox_lease_node_free_locked(leases, lease);
  return NULL;
}

static uint32_t max_of(const json_t *config) {
  const json_int_t max = json_integer_value(json_object_get(config, "max_concurrent"));
  return max < MAX_CONCURRENT ? (uint32_t)max : MAX_CONCURRENT;
}

/* The new configuration's addresses and limit; leases that were given keep the old ones. */
static void configure_locked(struct cox_leases *leases, struct cox_lease_node *lease, json_t *config) COX_REQUIRES(COX_POOL) {
  lease->max = max_of(config);
  if (lease->place->config == config) return;
  struct cox_lease_place *const place = cox_lease_place_create_locked(leases, config);
  if (place == NULL) return; /* the old address until something changes again: no worse than a lease from a moment ago */
  cox_lease_place_release(lease->place);
  lease->place = place;
}

static void tell_locked(struct cox_leases *leases, struct cox_lease_node *lease, const struct view *view, json_t *config, int64_t now_us)
    COX_REQUIRES(COX_POOL) {
  const bool was_serving = lease->is_serving;
  struct cox_lease_model *const before = was_serving ? lease->group->model : NULL;
  const bool serves = view->bar == COX_BAR_NONE;
  const bool is_same = was_serving && serves && strcmp(before->name, view->model) == 0;
  if (was_serving && !is_same) cox_health_forget_locked(leases, lease);
  if (was_serving) cox_index_serve_locked(leases, lease, false);
  configure_locked(leases, lease, config);
  lease->bar = (uint8_t)view->bar;
  lease->is_draining = view->is_draining;
  if (before != NULL && !is_same) cox_health_check_share_locked(leases, before, now_us);
  if (!serves) return;
  const char *const version = json_string_value(json_object_get(config, "version"));
  if (!cox_index_join_locked(leases, lease, view->model, version)) {
    lease->bar = COX_BAR_UNSETTLED; /* out of memory: the next look at the node tries again */
    if (is_same) cox_health_forget_locked(leases, lease); /* as whenever it stops serving */
    return;
  }
  cox_index_serve_locked(leases, lease, true);
  if (!is_same) cox_health_warm_locked(leases, lease, now_us);
  cox_waits_open_locked(leases, lease->group->model);
}

void cox_lease_push_locked(struct cox_broker *broker, struct cox_node *node) {
  struct cox_leases *const leases = broker->leases;
  const struct view view = view_of(node, broker->registry.is_armed);
  if (node->lease != NULL && is_known(node->lease, &view, node->config)) return;
  const int64_t now_us = cox_clock_mono_us(leases->clock);
  cox_mutex_lock(&leases->mutex);
  if (node->lease == NULL) node->lease = make_locked(leases, node); /* NULL: the next look at the node tries again */
  if (node->lease != NULL) tell_locked(leases, node->lease, &view, node->config, now_us);
  if (leases->warming != NULL && !leases->is_ticking) {
    leases->is_ticking = true;
    atomic_store(&leases->has_work, true);
  }
  cox_mutex_unlock(&leases->mutex);
}

void cox_lease_push_removed_locked(struct cox_broker *broker, struct cox_node *node) {
  struct cox_leases *const leases = broker->leases;
  struct cox_lease_node *const lease = node->lease;
  if (lease == NULL) return;
  node->lease = NULL;
  const int64_t now_us = cox_clock_mono_us(leases->clock);
  cox_mutex_lock(&leases->mutex);
  const struct view gone = {.bar = COX_BAR_NO_TARGET};
  tell_locked(leases, lease, &gone, lease->place->config, now_us);
  cox_health_cool_locked(leases, lease);
  cox_index_part_locked(leases, lease);
  cox_index_remove_locked(leases, lease);
  cox_lease_tally_locked(leases, &leases->active, -(long)lease->count);
  if (lease->count > 0) {
    atomic_store(&lease->is_gone, true);
    cox_lease_tally_locked(leases, &leases->ghosts, 1);
    atomic_store(&leases->has_work, true);
  } else {
    cox_lease_node_free_locked(leases, lease);
  }
  cox_mutex_unlock(&leases->mutex);
}

void cox_lease_look(struct cox_broker *broker, struct cox_lease_node *const *nodes, size_t count, struct cox_lease_look *out) {
  struct cox_leases *const leases = broker->leases;
  cox_mutex_lock(&leases->mutex);
  for (size_t i = 0; i < count; i++) {
    const struct cox_lease_node *const node = nodes[i];
    out[i] = (struct cox_lease_look){.bar = COX_BAR_NO_TARGET};
    if (node == NULL) continue;
    out[i] = (struct cox_lease_look){
        .count = node->count,
        .max = node->max,
        .is_serving = node->is_serving,
        .is_ejected = node->breaker.state == COX_BREAKER_OPEN,
        .is_half = node->breaker.state == COX_BREAKER_HALF,
        .bar = node->bar,
        .ejected_us = node->breaker.until_us,
        .warmth = node->warmth,
    };
  }
  cox_mutex_unlock(&leases->mutex);
}

uint32_t cox_lease_load(struct cox_broker *broker, const struct cox_lease_node *node) {
  if (node == NULL) return 0;
  cox_mutex_lock(&broker->leases->mutex);
  const uint32_t count = node->count;
  cox_mutex_unlock(&broker->leases->mutex);
  return count;
}

static bool names(const json_t *epoch_models, const char *model) {
  const char *id;
  json_t *list, *entry;
  size_t i;
  json_object_foreach((json_t *)epoch_models, id, list) {
    json_array_foreach(list, i, entry) {
      const char *const name = json_string_value(json_object_get(entry, "id"));
      if (name != NULL && strcmp(name, model) == 0) return true;
    }
  }
  return false;
}

bool cox_lease_is_named(struct cox_broker *broker, const char *model) {
  bool is_named = false;
  cox_rwlock_read(&LOCK);
  const struct cox_registry *const registry = &broker->registry;
  for (size_t i = 0; !is_named && i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    is_named = node != NULL && json_object_get(json_object_get(node->config, "models"), model) != NULL;
  }
  json_t *const world = is_named ? NULL : json_incref(registry->world);
  cox_rwlock_read_unlock(&LOCK);
  if (is_named) return true;
  is_named = names(json_object_get(world, "epoch_models"), model); /* the world is immutable */
  json_decref(world);
  return is_named;
}
