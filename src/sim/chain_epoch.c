#include "sim/chain_epoch.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Products with 4 and sums of all durations stay far from 2^63. */
static const int64_t DURATION_MAX = INT64_C(1) << 53;

#define PARAM(field, value) {#field, value, offsetof(struct cox_chain_params, field)}
/* The defaults are those of the clock feed, so that both made-up chains tell the same story. */
static const struct cox_chain_param table[] = {
    PARAM(epoch_length, 100),          PARAM(epoch_shift, 0),           PARAM(poc_stage_duration, 20),
    PARAM(poc_exchange_duration, 1),   PARAM(poc_validation_delay, 2),  PARAM(poc_validation_duration, 10),
    PARAM(set_new_validators_delay, 1), PARAM(inference_validation_cutoff, 0),
};
enum { PARAM_COUNT = sizeof table / sizeof *table };

const struct cox_chain_param *cox_chain_param(size_t i) { return i < PARAM_COUNT ? &table[i] : NULL; }

const char *cox_chain_phase_name(enum cox_chain_phase phase) {
  static const char *const names[] = {"Inference", "PoCGenerate", "PoCGenerateWindDown", "PoCValidate", "PoCValidateWindDown"};
  return names[phase];
}

static int64_t *slot(struct cox_chain_params *params, const struct cox_chain_param *param) {
  return (int64_t *)(void *)((char *)params + param->offset);
}

static const struct cox_chain_param *find(const char *name) {
  for (size_t i = 0; i < PARAM_COUNT; i++) {
    if (strcmp(table[i].name, name) == 0) return &table[i];
  }
  return NULL;
}

/* -1: no whole number from 0 to DURATION_MAX. */
static int64_t blocks_of(const json_t *value) {
  int64_t blocks = -1;
  if (json_is_integer(value)) blocks = json_integer_value(value);
  if (json_is_string(value) && json_string_length(value) > 0) {
    char *end = NULL;
    errno = 0;
    blocks = strtoll(json_string_value(value), &end, 10);
    if (errno != 0 || *end != '\0') return -1;
  }
  return blocks >= 0 && blocks <= DURATION_MAX ? blocks : -1;
}

/* An epoch must be longer than its own PoC, or the next one starts inside of it. */
static int check_length(const struct cox_chain_params *params, struct cox_err *err) {
  const int64_t least = params->poc_stage_duration + params->poc_validation_delay + params->poc_validation_duration +
                        params->set_new_validators_delay + 2;
  if (params->epoch_length >= least) return 0;
  return cox_err_set(err, COX_EINVAL,
                     "epoch_length is %" PRId64 " blocks, but poc_stage_duration + poc_validation_delay + poc_validation_duration + "
                     "set_new_validators_delay + 2 are %" PRId64 ": give it at least that",
                     params->epoch_length, least);
}

int cox_chain_params_read(const json_t *object, struct cox_chain_params *params, struct cox_err *err) {
  for (size_t i = 0; i < PARAM_COUNT; i++) *slot(params, &table[i]) = table[i].fallback;
  if (object != NULL && !json_is_object(object)) return cox_err_set(err, COX_EINVAL, "the epoch parameters must be an object");
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, name, value) {
    const struct cox_chain_param *const param = find(name);
    if (param == NULL)
      return cox_err_set(err, COX_EINVAL, "%.80s is no epoch parameter: epoch_length, poc_stage_duration and the like", name);
    const int64_t blocks = blocks_of(value);
    if (blocks < 0) return cox_err_set(err, COX_EINVAL, "%s must be a whole number of blocks from 0 to 2^53", name);
    *slot(params, param) = blocks;
  }
  return check_length(params, err);
}

json_t *cox_chain_params_json(const struct cox_chain_params *params) {
  json_t *const object = json_object();
  for (size_t i = 0; i < PARAM_COUNT; i++) {
    const int64_t blocks = *slot((struct cox_chain_params *)(uintptr_t)params, &table[i]);
    json_object_set_new(object, table[i].name, json_sprintf("%" PRId64, blocks));
  }
  return object;
}

struct cox_chain_epoch cox_chain_epoch_at(int64_t height, int64_t first_height, const struct cox_chain_params *params) {
  const int64_t first_start = first_height + params->epoch_length / 2;
  if (height < first_start) return (struct cox_chain_epoch){0};
  const int64_t passed = (height - first_start) / params->epoch_length;
  return (struct cox_chain_epoch){.index = passed + 1, .poc_start = first_start + passed * params->epoch_length};
}

/* Ends of the windows as distances from the PoC start, in their order. */
enum { GENERATION_WIND_DOWN, GENERATION_END, VALIDATION_START, VALIDATION_WIND_DOWN, VALIDATION_END, WINDOW_COUNT };

static void measure(const struct cox_chain_params *params, int64_t ends[WINDOW_COUNT]) {
  ends[GENERATION_WIND_DOWN] = 4 * params->poc_stage_duration / 5; /* 0.8, truncated as the chain does it */
  ends[GENERATION_END] = params->poc_stage_duration;
  ends[VALIDATION_START] = ends[GENERATION_END] + params->poc_validation_delay;
  ends[VALIDATION_WIND_DOWN] = ends[VALIDATION_START] + 4 * params->poc_validation_duration / 5;
  ends[VALIDATION_END] = ends[VALIDATION_START] + params->poc_validation_duration;
}

enum cox_chain_phase cox_chain_phase_at(int64_t height, struct cox_chain_epoch epoch, const struct cox_chain_params *params) {
  if (epoch.index == 0 || height < epoch.poc_start) return COX_CHAIN_INFERENCE;
  const int64_t since = height - epoch.poc_start;
  int64_t ends[WINDOW_COUNT];
  measure(params, ends);
  if (since < ends[GENERATION_WIND_DOWN]) return COX_CHAIN_POC_GENERATE;
  if (since < ends[VALIDATION_START]) return COX_CHAIN_POC_GENERATE_WIND_DOWN;
  if (since < ends[VALIDATION_WIND_DOWN]) return COX_CHAIN_POC_VALIDATE;
  if (since < ends[VALIDATION_END]) return COX_CHAIN_POC_VALIDATE_WIND_DOWN;
  return COX_CHAIN_INFERENCE;
}

bool cox_chain_is_boundary(int64_t height, struct cox_chain_epoch epoch, const struct cox_chain_params *params) {
  if (epoch.index == 0) return false;
  int64_t ends[WINDOW_COUNT];
  measure(params, ends);
  bool is_boundary = height == epoch.poc_start;
  for (int i = 0; i < WINDOW_COUNT; i++) is_boundary = is_boundary || height - epoch.poc_start == ends[i];
  return is_boundary;
}
