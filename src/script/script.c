#include "script/script.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "script/console.h"
#include "script/fiber.h"
#include "script/generation.h"
#include "script/trust.h"

#define COMMAND_BUDGET_S 0.1
#define RESUME_BUDGET_S 0.05

struct cox_script {
  struct cox_generation *live; /* immutable but for its VM, which is cox-command's */
  double command_budget_s;
  json_t *config;
  struct cox_policy policy;
  struct cox_fiber_context fibers;
  struct cox_fiber_ops ops;
  struct cox_wallet wallet;
  struct cox_console_context consoles;
  struct cox_console console;
};

static int lookup(void *ctx, const char *name, enum cox_priority *priority) {
  return cox_generation_lookup(((struct cox_script *)ctx)->live, name, priority);
}

static double limit_s(void *ctx, const char *kind, enum cox_status status) {
  return cox_generation_limit_s(((struct cox_script *)ctx)->live, kind, status);
}

static void run(void *ctx, const char *name, json_t *args, struct cox_txn *txn, struct cox_answer *answer) {
  struct cox_script *const script = ctx;
  if (cox_policy_vm_run(script->live->policy, name, args, script->command_budget_s, txn, answer)) {
    cox_generation_renew_policy(script->live);
  }
}

static bool waits(void *ctx, const char *name) {
  const struct cox_script *const script = ctx;
  return json_is_true(json_object_get(json_object_get(script->live->commands, name), "waits"));
}

static uint64_t generation(void *ctx) { return ((struct cox_script *)ctx)->live->number; }

static struct cox_sources *hold_sources(void *ctx) { return cox_sources_hold(((struct cox_script *)ctx)->live->sources); }
static json_t *list_commands(void *ctx) { return cox_script_commands(ctx); }

struct cox_script *cox_script_create(const struct cox_script_options *options, struct cox_faults *faults) {
  struct cox_script *const script = calloc(1, sizeof *script);
  if (script == NULL) {
    cox_faults_add(faults, options->scripts_dir, 0, "loading the scripts failed: out of memory");
    return NULL;
  }
  const struct cox_generation_options wanted = {
      .scripts_dir = options->scripts_dir,
      .library_dir = options->library_dir,
      .clock = options->clock,
      .memory_max = options->memory_max,
      .number = 1,
  };
  script->live = cox_generation_create(&wanted, faults);
  const bool can_sign = cox_wallet_init(&script->wallet, options->config, faults);
  const bool can_trust = cox_trust_check(options->config, faults);
  if (script->live == NULL || !can_sign || !can_trust) {
    cox_script_destroy(script);
    return NULL;
  }
  script->command_budget_s = options->command_budget_s != 0 ? options->command_budget_s : COMMAND_BUDGET_S;
  script->config = options->config != NULL ? json_incref(options->config) : json_object();
  script->policy = (struct cox_policy){.ctx = script, .lookup = lookup, .limit_s = limit_s, .run = run, .waits = waits, .generation = generation};
  script->fibers = (struct cox_fiber_context){
      .sources = script->live->sources,
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
  return script;
}

void cox_script_destroy(struct cox_script *script) {
  if (script == NULL) return;
  cox_generation_destroy(script->live);
  json_decref(script->config);
  cox_wallet_fini(&script->wallet);
  free(script);
}

const struct cox_policy *cox_script_policy(struct cox_script *script) { return &script->policy; }
const struct cox_fiber_ops *cox_script_fiber_ops(struct cox_script *script) { return &script->ops; }
const struct cox_console *cox_script_console(struct cox_script *script) { return &script->console; }

void cox_script_set_broker(struct cox_script *script, struct cox_broker *broker) {
  script->fibers.broker = broker;
  script->consoles.broker = broker;
}

json_t *cox_script_jobs(struct cox_script *script) {
  const char *const kind = json_string_value(json_object_get(json_object_get(script->config, "feed"), "kind"));
  json_t *const names = json_array();
  const char *name;
  json_t *job;
  json_object_foreach(script->live->jobs, name, job) {
    const char *const feed = json_string_value(json_object_get(job, "feed"));
    if (feed == NULL || (kind != NULL && strcmp(feed, kind) == 0)) json_array_append_new(names, json_string(name));
  }
  return names;
}

json_t *cox_script_commands(struct cox_script *script) {
  json_t *const list = json_array();
  const char *name;
  json_t *command;
  json_object_foreach(script->live->commands, name, command) {
    json_t *const entry = json_copy(command);
    json_object_set_new(entry, "name", json_string(name));
    if (json_object_get(entry, "priority") == NULL) json_object_set_new(entry, "priority", json_string("high"));
    json_array_append_new(list, entry);
  }
  return list;
}
