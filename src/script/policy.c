#include "script/policy.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "script/cases.h"
#include "script/convert.h"
#include "script/declared.h"
#include "script/sandbox.h"

static const char commands_key, run_key;

enum { REASON_BYTES = 2048 };

#define LOAD_BUDGET_S 1.0

/* ---- loading ---- */

static int prepare(lua_State *L) {
  struct cox_policy_vm *const policy = lua_touserdata(L, 1);
  cox_target_taker_init(L, &policy->targets);
  cox_sandbox_require(L, "coxswain.handler");
  lua_getfield(L, -1, "run");
  cox_vm_keep(L, &run_key);
  lua_newtable(L);
  cox_vm_keep(L, &commands_key);
  return 0;
}

/* The file on top of the stack is a good command. */
static void keep_command(lua_State *L, const char *name) {
  cox_vm_push_kept(L, &commands_key);
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

struct cox_policy_vm *cox_policy_vm_create(const struct cox_policy_options *options, json_t *commands, struct cox_faults *faults) {
  struct cox_policy_vm *const policy = calloc(1, sizeof *policy);
  struct cox_err err = {0};
  const size_t before = faults->count;
  if (policy != NULL) {
    policy->vm = cox_vm_create(&(struct cox_vm_options){.context = COX_CONTEXT_POLICY,
                                                        .memory_max = options->memory_max,
                                                        .sources = options->sources,
                                                        .clock = options->clock,
                                                        .is_left = options->is_left,
                                                        .owner = policy},
                               &err);
  }
  if (policy == NULL || policy->vm == NULL || cox_vm_call(policy->vm, prepare, policy, LOAD_BUDGET_S, &err) != 0) {
    cox_faults_add(faults, err.file, err.line, "%s", policy != NULL ? err.text : "loading the policy failed: out of memory");
    cox_policy_vm_destroy(policy);
    return NULL;
  }
  cox_declared_load(policy->vm, COX_DECLARED_COMMANDS, keep_command, commands, faults);
  if (faults->count == before) cox_cases_check(policy->vm, LOAD_BUDGET_S, faults);
  if (faults->count == before) return policy;
  cox_policy_vm_destroy(policy);
  return NULL;
}

void cox_policy_vm_destroy(struct cox_policy_vm *policy) {
  if (policy == NULL) return;
  cox_vm_destroy(policy->vm);
  cox_target_taker_fini(&policy->targets);
  json_decref(policy->world);
  free(policy);
}

/* ---- running ---- */

struct cox_policy_vm *cox_policy_vm_check(lua_State *L) {
  struct cox_policy_vm *const policy = cox_vm_of(L)->owner;
  if (policy->txn == NULL) luaL_error(L, "the broker can be used only while a command's handler runs, not while scripts are loaded");
  return policy;
}

int cox_policy_refuse(lua_State *L, int rc, const char *text) {
  lua_pushnil(L);
  lua_pushstring(L, text);
  lua_pushstring(L, rc == COX_ENOENT ? "not_found" : "invalid");
  return 3;
}

static char *copy_text(lua_State *L, int index, const char *fallback) {
  char text[REASON_BYTES];
  cox_vm_copy_text(text, sizeof text, lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : fallback);
  return strdup(text);
}

/* What a handler returned is no plain data: as little happens as after any other error of it. */
static void refuse_result(struct cox_policy_vm *policy, const struct cox_err *why) {
  char name[300];
  snprintf(name, sizeof name, "commands/%.250s.lua", policy->name);
  const char *const file = cox_sources_path(policy->vm->sources, name);
  policy->answer->outcome = COX_ANSWER_ERROR;
  cox_err_at(&policy->answer->err, COX_ESCRIPT, file, 0, "command %s changed nothing: %s: %s", policy->name, file, why->text);
}

/* Stack: kind, value, code. */
static void take_outcome(lua_State *L, struct cox_policy_vm *policy) {
  struct cox_answer *const answer = policy->answer;
  const char *const kind = lua_tostring(L, -3);
  assert(kind != NULL && "coxswain.handler says what came of it");
  if (strcmp(kind, "done") == 0) {
    if (lua_isnil(L, -2)) return;
    struct cox_err err;
    answer->result = cox_convert_take(L, -2, "the result", &err);
    if (answer->result != NULL) return;
    cox_guard_check(L);
    refuse_result(policy, &err);
  } else if (strcmp(kind, "skipped") == 0) {
    answer->outcome = COX_ANSWER_SKIPPED;
    answer->reason = copy_text(L, -2, "the handler skipped it without a reason");
  } else {
    const char *const code = lua_tostring(L, -1);
    const bool is_unknown = code != NULL && strcmp(code, "not_found") == 0;
    const int error = strcmp(kind, "invalid") == 0 ? COX_EINVAL : is_unknown ? COX_ENOENT : COX_EREFUSED;
    answer->outcome = COX_ANSWER_ERROR;
    cox_err_set(&answer->err, error, "refused without a reason");
    if (lua_type(L, -2) == LUA_TSTRING) cox_vm_copy_text(answer->err.text, sizeof answer->err.text, lua_tostring(L, -2));
  }
}

static int run_handler(lua_State *L) {
  struct cox_policy_vm *const policy = lua_touserdata(L, 1);
  cox_vm_push_kept(L, &run_key);
  cox_vm_push_kept(L, &commands_key);
  if (lua_getfield(L, -1, policy->name) != LUA_TTABLE) return luaL_error(L, "there is no command %s", policy->name);
  lua_remove(L, -2);
  lua_pushstring(L, policy->name);
  cox_policy_broker_push(L);
  cox_convert_push(L, policy->args);
  lua_call(L, 4, 3);
  take_outcome(L, policy);
  return 0;
}

bool cox_policy_vm_run(struct cox_policy_vm *policy, const char *name, json_t *args, double budget_s, struct cox_txn *txn,
                       struct cox_answer *answer) {
  policy->txn = txn;
  policy->serial++;
  policy->name = name;
  policy->args = args;
  policy->answer = answer;
  struct cox_err err = {0};
  const int rc = cox_vm_call(policy->vm, run_handler, policy, budget_s, &err);
  policy->txn = NULL;
  if (rc == 0) return false;
  cox_answer_fini(answer);
  answer->outcome = COX_ANSWER_ERROR;
  cox_err_at(&answer->err, rc, err.file, err.line, "command %s changed nothing: %s%s%.*d%s%s", name, err.file,
             err.line > 0 ? ":" : "", err.line > 0, err.line, err.file[0] != '\0' ? ": " : "", err.text);
  if (!policy->vm->is_quiet) {
    cox_log(COX_LOG_ERROR, "policy", "a command's handler failed", "command", name, "file", err.file, "line", COX_LOG_INT(err.line), "error",
            err.text, "trace", policy->vm->trace, NULL);
  }
  return rc == COX_ETIME || rc == COX_ENOMEM;
}
