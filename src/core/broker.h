/* The broker: registry, command loop and reconciler behind one handle. No global state outside of it.
 *
 * Threads: cox_broker_start runs cox-command and cox-reconcile. Without it the same two loops are driven by
 * cox_broker_step_*, single-threaded, under an injected clock: that is what tests and the simulator do.       */
#ifndef COX_CORE_BROKER_H
#define COX_CORE_BROKER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/answer.h"
#include "base/buf.h"
#include "core/attempt.h"
#include "core/condition.h"
#include "core/journal.h"
#include "core/lease.h"
#include "core/metrics.h"
#include "core/policy.h"
#include "core/store.h"
#include "core/transport.h"

struct cox_broker;

struct cox_broker_options {
  const struct cox_clock *clock;
  uint64_t seed;
  const struct cox_policy *policy;
  const struct cox_transport *transport; /* may be set later, before start, by cox_broker_set_transport */
  const struct cox_store *store;
  json_t *participant;        /* {"address","pubkey"}, borrowed; put into every world */
  const char *callback_url;
  size_t queue_max;           /* commands waiting per priority; 0: 4096 */
  double interval_s;          /* reconciler's ticker; 0: 30 */
  double resync_s;            /* full look at every node; 0: 300 */
  double backoff_s[2];        /* first and largest backoff; 0: 1, 60 */
  double probe_interval_s;    /* 0: 15; negative: no probes */
  double probe_timeout_s;     /* 0: 5 */
  unsigned probe_fall, probe_rise; /* 0: 3, 1 */
  struct cox_lease_options leases;
};

struct cox_broker *cox_broker_create(const struct cox_broker_options *options, struct cox_err *err);
/* Before start: takes over what the store holds. Nodes are UNKNOWN and unsettled then, and no attempt starts before the first
 * synced block. 0, or the reason why the store cannot be used.                                                                */
int cox_broker_load(struct cox_broker *broker, struct cox_err *err);
/* Number of this start of the daemon on its store: counts up with each, from 1; 0: the store keeps nothing. */
uint32_t cox_broker_start_number(const struct cox_broker *broker);
void cox_broker_set_transport(struct cox_broker *broker, const struct cox_transport *transport);
/* All threads must be stopped, every attempt given back and the store closed (the store itself may still be there). */
void cox_broker_destroy(struct cox_broker *broker);
int cox_broker_start(struct cox_broker *broker, struct cox_err *err);
/* Refuses new commands, answers all waiting ones with COX_ESTOPPED, cancels all attempts and waits until each came
 * back (at most `timeout_ms`), joins the threads. The transport must still run.                                     */
void cox_broker_stop(struct cox_broker *broker, int64_t timeout_ms);

/* Any thread; never blocks. `args` is borrowed (NULL: {}). COX_ENOENT unknown command, COX_EFULL, COX_ESTOPPED:
 * then `reply` is not called. It is called on cox-command, on the store's thread (what a change answers is stored), or, for a command
 * that waits, on the worker that ran it. */
int cox_broker_submit(struct cox_broker *broker, const char *name, json_t *args, cox_reply_fn *reply, void *arg,
                      struct cox_err *err);
/* Same, and says who asks, for the journal ("http 10.0.0.7", "nodes file"); cox_broker_submit gives the thread's name. The handler
 * runs only if `condition` (borrowed, NULL: none) holds then; else the answer is COX_EMATCH.                                      */
int cox_broker_submit_as(struct cox_broker *broker, const char *caller, const char *name, json_t *args,
                         const struct cox_condition *condition, cox_reply_fn *reply, void *arg, struct cox_err *err);
/* Submits and waits at most `timeout_ms` for the answer (COX_ETIME: not answered in time, not undone). Not for threads
 * that must not wait. The caller ends `answer` with cox_answer_fini.                                                   */
int cox_broker_call(struct cox_broker *broker, const char *name, json_t *args, int64_t timeout_ms,
                    struct cox_answer *answer, struct cox_err *err);

/* Any thread: the worker gives an attempt back. Takes it. */
void cox_broker_complete(struct cox_broker *broker, struct cox_attempt *attempt);
/* Any thread: a driver pushed the deadline of its attempt out; shown in the node's state. */
void cox_broker_extended(struct cox_broker *broker, const struct cox_fence *fence, int64_t deadline_us, const char *reason);
/* Any thread: policy->turn is to be called soon. */
void cox_broker_turn(struct cox_broker *broker);
/* Any thread: a pass now. */
void cox_broker_trigger(struct cox_broker *broker);

/* Readers (any thread; read lock for a bounded copy of references, rendering outside of it). New references. */
json_t *cox_broker_nodes_json(struct cox_broker *broker);                 /* [{"node","state"}] ordered by node_num */
json_t *cox_broker_node_json(struct cox_broker *broker, const char *id);  /* one of these, or NULL */
/* Some of them: at most `max` from node number *next on, which moves behind the last; empty: no more. For those who must not be
 * held up by a whole fleet. */
json_t *cox_broker_nodes_slice_json(struct cox_broker *broker, int *next, size_t max);
json_t *cox_broker_world_json(struct cox_broker *broker);                 /* the world; {} before the first block */
json_t *cox_broker_ids_json(struct cox_broker *broker);                   /* ids ordered by node_num: cheap */

/* The same as compact text, appended to `buf`: made for readers who send it on. 0 or COX_ENOMEM; the one node: COX_ENOENT
 * when it is unknown, else its tag too. The long one lets other threads run in between.                                  */
bool cox_broker_has_node(struct cox_broker *broker, const char *id);
int cox_broker_nodes_text(struct cox_broker *broker, struct cox_buf *buf);
int cox_broker_node_text(struct cox_broker *broker, const char *id, struct cox_buf *buf, char tag[COX_TAG_MAX]);

/* ---- the journal and the store ---- */

/* Any thread: can nothing be changed that must be durable, because the store cannot be written? The reason goes into `err`. */
bool cox_broker_is_degraded(struct cox_broker *broker, struct cox_err *err);
/* Any thread; never blocks: a line of the journal. `kind` is "reload" or "note"; takes `fields` (an object), also when it fails.
 * COX_EFULL: too many such lines are on their way.                                                                              */
int cox_broker_note(struct cox_broker *broker, const char *kind, const char *node_id, json_t *fields, struct cox_err *err);

/* Any thread: records of the journal after number `since` as {"events": [at most `max`], "next": go on after this number,
 * "oldest": the oldest number in memory, "last": the last number}. When since + 1 < oldest there may be records between them that only the store has:
 * cox_broker_events_stored. A new reference.                                                                                   */
json_t *cox_broker_events_json(struct cox_broker *broker, uint64_t since, size_t max, const struct cox_event_filter *filter);
/* Any thread: may a line still be missing that tells of something answered before this call? It comes into the journal when it is durable. */
bool cox_broker_events_is_behind(struct cox_broker *broker);
/* Any thread; never blocks: `done` is called, once, from any thread, as soon as no such line is missing any more (or at the end: the broker
 * has stopped). 0, COX_ENOMEM, COX_EFULL: then it is not called.                                                                       */
int cox_broker_events_catch_up(struct cox_broker *broker, void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err);
/* Any thread; never blocks: asks the store for older records. 0, or COX_EFULL; then `read->done` is not called. */
int cox_broker_events_stored(struct cox_broker *broker, struct cox_store_read *read, struct cox_err *err);
uint64_t cox_broker_events_last(struct cox_broker *broker);
/* As cox_journal_wait and cox_journal_cancel. */
bool cox_broker_events_wait(struct cox_broker *broker, uint64_t since, struct cox_event_waiter *waiter);
bool cox_broker_events_cancel(struct cox_broker *broker, struct cox_event_waiter *waiter);

/* Small durable tables for others: answers by idempotency key, what the nodes file said, the choice of scripts. Any thread; never blocks.
 * Takes `value` (NULL: forget `name`), also when it fails. `done` (may be NULL) comes once, from any thread: after the commit,
 * or with the error, and then the old value stands. COX_EFULL, COX_EINVAL (a bad name, or larger than COX_KEEP_VALUE_MAX).      */
int cox_broker_keep(struct cox_broker *broker, const char *table, const char *name, json_t *value,
                    void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err);
/* The same for several of one table, {name: value, or null: forget it} (borrowed): all in one commit, or none. */
int cox_broker_keep_all(struct cox_broker *broker, const char *table, json_t *values, void (*done)(void *arg, const struct cox_err *err),
                        void *arg, struct cox_err *err);
/* What was kept last; a new reference to an immutable value, NULL: nothing. */
json_t *cox_broker_kept(struct cox_broker *broker, const char *table, const char *name);
/* A whole table as a new object. */
json_t *cox_broker_kept_all(struct cox_broker *broker, const char *table);

/* Any thread; never blocks: a copy of the store in a new file. As cox_store.backup. */
int cox_broker_backup(struct cox_broker *broker, const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg,
                      struct cox_err *err);

struct cox_stats {
  uint64_t stale_results, cancels, attempts_started, attempts_succeeded, attempts_failed, probes, commands;
  uint64_t unstored_records; /* of the journal, that the store could not take */
  bool is_degraded;
  size_t nodes, converged, in_flight, queue_depth[COX_PRIORITY_COUNT];
};
void cox_broker_stats(struct cox_broker *broker, struct cox_stats *out);

/* Any thread: CONTRACT's metrics that the core feeds, in Prometheus' text format, appended to `out`. 0 or COX_ENOMEM. */
int cox_broker_metrics_text(struct cox_broker *broker, struct cox_buf *out);
/* Any thread: a command of that name exists; the metrics show it from now on. */
void cox_broker_know_command(struct cox_broker *broker, const char *name);
/* Any thread: a reload of the scripts ended so. */
void cox_broker_count_reload(struct cox_broker *broker, enum cox_reload_outcome outcome);
/* Any thread: has the store refused the choice of scripts that is in force? For the metrics. */
void cox_broker_show_unstored_scripts(struct cox_broker *broker, bool is_so);
/* Any thread: did both loops turn within the last `max_age_ms`? Wakes them, so that a loop that had nothing to do has turned by the
 * next time. False soon after a loop hangs, in a handler, a lock or the system.                                                       */
bool cox_broker_is_alive(struct cox_broker *broker, int64_t max_age_ms);

/* Single-threaded driving (tests, simulator, benchmarks): handle everything queued; run one pass. Each returns how much
 * it did; step_reconcile also says when it next has work of its own (monotonic, INT64_MAX: never).                     */
size_t cox_broker_step_commands(struct cox_broker *broker);
size_t cox_broker_step_reconcile(struct cox_broker *broker, int64_t *next_us);

#endif
