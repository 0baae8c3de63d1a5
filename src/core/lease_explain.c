/* Why a node was not given, in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lease_private.h"
#include "core/version.h"

const char *cox_lease_bar_text(enum cox_lease_bar bar) {
  static const char *const texts[] = {
      [COX_BAR_NONE] = "it serves",
      [COX_BAR_NO_TARGET] = "nothing is intended for it yet",
      [COX_BAR_INTENT] = "it is to do something else than inference",
      [COX_BAR_ATTEMPT] = "an attempt is under way: it is being brought to its target or verified",
      [COX_BAR_FAILED] = "it failed: see its failure_reason",
      [COX_BAR_UNSETTLED] = "what it runs is not certain: it is to be verified",
      [COX_BAR_NOT_SEEN] = "since the start no probe has found it serving",
      [COX_BAR_DISABLED] = "an operator disabled it",
      [COX_BAR_NO_MODEL] = "its target names no model",
  };
  return texts[bar];
}

/* Copied under the lock, put into words without it. */
struct reason {
  json_t *id; /* held */
  json_t *text; /* held; NULL: the bar's */
  enum cox_lease_bar bar;
};

static bool is_skipped(const struct cox_lease_ask *ask, const char *id) {
  for (size_t i = 0; i < ask->skips; i++) {
    if (strcmp(ask->skip[i], id) == 0) return true;
  }
  return false;
}

/* NULL: nothing bars it but that it is in use by somebody else at this moment. */
static json_t *text_locked(const struct cox_leases *leases, const struct cox_lease_node *node, const struct cox_lease_ask *ask,
                           int64_t now_us) COX_REQUIRES(COX_POOL) {
  const struct cox_lease_group *const group = node->group;
  (void)leases;
  if (!node->is_serving) return NULL;
  if (strcmp(group->model->name, ask->model) != 0) return json_sprintf("it serves %s", group->model->name);
  if (!cox_version_serves(group->version, ask->version, ask->accepts_earlier)) {
    return json_sprintf("its version is %s", group->version != NULL ? group->version : "not said");
  }
  if (is_skipped(ask, json_string_value(node->id_text))) return json_string("the request skips it");
  if (node->breaker.state == COX_BREAKER_OPEN) {
    return json_sprintf("ejected after failed requests, for another %.1f s", (double)(node->breaker.until_us - now_us) / 1e6);
  }
  if (node->breaker.state == COX_BREAKER_HALF && node->breaker.has_trial) {
    return json_string("ejected after failed requests: one trial request is under way");
  }
  if (node->count >= node->max) return json_sprintf("full: %u of %u leases", (unsigned)node->count, (unsigned)node->max);
  const size_t waiters = group->model->waiters;
  if (waiters > 0) return json_sprintf("free, but kept for the %zu requests that wait for its model: wait with them (wait_ms)", waiters);
  return json_string("it has become free: ask again");
}

static size_t collect(struct cox_leases *leases, const struct cox_lease_ask *ask, struct reason *reasons, size_t *omitted) {
  const int64_t now_us = cox_clock_mono_us(leases->clock);
  size_t count = 0;
  cox_mutex_lock_brief(&leases->mutex);
  const struct cox_lease_node *node = leases->first;
  for (; node != NULL && count < COX_LEASE_REASONS_MAX; node = node->next) {
    reasons[count++] =
        (struct reason){.id = json_incref(node->id_text), .text = text_locked(leases, node, ask, now_us), .bar = node->bar};
  }
  *omitted = leases->nodes - count;
  cox_mutex_unlock(&leases->mutex);
  return count;
}

json_t *cox_lease_reasons(struct cox_broker *broker, const struct cox_lease_ask *ask, size_t *omitted) {
  json_t *const list = json_array();
  struct reason *const reasons = malloc(COX_LEASE_REASONS_MAX * sizeof *reasons);
  *omitted = 0;
  if (reasons == NULL) return list;
  const size_t count = collect(broker->leases, ask, reasons, omitted);
  for (size_t i = 0; i < count; i++) {
    json_t *const text = reasons[i].text != NULL ? reasons[i].text : json_string(cox_lease_bar_text(reasons[i].bar));
    json_array_append_new(list, json_pack("{so, so}", "node_id", reasons[i].id, "reason", text));
  }
  free(reasons);
  return list;
}
