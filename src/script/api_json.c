/* `json` for scripts, on jansson: exact integers and marked lists, which lua-cjson does not give. */
#include <lauxlib.h>
#include <stdlib.h>

#include "script/api.h"
#include "script/convert.h"
#include "script/sandbox.h"
#include "script/vm.h"

enum { DECODE_BYTES_MAX = 1024 * 1024 };

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

static int encode(lua_State *L) {
  luaL_checkany(L, 1);
  cox_guard_check(L);
  struct cox_held **const held = cox_vm_push_holder(L);
  struct cox_err err = {0};
  json_t *const value = cox_convert_take(L, 1, "json.encode: the value", &err);
  char *const text = value != NULL ? cox_convert_text(L, value, true, "json.encode: the value", &err) : NULL;
  json_decref(value);
  if (text == NULL) {
    cox_guard_check(L);
    return luaL_error(L, "%s", err.text);
  }
  cox_vm_hold(L, held, text, free);
  lua_pushstring(L, text);
  cox_vm_release(L, held);
  return 1;
}

static int decode(lua_State *L) {
  size_t len;
  const char *const text = luaL_checklstring(L, 1, &len);
  if (len > DECODE_BYTES_MAX) return luaL_error(L, "json.decode: the text is larger than %d MiB", DECODE_BYTES_MAX / 1024 / 1024);
  cox_guard_check(L);
  struct cox_held **const held = cox_vm_push_holder(L);
  json_error_t error;
  json_t *const value = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
  if (value == NULL) {
    lua_pushnil(L);
    lua_pushfstring(L, "json.decode: line %d, column %d: %s", error.line, error.column, error.text);
    return 2;
  }
  cox_vm_take_json(L, held, value);
  cox_convert_push(L, value);
  cox_vm_release(L, held);
  return 1;
}

static const struct cox_binding bindings[] = {
    {"array", array, "(list?: table) → table", "Marks a table as a list, so that an empty one is written as []."},
    {"decode", decode, "(text: string) → any, string?", "Reads JSON; nil and the reason when it is none."},
    {"encode", encode, "(value: any) → string", "Writes a plain value as JSON with sorted keys."},
    {NULL, NULL, NULL, NULL},
};

static const struct cox_api_field fields[] = {
    {"null", "userdata", "stands for null in lists; in objects null is nil"},
    {NULL, NULL, NULL},
};

const struct cox_api cox_api_json = {
    .name = "json", .help = "JSON: integers stay exact, lists stay lists.", .contexts = COX_API_ALL, .functions = bindings, .fields = fields};

void cox_api_json_push(lua_State *L) {
  cox_bindings_push(L, bindings);
  cox_convert_push_null(L);
  lua_setfield(L, -2, "null");
}
