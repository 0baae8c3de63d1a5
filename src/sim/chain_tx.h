/* Transactions of a made-up chain: reads what a client signed, checks it as a real one does, and registers hardware by it.
 * Reads the wire format by its own code, so that writer and reader do not share a mistake. For one thread at a time.       */
#ifndef COX_SIM_CHAIN_TX_H
#define COX_SIM_CHAIN_TX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/chain_fleet.h"

enum { COX_CHAIN_ACCOUNT_NUMBER = 7, COX_CHAIN_GAS_LEAST = 1000 };
#define COX_CHAIN_ID "coxswain-sim-1"

struct cox_chain_txs {
  char *participant; /* the only account there is */
  uint64_t sequence; /* of the next transaction */
  json_t *known;     /* hash → {"code", "raw_log", "codespace", "height"?, "change"?}; without a height: not in a block yet */
};

/* 0 or COX_ENOMEM. */
int cox_chain_txs_init(struct cox_chain_txs *txs, const char *participant);
void cox_chain_txs_fini(struct cox_chain_txs *txs);

/* The account of that address as REST shows it; NULL: there is none. A new reference. */
json_t *cox_chain_txs_account(const struct cox_chain_txs *txs, const char *address);
/* `{"tx_bytes": base64, "mode"}` → `{"tx_response": {"code", "txhash", "raw_log", …}}`; code 0: it comes into the next block. NULL: the
 * body is no such request. A new reference.                                                                                    */
json_t *cox_chain_txs_broadcast(struct cox_chain_txs *txs, const json_t *body);
/* What became of it; NULL: it is in no block. A new reference. */
json_t *cox_chain_txs_find(const struct cox_chain_txs *txs, const char *hash);
/* A block is made: what waits comes into it. */
void cox_chain_txs_include(struct cox_chain_txs *txs, struct cox_chain_fleet *fleet, int64_t height);

#endif
