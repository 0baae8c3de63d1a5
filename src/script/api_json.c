/* `json` for scripts, on jansson: exact integers and marked lists, which lua-cjson does not give. */
#include <lauxlib.h>
#include <stdlib.h>

#include "script/convert.h"
#include "script/sandbox.h"

enum { DECODE_BYTES_MAX = 4 * 1024 * 1024 };

static int array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  cox_convert_mark_list(L, 1);
  return 1;
}

static int free_text(lua_State *L) {
  free(*(char **)lua_touserdata(L, 1));
  return 0;
}

/* A slot that frees the text it holds, whatever throws after. */
static char **push_holder(lua_State *L) {
  char **const holder = lua_newuserdatauv(L, sizeof *holder, 0);
  *holder = NULL;
  if (luaL_newmetatable(L, "coxswain.text")) {
    lua_pushcfunction(L, free_text);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return holder;
}

static int encode(lua_State *L) {
  luaL_checkany(L, 1);
  char **const holder = push_holder(L);
  struct cox_err err = {0};
  json_t *const value = cox_convert_take(L, 1, "json.encode: the value", &err);
  if (value == NULL) return luaL_error(L, "%s", err.text);
  *holder = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
  json_decref(value);
  if (*holder == NULL) return luaL_error(L, "json.encode: out of memory");
  lua_pushstring(L, *holder);
  return 1;
}

struct decoded {
  json_t *value;
};

static int drop_value(lua_State *L) {
  json_decref(((struct decoded *)lua_touserdata(L, 1))->value);
  return 0;
}

static int decode(lua_State *L) {
  size_t len;
  const char *const text = luaL_checklstring(L, 1, &len);
  if (len > DECODE_BYTES_MAX) return luaL_error(L, "json.decode: the text is larger than %d MiB", DECODE_BYTES_MAX / 1024 / 1024);
  struct decoded *const decoded = lua_newuserdatauv(L, sizeof *decoded, 0);
  decoded->value = NULL;
  if (luaL_newmetatable(L, "coxswain.decoded")) {
    lua_pushcfunction(L, drop_value);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  json_error_t error;
  decoded->value = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
  if (decoded->value == NULL) {
    lua_pushnil(L);
    lua_pushfstring(L, "json.decode: line %d, column %d: %s", error.line, error.column, error.text);
    return 2;
  }
  cox_convert_push(L, decoded->value);
  return 1;
}

static const struct cox_binding bindings[] = {
    {"array", array, "(list?: table) → table", "Marks a table as a list, so that an empty one is written as []."},
    {"decode", decode, "(text: string) → any, string?", "Reads JSON; nil and the reason when it is none."},
    {"encode", encode, "(value: any) → string", "Writes a plain value as JSON with sorted keys."},
    {NULL, NULL, NULL, NULL},
};

void cox_api_json_push(lua_State *L) {
  cox_bindings_push(L, bindings);
  cox_convert_push_null(L);
  lua_setfield(L, -2, "null");
}
