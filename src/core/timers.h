/* Moments at which the reconciler wants to look at a node again: a binary heap owned by one thread (cox-reconcile; expiry.h: cox-command).
 * Entries are never taken back: an entry that came due is checked against the node and ignored when outdated. */
#ifndef COX_CORE_TIMERS_H
#define COX_CORE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

enum cox_timer_kind { COX_TIMER_LOOK, COX_TIMER_PROBE, COX_TIMER_EXPIRY };

struct cox_timer {
  int64_t at_us;
  uint64_t registration;
  enum cox_timer_kind kind;
};

struct cox_timers {
  struct cox_timer *heap;
  size_t count, capacity;
};

void cox_timers_fini(struct cox_timers *timers);
/* 0 or COX_ENOMEM. */
int cox_timers_add(struct cox_timers *timers, int64_t at_us, uint64_t registration, enum cox_timer_kind kind);
/* INT64_MAX when there is none. */
int64_t cox_timers_next(const struct cox_timers *timers);
/* The earliest; there must be one. */
struct cox_timer cox_timers_pop(struct cox_timers *timers);

#endif
