/* The script machines of one worker. Drivers and jobs of one content live in one set; what is under way finishes in the set it began in,
 * what begins finds the present one. All of it on the worker's thread.                                                            */
#ifndef COX_SCRIPT_FIBER_SET_H
#define COX_SCRIPT_FIBER_SET_H

#include <jansson.h>

#include "core/fiber.h"
#include "script/generations.h"
#include "script/vm.h"

struct cox_fiber_context;

enum { COX_FIBER_SETS_MAX = 8 /* of drivers; beyond it the attempts of the oldest are to be ended */ };
enum cox_fiber_kind { COX_FIBER_DRIVERS, COX_FIBER_JOBS, COX_FIBER_KINDS };

struct cox_fiber_set {
  struct cox_fiber_set *next; /* older */
  struct cox_fiber_vm *owner;
  enum cox_fiber_kind kind;
  struct cox_sources *sources;
  uint64_t key;               /* drivers: the hash of what they are made of; jobs: the number of their generation */
  struct cox_vm *vm;          /* the one for new fibers; NULL: none yet */
  struct cox_fiber *fibers;   /* that live in it, in a list */
  size_t users;
};

struct cox_fiber_vm {
  const struct cox_fiber_context *context;
  struct cox_fiber_set *sets[COX_FIBER_KINDS]; /* newest first; the first one is the present one */
  uint64_t seen[COX_FIBER_KINDS];              /* number of the generation that the present one was looked up for */
  struct cox_fiber *current;                   /* being resumed */
  json_t *saved;                               /* {job: value}: what jobs saved when they were ended */
  uint64_t seed;                               /* of the next VM's math.random */
};

struct cox_fiber_vm *cox_fiber_vm_create(const struct cox_fiber_context *context, struct cox_err *err);
/* No fiber is left. */
void cox_fiber_vm_destroy(struct cox_fiber_vm *owner);
/* The set for what begins now, with a VM that can be used. NULL with the reason in `err`. */
struct cox_fiber_set *cox_fiber_set_present(struct cox_fiber_vm *owner, enum cox_fiber_kind kind, struct cox_err *err);
/* The fiber lives in it and in its VM from now on, until it leaves. */
void cox_fiber_set_enter(struct cox_fiber_set *set, struct cox_fiber *fiber);
void cox_fiber_set_leave(struct cox_fiber *fiber);
/* The attempt of a fiber that lives in a set too many; NULL: there is none. */
struct cox_attempt *cox_fiber_set_outdated(struct cox_fiber_vm *owner);
/* Pushes the table of drivers, {kind: what its file returned}. */
void cox_fiber_set_push_drivers(lua_State *L);

#endif
