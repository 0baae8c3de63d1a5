#include "script/vm.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/sandbox.h"

enum { MEMORY_MAX = 64 * 1024 * 1024 };
#define OPEN_BUDGET_S 1.0

static void *allocate(void *arg, void *old, size_t old_size, size_t new_size) {
  struct cox_vm *const vm = arg;
  const size_t before = old != NULL ? old_size : 0;
  if (new_size == 0) {
    free(old);
    vm->used -= before;
    return NULL;
  }
  /* Lua answers the first refusal with a full collection and asks again. */
  if (new_size > before && vm->used - before + new_size > vm->max) return NULL;
  void *const fresh = realloc(old, new_size);
  if (fresh != NULL) vm->used = vm->used - before + new_size;
  return fresh;
}

struct cox_vm *cox_vm_of(lua_State *L) { return *(struct cox_vm **)lua_getextraspace(L); }

static int panic(lua_State *L) {
  fprintf(stderr, "coxswain: an unprotected Lua error, a bug of ours: %s\n", lua_tostring(L, -1));
  abort();
}

static int open_sandbox(lua_State *L) {
  cox_sandbox_open(L);
  return 0;
}

struct cox_vm *cox_vm_create(const struct cox_vm_options *options, struct cox_err *err) {
  struct cox_vm *vm = calloc(1, sizeof *vm);
  if (vm == NULL) goto out_of_memory;
  vm->context = options->context;
  vm->max = options->memory_max != 0 ? options->memory_max : MEMORY_MAX;
  vm->sources = cox_sources_hold(options->sources);
  vm->clock = options->clock;
  vm->owner = options->owner;
  vm->L = lua_newstate(allocate, vm);
  if (vm->L == NULL) goto out_of_memory;
  *(struct cox_vm **)lua_getextraspace(vm->L) = vm;
  lua_atpanic(vm->L, panic);
  if (cox_vm_call(vm, open_sandbox, NULL, OPEN_BUDGET_S, err) == 0) return vm;
  cox_vm_destroy(vm);
  return NULL;
out_of_memory:
  cox_err_set(err, COX_ENOMEM, "making a script machine failed: out of memory");
  cox_vm_destroy(vm);
  return NULL;
}

void cox_vm_destroy(struct cox_vm *vm) {
  if (vm == NULL) return;
  cox_guard_fini(&vm->guard);
  if (vm->L != NULL) lua_close(vm->L);
  cox_sources_release(vm->sources);
  free(vm);
}

int cox_vm_trace(lua_State *L) {
  struct cox_vm *const vm = cox_vm_of(L);
  vm->trace[0] = '\0';
  if (cox_guard_is_expired(&vm->guard)) return 1; /* building the text would be cut again */
  luaL_traceback(L, L, NULL, 1);
  const char *const text = lua_tostring(L, -1);
  if (text != NULL) snprintf(vm->trace, sizeof vm->trace, "%s", text);
  lua_pop(L, 1);
  return 1;
}

/* "commands/start_poc.lua:12: why" → file, line, and the message behind them. */
static const char *split_place(const struct cox_vm *vm, const char *text, struct cox_err *err) {
  const char *const colon = strstr(text, ".lua:");
  if (colon == NULL) return text;
  char name[256];
  const size_t len = (size_t)(colon - text) + 4;
  if (len >= sizeof name || memchr(text, ' ', len) != NULL) return text;
  memcpy(name, text, len);
  name[len] = '\0';
  char *end;
  const long line = strtol(colon + 5, &end, 10);
  if (end == colon + 5 || *end != ':') return text;
  snprintf(err->file, sizeof err->file, "%s", cox_sources_path(vm->sources, name));
  err->line = (int)line;
  return end + 1 + (end[1] == ' ');
}

static const char *text_of(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING) return lua_tostring(L, -1);
  if (lua_type(L, -1) != LUA_TTABLE) return NULL;
  lua_pushliteral(L, "message");
  lua_rawget(L, -2);
  const char *const text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1); /* the table still holds it */
  return text;
}

int cox_vm_describe(struct cox_vm *vm, lua_State *L, int rc, struct cox_err *err) {
  struct cox_err unwanted;
  if (err == NULL) err = &unwanted;
  if (rc == LUA_ERRMEM) {
    return cox_err_set(err, COX_ENOMEM, "the script needs more than its %zu MiB of memory; keep less, or in smaller pieces",
                       vm->max / 1024 / 1024);
  }
  const bool is_expired = cox_guard_is_expired(&vm->guard);
  const char *const text = text_of(L);
  err->file[0] = '\0';
  err->line = 0;
  const char *const message = text != NULL ? split_place(vm, text, err) : NULL;
  err->code = is_expired ? COX_ETIME : COX_ESCRIPT;
  if (message != NULL) {
    snprintf(err->text, sizeof err->text, "%s", message);
  } else {
    snprintf(err->text, sizeof err->text, "an error that is no text but a %s value", luaL_typename(L, -1));
  }
  return err->code;
}

static void clear(struct cox_err *err) {
  if (err != NULL) *err = (struct cox_err){0};
}

int cox_vm_call(struct cox_vm *vm, lua_CFunction function, void *arg, double budget_s, struct cox_err *err) {
  lua_State *const L = vm->L;
  const int top = lua_gettop(L);
  clear(err);
  int rc = cox_guard_enter(&vm->guard, L, budget_s, err);
  if (rc != 0) return rc;
  lua_pushcfunction(L, cox_vm_trace); /* light C functions: no memory is asked for */
  lua_pushcfunction(L, function);
  lua_pushlightuserdata(L, arg);
  const int status = lua_pcall(L, 1, 0, top + 1);
  rc = status == LUA_OK ? 0 : cox_vm_describe(vm, L, status, err);
  cox_guard_leave(&vm->guard);
  lua_settop(L, top);
  return rc;
}

void cox_vm_keep(lua_State *L, const void *key) { lua_rawsetp(L, LUA_REGISTRYINDEX, key); }
void cox_vm_push_kept(lua_State *L, const void *key) { lua_rawgetp(L, LUA_REGISTRYINDEX, key); }
