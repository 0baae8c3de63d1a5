#include "sim/world_private.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LIVES_PER_ERA = 2 };

static const char *const family_names[] = {"network", "machines", "chain", "operators", "clock", "restarts", "pace", "disk", "clients", "scripts", NULL};

const char *cox_world_family_name(unsigned family) { return family < COX_WORLD_FAMILIES ? family_names[family] : NULL; }

/* ---- chance ---- */

bool cox_world_roll(struct cox_world *world, enum cox_world_family family, double p) {
  const double drawn = cox_rng_unit(&world->rng[family]);
  return world->has[family] && !world->is_calm && drawn < p * world->rate[family];
}

uint64_t cox_world_below(struct cox_world *world, enum cox_world_family family, uint64_t bound) {
  return cox_rng_below(&world->rng[family], bound);
}

int64_t cox_world_span(struct cox_world *world, enum cox_world_family family, double from_s, double to_s) {
  return (int64_t)((from_s + cox_rng_unit(&world->rng[family]) * (to_s - from_s)) * 1e6);
}

/* ---- life ---- */

static int64_t mono_us(void *ctx) { return ((struct cox_world *)ctx)->now_us; }

static int64_t wall_ms(void *ctx) {
  const struct cox_world *const world = ctx;
  return INT64_C(1790000000000) + world->now_us / 1000 + world->wall_offset_ms;
}

static struct cox_clock_era era(void *ctx) { return ((struct cox_world *)ctx)->era; }

struct cox_world *cox_world_create(const struct cox_world_options *options, struct cox_err *err) {
  struct cox_world *const world = calloc(1, sizeof *world);
  if (world == NULL) {
    cox_err_set(err, COX_ENOMEM, "making a world failed: out of memory");
    return NULL;
  }
  world->options = *options;
  world->hash = 0xcbf29ce484222325ULL;
  world->now_us = COX_WORLD_S; /* 0 means "never" to the core */
  world->clock = (struct cox_clock){.mono_us = mono_us, .wall_ms = wall_ms, .era = era, .ctx = world};
  world->results_end = &world->results;
  cox_rng_init(&world->shape, options->seed);
  cox_rng_init(&world->added, options->seed ^ 0x5851f42d4c957f2dULL);
  for (uint64_t i = 0; i < COX_WORLD_FAMILIES; i++) {
    cox_rng_init(&world->rng[i], options->seed * 0x9e3779b97f4a7c15ULL + i + 1);
    world->has[i] = (options->without >> i & 1) == 0;
  }
  if (cox_world_shape(world, err) == 0) return world;
  cox_world_destroy(world);
  return NULL;
}

void cox_world_destroy(struct cox_world *world) {
  if (world == NULL) return;
  for (unsigned i = 0; i < world->machine_count; i++) cox_fleet_node_destroy(world->machines[i].node);
  cox_chain_state_destroy(world->chain);
  json_decref(world->config);
  json_decref(world->participant);
  json_decref(world->epoch_models);
  json_decref(world->preserved);
  json_decref(world->registered);
  cox_world_store_fini(world);
  cox_world_journal_fini(world);
  free(world->book);
  cox_world_forget_seen(world);
  cox_world_forget_episodes(world);
  free(world->events.heap);
  free(world);
}

const struct cox_clock *cox_world_clock(const struct cox_world *world) { return &world->clock; }
json_t *cox_world_config(const struct cox_world *world) { return world->config; }

void cox_world_break(struct cox_world *world, const char *name, const char *node, const char *format, ...) {
  struct cox_world_outcome *const outcome = &world->outcome;
  if (outcome->has_failed) return;
  outcome->has_failed = world->is_over = true;
  outcome->at_s = (double)world->now_us / 1e6;
  snprintf(outcome->invariant, sizeof outcome->invariant, "%s", name);
  snprintf(outcome->node, sizeof outcome->node, "%s", node != NULL ? node : "");
  va_list args;
  va_start(args, format);
  vsnprintf(outcome->text, sizeof outcome->text, format, args);
  va_end(args);
  cox_world_trace(world, "BROKEN %s: %s", name, outcome->text);
}

/* ---- events ---- */

static void jump(struct cox_world *world) {
  const double s = (double)cox_world_span(world, COX_WORLD_CLOCK, -1, 1) / 1e6;
  static const double sizes_s[] = {1, 30, 300, 7200, 90000, 1e9}; /* the last: from a clock that knew no year */
  const double size_s = sizes_s[cox_world_below(world, COX_WORLD_CLOCK, sizeof sizes_s / sizeof *sizes_s)];
  world->wall_offset_ms += (int64_t)(s * size_s * 1000);
  cox_world_trace(world, "clock jumps by %.3f s", s * size_s);
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_CLOCK, 5, 60), COX_EVENT_JUMP, 0, 0);
}

static bool begin_anew(struct cox_world *world, bool is_killed) {
  cox_world_trace(world, "the broker's process %s", is_killed ? "is killed" : "ends");
  if (!is_killed) cox_world_store_flush(world);
  cox_world_daemon_stop(world);
  const bool is_machine = world->lives % LIVES_PER_ERA == 0; /* no dice: they would make the rest of the life another one */
  if (is_machine) world->era = (struct cox_clock_era){.id = world->era.id + 1, .began_us = world->now_us};
  if (is_machine) cox_world_trace(world, "its machine starts anew");
  if (cox_world_daemon_start(world) != 0) return false;
  cox_world_look_around(world);
  return true;
}

/* Killed, but for now and then: an orderly end commits what it has. */
static void restart(struct cox_world *world, bool is_in_commit) {
  const bool is_killed = cox_world_below(world, COX_WORLD_RESTARTS, 4) > 0 || is_in_commit;
  if (!is_in_commit && cox_world_below(world, COX_WORLD_RESTARTS, 2) == 0) {
    world->disk.is_doomed = true; /* later, at the worst moment */
    return;
  }
  if (!begin_anew(world, is_killed)) return;
  if (cox_world_roll(world, COX_WORLD_RESTARTS, 0.5)) {
    cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_RESTARTS, 5, 90), COX_EVENT_RESTART, 0, 0);
  }
}

/* What happens only while there is turmoil. */
static void stir(struct cox_world *world, const struct cox_world_event *event) {
  if (world->is_calm) return;
  switch (event->kind) {
    case COX_EVENT_OPERATOR: cox_world_operate(world); break;
    case COX_EVENT_MAINTENANCE: cox_world_maintain(world); break;
    case COX_EVENT_MISCHIEF: cox_world_mischief(world, event->token); break;
    case COX_EVENT_JUMP: jump(world); break;
    case COX_EVENT_RESTART: restart(world, event->token == 1); break;
    case COX_EVENT_KILL: begin_anew(world, true); break;
    case COX_EVENT_DISK: cox_world_fill_disk(world); break;
    case COX_EVENT_CLIENT: cox_world_client_act(world, event->id); break;
    case COX_EVENT_SCRIPTS: cox_world_exchange(world); break;
    default: break;
  }
}

static void happen(struct cox_world *world, const struct cox_world_event *event) {
  const bool is_loop = event->kind == COX_EVENT_COMMANDS || event->kind == COX_EVENT_RECONCILE || event->kind == COX_EVENT_STORE ||
                       event->kind == COX_EVENT_RELOAD;
  if (is_loop && event->id != world->lives) return; /* of a process that has ended */
  switch (event->kind) {
    case COX_EVENT_COMMANDS: cox_world_commands(world); break;
    case COX_EVENT_RECONCILE: cox_world_reconcile(world, event->token); break;
    case COX_EVENT_STORE: cox_world_store_go_on(world, event->token); break;
    case COX_EVENT_RELOAD: cox_world_reload(world); break;
    case COX_EVENT_BEGIN: cox_world_begin(world, event->id); break;
    case COX_EVENT_WAKE: cox_world_wake(world, event->id, event->token); break;
    case COX_EVENT_CANCEL: cox_world_cancel(world, event->id); break;
    case COX_EVENT_ARRIVE: cox_world_arrive(world, event->id); break;
    case COX_EVENT_ANSWER: cox_world_answered(world, event->id); break;
    case COX_EVENT_MACHINE: cox_world_machine_move(world, (unsigned)event->id); break;
    case COX_EVENT_REPLY: cox_world_replied(world, event->id); break;
    case COX_EVENT_BLOCK: cox_world_block(world); break;
    case COX_EVENT_READER: cox_world_read(world); break;
    case COX_EVENT_CALM: cox_world_calm(world); break;
    case COX_EVENT_JUDGE: cox_world_judge(world, event->id); break;
    case COX_EVENT_END: cox_world_end(world); break;
    case COX_EVENT_OPERATOR:
    case COX_EVENT_MAINTENANCE:
    case COX_EVENT_MISCHIEF:
    case COX_EVENT_JUMP:
    case COX_EVENT_DISK:
    case COX_EVENT_CLIENT:
    case COX_EVENT_SCRIPTS:
    case COX_EVENT_KILL:
    case COX_EVENT_RESTART: stir(world, event); break;
  }
}

static void plan_life(struct cox_world *world) {
  const int64_t now = world->now_us;
  cox_world_plan(world, now + world->block_us, COX_EVENT_BLOCK, 0, 0);
  cox_world_plan(world, now + 3 * COX_WORLD_S, COX_EVENT_READER, 0, 0);
  cox_world_plan(world, now + world->calm_us, COX_EVENT_CALM, 0, 0);
  if (world->has[COX_WORLD_OPERATORS]) cox_world_plan(world, now + COX_WORLD_S, COX_EVENT_OPERATOR, 0, 0);
  if (world->has[COX_WORLD_MACHINES]) cox_world_plan(world, now + 2 * COX_WORLD_S, COX_EVENT_MISCHIEF, 0, 0);
  if (world->has[COX_WORLD_CLOCK] && cox_world_roll(world, COX_WORLD_CLOCK, 0.5)) {
    cox_world_plan(world, now + cox_world_span(world, COX_WORLD_CLOCK, 2, 60), COX_EVENT_JUMP, 0, 0);
  }
  if (world->has[COX_WORLD_DISK] && cox_world_roll(world, COX_WORLD_DISK, 0.4)) {
    cox_world_plan(world, now + cox_world_span(world, COX_WORLD_DISK, 3, 60), COX_EVENT_DISK, 0, 0);
  }
  cox_world_clients_begin(world);
  cox_world_exchange_begin(world);
  cox_world_maintenance_begin(world);
  if (world->has[COX_WORLD_RESTARTS] && cox_world_roll(world, COX_WORLD_RESTARTS, 0.6)) {
    cox_world_plan(world, now + cox_world_span(world, COX_WORLD_RESTARTS, 5, 200), COX_EVENT_RESTART, 0, 0);
  }
}

static bool step(struct cox_world *world) {
  struct cox_world_event event;
  if (world->is_over || !cox_world_next(world, &event)) return false;
  world->now_us = event.at_us;
  const bool ends = event.kind == COX_EVENT_RESTART || event.kind == COX_EVENT_KILL;
  if (ends && world->exchange.is_open) { /* the process cannot end inside of itself: the exchange ends first */
    cox_world_plan(world, event.at_us, event.kind, event.id, event.token);
    return false;
  }
  world->outcome.events++;
  happen(world, &event);
  cox_world_pump(world);
  if (!world->is_over) cox_world_check(world);
  return true;
}

bool cox_world_attend(struct cox_world *world) {
  world->exchange.was_attended = true;
  cox_world_pump(world);
  return step(world);
}

static void close_book(struct cox_world *world) {
  struct cox_world_outcome *const outcome = &world->outcome;
  outcome->hash = world->hash;
  outcome->machines = world->machine_count;
  outcome->virtual_s = (double)world->now_us / 1e6;
}

void cox_world_live(struct cox_world *world, const struct cox_world_scripts *scripts, struct cox_world_outcome *outcome) {
  world->scripts = *scripts;
  world->exchange.previous = COX_WORLD_NO_SET;
  cox_world_first_set(world);
  if (cox_world_daemon_start(world) == 0) {
    cox_world_declare(world);
    plan_life(world);
    while (step(world)) continue;
    close_book(world);
    world->is_calm = world->is_over = true;
    if (cox_lock_held() == 0) cox_world_daemon_stop(world); /* else it would wait for itself; the process ends soon */
  }
  cox_world_forget_calls(world);
  *outcome = world->outcome;
}
