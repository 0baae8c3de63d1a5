/* Operators who edit scripts, well or badly, and exchange them while the fleet works. The request is carried out by the real engine on
 * the one thread; while it waits for cox-command, the world goes on inside of it. Which set is live afterwards is foretold.           */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world_private.h"

/* Loading scripts costs much real time: few lives do, and a few times each. */
#define LIVES_SHARE 0.3
#define AGAIN_SHARE 0.7
#define KILLS_SHARE 0.1
#define STARTS_SHARE 0.3
#define UNASKED_SHARE 0.15
#define DRAINS_SHARE 0.3

static const char invariant_refused[] = "a refused reload changes nothing", invariant_foretold[] = "exchanges come to what was foretold";

struct request {
  struct cox_scripts_request request; /* first: it is handed back by this */
  struct cox_world *world;
};

static uint64_t live_number(const struct cox_world *world) {
  return world->scripts.policy->generation(world->scripts.policy->ctx);
}

static void on_done(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  struct cox_world_exchange *const exchange = &((struct request *)request)->world->exchange;
  exchange->answers++;
  exchange->status = outcome->status;
  exchange->number = (uint64_t)json_integer_value(json_object_get(outcome->result, "generation"));
  snprintf(exchange->text, sizeof exchange->text, "%.255s", outcome->err.text);
}

/* ---- what was before ---- */

/* The target of each node, held. */
static struct cox_target **remember(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  struct cox_target **const targets = calloc(registry->num_count + 1, sizeof(struct cox_target *));
  if (targets == NULL) abort();
  for (size_t i = 0; i < registry->num_count; i++) {
    if (registry->by_num[i] != NULL) targets[i] = cox_target_hold(registry->by_num[i]->target);
  }
  return targets;
}

/* `is_checked`: nothing else has happened meanwhile. */
static void compare(struct cox_world *world, struct cox_target **targets, size_t count, bool is_checked) {
  const struct cox_registry *const registry = &world->broker->registry;
  for (size_t i = 0; i < count; i++) {
    if (is_checked && registry->by_num[i] != NULL && registry->by_num[i]->target != targets[i]) {
      cox_world_break(world, invariant_refused, cox_node_id(registry->by_num[i]), "another target after a refusal: %s", world->exchange.text);
    }
    cox_target_release(targets[i]);
  }
  free(targets);
}

/* ---- what must come of it ---- */

static void check_unchanged(struct cox_world *world, uint64_t before) {
  if (live_number(world) == before) return;
  cox_world_break(world, invariant_refused, NULL, "generation %" PRIu64 " became %" PRIu64 " by an exchange that did not take place: %s", before,
                  live_number(world), world->exchange.text);
}

static void take_over(struct cox_world *world, int set, uint64_t before) {
  struct cox_world_exchange *const exchange = &world->exchange;
  if (exchange->number != live_number(world)) {
    cox_world_break(world, invariant_foretold, NULL, "generation %" PRIu64 " was answered, %" PRIu64 " is live", exchange->number, live_number(world));
  }
  if (set != exchange->live) {
    exchange->previous = exchange->live;
    exchange->previous_number = before;
  }
  exchange->live = set;
  cox_world_choose(world);
  cox_world_renew_job(world, world->scripts.job);
  cox_world_check_intents(world);
}

static void judge(struct cox_world *world, bool is_reload, uint64_t before) {
  struct cox_world_exchange *const exchange = &world->exchange;
  const bool is_good = is_reload ? exchange->edited < (int)world->scripts.good : exchange->previous != COX_WORLD_NO_SET;
  const bool is_done = exchange->status == COX_SCRIPTS_DONE, is_same = exchange->status == COX_SCRIPTS_UNCHANGED;
  const bool was_cut_off = exchange->status == COX_SCRIPTS_FAILED && exchange->was_attended; /* its process ends */
  const uint64_t back_number = exchange->previous_number;
  if (exchange->answers != 1) cox_world_break(world, invariant_foretold, NULL, "a request was answered %u times", exchange->answers);
  if (!is_done) check_unchanged(world, before);
  if (was_cut_off) return;
  if (is_good != (is_done || is_same) || (is_same && exchange->edited != exchange->live)) {
    cox_world_break(world, invariant_foretold, NULL, "%s of set %d, while %d is live, with %d before it: outcome %d: %s",
                    is_reload ? "the reload" : "the rollback", exchange->edited, exchange->live, exchange->previous, (int)exchange->status,
                    exchange->text);
  }
  if (!is_done) return;
  take_over(world, is_reload ? exchange->edited : exchange->previous, before);
  if (is_reload) return;
  exchange->previous = COX_WORLD_NO_SET; /* what was left is not gone back to */
  if (exchange->number != back_number) {
    cox_world_break(world, invariant_foretold, NULL, "went back to generation %" PRIu64 ", not to %" PRIu64, exchange->number, back_number);
  }
}

/* ---- what they do ---- */

static const char *const outcomes[] = {"done", "unchanged", "refused", "failed"};

static void carry_out(struct cox_world *world, bool is_reload) {
  struct request request = {.request = {.caller = "an operator", .done = on_done}, .world = world};
  const struct cox_scripts *const engine = world->scripts.exchange;
  struct cox_world_exchange *const exchange = &world->exchange;
  const uint64_t before = live_number(world);
  const size_t count = world->broker->registry.num_count;
  struct cox_target **const targets = remember(world);
  exchange->answers = 0;
  exchange->was_attended = false;
  exchange->is_open = true;
  if (is_reload) engine->reload(engine->ctx, &request.request);
  else engine->rollback(engine->ctx, &request.request);
  exchange->is_open = false;
  cox_world_trace(world, "the %s of scripts is %s, generation %" PRIu64 " is live", is_reload ? "reload" : "rollback", outcomes[exchange->status],
                  live_number(world));
  compare(world, targets, count, !exchange->was_attended);
  if (cox_lock_held() == 0 && !world->outcome.has_failed) judge(world, is_reload, before);
}

static void plan(struct cox_world *world, double from_s, double to_s) {
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_SCRIPTS, from_s, to_s), COX_EVENT_SCRIPTS, 0, 0);
}

void cox_world_first_set(struct cox_world *world) {
  const bool drains = cox_rng_unit(&world->added) < DRAINS_SHARE;
  if (!world->has[COX_WORLD_SCRIPTS] || !drains) return;
  world->exchange.edited = (int)world->scripts.draining;
  world->scripts.edit(world->scripts.ctx, world->scripts.draining);
  cox_world_trace(world, "the scripts are set %u: leases may end first", world->scripts.draining);
}

void cox_world_exchange_begin(struct cox_world *world) {
  if (cox_world_roll(world, COX_WORLD_SCRIPTS, LIVES_SHARE)) plan(world, 1, 60);
}

/* The process is killed soon, perhaps before the choice is stored, perhaps after the files were edited and nobody has asked. */
static void plan_start(struct cox_world *world) {
  const bool is_edited = cox_world_roll(world, COX_WORLD_SCRIPTS, UNASKED_SHARE), is_killed = cox_world_roll(world, COX_WORLD_SCRIPTS, STARTS_SHARE);
  const unsigned which = (unsigned)cox_world_below(world, COX_WORLD_SCRIPTS, world->scripts.edits);
  const int64_t soon_us = cox_world_span(world, COX_WORLD_SCRIPTS, 0, 0.02), later_us = cox_world_span(world, COX_WORLD_SCRIPTS, 0, 10);
  const bool is_soon = cox_world_below(world, COX_WORLD_SCRIPTS, 2) == 0;
  if (is_edited) {
    world->exchange.edited = (int)which;
    world->scripts.edit(world->scripts.ctx, which);
    cox_world_trace(world, "the scripts are edited to be set %u, and nobody asks", which);
  }
  if (!is_killed || !world->has[COX_WORLD_RESTARTS]) return;
  cox_world_plan(world, world->now_us + (is_soon ? soon_us : later_us), COX_EVENT_KILL, 0, 0);
}

void cox_world_exchange(struct cox_world *world) {
  struct cox_world_exchange *const exchange = &world->exchange;
  const struct cox_world_scripts *const scripts = &world->scripts;
  if (exchange->is_open) return; /* one after the other */
  const uint64_t rollbacks = exchange->previous != COX_WORLD_NO_SET ? 4 : 1;
  const bool is_reload = cox_world_below(world, COX_WORLD_SCRIPTS, 8) >= rollbacks, is_good = cox_world_below(world, COX_WORLD_SCRIPTS, 3) > 0;
  const unsigned from = is_good ? 0 : scripts->good, kinds = is_good ? scripts->good : scripts->edits - scripts->good;
  const unsigned which = from + (unsigned)cox_world_below(world, COX_WORLD_SCRIPTS, kinds);
  if (cox_world_roll(world, COX_WORLD_SCRIPTS, KILLS_SHARE) && world->has[COX_WORLD_RESTARTS]) {
    cox_world_plan(world, world->now_us, COX_EVENT_KILL, 0, 0); /* after the request, before cox-command comes to it */
  }
  if (is_reload) {
    exchange->edited = (int)which;
    scripts->edit(scripts->ctx, which);
    cox_world_trace(world, "the scripts are edited to be set %u, and reloaded", which);
  } else {
    cox_world_trace(world, "asks for the scripts before");
  }
  carry_out(world, is_reload);
  plan_start(world);
  if (cox_world_roll(world, COX_WORLD_SCRIPTS, AGAIN_SHARE)) plan(world, 0.5, 40);
}
