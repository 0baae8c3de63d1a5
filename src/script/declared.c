#include "script/declared.h"

#include <lauxlib.h>

#include "script/convert.h"
#include "script/sandbox.h"

#define LOAD_BUDGET_S 1.0

static const char *const folders[] = {"commands", "drivers", "jobs"};
static const char *const checks[] = {"command", "driver", "job"};

struct loading {
  struct cox_vm *vm;
  enum cox_declared_kind kind;
  void (*keep)(lua_State *L, const char *name);
  json_t *out;
  struct cox_faults *faults;
  const struct cox_source *source;
  const char *name;
  json_t *messages; /* what the schema found */
};

/* The fields that are plain data; functions stay in the VM. The file is on top. False, with the reason: one of them is not there. */
static bool take_fields(lua_State *L, json_t *out, struct cox_err *err) {
  static const char *const names[] = {"help", "priority", "scope", "feed", "deadline", "probe_deadline", "args", "waits"};
  bool is_whole = true;
  for (size_t i = 0; i < sizeof names / sizeof *names && is_whole; i++) {
    lua_getfield(L, -1, names[i]);
    json_t *const value = lua_isnil(L, -1) ? NULL : cox_convert_take(L, -1, names[i], err);
    is_whole = lua_isnil(L, -1) || (value != NULL && json_object_set_new(out, names[i], value) == 0);
    lua_pop(L, 1);
  }
  return is_whole;
}

static int load_one(lua_State *L) {
  struct loading *const loading = lua_touserdata(L, 1);
  cox_sandbox_run(L, loading->source);
  cox_sandbox_require(L, "coxswain.schema");
  lua_getfield(L, -1, checks[loading->kind]);
  lua_pushvalue(L, -3);
  lua_pushstring(L, loading->name);
  lua_call(L, 2, 1);
  struct cox_err err;
  loading->messages = cox_convert_take(L, -1, "faults", &err);
  if (loading->messages == NULL) return luaL_error(L, "%s", err.text);
  lua_pop(L, 2);
  if (json_array_size(loading->messages) > 0) return 0;
  if (loading->keep != NULL) loading->keep(L, loading->name);
  cox_err_set(&err, COX_ENOMEM, "out of memory");
  const bool is_entered = json_object_set_new(loading->out, loading->name, json_object()) == 0;
  if (is_entered && take_fields(L, json_object_get(loading->out, loading->name), &err)) return 0;
  json_object_del(loading->out, loading->name); /* half of it would be another script */
  return luaL_error(L, "%s", err.text);
}

static void load(void *arg, const struct cox_source *source, const char *stem) {
  struct loading *const loading = arg;
  struct cox_err err;
  loading->source = source;
  loading->name = stem;
  loading->messages = NULL;
  const int rc = cox_vm_call(loading->vm, load_one, loading, LOAD_BUDGET_S, &err);
  if (rc != 0) cox_vm_blame(loading->vm, source, &err);
  if (rc == COX_ETIME) cox_vm_spoil(loading->vm, &err);
  if (rc != 0) cox_faults_add(loading->faults, err.file, err.line, "%s", err.text);
  size_t i;
  json_t *message;
  json_array_foreach(loading->messages, i, message) {
    cox_faults_add(loading->faults, source->path, 0, "%s", json_string_value(message));
  }
  json_decref(loading->messages);
}

void cox_declared_load(struct cox_vm *vm, enum cox_declared_kind kind, void (*keep)(lua_State *L, const char *name), json_t *out,
                       struct cox_faults *faults) {
  struct loading loading = {.vm = vm, .kind = kind, .keep = keep, .out = out, .faults = faults};
  cox_sources_each(vm->sources, folders[kind], load, &loading);
}
