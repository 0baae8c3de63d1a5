/* A made-up chain as a pure state machine: no threads, no sockets, no clock of its own. Its owner makes each block and says
 * when; every answer is a function of the state and of the height at which it is asked, so that a node that lags behind
 * (catching up) answers with an earlier height. For one thread at a time. Hashes follow from the height alone, exactly as in
 * scripts/jobs/clock.lua.                                                                                                  */
#ifndef COX_SIM_CHAIN_STATE_H
#define COX_SIM_CHAIN_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sim/chain_epoch.h"
#include "sim/chain_fleet.h"

struct cox_chain_state;

struct cox_chain_state_options {
  const json_t *epoch_params;   /* see cox_chain_params_read; borrowed */
  const json_t *nodes;          /* node-config entries; NULL: none; borrowed */
  const json_t *preserved;      /* list of ids of nodes that serve through PoC, from epoch 0 on; NULL: none; borrowed */
  const char *participant;
  bool is_rotating;             /* nodes with several models change theirs from epoch to epoch */
  int64_t first_height;         /* 1 … 2^62 */
  int64_t first_time_ms;        /* of that block, since 1970 */
  int64_t block_ms;             /* for the times of blocks older than the kept ones */
};

enum { COX_CHAIN_HASH_BYTES = 65 };
struct cox_chain_block {
  int64_t height;
  int64_t time_ms;
  char hash[COX_CHAIN_HASH_BYTES]; /* 64 upper-case hex digits */
};

/* NULL with the reason in `err`: bad parameters, bad nodes, an unknown preserved node. */
struct cox_chain_state *cox_chain_state_create(const struct cox_chain_state_options *options, struct cox_err *err);
void cox_chain_state_destroy(struct cox_chain_state *state);

/* The next block; its time never lies before the last one's. Returns its height. */
int64_t cox_chain_state_advance(struct cox_chain_state *state, int64_t time_ms);

int64_t cox_chain_state_height(const struct cox_chain_state *state);
int64_t cox_chain_state_first_height(const struct cox_chain_state *state);
const struct cox_chain_params *cox_chain_state_params(const struct cox_chain_state *state);
struct cox_chain_fleet *cox_chain_state_fleet(struct cox_chain_state *state);
struct cox_chain_epoch cox_chain_state_epoch(const struct cox_chain_state *state, int64_t height);
enum cox_chain_phase cox_chain_state_phase(const struct cox_chain_state *state, int64_t height);
/* The block of a height between the first and the newest one; false for any other. */
bool cox_chain_state_block(const struct cox_chain_state *state, int64_t height, struct cox_chain_block *block);

/* Which nodes are preserved from that epoch on; `ids` borrowed. 0, COX_EINVAL (not a list of known ids) or COX_EFULL. */
int cox_chain_state_preserve(struct cox_chain_state *state, int64_t from_epoch, const json_t *ids, struct cox_err *err);
/* For how many blocks from its PoC start on the newest epoch's group data is empty. */
void cox_chain_state_set_border(struct cox_chain_state *state, int64_t blocks);

/* Answers of the REST gateway at a height, new references. */
json_t *cox_chain_state_epoch_info(const struct cox_chain_state *state, int64_t height);
/* `model_id` "": the parent group. NULL: there is no such epoch or group at that height (a 404). */
json_t *cox_chain_state_group_data(const struct cox_chain_state *state, int64_t height, int64_t epoch, const char *model_id);

#endif
