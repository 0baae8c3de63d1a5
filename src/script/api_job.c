/* `broker` for jobs: they change things as everybody else does, by commands. */
#include <lauxlib.h>

#include "script/convert.h"
#include "script/fiber.h"
#include "script/sandbox.h"
#include "script/vm.h"

static int answered(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  const struct cox_io_reply *const reply = cox_fiber_check(L)->reply;
  if (reply->class_ != COX_CLASS_NONE) {
    lua_pushnil(L);
    lua_pushstring(L, reply->error);
    return 2;
  }
  cox_convert_push(L, reply->answer);
  return 1;
}

static int command(lua_State *L) {
  struct cox_fiber *const fiber = cox_fiber_check(L);
  const char *const name = luaL_checkstring(L, 1);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  struct cox_err err = {0};
  json_t *const args = lua_isnil(L, 2) ? json_object() : cox_convert_take(L, 2, "args", &err);
  if (args == NULL) return luaL_error(L, "broker.command %s: %s", name, err.text);
  json_decref(fiber->args);
  fiber->args = args;
  fiber->request = (struct cox_io_request){.kind = COX_IO_COMMAND, .command = name, .args = args};
  return lua_yieldk(L, 0, 0, answered);
}

static const struct cox_binding bindings[] = {
    {"command", command, "(name: string, args?: table) → table?, string?",
     "Sends a command and waits for its answer { status, reason?, result?, error? }; nil and why when it could not be sent."},
    {NULL, NULL, NULL, NULL},
};

void cox_api_job_push(lua_State *L) { cox_bindings_push(L, bindings); }
