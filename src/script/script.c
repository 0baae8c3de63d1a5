#include "script/script.h"

#include <stdlib.h>
#include <string.h>

#include "script/console.h"
#include "script/failures.h"
#include "script/fiber.h"
#include "script/generations.h"
#include "script/reload.h"
#include "script/trust.h"

#define COMMAND_BUDGET_S COX_VM_SMALL_BUDGET_S(0.1)
#define RESUME_BUDGET_S COX_VM_SMALL_BUDGET_S(0.05)

struct cox_script {
  struct cox_generations generations;
  struct cox_reload reload;
  struct cox_failures failures; /* cox-command's, as the next */
  bool has_turned;              /* just now: the command due comes next, if one is */
  double command_budget_s;
  json_t *config;
  struct cox_policy policy;
  struct cox_scripts scripts;
  struct cox_fiber_context fibers;
  struct cox_fiber_ops ops;
  struct cox_wallet wallet;
  struct cox_console_context consoles;
  struct cox_console console;
};

/* ---- the core's policy ---- */

static int lookup(void *ctx, const char *name, enum cox_priority *priority) {
  struct cox_generation *const live = cox_generations_hold(&((struct cox_script *)ctx)->generations);
  const int rc = cox_generation_lookup(live, name, priority);
  cox_generation_release(live);
  return rc;
}

static double limit_s(void *ctx, const char *kind, enum cox_status status) {
  struct cox_generation *const live = cox_generations_hold(&((struct cox_script *)ctx)->generations);
  const double limit = cox_generation_limit_s(live, kind, status);
  cox_generation_release(live);
  return limit;
}

static void run(void *ctx, const char *name, json_t *args, struct cox_txn *txn, struct cox_answer *answer) {
  struct cox_script *const script = ctx;
  struct cox_generation *const live = script->generations.live; /* this thread alone exchanges it */
  const bool is_rerun = script->has_turned && cox_failures_is_phase_command(name);
  char why[COX_FAILURES_TEXT];
  script->has_turned = false;
  if (json_object_get(live->commands, name) == NULL) { /* it was there when the command was sent */
    answer->outcome = COX_ANSWER_ERROR;
    cox_err_set(&answer->err, COX_ENOENT, "command %s changed nothing: the scripts were exchanged before its turn, and the new ones do not have it", name);
    return;
  }
  if (cox_policy_vm_run(live->policy, name, args, script->command_budget_s, txn, answer)) cox_generation_renew_policy(live);
  if (cox_failures_note(&script->failures, live->number, name, is_rerun, answer, why)) cox_reload_give_up(&script->reload, live->number, why);
}

static bool waits(void *ctx, const char *name) {
  struct cox_generation *const live = cox_generations_hold(&((struct cox_script *)ctx)->generations);
  const bool does = json_is_true(json_object_get(json_object_get(live->commands, name), "waits"));
  cox_generation_release(live);
  return does;
}

static uint64_t generation(void *ctx) { return atomic_load(&((struct cox_script *)ctx)->generations.number); }

static bool turn(void *ctx) {
  struct cox_script *const script = ctx;
  const bool has_turned = cox_generations_turn(&script->generations);
  script->has_turned = script->has_turned || has_turned;
  return has_turned;
}

/* ---- the face of the exchange ---- */

static void ask_reload(void *ctx, struct cox_scripts_request *request) { cox_reload_ask(ctx, COX_ORDER_RELOAD, request); }
static void ask_rollback(void *ctx, struct cox_scripts_request *request) { cox_reload_ask(ctx, COX_ORDER_ROLLBACK, request); }
static void ask_plan(void *ctx, struct cox_scripts_request *request) { cox_reload_ask(ctx, COX_ORDER_PLAN, request); }
static json_t *show(void *ctx) { return cox_reload_show(ctx); }
static json_t *difference(void *ctx) { return cox_reload_difference(ctx); }

/* ---- consoles ---- */

static struct cox_sources *hold_sources(void *ctx) {
  struct cox_generation *const live = cox_generations_hold(&((struct cox_script *)ctx)->generations);
  struct cox_sources *const sources = cox_sources_hold(live->sources);
  cox_generation_release(live);
  return sources;
}

static json_t *list_commands(void *ctx) { return cox_script_commands(ctx); }

/* ---- making ---- */

static void connect(struct cox_script *script, const struct cox_script_options *options) {
  script->policy = (struct cox_policy){
      .ctx = script, .lookup = lookup, .limit_s = limit_s, .run = run, .waits = waits, .generation = generation, .turn = turn};
  script->scripts = (struct cox_scripts){.ctx = &script->reload,
                                         .reload = ask_reload,
                                         .rollback = ask_rollback,
                                         .plan = ask_plan,
                                         .show = show,
                                         .difference = difference};
  script->fibers = (struct cox_fiber_context){
      .generations = &script->generations,
      .clock = options->clock,
      .config = script->config,
      .wallet = &script->wallet,
      .resume_budget_s = options->resume_budget_s != 0 ? options->resume_budget_s : RESUME_BUDGET_S,
      .memory_max = options->memory_max,
      .seed = options->seed,
  };
  script->ops = cox_fiber_ops(&script->fibers);
  script->consoles = (struct cox_console_context){
      .clock = options->clock, .hold_sources = hold_sources, .commands = list_commands, .ctx = script};
  script->console = cox_console_make(&script->consoles);
}

static int prepare(struct cox_script *script, const struct cox_script_options *options) {
  json_t *const folders = options->folders != NULL ? json_incref(options->folders) : json_pack("[s]", options->scripts_dir);
  cox_generations_init(&script->generations);
  script->command_budget_s = options->command_budget_s != 0 ? options->command_budget_s : COMMAND_BUDGET_S;
  script->failures.young_max = options->failures_max;
  script->config = options->config != NULL ? json_incref(options->config) : json_object();
  const struct cox_reload_options reload = {
      .clock = options->clock,
      .folders = folders,
      .library_dir = options->library_dir,
      .memory_max = options->memory_max,
      .command_budget_s = script->command_budget_s,
      .generations = &script->generations,
      .is_watching = options->is_watching,
  };
  const int rc = cox_reload_init(&script->reload, &reload);
  json_decref(folders);
  return rc;
}

struct cox_script *cox_script_create(const struct cox_script_options *options, struct cox_faults *faults) {
  struct cox_script *const script = calloc(1, sizeof *script);
  if (script == NULL || prepare(script, options) != 0) {
    cox_faults_add(faults, options->scripts_dir, 0, "loading the scripts failed: out of memory");
    cox_script_destroy(script);
    return NULL;
  }
  const bool is_good = options->is_deferred || cox_reload_first(&script->reload, NULL, faults) == 0;
  const bool can_sign = cox_wallet_init(&script->wallet, options->config, faults);
  const bool can_trust = cox_trust_check(options->config, faults);
  if (is_good && can_sign && can_trust) {
    connect(script, options);
    return script;
  }
  cox_script_destroy(script);
  return NULL;
}

void cox_script_destroy(struct cox_script *script) {
  if (script == NULL) return;
  cox_reload_fini(&script->reload);
  cox_generations_fini(&script->generations);
  json_decref(script->config);
  cox_wallet_fini(&script->wallet);
  free(script);
}

int cox_script_load(struct cox_script *script, struct cox_faults *faults) {
  return cox_reload_first(&script->reload, script->fibers.broker, faults);
}

int cox_script_start(struct cox_script *script, void (*exchanged)(void *ctx), void *ctx, struct cox_err *err) {
  script->reload.exchanged = exchanged;
  script->reload.exchanged_ctx = ctx;
  return cox_reload_start(&script->reload, script->fibers.broker, err);
}

static void carry_reload(void *ctx, struct cox_scripts_request *request) { cox_reload_carry_out(ctx, COX_ORDER_RELOAD, request); }
static void carry_rollback(void *ctx, struct cox_scripts_request *request) { cox_reload_carry_out(ctx, COX_ORDER_ROLLBACK, request); }
static void carry_plan(void *ctx, struct cox_scripts_request *request) { cox_reload_carry_out(ctx, COX_ORDER_PLAN, request); }

void cox_script_drive(struct cox_script *script, const struct cox_reload_drive *drive) {
  cox_reload_drive(&script->reload, script->fibers.broker, drive);
  script->scripts.reload = carry_reload;
  script->scripts.rollback = carry_rollback;
  script->scripts.plan = carry_plan;
}

int64_t cox_script_due_us(struct cox_script *script) { return cox_reload_due_us(&script->reload); }
void cox_script_turn(struct cox_script *script) { cox_reload_turn(&script->reload); }

void cox_script_stop(struct cox_script *script) {
  if (script != NULL) cox_reload_stop(&script->reload);
}

void cox_script_look(struct cox_script *script, const char *caller) { cox_reload_look(&script->reload, caller); }

void cox_script_follow(struct cox_script *script, json_t *(*folders)(void *ctx, struct cox_faults *faults), void *ctx) {
  cox_reload_follow(&script->reload, folders, ctx);
}

size_t cox_script_alive(struct cox_script *script) { return atomic_load(&script->generations.alive); }

const struct cox_policy *cox_script_policy(struct cox_script *script) { return &script->policy; }
const struct cox_fiber_ops *cox_script_fiber_ops(struct cox_script *script) { return &script->ops; }
const struct cox_console *cox_script_console(struct cox_script *script) { return &script->console; }
const struct cox_scripts *cox_script_scripts(struct cox_script *script) { return &script->scripts; }

void cox_script_set_broker(struct cox_script *script, struct cox_broker *broker) {
  script->fibers.broker = broker;
  script->consoles.broker = broker;
}

json_t *cox_script_jobs(struct cox_script *script) {
  const char *const kind = json_string_value(json_object_get(json_object_get(script->config, "feed"), "kind"));
  struct cox_generation *const live = cox_generations_hold(&script->generations);
  json_t *const names = json_array();
  const char *name;
  json_t *job;
  json_object_foreach(live->jobs, name, job) {
    const char *const feed = json_string_value(json_object_get(job, "feed"));
    if (feed == NULL || (kind != NULL && strcmp(feed, kind) == 0)) json_array_append_new(names, json_string(name));
  }
  cox_generation_release(live);
  return names;
}

json_t *cox_script_commands(struct cox_script *script) {
  struct cox_generation *const live = cox_generations_hold(&script->generations);
  json_t *const list = json_array();
  const char *name;
  json_t *command;
  json_object_foreach(live->commands, name, command) {
    json_t *const entry = json_copy(command);
    json_object_set_new(entry, "name", json_string(name));
    if (json_object_get(entry, "priority") == NULL) json_object_set_new(entry, "priority", json_string("high"));
    if (json_object_get(entry, "scope") == NULL) json_object_set_new(entry, "scope", json_string("operate"));
    json_array_append_new(list, entry);
  }
  cox_generation_release(live);
  return list;
}
