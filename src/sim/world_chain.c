/* The chain and the feed of its blocks, with gaps, reorder, doubles, stalls, empty answers and times out of sync. */
#include "sim/world_private.h"

#include <string.h>

static json_t *params_of(const struct cox_world *world) {
  json_t *const object = json_object();
  const char *const base = (const char *)cox_chain_state_params(world->chain);
  const struct cox_chain_param *param;
  for (size_t i = 0; (param = cox_chain_param(i)) != NULL; i++) {
    int64_t value;
    memcpy(&value, base + param->offset, sizeof value);
    json_object_set_new(object, param->name, json_integer(value));
  }
  return object;
}

static json_t *epoch_of(struct cox_world *world, int64_t height, bool has_hash) {
  const struct cox_chain_epoch epoch = cox_chain_state_epoch(world->chain, height);
  json_t *const object = json_pack("{sI sI}", "index", (json_int_t)epoch.index, "poc_start_block_height", (json_int_t)epoch.poc_start);
  struct cox_chain_block start;
  if (has_hash && epoch.index > 0 && cox_chain_state_block(world->chain, epoch.poc_start, &start)) {
    json_object_set_new(object, "poc_start_block_hash", json_string(start.hash));
  }
  return object;
}

/* By name: the order in which the scripts have written them is by chance. */
static const char *first_model(const json_t *node) {
  const char *first = NULL, *name;
  json_t *value;
  json_object_foreach(json_object_get(node, "models"), name, value) {
    if (first == NULL || strcmp(name, first) < 0) first = name;
  }
  return first;
}

/* Who serves what in an epoch, and who goes on serving through its PoC. False: that was made up before. */
static bool make_up_epoch(struct cox_world *world, int64_t epoch) {
  if (world->said_epoch == epoch) return false;
  world->said_epoch = epoch;
  json_decref(world->epoch_models);
  json_decref(world->preserved);
  world->epoch_models = json_object();
  world->preserved = json_array();
  const char *id;
  json_t *node;
  json_object_foreach(world->registered, id, node) {
    const char *const model = first_model(node);
    const bool has_model = cox_world_below(world, COX_WORLD_CHAIN, 10) < 7, is_preserved = cox_world_below(world, COX_WORLD_CHAIN, 7) == 0;
    const int length = 1024 << cox_world_below(world, COX_WORLD_CHAIN, 2);
    if (has_model && model != NULL) {
      json_object_set_new(world->epoch_models, id,
                          json_pack("[{ss s[so]}]", "id", model, "model_args", "--max-model-len", json_sprintf("%d", length)));
    }
    if (is_preserved) json_array_append_new(world->preserved, json_string(id));
  }
  return true;
}

#define HOLLOW_SHARE 0.04

/* The feed asked the chain, and was answered with nothing, or with lists of nobody. */
static void hollow(struct cox_world *world, json_t *args) {
  const bool is_hollow = cox_rng_unit(&world->added) < HOLLOW_SHARE;
  const uint64_t which = cox_rng_below(&world->added, 5);
  if (!is_hollow || world->is_calm || !world->has[COX_WORLD_CHAIN]) return;
  switch (which) {
    case 0: json_object_del(args, "epoch"); break;
    case 1: json_object_del(args, "params"); break;
    case 2: json_object_set_new(args, "epoch_models", json_object()); break;
    case 3: json_object_set_new(args, "preserved", json_array()); break;
    default: json_object_del(args, "time");
  }
}

static void announce(struct cox_world *world, int64_t height, bool says_all) {
  struct cox_chain_block block;
  if (!cox_chain_state_block(world->chain, height, &block)) return;
  char time[COX_CLOCK_TEXT];
  cox_clock_format(cox_clock_wall_ms(&world->clock), time);
  const bool is_synced = says_all || world->unsynced_until_us <= world->now_us;
  const bool has_hash = !cox_world_roll(world, COX_WORLD_CHAIN, 0.1);
  /* What is left out keeps its last value; a process that is new has none. */
  const bool is_short = cox_world_below(world, COX_WORLD_CHAIN, 4) != 0 && !says_all && world->said_life == world->lives;
  const bool is_new_epoch = make_up_epoch(world, cox_chain_state_epoch(world->chain, height).index);
  world->said_life = world->lives;
  json_t *const args = json_pack("{sI ss ss sb so}", "height", (json_int_t)height, "hash", block.hash, "time", time, "synced", is_synced,
                                 "epoch", epoch_of(world, height, has_hash));
  if (!is_short) json_object_set_new(args, "params", params_of(world));
  if (!is_short || (is_new_epoch && !cox_world_roll(world, COX_WORLD_CHAIN, 0.3))) {
    json_object_set(args, "epoch_models", world->epoch_models);
    json_object_set(args, "preserved", world->preserved);
  }
  if (!says_all) hollow(world, args);
  cox_world_order(world, "new_block", args);
}

bool cox_world_at_boundary(struct cox_world *world) {
  const int64_t next = cox_chain_state_height(world->chain) + 1;
  return cox_chain_is_boundary(next, cox_chain_state_epoch(world->chain, next), cox_chain_state_params(world->chain));
}

static void set_fault(struct cox_world *world, const char *spec) {
  struct cox_err err;
  if (cox_chain_faults_set(&world->chain_faults, spec, NULL, NULL, &err) != 0) cox_world_break(world, "scripts load", NULL, "%s", err.text);
  cox_world_trace(world, "chain %s", spec);
}

static void trouble(struct cox_world *world) {
  static const char *const specs[] = {"reorder=2", "reorder=5", "double=2", "drop=2", "drop=3", "drop-boundaries", "off", "off", "off"};
  const uint64_t which = cox_world_below(world, COX_WORLD_CHAIN, sizeof specs / sizeof *specs);
  const int64_t stall_us = cox_world_span(world, COX_WORLD_CHAIN, 2, 40), unsynced_us = cox_world_span(world, COX_WORLD_CHAIN, 2, 30);
  if (cox_world_roll(world, COX_WORLD_CHAIN, 0.05)) set_fault(world, specs[which]);
  if (cox_world_roll(world, COX_WORLD_CHAIN, 0.01)) world->stall_until_us = world->now_us + stall_us;
  if (cox_world_roll(world, COX_WORLD_CHAIN, 0.02)) world->unsynced_until_us = world->now_us + unsynced_us;
}

void cox_world_block(struct cox_world *world) {
  if (world->is_clock_job) return;
  cox_world_plan(world, world->now_us + world->block_us, COX_EVENT_BLOCK, 0, 0);
  trouble(world);
  if (world->stall_until_us > world->now_us || (world->is_calm && cox_world_at_boundary(world))) return;
  const bool is_boundary = cox_world_at_boundary(world);
  const int64_t height = cox_chain_state_advance(world->chain, world->now_us / 1000);
  int64_t heights[COX_CHAIN_FEED_MAX];
  const size_t count = cox_chain_feed_next(&world->feed, &world->chain_faults, height, is_boundary, heights);
  for (size_t i = 0; i < count; i++) announce(world, heights[i], false);
}

void cox_world_steady_chain(struct cox_world *world) {
  world->stall_until_us = world->unsynced_until_us = 0;
  world->chain_faults = (struct cox_chain_faults){0};
  world->feed.held_count = 0;
  if (world->is_clock_job) return;
  announce(world, cox_chain_state_advance(world->chain, world->now_us / 1000), true);
}
