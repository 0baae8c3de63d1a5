/* One Lua state with its limits: memory by the allocator, time by the guard. It has one owner thread at a time.
 * Scripts run only through cox_vm_call (or as fibers, fiber.c): traced, within budget, errors as struct cox_err. */
#ifndef COX_SCRIPT_VM_H
#define COX_SCRIPT_VM_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "script/guard.h"
#include "script/sources.h"

enum { COX_VM_TRACE_BYTES = 2048 };

/* What a script may do follows from where it runs. */
enum cox_context { COX_CONTEXT_POLICY, COX_CONTEXT_DRIVERS, COX_CONTEXT_JOBS, COX_CONTEXT_CONSOLE };

struct cox_vm {
  lua_State *L;
  enum cox_context context;
  size_t used, max;             /* bytes */
  struct cox_guard guard;
  struct cox_sources *sources;  /* held */
  const struct cox_clock *clock;
  void *owner;                  /* struct cox_policy_vm or struct cox_fiber_vm: for the bindings */
  char trace[COX_VM_TRACE_BYTES]; /* of the last error */
};

struct cox_vm_options {
  enum cox_context context;
  size_t memory_max;            /* bytes, 0: 64 MiB */
  struct cox_sources *sources;
  const struct cox_clock *clock;
  void *owner;
};

/* A sandboxed state (sandbox.h) with the bindings of its context, and nothing loaded. NULL with the reason in `err`. */
struct cox_vm *cox_vm_create(const struct cox_vm_options *options, struct cox_err *err);
void cox_vm_destroy(struct cox_vm *vm);
struct cox_vm *cox_vm_of(lua_State *L);

/* Calls `function` (with `arg` as light userdata as its only argument) in the main state, protected. What it leaves is
 * dropped: results go out through `arg`. 0, or COX_ESCRIPT, COX_ETIME, COX_ENOMEM with file, line and text.             */
int cox_vm_call(struct cox_vm *vm, lua_CFunction function, void *arg, double budget_s, struct cox_err *err);

/* Message handler for lua_pcall: notes the traceback in vm->trace and leaves the error as it is. */
int cox_vm_trace(lua_State *L);
/* Turns the error value on top of L's stack (after a protected call failed with `rc`) into `err` and its code; pops nothing. */
int cox_vm_describe(struct cox_vm *vm, lua_State *L, int rc, struct cox_err *err);
/* As lua_newtable and friends may throw: only inside of a protected call. A value that is kept in the registry under a key
 * of ours (the address of a static variable). */
void cox_vm_keep(lua_State *L, const void *key); /* pops it */
void cox_vm_push_kept(lua_State *L, const void *key);

#endif
