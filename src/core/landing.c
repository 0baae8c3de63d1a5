#include "core/landing.h"

#include <stdlib.h>

void cox_landing_begin_locked(struct cox_broker *broker, struct cox_landing *landing, const struct cox_node *node,
                              const struct cox_attempt *attempt) {
  (void)broker;
  *landing = (struct cox_landing){.node = node};
  if (node == NULL) return;
  landing->from = node->current;
  landing->from_poc = node->current_poc;
  landing->was_in_flight = attempt->kind == COX_ATTEMPT_REACH && node->flight.attempt == attempt->fence.attempt;
}

void cox_landing_end_locked(struct cox_broker *broker, struct cox_landing *landing) {
  (void)broker;
  const struct cox_node *const node = landing->node;
  if (node == NULL) return;
  landing->to = node->current;
  landing->to_poc = node->current_poc;
  landing->reason = json_incref(node->failure_reason);
  if (!landing->was_in_flight) return;
  landing->note = node->notes[(node->attempts - 1) % COX_NODE_NOTES];
  json_incref(landing->note.error);
  landing->driver.applied = cox_target_hold(node->applied);
  landing->driver.memory = json_incref(node->memory);
  landing->driver.unanswered = node->unanswered;
}

static struct cox_record *attempt_record(struct cox_landing *landing, const struct cox_attempt *attempt, int64_t now_us) {
  struct cox_record *const record = cox_record_create(COX_RECORD_ATTEMPT, json_object_get(attempt->node, "id"));
  if (record == NULL) return NULL;
  record->fence = attempt->fence;
  record->target = cox_target_hold(attempt->target);
  record->attempt.class_ = landing->was_in_flight ? landing->note.class_ : attempt->result.class_;
  record->attempt.duration_ms = (now_us - attempt->started_us) / 1000;
  record->attempt.is_outdated = !landing->was_in_flight || landing->note.is_outdated;
  record->attempt.error = json_incref(landing->note.error);
  record->has_driver = landing->was_in_flight;
  record->driver = landing->driver; /* with its references */
  landing->driver = (struct cox_driver_part){0};
  return record;
}

static struct cox_record *status_record(const struct cox_landing *landing, const struct cox_attempt *attempt) {
  struct cox_record *const record = cox_record_create(COX_RECORD_STATUS, json_object_get(attempt->node, "id"));
  if (record == NULL) return NULL;
  record->status.from = landing->from;
  record->status.to = landing->to;
  record->status.from_poc = landing->from_poc;
  record->status.to_poc = landing->to_poc;
  record->status.reason = json_incref(landing->reason);
  record->status.is_probe = attempt->kind == COX_ATTEMPT_PROBE;
  return record;
}

static void release(struct cox_landing *landing) {
  json_decref(landing->reason);
  json_decref(landing->note.error);
  json_decref(landing->driver.memory);
  cox_target_release(landing->driver.applied);
}

void cox_landings_tell(struct cox_broker *broker, struct cox_landing *landings, struct cox_attempt *const *attempts, size_t count,
                       int64_t now_us) {
  struct cox_pending *pending = NULL;
  for (size_t i = 0; i < count; i++) {
    struct cox_landing *const landing = &landings[i];
    const bool is_attempt = attempts[i]->kind == COX_ATTEMPT_REACH;
    const bool has_moved = landing->node != NULL && (landing->from != landing->to || landing->from_poc != landing->to_poc);
    if ((is_attempt || has_moved) && pending == NULL) pending = cox_pending_create(broker, NULL);
    if (is_attempt && pending != NULL) cox_batch_add(&pending->batch, attempt_record(landing, attempts[i], now_us));
    if (has_moved && pending != NULL) cox_batch_add(&pending->batch, status_record(landing, attempts[i]));
    if (is_attempt && pending == NULL) broker->ledger.owes = true; /* out of memory: the store learns of it later */
    release(landing);
  }
  if (pending != NULL) cox_ledger_submit(broker, pending);
}
