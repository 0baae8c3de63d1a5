/* The fleet as JSON text, written without making values first: for 10 000 nodes those are a million allocations. The same,
 * byte for byte, as snapshot.c's values give when they are dumped compactly: a spec compares them, so what is added there
 * is added here.                                                                                                          */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "core/condition.h"
#include "core/json_text.h"
#include "core/snapshot.h"

enum { NODES_A_TURN = 512 /* then others may have the processor: the loops go first */, NODE_BYTES = 2048 };

/* One object being written. Every function below adds nothing once something failed. */
struct out {
  struct cox_buf *buf;
  bool is_whole, is_first;
  size_t config_start, config_end; /* of the last node's configuration, without its closing bracket */
};

static void raw(struct out *out, const char *text, size_t len) { out->is_whole = out->is_whole && cox_buf_add(out->buf, text, len); }
static void literal(struct out *out, const char *text) { raw(out, text, strlen(text)); }

/* Our own keys need no escapes. In one piece: there are fifty of them in each node. */
static void key(struct out *out, const char *name) {
  const size_t len = strlen(name);
  char *const start = out->is_whole ? cox_buf_room(out->buf, len + 4) : NULL, *at = start;
  out->is_whole = start != NULL;
  if (start == NULL) return;
  if (!out->is_first) *at++ = ',';
  out->is_first = false;
  *at++ = '"';
  memcpy(at, name, len);
  memcpy(at + len, "\":", 2);
  cox_buf_grow(out->buf, (size_t)(at - start) + len + 2);
}

static void open(struct out *out) {
  raw(out, "{", 1);
  out->is_first = true;
}

static void close(struct out *out) {
  raw(out, "}", 1);
  out->is_first = false;
}

static void value(struct out *out, const json_t *json) { out->is_whole = out->is_whole && cox_json_add(out->buf, json); }

static void text(struct out *out, const char *name, const char *words) {
  key(out, name);
  out->is_whole = out->is_whole && cox_json_add_text(out->buf, words, strlen(words));
}

static void integer(struct out *out, const char *name, int64_t number) {
  key(out, name);
  out->is_whole = out->is_whole && cox_json_add_integer(out->buf, number);
}

static void truth(struct out *out, const char *name, bool is_true) {
  key(out, name);
  literal(out, is_true ? "true" : "false");
}

static void optional(struct out *out, const char *name, const json_t *json) {
  if (json == NULL) return;
  key(out, name);
  value(out, json);
}

static void moment(struct out *out, const char *name, int64_t ms) {
  if (ms == 0) return;
  char words[COX_CLOCK_TEXT];
  cox_clock_format(ms, words);
  text(out, name, words);
}

/* An object with more behind its last key. */
static void open_copy(struct out *out, const json_t *object) {
  value(out, object);
  if (!out->is_whole) return;
  out->buf->data[--out->buf->len] = '\0';
  out->is_first = json_object_size(object) == 0;
}

static void add_target(struct out *out, const char *name, const struct cox_target *target) {
  key(out, name);
  open(out);
  for (enum cox_target_param i = 0; i < COX_TARGET_PARAMS; i++) {
    if (target->params[i] != NULL) optional(out, cox_target_param_name(i), target->params[i]);
  }
  text(out, "status", cox_status_name(target->status));
  if (target->status == COX_STATUS_POC) text(out, "poc", cox_poc_name(target->poc));
  if (target->drain_s > 0) {
    json_t *const drain_s = json_real(target->drain_s);
    optional(out, "drain_s", drain_s);
    json_decref(drain_s);
  }
  close(out);
}

/* What was just written between the two places, once more: a node that is what it should be has one target for both. */
static void add_again(struct out *out, const char *name, size_t start, size_t end) {
  key(out, name);
  char *const room = out->is_whole ? cox_buf_room(out->buf, end - start) : NULL;
  out->is_whole = room != NULL;
  if (room == NULL) return;
  memcpy(room, out->buf->data + start, end - start);
  cox_buf_grow(out->buf, end - start);
}

static void add_flight(struct out *out, const struct cox_node *node) {
  const struct cox_in_flight *const flight = &node->flight;
  key(out, "reconcile_info");
  open(out);
  text(out, "status", cox_status_name(flight->target->status));
  text(out, "poc_status", cox_poc_name(flight->target->poc));
  integer(out, "attempt", (int64_t)flight->attempt);
  integer(out, "generation", (int64_t)flight->generation);
  moment(out, "started_at", flight->started_ms);
  moment(out, "deadline_at", flight->started_ms + (flight->deadline_us - flight->started_us) / 1000);
  if (flight->is_cancelled) truth(out, "cancelled", true);
  optional(out, "note", flight->note);
  close(out);
}

static void add_note(struct out *out, const struct cox_attempt_note *note) {
  open(out);
  integer(out, "attempt", (int64_t)note->attempt);
  text(out, "status", cox_status_name(note->status));
  text(out, "poc_status", cox_poc_name(note->poc));
  text(out, "outcome", note->class_ == COX_CLASS_NONE ? "succeeded" : cox_class_name(note->class_));
  optional(out, "error", note->error);
  if (note->is_outdated) truth(out, "outdated", true);
  moment(out, "started_at", note->started_ms);
  integer(out, "duration_ms", note->duration_ms);
  close(out);
}

static void add_notes(struct out *out, const struct cox_node *node) {
  key(out, "attempts");
  raw(out, "[", 1);
  for (uint64_t i = 0; i < COX_NODE_NOTES && i < node->attempts; i++) {
    if (i > 0) raw(out, ",", 1);
    add_note(out, &node->notes[(node->attempts - 1 - i) % COX_NODE_NOTES]);
  }
  raw(out, "]", 1);
}

static void add_lease(struct out *out, const struct cox_node *node, const struct cox_snapshot *snapshot) {
  const struct cox_lease_look *const lease = cox_snapshot_lease(node, snapshot);
  char words[96];
  key(out, "lease");
  open(out);
  truth(out, "eligible", lease->is_serving && !lease->is_ejected);
  text(out, "why", cox_snapshot_why(lease, snapshot, words, sizeof words));
  integer(out, "leases", lease->count);
  if (!lease->is_serving && lease->count > 0) truth(out, "draining", true);
  close(out);
}

static void add_explain(struct out *out, const struct cox_node *node, const struct cox_snapshot *snapshot) {
  char words[128];
  key(out, "explain");
  open(out);
  size_t start = 0, end = 0;
  if (node->target != NULL) {
    start = out->buf->len + sizeof "\"target\":" - 1;
    add_target(out, "target", node->target);
    end = out->buf->len;
    if (node->target->reason != NULL) optional(out, "reason", node->target->reason);
  }
  text(out, "doing", cox_snapshot_doing(node, snapshot, words, sizeof words));
  truth(out, "settled", node->is_settled);
  add_lease(out, node, snapshot);
  if (node->applied != NULL && node->applied == node->target) add_again(out, "applied", start, end);
  else if (node->applied != NULL) add_target(out, "applied", node->applied);
  optional(out, "last_failure", node->last_failure);
  if (node->unanswered.call[0] != '\0') {
    text(out, "unanswered", node->unanswered.call);
    moment(out, "unanswered_at", node->unanswered.at_ms);
  }
  close(out);
}

static void add_admin(struct out *out, const struct cox_node *node) {
  key(out, "admin_state");
  open(out);
  truth(out, "enabled", node->admin.is_enabled);
  integer(out, "epoch", node->admin.epoch);
  optional(out, "reason", node->admin.reason);
  optional(out, "actor", node->admin.actor);
  moment(out, "expires_at", node->admin.expires_ms);
  close(out);
}

/* {<model id>: {…}}: a model that comes twice counts once, with its last value in its first place. */
static void add_epoch_models(struct out *out, const struct cox_node *node, const struct cox_snapshot *snapshot) {
  const json_t *const list = json_object_get(json_object_get(snapshot->world, "epoch_models"), cox_node_id(node));
  key(out, "epoch_models");
  if (json_array_size(list) == 0) {
    literal(out, "{}");
    return;
  }
  json_t *const models = json_object();
  size_t i;
  json_t *model;
  json_array_foreach(list, i, model) {
    const char *const id = json_string_value(json_object_get(model, "id"));
    if (id != NULL) json_object_set(models, id, model);
  }
  value(out, models);
  json_decref(models);
}

static void add_statuses(struct out *out, const struct cox_node *node) {
  const struct cox_target *const target = node->target;
  text(out, "intended_status", cox_status_name(target ? target->status : COX_STATUS_UNKNOWN));
  text(out, "current_status", cox_status_name(node->current));
  text(out, "poc_intended_status", cox_poc_name(target ? target->poc : COX_POC_IDLE));
  text(out, "poc_current_status", cox_poc_name(node->current_poc));
}

static void add_state(struct out *out, const struct cox_node *node, const struct cox_snapshot *snapshot) {
  open(out);
  add_statuses(out, node);
  if (node->flight.attempt != 0) add_flight(out, node);
  integer(out, "lock_count", cox_snapshot_lease(node, snapshot)->count);
  if (node->failure_reason != NULL) optional(out, "failure_reason", node->failure_reason);
  else text(out, "failure_reason", "");
  moment(out, "status_timestamp", node->status_at_ms);
  moment(out, "checked_at", node->checked_at_ms);
  add_admin(out, node);
  if (node->target != NULL && node->target->status == COX_STATUS_TRAINING) {
    optional(out, "training_task", node->target->params[COX_TARGET_TASK]);
  }
  add_epoch_models(out, node, snapshot);
  key(out, "epoch_ml_nodes");
  literal(out, "{}");
  integer(out, "generation", (int64_t)node->generation);
  integer(out, "registration", (int64_t)node->registration);
  add_notes(out, node);
  if (node->next_at_us > snapshot->now_us) moment(out, "next_attempt_at", node->next_at_ms);
  add_explain(out, node, snapshot);
  close(out);
}

static void add_node(struct out *out, const struct cox_node *node, const struct cox_snapshot *snapshot) {
  open(out);
  key(out, "node");
  out->config_start = out->buf->len;
  open_copy(out, node->config);
  out->config_end = out->buf->len;
  integer(out, "node_num", node->num);
  close(out);
  key(out, "state");
  add_state(out, node, snapshot);
  close(out);
}

bool cox_broker_has_node(struct cox_broker *broker, const char *id) {
  cox_rwlock_read(&broker->registry.lock);
  const bool is_known = cox_registry_find(&broker->registry, id) != NULL;
  cox_rwlock_read_unlock(&broker->registry.lock);
  return is_known;
}

int cox_broker_nodes_text(struct cox_broker *broker, struct cox_buf *buf) {
  struct cox_snapshot snapshot;
  if (!cox_snapshot_take(broker, NULL, &snapshot)) return COX_ENOMEM;
  struct out out = {.buf = buf, .is_whole = true};
  raw(&out, "[", 1);
  for (size_t i = 0; i < snapshot.count && out.is_whole; i++) {
    if (i > 0) raw(&out, ",", 1);
    add_node(&out, &snapshot.nodes[i], &snapshot);
    if (i % NODES_A_TURN == NODES_A_TURN - 1) sched_yield();
  }
  raw(&out, "]", 1);
  cox_snapshot_release(&snapshot);
  return out.is_whole ? 0 : COX_ENOMEM;
}

int cox_broker_node_text(struct cox_broker *broker, const char *id, struct cox_buf *buf, char tag[COX_TAG_MAX]) {
  struct cox_snapshot snapshot;
  if (!cox_snapshot_take(broker, id, &snapshot)) return COX_ENOMEM;
  struct out out = {.buf = buf, .is_whole = true};
  const bool is_known = snapshot.count > 0;
  if (is_known) {
    cox_buf_room(buf, NODE_BYTES); /* most nodes then fit without moving */
    add_node(&out, &snapshot.nodes[0], &snapshot);
    cox_node_tag_of(&snapshot.nodes[0], buf->data + out.config_start, out.config_end - out.config_start, tag);
  }
  cox_snapshot_release(&snapshot);
  if (!is_known) return COX_ENOENT;
  return out.is_whole ? 0 : COX_ENOMEM;
}
