/* The end of a life: the faults stop, and every node must come to be what it is to be.
 *
 * The rule. From the moment of calm there are no faults, no operators and no change of phase: blocks come until the next boundary.
 * Connections that hang are reset, and machines that a fault has left in a state which only a restart ends are restarted. Then
 * each node must have converged, and its machine must really be in that state, after 60 s and what its own past costs:
 *   - one cycle of its machine: stop, rest of 5 s, load, lag of health, or stop and init; a second one when work is under way;
 *   - the rest of its backoff, which its class had earned before the calm;
 *   - 65 s when a stop may be unanswered: so long an unanswered stop may still be under way (NETWORK section 1);
 *   - 50 s and a restart when the machine's process is about to end, which takes a new release 41 s.
 * Most lives end as soon as all of it holds at once; one in eight lives on to its last judgement.                             */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world_private.h"

enum { BASE_S = 60, DOUBT_S = 65, DYING_S = 50, REST_S = 5 };

static bool is_true(const json_t *report, const char *key) { return json_is_true(json_object_get(report, key)); }
static const char *text_of(const json_t *report, const char *key) { return json_string_value(json_object_get(report, key)); }

static int64_t cycle_us(const struct cox_world_machine *machine) {
  const struct cox_fleet_node_options *const options = &machine->options;
  return options->stop_us + options->load_us + options->init_us + options->health_lag_us + REST_S * COX_WORLD_S;
}

static int64_t allowance_us(struct cox_world *world, const struct cox_node *node, const struct cox_world_machine *machine) {
  json_t *const report = cox_fleet_node_report(machine->node, world->now_us, 0);
  const char *const state = text_of(report, "state");
  const bool serves = strcmp(state, "INFERENCE") == 0;
  const bool is_busy = is_true(report, "is_loading") || is_true(report, "is_stopping") || node->flight.attempt != 0;
  const bool is_dying = !is_true(report, "is_up") || is_true(report, "is_silent") || (serves && !is_true(report, "is_healthy"));
  const bool may_doubt = node->unanswered.call[0] != '\0' || node->flight.attempt != 0;
  json_decref(report);
  int64_t allowed_us = BASE_S * (int64_t)COX_WORLD_S + cycle_us(machine);
  if (is_busy) allowed_us += cycle_us(machine);
  if (may_doubt) allowed_us += DOUBT_S * (int64_t)COX_WORLD_S;
  if (is_dying) allowed_us += DYING_S * (int64_t)COX_WORLD_S + machine->options.restart_us;
  if (node->next_at_us > world->now_us) allowed_us += node->next_at_us - world->now_us;
  return allowed_us;
}

void cox_world_end(struct cox_world *world) {
  struct cox_err err;
  if (cox_broker_is_degraded(world->broker, &err)) cox_world_break(world, "degraded mode ends", NULL, "%s", err.text);
  cox_world_check_choice(world);
  world->is_over = true;
}

void cox_world_calm(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  if (!registry->is_armed) { /* a process that is new waits for a block with a command due: one is still to come */
    cox_world_plan(world, world->now_us + 2 * COX_WORLD_S, COX_EVENT_CALM, 0, 0);
    return;
  }
  cox_world_trace(world, "calm");
  world->is_calm = true;
  world->settled_us = world->now_us + 5 * COX_WORLD_S;
  cox_world_end_jobs(world);
  world->disk.full_until_us = 0;
  cox_world_heal_network(world);
  cox_world_heal_machines(world);
  cox_world_steady_chain(world);
  int64_t last_us = BASE_S * (int64_t)COX_WORLD_S; /* also a fleet of none has a store that is to work again */
  for (size_t i = 0; i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    const struct cox_world_machine *const machine = node != NULL ? cox_world_machine_of(world, node->config) : NULL;
    if (machine == NULL) continue;
    const int64_t allowed_us = allowance_us(world, node, machine);
    cox_world_plan(world, world->now_us + allowed_us, COX_EVENT_JUDGE, node->registration, 0);
    if (allowed_us > last_us) last_us = allowed_us;
  }
  cox_world_plan(world, world->now_us + last_us + 1, COX_EVENT_END, 0, 0);
}

/* An old release does not tell its model: when nothing is known to be applied, what runs is accepted (NETWORK section 1). */
static bool has_unknown_model(const struct cox_world *world, const struct cox_world_machine *machine, uint64_t registration) {
  return machine->options.is_old && (machine->loaded_life != world->lives || machine->loaded_by != registration);
}

/* Why the machine is not what its node's target says, or NULL. */
static const char *untruth(const struct cox_target *target, const json_t *report, bool is_model_unknown) {
  static const char *const states[] = {"", "INFERENCE", "POW", "TRAIN", "STOPPED", ""};
  if (strcmp(text_of(report, "state"), states[target->status]) != 0) return "it is in another state";
  if (target->status == COX_STATUS_INFERENCE) {
    if (!is_true(report, "is_healthy")) return "it does not serve";
    if (is_model_unknown) return NULL;
    const json_t *const model = json_object_get(json_object_get(report, "server"), "model");
    return json_equal(model, target->params[COX_TARGET_MODEL]) ? NULL : "it serves another model";
  }
  if (target->status != COX_STATUS_POC) return NULL;
  const json_t *const init = json_object_get(report, "last_init");
  if (strcmp(text_of(json_object_get(report, "pow"), "status"), cox_poc_name(target->poc)) != 0) return "its PoC is at another stage";
  static const enum cox_target_param params[] = {COX_TARGET_BLOCK_HASH, COX_TARGET_BLOCK_HEIGHT, COX_TARGET_NODE_ID, COX_TARGET_NODE_COUNT};
  for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
    if (!json_equal(json_object_get(init, cox_target_param_name(params[i])), target->params[params[i]])) return "its PoC is of another episode or part";
  }
  return NULL;
}

static void tell(struct cox_world *world, const struct cox_node *node, const char *invariant, const char *why, const json_t *report) {
  json_t *const seen = cox_broker_node_json(world->broker, cox_node_id(node));
  json_t *const explain = json_object_get(json_object_get(seen, "state"), "explain");
  char *const words = json_dumps(explain, JSON_COMPACT | JSON_SORT_KEYS), *const machine = json_dumps(report, JSON_COMPACT);
  cox_world_break(world, invariant, cox_node_id(node), "%s at %s is %s, is to be %s: %s. %.420s Machine: %.280s", cox_node_id(node),
                  json_string_value(json_object_get(node->config, "host")), cox_status_name(node->current),
                  cox_status_name(node->target->status), why, words, machine);
  free(words);
  free(machine);
  json_decref(seen);
}

void cox_world_judge(struct cox_world *world, uint64_t registration) {
  const struct cox_node *const node = cox_registry_find_registration(&world->broker->registry, registration);
  if (node == NULL || node->target == NULL) return;
  const struct cox_world_machine *const machine = cox_world_machine_of(world, node->config);
  if (machine == NULL) return;
  json_t *const report = cox_fleet_node_report(machine->node, world->now_us, 0);
  cox_world_trace(world, "judges %s", cox_node_id(node));
  if (!cox_node_is_converged(node)) {
    tell(world, node, "the fleet converges", "its time is over", report);
  } else if (!machine->is_vague) {
    const char *const why = untruth(node->target, report, has_unknown_model(world, machine, registration));
    if (why != NULL) tell(world, node, "machines are what they are called", why, report);
  }
  json_decref(report);
}

bool cox_world_is_settled(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  if (!world->is_calm || world->now_us < world->settled_us || world->open_questions > 0) return false;
  if (!cox_world_store_is_idle(world) || cox_broker_is_degraded(world->broker, NULL) || !cox_world_is_choice_stored(world)) return false;
  for (size_t i = 0; i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    if (node == NULL || node->target == NULL) continue;
    const struct cox_world_machine *const machine = cox_world_machine_of(world, node->config);
    if (!cox_node_is_converged(node) || node->flight.attempt != 0) return false;
    if (machine == NULL || machine->is_vague) continue;
    json_t *const report = cox_fleet_node_report(machine->node, world->now_us, 0);
    const char *const why = untruth(node->target, report, has_unknown_model(world, machine, node->registration));
    json_decref(report);
    if (why != NULL) return false;
  }
  return true;
}
