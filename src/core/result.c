/* The single place that finishes a transition. Everything a worker found out arrives here, on cox-command, and is taken over
 * only when its fence is the present one.                                                                                 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "core/backoff.h"
#include "core/engine.h"
#include "core/landing.h"

#define LOCK broker->registry.lock

enum { BATCH = 64 };

enum verdict { SUCCEEDED, FAILED, CANCELLED, STALE, OBSERVED };

struct batch {
  size_t count;
  struct cox_attempt *attempts[BATCH];
  enum verdict verdicts[BATCH];
  json_t *errors[BATCH]; /* made before the lock is taken */
  double waits_s[BATCH];
  int64_t cancels_us[BATCH]; /* when its end was asked for; 0: it was not */
  struct cox_landing landings[BATCH]; /* what the journal is told, after the lock */
};

static void count(atomic_uint_fast64_t *counter) { atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); }

static void note_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_attempt *attempt,
                        enum cox_class class_, json_t *error, int64_t now_us) COX_REQUIRES(LOCK) {
  (void)broker;
  struct cox_attempt_note *const note = &node->notes[node->attempts++ % COX_NODE_NOTES];
  json_decref(note->error);
  *note = (struct cox_attempt_note){
      .attempt = attempt->fence.attempt,
      .status = attempt->target->status,
      .poc = attempt->target->poc,
      .class_ = class_,
      .is_outdated = attempt->fence.generation != node->generation,
      .started_ms = node->flight.started_ms,
      .duration_ms = (now_us - attempt->started_us) / 1000,
      .error = json_incref(error),
  };
}

static void land_locked(struct cox_broker *broker, struct cox_node *node) COX_REQUIRES(LOCK) {
  (void)broker;
  cox_target_release(node->flight.target);
  json_decref(node->flight.note);
  node->flight = (struct cox_in_flight){0};
  node->change++;
}

static void succeed_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_attempt *attempt, int64_t now_ms)
    COX_REQUIRES(LOCK) {
  (void)broker;
  cox_target_release(node->applied);
  node->applied = cox_target_hold(attempt->target);
  node->is_settled = true;
  node->failed_by = COX_FAILED_NOT;
  node->failure_class = COX_CLASS_NONE;
  if (!cox_fault("result.keeps_failures")) node->failures = 0;
  node->probe_bad = node->probe_good = 0;
  node->next_at_us = node->next_at_ms = 0;
  if (node->failure_reason != NULL) {
    json_decref(node->last_failure);
    node->last_failure = node->failure_reason;
    node->failure_reason = NULL;
  }
  node->checked_at_ms = now_ms;
  cox_node_set_status(node, attempt->target->status, attempt->target->poc, now_ms);
}

/* Returns the seconds until the next try. */
static double fail_locked(struct cox_broker *broker, struct cox_node *node, enum cox_class class_, json_t *error, int64_t now_us,
                          int64_t now_ms) COX_REQUIRES(LOCK) {
  node->is_settled = false;
  node->failed_by = COX_FAILED_BY_ATTEMPT;
  node->failure_class = class_;
  node->failures++;
  const double limit_s =
      cox_backoff_limit_s(broker->options.backoff_s[0], broker->options.backoff_s[1], class_, node->failures);
  const int64_t wait_us = cox_backoff_draw_us(&broker->registry.rng, limit_s);
  node->next_at_us = now_us + wait_us;
  node->next_at_ms = now_ms + wait_us / 1000;
  json_decref(node->failure_reason);
  node->failure_reason = json_incref(error);
  cox_node_set_status(node, COX_STATUS_FAILED, COX_POC_IDLE, now_ms);
  return (double)wait_us / 1e6;
}

/* Cancelled or outdated: what it did to the node is unknown. A FAILED node stays so until an attempt succeeds. */
static void unsettle_locked(struct cox_broker *broker, struct cox_node *node, int64_t now_ms) COX_REQUIRES(LOCK) {
  (void)broker;
  if (cox_fault("result.trusts_cancelled")) return;
  node->is_settled = false;
  if (node->failed_by == COX_FAILED_NOT) cox_node_set_status(node, COX_STATUS_UNKNOWN, COX_POC_IDLE, now_ms);
}

/* Only the number counts: a target that was left and came back is equal by value, but the node was elsewhere meanwhile. */
static bool is_outdated_locked(struct cox_broker *broker, const struct cox_node *node, const struct cox_attempt *attempt)
    COX_REQUIRES(LOCK) {
  (void)broker;
  if (cox_fault("result.accepts_stale")) return false;
  if (cox_fault("result.compares_targets")) return !cox_target_equal(attempt->target, node->target);
  return attempt->fence.generation != node->generation;
}

static void finish_reach_locked(struct cox_broker *broker, struct cox_node *node, struct batch *batch, size_t i, int64_t now_us,
                                int64_t now_ms) COX_REQUIRES(LOCK) {
  struct cox_attempt *const attempt = batch->attempts[i];
  enum cox_class class_ = attempt->result.class_;
  const bool is_outdated = is_outdated_locked(broker, node, attempt);
  /* Without our word a worker ends an attempt when its scripts are kept no longer. */
  const bool is_overdue = class_ == COX_CLASS_CANCELLED && !is_outdated && !node->flight.is_unwanted && node->flight.is_cancelled;
  if (is_overdue) {
    class_ = COX_CLASS_TIMEOUT;
    json_decref(batch->errors[i]);
    batch->errors[i] = json_string("the attempt did not end at its deadline; the watchdog ended it");
  }
  attempt->result.class_ = class_;
  batch->cancels_us[i] = node->flight.cancelled_us;
  note_locked(broker, node, attempt, class_, batch->errors[i], now_us);
  land_locked(broker, node);
  node->unanswered = attempt->result.unanswered;
  if (attempt->result.memory != NULL) {
    json_decref(node->memory);
    node->memory = json_incref(attempt->result.memory);
  }
  if (is_outdated || class_ == COX_CLASS_CANCELLED) {
    unsettle_locked(broker, node, now_ms);
    batch->verdicts[i] = class_ == COX_CLASS_CANCELLED ? CANCELLED : STALE;
  } else if (class_ == COX_CLASS_NONE) {
    succeed_locked(broker, node, attempt, now_ms);
    batch->verdicts[i] = SUCCEEDED;
  } else {
    batch->waits_s[i] = fail_locked(broker, node, class_, batch->errors[i], now_us, now_ms);
    batch->verdicts[i] = FAILED;
  }
  cox_lease_push_locked(broker, node);
  cox_registry_mark_locked(&broker->registry, node);
}

static void handle_locked(struct cox_broker *broker, struct batch *batch, size_t i, int64_t now_us, int64_t now_ms)
    COX_REQUIRES(LOCK) {
  const struct cox_attempt *const attempt = batch->attempts[i];
  struct cox_node *const node = cox_registry_find_registration(&broker->registry, attempt->fence.registration);
  batch->verdicts[i] = STALE;
  batch->cancels_us[i] = 0;
  broker->registry.in_flight--;
  cox_landing_begin_locked(broker, &batch->landings[i], node, attempt);
  cox_registry_departed_locked(&broker->registry, attempt->fence.attempt);
  if (node == NULL) return;
  if (attempt->kind == COX_ATTEMPT_PROBE) {
    if (node->probe != attempt->fence.attempt) return;
    batch->verdicts[i] = OBSERVED;
    if (cox_observe_locked(broker, node, attempt, now_ms)) cox_registry_mark_locked(&broker->registry, node);
    cox_lease_push_locked(broker, node);
  } else if (node->flight.attempt == attempt->fence.attempt) {
    finish_reach_locked(broker, node, batch, i, now_us, now_ms);
  }
}

static void measure(struct cox_broker *broker, const struct batch *batch, size_t i, int64_t now_us) {
  const struct cox_attempt *const attempt = batch->attempts[i];
  struct cox_metrics *const metrics = &broker->metrics;
  const bool is_probe = attempt->kind == COX_ATTEMPT_PROBE || attempt->target == NULL;
  const enum cox_status kind = is_probe ? COX_STATUS_UNKNOWN : attempt->target->status;
  const size_t result = batch->verdicts[i] == STALE ? (size_t)COX_RESULT_STALE : (size_t)attempt->result.class_;
  count(&metrics->attempts[kind][result]);
  cox_histogram_add(&metrics->attempt_s[kind], now_us - attempt->started_us, 1);
  if (batch->cancels_us[i] > 0) cox_histogram_add(&metrics->cancel_s, now_us - batch->cancels_us[i], 1);
  if (batch->verdicts[i] == FAILED) count(&metrics->retries);
}

static void report(struct cox_broker *broker, const struct batch *batch, size_t i) {
  const struct cox_attempt *const attempt = batch->attempts[i];
  const char *const id = json_string_value(json_object_get(attempt->node, "id"));
  struct cox_counters *const counters = &broker->counters;
  char seconds[32];
  switch (batch->verdicts[i]) {
    case SUCCEEDED:
      count(&counters->attempts_succeeded);
      cox_log(COX_LOG_DEBUG, "result", "attempt succeeded", "node", id, "status", cox_status_name(attempt->target->status), NULL);
      break;
    case FAILED:
      count(&counters->attempts_failed);
      snprintf(seconds, sizeof seconds, "%.1f", batch->waits_s[i]);
      cox_log(COX_LOG_WARN, "result", "attempt failed", "node", id, "status", cox_status_name(attempt->target->status), "class",
              cox_class_name(attempt->result.class_), "error", json_string_value(batch->errors[i]), "next_try_s", seconds, NULL);
      break;
    case STALE: count(&counters->stale_results); break;
    case CANCELLED:
    case OBSERVED: break;
  }
}

static json_t *error_of(const struct cox_attempt *attempt) {
  const struct cox_result *const result = &attempt->result;
  if (result->class_ == COX_CLASS_NONE) return NULL;
  if (result->error != NULL) return json_string(result->error);
  return json_string(cox_class_name(result->class_));
}

static void handle_batch(struct cox_broker *broker, struct batch *batch) COX_EXCLUDES(LOCK) {
  const int64_t now_us = cox_clock_mono_us(broker->options.clock), now_ms = cox_clock_wall_ms(broker->options.clock);
  for (size_t i = 0; i < batch->count; i++) batch->errors[i] = error_of(batch->attempts[i]);
  cox_rwlock_write(&LOCK);
  for (size_t i = 0; i < batch->count; i++) {
    handle_locked(broker, batch, i, now_us, now_ms);
    cox_landing_end_locked(broker, &batch->landings[i]);
  }
  const bool has_work = broker->registry.dirty_first != NULL || cox_lease_has_work(broker);
  cox_rwlock_write_unlock(&LOCK);
  if (has_work && !cox_fault("result.wakes_nobody")) cox_broker_trigger(broker);
  cox_landings_tell(broker, batch->landings, batch->attempts, batch->count, now_us);
  for (size_t i = 0; i < batch->count; i++) {
    measure(broker, batch, i, now_us);
    report(broker, batch, i);
    json_decref(batch->errors[i]);
    cox_attempt_destroy(batch->attempts[i]);
  }
  batch->count = 0;
}

static void handle_extensions(struct cox_broker *broker) COX_EXCLUDES(LOCK) {
  struct cox_queue_link *link = cox_queue_take(&broker->extensions);
  while (link != NULL) {
    struct cox_extension *const extension = COX_CONTAINER(link, struct cox_extension, link);
    link = link->next;
    json_t *note = json_string(extension->reason);
    cox_rwlock_write(&LOCK);
    struct cox_node *const node = cox_registry_find_registration(&broker->registry, extension->fence.registration);
    if (node != NULL && node->flight.attempt == extension->fence.attempt) {
      json_t *const old = node->flight.note;
      node->flight.deadline_us = extension->deadline_us;
      node->flight.note = note;
      note = old;
    }
    cox_rwlock_write_unlock(&LOCK);
    json_decref(note);
    free(extension);
  }
}

size_t cox_results_handle(struct cox_broker *broker) {
  struct batch batch = {0};
  size_t handled = 0;
  handle_extensions(broker);
  struct cox_queue_link *link = cox_queue_take(&broker->results);
  while (link != NULL) {
    struct cox_attempt *const attempt = COX_CONTAINER(link, struct cox_attempt, link);
    link = link->next; /* before the attempt is freed */
    batch.attempts[batch.count++] = attempt;
    handled++;
    if (batch.count == BATCH || link == NULL) handle_batch(broker, &batch);
  }
  return handled;
}
