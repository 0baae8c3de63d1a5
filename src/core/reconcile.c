/* The reconciler: the only place that starts and cancels attempts. It works on the set of nodes that something changed about
 * (keys, not events, as in client-go's workqueue), in write sections of at most COX_PASS_NODES nodes, and talks to the
 * transport between them. Losing a trigger costs at most one tick.                                                        */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "core/engine.h"

#define LOCK broker->registry.lock

enum { GRACE_US = 5000000 /* after an attempt's deadline, before the watchdog ends it */, FALLBACK_LIMIT_S = 60, EXTENSION_FACTOR = 4 };

/* What one write section found to do; done after it. */
struct pass {
  int64_t now_us, now_ms;
  size_t starts;
  struct cox_attempt *start[COX_PASS_NODES];
  size_t cancels;
  struct {
    unsigned worker;
    uint64_t attempt;
  } cancel[COX_PASS_NODES + COX_PASS_NODES];
  json_t *unknown_kind; /* held: its limits must be asked for before its node can be dispatched */
};

int cox_reconciler_init(struct cox_reconciler *reconciler) {
  memset(reconciler, 0, sizeof *reconciler);
  cox_mutex_init(&reconciler->mutex);
  cox_cond_init(&reconciler->cond);
  return 0;
}

static void forget_limits(struct cox_reconciler *reconciler) {
  for (size_t i = 0; i < reconciler->kinds; i++) json_decref(reconciler->limits[i].kind);
  reconciler->kinds = 0;
}

void cox_reconciler_fini(struct cox_reconciler *reconciler) {
  forget_limits(reconciler);
  for (size_t i = 0; i < reconciler->spares; i++) cox_attempt_destroy(reconciler->spare[i]);
  cox_timers_fini(&reconciler->timers);
  cox_cond_fini(&reconciler->cond);
  cox_mutex_fini(&reconciler->mutex);
}

void cox_reconciler_end(struct cox_reconciler *reconciler) {
  cox_mutex_lock(&reconciler->mutex);
  reconciler->is_ended = true;
  cox_cond_signal(&reconciler->cond);
  cox_mutex_unlock(&reconciler->mutex);
}

void cox_broker_trigger(struct cox_broker *broker) {
  cox_mutex_lock(&broker->reconciler.mutex);
  broker->reconciler.is_triggered = true;
  cox_mutex_unlock(&broker->reconciler.mutex);
  cox_cond_signal(&broker->reconciler.cond);
}

/* Seconds a driver of the node's kind may need; negative: not asked yet. */
static double limit_s(const struct cox_reconciler *reconciler, const struct cox_node *node, enum cox_status status) {
  const json_t *const kind = json_object_get(node->config, "kind");
  for (size_t i = 0; i < reconciler->kinds; i++) {
    if (json_equal(reconciler->limits[i].kind, kind)) return reconciler->limits[i].limit_s[status];
  }
  return -1;
}

/* Takes `kind`. */
static void ask_limits(struct cox_broker *broker, json_t *kind) COX_EXCLUDES(LOCK) {
  struct cox_reconciler *const reconciler = &broker->reconciler;
  const struct cox_policy *const policy = broker->options.policy;
  if (reconciler->kinds == COX_KINDS_MAX) forget_limits(reconciler);
  struct cox_limits *const limits = &reconciler->limits[reconciler->kinds++];
  limits->kind = kind;
  for (int status = 0; status < COX_STATUS_COUNT; status++) {
    const double seconds = policy->limit_s(policy->ctx, json_string_value(kind), (enum cox_status)status);
    /* Without a driver the attempt is made all the same: the worker says what is missing. */
    limits->limit_s[status] = seconds > 0 ? seconds : FALLBACK_LIMIT_S;
  }
}

static void plan_look_locked(struct cox_broker *broker, struct cox_node *node, int64_t at_us) COX_REQUIRES(LOCK) {
  if (node->look_at_us == at_us) return;
  if (cox_timers_add(&broker->reconciler.timers, at_us, node->registration, COX_TIMER_LOOK) == 0) node->look_at_us = at_us;
}

static double draw_locked(struct cox_broker *broker, double from, double to) COX_REQUIRES(LOCK) {
  return from + cox_rng_unit(&broker->registry.rng) * (to - from);
}

static void plan_probe_locked(struct cox_broker *broker, struct cox_node *node, int64_t now_us) COX_REQUIRES(LOCK) {
  const double interval_s = broker->options.probe_interval_s;
  if (interval_s < 0) return;
  const double first_s = interval_s / 10 < 1 ? interval_s / 10 : 1;
  const double wait_s = node->probe_at_us != 0 ? draw_locked(broker, 0.9 * interval_s, 1.1 * interval_s)
                                              : draw_locked(broker, 0, first_s);
  const int64_t at_us = now_us + (int64_t)(wait_s * 1e6);
  if (cox_timers_add(&broker->reconciler.timers, at_us, node->registration, COX_TIMER_PROBE) == 0) node->probe_at_us = at_us;
}

static struct cox_attempt *begin_locked(struct cox_broker *broker, struct cox_node *node, struct pass *pass,
                                        enum cox_attempt_kind kind) COX_REQUIRES(LOCK) {
  assert(broker->reconciler.spares > 0);
  struct cox_attempt *const attempt = broker->reconciler.spare[--broker->reconciler.spares];
  attempt->kind = kind;
  attempt->fence = (struct cox_fence){.term = 1, .registration = node->registration, .generation = node->generation,
                                      .attempt = ++broker->registry.attempts};
  attempt->worker = (unsigned)(node->registration % broker->options.transport->workers);
  attempt->node = json_incref(node->config);
  attempt->target = cox_target_hold(node->target);
  attempt->applied = cox_target_hold(node->applied);
  attempt->memory = json_incref(node->memory);
  attempt->unanswered = attempt->result.unanswered = node->unanswered;
  attempt->started_us = pass->now_us;
  broker->registry.in_flight++;
  pass->start[pass->starts++] = attempt;
  return attempt;
}

static void dispatch_locked(struct cox_broker *broker, struct cox_node *node, struct pass *pass, double seconds)
    COX_REQUIRES(LOCK) {
  node->change++;
  struct cox_attempt *const attempt = begin_locked(broker, node, pass, COX_ATTEMPT_REACH);
  attempt->deadline_us = cox_fault("reconcile.forgets_deadline") ? INT64_MAX / 2 : pass->now_us + (int64_t)(seconds * 1e6);
  /* A driver may ask for more time while its target stands; the end of the phase changes the target and cancels it. */
  attempt->deadline_max_us = pass->now_us + (int64_t)(seconds * EXTENSION_FACTOR * 1e6);
  attempt->change = node->change;
  node->flight = (struct cox_in_flight){
      .attempt = attempt->fence.attempt,
      .generation = node->generation,
      .worker = attempt->worker,
      .started_us = pass->now_us,
      .started_ms = pass->now_ms,
      .deadline_us = attempt->deadline_us,
      .target = cox_target_hold(node->target),
  };
  cox_lease_push_locked(broker, node);
  plan_look_locked(broker, node, attempt->deadline_us + GRACE_US);
}

static void probe_locked(struct cox_broker *broker, struct cox_node *node, struct pass *pass) COX_REQUIRES(LOCK) {
  node->wants_probe = false;
  struct cox_attempt *const attempt = begin_locked(broker, node, pass, COX_ATTEMPT_PROBE);
  attempt->deadline_us = pass->now_us + (int64_t)(broker->options.probe_timeout_s * 1e6);
  attempt->deadline_max_us = attempt->deadline_us;
  attempt->change = node->change;
  node->probe = attempt->fence.attempt;
  node->probe_worker = attempt->worker;
}

static void cancel(struct pass *pass, unsigned worker, uint64_t attempt) {
  pass->cancel[pass->cancels].worker = worker;
  pass->cancel[pass->cancels++].attempt = attempt;
}

static void look_at_flight_locked(struct cox_broker *broker, struct cox_node *node, struct pass *pass) COX_REQUIRES(LOCK) {
  struct cox_in_flight *const flight = &node->flight;
  if (flight->is_cancelled) return;
  const bool is_outdated = flight->generation != node->generation || flight->is_unwanted;
  const bool is_overdue = pass->now_us >= flight->deadline_us + GRACE_US;
  if (is_outdated || is_overdue || atomic_load(&broker->is_stopping)) {
    flight->is_cancelled = true;
    flight->cancelled_us = pass->now_us;
    if (!cox_fault("reconcile.forgets_cancel")) cancel(pass, flight->worker, flight->attempt);
  } else {
    plan_look_locked(broker, node, flight->deadline_us + GRACE_US);
  }
}

static void stop_probe_locked(struct cox_broker *broker, struct cox_node *node, struct pass *pass) COX_REQUIRES(LOCK) {
  (void)broker;
  if (node->probe == 0 || node->is_probe_cancelled) return;
  node->is_probe_cancelled = true;
  cancel(pass, node->probe_worker, node->probe);
}

/* Level-triggered: looks at what is, not at what happened. False: the limits of its driver must be asked for first. */
static bool look_locked(struct cox_broker *broker, struct cox_node *node, struct pass *pass) COX_REQUIRES(LOCK) {
  if (node->flight.attempt != 0) look_at_flight_locked(broker, node, pass);
  if (atomic_load(&broker->is_stopping)) {
    stop_probe_locked(broker, node, pass);
    return true;
  }
  if (node->probe_at_us == 0) plan_probe_locked(broker, node, pass->now_us);
  if (node->flight.attempt != 0) return true;
  if (broker->registry.is_armed && cox_node_needs_attempt(node)) {
    int64_t look_us;
    if (node->next_at_us > pass->now_us && !cox_fault("reconcile.ignores_backoff")) {
      plan_look_locked(broker, node, node->next_at_us);
    } else if (cox_drain_goes_on_locked(broker, node, pass->now_us, &look_us)) {
      plan_look_locked(broker, node, look_us);
    } else if (!cox_registry_is_departing_locked(&broker->registry, node->url_hash)) { /* else its end marks the node */
      const double seconds = limit_s(&broker->reconciler, node, node->target->status);
      if (seconds < 0) return false;
      dispatch_locked(broker, node, pass, seconds);
      return true;
    }
  }
  if (node->wants_probe && node->probe == 0) probe_locked(broker, node, pass);
  return true;
}

static void stop_departing_locked(struct cox_broker *broker, struct pass *pass) COX_REQUIRES(LOCK) {
  struct cox_registry *const registry = &broker->registry;
  for (size_t i = 0; i < registry->departing_count && pass->cancels < COX_PASS_NODES; i++) {
    if (registry->departing[i].is_cancelled) continue;
    registry->departing[i].is_cancelled = true;
    cancel(pass, registry->departing[i].worker, registry->departing[i].attempt);
  }
}

enum { CACHE_LINE = 64, ALIKE_US = 1000 };

static void fetch(const void *start, size_t size) {
  for (size_t at = 0; at < size; at += CACHE_LINE) __builtin_prefetch((const char *)start + at);
}

/* Ten thousand nodes fit into no cache, and waiting for them is most of a pass: the one after the next is asked for while this one is
 * looked at, and what the next one points to.                                                                                     */
static void fetch_ahead_locked(const struct cox_broker *broker) COX_REQUIRES_SHARED(LOCK) {
  const struct cox_node *const next = broker->registry.dirty_first;
  if (next == NULL) return;
  if (next->dirty_next != NULL) fetch(next->dirty_next, sizeof *next);
  fetch(next->config, sizeof *next->config);
  if (next->target != NULL) fetch(next->target, sizeof *next->target);
  if (next->applied != NULL && next->applied != next->target) fetch(next->applied, CACHE_LINE);
}

/* One write section; returns the nodes looked at. */
static size_t section_locked(struct cox_broker *broker, struct pass *pass) COX_REQUIRES(LOCK) {
  stop_departing_locked(broker, pass);
  size_t looked = 0, alike = 0; /* a command marks its nodes at one moment, all but a millisecond: they waited equally long */
  int64_t dirty_at_us = 0;
  while (looked < COX_PASS_NODES && pass->cancels < COX_PASS_NODES && broker->reconciler.spares > 0) {
    struct cox_node *const node = cox_registry_take_dirty_locked(&broker->registry);
    if (node == NULL) break;
    fetch_ahead_locked(broker);
    looked++;
    if (alike > 0 && llabs(node->dirty_at_us - dirty_at_us) > ALIKE_US) {
      cox_histogram_add(&broker->metrics.queued_s, pass->now_us - dirty_at_us, alike);
      alike = 0;
    }
    if (alike++ == 0) dirty_at_us = node->dirty_at_us;
    if (look_locked(broker, node, pass)) continue;
    pass->unknown_kind = json_incref(json_object_get(node->config, "kind"));
    cox_registry_mark_locked(&broker->registry, node);
    break;
  }
  if (alike > 0) cox_histogram_add(&broker->metrics.queued_s, pass->now_us - dirty_at_us, alike);
  return looked;
}

static void refill(struct cox_reconciler *reconciler) {
  while (reconciler->spares < COX_PASS_NODES) {
    struct cox_attempt *const attempt = cox_attempt_create(COX_ATTEMPT_REACH);
    if (attempt == NULL) return; /* what is left undone stays dirty */
    reconciler->spare[reconciler->spares++] = attempt;
  }
}

static void hand_over(struct cox_broker *broker, const struct pass *pass) COX_EXCLUDES(LOCK) {
  const struct cox_transport *const transport = broker->options.transport;
  for (size_t i = 0; i < pass->cancels; i++) transport->cancel(transport->ctx, pass->cancel[i].worker, pass->cancel[i].attempt);
  size_t probes = 0;
  for (size_t i = 0; i < pass->starts; i++) probes += pass->start[i]->kind == COX_ATTEMPT_PROBE;
  for (size_t i = 0; i < pass->starts; i++) transport->start(transport->ctx, pass->start[i]);
  atomic_fetch_add_explicit(&broker->counters.cancels, pass->cancels, memory_order_relaxed);
  atomic_fetch_add_explicit(&broker->counters.probes, probes, memory_order_relaxed);
  atomic_fetch_add_explicit(&broker->counters.attempts_started, pass->starts - probes, memory_order_relaxed);
}

static void timer_due_locked(struct cox_broker *broker, const struct cox_timer *timer, int64_t now_us) COX_REQUIRES(LOCK) {
  struct cox_node *const node = cox_registry_find_registration(&broker->registry, timer->registration);
  if (node == NULL) return; /* removed meanwhile */
  if (timer->kind == COX_TIMER_PROBE) {
    if (node->probe_at_us != timer->at_us) return; /* the node was away meanwhile and has a new one */
    plan_probe_locked(broker, node, now_us);
    node->wants_probe = true;
  } else if (node->look_at_us == timer->at_us) {
    node->look_at_us = 0;
  }
  cox_registry_mark_locked(&broker->registry, node);
}

static void timers_due(struct cox_broker *broker, int64_t now_us) COX_EXCLUDES(LOCK) {
  struct cox_timers *const timers = &broker->reconciler.timers;
  while (cox_timers_next(timers) <= now_us) {
    cox_rwlock_write(&LOCK);
    for (int i = 0; i < COX_PASS_NODES && cox_timers_next(timers) <= now_us; i++) {
      const struct cox_timer timer = cox_timers_pop(timers);
      timer_due_locked(broker, &timer, now_us);
    }
    cox_rwlock_write_unlock(&LOCK);
  }
}

static void resync_due(struct cox_broker *broker, int64_t now_us) COX_EXCLUDES(LOCK) {
  struct cox_reconciler *const reconciler = &broker->reconciler;
  const int64_t interval_us = (int64_t)(broker->options.interval_s * 1e6), resync_us = (int64_t)(broker->options.resync_s * 1e6);
  if (reconciler->tick_at_us <= now_us) reconciler->tick_at_us = now_us + interval_us;
  if (reconciler->resync_at_us > now_us) return;
  const bool is_first = reconciler->resync_at_us == 0;
  reconciler->resync_at_us = now_us + resync_us;
  if (is_first) return;
  cox_rwlock_write(&LOCK);
  cox_registry_mark_all_locked(&broker->registry);
  cox_rwlock_write_unlock(&LOCK);
}

/* cox-command has something to do by now. It plans anew when it has turned. Returns 1, or 0 when it is not time yet. */
static size_t alarm_due(struct cox_broker *broker, int64_t now_us) {
  int64_t at_us = atomic_load(&broker->alarm_us);
  if (at_us > now_us || !atomic_compare_exchange_strong(&broker->alarm_us, &at_us, INT64_MAX)) return 0;
  cox_commands_wake(&broker->commands);
  return 1;
}

/* Each of the nodes took its share. */
static void note_work(struct cox_broker *broker, int64_t since_us, size_t count) {
  atomic_store(&broker->metrics.working_since_us, 0);
  if (count == 0) return;
  const int64_t took_us = cox_clock_mono_us(broker->options.clock) - since_us;
  cox_histogram_add(&broker->metrics.work_s, took_us / (int64_t)count, count);
}

/* Encoding ten thousand targets beside a pass over their nodes slows both down; nobody waits for the store but its own answers. */
static void hold_store(const struct cox_broker *broker, bool is_held) {
  const struct cox_store *const store = broker->options.store;
  if (store != NULL && store->hold != NULL) store->hold(store->ctx, is_held);
}

size_t cox_broker_step_reconcile(struct cox_broker *broker, int64_t *next_us) {
  struct cox_reconciler *const reconciler = &broker->reconciler;
  struct pass pass; /* its lists are long and mostly unused: clearing them would be most of an idle pass */
  pass.now_us = cox_clock_mono_us(broker->options.clock);
  atomic_store_explicit(&broker->heart.reconcile_us, pass.now_us, memory_order_relaxed);
  pass.now_ms = cox_clock_wall_ms(broker->options.clock);
  const uint64_t policy = broker->options.policy->generation(broker->options.policy->ctx);
  if (policy != reconciler->policy) forget_limits(reconciler);
  reconciler->policy = policy;
  resync_due(broker, pass.now_us);
  timers_due(broker, pass.now_us);
  int64_t lease_us;
  size_t looked = cox_lease_turn(broker, &lease_us) + alarm_due(broker, pass.now_us);
  cox_drain_mark_ended(broker);
  bool has_more, is_long = false;
  do {
    refill(reconciler);
    pass.starts = pass.cancels = 0;
    pass.unknown_kind = NULL;
    const int64_t since_us = cox_clock_mono_us(broker->options.clock);
    atomic_store(&broker->metrics.working_since_us, since_us);
    cox_rwlock_write(&LOCK);
    const size_t count = section_locked(broker, &pass);
    has_more = broker->registry.dirty_first != NULL && reconciler->spares + count > 0;
    cox_rwlock_write_unlock(&LOCK);
    note_work(broker, since_us, count);
    if (has_more && !is_long) hold_store(broker, is_long = true);
    if (pass.unknown_kind != NULL) ask_limits(broker, pass.unknown_kind);
    hand_over(broker, &pass);
    looked += count;
  } while (has_more || pass.cancels >= COX_PASS_NODES);
  if (is_long) hold_store(broker, false);
  const int64_t timer_us = cox_timers_next(&reconciler->timers);
  int64_t next = reconciler->tick_at_us < reconciler->resync_at_us ? reconciler->tick_at_us : reconciler->resync_at_us;
  if (timer_us < next) next = timer_us;
  if (lease_us < next) next = lease_us;
  const int64_t alarm_us = atomic_load(&broker->alarm_us);
  if (alarm_us < next) next = alarm_us;
  if (next_us != NULL) *next_us = next;
  return looked;
}

void cox_reconciler_run(void *arg) {
  struct cox_broker *const broker = arg;
  struct cox_reconciler *const reconciler = &broker->reconciler;
  bool is_ended = false;
  while (!is_ended) {
    int64_t next_us;
    cox_broker_step_reconcile(broker, &next_us);
    cox_mutex_lock(&reconciler->mutex);
    while (!reconciler->is_triggered && !reconciler->is_ended) {
      const int64_t wait_us = next_us - cox_clock_mono_us(broker->options.clock);
      if (wait_us <= 0 || !cox_cond_wait_us(&reconciler->cond, &reconciler->mutex, wait_us)) break;
    }
    reconciler->is_triggered = false;
    is_ended = reconciler->is_ended;
    cox_mutex_unlock(&reconciler->mutex);
  }
}
