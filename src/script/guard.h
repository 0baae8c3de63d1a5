/* Cuts scripts that run too long. No hook is set while a script behaves (one would double the cost of a loop): a tick of the
 * owner's processor time counts, and when the budget is used up it sets a hook in every coroutine that is active. The hook
 * stays until the call returns to C, so that a script which loops over pcall cannot swallow it.                            */
#ifndef COX_SCRIPT_GUARD_H
#define COX_SCRIPT_GUARD_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cputick.h"
#include "base/err.h"

enum { COX_GUARD_DEPTH = 16, COX_GUARD_TICK_MS = 5 };

struct cox_guard {
  struct cox_cputick cputick;
  lua_State *active[COX_GUARD_DEPTH]; /* outermost first; published before `depth` counts it */
  atomic_uint depth;                  /* 0: no call is under way */
  atomic_uint ticks, limit;           /* of the present call */
  atomic_bool is_expired;
  atomic_bool is_cancelled;           /* by another thread: as if the budget were used up */
  int64_t deadline_us;                /* only where a permanent hook stands in for the tick (TSan defers signals) */
};

void cox_guard_fini(struct cox_guard *guard);
/* The outermost call begins: `L` may burn `budget_s` of processor time. 0 or COX_ESYS. */
int cox_guard_enter(struct cox_guard *guard, lua_State *L, double budget_s, struct cox_err *err);
/* It has returned; true: it had used up its budget. */
bool cox_guard_leave(struct cox_guard *guard);
bool cox_guard_is_expired(const struct cox_guard *guard);
/* Any thread: what runs, and what begins before cox_guard_uncancel, is cut as soon as it burns time. */
void cox_guard_cancel(struct cox_guard *guard);
void cox_guard_uncancel(struct cox_guard *guard);
/* A coroutine is about to be resumed inside of the call. False: nested too deeply. */
bool cox_guard_push(struct cox_guard *guard, lua_State *co);
void cox_guard_pop(struct cox_guard *guard);
/* The words that the hook raises; the error handler looks at cox_guard_is_expired, not at them. */
#define COX_GUARD_MESSAGE "it ran longer than its time budget"

#endif
