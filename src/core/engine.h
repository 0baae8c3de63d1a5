/* The inside of a broker: what its loops share. Internal to the core. */
#ifndef COX_CORE_ENGINE_H
#define COX_CORE_ENGINE_H

#include <stdatomic.h>

#include "base/queue.h"
#include "base/thread.h"
#include "core/broker.h"
#include "core/command.h"
#include "core/expiry.h"
#include "core/ledger.h"
#include "core/lease_push.h"
#include "core/metrics.h"
#include "core/registry.h"
#include "core/timers.h"

/* A driver pushed its deadline out; crosses from a worker to cox-command. */
struct cox_extension {
  struct cox_queue_link link;
  struct cox_fence fence;
  int64_t deadline_us;
  char reason[160];
};

/* What a command that was issued by another one decided from, when it last succeeded. */
struct cox_due {
  char name[64];
  uint64_t world_version, fleet_version, policy;
  int64_t at_us;
};

/* Seconds that a driver of one kind may need, kept because policy must not be asked under a lock. */
struct cox_limits {
  json_t *kind;
  double limit_s[COX_STATUS_COUNT];
};

enum { COX_PASS_NODES = 256, COX_KINDS_MAX = 64 };

/* Owned by cox-reconcile, but for what the mutex guards. */
struct cox_reconciler {
  struct cox_mutex mutex; /* guards the next two */
  bool is_triggered;
  bool is_ended;
  struct cox_cond cond;
  struct cox_timers timers;
  int64_t tick_at_us, resync_at_us; /* 0: not planned yet */
  struct cox_limits limits[COX_KINDS_MAX];
  size_t kinds;
  uint64_t policy; /* generation the limits came from */
  struct cox_attempt *spare[COX_PASS_NODES]; /* made outside of the lock, used under it */
  size_t spares;
};

struct cox_counters {
  atomic_uint_fast64_t stale_results, cancels, attempts_started, attempts_succeeded, attempts_failed, probes, commands;
};

/* When each loop last turned, on the broker's clock; for whoever watches over them. */
struct cox_heart {
  atomic_int_fast64_t command_us, reconcile_us;
};

struct cox_broker {
  struct cox_broker_options options; /* defaults filled in */
  struct cox_heart heart;
  json_t *callback_url;              /* string or NULL */
  struct cox_registry registry;
  struct cox_commands commands;
  struct cox_queue results, extensions; /* bounded by the attempts in flight */
  struct cox_reconciler reconciler;
  struct cox_leases *leases;
  struct cox_counters counters;
  struct cox_metrics metrics;
  bool owes_trigger;                     /* cox-command only: a transaction left work for cox-reconcile */
  uint64_t world_version, fleet_version; /* cox-command only: they move when something that policy decides from changes */
  struct cox_due due;                    /* cox-command only */
  struct cox_ledger ledger;
  struct cox_expiry expiry;              /* cox-command only */
  atomic_int_fast64_t alarm_us;          /* cox-reconcile wakes cox-command then, monotonic; INT64_MAX: nothing is planned */
  atomic_bool is_stopping;               /* nothing is dispatched any more, everything in flight is cancelled */
  struct cox_thread command_thread, reconcile_thread;
};

/* reconcile.c */
int cox_reconciler_init(struct cox_reconciler *reconciler);
void cox_reconciler_fini(struct cox_reconciler *reconciler);
void cox_reconciler_end(struct cox_reconciler *reconciler);
void cox_reconciler_run(void *broker); /* body of cox-reconcile */

/* result.c: handles all results that wait. Returns how many. */
size_t cox_results_handle(struct cox_broker *broker) COX_EXCLUDES(broker->registry.lock);

/* observe.c: what a probe saw. Returns true when the reconciler has to look at the node. */
bool cox_observe_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_attempt *probe, int64_t now_ms)
    COX_REQUIRES(broker->registry.lock);

/* drain.c: a node that leaves INFERENCE may end its leases first. */
/* Before the target is set: does it ask for a drain? */
void cox_drain_begin_locked(struct cox_broker *broker, struct cox_node *node, const struct cox_target *target)
    COX_REQUIRES(broker->registry.lock);
/* Must its dispatch wait? Then `look_us` is when to look again. */
bool cox_drain_goes_on_locked(struct cox_broker *broker, struct cox_node *node, int64_t now_us, int64_t *look_us)
    COX_REQUIRES(broker->registry.lock);
/* Marks those whose last lease ended. */
void cox_drain_mark_ended(struct cox_broker *broker) COX_EXCLUDES(broker->registry.lock);

/* due.c */
/* Must `name` run again? (What it decides from changed since it last succeeded, or resync_s passed.) */
bool cox_due_is_needed(const struct cox_broker *broker, const char *name);
void cox_due_succeeded(struct cox_broker *broker, const char *name);
/* Do the two worlds differ in anything that policy decides from? (Height, hash, time and age alone do not count.) */
bool cox_due_world_differs(json_t *left, json_t *right);

#endif
