/* One table says everything about every key, so that check, defaults, -D and the environment cannot disagree. */
#include "script/config_schema.h"

#include "script/config_tokens.h"
#include "script/sources.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 256, MESSAGE_BYTES = 512, KEYS_TEXT = 320 };

#define DAY_S 86400.0
#define BLOCKS_MAX 1e12
#define GROUP(name) {.path = name, .type = COX_CONFIG_GROUP, .fallback = "{}"}
#define EPOCH(name, value)                                                                                             \
  {.path = "feed.epoch." name, .type = COX_CONFIG_INTEGER, .most = BLOCKS_MAX, .accepted = "blocks from 0",            \
   .fallback = value, .only_kind = "clock"}
#define FEED_SECONDS(name, value)                                                                                      \
  {.path = "feed." name, .type = COX_CONFIG_NUMBER, .least = 0.001, .most = DAY_S,                                     \
   .accepted = "seconds from 0.001 to 86400", .fallback = value, .only_kind = "cometbft"}
#define SECONDS(name, value)                                                                                           \
  {.path = name, .type = COX_CONFIG_NUMBER, .least = 0.001, .most = DAY_S, .accepted = "seconds from 0.001 to 86400",  \
   .fallback = value}

static const struct cox_config_key keys[] = {
    GROUP("participant"),
    {.path = "participant.address", .type = COX_CONFIG_TEXT, .accepted = "the participant's address, \"gonka1…\""},
    {.path = "participant.pubkey", .type = COX_CONFIG_TEXT, .accepted = "the participant's public key in base64"},
    {.path = "participant.key_file", .type = COX_CONFIG_TEXT, .accepted = "the path of a file with the private key in hex, mode 0600", .is_path = true},
    {.path = "participant.signer", .type = COX_CONFIG_TEXT, .accepted = "the path of a program that signs", .is_path = true},
    {.path = "callback_url", .type = COX_CONFIG_TEXT, .accepted = "a URL that begins with http:// or https://"},
    {.path = "nodes", .type = COX_CONFIG_NODES, .accepted = "the path of a nodes file, or a list of node objects", .fallback = "[]"},
    {.path = "prune", .type = COX_CONFIG_BOOL, .accepted = "true or false", .fallback = "false"},
    {.path = "scripts", .type = COX_CONFIG_FOLDERS, .accepted = "the path of a folder, or a list of 1 to 16 of them; default is the shipped one"},
    {.path = "store", .type = COX_CONFIG_TEXT, .accepted = "the path of a file, or \":memory:\"", .fallback = "\"coxswain.db\"", .is_path = true},
    GROUP("reload"),
    {.path = "reload.watch", .type = COX_CONFIG_BOOL, .accepted = "true or false", .fallback = "true"},
    {.path = "reload.failures", .type = COX_CONFIG_INTEGER, .least = 1, .most = 1000, .accepted = "an integer from 1 to 1000", .fallback = "3"},
    GROUP("feed"),
    {.path = "feed.kind", .type = COX_CONFIG_TEXT, .choices = "cometbft|clock|none", .fallback = "\"none\""},
    {.path = "feed.rpc", .type = COX_CONFIG_URLS, .accepted = "a URL that begins with http:// or https://, or a list of 1 to 16 of them",
     .fallback = "\"http://127.0.0.1:26657\"", .only_kind = "cometbft"},
    {.path = "feed.rest", .type = COX_CONFIG_URLS, .accepted = "a URL that begins with http:// or https://, or a list of 1 to 16 of them",
     .fallback = "\"http://127.0.0.1:1317\"", .only_kind = "cometbft"},
    FEED_SECONDS("poll_s", "1"),
    FEED_SECONDS("timeout_s", "5"),
    FEED_SECONDS("silence_s", "10"),
    {.path = "feed.silence_blocks", .type = COX_CONFIG_NUMBER, .least = 1, .most = 1000, .accepted = "mean block times from 1 to 1000",
     .fallback = "3", .only_kind = "cometbft"},
    {.path = "feed.block_ms", .type = COX_CONFIG_NUMBER, .least = 1, .most = DAY_S * 1000, .accepted = "milliseconds from 1 to 86400000",
     .fallback = "1000", .only_kind = "clock"},
    {.path = "feed.epoch", .type = COX_CONFIG_GROUP, .fallback = "{}", .only_kind = "clock"},
    EPOCH("epoch_length", "100"),
    EPOCH("epoch_shift", "0"),
    EPOCH("poc_stage_duration", "20"),
    EPOCH("poc_exchange_duration", "1"),
    EPOCH("poc_validation_delay", "2"),
    EPOCH("poc_validation_duration", "10"),
    EPOCH("set_new_validators_delay", "1"),
    EPOCH("inference_validation_cutoff", "0"),
    GROUP("chain"),
    {.path = "chain.id", .type = COX_CONFIG_TEXT, .accepted = "the chain's id; asked of the RPC endpoint when absent"},
    {.path = "chain.gas", .type = COX_CONFIG_INTEGER, .least = 1, .most = 1e12, .accepted = "an integer from 1 to 10^12", .fallback = "1000000"},
    {.path = "chain.fee", .type = COX_CONFIG_TEXT, .accepted = "an amount with its denomination, \"1000ngonka\"", .fallback = "\"0ngonka\""},
    SECONDS("chain.sync_s", "60"),
    GROUP("admin"),
    {.path = "admin.listen", .type = COX_CONFIG_TEXT, .accepted = "an address and a port, \"127.0.0.1:9200\"", .fallback = "\"127.0.0.1:9200\""},
    {.path = "admin.socket", .type = COX_CONFIG_TEXT, .accepted = "the path of a unix socket", .fallback = "\"coxswain.sock\"", .is_path = true},
    {.path = "admin.token", .type = COX_CONFIG_TEXT, .accepted = "a secret text"},
    {.path = "admin.tokens", .type = COX_CONFIG_TOKENS, .accepted = "a list of { token or token_file, scope, name }"},
    {.path = "admin.insecure", .type = COX_CONFIG_BOOL, .accepted = "true or false", .fallback = "false"},
    {.path = "admin.tls", .type = COX_CONFIG_GROUP},
    {.path = "admin.tls.cert", .type = COX_CONFIG_TEXT, .accepted = "the path of a certificate", .is_path = true},
    {.path = "admin.tls.key", .type = COX_CONFIG_TEXT, .accepted = "the path of a private key", .is_path = true},
    {.path = "admin.tls.ca", .type = COX_CONFIG_TEXT, .accepted = "the path of the certificates that clients trust", .is_path = true},
    {.path = "workers", .type = COX_CONFIG_INTEGER, .least = 1, .most = 64, .accepted = "an integer from 1 to 64", .fallback = "2"},
    GROUP("reconcile"),
    SECONDS("reconcile.interval_s", "30"),
    SECONDS("reconcile.resync_s", "300"),
    {.path = "reconcile.backoff_s", .type = COX_CONFIG_BACKOFF, .least = 0.001, .most = DAY_S,
     .accepted = "two numbers of seconds { first, largest }, from 0.001 to 86400, the second not below the first", .fallback = "[1, 60]"},
    GROUP("probe"),
    SECONDS("probe.interval_s", "15"),
    SECONDS("probe.timeout_s", "5"),
    {.path = "probe.fall", .type = COX_CONFIG_INTEGER, .least = 1, .most = 1000, .accepted = "an integer from 1 to 1000", .fallback = "3"},
    {.path = "probe.rise", .type = COX_CONFIG_INTEGER, .least = 1, .most = 1000, .accepted = "an integer from 1 to 1000", .fallback = "1"},
    GROUP("leases"),
    {.path = "leases.max", .type = COX_CONFIG_INTEGER, .least = 1, .most = 1e8, .accepted = "an integer from 1 to 100000000", .fallback = "1000000"},
    {.path = "leases.waiters_max", .type = COX_CONFIG_INTEGER, .least = 1, .most = 1e6, .accepted = "an integer from 1 to 1000000",
     .fallback = "16384"},
    {.path = "leases.slow_start_s", .type = COX_CONFIG_NUMBER, .least = 0, .most = DAY_S, .accepted = "seconds from 0 (none) to 86400",
     .fallback = "10"},
    {.path = "leases.eject_after", .type = COX_CONFIG_INTEGER, .least = 1, .most = 1000, .accepted = "an integer from 1 to 1000", .fallback = "5"},
    {.path = "leases.eject_s", .type = COX_CONFIG_BACKOFF, .least = 0.001, .most = DAY_S,
     .accepted = "two numbers of seconds { first, largest }, from 0.001 to 86400, the second not below the first", .fallback = "[10, 300]"},
    {.path = "leases.eject_share", .type = COX_CONFIG_NUMBER, .least = 0, .most = 1, .accepted = "a share from 0 (none) to 1", .fallback = "0.5"},
    GROUP("log"),
    {.path = "log.level", .type = COX_CONFIG_TEXT, .choices = "debug|info|warn|error", .fallback = "\"info\""},
    {.path = "log.format", .type = COX_CONFIG_TEXT, .choices = "logfmt|json", .fallback = "\"logfmt\""},
};
enum { KEY_COUNT = sizeof keys / sizeof *keys };

const struct cox_config_key *cox_config_key_find(const char *path) {
  for (size_t i = 0; i < KEY_COUNT; i++) {
    if (strcmp(keys[i].path, path) == 0) return &keys[i];
  }
  return NULL;
}

/* Copies the next part of a path; NULL: it is too long. */
static const char *next_part(const char *path, char part[PATH_BYTES]) {
  const size_t len = strcspn(path, ".");
  if (len >= PATH_BYTES) return NULL;
  memcpy(part, path, len);
  part[len] = '\0';
  return path[len] == '.' ? path + len + 1 : path + len;
}

json_t *cox_config_get(const json_t *config, const char *path) {
  const json_t *value = config;
  char part[PATH_BYTES];
  while (value != NULL && *path != '\0') {
    path = next_part(path, part);
    if (path == NULL) return NULL;
    value = json_object_get(value, part);
  }
  return (json_t *)(uintptr_t)value;
}

bool cox_config_set(json_t *config, const char *path, json_t *value) {
  char part[PATH_BYTES];
  for (;;) {
    const char *const rest = next_part(path, part);
    if (rest == NULL || !json_is_object(config)) {
      json_decref(value);
      return false;
    }
    if (*rest == '\0') return json_object_set_new(config, part, value) == 0;
    if (json_object_get(config, part) == NULL) json_object_set_new(config, part, json_object());
    config = json_object_get(config, part);
    path = rest;
  }
}

struct check {
  cox_config_fault_fn *fault;
  void *arg;
};

/* Names of the keys right below a group ("" for the top), for the message about an unknown one. */
static void list_keys(const char *group, char out[KEYS_TEXT]) {
  const size_t len = strlen(group);
  size_t used = 0;
  out[0] = '\0';
  for (size_t i = 0; i < KEY_COUNT; i++) {
    const char *name = keys[i].path;
    if (len > 0 && (strncmp(name, group, len) != 0 || name[len] != '.')) continue;
    name += len > 0 ? len + 1 : 0;
    if (strchr(name, '.') != NULL) continue;
    const int count = snprintf(out + used, KEYS_TEXT - used, "%s%s", used > 0 ? ", " : "", name);
    if (count < 0 || used + (size_t)count >= KEYS_TEXT) return;
    used += (size_t)count;
  }
}

static void wrong(const struct check *check, const struct cox_config_key *key, const char *path, const json_t *value) {
  char message[MESSAGE_BYTES], accepted[160];
  size_t used = 0;
  for (const char *p = key->choices; p != NULL && *p != '\0' && used < sizeof accepted - 6; p++) {
    if (*p == '|') used += (size_t)snprintf(accepted + used, sizeof accepted - used, "\", \"");
    else accepted[used++] = *p;
  }
  accepted[used] = '\0';
  char *const shown = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
  if (key->choices != NULL) {
    snprintf(message, sizeof message, "must be one of \"%s\", not %.60s", accepted, shown != NULL ? shown : "this");
  } else {
    snprintf(message, sizeof message, "must be %s, not %.60s", key->type == COX_CONFIG_GROUP ? "a table" : key->accepted,
             shown != NULL && strncmp(path, "admin.token", 11) != 0 ? shown : "this");
  }
  free(shown);
  check->fault(check->arg, path, message);
}

static bool is_choice(const char *choices, const char *text) {
  const size_t len = strlen(text);
  for (const char *p = choices; p != NULL; p = strchr(p, '|') != NULL ? strchr(p, '|') + 1 : NULL) {
    if (len > 0 && strncmp(p, text, len) == 0 && (p[len] == '|' || p[len] == '\0')) return true;
  }
  return false;
}

static bool is_url(const char *text) {
  const char *const host = strncmp(text, "http://", 7) == 0 ? text + 7 : strncmp(text, "https://", 8) == 0 ? text + 8 : "";
  return *host != '\0' && *host != '/' && strpbrk(host, " \t\r\n") == NULL;
}

enum { URLS_MAX = 16 };

static bool is_urls(const json_t *value) {
  if (json_is_string(value)) return is_url(json_string_value(value));
  const size_t count = json_array_size(value);
  for (size_t i = 0; i < count; i++) {
    const char *const text = json_string_value(json_array_get(value, i));
    if (text == NULL || !is_url(text)) return false;
  }
  return count >= 1 && count <= URLS_MAX;
}

static bool is_folders(const json_t *value) {
  if (json_is_string(value)) return json_string_length(value) > 0;
  const size_t count = json_array_size(value);
  for (size_t i = 0; i < count; i++) {
    if (json_string_length(json_array_get(value, i)) == 0) return false;
  }
  return count >= 1 && count <= COX_SOURCES_FOLDERS_MAX;
}

/* Digits, then the name of the coin: a letter, then 2 to 127 letters, digits or one of /:._- */
static bool is_fee(const char *text) {
  const size_t digits = strspn(text, "0123456789");
  const char *const name = text + digits;
  const size_t length = strlen(name);
  const bool is_letter = (name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z');
  return digits >= 1 && digits <= 30 && is_letter && length >= 3 && length <= 128 &&
         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/:._-") == length;
}

static bool is_listen(const char *text) {
  const char *const colon = strrchr(text, ':');
  if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9') return false;
  char *end;
  const long port = strtol(colon + 1, &end, 10);
  return *end == '\0' && port >= 0 && port <= 65535;
}

static bool is_good_text(const struct cox_config_key *key, const json_t *value) {
  const char *const text = json_string_value(value);
  if (text == NULL || *text == '\0') return false;
  if (key->choices != NULL) return is_choice(key->choices, text);
  if (strcmp(key->path, "admin.listen") == 0) return is_listen(text);
  if (strcmp(key->path, "chain.fee") == 0) return is_fee(text);
  if (strstr(key->accepted, "a URL") != NULL) return is_url(text);
  return true;
}

static bool is_in_range(const struct cox_config_key *key, const json_t *value) {
  return json_is_number(value) && json_number_value(value) >= key->least && json_number_value(value) <= key->most;
}

static bool is_backoff(const struct cox_config_key *key, const json_t *value) {
  const json_t *const first = json_array_get(value, 0), *const largest = json_array_get(value, 1);
  return json_array_size(value) == 2 && is_in_range(key, first) && is_in_range(key, largest) &&
         json_number_value(first) <= json_number_value(largest);
}

static bool is_good(const struct cox_config_key *key, const json_t *value) {
  switch (key->type) {
    case COX_CONFIG_GROUP: return json_is_object(value);
    case COX_CONFIG_TEXT: return is_good_text(key, value);
    case COX_CONFIG_BOOL: return json_is_boolean(value);
    case COX_CONFIG_INTEGER: return json_is_integer(value) && is_in_range(key, value);
    case COX_CONFIG_NUMBER: return is_in_range(key, value);
    case COX_CONFIG_BACKOFF: return is_backoff(key, value);
    case COX_CONFIG_URLS: return is_urls(value);
    case COX_CONFIG_FOLDERS: return is_folders(value);
    case COX_CONFIG_TOKENS: return json_is_array(value);
    case COX_CONFIG_NODES: return json_is_array(value) || (json_is_string(value) && json_string_length(value) > 0);
  }
  return false;
}

static void check_group(json_t *group, const char *prefix, const struct check *check) {
  const char *name;
  json_t *value;
  json_object_foreach(group, name, value) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s%s%s", prefix, *prefix != '\0' ? "." : "", name);
    /* A name with a dot in it would find a key of a deeper table. */
    const struct cox_config_key *const key = strchr(name, '.') == NULL ? cox_config_key_find(path) : NULL;
    if (key == NULL) {
      char known[KEYS_TEXT], message[MESSAGE_BYTES];
      list_keys(prefix, known);
      snprintf(message, sizeof message, "unknown key; accepted here: %s", known);
      check->fault(check->arg, path, message);
    } else if (!is_good(key, value)) {
      wrong(check, key, path, value);
    } else if (key->type == COX_CONFIG_GROUP) {
      check_group(value, path, check);
    }
  }
}

static json_int_t epoch_value(const json_t *config, const char *name) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "feed.epoch.%s", name);
  const json_t *const value = cox_config_get(config, path);
  return json_is_integer(value) ? json_integer_value(value) : atoll(cox_config_key_find(path)->fallback);
}

/* An epoch must be longer than its own PoC, or the next one starts inside of it. */
static void check_epoch(const json_t *config, const struct check *check) {
  if (!json_is_object(cox_config_get(config, "feed.epoch"))) return;
  const json_int_t stages = epoch_value(config, "poc_stage_duration") + epoch_value(config, "poc_validation_delay") +
                            epoch_value(config, "poc_validation_duration") + epoch_value(config, "set_new_validators_delay");
  const json_int_t length = epoch_value(config, "epoch_length");
  if (length > stages + 1) return;
  char message[MESSAGE_BYTES];
  snprintf(message, sizeof message,
           "must be more than poc_stage_duration + poc_validation_delay + poc_validation_duration + set_new_validators_delay + 1 = "
           "%lld blocks, not %lld",
           (long long)(stages + 1), (long long)length);
  check->fault(check->arg, "feed.epoch.epoch_length", message);
}

/* A client's configuration may hold the certificates it trusts alone. */
static void check_tls(const json_t *config, const struct check *check) {
  const bool has_cert = cox_config_get(config, "admin.tls.cert") != NULL, has_key = cox_config_get(config, "admin.tls.key") != NULL;
  if (has_cert && !has_key) check->fault(check->arg, "admin.tls", "key is missing: the file with the key of cert");
  if (has_key && !has_cert) check->fault(check->arg, "admin.tls", "cert is missing: the file with the certificate of key");
}

/* Lua's {} may be a list. */
static void make_list(json_t *table, const char *key) {
  const json_t *const value = json_object_get(table, key);
  if (json_is_object(value) && json_object_size(value) == 0) json_object_set_new(table, key, json_array());
}

void cox_config_check(json_t *config, cox_config_fault_fn *fault, void *arg) {
  const struct check check = {.fault = fault, .arg = arg};
  make_list(config, "nodes");
  make_list(json_object_get(config, "admin"), "tokens");
  check_group(config, "", &check);
  check_epoch(config, &check);
  cox_config_tokens_check(cox_config_get(config, "admin.tokens"), fault, arg);
  check_tls(config, &check);
}

void cox_config_fill(json_t *config) {
  for (size_t i = 0; i < KEY_COUNT; i++) {
    if (keys[i].fallback == NULL || cox_config_get(config, keys[i].path) != NULL) continue;
    const char *const kind = json_string_value(cox_config_get(config, "feed.kind"));
    if (keys[i].only_kind != NULL && (kind == NULL || strcmp(kind, keys[i].only_kind) != 0)) continue;
    cox_config_set(config, keys[i].path, json_loads(keys[i].fallback, JSON_DECODE_ANY, NULL));
  }
}

void cox_config_each_path(json_t *config, void (*each)(void *arg, const char *path, const char *value), void *arg) {
  for (size_t i = 0; i < KEY_COUNT; i++) {
    if (!keys[i].is_path) continue;
    const char *const value = json_string_value(cox_config_get(config, keys[i].path));
    if (value != NULL && strcmp(value, ":memory:") != 0) each(arg, keys[i].path, value);
  }
}
