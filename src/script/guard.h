/* Cuts scripts that run too long. No hook is set while a script behaves (one would double the cost of a loop): a tick of the
 * owner's processor time counts, and when the budget is used up it sets a hook in every coroutine that is active. The hook
 * stays until the call returns to C, so that a script which loops over pcall cannot swallow it.
 *
 * Three nets, one behind the other: the hook cuts Lua code; loops of our own in C ask cox_guard_is_cut; and when neither has
 * ended the call a while after its budget, Lua itself is in a long loop in C (a chain of a million __call, a table whose keys all
 * collide): then the tick jumps out of it to the rescue point, and the state, which may be torn, is never touched again.           */
#ifndef COX_SCRIPT_GUARD_H
#define COX_SCRIPT_GUARD_H

#include <lua.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "base/cputick.h"
#include "base/err.h"

enum {
  COX_GUARD_DEPTH = 16,
  COX_GUARD_TICK_MS = 5,
  /* After the end of the budget: longer than any bounded function in C. A policy's machine is replaced after an overrun anyway; with
   * a driver's all its attempts would go, so there Lua gets the time to unwind the deepest recursion, twice over.             */
#if defined(__SANITIZE_ADDRESS__)
  COX_GUARD_RESCUE_TICKS = 60, /* freeing is very slow */
  COX_GUARD_PATIENT_TICKS = 60,
#else
  COX_GUARD_RESCUE_TICKS = 8,
  COX_GUARD_PATIENT_TICKS = 30,
#endif
};

struct cox_guard {
  struct cox_cputick cputick;
  lua_State *active[COX_GUARD_DEPTH]; /* outermost first; published before `depth` counts it */
  atomic_uint depth;                  /* 0: no call is under way */
  atomic_uint ticks, limit;           /* of the present call */
  atomic_bool is_expired;
  atomic_bool is_cancelled;           /* by another thread: as if the budget were used up */
  const atomic_bool *is_left;         /* the same for all machines that share it; NULL: none. Of who makes the call */
  bool is_noted;                      /* the place of the cut is in vm->place */
  double budget_s;                    /* of the present call */
  /* Only where a permanent hook stands in for the tick (TSan defers signals): not before this moment, and not before the thread has
   * had so much processor time.                                                                                                   */
  int64_t deadline_us, busy_until_us;
  sigjmp_buf rescue;                  /* set by COX_GUARD_WAS_RESCUED */
  atomic_bool has_rescue;
  unsigned rescue_ticks;
  const char *lua_begin, *lua_end;    /* the code of Lua's shared library; NULL: not known, no rescue */
};

void cox_guard_init(struct cox_guard *guard, unsigned rescue_ticks);
void cox_guard_fini(struct cox_guard *guard);
/* The outermost call begins: `L` may burn `budget_s` of processor time. 0 or COX_ESYS. */
int cox_guard_enter(struct cox_guard *guard, lua_State *L, double budget_s, struct cox_err *err);
/* It has returned; true: it had used up its budget. No hook is left. */
bool cox_guard_leave(struct cox_guard *guard);
/* The call gets its whole budget anew: what was spent so far was work of ours and not the script's. */
void cox_guard_renew(struct cox_guard *guard);
/* Has the call under way used up its budget? */
bool cox_guard_is_expired(const struct cox_guard *guard);
/* Any thread: what runs, and what begins before cox_guard_uncancel, is cut as soon as it burns time. */
void cox_guard_cancel(struct cox_guard *guard);
void cox_guard_uncancel(struct cox_guard *guard);
/* Is what runs wanted no more? Who calls asks before, too, so that a piece of work is left between its calls and within one. */
bool cox_guard_is_left(const struct cox_guard *guard);
/* Has it used up its budget? For loops in C, which no hook reaches: cheap enough for each round. When true, clean up and cox_guard_raise. */
bool cox_guard_is_cut(struct cox_guard *guard);
/* Raises the end of the budget, with the place and the traceback of the first time in vm->place and vm->trace. */
noreturn void cox_guard_raise(lua_State *L);
/* Both in one, for loops that hold nothing. */
void cox_guard_check(lua_State *L);
/* A coroutine is about to be resumed inside of the call. False: nested too deeply. */
bool cox_guard_push(struct cox_guard *guard, lua_State *co);
void cox_guard_pop(struct cox_guard *guard);

/* The point to which the last net jumps, in the function that makes the protected call; to be used as a condition, after
 * cox_guard_enter. True: it was needed; the Lua state must not be touched any more. Locals changed since must be volatile. */
#define COX_GUARD_WAS_RESCUED(guard) (sigsetjmp((guard)->rescue, 0) != 0 || (cox_guard_arm_rescue(guard), false))
void cox_guard_arm_rescue(struct cox_guard *guard);
/* After a rescue, in place of cox_guard_leave. */
void cox_guard_rescued(struct cox_guard *guard);

#endif
