/* Acquire, renew, release. */
#include "core/lease.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "core/lease_private.h"

static int64_t now_us(const struct cox_leases *leases) { return cox_clock_mono_us(leases->clock); }

void cox_lease_grant_fini(struct cox_lease_grant *grant) {
  cox_lease_place_release(grant->place);
  grant->place = NULL;
}

/* Whoever changed the pool calls this without its lock: what cannot be done here is done by cox-reconcile. */
static void wake(struct cox_broker *broker) {
  if (atomic_load_explicit(&broker->leases->has_work, memory_order_relaxed)) cox_broker_trigger(broker);
}

/* From now on a turn comes by itself until there is nothing to expire. */
static void tick_locked(struct cox_leases *leases) COX_REQUIRES(COX_POOL) {
  if (leases->is_ticking) return;
  leases->is_ticking = true;
  atomic_store(&leases->has_work, true);
}

static int check_ttl(int64_t ttl_ms, struct cox_err *err) {
  if (ttl_ms >= 0 && ttl_ms <= COX_LEASE_TTL_MAX_MS) return 0;
  return cox_err_set(err, COX_EINVAL, "ttl_ms must be from 1 to %d (24 h), not %lld", COX_LEASE_TTL_MAX_MS, (long long)ttl_ms);
}

static int check_ask(const struct cox_lease_ask *ask, int64_t wait_ms, struct cox_err *err) {
  if (ask->model == NULL || ask->model[0] == '\0') return cox_err_set(err, COX_EINVAL, "a lease needs the name of a model");
  if (ask->skips > COX_LEASE_SKIPS_MAX) {
    return cox_err_set(err, COX_EINVAL, "skip names %zu nodes: at most %d are allowed", ask->skips, COX_LEASE_SKIPS_MAX);
  }
  if (wait_ms < 0 || wait_ms > COX_LEASE_WAIT_MAX_MS) {
    return cox_err_set(err, COX_EINVAL, "wait_ms must be from 0 to %d (10 min), not %lld", COX_LEASE_WAIT_MAX_MS, (long long)wait_ms);
  }
  return check_ttl(ask->ttl_ms, err);
}

/* ---- the end of a lease ---- */

static void note_drained_locked(struct cox_leases *leases, uint64_t registration) COX_REQUIRES(COX_POOL) {
  if (leases->drained_count == leases->drained_capacity) {
    const size_t capacity = leases->drained_capacity == 0 ? 16 : leases->drained_capacity * 2;
    uint64_t *const drained = realloc(leases->drained, capacity * sizeof *drained);
    if (drained == NULL) return; /* the reconciler looks at draining nodes from time to time anyway */
    leases->drained = drained;
    leases->drained_capacity = capacity;
  }
  leases->drained[leases->drained_count++] = registration;
  atomic_store(&leases->has_work, true);
}

struct cox_lease_wait *cox_lease_end_locked(struct cox_leases *leases, struct cox_lease_node *node, enum cox_lease_outcome outcome,
                                            uint32_t trial, int64_t at_us) {
  node->count--;
  leases->held--;
  if (atomic_load_explicit(&node->is_gone, memory_order_relaxed)) {
    if (node->count > 0) return NULL;
    cox_lease_tally_locked(leases, &leases->ghosts, -1);
    cox_lease_node_free_locked(leases, node);
    return NULL;
  }
  cox_lease_tally_locked(leases, &leases->active, -1);
  if (node->count == 0 && node->is_draining && !cox_fault("lease.forgets_drained")) note_drained_locked(leases, node->registration);
  if (!node->is_serving) return NULL;
  node->group->load--;
  if (outcome != COX_LEASE_UNSAID || trial != 0) {
    cox_health_feed_locked(leases, node, outcome, trial != 0 && trial == node->trial, at_us);
  }
  cox_index_rekey_locked(leases, node);
  return node->group->model->waiters > 0 ? cox_waits_serve_locked(leases, node->group->model) : NULL;
}

/* ---- acquire ---- */

int cox_lease_enter(struct cox_broker *broker, const struct cox_lease_slot *slot, int64_t ttl_ms, struct cox_lease_grant *grant) {
  struct cox_leases *const leases = broker->leases;
  if (ttl_ms == 0) ttl_ms = COX_LEASE_TTL_MS;
  const int64_t at_us = now_us(leases);
  const struct cox_lease_id id = cox_mint_id(&leases->mint, slot->number);
  if (cox_shards_enter(leases, id, slot->node, slot->trial, false, at_us + ttl_ms * 1000) == 0) {
    *grant = (struct cox_lease_grant){.id = id, .place = slot->place, .expires_ms = leases->wall_offset_ms + at_us / 1000 + ttl_ms};
    return 0;
  }
  cox_mutex_lock_brief(&leases->mutex);
  struct cox_lease_wait *const list = cox_lease_end_locked(leases, slot->node, COX_LEASE_UNSAID, slot->trial, at_us);
  cox_mutex_unlock(&leases->mutex);
  cox_lease_place_release(slot->place);
  cox_waits_end(broker, list);
  return COX_ENOMEM;
}

static int wait_locked(struct cox_leases *leases, const struct cox_lease_ask *ask, struct cox_lease_wait *wait, int64_t wait_ms)
    COX_REQUIRES(COX_POOL) {
  struct cox_lease_model *const model = cox_index_make_model_locked(leases, ask->model);
  if (model == NULL) return COX_ENOMEM;
  wait->ask = ask;
  wait->ttl_ms = ask->ttl_ms;
  wait->timer = (struct cox_wheel_entry){0};
  if (model->waiters >= leases->options.waiters_max) return COX_EFULL;
  if (cox_waits_enter_locked(leases, model, wait, now_us(leases) + wait_ms * 1000) == 0) return COX_LEASE_WAITS;
  cox_index_drop_model_locked(leases, model);
  return COX_ENOMEM;
}

/* COX_ENOENT: nothing serves the model; whether any node names it must be found out without the lock, then `is_known`. */
static int try_locked(struct cox_leases *leases, const struct cox_lease_ask *ask, bool is_known, struct cox_lease_wait *wait,
                      int64_t wait_ms, struct cox_lease_slot *slot) COX_REQUIRES(COX_POOL) {
  if (leases->is_stopped) return COX_ESTOPPED;
  if (leases->held >= leases->options.max) return COX_EFULL;
  struct cox_lease_model *const model = cox_index_model_locked(leases, ask->model);
  tick_locked(leases);
  if (model != NULL && model->waiters == 0 && cox_index_pick_locked(leases, model, ask, slot)) {
    cox_lease_count_locked(leases, COX_LEASE_GRANTED);
    return 0;
  }
  if (!is_known && (model == NULL || model->groups == NULL)) return COX_ENOENT;
  if (wait == NULL || wait_ms == 0) return COX_EBUSY;
  return wait_locked(leases, ask, wait, wait_ms);
}

static int refuse(struct cox_leases *leases, const struct cox_lease_ask *ask, int rc, bool will_wait, struct cox_err *err) {
  enum cox_lease_count count = COX_LEASE_COUNTS;
  switch (rc) {
  case COX_EBUSY:
    if (!will_wait) count = COX_LEASE_BUSY;
    cox_err_set(err, rc, "no node is free for model %.200s now: wait with wait_ms, or try again later", ask->model);
    break;
  case COX_ENOENT:
    count = COX_LEASE_UNKNOWN_MODEL;
    cox_err_set(err, rc, "no node names model %.200s: neither a configuration nor the epoch's data does", ask->model);
    break;
  case COX_EFULL:
    count = COX_LEASE_REFUSED_FULL;
    cox_err_set(err, rc, "no lease for model %.200s: %zu leases are live, or %zu requests wait for it already; try again later",
                ask->model, leases->options.max, leases->options.waiters_max);
    break;
  case COX_ESTOPPED: cox_err_set(err, rc, "no lease for model %.200s: the broker is stopping", ask->model); break;
  default: cox_err_set(err, rc, "no lease for model %.200s: out of memory", ask->model);
  }
  if (count == COX_LEASE_COUNTS) return rc;
  cox_mutex_lock_brief(&leases->mutex);
  cox_lease_count_locked(leases, count);
  cox_mutex_unlock(&leases->mutex);
  return rc;
}

int cox_lease_acquire(struct cox_broker *broker, const struct cox_lease_ask *ask, int64_t wait_ms, struct cox_lease_wait *wait,
                      struct cox_lease_grant *grant, struct cox_err *err) {
  struct cox_leases *const leases = broker->leases;
  int rc = check_ask(ask, wait_ms, err);
  if (rc != 0) return rc;
  for (bool is_known = false;; is_known = true) {
    struct cox_lease_slot slot;
    struct cox_lease_wait *list = NULL;
    cox_mutex_lock_brief(&leases->mutex);
    rc = try_locked(leases, ask, is_known, wait, wait_ms, &slot);
    /* What is free may be nothing for those who wait, and right for this one. */
    if (rc == COX_LEASE_WAITS) list = cox_waits_serve_locked(leases, wait->tenant->model);
    cox_mutex_unlock(&leases->mutex);
    if (rc == 0) rc = cox_lease_enter(broker, &slot, ask->ttl_ms, grant);
    cox_waits_end(broker, list);
    wake(broker);
    if (rc >= 0) return rc;
    if (rc != COX_ENOENT || is_known || !cox_lease_is_named(broker, ask->model)) return refuse(leases, ask, rc, wait_ms > 0, err);
  }
}

bool cox_lease_cancel(struct cox_broker *broker, struct cox_lease_wait *wait) {
  struct cox_leases *const leases = broker->leases;
  cox_mutex_lock_brief(&leases->mutex);
  const bool is_mine = wait->is_queued;
  if (is_mine) {
    cox_waits_leave_locked(leases, wait);
    cox_lease_count_locked(leases, COX_LEASE_CANCELLED);
  }
  cox_mutex_unlock(&leases->mutex);
  wake(broker);
  return is_mine;
}

/* ---- blocking ---- */

struct blocked {
  struct cox_lease_wait wait;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  bool is_done;
  int rc;
  struct cox_lease_grant grant;
};

static void unblock(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  struct blocked *const blocked = COX_CONTAINER(wait, struct blocked, wait);
  cox_mutex_lock(&blocked->mutex);
  blocked->is_done = true;
  blocked->rc = rc;
  if (rc == 0) blocked->grant = *grant;
  cox_cond_signal(&blocked->cond);
  cox_mutex_unlock(&blocked->mutex);
}

static void block(struct cox_broker *broker, struct blocked *blocked, int64_t wait_ms) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + wait_ms * 1000;
  bool is_cancelled = false;
  cox_mutex_lock(&blocked->mutex);
  while (!blocked->is_done && !is_cancelled) {
    const int64_t left_us = end_us - cox_clock_mono_us(cox_clock_system());
    if (left_us > 0) {
      cox_cond_wait_us(&blocked->cond, &blocked->mutex, left_us);
      continue;
    }
    cox_mutex_unlock(&blocked->mutex); /* its `done` takes it */
    is_cancelled = cox_lease_cancel(broker, &blocked->wait);
    cox_mutex_lock(&blocked->mutex);
    while (!is_cancelled && !blocked->is_done) cox_cond_wait(&blocked->cond, &blocked->mutex);
  }
  if (!blocked->is_done) blocked->rc = COX_ETIME;
  cox_mutex_unlock(&blocked->mutex);
}

int cox_lease_acquire_blocking(struct cox_broker *broker, const struct cox_lease_ask *ask, int64_t wait_ms,
                               struct cox_lease_grant *grant, struct cox_err *err) {
  struct blocked blocked = {.wait.done = unblock};
  cox_mutex_init(&blocked.mutex);
  cox_cond_init(&blocked.cond);
  int rc = cox_lease_acquire(broker, ask, wait_ms, &blocked.wait, grant, err);
  if (rc == COX_LEASE_WAITS) {
    block(broker, &blocked, wait_ms);
    rc = blocked.rc;
    if (rc == 0) *grant = blocked.grant;
    else if (rc == COX_ETIME) cox_err_set(err, rc, "no node became free for model %.200s within %lld ms", ask->model, (long long)wait_ms);
    else cox_err_set(err, rc, "no lease for model %.200s: %s", ask->model, rc == COX_ESTOPPED ? "the broker is stopping" : "out of memory");
  }
  cox_cond_fini(&blocked.cond);
  cox_mutex_fini(&blocked.mutex);
  return rc;
}

/* ---- release and renew ---- */

static int ended(int code, struct cox_lease_id id, struct cox_err *err) {
  char text[COX_LEASE_ID_TEXT];
  cox_lease_id_format(id, text);
  if (code == COX_EGONE) return cox_err_set(err, code, "lease %s has ended: it was released, it expired, or its node was removed", text);
  return cox_err_set(err, code, "lease %s is unknown: this daemon never gave it out", text);
}

/* Was it given out before this start? Start 0 never was. */
static bool is_earlier(const struct cox_leases *leases, struct cox_lease_id id) {
  return cox_lease_id_start(id) > 0 && cox_lease_id_start(id) < leases->mint.start;
}

/* Of an id that is not in the table. */
static int missing(const struct cox_leases *leases, struct cox_lease_id id, struct cox_err *err) {
  if (!is_earlier(leases, id)) return ended(cox_mint_is_own(&leases->mint, id) ? COX_EGONE : COX_ENOENT, id, err);
  char text[COX_LEASE_ID_TEXT];
  cox_lease_id_format(id, text);
  return cox_err_set(err, COX_ENOENT, "lease %s is of an earlier start of this daemon, which kept none: while its request runs, renew it "
                     "with the node_id of its node within 24 h of the start, and it is taken over", text);
}

int cox_lease_release(struct cox_broker *broker, struct cox_lease_id id, enum cox_lease_outcome outcome, struct cox_err *err) {
  struct cox_leases *const leases = broker->leases;
  enum cox_shard_found found;
  struct cox_lease *const lease = cox_shards_leave(leases, id, &found);
  if (lease != NULL) {
    struct cox_lease_node *const node = lease->node;
    const uint32_t trial = lease->trial;
    const bool needs_time = outcome != COX_LEASE_UNSAID || trial != 0 || lease->is_adopted;
    const int64_t at_us = needs_time ? now_us(leases) : 0;
    cox_shards_dispose(leases, lease, at_us);
    cox_mutex_lock_brief(&leases->mutex);
    struct cox_lease_wait *const list = cox_lease_end_locked(leases, node, outcome, trial, at_us);
    if (found == COX_SHARD_FOUND) cox_lease_count_locked(leases, COX_LEASE_RELEASED);
    cox_mutex_unlock(&leases->mutex);
    if (list != NULL) cox_waits_end(broker, list);
    wake(broker);
  }
  if (found == COX_SHARD_FOUND) return 0;
  return found == COX_SHARD_ENDED ? ended(COX_EGONE, id, err) : missing(leases, id, err);
}

bool cox_lease_is_live(struct cox_broker *broker, struct cox_lease_id id) { return cox_shards_has(broker->leases, id); }

/* Requests of an earlier start run already: neither the limit of the node nor its state keeps them out. */
static int adopt(struct cox_broker *broker, struct cox_lease_id id, int64_t expires_us, const char *node_id, json_t **held_by,
                 struct cox_err *err) {
  struct cox_leases *const leases = broker->leases;
  cox_mutex_lock_brief(&leases->mutex);
  struct cox_lease_node *const node = cox_index_find_locked(leases, node_id);
  const bool is_full = leases->held >= leases->options.max, is_stopped = leases->is_stopped;
  if (node != NULL && !is_full && !is_stopped) {
    node->count++;
    cox_lease_tally_locked(leases, &leases->active, 1);
    leases->held++;
    if (node->is_serving) node->group->load++;
    cox_index_rekey_locked(leases, node);
    if (held_by != NULL) *held_by = json_incref(node->id_text);
    tick_locked(leases);
  }
  cox_mutex_unlock(&leases->mutex);
  if (node == NULL) return cox_err_set(err, COX_ENOENT, "the lease was not taken over: node %.200s is not registered", node_id);
  if (is_stopped) return cox_err_set(err, COX_ESTOPPED, "the lease was not taken over: the broker is stopping");
  if (is_full) return cox_err_set(err, COX_EFULL, "the lease was not taken over: %zu leases are live", leases->options.max);
  const int rc = cox_shards_enter(leases, id, node, 0, true, expires_us);
  cox_mutex_lock_brief(&leases->mutex);
  struct cox_lease_wait *const list = rc == 0 ? NULL : cox_lease_end_locked(leases, node, COX_LEASE_UNSAID, 0, 0);
  if (rc == 0) cox_lease_count_locked(leases, COX_LEASE_ADOPTED);
  cox_mutex_unlock(&leases->mutex);
  cox_waits_end(broker, list);
  wake(broker);
  if (rc == 0) return 0;
  if (held_by != NULL) json_decref(*held_by);
  return rc == COX_EBUSY ? rc : cox_err_set(err, rc, "the lease was not taken over: out of memory");
}

static bool is_adoptable(const struct cox_leases *leases, struct cox_lease_id id) {
  return is_earlier(leases, id) && now_us(leases) - leases->started_us < (int64_t)COX_LEASE_TTL_MAX_MS * 1000;
}

int cox_lease_renew(struct cox_broker *broker, struct cox_lease_id id, int64_t ttl_ms, const char *node_id, json_t **held_by,
                    int64_t *expires_ms, struct cox_err *err) {
  struct cox_leases *const leases = broker->leases;
  int rc = check_ttl(ttl_ms, err);
  if (rc != 0) return rc;
  const int64_t ttl = ttl_ms != 0 ? ttl_ms : COX_LEASE_TTL_MS, at_us = now_us(leases), expires_us = at_us + ttl * 1000;
  if (expires_ms != NULL) *expires_ms = leases->wall_offset_ms + at_us / 1000 + ttl;
  do {
    switch (cox_shards_renew(leases, id, expires_us, node_id, held_by)) {
    case COX_SHARD_FOUND:
      cox_mutex_lock_brief(&leases->mutex);
      cox_lease_count_locked(leases, COX_LEASE_RENEWED);
      cox_mutex_unlock(&leases->mutex);
      return 0;
    case COX_SHARD_OTHER: return cox_err_set(err, COX_EBUSY, "the lease was not renewed: it is not of node %.200s", node_id);
    case COX_SHARD_ENDED: return ended(COX_EGONE, id, err);
    case COX_SHARD_NONE: break;
    }
    if (node_id == NULL || !is_adoptable(leases, id)) return missing(leases, id, err);
    rc = adopt(broker, id, expires_us, node_id, held_by, err); /* COX_EBUSY: another thread was faster */
  } while (rc == COX_EBUSY);
  return rc;
}

bool cox_lease_outcome_parse(const char *text, enum cox_lease_outcome *out) {
  static const char *const names[] = {"", "success", "application_error", "transport_error", "timeout"};
  for (int i = 1; text != NULL && i < 5; i++) {
    if (strcmp(names[i], text) != 0) continue;
    *out = (enum cox_lease_outcome)i;
    return true;
  }
  return false;
}
