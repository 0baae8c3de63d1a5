/* Nodes that leave INFERENCE with drain_s: when their machines may be touched, told a second time from DESIGN (Reconciler): when the last
 * lease has ended, or drain_s after the change, and at once in the last tenth before the PoC starts; while it runs, those that take part in
 * it wait for a tenth of its first stage at most. Leases are counted in the clients' book. Without clients nothing is ever leased.      */
#include "sim/world_private.h"

#define REGISTRY (&world->broker->registry)

static const char waited[] = "a drain is waited for";

/* What a change of the target comes to. The first one that leaves INFERENCE begins it, another one can only make it shorter. */
static struct cox_world_drain begin(struct cox_world *world, const struct cox_world_node *before, const struct cox_target *target) {
  if (target->status == COX_STATUS_INFERENCE || target->drain_s <= 0) return (struct cox_world_drain){0};
  const int64_t until_us = world->now_us + (int64_t)(target->drain_s * 1e6);
  const bool was_serving = before->target != NULL && before->target->status == COX_STATUS_INFERENCE;
  struct cox_world_drain drain = before->drain;
  if (was_serving || (drain.until_us != 0 && until_us < drain.until_us)) drain.until_us = until_us;
  return drain;
}

void cox_world_drain_follow(struct cox_world *world, const struct cox_node *node, struct cox_world_node *before, struct cox_world_node *now,
                            uint64_t count) {
  if (before == NULL) return; /* new, or of an earlier process: its leases are not known any more */
  if (before->target == node->target) {
    now->drain = before->drain;
    now->older = cox_target_hold(before->older);
    now->older_drain = before->older_drain;
  } else {
    const bool is_back = node->target != NULL && node->target == before->older;
    if (is_back) now->drain = before->older_drain;
    else if (node->target != NULL) now->drain = begin(world, before, node->target);
    if (count != 1 && !is_back && now->drain.until_us != 0) now->drain.is_unsure = true;
    now->older = cox_target_hold(before->target);
    now->older_drain = before->drain;
  }
}

static int64_t number(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

/* Less than a tenth of the epoch is left, as far as the broker was told. */
static bool is_poc_near(const struct cox_world *world) {
  const json_t *const told = REGISTRY->world;
  const int64_t length = number(json_object_get(told, "params"), "epoch_length");
  return length > 0 && 10 * (number(told, "poc_start_height") + length - number(told, "height")) <= length; /* no world has a shift */
}

/* The PoC that the target is about has been under way for more than a tenth of its first stage. */
static bool is_missing_poc(const struct cox_world *world, const struct cox_node *node) {
  const json_t *const told = REGISTRY->world, *const params = json_object_get(told, "params");
  if (node->target == NULL || node->target->status != COX_STATUS_POC || number(told, "epoch") < 1) return false;
  const int64_t begun = number(told, "height") - number(told, "poc_start_height"), stage = number(params, "poc_stage_duration");
  const int64_t whole = stage + number(params, "poc_validation_delay") + number(params, "poc_validation_duration");
  return begun > stage / 10 && begun < whole;
}

static int leases_of(const struct cox_world *world, const struct cox_node *node) {
  for (int i = 0; i < world->book->places; i++) {
    const struct cox_book_node *const entry = &world->book->nodes[i];
    if (entry->is_registered && entry->life == node->registration) return entry->count;
  }
  return 0;
}

/* A block has ended the time that leases have. */
static bool is_cut_short(const struct cox_world *world, const struct cox_node *node) {
  return is_poc_near(world) || is_missing_poc(world, node);
}

enum { NOTICED_US = 1200000 /* a block ends a drain at the next look */ };

bool cox_world_drains(struct cox_world *world, const struct cox_node *node) {
  struct cox_world_node *const seen = cox_world_seen(world, node->registration);
  if (seen == NULL || seen->drain.until_us <= world->now_us || leases_of(world, node) == 0) return false;
  if (!is_cut_short(world, node)) seen->drain.cut_short_us = 0;
  else if (seen->drain.cut_short_us == 0) seen->drain.cut_short_us = world->now_us;
  return seen->drain.cut_short_us == 0 || world->now_us - seen->drain.cut_short_us <= NOTICED_US;
}

void cox_world_drain_check_start(struct cox_world *world, const struct cox_node *node) {
  struct cox_world_node *const seen = cox_world_seen(world, node->registration);
  if (seen == NULL || seen->drain.until_us == 0) return;
  if (cox_world_drains(world, node) && !is_cut_short(world, node) && !seen->drain.is_unsure) {
    cox_world_break(world, waited, cox_node_id(node), "an attempt of %s starts with %d leases, %.3f s before its drain is over", cox_node_id(node),
                    leases_of(world, node), (double)(seen->drain.until_us - world->now_us) / 1e6);
  }
  seen->drain = (struct cox_world_drain){0}; /* what begins does not stop again */
  world->drains--;
}

/* The last lease's end must be told; that it is over by time, or by a block, is looked for. */
void cox_world_drain_check_wake(struct cox_world *world) {
  const struct cox_reconciler *const reconciler = &world->broker->reconciler;
  if (world->drains == 0 || reconciler->is_triggered || world->is_reconcile_planned || !REGISTRY->is_armed) return;
  for (size_t i = 0; i < world->seen_count; i++) {
    const struct cox_world_node *const seen = &world->seen[i];
    if (seen->drain.until_us <= world->now_us) continue;
    const struct cox_node *const node = cox_registry_find_registration(REGISTRY, seen->registration);
    const bool waits = node != NULL && node->flight.attempt == 0 && cox_node_needs_attempt(node) && node->next_at_us <= world->now_us;
    if (!waits || node->is_dirty || leases_of(world, node) > 0) continue;
    cox_world_break(world, waited, cox_node_id(node), "the last lease of %s, which drains, has ended, and cox-reconcile sleeps", cox_node_id(node));
  }
}
