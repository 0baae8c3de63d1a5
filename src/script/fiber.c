#include "script/fiber.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "script/convert.h"
#include "script/sandbox.h"

#define LOAD_BUDGET_S 1.0
#define CLOSE_BUDGET_S 0.05
#define SAVE_BUDGET_S COX_VM_SMALL_BUDGET_S(0.05)

enum { ERROR_BYTES = 1200 };

/* ---- the body of a fiber ---- */

struct cox_fiber *cox_fiber_check(lua_State *L) {
  const struct cox_fiber_vm *const owner = cox_vm_of(L)->owner; /* NULL: the scripts are only looked at */
  struct cox_fiber *const fiber = owner != NULL ? owner->current : NULL;
  if (fiber == NULL) luaL_error(L, "waiting is not possible here: not while a script is loaded");
  if (fiber->co != L) luaL_error(L, "waiting is possible only in the function that was called, not in a coroutine of its own");
  if (!lua_isyieldable(L)) luaL_error(L, "waiting is not possible here: not while a script is loaded, nor inside of table.sort, string.gsub or a metamethod called by them");
  return fiber;
}

void cox_fiber_fail(struct cox_fiber *fiber, enum cox_class class_, int http_status, const char *text) {
  struct cox_result *const result = &fiber->attempt->result;
  if (result->class_ != COX_CLASS_NONE) return;
  result->class_ = class_;
  result->http_status = http_status;
  char shown[ERROR_BYTES]; /* a node's own words may be in it: any bytes, and as many as it likes */
  cox_vm_copy_text(shown, sizeof shown, text);
  free(result->error);
  result->error = strdup(shown);
}

/* The structured errors of the bindings: { class, message, status? }. False: it is none. */
static bool take_structured(lua_State *L, struct cox_fiber *fiber) {
  if (lua_type(L, -1) != LUA_TTABLE) return false;
  cox_vm_push_field(L, -1, "class"); /* raw: nothing protects us from a script's __index here */
  cox_vm_push_field(L, -2, "message");
  cox_vm_push_field(L, -3, "status");
  enum cox_class class_;
  const bool is_known = lua_type(L, -3) == LUA_TSTRING && cox_class_parse(lua_tostring(L, -3), &class_) && class_ != COX_CLASS_NONE;
  if (is_known) {
    const char *const text = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : cox_class_name(class_);
    cox_fiber_fail(fiber, class_, (int)lua_tointeger(L, -1), text);
  }
  lua_pop(L, 3);
  return is_known;
}

static void fail_job(struct cox_fiber *fiber, const struct cox_err *err) {
  if (fiber->err == NULL) fiber->err = malloc(sizeof *fiber->err);
  if (fiber->err != NULL) *fiber->err = *err; /* without memory it looks as if it had returned: it is not started again */
}

static void take_error(lua_State *L, struct cox_fiber *fiber, int status) {
  const bool is_expired = cox_guard_is_expired(&fiber->vm->guard);
  if (fiber->attempt != NULL && status != LUA_ERRMEM && !is_expired && take_structured(L, fiber)) return;
  struct cox_err err;
  cox_vm_describe(fiber->vm, L, status, &err);
  if (fiber->attempt == NULL) {
    fail_job(fiber, &err);
    return;
  }
  char text[ERROR_BYTES];
  snprintf(text, sizeof text, "%s%s%.*d%s%s", err.file, err.file[0] != '\0' ? ":" : "", err.line > 0 ? 1 : 0, err.line,
           err.file[0] != '\0' ? ": " : "", err.text);
  cox_fiber_fail(fiber, COX_CLASS_SCRIPT, 0, text);
  cox_log(COX_LOG_DEBUG, "drivers", "a driver failed", "error", text, "trace", fiber->vm->trace, NULL);
}

/* What lua/coxswain/chore.lua returned: kind and value. */
static void take_chore(lua_State *L, struct cox_fiber *fiber) {
  const char *const kind = lua_tostring(L, -2);
  snprintf(fiber->chore_kind, sizeof fiber->chore_kind, "%s", kind != NULL ? kind : "");
  struct cox_err err = {0};
  fiber->result = cox_convert_take(L, -1, "result", &err);
  if (fiber->result == NULL) fail_job(fiber, &err);
}

/* What an author may mean by `return nil, "why"`: the node is not there, and must not be taken for it. */
static void check_reach(lua_State *L, struct cox_fiber *fiber) {
  if (lua_toboolean(L, -2) != 0 || (lua_isnil(L, -2) && lua_isnil(L, -1))) return;
  char why[256] = "", text[512];
  if (lua_type(L, -1) == LUA_TSTRING) cox_vm_copy_text(why, sizeof why, lua_tostring(L, -1));
  snprintf(text, sizeof text, "reach.%s returned %s%s%s: what was not reached is said with error(…); what returns has succeeded",
           cox_status_name(fiber->attempt->target->status), lua_isnil(L, -2) ? "nil" : "false", *why != '\0' ? ", " : "", why);
  cox_fiber_fail(fiber, COX_CLASS_SCRIPT, 0, text);
}

static int conclude(lua_State *L, int status, lua_KContext context) {
  (void)context;
  struct cox_fiber_vm *const owner = cox_vm_of(L)->owner;
  struct cox_fiber *const fiber = owner->current;
  if (status != LUA_OK && status != LUA_YIELD) {
    take_error(L, fiber, status);
  } else if (fiber->chore != NULL) {
    take_chore(L, fiber);
  } else if (fiber->attempt != NULL && fiber->attempt->kind == COX_ATTEMPT_PROBE) {
    cox_driver_take_probe(L, fiber);
  } else if (fiber->attempt != NULL) {
    check_reach(L, fiber);
  }
  fiber->is_done = true;
  return 0;
}

/* The pcall is ours and stands in every fiber: after a hook's error hooks stay off until such a frame unwinds, and an endless
 * to-be-closed variable could then not be cut. Stack: the function, its arguments.                                           */
static int body(lua_State *L) {
  lua_pushcfunction(L, cox_vm_trace);
  lua_insert(L, 1);
  const struct cox_fiber *const fiber = ((struct cox_fiber_vm *)cox_vm_of(L)->owner)->current;
  const bool is_reach = fiber->attempt != NULL && fiber->attempt->kind == COX_ATTEMPT_REACH;
  const int status = lua_pcallk(L, lua_gettop(L) - 2, fiber->chore != NULL || is_reach ? 2 : 1, 1, 0, conclude);
  return conclude(L, status, 0);
}

/* ---- making one ---- */

/* Pushes the driver's function for the attempt; throws with words for people when there is none. */
static void push_driver_function(lua_State *L, const struct cox_attempt *attempt) {
  const char *const kind = json_string_value(json_object_get(attempt->node, "kind"));
  cox_fiber_set_push_drivers(L);
  if (lua_getfield(L, -1, kind) != LUA_TTABLE) luaL_error(L, "there is no driver for nodes of kind %s: add drivers/%s.lua to the scripts", kind, kind);
  if (attempt->kind == COX_ATTEMPT_PROBE) {
    lua_getfield(L, -1, "probe");
  } else {
    const char *const status = cox_status_name(attempt->target->status);
    lua_getfield(L, -1, "reach");
    if (lua_getfield(L, -1, status) != LUA_TFUNCTION) luaL_error(L, "the driver of kind %s cannot reach %s: its reach.%s is missing", kind, status, status);
    lua_remove(L, -2);
  }
  lua_remove(L, -2);
  lua_remove(L, -2);
}

static void push_job_object(lua_State *L, const struct cox_fiber *fiber) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, fiber->name);
  lua_setfield(L, -2, "name");
  cox_convert_push(L, fiber->owner->context->config);
  lua_setfield(L, -2, "config");
}

/* chore.run(file, job, args) */
static void push_chore_function(lua_State *L, struct cox_fiber *fiber) {
  char name[256];
  snprintf(name, sizeof name, "commands/%s.lua", fiber->name);
  const struct cox_source *const source = cox_sources_find(fiber->vm->sources, name, false);
  if (source == NULL) luaL_error(L, "there is no command %s: add %s to the scripts", fiber->name, name);
  cox_sandbox_require(L, "coxswain.chore");
  lua_getfield(L, -1, "run");
  lua_remove(L, -2);
  cox_sandbox_run(L, source);
  push_job_object(L, fiber);
  cox_convert_push(L, fiber->chore);
}

/* What its forerunner saved; the file is on top. */
static void restore_job(lua_State *L, const struct cox_fiber *fiber) {
  json_t *const saved = json_object_get(fiber->owner->saved, fiber->name);
  if (saved == NULL || lua_getfield(L, -1, "restore") == LUA_TNIL) {
    lua_settop(L, lua_gettop(L) - (saved != NULL));
    return;
  }
  cox_convert_push(L, saved);
  lua_call(L, 1, 0);
}

static void push_job_function(lua_State *L, struct cox_fiber *fiber) {
  char name[256];
  snprintf(name, sizeof name, "jobs/%s.lua", fiber->name);
  const struct cox_source *const source = cox_sources_find(fiber->vm->sources, name, false);
  if (source == NULL) luaL_error(L, "there is no job %s: add %s to the scripts", fiber->name, name);
  cox_sandbox_run(L, source);
  restore_job(L, fiber);
  lua_pushvalue(L, -1);
  fiber->file_reference = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, -1, "run");
  lua_remove(L, -2);
  push_job_object(L, fiber);
}

/* Called protected: makes the coroutine with the function and its arguments in it. */
static int make(lua_State *L) {
  struct cox_fiber *const fiber = lua_touserdata(L, 1);
  fiber->co = lua_newthread(L);
  fiber->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, body);
  if (fiber->chore != NULL) {
    push_chore_function(L, fiber);
  } else if (fiber->attempt == NULL) {
    push_job_function(L, fiber);
  } else {
    cox_driver_node_push(L, fiber); /* first: its memory is to be saved even when there is no driver */
    push_driver_function(L, fiber->attempt);
    lua_insert(L, -2);
    if (fiber->attempt->target != NULL) {
      struct cox_held **const held = cox_vm_push_holder(L);
      cox_convert_push_made(L, held, cox_target_json(fiber->attempt->target, true));
    }
  }
  lua_xmove(L, fiber->co, lua_gettop(L) - 1);
  return 0;
}

static void free_fiber(struct cox_fiber *fiber) {
  const bool has_state = fiber->vm != NULL && !fiber->vm->is_lost;
  if (has_state && fiber->co != NULL) luaL_unref(fiber->vm->L, LUA_REGISTRYINDEX, fiber->reference);
  if (has_state) luaL_unref(fiber->vm->L, LUA_REGISTRYINDEX, fiber->node_reference); /* LUA_NOREF: nothing happens */
  if (has_state) luaL_unref(fiber->vm->L, LUA_REGISTRYINDEX, fiber->file_reference);
  if (fiber->set != NULL) cox_fiber_set_leave(fiber);
  free(fiber->url);
  free(fiber->body);
  json_decref(fiber->args);
  json_decref(fiber->result);
  free(fiber->name);
  free(fiber->err);
  free(fiber);
}

static void *vm_create(void *ctx, struct cox_err *err) { return cox_fiber_vm_create(ctx, err); }
static void vm_destroy(void *vm) { cox_fiber_vm_destroy(vm); }
static struct cox_attempt *outdated(void *vm) { return cox_fiber_set_outdated(vm); }

/* A fiber in the present set, with nothing in it. NULL: out of memory. Without a usable VM it is in none, and `err` says why. */
static struct cox_fiber *create(struct cox_fiber_vm *owner, enum cox_fiber_kind kind, const char *name, struct cox_err *err) {
  struct cox_fiber *const fiber = calloc(1, sizeof *fiber);
  if (fiber == NULL) return NULL;
  *fiber = (struct cox_fiber){.owner = owner, .node_reference = LUA_NOREF, .file_reference = LUA_NOREF};
  fiber->name = name != NULL ? strdup(name) : NULL;
  if (name != NULL && fiber->name == NULL) {
    free(fiber);
    return NULL;
  }
  struct cox_fiber_set *const set = cox_fiber_set_present(owner, kind, err);
  if (set != NULL) cox_fiber_set_enter(set, fiber);
  return fiber;
}

static struct cox_fiber *start(void *vm, struct cox_attempt *attempt) {
  struct cox_err err = {0};
  struct cox_fiber_vm *const owner = vm;
  struct cox_fiber *const fiber = create(owner, COX_FIBER_DRIVERS, NULL, &err);
  if (fiber == NULL) return NULL;
  fiber->attempt = attempt;
  fiber->is_in_doubt = attempt->result.unanswered.call[0] != '\0';
  if (fiber->set == NULL || cox_vm_call(fiber->vm, make, fiber, owner->context->resume_budget_s, &err) != 0) {
    cox_fiber_fail(fiber, COX_CLASS_SCRIPT, 0, err.text);
    fiber->is_done = true;
  }
  return fiber;
}

static struct cox_fiber *try_job(struct cox_fiber_vm *owner, const char *name, struct cox_err *err) {
  struct cox_fiber *const fiber = create(owner, COX_FIBER_JOBS, name, err);
  if (fiber == NULL) {
    cox_err_set(err, COX_ENOMEM, "starting the job %s failed: out of memory", name);
    return NULL;
  }
  if (fiber->set != NULL && cox_vm_call(fiber->vm, make, fiber, LOAD_BUDGET_S, err) == 0) return fiber;
  free_fiber(fiber);
  return NULL;
}

static struct cox_fiber *start_job(void *vm, const char *name, struct cox_err *err) {
  struct cox_fiber_vm *const owner = vm;
  struct cox_fiber *fiber = try_job(owner, name, err);
  const bool had_state = json_object_del(owner->saved, name) == 0; /* it has it now, or cannot take it */
  if (fiber != NULL || !had_state) return fiber;
  cox_log(COX_LOG_ERROR, "jobs", "a job did not take over what the one before saved: it begins without", "job", name, "file", err->file, "line",
          COX_LOG_INT(err->line), "reason", err->text, NULL);
  return try_job(owner, name, err);
}

static struct cox_fiber *start_chore(void *vm, const char *name, json_t *args) {
  struct cox_err err = {0};
  struct cox_fiber *const fiber = create(vm, COX_FIBER_JOBS, name, &err);
  if (fiber == NULL) return NULL;
  fiber->chore = args;
  if (fiber->set == NULL || cox_vm_call(fiber->vm, make, fiber, LOAD_BUDGET_S, &err) != 0) {
    fail_job(fiber, &err);
    fiber->is_done = true;
  }
  return fiber;
}

/* ---- running and ending ---- */

/* It cannot go on. */
static enum cox_fiber_state fail_whole(struct cox_fiber *fiber, const struct cox_err *err) {
  if (fiber->attempt != NULL) cox_fiber_fail(fiber, COX_CLASS_SCRIPT, 0, err->text);
  else fail_job(fiber, err);
  fiber->is_done = true;
  return COX_FIBER_DONE;
}

static enum cox_fiber_state resume(struct cox_fiber *fiber, const struct cox_io_reply *reply, struct cox_io_request *request) {
  if (fiber->is_done) return COX_FIBER_DONE;
  struct cox_vm *const vm = fiber->vm;
  struct cox_err err = {0};
  if (vm->is_lost) {
    cox_err_set(&err, COX_ESTOPPED, "its script machine was given up, because another script in it could not be interrupted");
    return fail_whole(fiber, &err);
  }
  if (cox_guard_enter(&vm->guard, fiber->co, fiber->owner->context->resume_budget_s, &err) != 0) return fail_whole(fiber, &err);
  fiber->owner->current = fiber;
  fiber->reply = reply;
  if (COX_GUARD_WAS_RESCUED(&vm->guard)) {
    fiber->owner->current = NULL;
    cox_vm_lose(vm, &err);
    return fail_whole(fiber, &err);
  }
  int results;
  const bool is_first = lua_status(fiber->co) == LUA_OK;
  const int status = lua_resume(fiber->co, vm->L, is_first ? lua_gettop(fiber->co) - 1 : 0, &results);
  if (status != LUA_YIELD && !fiber->is_done) take_error(fiber->co, fiber, status); /* memory, in our own frame */
  fiber->reply = NULL;
  fiber->owner->current = NULL;
  cox_guard_leave(&vm->guard);
  if (status != LUA_YIELD) {
    fiber->is_done = true;
    return COX_FIBER_DONE;
  }
  *request = fiber->request;
  return COX_FIBER_WAITS;
}

/* What it waited for, for the words about its end. */
static void describe_wait(const struct cox_fiber *fiber, char *out, size_t size) {
  if (fiber->request.url != NULL) snprintf(out, size, "%s %.200s was not answered", fiber->request.method, fiber->request.url);
  else snprintf(out, size, "it waited");
}

/* To-be-closed variables run; their errors are of no interest any more. */
static void close_coroutine(struct cox_fiber *fiber) {
  struct cox_vm *const vm = fiber->vm;
  if (vm->is_lost || fiber->co == NULL || lua_status(fiber->co) != LUA_YIELD) return;
  if (cox_guard_enter(&vm->guard, fiber->co, CLOSE_BUDGET_S, NULL) != 0) return;
  if (COX_GUARD_WAS_RESCUED(&vm->guard)) {
    cox_vm_lose(vm, NULL);
    return;
  }
  lua_resetthread(fiber->co);
  cox_guard_leave(&vm->guard);
}

static void close_fiber(struct cox_fiber *fiber, enum cox_fiber_end why) {
  close_coroutine(fiber);
  if (fiber->attempt == NULL) return;
  char wait[280], text[400];
  describe_wait(fiber, wait, sizeof wait);
  if (why == COX_END_DEADLINE) snprintf(text, sizeof text, "the attempt's deadline passed while %s", wait);
  else snprintf(text, sizeof text, "cancelled while %s", wait);
  cox_fiber_fail(fiber, why == COX_END_DEADLINE ? COX_CLASS_TIMEOUT : COX_CLASS_CANCELLED, 0, text);
}

/* Pushes nothing: what the job's save() returned is put beside the worker's machines, for its successor. */
static int save_state(lua_State *L) {
  const struct cox_fiber *const fiber = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, fiber->file_reference);
  if (lua_getfield(L, -1, "save") == LUA_TNIL) return 0;
  lua_call(L, 0, 1);
  if (lua_isnil(L, -1)) return 0;
  struct cox_err err;
  json_t *const value = cox_convert_take(L, -1, "what save returned", &err);
  if (value == NULL) return luaL_error(L, "%s", err.text);
  json_object_set_new(fiber->owner->saved, fiber->name, value);
  return 0;
}

/* A job that is ended from outside, to be followed by another one. */
static void save_job(struct cox_fiber *fiber) {
  struct cox_err err;
  if (fiber->file_reference == LUA_NOREF || fiber->vm->is_lost || cox_fault("job.forgets_state")) return;
  if (cox_vm_call(fiber->vm, save_state, fiber, SAVE_BUDGET_S, &err) == 0) return;
  cox_log(COX_LOG_ERROR, "jobs", "a job's state was not saved: it begins anew", "job", fiber->name, "file", err.file, "line", COX_LOG_INT(err.line),
          "reason", err.text, NULL);
}

static void finish(struct cox_fiber *fiber, enum cox_fiber_end why, struct cox_err *err) {
  if (why == COX_END_CANCELLED && !fiber->is_done) save_job(fiber);
  if (!fiber->is_done) close_fiber(fiber, why);
  if (fiber->attempt != NULL) {
    struct cox_result *const result = &fiber->attempt->result;
    json_t *const memory = cox_driver_node_end(fiber);
    if (fiber->attempt->kind == COX_ATTEMPT_REACH) {
      result->memory = memory;
      if (result->class_ == COX_CLASS_NONE) result->unanswered.call[0] = '\0'; /* the node is where it should be */
    } else {
      json_decref(memory); /* a probe changes nothing */
    }
  } else if (err != NULL) {
    *err = fiber->err != NULL ? *fiber->err : (struct cox_err){0};
  }
  free_fiber(fiber);
}

static const char *chore_text(const struct cox_fiber *fiber) {
  const char *const text = json_string_value(fiber->result);
  return text != NULL ? text : "it was refused without a reason";
}

static void finish_chore(struct cox_fiber *fiber, enum cox_fiber_end why, struct cox_answer *answer) {
  if (!fiber->is_done) close_fiber(fiber, why);
  answer->outcome = COX_ANSWER_ERROR;
  if (!fiber->is_done) {
    cox_err_set(&answer->err, why == COX_END_DEADLINE ? COX_ETIME : COX_ESTOPPED, "command %s was not done: %s", fiber->name,
                why == COX_END_DEADLINE ? "its time was over" : "the workers are stopping");
  } else if (fiber->err != NULL) {
    answer->err = *fiber->err;
  } else if (strcmp(fiber->chore_kind, "done") == 0) {
    answer->outcome = COX_ANSWER_DONE;
    answer->result = json_incref(fiber->result);
  } else {
    const bool is_refusal = strcmp(fiber->chore_kind, "refused") == 0;
    cox_err_set(&answer->err, is_refusal ? COX_EREFUSED : COX_EINVAL, "%s", chore_text(fiber));
  }
  free_fiber(fiber);
}

struct cox_fiber_ops cox_fiber_ops(const struct cox_fiber_context *context) {
  return (struct cox_fiber_ops){
      .ctx = (void *)(uintptr_t)context,
      .vm_create = vm_create,
      .vm_destroy = vm_destroy,
      .start = start,
      .start_job = start_job,
      .resume = resume,
      .finish = finish,
      .start_chore = start_chore,
      .finish_chore = finish_chore,
      .outdated = outdated,
  };
}
