/* The shapes of CometBFT's RPC: envelopes, status, blocks and the NewBlock event. New references throughout. */
#ifndef COX_SIM_CHAIN_WIRE_H
#define COX_SIM_CHAIN_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/chain_state.h"

/* RFC 3339 UTC with nine digits after the second, as CometBFT writes it; those after the millisecond follow from the height. */
enum { COX_CHAIN_TIME_BYTES = 40 };
void cox_chain_wire_time(const struct cox_chain_block *block, char out[COX_CHAIN_TIME_BYTES]);

/* `{"jsonrpc", "id", "result"}`; takes both. `id` is what the caller sent, -1 for GET requests. */
json_t *cox_chain_wire_result(json_t *id, json_t *result);
json_t *cox_chain_wire_error(json_t *id, int code, const char *message, const char *data);

json_t *cox_chain_wire_status(const struct cox_chain_block *latest, const struct cox_chain_block *earliest, bool is_catching_up);
/* `{"block_id", "block"}`; `last_hash` is that of the block before, "" for the first. */
json_t *cox_chain_wire_block(const struct cox_chain_block *block, const char *last_hash);
/* The `result` of a NewBlock event, padded with transactions to at least that many bytes of text. */
json_t *cox_chain_wire_event(const struct cox_chain_block *block, const char *last_hash, size_t least_bytes);

#endif
