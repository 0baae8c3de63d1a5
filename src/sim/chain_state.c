#include "sim/chain_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMES_KEPT = 1024, CHANGES_MAX = 1024 };
static const int64_t HEIGHT_MAX = INT64_C(1) << 62; /* sums of a height and the durations of an epoch stay below 2^63 */

struct change {
  int64_t from_epoch;
  json_t *ids;
};

struct cox_chain_state {
  struct cox_chain_params params;
  struct cox_chain_fleet *fleet;
  int64_t first_height;
  int64_t height;
  int64_t block_ms;
  int64_t border_blocks;
  int64_t times_ms[TIMES_KEPT]; /* of the newest blocks, by height % TIMES_KEPT */
  struct change changes[CHANGES_MAX]; /* of the preserved set, in the order in which they were made */
  size_t change_count;
};

/* Mixes 64 bits (SplitMix64, Steele, Lea and Flood 2014). */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return x ^ (x >> 31);
}

static void hash_of(int64_t height, char out[COX_CHAIN_HASH_BYTES]) {
  for (uint64_t i = 1; i <= 4; i++) {
    snprintf(out + 16 * (i - 1), 17, "%016" PRIX64, mix((uint64_t)height * 4 + i * UINT64_C(0x9E3779B97F4A7C15)));
  }
}

/* ---- life ---- */

static int check_options(const struct cox_chain_state_options *options, struct cox_err *err) {
  if (options->first_height < 1 || options->first_height > HEIGHT_MAX)
    return cox_err_set(err, COX_EINVAL, "the start height must be from 1 to 2^62, not %" PRId64, options->first_height);
  if (options->participant == NULL || *options->participant == '\0')
    return cox_err_set(err, COX_EINVAL, "the chain needs the participant's address");
  return 0;
}

static int prepare(struct cox_chain_state *state, const struct cox_chain_state_options *options, struct cox_err *err) {
  int rc = check_options(options, err);
  if (rc == 0) rc = cox_chain_params_read(options->epoch_params, &state->params, err);
  if (rc != 0) return rc;
  state->fleet = cox_chain_fleet_create(options->nodes, options->participant, options->is_rotating, err);
  if (state->fleet == NULL) return COX_EINVAL;
  state->first_height = state->height = options->first_height;
  state->block_ms = options->block_ms;
  state->times_ms[state->height % TIMES_KEPT] = options->first_time_ms;
  return options->preserved != NULL ? cox_chain_state_preserve(state, 0, options->preserved, err) : 0;
}

struct cox_chain_state *cox_chain_state_create(const struct cox_chain_state_options *options, struct cox_err *err) {
  struct cox_chain_state *const state = calloc(1, sizeof *state);
  if (state == NULL) {
    cox_err_set(err, COX_ENOMEM, "making the chain failed: out of memory");
    return NULL;
  }
  if (prepare(state, options, err) == 0) return state;
  cox_chain_state_destroy(state);
  return NULL;
}

void cox_chain_state_destroy(struct cox_chain_state *state) {
  if (state == NULL) return;
  for (size_t i = 0; i < state->change_count; i++) json_decref(state->changes[i].ids);
  cox_chain_fleet_destroy(state->fleet);
  free(state);
}

/* ---- blocks ---- */

int64_t cox_chain_state_advance(struct cox_chain_state *state, int64_t time_ms) {
  const int64_t last_ms = state->times_ms[state->height % TIMES_KEPT];
  state->height++;
  state->times_ms[state->height % TIMES_KEPT] = time_ms < last_ms ? last_ms : time_ms;
  return state->height;
}

int64_t cox_chain_state_height(const struct cox_chain_state *state) { return state->height; }
int64_t cox_chain_state_first_height(const struct cox_chain_state *state) { return state->first_height; }
const struct cox_chain_params *cox_chain_state_params(const struct cox_chain_state *state) { return &state->params; }
struct cox_chain_fleet *cox_chain_state_fleet(struct cox_chain_state *state) { return state->fleet; }

struct cox_chain_epoch cox_chain_state_epoch(const struct cox_chain_state *state, int64_t height) {
  return cox_chain_epoch_at(height, state->first_height, &state->params);
}

enum cox_chain_phase cox_chain_state_phase(const struct cox_chain_state *state, int64_t height) {
  return cox_chain_phase_at(height, cox_chain_state_epoch(state, height), &state->params);
}

/* Times of blocks that are no longer kept are counted back from the oldest kept one. */
static int64_t time_of(const struct cox_chain_state *state, int64_t height) {
  const int64_t oldest = state->height - TIMES_KEPT + 1;
  if (height >= oldest) return state->times_ms[height % TIMES_KEPT];
  return state->times_ms[oldest % TIMES_KEPT] - (oldest - height) * state->block_ms;
}

bool cox_chain_state_block(const struct cox_chain_state *state, int64_t height, struct cox_chain_block *block) {
  if (height < state->first_height || height > state->height) return false;
  block->height = height;
  block->time_ms = time_of(state, height);
  hash_of(height, block->hash);
  return true;
}

/* ---- who is preserved ---- */

static int check_ids(const struct cox_chain_state *state, const json_t *ids, struct cox_err *err) {
  if (!json_is_array(ids)) return cox_err_set(err, COX_EINVAL, "the preserved nodes must be a list of node ids");
  size_t i;
  json_t *id;
  json_array_foreach(ids, i, id) {
    if (!json_is_string(id)) return cox_err_set(err, COX_EINVAL, "the preserved nodes must be a list of node ids");
    if (!cox_chain_fleet_has_node(state->fleet, json_string_value(id)))
      return cox_err_set(err, COX_EINVAL, "the preserved node %.80s is not among the chain's nodes", json_string_value(id));
  }
  return 0;
}

int cox_chain_state_preserve(struct cox_chain_state *state, int64_t from_epoch, const json_t *ids, struct cox_err *err) {
  const int rc = check_ids(state, ids, err);
  if (rc != 0) return rc;
  if (from_epoch < 0)
    return cox_err_set(err, COX_EINVAL, "the preserved nodes can be set from epoch 0 on, not from %" PRId64, from_epoch);
  if (state->change_count == CHANGES_MAX)
    return cox_err_set(err, COX_EFULL, "the preserved nodes were changed %d times already: restart the chain", CHANGES_MAX);
  state->changes[state->change_count++] = (struct change){.from_epoch = from_epoch, .ids = json_deep_copy(ids)};
  return 0;
}

/* What was said last counts for all epochs from the one that it names. */
static const json_t *preserved_in(const struct cox_chain_state *state, int64_t epoch) {
  for (size_t i = state->change_count; i > 0; i--) {
    if (state->changes[i - 1].from_epoch <= epoch) return state->changes[i - 1].ids;
  }
  return NULL;
}

/* ---- answers ---- */

void cox_chain_state_set_border(struct cox_chain_state *state, int64_t blocks) { state->border_blocks = blocks; }

json_t *cox_chain_state_epoch_info(const struct cox_chain_state *state, int64_t height) {
  const struct cox_chain_epoch latest = cox_chain_state_epoch(state, height);
  return json_pack("{s:o, s:{s:o, s:n, s:n, s:n}, s:{s:o, s:o}, s:b, s:n}", "block_height", json_sprintf("%" PRId64, height), "params",
                   "epoch_params", cox_chain_params_json(&state->params), "validation_params", "poc_params", "tokenomics_params",
                   "latest_epoch", "index", json_sprintf("%" PRId64, latest.index), "poc_start_block_height",
                   json_sprintf("%" PRId64, latest.poc_start), "is_confirmation_poc_active", 0, "active_confirmation_poc_event");
}

/* Epochs start at regular heights, so the start of an old one is counted back from the newest. */
static int64_t start_of(const struct cox_chain_state *state, struct cox_chain_epoch latest, int64_t epoch) {
  return epoch == 0 ? 0 : latest.poc_start - (latest.index - epoch) * state->params.epoch_length;
}

static json_t *group(const struct cox_chain_state *state, int64_t start, int64_t epoch, const char *model_id, json_t *weights,
                     json_t *sub_groups) {
  json_t *const model = *model_id != '\0' ? cox_chain_fleet_model(state->fleet, model_id) : json_null();
  assert(model != NULL);
  return json_pack(
      "{s:{s:o, s:o, s:s, s:o, s:s, s:[], s:o, s:s, s:s, s:s, s:n, s:o, s:s, s:o, s:o, s:o, s:s}}", "epoch_group_data",
      "poc_start_block_height", json_sprintf("%" PRId64, start), "epoch_group_id", json_sprintf("%" PRId64, epoch + 1),
      "epoch_policy", "", "effective_block_height", json_sprintf("%" PRId64, start), "last_block_height", "0",
      "member_seed_signatures", "validation_weights", weights, "unit_of_compute_price", "100", "number_of_requests", "0",
      "previous_epoch_requests", "0", "validation_params", "total_weight",
      json_string(json_array_size(weights) > 0 ? json_string_value(json_object_get(json_array_get(weights, 0), "weight")) : "0"),
      "model_id", model_id, "sub_group_models", sub_groups, "epoch_index", json_sprintf("%" PRId64, epoch), "model_snapshot", model,
      "total_throughput", "0");
}

json_t *cox_chain_state_group_data(const struct cox_chain_state *state, int64_t height, int64_t epoch, const char *model_id) {
  const struct cox_chain_epoch latest = cox_chain_state_epoch(state, height);
  if (epoch < 0 || epoch > latest.index) return NULL;
  const int64_t start = start_of(state, latest, epoch);
  const bool is_parent = *model_id == '\0';
  const bool is_empty = epoch > 0 && epoch == latest.index && height - latest.poc_start < state->border_blocks;
  if (is_empty) return is_parent ? group(state, start, epoch, "", json_array(), json_array()) : NULL;
  if (!is_parent && !cox_chain_fleet_has_model(state->fleet, model_id)) return NULL;
  json_t *const weights = cox_chain_fleet_weights(state->fleet, epoch, is_parent ? NULL : model_id, preserved_in(state, epoch));
  if (!is_parent && json_array_size(weights) == 0) { /* nobody serves it in this epoch: there is no such group */
    json_decref(weights);
    return NULL;
  }
  return group(state, start, epoch, model_id, weights, is_parent ? cox_chain_fleet_models_of(state->fleet, epoch) : json_array());
}
