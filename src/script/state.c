#include "script/state.h"

#include <lauxlib.h>
#include <string.h>

#include "base/log.h"
#include "script/convert.h"
#include "script/sandbox.h"

#define STATE_BUDGET_S COX_VM_SMALL_BUDGET_S(0.02)

/* Pushes the list of policy modules: { "policy.phases", … } */
static void push_modules(lua_State *L) {
  const struct cox_sources *const sources = cox_vm_of(L)->sources;
  lua_newtable(L);
  for (size_t i = 0, n = 0; i < sources->count; i++) {
    const struct cox_source *const source = &sources->list[i];
    if (source->is_trusted || strncmp(source->name, "policy/", 7) != 0) continue;
    lua_pushlstring(L, source->name, strlen(source->name) - 4);
    luaL_gsub(L, lua_tostring(L, -1), "/", ".");
    lua_remove(L, -2);
    lua_rawseti(L, -2, (lua_Integer)++n);
  }
}

static void push_function(lua_State *L, const char *name) {
  cox_sandbox_require(L, "coxswain.state");
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  push_modules(L);
}

static int save(lua_State *L) {
  json_t **const out = lua_touserdata(L, 1);
  push_function(L, "save");
  lua_call(L, 1, 1);
  struct cox_err err;
  *out = cox_convert_take(L, -1, "state", &err);
  return *out != NULL ? 0 : luaL_error(L, "%s", err.text);
}

static int restore(lua_State *L) {
  json_t *const *const saved = lua_touserdata(L, 1);
  push_function(L, "restore");
  cox_convert_push(L, *saved);
  lua_call(L, 2, 0);
  return 0;
}

int cox_state_carry(struct cox_policy_vm *from, struct cox_policy_vm *to, struct cox_err *err) {
  json_t *saved = NULL;
  if (cox_vm_call(from->vm, save, &saved, STATE_BUDGET_S, err) != 0) {
    cox_log(COX_LOG_ERROR, "reload", "policy's state could not be saved: the new scripts begin without it", "file", err->file, "line",
            COX_LOG_INT(err->line), "reason", err->text, NULL);
    return 0;
  }
  const int rc = json_object_size(saved) > 0 ? cox_vm_call(to->vm, restore, &saved, STATE_BUDGET_S, err) : 0;
  json_decref(saved);
  return rc;
}
