/* Requests that wait for a slot: per model a ring of tenants, each with its own queue. Slots go round the ring, one to each, so
 * that a tenant with a hundred requests does not make one with a single request wait for all of them.                          */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "core/lease_private.h"

static const char *tenant_name(const struct cox_lease_ask *ask) { return ask->tenant != NULL ? ask->tenant : ""; }

static struct cox_lease_tenant **tenant_bucket(struct cox_lease_model *model, uint64_t hash) {
  return &model->tenants[hash % COX_LEASE_TENANT_BUCKETS];
}

/* Before the one whose turn it is: at the end of the round. */
static void link_last(struct cox_lease_model *model, struct cox_lease_tenant *tenant) {
  if (model->turn == NULL) {
    tenant->prev = tenant->next = model->turn = tenant;
    return;
  }
  tenant->next = model->turn;
  tenant->prev = model->turn->prev;
  tenant->prev->next = tenant;
  tenant->next->prev = tenant;
}

static struct cox_lease_tenant *make_tenant(struct cox_lease_model *model, const char *name) {
  if (model->tenants == NULL) model->tenants = calloc(COX_LEASE_TENANT_BUCKETS, sizeof *model->tenants);
  if (model->tenants == NULL) return NULL;
  const uint64_t hash = cox_hash_text(name);
  struct cox_lease_tenant **const bucket = tenant_bucket(model, hash);
  for (struct cox_lease_tenant *tenant = *bucket; tenant != NULL; tenant = tenant->next_by_name) {
    if (tenant->hash == hash && strcmp(tenant->name, name) == 0) return tenant;
  }
  const size_t len = strlen(name) + 1;
  struct cox_lease_tenant *const tenant = calloc(1, sizeof *tenant + len);
  if (tenant == NULL) return NULL;
  tenant->model = model;
  tenant->hash = hash;
  memcpy(tenant->name, name, len);
  tenant->next_by_name = *bucket;
  *bucket = tenant;
  link_last(model, tenant);
  return tenant;
}

static void destroy_tenant(struct cox_lease_tenant *tenant) {
  struct cox_lease_model *const model = tenant->model;
  struct cox_lease_tenant **link = tenant_bucket(model, tenant->hash);
  while (*link != tenant) link = &(*link)->next_by_name;
  *link = tenant->next_by_name;
  if (model->turn == tenant) model->turn = tenant->next == tenant ? NULL : tenant->next;
  tenant->prev->next = tenant->next;
  tenant->next->prev = tenant->prev;
  free(tenant);
}

int cox_waits_enter_locked(struct cox_leases *leases, struct cox_lease_model *model, struct cox_lease_wait *wait, int64_t deadline_us) {
  struct cox_lease_tenant *const tenant = make_tenant(model, tenant_name(wait->ask));
  if (tenant == NULL) return COX_ENOMEM;
  wait->tenant = tenant;
  wait->next = NULL;
  wait->prev = tenant->last;
  if (tenant->last != NULL) tenant->last->next = wait;
  else tenant->first = wait;
  tenant->last = wait;
  wait->is_queued = true;
  model->waiters++;
  cox_lease_tally_locked(leases, &leases->waiters, 1);
  cox_wheel_add(&leases->waits, &wait->timer, deadline_us);
  return 0;
}

/* Leaves the model, which may have no use any more: its caller drops it. */
static void leave_locked(struct cox_leases *leases, struct cox_lease_wait *wait) COX_REQUIRES(COX_POOL) {
  struct cox_lease_tenant *const tenant = wait->tenant;
  struct cox_lease_model *const model = tenant->model;
  if (wait->prev != NULL) wait->prev->next = wait->next;
  else tenant->first = wait->next;
  if (wait->next != NULL) wait->next->prev = wait->prev;
  else tenant->last = wait->prev;
  wait->prev = wait->next = NULL;
  wait->tenant = NULL;
  wait->is_queued = false;
  cox_wheel_remove(&wait->timer);
  model->waiters--;
  cox_lease_tally_locked(leases, &leases->waiters, -1);
  if (tenant->first == NULL) destroy_tenant(tenant);
}

void cox_waits_leave_locked(struct cox_leases *leases, struct cox_lease_wait *wait) {
  struct cox_lease_model *const model = wait->tenant->model;
  const bool was_first = wait->prev == NULL;
  leave_locked(leases, wait);
  if (was_first) cox_waits_open_locked(leases, model); /* the next of its tenant may be less choosy */
  cox_index_drop_model_locked(leases, model);
}

/* The next of the ring that can use what is free; `looks` bounds the search, and the ring stands where it ended. */
static struct cox_lease_wait *serve_one_locked(struct cox_leases *leases, struct cox_lease_model *model, unsigned *looks)
    COX_REQUIRES(COX_POOL) {
  const struct cox_lease_tenant *first_refused = NULL;
  while (model->turn != NULL && model->turn != first_refused && *looks > 0) {
    struct cox_lease_tenant *const tenant = model->turn;
    struct cox_lease_wait *const wait = tenant->first;
    --*looks;
    model->turn = tenant->next;
    if (!cox_index_pick_locked(leases, model, wait->ask, &wait->slot)) {
      if (first_refused == NULL) first_refused = tenant;
      continue;
    }
    wait->rc = 0;
    cox_lease_count_locked(leases, COX_LEASE_GRANTED_LATE);
    leave_locked(leases, wait);
    return wait;
  }
  return NULL;
}

struct cox_lease_wait *cox_waits_serve_locked(struct cox_leases *leases, struct cox_lease_model *model) {
  struct cox_lease_wait *list = NULL, **last = &list;
  unsigned looks = COX_LEASE_HEADS_MAX;
  for (int served = 0; model->turn != NULL && cox_index_has_free_locked(leases, model); served++) {
    leases->is_limited = leases->is_limited || leases->held >= leases->options.max;
    if (leases->held >= leases->options.max) break;
    struct cox_lease_wait *const wait = served < COX_LEASE_BATCH ? serve_one_locked(leases, model, &looks) : NULL;
    if (wait == NULL) {
      if (served == COX_LEASE_BATCH || looks == 0) cox_waits_open_locked(leases, model); /* the rest: next turn */
      break;
    }
    *last = wait;
    last = &wait->next;
  }
  return list;
}

void cox_waits_open_locked(struct cox_leases *leases, struct cox_lease_model *model) {
  if (model->is_open || model->waiters == 0 || cox_fault("lease_wait.wakes_nobody")) return;
  model->is_open = true;
  model->next_open = leases->open;
  leases->open = model;
  atomic_store(&leases->has_work, true);
}

static void end_one(struct cox_broker *broker, struct cox_lease_wait *wait) {
  struct cox_lease_grant grant = {0};
  if (wait->rc == 0) wait->rc = cox_lease_enter(broker, &wait->slot, wait->ttl_ms, &grant);
  wait->done(wait, wait->rc, wait->rc == 0 ? &grant : NULL);
}

void cox_waits_end(struct cox_broker *broker, struct cox_lease_wait *list) {
  while (list != NULL) {
    struct cox_lease_wait *const wait = list;
    list = wait->next; /* `done` may free it */
    wait->next = NULL;
    end_one(broker, wait);
  }
}
