#include "script/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "script/declared.h"
#include "script/failures.h"

/* Drivers and jobs are run once in a VM that is thrown away: only to see what they declare. */
static void check_in_own_vm(struct cox_generation *generation, const atomic_bool *is_left, enum cox_context context,
                            enum cox_declared_kind kind, json_t *out, struct cox_faults *faults) {
  struct cox_err err = {0};
  struct cox_vm *const vm = cox_vm_create(&(struct cox_vm_options){.context = context,
                                                                   .memory_max = generation->memory_max,
                                                                   .sources = generation->sources,
                                                                   .is_left = is_left,
                                                                   .clock = generation->clock},
                                          &err);
  if (vm == NULL) cox_faults_add(faults, err.file, err.line, "%s", err.text);
  else cox_declared_load(vm, kind, NULL, out, faults);
  cox_vm_destroy(vm);
}

static void check_whole(const struct cox_generation *generation, struct cox_faults *faults) {
  const char *const scripts_dir = json_string_value(json_array_get(generation->sources->folders, 0));
  for (size_t i = 0; i < COX_FAILURES_COMMANDS; i++) {
    const char *const name = cox_failures_commands[i];
    if (json_object_get(generation->commands, name) != NULL) continue;
    cox_faults_add(faults, scripts_dir, 0, "the phase command %s is missing: add commands/%s.lua", name, name);
  }
  if (json_object_size(generation->drivers) == 0) cox_faults_add(faults, scripts_dir, 0, "there is no driver: add drivers/mlnode.lua");
}

static struct cox_policy_vm *make_policy(struct cox_generation *generation, const atomic_bool *is_left, json_t *commands,
                                         struct cox_faults *faults) {
  const struct cox_policy_options options = {
      .sources = generation->sources, .clock = generation->clock, .memory_max = generation->memory_max, .is_left = is_left};
  return cox_policy_vm_create(&options, commands, faults);
}

struct cox_generation *cox_generation_create_bare(const struct cox_generation_options *options, struct cox_sources *sources) {
  struct cox_generation *const generation = calloc(1, sizeof *generation);
  if (generation == NULL) return NULL;
  *generation = (struct cox_generation){.number = options->number,
                                        .loaded_ms = cox_clock_wall_ms(options->clock),
                                        .clock = options->clock,
                                        .memory_max = options->memory_max,
                                        .sources = cox_sources_hold(sources),
                                        .commands = json_object(),
                                        .drivers = json_object(),
                                        .jobs = json_object()};
  atomic_init(&generation->references, 1);
  return generation;
}

struct cox_generation *cox_generation_create(const struct cox_generation_options *options, struct cox_sources *sources,
                                             struct cox_faults *faults) {
  struct cox_generation *const generation = cox_generation_create_bare(options, sources);
  if (generation == NULL) {
    cox_faults_add(faults, NULL, 0, "loading the scripts failed: out of memory");
    return NULL;
  }
  const size_t before = faults->count;
  generation->policy = make_policy(generation, options->is_left, generation->commands, faults);
  check_in_own_vm(generation, options->is_left, COX_CONTEXT_DRIVERS, COX_DECLARED_DRIVERS, generation->drivers, faults);
  check_in_own_vm(generation, options->is_left, COX_CONTEXT_JOBS, COX_DECLARED_JOBS, generation->jobs, faults);
  if (faults->count == before) check_whole(generation, faults);
  if (faults->count == before) return generation;
  cox_generation_release(generation);
  return NULL;
}

struct cox_generation *cox_generation_hold(struct cox_generation *generation) {
  atomic_fetch_add_explicit(&generation->references, 1, memory_order_relaxed);
  return generation;
}

void cox_generation_release(struct cox_generation *generation) {
  if (generation == NULL || atomic_fetch_sub_explicit(&generation->references, 1, memory_order_acq_rel) != 1) return;
  cox_policy_vm_destroy(generation->policy);
  json_decref(generation->commands);
  json_decref(generation->drivers);
  json_decref(generation->jobs);
  cox_sources_release(generation->sources);
  free(generation);
}

void cox_generation_rest(struct cox_generation *generation) {
  if (generation->policy != NULL) cox_vm_rest(generation->policy->vm);
}

void cox_generation_retire(struct cox_generation *generation) {
  cox_policy_vm_destroy(generation->policy);
  generation->policy = NULL;
}

void cox_generation_renew_policy(struct cox_generation *generation) {
  struct cox_faults faults = {0};
  json_t *const commands = json_object();
  struct cox_policy_vm *const fresh = make_policy(generation, NULL, commands, &faults);
  json_decref(commands);
  if (fresh != NULL) {
    cox_policy_vm_destroy(generation->policy);
    generation->policy = fresh;
    cox_log(COX_LOG_WARN, "policy", "the policy's script machine was made anew after an overrun", NULL);
  } else {
    cox_log(COX_LOG_ERROR, "policy", "making the policy's script machine anew failed: the old one goes on", "error", faults.list[0].text, NULL);
  }
  cox_faults_fini(&faults);
}

int cox_generation_lookup(const struct cox_generation *generation, const char *name, enum cox_priority *priority) {
  const json_t *const command = json_object_get(generation->commands, name);
  if (command == NULL) return COX_ENOENT;
  const char *const word = json_string_value(json_object_get(command, "priority"));
  *priority = word != NULL && strcmp(word, "low") == 0 ? COX_PRIORITY_LOW : COX_PRIORITY_HIGH;
  return 0;
}

double cox_generation_limit_s(const struct cox_generation *generation, const char *kind, enum cox_status status) {
  const json_t *const driver = json_object_get(generation->drivers, kind);
  const json_t *const limit = status == COX_STATUS_UNKNOWN
                                  ? json_object_get(driver, "probe_deadline")
                                  : json_object_get(json_object_get(driver, "deadline"), cox_status_name(status));
  return json_number_value(limit);
}
