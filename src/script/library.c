#include "script/library.h"

#include <lauxlib.h>

#include "script/convert.h"
#include "script/sandbox.h"

struct call {
  const char *module, *function;
  json_t *args, *result;
};

static int run(lua_State *L) {
  struct call *const call = lua_touserdata(L, 1);
  cox_sandbox_require(L, call->module);
  lua_getfield(L, -1, call->function);
  cox_convert_push(L, call->args);
  lua_call(L, 1, 1);
  struct cox_err err;
  call->result = cox_convert_take(L, -1, call->function, &err);
  return call->result != NULL ? 0 : luaL_error(L, "%s", err.text);
}

json_t *cox_library_call(struct cox_vm *vm, const char *module, const char *function, json_t *args, double budget_s, struct cox_err *err) {
  struct call call = {.module = module, .function = function, .args = args};
  if (cox_vm_call(vm, run, &call, budget_s, err) != 0) {
    json_decref(call.result);
    call.result = NULL;
  }
  json_decref(args);
  return call.result;
}
