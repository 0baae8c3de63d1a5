/* The functions that stand in no library, and `math`. */
#include <lauxlib.h>
#include <lualib.h>

#include "script/api_libraries.h"
#include "script/sandbox.h"
#include "script/vm.h"

enum { PCALL_DEPTH_MAX = 2000 };

/* A finalizer runs without hooks: an endless one could not be cut. A field that is set later is not looked at by Lua. */
static int safe_setmetatable(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  const int type = lua_type(L, 2);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "this metatable is protected");
  if (type == LUA_TTABLE) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "__gc is not allowed: nothing can stop a finalizer; use a to-be-closed variable");
  }
  lua_settop(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

/* ---- errors ---- */

/* Upvalue: the script's handler. At the end of the budget it is left out: it would run where no hook runs. */
static int handle(lua_State *L) {
  if (cox_guard_is_cut(&cox_vm_of(L)->guard)) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

/* `extra`: values below the results that are none. */
static int finish(lua_State *L, int status, lua_KContext extra) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)extra;
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

/* An error in a coroutine unwinds to its pcall without the C stack, which so does not limit them; and for each, Lua walks through all
 * frames below: ten thousand pcalls inside of each other would take seconds to unwind, where no hook runs.                         */
static void check_depth(lua_State *L) {
  lua_Debug frame;
  if (lua_getstack(L, PCALL_DEPTH_MAX, &frame) != 0) luaL_error(L, "pcall: more than %d calls are inside of each other", PCALL_DEPTH_MAX);
}

/* Stack: function, arguments. */
static int safe_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  check_depth(L);
  lua_pushboolean(L, 1); /* the first result */
  lua_insert(L, 1);
  return finish(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish), 0);
}

/* Stack: function, handler, arguments. */
static int safe_xpcall(lua_State *L) {
  check_depth(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  const int arguments = lua_gettop(L) - 2;
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, handle, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1); /* the first result */
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2); /* function, handler, true, function, arguments */
  return finish(L, lua_pcallk(L, arguments, LUA_MULTRET, 2, 2, finish), 2);
}

/* ---- read-only tables look like what they show ---- */

/* Replaces the read-only view at index 1 by what it shows; the script never holds that. */
static void look_through(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (cox_sandbox_push_frozen(L, 1)) lua_replace(L, 1);
}

static int safe_next(lua_State *L) {
  lua_settop(L, 2);
  look_through(L);
  if (lua_next(L, 1) != 0) return 2;
  lua_pushnil(L);
  return 1;
}

static int safe_rawget(lua_State *L) {
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  look_through(L);
  lua_rawget(L, 1);
  return 1;
}

static int safe_rawlen(lua_State *L) {
  if (lua_type(L, 1) == LUA_TTABLE) look_through(L);
  else luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "table or string");
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
  return 1;
}

void cox_api_base_open(lua_State *L) {
  static const luaL_Reg own[] = {{"next", safe_next},     {"rawget", safe_rawget},           {"rawlen", safe_rawlen},
                                 {"pcall", safe_pcall},   {"xpcall", safe_xpcall}, {"setmetatable", safe_setmetatable}, {NULL, NULL}};
  luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
  luaL_setfuncs(L, own, 0);
  lua_pop(L, 1);
}

/* ---- math ---- */

static int refuse_random(lua_State *L) {
  return luaL_error(L, "math.random is not there for policy and commands: the same node and world must always give the same target");
}

/* Of the library on top; each machine has its own sequence. */
static void seed_random(lua_State *L, uint64_t seed) {
  lua_getfield(L, -1, "randomseed");
  lua_pushinteger(L, (lua_Integer)seed);
  lua_call(L, 1, 0);
}

void cox_api_math_open(lua_State *L, uint64_t seed) {
  luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 1);
  seed_random(L, seed);
  if (cox_vm_of(L)->context == COX_CONTEXT_POLICY) {
    lua_pushcfunction(L, refuse_random);
    lua_setfield(L, -2, "random");
  }
  lua_pushnil(L);
  lua_setfield(L, -2, "randomseed");
  lua_pop(L, 1);
}
