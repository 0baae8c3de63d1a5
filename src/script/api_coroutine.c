/* `coroutine` for scripts. Each coroutine that is active is known to the guard, so that the end of the budget reaches it; its body
 * runs in a protected call of ours (see fiber.c), so that hooks work again while its to-be-closed variables run; and once the
 * budget is used up, resume raises that anew instead of returning it. Only coroutines made here can be resumed: the one that a
 * driver or job runs in is the worker's.                                                                                       */
#include <assert.h>
#include <lauxlib.h>

#include "script/api_libraries.h"
#include "script/vm.h"

static struct cox_guard *guard_of(lua_State *L) { return &cox_vm_of(L)->guard; }

/* ---- inside of a coroutine ---- */

/* Leaves whether the script's function returned, and what it returned or its error. */
static int conclude(lua_State *L, int status, lua_KContext context) {
  (void)context;
  const bool is_good = status == LUA_OK || status == LUA_YIELD;
  luaL_checkstack(L, 1, "too many results");
  lua_pushboolean(L, is_good);
  if (is_good) {
    lua_insert(L, 1);
    return lua_gettop(L);
  }
  lua_insert(L, -2);
  return 2;
}

/* Upvalue: the script's function. */
static int body(lua_State *L) {
  luaL_checkstack(L, 1, "too many arguments");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  return conclude(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, conclude), 0);
}

/* ---- states ---- */

static lua_State *check_coroutine(lua_State *L) {
  lua_State *const co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  return co;
}

static bool is_main(lua_State *L, lua_State *co) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  const bool is_same = lua_tothread(L, -1) == co;
  lua_pop(L, 1);
  return is_same;
}

static const char *state_of(lua_State *L, lua_State *co) {
  lua_Debug frame;
  if (L == co) return "running";
  if (lua_status(co) == LUA_YIELD) return "suspended";
  if (lua_status(co) != LUA_OK) return "dead";
  if (lua_getstack(co, 0, &frame) != 0 || is_main(L, co)) return "normal";
  return lua_gettop(co) == 0 ? "dead" : "suspended";
}

static bool is_suspended(lua_State *L, lua_State *co) { return *state_of(L, co) == 's'; }

/* Is L a coroutine made here? All of them are behind the first of the guard's list while they run. */
static bool is_in_coroutine(lua_State *L) {
  struct cox_guard *const guard = guard_of(L);
  const unsigned depth = atomic_load(&guard->depth);
  return depth > 1 && guard->active[depth - 1] == L;
}

/* ---- resuming ---- */

/* The values that `co` left go to L. Its body's first one says how it ended. False: an error is on top of L. */
static bool take_results(lua_State *L, lua_State *co, int status, int *count) {
  bool is_good = status == LUA_YIELD;
  if (status == LUA_OK) {
    assert(*count > 0 && "the body says how it ended");
    is_good = lua_toboolean(co, -*count) != 0;
    (*count)--;
  } else if (status != LUA_YIELD) {
    *count = 1;
  }
  if (lua_checkstack(L, *count + 1) == 0) {
    lua_settop(co, 0);
    lua_pushliteral(L, "too many results to resume");
    return false;
  }
  lua_xmove(co, L, *count);
  if (status == LUA_OK) lua_pop(co, 1);
  return is_good;
}

/* The `count` values on top of L go to `co`. True: its results (their number in *count) are on top; else an error. */
static bool resume_with(lua_State *L, lua_State *co, int *count) {
  struct cox_guard *const guard = guard_of(L);
  if (!is_suspended(L, co)) {
    lua_pushfstring(L, "cannot resume %s coroutine", state_of(L, co));
    return false;
  }
  if (lua_checkstack(co, *count + 1) == 0) {
    lua_pushliteral(L, "too many arguments to resume");
    return false;
  }
  if (!cox_guard_push(guard, co)) {
    lua_pushfstring(L, "coroutines are nested too deeply: more than %d inside of each other", COX_GUARD_DEPTH - 1);
    return false;
  }
  lua_xmove(L, co, *count);
  const int status = lua_resume(co, L, *count, count);
  cox_guard_pop(guard);
  cox_guard_check(L);
  return take_results(L, co, status, count);
}

static int resume(lua_State *L) {
  lua_State *const co = check_coroutine(L);
  int count = lua_gettop(L) - 1;
  const bool is_good = resume_with(L, co, &count);
  if (!is_good) count = 1;
  lua_pushboolean(L, is_good);
  lua_insert(L, -(count + 1));
  return count + 1;
}

/* Puts the place before a text, as the library does; not before the one that tells memory errors from others. */
static int raise_from(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) != sizeof "not enough memory" - 1) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int resume_wrapped(lua_State *L) {
  lua_State *const co = lua_tothread(L, lua_upvalueindex(1));
  int count = lua_gettop(L);
  return resume_with(L, co, &count) ? count : raise_from(L);
}

/* ---- the library ---- */

static int create(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *const co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, body, 1);
  lua_xmove(L, co, 1);
  return 1;
}

static int wrap(lua_State *L) {
  create(L);
  lua_pushcclosure(L, resume_wrapped, 1);
  return 1;
}

static int close_coroutine(lua_State *L) {
  lua_State *const co = check_coroutine(L);
  struct cox_guard *const guard = guard_of(L);
  const char *const state = state_of(L, co);
  if (*state == 'd') {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (*state != 's') return luaL_error(L, "cannot close a %s coroutine", state);
  if (!cox_guard_push(guard, co)) return luaL_error(L, "coroutines are nested too deeply: more than %d inside of each other", COX_GUARD_DEPTH - 1);
  const int status = lua_resetthread(co);
  cox_guard_pop(guard);
  cox_guard_check(L);
  lua_pushboolean(L, status == LUA_OK);
  if (status == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  return 2;
}

static int yield(lua_State *L) {
  if (!is_in_coroutine(L)) return luaL_error(L, "attempt to yield from outside a coroutine");
  return lua_yield(L, lua_gettop(L));
}

static int status(lua_State *L) {
  lua_State *const co = check_coroutine(L);
  lua_pushstring(L, state_of(L, co));
  return 1;
}

static int is_yieldable(lua_State *L) {
  lua_State *const co = lua_isnoneornil(L, 1) ? L : check_coroutine(L);
  lua_pushboolean(L, co == L ? is_in_coroutine(L) && lua_isyieldable(L) != 0 : lua_isyieldable(co));
  return 1;
}

/* What a driver or job runs in is not handed out: for scripts it is the main one. */
static int running(lua_State *L) {
  const bool is_inner = is_in_coroutine(L);
  if (is_inner) lua_pushthread(L);
  else lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_pushboolean(L, !is_inner);
  return 2;
}

void cox_api_coroutine_open(lua_State *L) {
  static const luaL_Reg own[] = {{"close", close_coroutine}, {"create", create}, {"isyieldable", is_yieldable},
                                 {"resume", resume},         {"running", running}, {"status", status},
                                 {"wrap", wrap},             {"yield", yield},   {NULL, NULL}};
  luaL_newlib(L, own);
  lua_setglobal(L, "coroutine");
}
