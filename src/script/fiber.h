/* Drivers and jobs as coroutines that ask for one piece of I/O at a time (core/fiber.h). What they live in: fiber_set.h. */
#ifndef COX_SCRIPT_FIBER_H
#define COX_SCRIPT_FIBER_H

#include <lua.h>

#include "core/broker.h"
#include "core/fiber.h"
#include "script/fiber_set.h"
#include "script/vm.h"
#include "script/wallet.h"

/* What all workers share; outlives them. */
struct cox_fiber_context {
  struct cox_generations *generations; /* of which one is live */
  const struct cox_clock *clock;
  struct cox_broker *broker; /* for node:extend; may be NULL in tests */
  json_t *config;
  const struct cox_wallet *wallet; /* may be NULL: nothing signs */
  double resume_budget_s;
  size_t memory_max;
  uint64_t seed; /* of math.random in drivers and jobs; 0: of the system */
};

struct cox_fiber {
  struct cox_fiber *previous, *next; /* in its set */
  struct cox_fiber_vm *owner;
  struct cox_fiber_set *set;    /* it lives in; NULL: in none */
  struct cox_vm *vm;
  lua_State *co;
  int reference;                /* of the coroutine in its VM's registry */
  struct cox_attempt *attempt;  /* NULL: a job or a chore */
  char *name;                   /* of a job or chore, owned */
  int file_reference;           /* of what a job's file returned, LUA_NOREF: none */
  json_t *chore;                /* arguments of a chore, borrowed; NULL: none */
  char chore_kind[16];          /* how it ended, as lua/coxswain/chore.lua says */
  json_t *result;               /* of a chore, owned */
  struct cox_io_request request;
  char *url, *body;             /* the request's strings, owned */
  json_t *args;                 /* the request's arguments, owned */
  bool is_in_doubt;             /* when it began, a call of an earlier attempt was unanswered */
  struct cox_unanswered before; /* what was unanswered before the call that is out */
  const struct cox_io_reply *reply; /* only while it is resumed */
  int node_reference;           /* of the driver's node object, LUA_NOREF: none */
  bool is_done;
  struct cox_err *err;          /* why a job or chore failed, owned; NULL: it has not */
};

/* The fiber that runs in L; throws when L is none (I/O from a coroutine of the script's own). */
struct cox_fiber *cox_fiber_check(lua_State *L);
/* Waits; to be returned from a binding. */
int cox_fiber_sleep(lua_State *L, lua_Number seconds);
/* The attempt has failed: fills its result, unless that was done before. */
void cox_fiber_fail(struct cox_fiber *fiber, enum cox_class class_, int http_status, const char *text);
/* The interface for the workers on that context. */
struct cox_fiber_ops cox_fiber_ops(const struct cox_fiber_context *context);

/* api_driver.c: the `node` of drivers. */
/* Leaves the node object of the fiber; may throw. */
void cox_driver_node_push(lua_State *L, struct cox_fiber *fiber);
/* The fiber ends, and its node object with it. Returns the driver's notes as JSON, NULL: none (or no plain values: then a line
 * is logged). Never throws.                                                                                                  */
json_t *cox_driver_node_end(struct cox_fiber *fiber);
/* What a probe returned (on top of the stack) goes into the result. */
void cox_driver_take_probe(lua_State *L, struct cox_fiber *fiber);

#endif
