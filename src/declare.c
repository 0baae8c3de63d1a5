/* Nodes go in as commands like everybody else's, so that the one writer stays the only one. Thousands of them are sent
 * without waiting for each answer, at most WINDOW at a time, because the command queue is bounded.                      */
#include "declare.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/log.h"

enum { WINDOW = 1024 };

struct wave {
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;   /* an answer came */
  size_t open;
  json_t *applied;
  struct cox_declared *counts;
  struct cox_faults *faults;
};

struct order {
  struct wave *wave;
  const char *command;
  size_t *count; /* of the wave's counts, what a success adds to */
  char *id;
  json_t *entry; /* held; NULL: the node is to be forgotten */
};

static void destroy_order(struct order *order) {
  json_decref(order->entry);
  free(order->id);
  free(order);
}

static void note_applied(struct order *order) {
  if (order->entry != NULL) {
    json_object_set(order->wave->applied, order->id, order->entry);
  } else {
    json_object_del(order->wave->applied, order->id);
  }
}

/* On cox-command. */
static void answered(void *arg, const struct cox_answer *answer) {
  struct order *const order = arg;
  struct wave *const wave = order->wave;
  cox_mutex_lock(&wave->mutex);
  if (answer->outcome == COX_ANSWER_DONE) {
    note_applied(order);
    ++*order->count;
  } else {
    cox_faults_add(wave->faults, NULL, 0, "%s of node %s failed: %s", order->command, order->id,
                   answer->outcome == COX_ANSWER_SKIPPED ? answer->reason : answer->err.text);
  }
  wave->open--;
  cox_cond_signal(&wave->cond);
  cox_mutex_unlock(&wave->mutex);
  destroy_order(order);
}

static void wait_for(struct wave *wave, size_t open_max) {
  cox_mutex_lock(&wave->mutex);
  while (wave->open > open_max) cox_cond_wait(&wave->cond, &wave->mutex);
  cox_mutex_unlock(&wave->mutex);
}

/* Takes `args`. */
static void send_order(struct wave *wave, struct cox_broker *broker, const char *command, size_t *count, const char *id,
                       json_t *args, json_t *entry) {
  struct order *const order = calloc(1, sizeof *order);
  struct cox_err err = {0};
  if (order == NULL || (order->id = strdup(id)) == NULL) {
    free(order);
    json_decref(args);
    cox_mutex_lock(&wave->mutex);
    cox_faults_add(wave->faults, NULL, 0, "%s of node %s failed: out of memory", command, id);
    cox_mutex_unlock(&wave->mutex);
    return;
  }
  order->wave = wave;
  order->command = command;
  order->count = count;
  order->entry = json_incref(entry);
  wait_for(wave, WINDOW - 1);
  cox_mutex_lock(&wave->mutex);
  wave->open++;
  cox_mutex_unlock(&wave->mutex);
  int rc;
  while ((rc = cox_broker_submit_as(broker, "nodes file", command, args, NULL, answered, order, &err)) == COX_EFULL) {
    struct cox_mutex *const mutex = &wave->mutex; /* others fill the queue too: ask again soon */
    cox_mutex_lock(mutex);
    cox_cond_wait_us(&wave->cond, mutex, 2000);
    cox_mutex_unlock(mutex);
  }
  json_decref(args);
  if (rc == 0) return;
  cox_mutex_lock(&wave->mutex);
  wave->open--;
  cox_faults_add(wave->faults, err.file, err.line, "%s of node %s failed: %s", command, id, err.text);
  cox_mutex_unlock(&wave->mutex);
  destroy_order(order);
}

/* What the node has now, with the fields that the entry changed since `old`. A new object. */
static json_t *merge(json_t *now, json_t *old, json_t *entry) {
  json_t *const merged = json_copy(now);
  const char *key;
  json_t *value;
  json_object_del(merged, "node_num");
  json_object_foreach(old, key, value) {
    if (json_object_get(entry, key) == NULL) json_object_del(merged, key);
  }
  json_object_foreach(entry, key, value) {
    if (!json_equal(value, json_object_get(old, key))) json_object_set(merged, key, value);
  }
  return merged;
}

static void declare(struct wave *wave, struct cox_broker *broker, json_t *old, json_t *entry) {
  const char *const id = json_string_value(json_object_get(entry, "id"));
  if (id == NULL || (old != NULL && json_equal(old, entry))) return;
  json_t *const present = cox_broker_node_json(broker, id);
  if (present == NULL) {
    send_order(wave, broker, "register_node", &wave->counts->added, id, json_pack("{s:O}", "node", entry), entry);
    return;
  }
  json_t *const merged = merge(json_object_get(present, "node"), old, entry);
  send_order(wave, broker, "update_node", &wave->counts->updated, id, json_pack("{s:o}", "node", merged), entry);
  json_decref(present);
}

static bool is_listed(json_t *ids, const char *id) { return json_object_get(ids, id) != NULL; }

static void leave(struct wave *wave, struct cox_broker *broker, json_t *before, json_t *ids, bool prunes) {
  const char *id;
  json_t *entry;
  json_object_foreach(before, id, entry) {
    if (is_listed(ids, id)) continue;
    json_t *const present = cox_broker_node_json(broker, id);
    if (present != NULL && prunes) {
      send_order(wave, broker, "remove_node", &wave->counts->removed, id, json_pack("{s:s}", "node_id", id), NULL);
    } else {
      if (present != NULL) {
        cox_log(COX_LOG_WARN, "main", "a node left the declared list and stays: remove it with `coxswain node rm`, or set prune = true",
                "node", id, NULL);
        wave->counts->missing++;
      }
      cox_mutex_lock(&wave->mutex);
      json_object_del(wave->applied, id);
      cox_mutex_unlock(&wave->mutex);
    }
    json_decref(present);
  }
}

void cox_declare_nodes(struct cox_broker *broker, json_t *applied, json_t *nodes, bool prunes, struct cox_declared *counts,
                       struct cox_faults *faults) {
  memset(counts, 0, sizeof *counts);
  struct wave wave = {.applied = applied, .counts = counts, .faults = faults};
  cox_mutex_init(&wave.mutex);
  cox_cond_init(&wave.cond);
  json_t *const before = json_copy(applied); /* answers change `applied` while we go through it */
  json_t *const ids = json_object();
  size_t i;
  json_t *entry;
  json_array_foreach(nodes, i, entry) {
    const char *const id = json_string_value(json_object_get(entry, "id"));
    if (id != NULL) json_object_set(ids, id, entry);
  }
  leave(&wave, broker, before, ids, prunes);
  wait_for(&wave, 0); /* a new node may take the address of one that left */
  json_array_foreach(nodes, i, entry) {
    const char *const id = json_string_value(json_object_get(entry, "id"));
    declare(&wave, broker, id != NULL ? json_object_get(before, id) : NULL, entry);
  }
  wait_for(&wave, 0);
  json_decref(ids);
  json_decref(before);
  cox_cond_fini(&wave.cond);
  cox_mutex_fini(&wave.mutex);
}

/* ---- what was applied last ---- */

static void kept(void *arg, const struct cox_err *err) {
  struct wave *const wave = arg;
  cox_mutex_lock(&wave->mutex);
  if (err != NULL) cox_faults_add(wave->faults, NULL, 0, "keeping what the nodes file said failed: %s", err->text);
  wave->open--;
  cox_cond_signal(&wave->cond);
  cox_mutex_unlock(&wave->mutex);
}

static void keep_one(struct wave *wave, struct cox_broker *broker, const char *id, json_t *entry) {
  struct cox_err err = {0};
  wait_for(wave, WINDOW - 1);
  cox_mutex_lock(&wave->mutex);
  wave->open++;
  cox_mutex_unlock(&wave->mutex);
  if (cox_broker_keep(broker, "declared", id, json_incref(entry), kept, wave, &err) != 0) kept(wave, &err);
}

void cox_declare_keep(struct cox_broker *broker, json_t *before, json_t *applied, struct cox_faults *faults) {
  struct wave wave = {.faults = faults};
  const char *id;
  json_t *entry;
  cox_mutex_init(&wave.mutex);
  cox_cond_init(&wave.cond);
  json_object_foreach(applied, id, entry) {
    if (!json_equal(entry, json_object_get(before, id))) keep_one(&wave, broker, id, entry);
  }
  json_object_foreach(before, id, entry) {
    if (json_object_get(applied, id) == NULL) keep_one(&wave, broker, id, NULL);
  }
  wait_for(&wave, 0);
  cox_cond_fini(&wave.cond);
  cox_mutex_fini(&wave.mutex);
}
