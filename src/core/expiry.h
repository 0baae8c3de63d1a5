/* Admin states that end by themselves. cox-command keeps their moments and ends what is over with a command of its own,
 * `expire_admin_state`: what comes after is for scripts to say. The moments are on the wall clock, for they outlive the process; who
 * wakes it is cox-reconcile, which has a timer (broker.c, alarm).                                                                  */
#ifndef COX_CORE_EXPIRY_H
#define COX_CORE_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/timers.h"

struct cox_broker;
struct cox_node;

/* All of it on cox-command. */
struct cox_expiry {
  struct cox_timers timers;  /* wall clock, milliseconds; what came due is checked against its node */
  bool is_incomplete;        /* some are missing: all nodes are to be looked at */
  int64_t not_before_us;     /* monotonic; something could not be ended and is tried again then; 0: at once */
  int64_t planned_ms, look_us; /* the earliest moment, and when that is on the monotonic clock */
};

void cox_expiry_init(struct cox_expiry *expiry); /* the nodes that the store gave are looked at with the first turn */
void cox_expiry_fini(struct cox_expiry *expiry);
/* A node's admin state was set. */
void cox_expiry_follow(struct cox_broker *broker, const struct cox_node *node);
/* Admin states were put back: find them all again. */
void cox_expiry_forget(struct cox_broker *broker);
/* Ends what is over. Returns how many commands it ran. */
size_t cox_expiry_handle(struct cox_broker *broker);
/* When to look again, on the monotonic clock; INT64_MAX: never. */
int64_t cox_expiry_next_us(struct cox_broker *broker);

#endif
