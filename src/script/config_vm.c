/* A configuration is data that may be computed a little. It runs on the main thread before anything else lives, so what
 * no hook can stop (patterns, table.move over 2^60 slots) and what could swallow the end of the budget (pcall,
 * coroutines) is simply not there; with that a plain count hook is a complete guard.                                   */
#include "script/config_vm.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { BUDGET_US = 1000000, MEMORY_MAX = 64 * 1024 * 1024, HOOK_COUNT = 1000, DEPTH_MAX = 32, VALUES_MAX = 4000000, PATH_MAX_BYTES = 256 };

struct vm {
  const char *name;
  const char *source;
  size_t len;
  size_t used;   /* bytes */
  size_t values; /* converted so far; a table that is shared often would multiply without a limit */
  int64_t deadline_us;
  struct cox_faults *faults;
};

static void *allocate(void *arg, void *old, size_t old_size, size_t new_size) {
  struct vm *const vm = arg;
  const size_t before = old != NULL ? old_size : 0;
  if (new_size == 0) {
    free(old);
    vm->used -= before;
    return NULL;
  }
  if (new_size > before && vm->used - before + new_size > MEMORY_MAX) return NULL;
  void *fresh = realloc(old, new_size);
  if (fresh == NULL && new_size <= before) fresh = old; /* Lua counts on it that what shrinks stays */
  if (fresh != NULL) vm->used = vm->used - before + new_size;
  return fresh;
}

static struct vm *vm_of(lua_State *L) {
  void *vm;
  lua_getallocf(L, &vm);
  return vm;
}

static void watch(lua_State *L, lua_Debug *unused) {
  (void)unused;
  if (cox_clock_mono_us(cox_clock_system()) < vm_of(L)->deadline_us) return;
  luaL_where(L, 0); /* a hook has no level of its own */
  lua_pushstring(L, "the configuration ran longer than its budget of 1 s; give it plain values");
  lua_concat(L, 2);
  lua_error(L);
}

static void forget(lua_State *L, const char *table, const char *const *names) {
  if (table != NULL) lua_getglobal(L, table);
  else lua_pushglobaltable(L);
  for (; *names != NULL; names++) {
    lua_pushnil(L);
    lua_setfield(L, -2, *names);
  }
  lua_pop(L, 1);
}

static void open_libraries(lua_State *L) {
  static const luaL_Reg libraries[] = {
      {LUA_GNAME, luaopen_base},       {LUA_STRLIBNAME, luaopen_string}, {LUA_TABLIBNAME, luaopen_table},
      {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8},  {NULL, NULL},
  };
  static const char *const unsafe[] = {"pcall", "xpcall", "load", "loadfile", "dofile", "collectgarbage", "setmetatable",
                                       "getmetatable", "rawset", "print", "warn", NULL};
  static const char *const patterns[] = {"find", "match", "gmatch", "gsub", "dump", NULL};
  static const char *const loops[] = {"move", NULL};
  for (const luaL_Reg *library = libraries; library->name != NULL; library++) {
    luaL_requiref(L, library->name, library->func, 1);
    lua_pop(L, 1);
  }
  forget(L, NULL, unsafe);
  forget(L, LUA_STRLIBNAME, patterns);
  forget(L, LUA_TABLIBNAME, loops);
  lua_pushliteral(L, "default"); /* scripts = { "/etc/coxswain/scripts", default } */
  lua_setglobal(L, "default");
}

/* Runs protected: everything here may throw. Leaves what the file returned. */
static int run_protected(lua_State *L) {
  const struct vm *const vm = vm_of(L);
  open_libraries(L);
  char chunk[320];
  snprintf(chunk, sizeof chunk, "@%s", vm->name);
  if (luaL_loadbufferx(L, vm->source, vm->len, chunk, "t") != LUA_OK) return lua_error(L);
  lua_sethook(L, watch, LUA_MASKCOUNT, HOOK_COUNT);
  lua_call(L, 0, 1);
  lua_sethook(L, NULL, 0, 0);
  return 1;
}

/* "file:12: message" → its line, and the message behind it. */
static int split_place(const struct vm *vm, const char *text, const char **message) {
  *message = text;
  const size_t len = strlen(vm->name);
  const char *place = text;
  if (strncmp(place, vm->name, len) == 0 && place[len] == ':') {
    place += len + 1;
  } else if ((place = strstr(text, ":")) != NULL && strncmp(text, "...", 3) == 0) {
    place++; /* Lua shortens long names */
  } else {
    return 0;
  }
  char *end;
  const long line = strtol(place, &end, 10);
  if (end == place || *end != ':') return 0;
  *message = end + 1 + (end[1] == ' ');
  return (int)line;
}

static void report_error(lua_State *L, struct vm *vm, int rc) {
  if (rc == LUA_ERRMEM) {
    cox_faults_add(vm->faults, vm->name, 0, "the configuration needs more than its 64 MiB of memory; give it plain values");
    return;
  }
  const char *const text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error without a text";
  const char *message;
  const int line = split_place(vm, text, &message);
  cox_faults_add(vm->faults, vm->name, line, "%s", message);
}

static void value_fault(struct vm *vm, const char *path, const char *why) {
  cox_faults_add(vm->faults, vm->name, 0, "%s: %s", *path != '\0' ? path : "the returned table", why);
}

static json_t *convert(lua_State *L, struct vm *vm, const char *path, int depth);

static bool is_list(lua_State *L, size_t *len) {
  *len = lua_rawlen(L, -1);
  size_t keys = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    keys++;
    lua_pop(L, 1);
  }
  return *len > 0 && keys == *len;
}

static json_t *convert_list(lua_State *L, struct vm *vm, const char *path, size_t len, int depth) {
  json_t *const list = json_array();
  for (size_t i = 0; i < len; i++) {
    char place[PATH_MAX_BYTES];
    snprintf(place, sizeof place, "%s[%zu]", path, i);
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    json_t *const item = convert(L, vm, place, depth);
    lua_pop(L, 1);
    if (item != NULL) json_array_append_new(list, item);
  }
  return list;
}

static json_t *convert_object(lua_State *L, struct vm *vm, const char *path, int depth) {
  json_t *const object = json_object();
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      value_fault(vm, path, "must be a list (1, 2, 3 …) or have names as keys, not both");
      lua_pop(L, 2);
      break;
    }
    const char *const key = lua_tostring(L, -2);
    char place[PATH_MAX_BYTES];
    snprintf(place, sizeof place, "%s%s%s", path, *path != '\0' ? "." : "", key);
    json_t *const value = convert(L, vm, place, depth);
    if (value != NULL && json_object_set_new(object, key, value) != 0) value_fault(vm, path, "a key is not valid UTF-8");
    lua_pop(L, 1);
  }
  return object;
}

static json_t *convert_table(lua_State *L, struct vm *vm, const char *path, int depth) {
  if (depth >= DEPTH_MAX || !lua_checkstack(L, 8)) {
    value_fault(vm, path, "is nested too deeply (a table inside of itself?)");
    return NULL;
  }
  size_t len;
  return is_list(L, &len) ? convert_list(L, vm, path, len, depth + 1) : convert_object(L, vm, path, depth + 1);
}

static json_t *convert_text(lua_State *L, struct vm *vm, const char *path) {
  size_t len;
  const char *const text = lua_tolstring(L, -1, &len);
  json_t *const value = strlen(text) == len ? json_stringn(text, len) : NULL;
  if (value == NULL) value_fault(vm, path, "must be text in UTF-8 without a zero byte");
  return value;
}

/* The value on top of the stack, which stays. Never throws: it converts nothing in place. NULL: a fault was noted. */
static json_t *convert(lua_State *L, struct vm *vm, const char *path, int depth) {
  if (++vm->values > VALUES_MAX) {
    if (vm->values == VALUES_MAX + 1) value_fault(vm, path, "the configuration holds more than 4000000 values");
    return NULL;
  }
  switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN: return json_boolean(lua_toboolean(L, -1));
    case LUA_TSTRING: return convert_text(L, vm, path);
    case LUA_TTABLE: return convert_table(L, vm, path, depth);
    case LUA_TNUMBER:
      if (lua_isinteger(L, -1)) return json_integer(lua_tointeger(L, -1));
      if (isfinite(lua_tonumber(L, -1))) return json_real(lua_tonumber(L, -1));
      value_fault(vm, path, "must be a finite number");
      return NULL;
    default: value_fault(vm, path, "must be plain data, not a function"); return NULL;
  }
}

json_t *cox_config_vm_run(const char *name, const char *source, size_t len, struct cox_faults *faults) {
  struct vm vm = {.name = name, .source = source, .len = len, .faults = faults};
  vm.deadline_us = cox_clock_mono_us(cox_clock_system()) + BUDGET_US;
  lua_State *const L = lua_newstate(allocate, &vm);
  if (L == NULL) {
    cox_faults_add(faults, name, 0, "running the configuration failed: out of memory");
    return NULL;
  }
  json_t *result = NULL;
  lua_pushcfunction(L, run_protected);
  const int rc = lua_pcall(L, 0, 1, 0);
  if (rc != LUA_OK) {
    report_error(L, &vm, rc);
  } else if (lua_type(L, -1) != LUA_TTABLE) {
    cox_faults_add(faults, name, 0, "the file must return a table: return { nodes = \"node-config.json\", … }");
  } else {
    result = convert(L, &vm, "", 0);
    if (json_is_array(result)) {
      cox_faults_add(faults, name, 0, "the file must return a table with named keys, not a list");
      json_decref(result);
      result = NULL;
    }
  }
  lua_close(L);
  return result;
}
