/* Ejection of nodes whose requests fail, and the slow start of those that just became ready. */
#include <stdio.h>

#include "core/lease_private.h"

static size_t ejected_max(const struct cox_leases *leases, const struct cox_lease_model *model) {
  return (size_t)(leases->options.eject_share * (double)model->serving);
}

static void list_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL) {
  if (node->is_ejected) return;
  node->is_ejected = true;
  node->next_ejected = leases->ejected;
  leases->ejected = node;
  node->group->model->ejected++;
  cox_lease_tally_locked(leases, &leases->ejected_count, 1);
}

static void unlist_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL) {
  if (!node->is_ejected) return;
  struct cox_lease_node **link = &leases->ejected;
  while (*link != node) link = &(*link)->next_ejected;
  *link = node->next_ejected;
  node->is_ejected = false;
  node->group->model->ejected--;
  cox_lease_tally_locked(leases, &leases->ejected_count, -1);
}

void cox_health_cool_locked(struct cox_leases *leases, struct cox_lease_node *node) {
  node->warmth = COX_LEASE_WARM_STEPS;
  if (!node->is_warming) return;
  struct cox_lease_node **link = &leases->warming;
  while (*link != node) link = &(*link)->next_warming;
  *link = node->next_warming;
  node->is_warming = false;
}

void cox_health_forget_locked(struct cox_leases *leases, struct cox_lease_node *node) {
  unlist_locked(leases, node);
  node->breaker = (struct cox_breaker){0};
}

static void eject_locked(struct cox_leases *leases, struct cox_lease_node *node, enum cox_lease_outcome outcome, bool is_trial,
                         int64_t now_us) COX_REQUIRES(COX_POOL) {
  struct cox_lease_model *const model = node->group->model;
  if (!node->is_ejected && model->ejected + 1 > ejected_max(leases, model)) return; /* its failures stand: the next one asks again */
  const unsigned failures = node->breaker.failures;
  cox_breaker_eject(&node->breaker, &leases->rules, now_us);
  list_locked(leases, node);
  cox_lease_count_locked(leases, COX_LEASE_EJECTED);
  char reason[160];
  const char *const what = outcome == COX_LEASE_TIMEOUT ? "timeout" : "transport_error";
  const double length_s = (double)(node->breaker.until_us - now_us) / 1e6;
  if (is_trial) snprintf(reason, sizeof reason, "its trial request failed (%s): not leased for another %.0f s", what, length_s);
  else snprintf(reason, sizeof reason, "%u failed requests in a row, the last one %s: not leased for %.0f s", failures, what, length_s);
  cox_lease_notice_locked(leases, node, "eject", reason);
}

static void readmit_locked(struct cox_leases *leases, struct cox_lease_node *node, const char *reason) COX_REQUIRES(COX_POOL) {
  unlist_locked(leases, node);
  cox_index_rekey_locked(leases, node);
  cox_waits_open_locked(leases, node->group->model);
  cox_lease_notice_locked(leases, node, "readmit", reason);
}

void cox_health_feed_locked(struct cox_leases *leases, struct cox_lease_node *node, enum cox_lease_outcome outcome, bool is_trial,
                            int64_t now_us) {
  switch (outcome) {
  case COX_LEASE_SUCCESS:
    if (cox_breaker_succeeded(&node->breaker, is_trial, now_us)) readmit_locked(leases, node, "its trial request succeeded");
    break;
  case COX_LEASE_TRANSPORT_ERROR:
  case COX_LEASE_TIMEOUT:
    if (cox_breaker_failed(&node->breaker, &leases->rules, is_trial)) eject_locked(leases, node, outcome, is_trial, now_us);
    break;
  case COX_LEASE_UNSAID:
  case COX_LEASE_APPLICATION_ERROR: cox_breaker_neutral(&node->breaker, is_trial); break;
  }
}

void cox_health_check_share_locked(struct cox_leases *leases, struct cox_lease_model *model, int64_t now_us) {
  if (model->ejected <= ejected_max(leases, model)) return;
  for (struct cox_lease_node *node = leases->ejected, *next; node != NULL; node = next) {
    next = node->next_ejected;
    if (node->group->model != model) continue;
    cox_breaker_pardon(&node->breaker, now_us);
    readmit_locked(leases, node, "too few nodes serve its model to do without the ejected ones");
  }
}

void cox_health_warm_locked(struct cox_leases *leases, struct cox_lease_node *node, int64_t now_us) {
  node->warmth = COX_LEASE_WARM_STEPS;
  if (leases->slow_start_us <= 0 || !node->is_serving) return;
  node->ready_us = now_us;
  node->warmth = 1;
  if (!node->is_warming) {
    node->next_warming = leases->warming;
    leases->warming = node;
  }
  node->is_warming = true;
  cox_index_rekey_locked(leases, node);
}

static size_t warm_up_locked(struct cox_leases *leases, int64_t now_us) COX_REQUIRES(COX_POOL) {
  size_t moved = 0;
  if (now_us < leases->warm_at_us) return 0; /* ten thousand that just became ready are not looked at in every pass */
  leases->warm_at_us = now_us + leases->slow_start_us / COX_LEASE_WARM_STEPS / 4;
  for (struct cox_lease_node **link = &leases->warming; *link != NULL;) {
    struct cox_lease_node *const node = *link;
    const int64_t step = 1 + (now_us - node->ready_us) * COX_LEASE_WARM_STEPS / leases->slow_start_us;
    const uint8_t warmth = step < COX_LEASE_WARM_STEPS ? (uint8_t)step : COX_LEASE_WARM_STEPS;
    const bool has_moved = warmth != node->warmth;
    node->warmth = warmth;
    if (warmth == COX_LEASE_WARM_STEPS) {
      *link = node->next_warming;
      node->is_warming = false;
    } else {
      link = &node->next_warming;
    }
    if (!has_moved) continue;
    cox_index_rekey_locked(leases, node);
    moved++;
  }
  return moved;
}

size_t cox_health_turn_locked(struct cox_leases *leases, int64_t now_us) {
  size_t moved = leases->warming != NULL ? warm_up_locked(leases, now_us) : 0;
  for (struct cox_lease_node *node = leases->ejected; node != NULL; node = node->next_ejected) {
    if (!cox_breaker_turn(&node->breaker, now_us)) continue;
    cox_index_rekey_locked(leases, node);
    cox_waits_open_locked(leases, node->group->model);
    moved++;
  }
  return moved;
}
