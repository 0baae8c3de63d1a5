/* What the core tells the leases about nodes, and what it asks them. Internal to the core.
 *
 * Lock order: the registry's, then the leases' own.                                        */
#ifndef COX_CORE_LEASE_PUSH_H
#define COX_CORE_LEASE_PUSH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cox_broker;
struct cox_leases;
struct cox_lease_node;
struct cox_lease_options;
struct cox_clock;
struct cox_node;

/* Why a node is not given, from what the core knows. */
enum cox_lease_bar {
  COX_BAR_NONE,
  COX_BAR_NO_TARGET,   /* nothing is intended */
  COX_BAR_INTENT,      /* something else than INFERENCE is intended */
  COX_BAR_ATTEMPT,     /* an attempt is under way */
  COX_BAR_FAILED,      /* the last attempt or the probes failed */
  COX_BAR_UNSETTLED,   /* what it runs is not certain */
  COX_BAR_NOT_SEEN,    /* after a start: no probe has found it serving */
  COX_BAR_DISABLED,    /* after a start: an operator disabled it */
  COX_BAR_NO_MODEL     /* its target names none */
};

struct cox_leases *cox_leases_create(const struct cox_lease_options *options, const struct cox_clock *clock, uint64_t seed);
/* Before anything is leased: the number of this start as the store counts it, for the ids; 0: it does not count, and what the options
 * or the clock say stays.                                                                                                        */
void cox_leases_begin(struct cox_leases *leases, uint32_t start_number);
void cox_leases_destroy(struct cox_leases *leases);

/* After anything about the node changed, under the registry's write lock: compares what holds now with what was told before, and
 * tells only differences.                                                                                                        */
void cox_lease_push_locked(struct cox_broker *broker, struct cox_node *node);
/* The node leaves the registry: its leases have ended. */
void cox_lease_push_removed_locked(struct cox_broker *broker, struct cox_node *node);
/* True: cox_broker_trigger is needed when the registry's lock has been left. */
bool cox_lease_has_work(const struct cox_broker *broker);

/* For the state of a node. */
struct cox_lease_look {
  uint32_t count, max;
  bool is_serving, is_ejected, is_half;
  enum cox_lease_bar bar;
  int64_t ejected_us; /* until then, monotonic */
  uint32_t warmth;    /* in tenths */
};
/* Of many nodes under one hold of the lock; `nodes[i]` may be NULL. Under the registry's lock. */
void cox_lease_look(struct cox_broker *broker, struct cox_lease_node *const *nodes, size_t count, struct cox_lease_look *out);
const char *cox_lease_bar_text(enum cox_lease_bar bar);
uint32_t cox_lease_load(struct cox_broker *broker, const struct cox_lease_node *node);

/* Registrations of draining nodes whose last lease ended, at most `max`; taken out. */
size_t cox_lease_take_drained(struct cox_broker *broker, uint64_t *out, size_t max);
/* Ejections since the last call as one array for the journal, or NULL. */
json_t *cox_lease_take_records(struct cox_broker *broker);
/* cox-command: logs and journals those. Returns how many. */
size_t cox_lease_journal(struct cox_broker *broker);

#endif
