/* What the seed makes of a world: how many machines of what kind, how fast the chain is, how bad the weather. */
#include <stdlib.h>
#include <string.h>

#include "sim/world_private.h"

static uint64_t below(struct cox_world *world, uint64_t bound) { return cox_rng_below(&world->shape, bound); }

static int64_t span_us(struct cox_world *world, double from_s, double to_s) {
  return (int64_t)((from_s + cox_rng_unit(&world->shape) * (to_s - from_s)) * 1e6);
}

/* Most worlds are small: what breaks, breaks with few nodes too, and many small lives see more than one large. */
static unsigned machine_count(struct cox_world *world) {
  const unsigned drawn = below(world, 12) == 0 ? 30 + (unsigned)below(world, 71) : 5 + (unsigned)below(world, 12);
  return world->options.machines != 0 ? world->options.machines : drawn;
}

static int add_machine(struct cox_world *world, unsigned index, bool is_quick) {
  struct cox_world_machine *const machine = &world->machines[index];
  char id[16];
  snprintf(id, sizeof id, "m%u", index);
  snprintf(machine->host, sizeof machine->host, "10.0.0.%u", index);
  machine->options = (struct cox_fleet_node_options){
      .id = id,
      .is_old = below(world, 2) == 0,
      .is_split = below(world, 2) == 0,
      .latency_us = span_us(world, 0.0005, 0.02),
      .load_us = is_quick ? span_us(world, 0.5, 4) : span_us(world, 2, 30),
      .stop_us = is_quick ? span_us(world, 0.05, 0.5) : span_us(world, 0.2, 6),
      .init_us = span_us(world, 0.1, is_quick ? 0.5 : 3),
      .pow_load_us = span_us(world, 0.1, 5),
      .health_lag_us = span_us(world, 0, 5),
      .restart_us = span_us(world, 1, 15),
  };
  machine->wake_us = INT64_MAX;
  machine->node = cox_fleet_node_create(&machine->options);
  machine->options.id = NULL; /* it was copied */
  world->machine_count++;
  return machine->node != NULL ? 0 : COX_ENOMEM;
}

static const char *const models[COX_WORLD_MODELS] = {"Qwen/QwQ-32B", "Qwen/Qwen2.5-7B", "meta/Llama-3"};

const char *cox_world_model(int index) { return models[index]; }

json_t *cox_world_node_object(struct cox_world *world, const char *id, unsigned machine, struct cox_rng *rng) {
  const bool is_split = world->machines[machine].options.is_split;
  json_t *const object = json_pack("{ss ss si si si s{}}", "id", id, "host", world->machines[machine].host, "inference_port",
                                   is_split ? 5050 : 8080, "poc_port", 8080, "max_concurrent", 1 + (int)cox_rng_below(rng, 3), "models");
  static const char *const versions[] = {NULL, NULL, "1.0.0", "1.1.0"};
  const char *const version = versions[cox_rng_below(rng, 4)];
  if (version != NULL) json_object_set_new(object, "version", json_string(version));
  json_t *const served = json_object_get(object, "models");
  const unsigned first = (unsigned)cox_rng_below(rng, 3), count = 1 + (unsigned)cox_rng_below(rng, 2);
  for (unsigned i = 0; i < count; i++) {
    json_t *const args = json_array();
    if (cox_rng_below(rng, 2) == 0) {
      json_array_append_new(args, json_string("--tensor-parallel-size"));
      json_array_append_new(args, json_sprintf("%d", 1 << cox_rng_below(rng, 3)));
    }
    if (cox_rng_below(rng, 3) == 0) json_array_append_new(args, json_string("--quantization=fp8"));
    json_object_set_new(served, models[(first + i) % 3], json_pack("{so}", "args", args));
  }
  return object;
}

static void shape_weather(struct cox_world *world) {
  static const double rates[] = {0, 0.3, 1, 1, 3};
  for (int i = 0; i < COX_WORLD_SCRIPTS; i++) world->rate[i] = rates[below(world, sizeof rates / sizeof *rates)];
  world->rate[COX_WORLD_CLOCK] = world->rate[COX_WORLD_RESTARTS] = world->rate[COX_WORLD_SCRIPTS] = 1;
  const int64_t drawn_us = span_us(world, 40, 130);
  world->is_patient = below(world, 8) == 0;
  const unsigned clients = 1 + (unsigned)below(world, COX_WORLD_CLIENTS_MAX);
  world->client_count = below(world, 2) == 0 && world->has[COX_WORLD_CLIENTS] ? clients : 0;
  world->calm_us = world->options.life_s > 0 ? (int64_t)(world->options.life_s * 1e6) : drawn_us;
}

static json_t *shape_epoch(struct cox_world *world) {
  const int stage = 8 + (int)below(world, 20), delay = 1 + (int)below(world, 4), validation = 6 + (int)below(world, 16);
  const int length = stage + delay + validation + 20 + (int)below(world, 60);
  return json_pack("{si si si si si si si}", "epoch_length", length, "epoch_shift", 0, "poc_stage_duration", stage, "poc_exchange_duration",
                   2, "poc_validation_delay", delay, "poc_validation_duration", validation, "set_new_validators_delay", 1);
}

static int shape_chain(struct cox_world *world, struct cox_err *err) {
  json_t *const epoch = shape_epoch(world);
  world->block_us = span_us(world, 0.3, 1.6);
  world->is_clock_job = below(world, 5) == 0;
  world->participant = json_pack("{ssss}", "address", "gonka1sim", "pubkey", "Asim");
  world->config = json_pack("{s{ss sf sO}}", "feed", "kind", world->is_clock_job ? "clock" : "none", "block_ms",
                            (double)world->block_us / 1000, "epoch", epoch);
  const struct cox_chain_state_options options = {
      .epoch_params = epoch, .participant = "gonka1sim", .first_height = 1 + (int64_t)below(world, 1000), .first_time_ms = 1,
      .block_ms = world->block_us / 1000};
  world->chain = cox_chain_state_create(&options, err);
  json_decref(epoch);
  return world->chain != NULL ? 0 : COX_EINVAL;
}

int cox_world_shape(struct cox_world *world, struct cox_err *err) {
  const unsigned count = machine_count(world);
  if (count > COX_WORLD_MACHINES_MAX) {
    return cox_err_set(err, COX_EINVAL, "a world has at most %d machines, not %u", COX_WORLD_MACHINES_MAX, count);
  }
  const bool is_quick = below(world, 3) == 0;
  for (unsigned i = 0; i < count; i++) {
    if (add_machine(world, i, is_quick) != 0) return cox_err_set(err, COX_ENOMEM, "making a world failed: out of memory");
  }
  shape_weather(world);
  world->registered = json_object();
  world->book = calloc(1, sizeof *world->book);
  if (world->book == NULL) abort();
  world->said_epoch = -1;
  return shape_chain(world, err);
}

struct cox_world_machine *cox_world_machine_of(struct cox_world *world, const json_t *config) {
  const char *const host = json_string_value(json_object_get(config, "host"));
  for (unsigned i = 0; host != NULL && i < world->machine_count; i++) {
    if (strcmp(world->machines[i].host, host) == 0) return &world->machines[i];
  }
  return NULL;
}

int cox_world_find_machine(const struct cox_world *world, const char *url, bool *is_inference, const char **path) {
  unsigned index, port;
  int length = 0;
  if (sscanf(url, "http://10.0.0.%u:%u%n", &index, &port, &length) != 2 || url[length] != '/') return -1;
  *path = url + length;
  *is_inference = port == 5050;
  if (index >= world->machine_count || (port != 8080 && !(port == 5050 && world->machines[index].options.is_split))) return -1;
  return (int)index;
}
