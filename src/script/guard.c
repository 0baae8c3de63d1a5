#include "script/guard.h"

#include <assert.h>
#include <dlfcn.h>
#include <lauxlib.h>
#include <link.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "script/vm.h"

#if defined(__SANITIZE_THREAD__)
enum { USES_TICK = 0 };
/* Lua, as Debian builds it, throws with __longjmp_chk, which TSan does not know: it would go on counting every frame of ours that
 * an error passed through, until its own stack or the memory is full. It knows longjmp.                                        */
noreturn void __longjmp_chk(jmp_buf place, int value);
noreturn void __longjmp_chk(jmp_buf place, int value) { longjmp(place, value); }
#else
enum { USES_TICK = 1 };
#endif

enum { HOOK_COUNT = 100 /* only where there is no tick: few, as each may be a long function in C */, REARM_TICKS = 4 };

static const char message_key;
#define MESSAGE "it ran longer than its time budget"

/* ---- cutting ---- */

/* The text is made once: at the end of a budget there may be no memory for it. */
static void push_message(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &message_key);
  if (lua_type(L, -1) == LUA_TSTRING) return;
  lua_pop(L, 1);
  lua_pushliteral(L, MESSAGE);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &message_key);
}

noreturn void cox_guard_raise(lua_State *L) {
  struct cox_vm *const vm = cox_vm_of(L);
  if (!vm->guard.is_noted) {
    vm->guard.is_noted = true;
    cox_vm_note_cut(vm, L);
  }
  push_message(L);
  lua_error(L);
  abort(); /* lua_error does not return, but is not declared so */
}

static void raise(lua_State *L, lua_Debug *unused) {
  (void)unused;
  cox_guard_raise(L);
}

static void arm(struct cox_guard *guard) {
  atomic_store(&guard->is_expired, true);
  const unsigned depth = atomic_load(&guard->depth);
  for (unsigned i = 0; i < depth; i++) lua_sethook(guard->active[i], raise, LUA_MASKCOUNT, 1);
}

/* Only out of Lua's own code: there no lock of malloc or of anybody else is held. */
static void rescue(struct cox_guard *guard, const char *place) {
  if (!atomic_load(&guard->has_rescue) || place < guard->lua_begin || place >= guard->lua_end) return;
  atomic_store(&guard->has_rescue, false);
  siglongjmp(guard->rescue, 1);
}

bool cox_guard_is_left(const struct cox_guard *guard) { return guard->is_left != NULL && atomic_load(guard->is_left); }

static bool is_called_off(const struct cox_guard *guard) { return atomic_load(&guard->is_cancelled) || cox_guard_is_left(guard); }

/* In the signal handler; the thread it interrupts is the one that runs the script. */
static void on_tick(void *arg, const void *place) {
  struct cox_guard *const guard = arg;
  if (atomic_load(&guard->depth) == 0) return;
  const unsigned ticks = atomic_fetch_add(&guard->ticks, 1) + 1, wanted = atomic_load(&guard->limit);
  const bool is_cut_short = ticks < wanted && is_called_off(guard);
  const unsigned limit = is_cut_short ? ticks : wanted;
  if (is_cut_short) atomic_store(&guard->limit, limit);
  /* Again now and then, should a hook get lost; not always: it walks through all frames, and recursion may be deep. */
  if (ticks >= limit && (ticks - limit) % REARM_TICKS == 0) arm(guard);
  if (ticks >= limit + guard->rescue_ticks) rescue(guard, place);
}

/* Where there is no tick: nobody burns more processor time than time passes, which is far quicker to ask for. */
static void set_deadline(struct cox_guard *guard) {
  if (USES_TICK) return;
  guard->deadline_us = cox_clock_mono_us(cox_clock_system()) + (int64_t)(guard->budget_s * 1e6);
  guard->busy_until_us = cox_clock_busy_us() + (int64_t)(guard->budget_s * 1e6);
}

static bool has_burnt_it(const struct cox_guard *guard) {
  return cox_clock_mono_us(cox_clock_system()) >= guard->deadline_us && cox_clock_busy_us() >= guard->busy_until_us;
}

static bool is_late(struct cox_guard *guard) {
  if (!is_called_off(guard) && !has_burnt_it(guard)) return false;
  arm(guard);
  return true;
}

static void look(lua_State *L, lua_Debug *unused) {
  if (is_late(&cox_vm_of(L)->guard)) raise(L, unused);
}

static void watch(struct cox_guard *guard, lua_State *L) {
  if (atomic_load(&guard->is_expired)) lua_sethook(L, raise, LUA_MASKCOUNT, 1);
  else if (!USES_TICK) lua_sethook(L, look, LUA_MASKCOUNT, HOOK_COUNT);
}

bool cox_guard_is_cut(struct cox_guard *guard) {
  if (atomic_load_explicit(&guard->is_expired, memory_order_relaxed)) return true;
  if (USES_TICK || atomic_load(&guard->depth) == 0) return false;
  return is_late(guard);
}

void cox_guard_check(lua_State *L) {
  if (cox_guard_is_cut(&cox_vm_of(L)->guard)) cox_guard_raise(L);
}

/* ---- where Lua's code is ---- */

static int find_code(struct dl_phdr_info *object, size_t size, void *arg) {
  (void)size;
  struct cox_guard *const guard = arg;
  const char *const wanted = guard->lua_begin;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *const part = &object->dlpi_phdr[i];
    const char *const begin = (const char *)(uintptr_t)(object->dlpi_addr + part->p_vaddr), *const end = begin + part->p_memsz;
    if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0 || wanted < begin || wanted >= end) continue;
    guard->lua_begin = begin;
    guard->lua_end = end;
    return 1;
  }
  return 0;
}

void cox_guard_init(struct cox_guard *guard, unsigned rescue_ticks) {
  guard->rescue_ticks = rescue_ticks;
  Dl_info lua, ours;
  guard->lua_begin = (const char *)(uintptr_t)lua_newstate;
  const bool is_known = dladdr((const void *)(uintptr_t)lua_newstate, &lua) != 0 && dladdr(&message_key, &ours) != 0;
  /* Linked into this very program, its code cannot be told from ours, which may hold what a jump would lose. */
  if (!is_known || lua.dli_fbase == ours.dli_fbase || dl_iterate_phdr(find_code, guard) == 0) guard->lua_begin = guard->lua_end = NULL;
}

void cox_guard_fini(struct cox_guard *guard) { cox_cputick_stop(&guard->cputick); }

/* ---- calls ---- */

int cox_guard_enter(struct cox_guard *guard, lua_State *L, double budget_s, struct cox_err *err) {
  assert(atomic_load(&guard->depth) == 0);
  if (USES_TICK && !cox_cputick_is_mine(&guard->cputick)) {
    const int rc = cox_cputick_start(&guard->cputick, COX_GUARD_TICK_MS, on_tick, guard, err);
    if (rc != 0) return rc;
  }
  guard->budget_s = budget_s;
  set_deadline(guard);
  guard->is_noted = false;
  cox_vm_forget(cox_vm_of(L));
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
  atomic_store(&guard->has_rescue, false);
  atomic_store(&guard->depth, 0);
  const bool is_expired = atomic_exchange(&guard->is_expired, false);
  if (is_expired || !USES_TICK) lua_sethook(guard->active[0], NULL, 0, 0);
  return is_expired;
}

void cox_guard_arm_rescue(struct cox_guard *guard) { atomic_store(&guard->has_rescue, guard->lua_begin != NULL); }

void cox_guard_rescued(struct cox_guard *guard) {
  atomic_store(&guard->depth, 0);
  atomic_store(&guard->is_expired, false);
  cox_cputick_left();
}

void cox_guard_renew(struct cox_guard *guard) {
  const unsigned depth = atomic_load(&guard->depth);
  atomic_store(&guard->ticks, 0);
  atomic_store(&guard->is_expired, false);
  guard->is_noted = false;
  set_deadline(guard);
  for (unsigned i = 0; i < depth; i++) {
    lua_sethook(guard->active[i], NULL, 0, 0);
    watch(guard, guard->active[i]);
  }
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
  atomic_store(&guard->depth, depth - 1);
  /* After: a tick in between would arm it again, and it may sleep for long with that hook. */
  lua_sethook(guard->active[depth - 1], NULL, 0, 0);
}
