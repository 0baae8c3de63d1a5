/* Operators: what people and other programs ask of the broker, sensible or not, at any time. */
#include <stdlib.h>
#include <string.h>

#include "sim/world_private.h"

void cox_world_order(struct cox_world *world, const char *name, json_t *args) {
  struct cox_err err = {0};
  char what[48];
  snprintf(what, sizeof what, "asks %s", name);
  cox_world_trace_json(world, what, args);
  cox_world_ask(world, name, args, 0, &err);
  json_decref(args);
}

static uint64_t below(struct cox_world *world, uint64_t bound) { return cox_world_below(world, COX_WORLD_OPERATORS, bound); }

/* ---- what they know ---- */

static const char *any_id(struct cox_world *world) {
  const size_t count = json_object_size(world->registered);
  if (count == 0) return "nobody";
  void *place = json_object_iter(world->registered);
  for (uint64_t skip = below(world, count); skip > 0; skip--) place = json_object_iter_next(world->registered, place);
  return json_object_iter_key(place);
}

/* A machine that no node is registered at; -1: none is free. */
static int free_machine(struct cox_world *world) {
  bool is_taken[COX_WORLD_MACHINES_MAX] = {false};
  const char *id;
  json_t *node;
  json_object_foreach(world->registered, id, node) {
    const struct cox_world_machine *const machine = cox_world_machine_of(world, node);
    if (machine != NULL) is_taken[machine - world->machines] = true;
  }
  const unsigned first = (unsigned)below(world, world->machine_count);
  for (unsigned i = 0; i < world->machine_count; i++) {
    const unsigned index = (first + i) % world->machine_count;
    if (!is_taken[index]) return (int)index;
  }
  return -1;
}

/* ---- what they do ---- */

static void put(struct cox_world *world, const char *command, const char *id, unsigned machine) {
  json_t *const node = cox_world_node_object(world, id, machine, &world->rng[COX_WORLD_OPERATORS]);
  json_object_set(world->registered, id, node);
  cox_world_order(world, command, json_pack("{so}", "node", node));
}

static void add(struct cox_world *world) {
  const int machine = free_machine(world);
  if (machine < 0) return;
  char id[16];
  snprintf(id, sizeof id, "node%u", ++world->names);
  put(world, "register_node", id, (unsigned)machine);
}

static void drop(struct cox_world *world, const char *id) {
  cox_world_order(world, "remove_node", json_pack("{ss}", "node_id", id));
  json_object_del(world->registered, id);
}

static void drop_any(struct cox_world *world) {
  if (json_object_size(world->registered) < 3) return;
  char id[64];
  snprintf(id, sizeof id, "%s", any_id(world));
  drop(world, id);
}

/* The same id again, at the same machine or at another one. */
static void replace(struct cox_world *world) {
  char id[64];
  snprintf(id, sizeof id, "%s", any_id(world));
  const struct cox_world_machine *const before = cox_world_machine_of(world, json_object_get(world->registered, id));
  if (before == NULL) return;
  const int other = free_machine(world);
  const bool moves = below(world, 3) == 0 && other >= 0;
  drop(world, id);
  put(world, "register_node", id, moves ? (unsigned)other : (unsigned)(before - world->machines));
}

static void change(struct cox_world *world) {
  char id[64];
  snprintf(id, sizeof id, "%s", any_id(world));
  json_t *const old = json_incref(json_object_get(world->registered, id));
  const struct cox_world_machine *const machine = cox_world_machine_of(world, old);
  const int other = free_machine(world);
  const bool moves = below(world, 6) == 0 && other >= 0, returns = below(world, 4) == 0;
  if (machine != NULL) {
    put(world, "update_node", id, moves ? (unsigned)other : (unsigned)(machine - world->machines));
    if (returns) { /* and back at once: the target that was left comes back */
      json_object_set(world->registered, id, old);
      cox_world_order(world, "update_node", json_pack("{sO}", "node", old));
    }
  }
  json_decref(old);
}

static void set_admin(struct cox_world *world) {
  const char *const id = any_id(world);
  const bool is_enabled = below(world, 2) != 0, ends = !is_enabled && below(world, 2) == 0;
  json_t *const args = json_pack("{ss sb ss}", "node_id", id, "enabled", (int)is_enabled, "reason", "by hand");
  if (ends) json_object_set_new(args, "expires_s", json_real(0.2 + (double)below(world, 60))); /* also while the daemon is down */
  cox_world_order(world, "set_admin_state", args);
}

static void stop_training(struct cox_world *world, unsigned task) {
  cox_world_order(world, "stop_training", json_pack("{si}", "task_id", (int)task));
}

static void train(struct cox_world *world) {
  const unsigned count = 1 + (unsigned)below(world, 3);
  json_t *const ranks = json_object();
  for (unsigned i = 0; i < count; i++) json_object_set_new(ranks, any_id(world), json_integer(i));
  cox_world_order(world, "start_training", json_pack("{si ss si so}", "task_id", (int)++world->tasks, "master_node_addr", "10.0.0.1",
                                                     "world_size", (int)count, "node_ranks", ranks));
  if (below(world, 2) == 0) stop_training(world, world->tasks); /* they changed their mind */
}

static void stop_any_training(struct cox_world *world) {
  if (world->tasks > 0) stop_training(world, 1 + (unsigned)below(world, world->tasks));
}

static void look_again(struct cox_world *world) {
  static const char *const names[] = {"reconcile", "probe"};
  const char *const name = names[below(world, 2)];
  const bool is_all = below(world, 3) == 0;
  cox_world_order(world, name, is_all ? json_object() : json_pack("{ss}", "node_id", any_id(world)));
}

static void ask_phase(struct cox_world *world) {
  static const char *const names[] = {"start_poc", "init_validate", "inference_up_all"};
  cox_world_order(world, names[below(world, 3)], json_object());
}

static void talk_nonsense(struct cox_world *world) {
  switch (below(world, 6)) {
    case 0: cox_world_order(world, "set_admin_state", json_pack("{ss sb}", "node_id", "no such", "enabled", 1)); break;
    case 1: cox_world_order(world, "register_node", json_pack("{s{ss}}", "node", "id", any_id(world))); break;
    case 2: cox_world_order(world, "new_block", json_pack("{si}", "height", -1)); break;
    case 3: cox_world_order(world, "remove_node", json_pack("{ss}", "node_id", "no such")); break;
    case 4: cox_world_order(world, "no_such_command", json_object()); break;
    default: cox_world_order(world, "start_training", json_pack("{si ss si s{si si}}", "task_id", 1, "master_node_addr", "", "world_size", 1,
                                                                "node_ranks", "a", 7, "b", 9));
  }
}

static void shout(struct cox_world *world) {
  for (int i = 0; i < 80; i++) cox_world_order(world, "probe", json_pack("{ss}", "node_id", any_id(world)));
}

static void keep(struct cox_world *world) { cox_world_keep(world, (unsigned)below(world, COX_WORLD_KEEPS)); }

void cox_world_look_around(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  world->is_blind = false;
  json_object_clear(world->registered);
  for (size_t i = 0; i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    if (node != NULL) json_object_set(world->registered, cox_node_id(node), node->config);
  }
}

void cox_world_operate(struct cox_world *world) {
  static const struct {
    void (*act)(struct cox_world *world);
    unsigned weight;
  } acts[] = {{add, 3},    {drop_any, 2},          {replace, 4},    {change, 5},    {set_admin, 5},     {train, 4},
              {stop_any_training, 3}, {look_again, 4}, {ask_phase, 2}, {talk_nonsense, 3}, {shout, 1}, {keep, 3}};
  uint64_t drawn = below(world, 39);
  if (world->is_blind) cox_world_look_around(world);
  size_t i = 0;
  while (drawn >= acts[i].weight) drawn -= acts[i++].weight;
  acts[i].act(world);
  const double rate = world->rate[COX_WORLD_OPERATORS] > 0 ? world->rate[COX_WORLD_OPERATORS] : 0.1;
  const bool is_hasty = below(world, 5) == 0;
  const int64_t pause_us = cox_world_span(world, COX_WORLD_OPERATORS, 0.5 / rate, 15 / rate);
  cox_world_plan(world, world->now_us + (is_hasty ? pause_us / 1000 : pause_us), COX_EVENT_OPERATOR, 0, 0);
}

/* ---- maintenance: one node after the other is taken out of service for a moment ---- */

#define MAINTENANCE_SHARE 0.3

static double draw_s(struct cox_world *world, double from_s, double to_s) { return from_s + cox_rng_unit(&world->added) * (to_s - from_s); }

static void plan_maintenance(struct cox_world *world, double in_s) {
  cox_world_plan(world, world->now_us + (int64_t)(in_s * 1e6), COX_EVENT_MAINTENANCE, 0, 0);
}

void cox_world_maintenance_begin(struct cox_world *world) {
  const bool has_some = cox_rng_unit(&world->added) < MAINTENANCE_SHARE;
  if (has_some && world->has[COX_WORLD_OPERATORS]) plan_maintenance(world, 5);
}

/* A disable of an earlier epoch holds at once; one of this epoch may be over before it does. Now and then they think better of it, or
 * say it again with another end, or with none.                                                                                  */
void cox_world_maintain(struct cox_world *world) {
  const size_t count = json_object_size(world->registered);
  void *place = json_object_iter(world->registered);
  for (uint64_t skip = count > 0 ? cox_rng_below(&world->added, count) : 0; skip > 0; skip--) place = json_object_iter_next(world->registered, place);
  const json_int_t epoch = json_integer_value(json_object_get(world->broker->registry.world, "epoch"));
  const bool is_at_once = cox_rng_below(&world->added, 3) > 0, thinks_better = cox_rng_below(&world->added, 6) == 0;
  const double lasts_s = draw_s(world, 0.2, 15), next_s = draw_s(world, 0.2, 4);
  const bool ends = cox_rng_below(&world->added, 8) > 0;
  if (place != NULL) {
    json_t *const args = json_pack("{ss sb ss}", "node_id", json_object_iter_key(place), "enabled", (int)thinks_better, "reason", "maintenance");
    if (!thinks_better && ends) json_object_set_new(args, "expires_s", json_real(lasts_s));
    if (is_at_once && epoch > 0) json_object_set_new(args, "epoch", json_integer(epoch - 1));
    cox_world_order(world, "set_admin_state", args);
  }
  plan_maintenance(world, next_s);
}

/* What the nodes file says at the first start; the queue is shorter than the file. */
void cox_world_declare(struct cox_world *world) {
  for (unsigned i = 0; i < world->machine_count; i++) {
    char id[16];
    snprintf(id, sizeof id, "node%u", ++world->names);
    json_object_set_new(world->registered, id, cox_world_node_object(world, id, i, &world->shape));
    if (i >= 4 && cox_rng_below(&world->shape, 4) == 0) json_object_del(world->registered, id);
  }
  const char *id;
  json_t *node;
  json_object_foreach(world->registered, id, node) {
    cox_world_order(world, "register_node", json_pack("{sO}", "node", node));
    cox_world_commands(world);
  }
}
