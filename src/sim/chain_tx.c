#include "sim/chain_tx.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "wallet/key.h"

enum { BYTES_MAX = 1 << 20, ENTRIES_MAX = 1000 };
/* Codes of codespace "sdk" (cosmos-sdk types/errors). */
enum { TX_DECODE = 2, UNAUTHORIZED = 4, INVALID_ADDRESS = 7, OUT_OF_GAS = 11, WRONG_SEQUENCE = 32 };

/* ---- the wire format ---- */

struct slice {
  const unsigned char *at;
  size_t count;
};

struct field {
  unsigned number;
  bool is_bytes;
  uint64_t integer;
  struct slice bytes;
};

static bool read_varint(struct slice *from, uint64_t *out) {
  *out = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (from->count == 0) return false;
    const unsigned char byte = *from->at++;
    from->count--;
    *out |= (uint64_t)(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

enum reading { READ_FIELD, READ_END, READ_BAD };

static enum reading next_field(struct slice *from, struct field *field) {
  uint64_t key, length;
  if (from->count == 0) return READ_END;
  if (!read_varint(from, &key) || key >> 3 == 0 || key >> 3 > 1000) return READ_BAD;
  *field = (struct field){.number = (unsigned)(key >> 3), .is_bytes = (key & 7) == 2};
  if ((key & 7) == 0) return read_varint(from, &field->integer) ? READ_FIELD : READ_BAD;
  if ((key & 7) != 2 || !read_varint(from, &length) || length > from->count) return READ_BAD;
  field->bytes = (struct slice){from->at, (size_t)length};
  from->at += length;
  from->count -= (size_t)length;
  return READ_FIELD;
}

/* Reads a message with `count` fields, each at most once, into `out` by number; false: it is none, or has an unknown field. */
static bool read_once(struct slice from, struct field *out, unsigned count) {
  memset(out, 0, (count + 1) * sizeof *out);
  struct field field;
  for (;;) {
    switch (next_field(&from, &field)) {
      case READ_END: return true;
      case READ_BAD: return false;
      case READ_FIELD: break;
    }
    if (field.number > count || out[field.number].number != 0) return false;
    out[field.number] = field;
  }
}

static json_t *text_of(struct slice bytes) { return json_stringn((const char *)bytes.at, bytes.count); } /* NULL: no UTF-8 */

static bool is_text(struct slice bytes, const char *text) {
  return bytes.count == strlen(text) && memcmp(bytes.at, text, bytes.count) == 0;
}

/* ---- the message ---- */

static bool read_hardware(struct slice bytes, json_t *list) {
  struct field item[3];
  if (!read_once(bytes, item, 2)) return false;
  json_t *const type = text_of(item[1].bytes);
  return type != NULL && json_array_append_new(list, json_pack("{s:o, s:I}", "type", type, "count", (json_int_t)item[2].integer)) == 0;
}

static bool read_node_field(const struct field *field, json_t *node) {
  static const char *const statuses[] = {"UNKNOWN", "INFERENCE", "POC", "TRAINING", "STOPPED", "FAILED"};
  static const char *const names[] = {NULL, "local_id", NULL, NULL, NULL, "host", "port", "version"};
  switch (field->number) {
    case 2:
      return !field->is_bytes && field->integer < 6 && json_object_set_new(node, "status", json_string(statuses[field->integer])) == 0;
    case 3: return field->is_bytes && json_array_append_new(json_object_get(node, "models"), text_of(field->bytes)) == 0;
    case 4: return field->is_bytes && read_hardware(field->bytes, json_object_get(node, "hardware"));
    case 1:
    case 5:
    case 6:
    case 7: return field->is_bytes && json_object_set_new(node, names[field->number], text_of(field->bytes)) == 0;
    default: return false; /* a real chain refuses fields that it does not know */
  }
}

static json_t *read_node(struct slice bytes) {
  json_t *const node = json_pack("{s:s, s:s, s:[], s:[], s:s, s:s, s:s}", "local_id", "", "status", "UNKNOWN", "models", "hardware", "host", "",
                                 "port", "", "version", "");
  struct field field;
  for (;;) {
    const enum reading reading = next_field(&bytes, &field);
    if (reading == READ_END && json_string_length(json_object_get(node, "local_id")) > 0) return node;
    if (reading != READ_FIELD || !read_node_field(&field, node)) break;
  }
  json_decref(node);
  return NULL;
}

/* {"creator", "new_or_modified", "removed"} of a MsgSubmitHardwareDiff; NULL: it is none. */
static json_t *read_change(struct slice bytes) {
  json_t *const change = json_pack("{s:s, s:[], s:[]}", "creator", "", "new_or_modified", "removed");
  struct field field;
  bool is_good = true;
  for (enum reading reading; is_good && (reading = next_field(&bytes, &field)) != READ_END;) {
    is_good = reading == READ_FIELD && field.is_bytes && field.number >= 1 && field.number <= 3;
    if (!is_good) break;
    json_t *const value = field.number == 1 ? text_of(field.bytes) : read_node(field.bytes);
    is_good = value != NULL;
    if (is_good && field.number == 1) json_object_set_new(change, "creator", value);
    else if (is_good) json_array_append_new(json_object_get(change, field.number == 2 ? "new_or_modified" : "removed"), value);
  }
  is_good = is_good && json_array_size(json_object_get(change, "new_or_modified")) <= ENTRIES_MAX &&
            json_array_size(json_object_get(change, "removed")) <= ENTRIES_MAX;
  if (is_good) return change;
  json_decref(change);
  return NULL;
}

/* ---- the transaction ---- */

struct tx {
  struct slice body, auth_info;
  unsigned char public_key[COX_KEY_PUBLIC], signature[COX_KEY_SIGNATURE];
  uint64_t sequence, gas;
  json_t *change;
};

static bool read_any(struct slice bytes, const char *type_url, struct slice *value) {
  struct field any[3];
  if (!read_once(bytes, any, 2) || !is_text(any[1].bytes, type_url)) return false;
  *value = any[2].bytes;
  return true;
}

static bool read_signer(struct slice bytes, struct tx *tx) {
  struct field info[4], key[2], mode[2], single[2];
  struct slice inner;
  if (!read_once(bytes, info, 3) || !read_any(info[1].bytes, "/cosmos.crypto.secp256k1.PubKey", &inner)) return false;
  if (!read_once(inner, key, 1) || key[1].bytes.count != COX_KEY_PUBLIC) return false;
  memcpy(tx->public_key, key[1].bytes.at, COX_KEY_PUBLIC);
  tx->sequence = info[3].integer;
  return read_once(info[2].bytes, mode, 1) && read_once(mode[1].bytes, single, 1) && single[1].integer == 1; /* SIGN_MODE_DIRECT */
}

/* One signer, one message, one signature. */
static bool read_tx(struct slice raw, struct tx *tx) {
  struct field fields[4], body[2], auth[3], fee[3];
  struct slice message;
  if (!read_once(raw, fields, 3) || fields[3].bytes.count != COX_KEY_SIGNATURE) return false;
  tx->body = fields[1].bytes;
  tx->auth_info = fields[2].bytes;
  memcpy(tx->signature, fields[3].bytes.at, COX_KEY_SIGNATURE);
  if (!read_once(tx->body, body, 1) || !read_once(tx->auth_info, auth, 2) || !read_signer(auth[1].bytes, tx)) return false;
  if (!read_once(auth[2].bytes, fee, 2)) return false;
  tx->gas = fee[2].integer;
  if (!read_any(body[1].bytes, "/inference.inference.MsgSubmitHardwareDiff", &message)) return false;
  tx->change = read_change(message);
  return tx->change != NULL;
}

static void add_varint(struct cox_buf *out, uint64_t value) {
  unsigned char byte;
  do {
    byte = (unsigned char)(value & 0x7f);
    value >>= 7;
    if (value != 0) byte |= 0x80;
    cox_buf_add(out, &byte, 1);
  } while (value != 0);
}

static void add_bytes(struct cox_buf *out, unsigned char key, const void *bytes, size_t count) {
  cox_buf_add(out, &key, 1);
  add_varint(out, count);
  cox_buf_add(out, bytes, count);
}

static bool is_signed(const struct tx *tx) {
  struct cox_buf document = {0};
  add_bytes(&document, 0x0a, tx->body.at, tx->body.count);
  add_bytes(&document, 0x12, tx->auth_info.at, tx->auth_info.count);
  add_bytes(&document, 0x1a, COX_CHAIN_ID, strlen(COX_CHAIN_ID));
  cox_buf_add(&document, "\x20", 1);
  add_varint(&document, COX_CHAIN_ACCOUNT_NUMBER);
  const bool is_good = cox_key_verify(tx->public_key, document.data, document.len, tx->signature);
  cox_buf_fini(&document);
  return is_good;
}

static json_t *verdict(int code, const char *log) {
  return json_pack("{s:i, s:s, s:s}", "code", code, "raw_log", log, "codespace", code == 0 ? "" : "sdk");
}

/* In the order of a real chain: the message, the sequence (so that a client learns the right one), the signature. */
static json_t *judge(struct cox_chain_txs *txs, const struct tx *tx) {
  char prefix[COX_BECH32_TEXT], address[COX_BECH32_TEXT], text[200];
  unsigned char bytes[COX_BECH32_BYTES];
  size_t count;
  const char *const creator = json_string_value(json_object_get(tx->change, "creator"));
  if (!cox_bech32_decode(creator, prefix, bytes, &count)) return verdict(INVALID_ADDRESS, "invalid creator address: decoding bech32 failed: invalid address");
  if (!cox_key_address(tx->public_key, prefix, address) || strcmp(address, creator) != 0 || strcmp(creator, txs->participant) != 0)
    return verdict(UNAUTHORIZED, "pubKey does not match signer address: unauthorized");
  if (tx->gas < COX_CHAIN_GAS_LEAST) return verdict(OUT_OF_GAS, "out of gas");
  if (tx->sequence != txs->sequence) {
    snprintf(text, sizeof text, "account sequence mismatch, expected %" PRIu64 ", got %" PRIu64 ": incorrect account sequence", txs->sequence, tx->sequence);
    return verdict(WRONG_SEQUENCE, text);
  }
  if (!is_signed(tx)) {
    snprintf(text, sizeof text, "signature verification failed; please verify account number (%d), sequence (%" PRIu64 ") and chain-id (%s): unauthorized",
             COX_CHAIN_ACCOUNT_NUMBER, txs->sequence, COX_CHAIN_ID);
    return verdict(UNAUTHORIZED, text);
  }
  return verdict(0, "[]");
}

/* ---- base64 ---- */

static int value_of(char c) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *const place = c != '\0' ? strchr(alphabet, c) : NULL;
  return place != NULL ? (int)(place - alphabet) : -1;
}

/* With padding; false: it is none. */
static bool decode_base64(const char *text, unsigned char *out, size_t *count) {
  const size_t length = strlen(text);
  *count = 0;
  if (length == 0 || length % 4 != 0) return false;
  const size_t padding = text[length - 1] != '=' ? 0 : text[length - 2] == '=' ? 2 : 1;
  unsigned held = 0;
  for (size_t i = 0; i < length; i++) {
    const int value = i >= length - padding ? 0 : value_of(text[i]);
    if (value < 0) return false;
    held = held << 6 | (unsigned)value;
    if (i % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8) out[(*count)++] = (unsigned char)(held >> shift);
    held = 0;
  }
  *count -= padding;
  return true;
}

/* ---- the public face ---- */

int cox_chain_txs_init(struct cox_chain_txs *txs, const char *participant) {
  *txs = (struct cox_chain_txs){.participant = strdup(participant), .known = json_object()};
  return txs->participant != NULL && txs->known != NULL ? 0 : COX_ENOMEM;
}

void cox_chain_txs_fini(struct cox_chain_txs *txs) {
  free(txs->participant);
  json_decref(txs->known);
}

json_t *cox_chain_txs_account(const struct cox_chain_txs *txs, const char *address) {
  if (strcmp(address, txs->participant) != 0) return NULL;
  return json_pack("{s:{s:s, s:s, s:n, s:o, s:o}}", "account", "@type", "/cosmos.auth.v1beta1.BaseAccount", "address", address, "pub_key",
                   "account_number", json_sprintf("%d", COX_CHAIN_ACCOUNT_NUMBER), "sequence", json_sprintf("%" PRIu64, txs->sequence));
}

static json_t *response(const char *hash, const json_t *known) {
  json_t *const height = json_object_get(known, "height");
  return json_pack("{s:{s:o, s:s, s:O, s:O, s:O, s:[], s:s, s:s}}", "tx_response", "height",
                   json_sprintf("%" JSON_INTEGER_FORMAT, height != NULL ? json_integer_value(height) : 0), "txhash", hash, "codespace",
                   json_object_get(known, "codespace"), "code", json_object_get(known, "code"), "raw_log", json_object_get(known, "raw_log"),
                   "logs", "gas_wanted", "0", "gas_used", "0");
}

json_t *cox_chain_txs_broadcast(struct cox_chain_txs *txs, const json_t *body) {
  const char *const text = json_string_value(json_object_get(body, "tx_bytes"));
  const char *const mode = json_string_value(json_object_get(body, "mode"));
  if (text == NULL || mode == NULL || strcmp(mode, "BROADCAST_MODE_SYNC") != 0 || strlen(text) > BYTES_MAX) return NULL;
  unsigned char *const raw = malloc(strlen(text) + 3), digest[COX_KEY_DIGEST];
  size_t count;
  if (raw == NULL || !decode_base64(text, raw, &count)) {
    free(raw);
    return NULL;
  }
  char hash[COX_KEY_DIGEST * 2 + 1];
  cox_key_sha256(raw, count, digest);
  for (size_t i = 0; i < COX_KEY_DIGEST; i++) snprintf(hash + 2 * i, 3, "%02X", digest[i]);
  struct tx tx = {0};
  json_t *const known = read_tx((struct slice){raw, count}, &tx) ? judge(txs, &tx) : verdict(TX_DECODE, "tx parse error");
  if (json_integer_value(json_object_get(known, "code")) == 0) {
    txs->sequence++;
    json_object_set(known, "change", tx.change);
    json_object_set(txs->known, hash, known);
  }
  json_t *const answer = response(hash, known);
  json_decref(known);
  json_decref(tx.change);
  free(raw);
  return answer;
}

json_t *cox_chain_txs_find(const struct cox_chain_txs *txs, const char *hash) {
  const json_t *const known = json_object_get(txs->known, hash);
  return json_object_get(known, "height") != NULL ? response(hash, known) : NULL;
}

void cox_chain_txs_include(struct cox_chain_txs *txs, struct cox_chain_fleet *fleet, int64_t height) {
  const char *hash;
  json_t *known;
  json_object_foreach(txs->known, hash, known) {
    json_t *const change = json_object_get(known, "change");
    if (change == NULL) continue;
    cox_chain_fleet_change_hardware(fleet, json_object_get(change, "new_or_modified"), json_object_get(change, "removed"));
    json_object_set_new(known, "height", json_integer(height));
    json_object_del(known, "change");
  }
}
