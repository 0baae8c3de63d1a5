#include "script/sandbox.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "script/vm.h"

enum { REPEAT_BYTES_MAX = 16 * 1024 * 1024, ITEMS_MAX = 1000000 };

static const char environment_key, modules_key, loading_key;

/* ---- safer versions of what the libraries offer ---- */

/* A finalizer runs without hooks: an endless one could not be cut. */
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

static int safe_repeat(lua_State *L) {
  size_t len, separator_len = 0;
  luaL_checklstring(L, 1, &len);
  const lua_Integer count = luaL_checkinteger(L, 2);
  luaL_optlstring(L, 3, "", &separator_len);
  if (count > 0 && len + separator_len > 0 && (size_t)count > REPEAT_BYTES_MAX / (len + separator_len)) {
    return luaL_error(L, "string.rep: the result would be larger than %d MiB", REPEAT_BYTES_MAX / 1024 / 1024);
  }
  lua_settop(L, 3);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

/* Functions of the table library that work through a whole table in C, where no hook reaches them. */
static int bounded_table_call(lua_State *L) {
  if (lua_type(L, 1) == LUA_TTABLE && lua_rawlen(L, 1) > ITEMS_MAX) {
    return luaL_error(L, "a list of more than %d items is too long for the table library", ITEMS_MAX);
  }
  for (int i = 2; i <= 4 && i <= lua_gettop(L); i++) {
    const lua_Number number = lua_type(L, i) == LUA_TNUMBER ? lua_tonumber(L, i) : 0;
    if (number > ITEMS_MAX || number < -ITEMS_MAX) return luaL_error(L, "positions beyond %d are too far for the table library", ITEMS_MAX);
  }
  const int count = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, count, LUA_MULTRET);
  return lua_gettop(L);
}

static int print_to_log(lua_State *L) {
  const int count = lua_gettop(L);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 1; i <= count; i++) {
    if (i > 1) luaL_addchar(&text, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  cox_api_log_push(L);
  lua_getfield(L, -1, "info");
  lua_pushvalue(L, -3);
  lua_call(L, 1, 0);
  return 0;
}

/* ---- globals ---- */

static int raise_unknown(lua_State *L) {
  return luaL_error(L, "unknown global '%s': declare it with local, or see scripts/README.md for what there is", luaL_tolstring(L, 2, NULL));
}

static int raise_read_only(lua_State *L) {
  return luaL_error(L, "'%s' cannot be set here: declare it with local", luaL_tolstring(L, 2, NULL));
}

static int frozen_pairs(lua_State *L) {
  lua_getmetatable(L, 1);
  lua_getfield(L, -1, "__index");
  lua_getglobal(L, "next");
  lua_insert(L, -2);
  lua_pushnil(L);
  return 3;
}

static int frozen_len(lua_State *L) {
  lua_getmetatable(L, 1);
  lua_getfield(L, -1, "__index");
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
  return 1;
}

void cox_sandbox_freeze(lua_State *L) {
  static const luaL_Reg rest[] = {{"__newindex", raise_read_only}, {"__pairs", frozen_pairs}, {"__len", frozen_len}, {NULL, NULL}};
  lua_newtable(L); /* the view: always empty, so that every write is seen */
  lua_newtable(L);
  luaL_setfuncs(L, rest, 0);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_remove(L, -2);
}

/* Copies the named functions of the global table into the one on top. */
static void allow(lua_State *L, const char *const *names) {
  for (; *names != NULL; names++) {
    lua_getglobal(L, *names);
    lua_setfield(L, -2, *names);
  }
}

/* Wraps function `name` of the library on top. */
static void wrap(lua_State *L, const char *name, lua_CFunction wrapper) {
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, wrapper, 1);
  lua_setfield(L, -2, name);
}

static void open_libraries(lua_State *L) {
  static const luaL_Reg libraries[] = {
      {LUA_GNAME, luaopen_base},       {LUA_STRLIBNAME, luaopen_string}, {LUA_TABLIBNAME, luaopen_table},
      {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8},  {NULL, NULL},
  };
  for (const luaL_Reg *library = libraries; library->name != NULL; library++) {
    luaL_requiref(L, library->name, library->func, 1);
    lua_pop(L, 1);
  }
  lua_getglobal(L, LUA_STRLIBNAME);
  lua_pushnil(L);
  lua_setfield(L, -2, "dump");
  wrap(L, "rep", safe_repeat);
  lua_pop(L, 1);
  static const char *const bounded[] = {"concat", "insert", "move", "remove", "sort", "unpack", NULL};
  lua_getglobal(L, LUA_TABLIBNAME);
  for (const char *const *name = bounded; *name != NULL; name++) wrap(L, *name, bounded_table_call);
  lua_pop(L, 1);
  lua_pushliteral(L, ""); /* getmetatable("") must not hand out the real string library */
  lua_getmetatable(L, -1);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 2);
}

static int require_binding(lua_State *L) {
  cox_sandbox_require(L, luaL_checkstring(L, 1));
  return 1;
}

static void push_globals(lua_State *L) {
  static const char *const plain[] = {"assert", "error",  "getmetatable", "ipairs", "next",     "pairs",    "pcall", "rawequal", "rawget",
                                      "rawlen", "select", "tonumber",     "tostring", "type",   "xpcall",   NULL};
  static const char *const libraries[] = {LUA_STRLIBNAME, LUA_TABLIBNAME, LUA_MATHLIBNAME, LUA_UTF8LIBNAME, NULL};
  lua_newtable(L);
  allow(L, plain);
  lua_pushcfunction(L, safe_setmetatable);
  lua_setfield(L, -2, "setmetatable");
  lua_pushcfunction(L, print_to_log);
  lua_setfield(L, -2, "print");
  lua_pushcfunction(L, require_binding);
  lua_setfield(L, -2, "require");
  for (const char *const *name = libraries; *name != NULL; name++) {
    lua_getglobal(L, *name);
    cox_sandbox_freeze(L);
    lua_setfield(L, -2, *name);
  }
}

static void set_binding(lua_State *L, const char *name, void (*push)(lua_State *)) {
  push(L);
  cox_sandbox_freeze(L);
  lua_setfield(L, -2, name);
}

void cox_sandbox_open(lua_State *L) {
  open_libraries(L);
  push_globals(L);
  set_binding(L, "json", cox_api_json_push);
  set_binding(L, "log", cox_api_log_push);
  set_binding(L, "time", cox_api_time_push);
  if (cox_vm_of(L)->context == COX_CONTEXT_JOBS) {
    set_binding(L, "broker", cox_api_job_push);
    set_binding(L, "http", cox_api_http_push);
    set_binding(L, "ws", cox_api_ws_push);
    set_binding(L, "wallet", cox_api_wallet_push);
  }
  lua_newtable(L); /* unknown names end here */
  lua_pushcfunction(L, raise_unknown);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  cox_sandbox_freeze(L);
  cox_vm_keep(L, &environment_key);
  lua_newtable(L);
  cox_vm_keep(L, &modules_key);
  lua_newtable(L);
  cox_vm_keep(L, &loading_key);
}

void cox_bindings_push(lua_State *L, const struct cox_binding *bindings) {
  lua_newtable(L);
  for (; bindings->name != NULL; bindings++) {
    lua_pushcfunction(L, bindings->function);
    lua_setfield(L, -2, bindings->name);
  }
}

/* ---- scripts and modules ---- */

void cox_sandbox_run(lua_State *L, const struct cox_source *source) {
  lua_pushfstring(L, "@%s", source->name);
  const int rc = luaL_loadbufferx(L, source->text, source->len, lua_tostring(L, -1), "t");
  lua_remove(L, -2);
  if (rc != LUA_OK) lua_error(L);
  cox_vm_push_kept(L, &environment_key);
  if (lua_setupvalue(L, -2, 1) == NULL) lua_pop(L, 1);
  lua_call(L, 0, 1);
}

/* "policy.phases" → "policy/phases.lua". False: no such name can be. */
static bool file_of(const char *module, char *out, size_t size) {
  const size_t len = strlen(module);
  if (len == 0 || len + 5 > size || module[0] == '.' || module[len - 1] == '.' || strstr(module, "..") != NULL) return false;
  for (size_t i = 0; i < len; i++) {
    if (module[i] == '/' || module[i] == '\\') return false;
    out[i] = module[i];
    if (module[i] == '.') out[i] = '/';
  }
  memcpy(out + len, ".lua", 5);
  return true;
}

static const struct cox_source *find_module(lua_State *L, const char *module) {
  char file[256];
  if (!file_of(module, file, sizeof file)) luaL_error(L, "require: '%s' is no module name: write folder.file", module);
  const struct cox_sources *const sources = cox_vm_of(L)->sources;
  const bool is_library = strncmp(file, "coxswain/", 9) == 0;
  const struct cox_source *const source = cox_sources_find(sources, file, is_library);
  if (source == NULL) {
    luaL_error(L, "require: there is no module '%s': %s is not in %s", module, file,
               is_library ? "the trusted library" : "the folder of scripts");
  }
  return source;
}

void cox_sandbox_require(lua_State *L, const char *module) {
  cox_vm_push_kept(L, &modules_key);
  if (lua_getfield(L, -1, module) != LUA_TNIL) {
    lua_remove(L, -2);
    return;
  }
  lua_pop(L, 2);
  const struct cox_source *const source = find_module(L, module);
  cox_vm_push_kept(L, &loading_key);
  if (lua_getfield(L, -1, module) != LUA_TNIL) luaL_error(L, "require: '%s' requires itself, through others or at once", module);
  lua_pop(L, 1);
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, module);
  cox_sandbox_run(L, source);
  if (lua_isnil(L, -1)) luaL_error(L, "require: %s returns nothing: end it with `return M`", source->name);
  lua_pushnil(L);
  lua_setfield(L, -3, module);
  lua_remove(L, -2);
  cox_vm_push_kept(L, &modules_key);
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, module);
  lua_pop(L, 1);
}
