#include "script/sandbox.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "script/api_libraries.h"
#include "script/chunks.h"
#include "script/vm.h"

static const char environment_key, modules_key, frozen_key;

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

bool cox_sandbox_push_frozen(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  const bool is_frozen = lua_rawgetp(L, -1, &frozen_key) == LUA_TTABLE;
  lua_remove(L, -2);
  if (!is_frozen) lua_pop(L, 1);
  return is_frozen;
}

/* Upvalue: the table. It never gets into the script's hands, which could write to it: others share it. */
static int frozen_next(lua_State *L) {
  lua_settop(L, 2);
  return lua_next(L, lua_upvalueindex(1)) != 0 ? 2 : 0;
}

static int frozen_pairs(lua_State *L) {
  if (!cox_sandbox_push_frozen(L, 1)) return luaL_error(L, "not a read-only table");
  lua_pushcclosure(L, frozen_next, 1);
  return 1;
}

static int frozen_len(lua_State *L) {
  if (!cox_sandbox_push_frozen(L, 1)) return luaL_error(L, "not a read-only table");
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
  lua_pushvalue(L, -3);
  lua_rawsetp(L, -2, &frozen_key);
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

/* Each file gets globals of its own: what it does to them is its own affair, and a look at one is a look into one table (behind
 * a read-only view, a phase decision cost 6 % more). New names are refused: they are forgotten `local`s.                       */
static void push_environment(lua_State *L) {
  static const luaL_Reg guards[] = {{"__index", raise_unknown}, {"__newindex", raise_read_only}, {NULL, NULL}};
  lua_newtable(L);
  cox_vm_push_kept(L, &environment_key);
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
  if (luaL_newmetatable(L, "coxswain.environment")) {
    luaL_setfuncs(L, guards, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
}

void cox_libraries_wrap(lua_State *L, const char *name, lua_CFunction wrapper) {
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, wrapper, 1);
  lua_setfield(L, -2, name);
}

static void open_libraries(lua_State *L, uint64_t seed) {
  cox_api_base_open(L);
  cox_api_string_open(L);
  cox_api_table_open(L);
  cox_api_coroutine_open(L);
  cox_api_math_open(L, seed);
  luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 1); /* linear, and a string is not long */
  lua_pop(L, 1);
}

static int require_binding(lua_State *L) {
  size_t len;
  const char *const name = luaL_checklstring(L, 1, &len);
  if (strlen(name) != len) return luaL_error(L, "require: a module's name has no zero byte in it");
  cox_sandbox_require(L, name);
  return 1;
}

static void push_globals(lua_State *L) {
  static const char *const plain[] = {"assert", "error",  "getmetatable", "ipairs", "next",     "pairs",    "pcall", "rawequal", "rawget",
                                      "rawlen", "select", "setmetatable", "tonumber", "tostring", "type",   "xpcall", NULL};
  static const char *const libraries[] = {LUA_STRLIBNAME, LUA_TABLIBNAME, LUA_MATHLIBNAME, LUA_UTF8LIBNAME, LUA_COLIBNAME, NULL};
  lua_newtable(L);
  allow(L, plain);
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

void cox_sandbox_open(lua_State *L, uint64_t seed) {
  open_libraries(L, seed);
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
  cox_vm_keep(L, &environment_key);
  lua_newtable(L);
  cox_vm_keep(L, &modules_key);
}

void cox_bindings_add(lua_State *L, const struct cox_binding *bindings) {
  for (; bindings->name != NULL; bindings++) {
    lua_pushcfunction(L, bindings->function);
    lua_setfield(L, -2, bindings->name);
  }
}

void cox_bindings_push(lua_State *L, const struct cox_binding *bindings) {
  lua_newtable(L);
  cox_bindings_add(L, bindings);
}

void cox_sandbox_set_global(lua_State *L, const char *name) {
  cox_vm_push_kept(L, &environment_key);
  lua_insert(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* ---- scripts and modules ---- */

/* Without a byte order mark, and without a first line that begins with # (its end stays: lines keep their numbers). */
static const char *text_of(const struct cox_source *source, size_t *len) {
  const char *text = source->text, *const end = source->text + source->len;
  if (source->len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3;
  if (text < end && *text == '#') {
    while (text < end && *text != '\n') text++;
  }
  *len = (size_t)(end - text);
  return text;
}

/* Lua tells it with the place of whoever asked for the file. */
static int raise_unread(lua_State *L, const struct cox_source *source) {
  const char *const text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strstr(text, "C stack overflow") == NULL) return lua_error(L);
  lua_pushfstring(L, "%s:1: the script cannot be read: brackets, blocks or functions in it are nested too deeply", source->name);
  return lua_error(L);
}

void cox_sandbox_load(lua_State *L, const struct cox_source *source) {
  size_t len;
  const char *const text = text_of(source, &len);
  lua_pushfstring(L, "@%s", source->name);
  const int rc = cox_chunks_load(L, source, text, len, lua_tostring(L, -1));
  lua_remove(L, -2);
  if (rc != LUA_OK) raise_unread(L, source);
  push_environment(L);
  if (lua_setupvalue(L, -2, 1) == NULL) lua_pop(L, 1);
}

void cox_sandbox_run(lua_State *L, const struct cox_source *source) {
  cox_sandbox_load(L, source);
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
  char shown[100]; /* whatever its length, the reason is seen */
  snprintf(shown, sizeof shown, "%.80s", module);
  if (!file_of(module, file, sizeof file)) luaL_error(L, "require: '%s' is no module name: write folder.file", shown);
  const struct cox_sources *const sources = cox_vm_of(L)->sources;
  const bool is_library = strncmp(file, "coxswain/", 9) == 0;
  const struct cox_source *const source = cox_sources_find(sources, file, is_library);
  if (source == NULL) {
    luaL_error(L, "require: there is no module '%s': %s is not in %s", module, file,
               is_library ? "the trusted library" : "the folder of scripts");
  }
  return source;
}

/* Does the file's own code run, somewhere below in this coroutine? */
static bool is_running(lua_State *L, const struct cox_source *source) {
  lua_Debug frame;
  for (int level = 0; lua_getstack(L, level, &frame) != 0; level++) {
    lua_getinfo(L, "S", &frame);
    if (strcmp(frame.what, "main") == 0 && strcmp(frame.source + 1, source->name) == 0) return true;
  }
  return false;
}

static void check_not_loading(lua_State *L, const struct cox_source *source, const char *module) {
  const struct cox_guard *const guard = &cox_vm_of(L)->guard;
  for (unsigned depth = atomic_load(&guard->depth); depth > 0; depth--) {
    if (is_running(guard->active[depth - 1], source)) luaL_error(L, "require: '%s' requires itself, through others or at once", module);
  }
}

void cox_sandbox_require(lua_State *L, const char *module) {
  luaL_checkstack(L, 8, "modules are nested too deeply");
  cox_vm_push_kept(L, &modules_key);
  if (lua_getfield(L, -1, module) != LUA_TNIL) {
    lua_remove(L, -2);
    return;
  }
  lua_pop(L, 1);
  const struct cox_source *const source = find_module(L, module);
  cox_vm_check_spoiled(L, source);
  check_not_loading(L, source, module);
  cox_sandbox_run(L, source);
  if (lua_isnil(L, -1)) luaL_error(L, "require: %s returns nothing: end it with `return M`", source->name);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, module);
  lua_remove(L, -2);
}
