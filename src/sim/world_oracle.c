/* What each result must come to, told before the core handles it, by rules that are written here a second time: from DESIGN, not
 * from src/core/result.c. A result with an old fence changes nothing that stands; an observation never overrules a result.     */
#include <stdlib.h>
#include <string.h>

#include "core/backoff.h"
#include "sim/world_private.h"

enum { MODELS_MAX = 64 };

/* A node as it must be when the results are handled. */
struct model {
  struct cox_node *node;
  uint64_t registration, generation, flight, change;
  bool is_settled, is_touched, is_observed, is_unwanted;
  struct cox_target *applied, *target; /* borrowed: the node or a result holds them */
  enum cox_status current;
  enum cox_poc poc;
  enum cox_failed_by failed_by;
  unsigned failures;
  uint64_t probe;
  int64_t next_least_us, next_most_us;
};

void cox_world_expect(struct cox_world *world, const struct cox_attempt *attempt) {
  struct cox_world_result *const result = calloc(1, sizeof *result);
  if (result == NULL) abort();
  *result = (struct cox_world_result){.fence = attempt->fence, .kind = attempt->kind, .class_ = attempt->result.class_,
                                      .target = cox_target_hold(attempt->target), .change = attempt->change};
  *world->results_end = result;
  world->results_end = &result->next;
  world->stray_results++;
}

void cox_world_forget_results(struct cox_world *world) {
  while (world->results != NULL) {
    struct cox_world_result *const result = world->results;
    world->results = result->next;
    cox_target_release(result->target);
    free(result);
  }
  world->results_end = &world->results;
  world->stray_results = 0;
}

static struct model *model_of(struct cox_world *world, struct model *models, size_t *count, uint64_t registration) {
  for (size_t i = 0; i < *count; i++) {
    if (models[i].registration == registration) return &models[i];
  }
  struct cox_node *const node = cox_registry_find_registration(&world->broker->registry, registration);
  if (node == NULL || *count == MODELS_MAX) return NULL;
  struct model *const model = &models[(*count)++];
  *model = (struct model){
      .node = node, .registration = registration, .generation = node->generation, .flight = node->flight.attempt, .change = node->change,
      .is_settled = node->is_settled, .is_unwanted = node->flight.is_unwanted, .applied = cox_target_hold(node->applied),
      .target = node->target, .current = node->current, .poc = node->current_poc, .failed_by = node->failed_by,
      .failures = node->failures, .probe = node->probe, .next_least_us = node->next_at_us, .next_most_us = node->next_at_us};
  return model;
}

static void foretell_success(struct model *model, const struct cox_world_result *result) {
  cox_target_release(model->applied);
  model->applied = cox_target_hold(result->target);
  model->is_settled = true;
  model->failed_by = COX_FAILED_NOT;
  model->failures = 0;
  model->next_least_us = model->next_most_us = 0;
  model->current = result->target->status;
  model->poc = result->target->poc;
}

static void foretell_failure(struct cox_world *world, struct model *model, enum cox_class class_) {
  const struct cox_broker_options *const options = &world->broker->options;
  model->is_settled = false;
  model->failed_by = COX_FAILED_BY_ATTEMPT;
  model->failures++;
  const double limit_s = cox_backoff_limit_s(options->backoff_s[0], options->backoff_s[1], class_, model->failures);
  model->next_least_us = world->now_us;
  model->next_most_us = world->now_us + (int64_t)(limit_s * 1e6);
  model->current = COX_STATUS_FAILED;
  model->poc = COX_POC_IDLE;
}

static void foretell_unknown(struct model *model) {
  model->is_settled = false;
  if (model->failed_by != COX_FAILED_NOT) return;
  model->current = COX_STATUS_UNKNOWN;
  model->poc = COX_POC_IDLE;
}

static void foretell_reach(struct cox_world *world, struct model *model, const struct cox_world_result *result) {
  if (model->flight != result->fence.attempt) return;
  const bool is_outdated = model->generation != result->fence.generation;
  const bool is_cancelled = result->class_ == COX_CLASS_CANCELLED;
  model->is_touched = true;
  model->flight = 0;
  model->change++;
  if (is_outdated || (is_cancelled && model->is_unwanted)) foretell_unknown(model);
  else if (is_cancelled) foretell_failure(world, model, COX_CLASS_TIMEOUT); /* the watchdog's doing */
  else if (result->class_ == COX_CLASS_NONE) foretell_success(model, result);
  else foretell_failure(world, model, result->class_);
}

/* An observation of what was so before anything changed is dropped; else it may doubt the node, never vouch for it. */
static void foretell_probe(struct model *model, const struct cox_world_result *result) {
  if (model->probe != result->fence.attempt) return;
  model->is_touched = true;
  model->probe = 0;
  const bool is_dropped = result->class_ == COX_CLASS_CANCELLED || model->flight != 0 || model->change != result->change;
  if (!is_dropped) model->is_observed = true;
}

static const char *what_differs(const struct model *model) {
  const struct cox_node *const node = model->node;
  if (node->generation != model->generation) return "its generation changed";
  if (node->target != model->target) return "its target changed";
  if (!cox_target_equal(node->applied, model->applied)) return "another target counts as reached";
  if (node->flight.attempt != model->flight) return "the attempt in flight is another one";
  if (node->failures != model->failures) return "the failures are counted otherwise";
  if (node->is_settled && !model->is_settled) return "it counts as settled";
  if (model->is_observed) return NULL;
  if (node->is_settled != model->is_settled) return "it does not count as settled";
  if (node->current != model->current || node->current_poc != model->poc) return "its status is another one";
  if (node->failed_by != model->failed_by) return "it is FAILED, or is not, for another reason";
  if (node->next_at_us < model->next_least_us || node->next_at_us > model->next_most_us) return "its backoff is another one";
  return NULL;
}

void cox_world_handle_results(struct cox_world *world) {
  struct model models[MODELS_MAX];
  size_t count = 0;
  for (const struct cox_world_result *result = world->results; result != NULL; result = result->next) {
    struct model *const model = model_of(world, models, &count, result->fence.registration);
    if (model == NULL) continue; /* removed; that nothing else changes is seen by its not being there */
    if (result->kind == COX_ATTEMPT_PROBE) foretell_probe(model, result);
    else foretell_reach(world, model, result);
  }
  const size_t handled = cox_results_handle(world->broker);
  if (handled != world->stray_results) {
    cox_world_break(world, "each attempt comes back once", NULL, "%zu results were handled, %zu were given back", handled,
                    world->stray_results);
  }
  for (size_t i = 0; i < count; i++) {
    const char *const why = what_differs(&models[i]);
    const char *const id = cox_node_id(models[i].node);
    if (why != NULL) cox_world_break(world, "results are applied by their fence", id, "after the results for %s: %s", id, why);
    cox_target_release(models[i].applied);
  }
  cox_world_forget_results(world);
}
