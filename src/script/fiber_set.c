#include "script/fiber_set.h"

#include <assert.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/rng.h"
#include "script/fiber.h"
#include "script/sandbox.h"

static const char drivers_key;

/* Percent of what is in use at which a collection begins: drivers make much garbage on little that stays. */
enum { GC_PAUSE = 120 };

#define LOAD_BUDGET_S 1.0

/* ---- machines ---- */

static void load_driver(void *arg, const struct cox_source *source, const char *kind) {
  lua_State *const L = arg;
  cox_sandbox_run(L, source);
  lua_setfield(L, -2, kind);
}

static int load_drivers(lua_State *L) {
  lua_newtable(L);
  cox_sources_each(cox_vm_of(L)->sources, "drivers", load_driver, L);
  cox_vm_keep(L, &drivers_key);
  return 0;
}

void cox_fiber_set_push_drivers(lua_State *L) { cox_vm_push_kept(L, &drivers_key); }

static struct cox_vm *make_vm(struct cox_fiber_set *set, struct cox_err *err) {
  struct cox_fiber_vm *const owner = set->owner;
  const bool is_of_drivers = set->kind == COX_FIBER_DRIVERS;
  const struct cox_vm_options options = {
      .context = is_of_drivers ? COX_CONTEXT_DRIVERS : COX_CONTEXT_JOBS,
      .memory_max = owner->context->memory_max,
      .sources = set->sources,
      .clock = owner->context->clock,
      .owner = owner,
      .seed = owner->seed++,
  };
  struct cox_vm *const vm = cox_vm_create(&options, err);
  if (vm == NULL || !is_of_drivers) return vm;
  lua_gc(vm->L, LUA_GCINC, GC_PAUSE, 0, 0);
  if (cox_vm_call(vm, load_drivers, NULL, LOAD_BUDGET_S, err) == 0) return vm;
  cox_vm_destroy(vm);
  return NULL;
}

/* One that was given up goes with its last fiber; new fibers get another. */
static bool make_usable(struct cox_fiber_set *set, struct cox_err *err) {
  if (set->vm != NULL && !set->vm->is_lost) return true;
  struct cox_vm *const fresh = make_vm(set, err);
  if (fresh == NULL) return false;
  if (set->vm != NULL && set->vm->users == 0) cox_vm_destroy(set->vm);
  set->vm = fresh;
  return true;
}

/* ---- sets ---- */

static void destroy_set(struct cox_fiber_set *set) {
  assert(set->users == 0);
  cox_vm_destroy(set->vm);
  cox_sources_release(set->sources);
  free(set);
}

static void drop_if_over(struct cox_fiber_set *set) {
  struct cox_fiber_set **place = &set->owner->sets[set->kind];
  if (set == *place || (set->users > 0 && !cox_fault("generation.freed_early"))) return;
  while (*place != set) place = &(*place)->next;
  *place = set->next;
  destroy_set(set);
}

static struct cox_fiber_set *make_set(struct cox_fiber_vm *owner, enum cox_fiber_kind kind, uint64_t key, struct cox_sources *sources) {
  struct cox_fiber_set *const set = calloc(1, sizeof *set);
  if (set == NULL) return NULL;
  *set = (struct cox_fiber_set){.owner = owner, .kind = kind, .key = key, .sources = cox_sources_hold(sources)};
  return set;
}

/* Takes the set of that key out of the list; NULL: there is none. */
static struct cox_fiber_set *unlink_set(struct cox_fiber_vm *owner, enum cox_fiber_kind kind, uint64_t key) {
  struct cox_fiber_set **place = &owner->sets[kind];
  while (*place != NULL && (*place)->key != key) place = &(*place)->next;
  struct cox_fiber_set *const set = *place;
  if (set != NULL) *place = set->next;
  return set;
}

/* Another generation is live: its set becomes the first one. False: out of memory. */
static bool look_up(struct cox_fiber_vm *owner, enum cox_fiber_kind kind) {
  struct cox_generation *const live = cox_generations_hold(owner->context->generations);
  const uint64_t key = kind == COX_FIBER_DRIVERS ? live->sources->drivers_hash : live->number;
  struct cox_fiber_set *set = unlink_set(owner, kind, key), *const before = owner->sets[kind];
  if (set == NULL) set = make_set(owner, kind, key, live->sources);
  if (set != NULL) {
    set->next = before;
    owner->sets[kind] = set;
    owner->seen[kind] = live->number;
    if (before != NULL) drop_if_over(before);
  }
  cox_generation_release(live);
  return set != NULL;
}

struct cox_fiber_set *cox_fiber_set_present(struct cox_fiber_vm *owner, enum cox_fiber_kind kind, struct cox_err *err) {
  const bool is_seen = owner->sets[kind] != NULL && owner->seen[kind] == atomic_load(&owner->context->generations->number);
  if (!is_seen && !look_up(owner, kind)) {
    cox_err_set(err, COX_ENOMEM, "making a worker's script machine failed: out of memory");
    return NULL;
  }
  return make_usable(owner->sets[kind], err) ? owner->sets[kind] : NULL;
}

void cox_fiber_set_enter(struct cox_fiber_set *set, struct cox_fiber *fiber) {
  fiber->set = set;
  fiber->vm = set->vm;
  fiber->previous = NULL;
  fiber->next = set->fibers;
  if (set->fibers != NULL) set->fibers->previous = fiber;
  set->fibers = fiber;
  set->users++;
  set->vm->users++;
}

void cox_fiber_set_leave(struct cox_fiber *fiber) {
  struct cox_fiber_set *const set = fiber->set;
  struct cox_vm *const vm = fiber->vm;
  assert(set->users > 0 && vm->users > 0);
  if (fiber->previous != NULL) fiber->previous->next = fiber->next;
  else set->fibers = fiber->next;
  if (fiber->next != NULL) fiber->next->previous = fiber->previous;
  set->users--;
  if (--vm->users == 0 && vm != set->vm) cox_vm_destroy(vm);
  drop_if_over(set);
}

struct cox_attempt *cox_fiber_set_outdated(struct cox_fiber_vm *owner) {
  struct cox_fiber_set *set = owner->sets[COX_FIBER_DRIVERS];
  for (int i = 0; set != NULL && i < COX_FIBER_SETS_MAX; i++) set = set->next;
  return set != NULL && set->fibers != NULL ? set->fibers->attempt : NULL;
}

/* ---- the worker's whole ---- */

struct cox_fiber_vm *cox_fiber_vm_create(const struct cox_fiber_context *context, struct cox_err *err) {
  struct cox_fiber_vm *const owner = calloc(1, sizeof *owner);
  if (owner == NULL) {
    cox_err_set(err, COX_ENOMEM, "making a worker's script machine failed: out of memory");
    return NULL;
  }
  owner->context = context;
  owner->saved = json_object();
  owner->seed = context->seed != 0 ? context->seed : cox_rng_system_seed();
  if (cox_fiber_set_present(owner, COX_FIBER_DRIVERS, err) != NULL) return owner;
  cox_fiber_vm_destroy(owner);
  return NULL;
}

void cox_fiber_vm_destroy(struct cox_fiber_vm *owner) {
  if (owner == NULL) return;
  for (int kind = 0; kind < COX_FIBER_KINDS; kind++) {
    while (owner->sets[kind] != NULL) {
      struct cox_fiber_set *const set = owner->sets[kind];
      owner->sets[kind] = set->next;
      destroy_set(set);
    }
  }
  json_decref(owner->saved);
  free(owner);
}
