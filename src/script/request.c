#include "script/request.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/convert.h"

#define TIMEOUT_MAX_S 86400.0

int64_t cox_request_timeout_ms(lua_State *L, int index, double fallback_s) {
  if (!lua_istable(L, index) || lua_getfield(L, index, "timeout_s") == LUA_TNIL) return (int64_t)(fallback_s * 1000);
  const lua_Number seconds = luaL_checknumber(L, -1);
  if (!(seconds >= 0.001 && seconds <= TIMEOUT_MAX_S)) luaL_error(L, "timeout_s must be from 0.001 to 86400 seconds");
  return (int64_t)(seconds * 1000);
}

size_t cox_request_max_bytes(lua_State *L, int index, size_t fallback, size_t most) {
  if (!lua_istable(L, index) || lua_getfield(L, index, "max_bytes") == LUA_TNIL) return fallback;
  const lua_Integer bytes = luaL_checkinteger(L, -1);
  if (bytes < 1 || (size_t)bytes > most) luaL_error(L, "max_bytes must be from 1 to %I", (LUAI_UACINT)most);
  return (size_t)bytes;
}

void cox_request_check_options(lua_State *L, int index, const char *const *known) {
  if (lua_isnoneornil(L, index)) return;
  luaL_checktype(L, index, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    const char *const name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    size_t i = 0;
    while (known[i] != NULL && strcmp(known[i], name) != 0) i++;
    if (known[i] == NULL) luaL_error(L, "unknown option %s", name);
  }
}

void cox_request_set_text(lua_State *L, char **place, char *text) {
  free(*place);
  *place = text;
  if (text == NULL) luaL_error(L, "a request could not be made: out of memory");
}

void cox_request_set_body(lua_State *L, struct cox_fiber *fiber, int index) {
  free(fiber->body);
  fiber->body = NULL;
  if (lua_isnoneornil(L, index)) return;
  luaL_checktype(L, index, LUA_TTABLE);
  struct cox_err err;
  json_t *const body = cox_convert_take(L, index, "body", &err);
  fiber->body = body != NULL ? cox_convert_text(L, body, true, "body", &err) : NULL;
  json_decref(body);
  if (fiber->body == NULL) luaL_error(L, "%s", err.text);
}

void cox_request_push_answer(lua_State *L, const struct cox_io_reply *reply) {
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, reply->http_status);
  lua_setfield(L, -2, "status");
  lua_pushlstring(L, reply->body, reply->body_len);
  lua_setfield(L, -2, "body");
  struct cox_held **const held = cox_vm_push_holder(L);
  json_t *const value = json_loadb(reply->body, reply->body_len, 0, NULL);
  if (value == NULL) {
    lua_pop(L, 1);
    return;
  }
  cox_convert_push_made(L, held, value);
  lua_setfield(L, -2, "json");
}

int cox_request_push_failure(lua_State *L, const struct cox_io_reply *reply) {
  lua_pushnil(L);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, cox_class_name(reply->class_));
  lua_setfield(L, -2, "class");
  lua_pushstring(L, reply->error != NULL ? reply->error : cox_class_name(reply->class_));
  lua_setfield(L, -2, "message");
  if (reply->http_status != 0) {
    lua_pushinteger(L, reply->http_status);
    lua_setfield(L, -2, "status");
  }
  return 2;
}
