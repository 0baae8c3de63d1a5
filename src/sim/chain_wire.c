#include "sim/chain_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sim/chain_tx.h"

enum { TX_BYTES = 1024 }; /* of text: what a transaction of a few messages takes in base64 */

/* What does not change from block to block. */
static const char chain_id[] = COX_CHAIN_ID;
static const char validator[] = "5B0A1F6C3E9D2847B6A5F4E3D2C1B0A998877665";
static const char constant_hash[] = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"; /* SHA-256 of nothing */

void cox_chain_wire_time(const struct cox_chain_block *block, char out[COX_CHAIN_TIME_BYTES]) {
  char to_millis[COX_CLOCK_TEXT];
  cox_clock_format(block->time_ms, to_millis);
  to_millis[strlen(to_millis) - 1] = '\0'; /* without the Z */
  snprintf(out, COX_CHAIN_TIME_BYTES, "%s%06" PRId64 "Z", to_millis, (block->height * 104729 + 7) % 1000000);
}

json_t *cox_chain_wire_result(json_t *id, json_t *result) {
  return json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "id", id, "result", result);
}

json_t *cox_chain_wire_error(json_t *id, int code, const char *message, const char *data) {
  return json_pack("{s:s, s:o, s:{s:i, s:s, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code", code, "message", message, "data", data);
}

static json_t *node_info(void) {
  return json_pack("{s:{s:s, s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s}}", "protocol_version", "p2p", "8", "block", "11",
                   "app", "0", "id", "5b0a1f6c3e9d2847b6a5f4e3d2c1b0a998877665", "listen_addr", "tcp://0.0.0.0:26656", "network",
                   chain_id, "version", "0.38.17", "channels", "40202122233038606100", "moniker", "sim", "other", "tx_index", "on",
                   "rpc_address", "tcp://0.0.0.0:26657");
}

static json_t *sync_info(const struct cox_chain_block *latest, const struct cox_chain_block *earliest, bool is_catching_up) {
  char latest_time[COX_CHAIN_TIME_BYTES], earliest_time[COX_CHAIN_TIME_BYTES];
  cox_chain_wire_time(latest, latest_time);
  cox_chain_wire_time(earliest, earliest_time);
  return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:s, s:b}", "latest_block_hash", latest->hash, "latest_app_hash", constant_hash,
                   "latest_block_height", json_sprintf("%" PRId64, latest->height), "latest_block_time", latest_time,
                   "earliest_block_hash", earliest->hash, "earliest_app_hash", constant_hash, "earliest_block_height",
                   json_sprintf("%" PRId64, earliest->height), "earliest_block_time", earliest_time, "catching_up", is_catching_up);
}

json_t *cox_chain_wire_status(const struct cox_chain_block *latest, const struct cox_chain_block *earliest, bool is_catching_up) {
  return json_pack("{s:o, s:o, s:{s:s, s:{s:s, s:s}, s:s}}", "node_info", node_info(), "sync_info",
                   sync_info(latest, earliest, is_catching_up), "validator_info", "address", validator, "pub_key", "type",
                   "tendermint/PubKeyEd25519", "value", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "voting_power", "0");
}

static json_t *block_id(const char *hash) {
  const bool is_none = *hash == '\0';
  return json_pack("{s:s, s:{s:i, s:s}}", "hash", hash, "parts", "total", is_none ? 0 : 1, "hash", is_none ? "" : constant_hash);
}

static json_t *header(const struct cox_chain_block *block, const char *last_hash) {
  char time[COX_CHAIN_TIME_BYTES];
  cox_chain_wire_time(block, time);
  return json_pack("{s:{s:s}, s:s, s:o, s:s, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "version", "block", "11", "chain_id",
                   chain_id, "height", json_sprintf("%" PRId64, block->height), "time", time, "last_block_id", block_id(last_hash),
                   "last_commit_hash", constant_hash, "data_hash", constant_hash, "validators_hash", constant_hash,
                   "next_validators_hash", constant_hash, "consensus_hash", constant_hash, "app_hash", constant_hash,
                   "last_results_hash", constant_hash, "evidence_hash", constant_hash, "proposer_address", validator);
}

/* `{header, data, evidence, last_commit}`. */
static json_t *body(const struct cox_chain_block *block, const char *last_hash) {
  return json_pack("{s:o, s:{s:[]}, s:{s:[]}, s:{s:o, s:i, s:o, s:[]}}", "header", header(block, last_hash), "data", "txs", "evidence",
                   "evidence", "last_commit", "height", json_sprintf("%" PRId64, block->height - 1), "round", 0, "block_id",
                   block_id(last_hash), "signatures");
}

json_t *cox_chain_wire_block(const struct cox_chain_block *block, const char *last_hash) {
  return json_pack("{s:o, s:o}", "block_id", block_id(block->hash), "block", body(block, last_hash));
}

/* Base64 of nothing in particular; the last one is as short as is needed. */
static void pad(json_t *event, json_t *txs, size_t least_bytes) {
  size_t bytes = json_dumpb(event, NULL, 0, JSON_COMPACT);
  char text[TX_BYTES];
  memset(text, 'A', sizeof text);
  while (bytes < least_bytes) {
    const size_t missing = least_bytes - bytes;
    const size_t length = missing < TX_BYTES ? (missing + 3) / 4 * 4 : TX_BYTES;
    json_array_append_new(txs, json_stringn(text, length));
    bytes += length + 3; /* quotes and comma */
  }
}

json_t *cox_chain_wire_event(const struct cox_chain_block *block, const char *last_hash, size_t least_bytes) {
  json_t *const content = body(block, last_hash);
  json_t *const event =
      json_pack("{s:s, s:{s:s, s:{s:o, s:o, s:{s:[], s:n, s:[], s:n, s:s}}}, s:{s:[s]}}", "query", "tm.event='NewBlock'", "data", "type",
                "tendermint/event/NewBlock", "value", "block", content, "block_id", block_id(block->hash), "result_finalize_block",
                "events", "tx_results", "validator_updates", "consensus_param_updates", "app_hash",
                "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "events", "tm.event", "NewBlock");
  pad(event, json_object_get(json_object_get(content, "data"), "txs"), least_bytes);
  return event;
}
