#include "script/trial.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "script/convert.h"
#include "script/inspect.h"
#include "script/rig.h"
#include "script/sandbox.h"
#include "script/vm.h"

/* Of processor time between two questions of a case. */
#if defined(__SANITIZE_THREAD__) /* there everything takes ten times as long */
#define STEP_BUDGET_S 20.0
#define LOAD_BUDGET_S 20.0
#else
#define STEP_BUDGET_S 5.0
#define LOAD_BUDGET_S 2.0
#endif

/* One file of cases. It runs in a coroutine that yields with each question to the rig: the scripts on trial have machines of their own,
 * with budgets of their own, and none of them runs inside of another's call.                                                         */
struct trial {
  const struct cox_trial_options *options;
  struct cox_rig *rig;
  struct cox_vm *vm;
  lua_State *co;
  const struct cox_sources *sources;
  const struct cox_source *source; /* of the cases */
  json_t *running;  /* name of the present case, owned; NULL: none runs */
  json_t *question; /* what it asked, owned; NULL: nothing */
  json_t *answer;   /* owned */
  struct cox_err err; /* why there is none */
};

/* ---- the question ---- */

/* The place in the cases that the error is about, whatever helpers of ours stand between. */
static void push_where(lua_State *L, const struct trial *trial) {
  lua_Debug frame;
  for (int level = 1; lua_getstack(L, level, &frame) != 0; level++) {
    lua_getinfo(L, "S", &frame);
    if (strcmp(frame.source + 1, trial->source->name) != 0) continue;
    luaL_where(L, level);
    return;
  }
  luaL_where(L, 1);
}

static int refuse(lua_State *L, const struct trial *trial, const char *text) {
  push_where(L, trial);
  lua_pushstring(L, text);
  lua_concat(L, 2);
  return lua_error(L);
}

static int answered(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  struct trial *const trial = cox_vm_of(L)->owner;
  if (trial->answer == NULL) return refuse(L, trial, trial->err.text);
  cox_convert_push(L, trial->answer);
  return 1;
}

/* native(operation, args?) */
static int native(lua_State *L) {
  struct trial *const trial = cox_vm_of(L)->owner;
  luaL_checkstring(L, 1);
  if (trial->co != L || !lua_isyieldable(L)) {
    return refuse(L, trial, "this is possible only in the case itself, not in a coroutine of its own, table.sort or string.gsub");
  }
  lua_settop(L, 2);
  struct cox_err err;
  json_t *const args = lua_isnil(L, 2) ? json_object() : cox_convert_take(L, 2, "what is given", &err);
  if (args == NULL) return refuse(L, trial, err.text);
  trial->question = json_pack("{ss, so}", "operation", lua_tostring(L, 1), "args", args);
  lua_settop(L, 0);
  return lua_yieldk(L, 0, 0, answered);
}

/* Scripts know files by name, people by path: folders are laid over each other. */
static void report(const struct trial *trial, json_t *result) {
  const char *const name = json_string_value(json_object_get(result, "file"));
  if (name != NULL) json_object_set_new(result, "file", json_string(cox_sources_path(trial->sources, name)));
  trial->options->report(trial->options->arg, result);
}

static void ask(struct trial *trial) {
  const char *const operation = json_string_value(json_object_get(trial->question, "operation"));
  json_t *const args = json_object_get(trial->question, "args");
  json_decref(trial->answer);
  trial->answer = NULL;
  if (strcmp(operation, "report") == 0) {
    report(trial, args);
    trial->answer = json_object();
  } else if (strcmp(operation, "print") == 0) {
    trial->options->print(trial->options->arg, json_string_value(json_object_get(args, "text")));
    trial->answer = json_object();
  } else if (strcmp(operation, "begin") == 0) {
    json_decref(trial->running);
    trial->running = json_incref(json_object_get(args, "name"));
    trial->answer = json_object();
  } else {
    trial->answer = cox_rig_do(trial->rig, operation, args, &trial->err);
  }
  json_decref(trial->question);
  trial->question = NULL;
}

/* ---- running one file ---- */

/* Leaves the coroutine ready: runner.run(native, file, name, only). */
static int make(lua_State *L) {
  struct trial *const trial = lua_touserdata(L, 1);
  cox_sandbox_require(L, "coxswain.testing.runner");
  lua_getfield(L, -1, "open");
  lua_call(L, 0, 1); /* the globals of cases */
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) cox_sandbox_set_global(L, lua_tostring(L, -2));
  lua_pop(L, 1);
  trial->co = lua_newthread(L);
  luaL_ref(L, LUA_REGISTRYINDEX); /* for the life of the machine */
  lua_getfield(L, -1, "run");
  lua_pushcfunction(L, native);
  cox_sandbox_load(L, trial->source);
  lua_pushstring(L, trial->source->name);
  lua_pushstring(L, trial->options->only);
  lua_xmove(L, trial->co, 5);
  return 0;
}

/* One step: LUA_YIELD while there is a question, LUA_OK at the end, else `err` says why. */
static int step(struct trial *trial, int arguments) {
  struct cox_vm *const vm = trial->vm;
  if (cox_guard_enter(&vm->guard, trial->co, STEP_BUDGET_S, &trial->err) != 0) return LUA_ERRRUN;
  if (COX_GUARD_WAS_RESCUED(&vm->guard)) {
    cox_vm_lose(vm, &trial->err);
    return LUA_ERRRUN;
  }
  int results;
  const int status = lua_resume(trial->co, vm->L, arguments, &results);
  if (status != LUA_OK && status != LUA_YIELD) cox_vm_describe(vm, trial->co, status, &trial->err);
  cox_guard_leave(&vm->guard);
  return status;
}

/* What became of a file that did not run to its end. */
static void report_failure(const struct trial *trial) {
  const struct cox_err *const err = &trial->err;
  const char *const running = json_string_value(trial->running);
  char text[1024];
  snprintf(text, sizeof text, "%s%s", err->text, running != NULL ? "\nthe cases after it in this file were not run" : "");
  json_t *const result = json_pack("{ss, ss, si, ss, ss}", "name", running != NULL ? running : trial->source->name, "file",
                                   err->file[0] != '\0' ? err->file : trial->source->path, "line", err->line, "outcome", "not ok", "message", text);
  trial->options->report(trial->options->arg, result);
  json_decref(result);
}

static void run_file(struct trial *trial) {
  if (cox_vm_call(trial->vm, make, trial, LOAD_BUDGET_S, &trial->err) != 0) {
    report_failure(trial);
    return;
  }
  int status = step(trial, 4);
  while (status == LUA_YIELD && trial->question != NULL) {
    ask(trial);
    status = step(trial, 0);
  }
  if (status == LUA_YIELD) cox_err_set(&trial->err, COX_ESCRIPT, "a case yields outside of a coroutine of its own");
  if (status != LUA_OK) report_failure(trial);
}

static void try_file(const struct cox_trial_options *options, struct cox_sources *sources, const struct cox_source *source,
                     struct cox_faults *faults) {
  struct trial trial = {.options = options, .sources = sources, .source = source, .rig = cox_rig_create(options->scripts, faults)};
  if (trial.rig == NULL) return;
  /* As a console's: it waits for nothing but the rig, and has no effect but through it. */
  const struct cox_vm_options wanted = {
      .context = COX_CONTEXT_CONSOLE, .sources = sources, .clock = cox_rig_clock(trial.rig), .owner = &trial, .seed = options->seed};
  trial.vm = cox_vm_create(&wanted, &trial.err);
  if (trial.vm != NULL) run_file(&trial);
  else report_failure(&trial);
  json_decref(trial.running);
  json_decref(trial.question);
  json_decref(trial.answer);
  cox_vm_destroy(trial.vm);
  cox_rig_destroy(trial.rig);
}

static bool is_spec(const struct cox_source *source) {
  static const char folder[] = "spec/", ending[] = "_spec.lua";
  const size_t len = strlen(source->name);
  return !source->is_trusted && strncmp(source->name, folder, sizeof folder - 1) == 0 && len >= sizeof ending &&
         strcmp(source->name + len - (sizeof ending - 1), ending) == 0;
}

static bool is_wanted(const struct cox_trial_options *options, const struct cox_source *source) {
  if (!is_spec(source)) return false;
  if (options->file != NULL) return strcmp(source->name, options->file) == 0;
  return options->folders_own == 0 || source->from < options->folders_own;
}

static struct cox_sources *read_sources(const struct cox_trial_options *options, struct cox_faults *faults) {
  const struct cox_script_options *const scripts = options->scripts;
  if (options->beside == NULL) return cox_inspect_read(scripts, faults);
  return cox_sources_read_case(scripts->folders, scripts->library_dir, options->beside, options->file, faults);
}

bool cox_trial_run(const struct cox_trial_options *options, struct cox_faults *faults) {
  const size_t before = faults->count;
  struct cox_sources *const sources = read_sources(options, faults);
  if (sources == NULL) return false;
  for (size_t i = 0; i < sources->count && faults->count == before; i++) {
    if (is_wanted(options, &sources->list[i])) try_file(options, sources, &sources->list[i], faults);
  }
  cox_sources_release(sources);
  return faults->count == before;
}
