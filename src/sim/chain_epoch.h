/* The epochs of a made-up chain: parameters, schedule and phases by the arithmetic of the network, on exact integers. */
#ifndef COX_SIM_CHAIN_EPOCH_H
#define COX_SIM_CHAIN_EPOCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* All in blocks. */
struct cox_chain_params {
  int64_t epoch_length;
  int64_t epoch_shift;
  int64_t poc_stage_duration;
  int64_t poc_exchange_duration;
  int64_t poc_validation_delay;
  int64_t poc_validation_duration;
  int64_t set_new_validators_delay;
  int64_t inference_validation_cutoff;
};

/* The newest epoch that has been set; during PoC it is the effective one + 1. */
struct cox_chain_epoch {
  int64_t index;
  int64_t poc_start; /* height; 0 in epoch 0, which has no PoC */
};

enum cox_chain_phase {
  COX_CHAIN_INFERENCE,
  COX_CHAIN_POC_GENERATE,
  COX_CHAIN_POC_GENERATE_WIND_DOWN,
  COX_CHAIN_POC_VALIDATE,
  COX_CHAIN_POC_VALIDATE_WIND_DOWN
};
/* As the network writes it: "PoCGenerate" … */
const char *cox_chain_phase_name(enum cox_chain_phase phase);

/* One parameter: its name on the chain, its default, and where it stands. NULL after the last. */
struct cox_chain_param {
  const char *name;
  int64_t fallback;
  size_t offset;
};
const struct cox_chain_param *cox_chain_param(size_t i);

/* Fills `params` from an object of whole numbers (or of numbers in strings, as REST has them) and the defaults; NULL: defaults.
 * 0 or COX_EINVAL: an unknown name, a wrong value, or an epoch that is not longer than its own PoC.                          */
int cox_chain_params_read(const json_t *object, struct cox_chain_params *params, struct cox_err *err);
/* As REST shows them: 64-bit integers are strings. A new reference. */
json_t *cox_chain_params_json(const struct cox_chain_params *params);

/* The newest epoch at a height. Epoch 0 comes first; epoch 1 starts its PoC half an epoch_length after `first_height`, each
 * further epoch one epoch_length later: the schedule of scripts/jobs/clock.lua.                                            */
struct cox_chain_epoch cox_chain_epoch_at(int64_t height, int64_t first_height, const struct cox_chain_params *params);
enum cox_chain_phase cox_chain_phase_at(int64_t height, struct cox_chain_epoch epoch, const struct cox_chain_params *params);
/* Does a phase or the command due change with this height? */
bool cox_chain_is_boundary(int64_t height, struct cox_chain_epoch epoch, const struct cox_chain_params *params);

#endif
