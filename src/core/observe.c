#include <string.h>

#include "base/fault.h"
#include "core/engine.h"

static bool is_connection_class(enum cox_class class_) {
  return class_ == COX_CLASS_REFUSED || class_ == COX_CLASS_RESOLVE || class_ == COX_CLASS_RESET || class_ == COX_CLASS_TIMEOUT;
}

/* What the driver could not tell contradicts nothing. */
static bool is_as_known(const struct cox_result *seen, enum cox_status known, enum cox_poc poc) {
  if (seen->seen == COX_STATUS_UNKNOWN) return true;
  return seen->seen == known && (!seen->has_seen_poc || seen->seen_poc == poc);
}

static bool serves_another_model(const struct cox_node *node, const struct cox_result *seen) {
  if (seen->seen != COX_STATUS_INFERENCE || seen->seen_model == NULL || node->applied == NULL) return false;
  const char *const wanted = json_string_value(node->applied->params[COX_TARGET_MODEL]);
  return node->applied->status == COX_STATUS_INFERENCE && wanted != NULL && strcmp(wanted, seen->seen_model) != 0;
}

/* Is this what the target asks for? A node that does not tell its model is believed. */
static bool serves_target(const struct cox_node *node, const struct cox_result *seen) {
  if (seen->class_ != COX_CLASS_NONE || seen->seen != COX_STATUS_INFERENCE || node->target == NULL) return false;
  const char *const wanted = json_string_value(node->target->params[COX_TARGET_MODEL]);
  if (node->target->status != COX_STATUS_INFERENCE || wanted == NULL) return false;
  return seen->seen_model == NULL || strcmp(wanted, seen->seen_model) == 0;
}

/* The node does something else than the last attempt left: what it should be is to be brought about again. */
static bool contradict_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_result *seen, int64_t now_ms)
    COX_REQUIRES(broker->registry.lock) {
  (void)broker;
  node->is_settled = false;
  node->failed_by = COX_FAILED_NOT;
  if (seen->seen != COX_STATUS_UNKNOWN) cox_node_set_status(node, seen->seen, seen->seen_poc, now_ms);
  return true;
}

static bool good_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_result *seen, int64_t now_ms)
    COX_REQUIRES(broker->registry.lock) {
  node->probe_bad = 0;
  node->probe_good++;
  if (node->failed_by == COX_FAILED_BY_PROBE) {
    if (node->probe_good < broker->options.probe_rise) return false;
    node->failed_by = COX_FAILED_NOT;
    json_decref(node->last_failure);
    node->last_failure = node->failure_reason;
    node->failure_reason = NULL;
    cox_node_set_status(node, node->before, node->before_poc, now_ms);
  }
  if (node->failed_by == COX_FAILED_NOT) {
    if (!is_as_known(seen, node->current, node->current_poc) || serves_another_model(node, seen)) {
      return contradict_locked(broker, node, seen, now_ms);
    }
  }
  return false;
}

static void bad_locked(struct cox_broker *broker, struct cox_node *node, const char *why, int64_t now_ms)
    COX_REQUIRES(broker->registry.lock) {
  node->probe_good = 0;
  node->probe_bad++;
  if (node->failed_by != COX_FAILED_NOT || node->probe_bad < broker->options.probe_fall) return;
  node->before = node->current;
  node->before_poc = node->current_poc;
  node->failed_by = COX_FAILED_BY_PROBE;
  json_decref(node->failure_reason);
  node->failure_reason = json_sprintf("probe: %s (%u in a row)", why, node->probe_bad);
  cox_node_set_status(node, COX_STATUS_FAILED, COX_POC_IDLE, now_ms);
}

bool cox_observe_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_attempt *probe, int64_t now_ms) {
  const struct cox_result *const seen = &probe->result;
  node->probe = 0;
  node->is_probe_cancelled = false;
  const bool is_cancelled = seen->class_ == COX_CLASS_CANCELLED;
  const bool is_outdated = node->flight.attempt != 0 || node->change != probe->change;
  if (is_cancelled || (is_outdated && !cox_fault("observe.overwrites_result"))) return node->wants_probe;
  node->checked_at_ms = now_ms;
  bool has_work = false;
  if (seen->has_answered && node->next_at_us != 0 && is_connection_class(node->failure_class)) {
    node->next_at_us = 0; /* it is back: no reason to wait any longer */
    has_work = true;
  }
  node->is_ready = seen->class_ == COX_CLASS_NONE && seen->is_ready;
  node->serves_target = serves_target(node, seen);
  if (seen->class_ != COX_CLASS_NONE) {
    bad_locked(broker, node, seen->error != NULL ? seen->error : cox_class_name(seen->class_), now_ms);
    return has_work;
  }
  const bool is_as_settled = node->is_settled && node->current == COX_STATUS_INFERENCE && seen->seen == COX_STATUS_INFERENCE;
  if (is_as_settled && !seen->is_ready) {
    bad_locked(broker, node, "it says INFERENCE but does not serve", now_ms);
    return has_work;
  }
  return good_locked(broker, node, seen, now_ms) || has_work;
}
