#include "script/guard.h"

#include <assert.h>
#include <lauxlib.h>
#include <stddef.h>

#include "base/clock.h"
#include "script/vm.h"

#if defined(__SANITIZE_THREAD__)
enum { USES_TICK = 0 };
#else
enum { USES_TICK = 1 };
#endif

enum { HOOK_COUNT = 1000 };

static void raise(lua_State *L, lua_Debug *unused) {
  (void)unused;
  luaL_where(L, 0); /* a hook has no level of its own: 0 is the function that was cut */
  lua_pushliteral(L, COX_GUARD_MESSAGE);
  lua_concat(L, 2);
  lua_error(L);
}

static void arm(struct cox_guard *guard) {
  atomic_store(&guard->is_expired, true);
  const unsigned depth = atomic_load(&guard->depth);
  for (unsigned i = 0; i < depth; i++) lua_sethook(guard->active[i], raise, LUA_MASKCOUNT, 1);
}

/* In the signal handler; the thread it interrupts is the one that runs the script. */
static void on_tick(void *arg) {
  struct cox_guard *const guard = arg;
  if (atomic_load(&guard->depth) == 0) return;
  if (atomic_fetch_add(&guard->ticks, 1) + 1 >= atomic_load(&guard->limit) || atomic_load(&guard->is_cancelled)) arm(guard);
}

static void look(lua_State *L, lua_Debug *unused) {
  struct cox_guard *const guard = &cox_vm_of(L)->guard;
  if (cox_clock_mono_us(cox_clock_system()) < guard->deadline_us && !atomic_load(&guard->is_cancelled)) return;
  arm(guard);
  raise(L, unused);
}

static void watch(struct cox_guard *guard, lua_State *L) {
  if (atomic_load(&guard->is_expired)) lua_sethook(L, raise, LUA_MASKCOUNT, 1);
  else if (!USES_TICK) lua_sethook(L, look, LUA_MASKCOUNT, HOOK_COUNT);
}

void cox_guard_fini(struct cox_guard *guard) { cox_cputick_stop(&guard->cputick); }

int cox_guard_enter(struct cox_guard *guard, lua_State *L, double budget_s, struct cox_err *err) {
  assert(atomic_load(&guard->depth) == 0);
  if (USES_TICK && !cox_cputick_is_mine(&guard->cputick)) {
    const int rc = cox_cputick_start(&guard->cputick, COX_GUARD_TICK_MS, on_tick, guard, err);
    if (rc != 0) return rc;
  }
  guard->deadline_us = USES_TICK ? 0 : cox_clock_mono_us(cox_clock_system()) + (int64_t)(budget_s * 1e6);
  atomic_store(&guard->ticks, 0);
  /* One more: the first tick may come right after the start. */
  atomic_store(&guard->limit, (unsigned)(budget_s * 1000 / COX_GUARD_TICK_MS) + 1);
  atomic_store(&guard->is_expired, false);
  guard->active[0] = L;
  atomic_store(&guard->depth, 1);
  watch(guard, L);
  return 0;
}

bool cox_guard_leave(struct cox_guard *guard) {
  assert(atomic_load(&guard->depth) == 1);
  atomic_store(&guard->depth, 0);
  const bool is_expired = atomic_load(&guard->is_expired);
  if (is_expired || !USES_TICK) lua_sethook(guard->active[0], NULL, 0, 0);
  return is_expired;
}

bool cox_guard_is_expired(const struct cox_guard *guard) { return atomic_load(&guard->is_expired); }

void cox_guard_cancel(struct cox_guard *guard) { atomic_store(&guard->is_cancelled, true); }
void cox_guard_uncancel(struct cox_guard *guard) { atomic_store(&guard->is_cancelled, false); }

bool cox_guard_push(struct cox_guard *guard, lua_State *co) {
  const unsigned depth = atomic_load(&guard->depth);
  if (depth == 0 || depth >= COX_GUARD_DEPTH) return false;
  guard->active[depth] = co;
  atomic_store(&guard->depth, depth + 1);
  watch(guard, co);
  return true;
}

void cox_guard_pop(struct cox_guard *guard) {
  const unsigned depth = atomic_load(&guard->depth);
  assert(depth > 1);
  lua_sethook(guard->active[depth - 1], NULL, 0, 0);
  atomic_store(&guard->depth, depth - 1);
}
