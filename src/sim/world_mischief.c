/* What happens to machines: they crash, hang, lie, answer late or nonsense; each for a while. */
#include <string.h>

#include "sim/world_private.h"

static const struct {
  const char *spec;
  bool is_spoiling; /* what it has begun ends only with the process */
} faults[] = {
    {"restart=1", false},      {"restart=8", false},       {"restart=20", false},    {"unhealthy", true},
    {"hang", true},            {"hang@POST", true},        {"hang@state", true},     {"silence@POST", true},
    {"silence@inference/up", true}, {"silence@stop", true}, {"silence@init", true},   {"refuse", false},
    {"error=500@POST", false}, {"error=503", false},       {"error=500@init", false}, {"close@POST", false},
    {"close", false},          {"half_header@state", false}, {"slow=5", false},       {"slow=100@state", false},
    {"huge@state", false},     {"bad_json@state", false},  {"bad_json@POST", false}, {"conflict@init", false},
    {"conflict@inference/up", false}, {"lie", false},      {"lie=STOPPED", false},   {"lie=INFERENCE", false},
    {"lie_pow=IDLE", false},   {"lie_pow=WEIRD", false},   {"ready_never", true},    {"load_fail", true},
    {"two_services=409", false}, {"two_services=500", false}, {"train_stuck", true}, {"pow_loading", false},
};

static void set(struct cox_world *world, unsigned index, const char *spec) {
  struct cox_fleet_choice choice;
  struct cox_fleet_fault fault;
  struct cox_err err;
  if (cox_fleet_fault_parse(spec, 1, &choice, &fault, &err) != 0) cox_world_break(world, "scripts load", NULL, "%s", err.text);
  cox_fleet_node_fault(world->machines[index].node, &fault, world->now_us);
  cox_world_trace(world, "machine 10.0.0.%u: %s", index, spec);
  cox_world_machine_move(world, index);
}

static void cut(struct cox_world *world, unsigned index) {
  world->machines[index].cut_until_us = world->now_us + cox_world_span(world, COX_WORLD_MACHINES, 1, 25);
  cox_world_trace(world, "machine 10.0.0.%u is cut off", index);
}

static void end_faults(struct cox_world *world, unsigned index) {
  set(world, index, "none");
  world->machines[index].is_lying = false;
}

void cox_world_mischief(struct cox_world *world, uint64_t token) {
  if (token > 0) {
    end_faults(world, (unsigned)token - 1);
    return;
  }
  const double rate = world->rate[COX_WORLD_MACHINES] > 0 ? world->rate[COX_WORLD_MACHINES] : 0.05;
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_MACHINES, 0.5 / rate, 12 / rate), COX_EVENT_MISCHIEF, 0, 0);
  const unsigned index = (unsigned)cox_world_below(world, COX_WORLD_MACHINES, world->machine_count);
  const uint64_t which = cox_world_below(world, COX_WORLD_MACHINES, sizeof faults / sizeof *faults + 3);
  if (which >= sizeof faults / sizeof *faults) {
    cut(world, index);
    return;
  }
  set(world, index, faults[which].spec);
  struct cox_world_machine *const machine = &world->machines[index];
  machine->is_spoilt = machine->is_spoilt || faults[which].is_spoiling;
  machine->is_lying = machine->is_lying || strcmp(faults[which].spec, "lie") == 0;
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_MACHINES, 1, 40), COX_EVENT_MISCHIEF, 0, index + 1);
}

void cox_world_heal_machines(struct cox_world *world) {
  for (unsigned i = 0; i < world->machine_count; i++) {
    end_faults(world, i);
    if (world->machines[i].is_spoilt) set(world, i, "restart=1");
  }
}
