/* What readers see: references are copied under the read lock, everything is rendered outside of it. */
#include "core/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"

#define LOCK broker->registry.lock

static void copy_locked(struct cox_broker *broker, const struct cox_node *node, struct cox_snapshot *snapshot)
    COX_REQUIRES_SHARED(LOCK) {
  (void)broker;
  struct cox_node *const copy = &snapshot->nodes[snapshot->count++];
  *copy = *node;
  cox_node_hold_parts(copy);
}

static void begin_locked(struct cox_broker *broker, struct cox_snapshot *snapshot) COX_REQUIRES_SHARED(LOCK) {
  snapshot->world = json_incref(broker->registry.world);
  snapshot->is_armed = broker->registry.is_armed;
}

/* Under the registry's lock, so that each node is there. */
static void look_at_leases_locked(struct cox_broker *broker, struct cox_snapshot *snapshot) COX_REQUIRES_SHARED(LOCK) {
  struct cox_lease_node *nodes[256];
  for (size_t i = 0; i < snapshot->count;) {
    size_t count = 0;
    for (; count < 256 && i + count < snapshot->count; count++) nodes[count] = snapshot->nodes[i + count].lease;
    cox_lease_look(broker, nodes, count, &snapshot->leases[i]);
    i += count;
  }
}

bool cox_snapshot_take(struct cox_broker *broker, const char *id, struct cox_snapshot *snapshot) {
  *snapshot = (struct cox_snapshot){.now_us = cox_clock_mono_us(broker->options.clock)};
  size_t capacity = 1;
  for (;;) {
    snapshot->nodes = malloc(capacity * sizeof *snapshot->nodes);
    snapshot->leases = malloc(capacity * sizeof *snapshot->leases);
    if (snapshot->nodes == NULL || snapshot->leases == NULL) {
      free(snapshot->nodes);
      free(snapshot->leases);
      return false;
    }
    cox_rwlock_read(&LOCK);
    const struct cox_registry *const registry = &broker->registry;
    const size_t count = registry->count;
    if (id != NULL || count <= capacity) {
      begin_locked(broker, snapshot);
      const struct cox_node *const one = id != NULL ? cox_registry_find(registry, id) : NULL;
      if (one != NULL) copy_locked(broker, one, snapshot);
      for (size_t i = 0; id == NULL && i < registry->num_count; i++) {
        if (registry->by_num[i] != NULL) copy_locked(broker, registry->by_num[i], snapshot);
      }
      look_at_leases_locked(broker, snapshot);
      cox_rwlock_read_unlock(&LOCK);
      return true;
    }
    if (!cox_fault("snapshot.forgets_unlock")) cox_rwlock_read_unlock(&LOCK);
    free(snapshot->nodes);
    free(snapshot->leases);
    capacity = count + count / 8;
  }
}

void cox_snapshot_release(struct cox_snapshot *snapshot) {
  for (size_t i = 0; i < snapshot->count; i++) cox_node_release_parts(&snapshot->nodes[i]);
  free(snapshot->nodes);
  free(snapshot->leases);
  json_decref(snapshot->world);
}

static void set_time(json_t *object, const char *key, int64_t ms) {
  if (ms == 0) return;
  char text[COX_CLOCK_TEXT];
  cox_clock_format(ms, text);
  json_object_set_new(object, key, json_string(text));
}

static void set_text(json_t *object, const char *key, json_t *text) {
  if (text != NULL) json_object_set(object, key, text);
}

static json_t *flight_json(const struct cox_node *node) {
  const struct cox_in_flight *const flight = &node->flight;
  json_t *const object = json_object();
  json_object_set_new(object, "status", json_string(cox_status_name(flight->target->status)));
  json_object_set_new(object, "poc_status", json_string(cox_poc_name(flight->target->poc)));
  json_object_set_new(object, "attempt", json_integer((json_int_t)flight->attempt));
  json_object_set_new(object, "generation", json_integer((json_int_t)flight->generation));
  set_time(object, "started_at", flight->started_ms);
  set_time(object, "deadline_at", flight->started_ms + (flight->deadline_us - flight->started_us) / 1000);
  if (flight->is_cancelled) json_object_set_new(object, "cancelled", json_true());
  set_text(object, "note", flight->note);
  return object;
}

static json_t *note_json(const struct cox_attempt_note *note) {
  json_t *const object = json_object();
  json_object_set_new(object, "attempt", json_integer((json_int_t)note->attempt));
  json_object_set_new(object, "status", json_string(cox_status_name(note->status)));
  json_object_set_new(object, "poc_status", json_string(cox_poc_name(note->poc)));
  json_object_set_new(object, "outcome", json_string(note->class_ == COX_CLASS_NONE ? "succeeded" : cox_class_name(note->class_)));
  set_text(object, "error", note->error);
  if (note->is_outdated) json_object_set_new(object, "outdated", json_true());
  set_time(object, "started_at", note->started_ms);
  json_object_set_new(object, "duration_ms", json_integer(note->duration_ms));
  return object;
}

/* Newest first. */
static json_t *notes_json(const struct cox_node *node) {
  json_t *const list = json_array();
  for (uint64_t i = 0; i < COX_NODE_NOTES && i < node->attempts; i++) {
    json_array_append_new(list, note_json(&node->notes[(node->attempts - 1 - i) % COX_NODE_NOTES]));
  }
  return list;
}

const struct cox_lease_look *cox_snapshot_lease(const struct cox_node *node, const struct cox_snapshot *snapshot) {
  return &snapshot->leases[node - snapshot->nodes];
}

const char *cox_snapshot_why(const struct cox_lease_look *lease, const struct cox_snapshot *snapshot, char *text, size_t size) {
  if (lease->is_ejected) {
    snprintf(text, size, "ejected after failed requests, for another %.1f s", (double)(lease->ejected_us - snapshot->now_us) / 1e6);
    return text;
  }
  if (lease->is_half) return "ejected after failed requests: one trial request at a time";
  if (lease->is_serving && lease->count >= lease->max) return "full";
  if (lease->is_serving && lease->warmth < 10) return "it serves, and gets less for a moment because it just became ready";
  return cox_lease_bar_text(lease->bar);
}

static json_t *lease_json(const struct cox_lease_look *lease, const struct cox_snapshot *snapshot) {
  json_t *const object = json_object();
  char text[96];
  json_object_set_new(object, "eligible", json_boolean(lease->is_serving && !lease->is_ejected));
  json_object_set_new(object, "why", json_string(cox_snapshot_why(lease, snapshot, text, sizeof text)));
  json_object_set_new(object, "leases", json_integer(lease->count));
  if (!lease->is_serving && lease->count > 0) json_object_set_new(object, "draining", json_true());
  return object;
}

const char *cox_snapshot_doing(const struct cox_node *node, const struct cox_snapshot *snapshot, char *text, size_t size) {
  if (node->flight.attempt != 0) {
    snprintf(text, size, "attempt %llu is under way", (unsigned long long)node->flight.attempt);
    return text;
  }
  if (node->target == NULL) return "nothing is intended yet: no command has set a target";
  if (cox_node_is_converged(node)) return "nothing to do: it is what it should be";
  if (!snapshot->is_armed) return "waiting for the first block that is accepted as synced before any attempt starts";
  if (!cox_node_needs_attempt(node)) return "probes cannot reach it: waiting for it to answer";
  if (node->drain_until_us > snapshot->now_us && cox_snapshot_lease(node, snapshot)->count > 0) {
    snprintf(text, size, "draining: %u leases, at most another %.1f s", (unsigned)cox_snapshot_lease(node, snapshot)->count,
             (double)(node->drain_until_us - snapshot->now_us) / 1e6);
    return text;
  }
  if (node->next_at_us > snapshot->now_us) {
    snprintf(text, size, "waiting %.1f s after %u failed attempt%s", (double)(node->next_at_us - snapshot->now_us) / 1e6,
             node->failures, node->failures == 1 ? "" : "s");
    return text;
  }
  return "an attempt starts at once, or when the machine's last call has ended";
}

static json_t *explain_json(const struct cox_node *node, const struct cox_snapshot *snapshot) {
  json_t *const object = json_object();
  char text[128];
  if (node->target != NULL) {
    json_object_set_new(object, "target", cox_target_json(node->target, false));
    if (node->target->reason != NULL) json_object_set(object, "reason", node->target->reason);
  }
  json_object_set_new(object, "doing", json_string(cox_snapshot_doing(node, snapshot, text, sizeof text)));
  json_object_set_new(object, "settled", json_boolean(node->is_settled));
  json_object_set_new(object, "lease", lease_json(cox_snapshot_lease(node, snapshot), snapshot));
  if (node->applied != NULL) json_object_set_new(object, "applied", cox_target_json(node->applied, false));
  set_text(object, "last_failure", node->last_failure);
  if (node->unanswered.call[0] != '\0') {
    json_object_set_new(object, "unanswered", json_string(node->unanswered.call));
    set_time(object, "unanswered_at", node->unanswered.at_ms);
  }
  return object;
}

static json_t *admin_json(const struct cox_node *node) {
  json_t *const object = json_object();
  cox_admin_write(&node->admin, object);
  return object;
}

/* {<model id>: {"id","model_args"}}, as the network's own tools show it. */
static json_t *epoch_models_json(const struct cox_node *node, json_t *world) {
  json_t *const models = json_object();
  size_t i;
  json_t *model;
  json_array_foreach(json_object_get(json_object_get(world, "epoch_models"), cox_node_id(node)), i, model) {
    const char *const id = json_string_value(json_object_get(model, "id"));
    if (id != NULL) json_object_set(models, id, model);
  }
  return models;
}

static void set_statuses(json_t *state, const struct cox_node *node) {
  const struct cox_target *const target = node->target;
  json_object_set_new(state, "intended_status", json_string(cox_status_name(target ? target->status : COX_STATUS_UNKNOWN)));
  json_object_set_new(state, "current_status", json_string(cox_status_name(node->current)));
  json_object_set_new(state, "poc_intended_status", json_string(cox_poc_name(target ? target->poc : COX_POC_IDLE)));
  json_object_set_new(state, "poc_current_status", json_string(cox_poc_name(node->current_poc)));
}

static json_t *state_json(const struct cox_node *node, const struct cox_snapshot *snapshot) {
  json_t *const state = json_object();
  set_statuses(state, node);
  if (node->flight.attempt != 0) json_object_set_new(state, "reconcile_info", flight_json(node));
  json_object_set_new(state, "lock_count", json_integer(cox_snapshot_lease(node, snapshot)->count));
  json_object_set_new(state, "failure_reason", node->failure_reason ? json_incref(node->failure_reason) : json_string(""));
  set_time(state, "status_timestamp", node->status_at_ms);
  set_time(state, "checked_at", node->checked_at_ms);
  json_object_set_new(state, "admin_state", admin_json(node));
  if (node->target != NULL && node->target->status == COX_STATUS_TRAINING) {
    set_text(state, "training_task", node->target->params[COX_TARGET_TASK]);
  }
  json_object_set_new(state, "epoch_models", epoch_models_json(node, snapshot->world));
  json_object_set_new(state, "epoch_ml_nodes", json_object());
  json_object_set_new(state, "generation", json_integer((json_int_t)node->generation));
  json_object_set_new(state, "registration", json_integer((json_int_t)node->registration));
  json_object_set_new(state, "attempts", notes_json(node));
  if (node->next_at_us > snapshot->now_us) set_time(state, "next_attempt_at", node->next_at_ms);
  json_object_set_new(state, "explain", explain_json(node, snapshot));
  return state;
}

static json_t *node_json(const struct cox_node *node, const struct cox_snapshot *snapshot) {
  json_t *const config = json_copy(node->config);
  json_object_set_new(config, "node_num", json_integer(node->num));
  json_t *const object = json_object();
  json_object_set_new(object, "node", config);
  json_object_set_new(object, "state", state_json(node, snapshot));
  return object;
}

json_t *cox_broker_nodes_json(struct cox_broker *broker) {
  struct cox_snapshot snapshot;
  json_t *const list = json_array();
  if (!cox_snapshot_take(broker, NULL, &snapshot)) return list;
  for (size_t i = 0; i < snapshot.count; i++) json_array_append_new(list, node_json(&snapshot.nodes[i], &snapshot));
  cox_snapshot_release(&snapshot);
  return list;
}

json_t *cox_broker_nodes_slice_json(struct cox_broker *broker, int *next, size_t max) {
  json_t *const list = json_array();
  struct cox_snapshot snapshot = {.now_us = cox_clock_mono_us(broker->options.clock)};
  snapshot.nodes = malloc(max * sizeof *snapshot.nodes);
  snapshot.leases = malloc(max * sizeof *snapshot.leases);
  if (snapshot.nodes == NULL || snapshot.leases == NULL) {
    cox_snapshot_release(&snapshot);
    return list;
  }
  cox_rwlock_read(&LOCK);
  begin_locked(broker, &snapshot);
  size_t num = *next > 0 ? (size_t)*next : 0;
  for (; num < broker->registry.num_count && snapshot.count < max; num++) {
    if (broker->registry.by_num[num] != NULL) copy_locked(broker, broker->registry.by_num[num], &snapshot);
  }
  look_at_leases_locked(broker, &snapshot);
  cox_rwlock_read_unlock(&LOCK);
  *next = (int)num;
  for (size_t i = 0; i < snapshot.count; i++) json_array_append_new(list, node_json(&snapshot.nodes[i], &snapshot));
  cox_snapshot_release(&snapshot);
  return list;
}

json_t *cox_broker_node_json(struct cox_broker *broker, const char *id) {
  struct cox_snapshot snapshot;
  if (!cox_snapshot_take(broker, id, &snapshot)) return NULL;
  json_t *const object = snapshot.count > 0 ? node_json(&snapshot.nodes[0], &snapshot) : NULL;
  cox_snapshot_release(&snapshot);
  return object;
}

json_t *cox_broker_world_json(struct cox_broker *broker) {
  cox_rwlock_read(&LOCK);
  json_t *const world = json_incref(broker->registry.world);
  cox_rwlock_read_unlock(&LOCK);
  return world != NULL ? world : json_object();
}

void cox_broker_stats(struct cox_broker *broker, struct cox_stats *out) {
  const struct cox_counters *const counters = &broker->counters;
  *out = (struct cox_stats){
      .stale_results = atomic_load(&counters->stale_results),
      .cancels = atomic_load(&counters->cancels),
      .attempts_started = atomic_load(&counters->attempts_started),
      .attempts_succeeded = atomic_load(&counters->attempts_succeeded),
      .attempts_failed = atomic_load(&counters->attempts_failed),
      .probes = atomic_load(&counters->probes),
      .commands = atomic_load(&counters->commands),
      .unstored_records = atomic_load(&broker->ledger.lost_total),
      .is_degraded = cox_broker_is_degraded(broker, NULL),
  };
  cox_rwlock_read(&LOCK);
  const struct cox_registry *const registry = &broker->registry;
  out->nodes = registry->count;
  out->in_flight = registry->in_flight;
  for (size_t i = 0; i < registry->num_count; i++) {
    if (registry->by_num[i] != NULL) out->converged += cox_node_is_converged(registry->by_num[i]);
  }
  cox_rwlock_read_unlock(&LOCK);
  for (int p = 0; p < COX_PRIORITY_COUNT; p++) out->queue_depth[p] = cox_commands_depth(&broker->commands, (enum cox_priority)p);
}
