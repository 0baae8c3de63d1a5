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
#include "script/heap.h"
#include "script/sources.h"

enum {
  COX_VM_TRACE_BYTES = 2048,
  COX_VM_SPOILED_MAX = 4,
  COX_VM_STRING_BYTES_MAX = 16 * 1024 * 1024, /* of one string: bounds all that works through one in C */
};

/* Under TSan everything takes ten times the processor time that budgets are of (guard.h). */
#if defined(__SANITIZE_THREAD__)
#define COX_VM_SMALL_BUDGET_S(seconds) ((seconds)*20)
#else
#define COX_VM_SMALL_BUDGET_S(seconds) (seconds)
#endif

/* What a script may do follows from where it runs. */
enum cox_context { COX_CONTEXT_POLICY, COX_CONTEXT_DRIVERS, COX_CONTEXT_JOBS, COX_CONTEXT_CONSOLE };

struct cox_place {
  char file[256]; /* as people know it; "": not known */
  int line;
};

/* Something outside of the Lua heap that a userdata holds. It is released by the userdata's __gc, or with the VM: Lua forgets a
 * finalizer that it cannot call for want of memory.                                                                          */
struct cox_held {
  struct cox_held *previous, *next;
  void *value;
  void (*drop)(void *value);
};

/* A file whose own code ran out of time, and what is said of it: it is not worth the time to run it again. */
struct cox_spoiled {
  const struct cox_source *source;
  char text[512];
};

struct cox_vm {
  lua_State *L;
  enum cox_context context;
  struct cox_heap heap;         /* every byte of L */
  size_t used, max;             /* bytes */
  bool is_string_too_long;      /* why memory was refused last */
  bool is_quiet;                /* what scripts log is dropped: a rehearsal */
  bool is_lost;                 /* L is torn (see guard.h) and must not be touched any more */
  struct cox_held *held;        /* what lies outside of the heap */
  struct cox_guard guard;
  struct cox_sources *sources;  /* held */
  const struct cox_clock *clock;
  void *owner;                  /* struct cox_policy_vm or struct cox_fiber_vm: for the bindings */
  unsigned users;               /* fibers that live in it */
  unsigned lines;               /* logged in the present call */
  struct cox_place place;       /* of the last error */
  const struct cox_source *cut_file; /* whose own code ran, directly or not, when a budget was used up last; NULL: none's */
  struct cox_spoiled spoiled[COX_VM_SPOILED_MAX];
  unsigned spoiled_count;
  char trace[COX_VM_TRACE_BYTES]; /* of the last error */
};

struct cox_vm_options {
  enum cox_context context;
  size_t memory_max;            /* bytes, 0: 64 MiB */
  struct cox_sources *sources;
  const struct cox_clock *clock;
  void *owner;
  uint64_t seed;                /* of math.random, where there is one */
  const atomic_bool *is_left;   /* true: what it is made and called for is given up, until it rests; NULL: nobody does that */
};

/* A sandboxed state (sandbox.h) with the bindings of its context, and nothing loaded. NULL with the reason in `err`. */
struct cox_vm *cox_vm_create(const struct cox_vm_options *options, struct cox_err *err);
void cox_vm_destroy(struct cox_vm *vm);
/* From its owner: another thread may be the owner next, whom `is_left` does not concern. */
void cox_vm_rest(struct cox_vm *vm);
struct cox_vm *cox_vm_of(lua_State *L);

/* Calls `function` (with `arg` as light userdata as its only argument) in the main state, protected. What it leaves is
 * dropped: results go out through `arg`. 0, or COX_ESCRIPT, COX_ETIME, COX_ENOMEM with file, line and text; COX_ESTOPPED: it is left. */
int cox_vm_call(struct cox_vm *vm, lua_CFunction function, void *arg, double budget_s, struct cox_err *err);

/* After COX_GUARD_WAS_RESCUED: the VM is given up, and `err` says so. The code is COX_ETIME. */
int cox_vm_lose(struct cox_vm *vm, struct cox_err *err);

/* `*slot` is NULL. Takes `value`, also when it throws. */
void cox_vm_hold(lua_State *L, struct cox_held **slot, void *value, void (*drop)(void *value));
void cox_vm_hold_json(lua_State *L, struct cox_held **slot, json_t *value); /* takes a reference of its own */
void cox_vm_take_json(lua_State *L, struct cox_held **slot, json_t *value); /* takes yours, also when it throws */
/* Pushes a userdata with a slot that holds nothing yet: make it first, then what is to be held, so that whatever throws leaks nothing. */
struct cox_held **cox_vm_push_holder(lua_State *L);
/* Nothing happens when nothing is held. */
void cox_vm_release(lua_State *L, struct cox_held **slot);

/* Notes where L is (place and traceback, through all active coroutines); asks for no memory of Lua. */
void cox_vm_note(struct cox_vm *vm, lua_State *L);
void cox_vm_note_cut(struct cox_vm *vm, lua_State *L); /* the same at the end of a budget */
void cox_vm_forget(struct cox_vm *vm);
/* After a call that ended with COX_ETIME while files are loaded: the file that was at it will not be run again by a `require`, which
 * gives the same error at once. A loop in one that all others need would else be waited for as often as there are others.         */
void cox_vm_spoil(struct cox_vm *vm, const struct cox_err *err);
/* After a call of the trusted library on behalf of `source`: an error in the library, or nowhere, is that script's. */
void cox_vm_blame(const struct cox_vm *vm, const struct cox_source *source, struct cox_err *err);
/* Throws when `source` was spoiled. */
void cox_vm_check_spoiled(lua_State *L, const struct cox_source *source);
/* Copies text for people: cut to fit, in whole characters; what is not UTF-8 becomes "?". */
void cox_vm_copy_text(char *out, size_t size, const char *text);
/* Message handler for lua_pcall: notes the traceback in vm->trace and leaves the error as it is. */
int cox_vm_trace(lua_State *L);
/* Turns the error value on top of L's stack (after a protected call failed with `rc`) into `err` and its code; pops nothing. */
int cox_vm_describe(struct cox_vm *vm, lua_State *L, int rc, struct cox_err *err);
/* As lua_newtable and friends may throw: only inside of a protected call. A value that is kept in the registry under a key
 * of ours (the address of a static variable). */
void cox_vm_keep(lua_State *L, const void *key); /* pops it */
void cox_vm_push_kept(lua_State *L, const void *key);
/* A field of the table at `index` without its metamethods. */
void cox_vm_push_field(lua_State *L, int index, const char *name);

#endif
