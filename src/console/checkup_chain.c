/* The chain's endpoints as the feed would use them, and what they say about this machine's clock. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/checkup.h"
#include "console/moment.h"

enum { OLD_S = 60, AHEAD_S = 2, BEHIND_BLOCKS = 5 };

#define PREFIX "/productscience/inference/inference"

struct endpoint {
  struct cox_checkup *checkup;
  const char *url;
  int64_t best; /* height */
};

/* 64-bit integers are texts in these answers. */
static int64_t number_of(const json_t *object, const char *key) {
  const json_t *const value = json_object_get(object, key);
  return json_is_integer(value) ? json_integer_value(value) : json_is_string(value) ? strtoll(json_string_value(value), NULL, 10) : 0;
}

static void say_unanswered(const struct endpoint *endpoint, const char *what, const struct cox_asked *asked, const char *advice) {
  if (asked->status == 0) {
    cox_checkup_add(endpoint->checkup, "chain", endpoint->url, COX_HEALTH_BAD, "the %s %s: %s", what, asked->err.text, advice);
  } else {
    cox_checkup_add(endpoint->checkup, "chain", endpoint->url, COX_HEALTH_BAD, "answers %d as no %s does: %s", asked->status, what, advice);
  }
}

/* Chains give nanoseconds: of those only the seconds count here. 0: no such time. */
static int64_t block_time_ms(const json_t *sync) {
  char text[32];
  const char *const time = json_string_value(json_object_get(sync, "latest_block_time"));
  if (time == NULL || strlen(time) < 19) return 0;
  snprintf(text, sizeof text, "%.19s.000Z", time);
  return cox_moment_parse(text);
}

static void say_time(const struct endpoint *endpoint, int64_t height, int64_t age_ms) {
  const double age_s = (double)age_ms / 1000;
  if (age_ms < -AHEAD_S * 1000) {
    cox_checkup_add(endpoint->checkup, "clock", NULL, COX_HEALTH_BAD, "is %.0f s behind the chain's newest block: set it (chrony, systemd-timesyncd)", -age_s);
  } else if (age_ms > OLD_S * 1000) {
    cox_checkup_add(endpoint->checkup, "chain", endpoint->url, COX_HEALTH_BAD, "its newest block, %" PRId64 ", is %.0f s old: the chain stands, the node "
                    "has lost its peers, or this machine's clock is ahead", height, age_s);
  }
}

static void check_rpc(struct endpoint *endpoint) {
  struct cox_asked asked;
  cox_ask(endpoint->checkup->env, endpoint->url, "/status", &asked);
  const json_t *const sync = json_object_get(json_object_get(asked.answer, "result"), "sync_info");
  const int64_t height = number_of(sync, "latest_block_height");
  if (asked.status != 200 || height <= 0) {
    say_unanswered(endpoint, "RPC endpoint", &asked, "is the chain's node running, and is feed.rpc its RPC port (26657)?");
  } else if (json_is_true(json_object_get(sync, "catching_up"))) {
    cox_checkup_add(endpoint->checkup, "chain", endpoint->url, COX_HEALTH_BAD, "the chain's node is catching up, at block %" PRId64 ": no phase command is "
                    "given until it has", height);
  } else {
    const int64_t time_ms = block_time_ms(sync), age_ms = cox_clock_wall_ms(cox_clock_system()) - time_ms;
    json_t *const finding = cox_checkup_add(endpoint->checkup, "chain", endpoint->url, COX_HEALTH_GOOD, "RPC, in sync, block %" PRId64 ", %d ms", height, asked.latency_ms);
    json_object_set_new(finding, "height", json_integer(height));
    json_object_set_new(finding, "latency_ms", json_integer(asked.latency_ms));
    if (time_ms > 0) say_time(endpoint, height, age_ms);
  }
  if (endpoint->best > height + BEHIND_BLOCKS && height > 0) {
    cox_checkup_add(endpoint->checkup, "chain", endpoint->url, COX_HEALTH_DOUBT, "is %" PRId64 " blocks behind the best endpoint", endpoint->best - height);
  }
  if (height > endpoint->best) endpoint->best = height;
  cox_asked_fini(&asked);
}

static void check_rest(struct endpoint *endpoint) {
  struct cox_asked asked;
  cox_ask(endpoint->checkup->env, endpoint->url, PREFIX "/epoch_info", &asked);
  const json_t *const epoch = json_object_get(asked.answer, "latest_epoch"), *const params = json_object_get(json_object_get(asked.answer, "params"), "epoch_params");
  if (asked.status != 200 || !json_is_object(epoch) || !json_is_object(params)) {
    say_unanswered(endpoint, "REST gateway", &asked, "is feed.rest the chain's REST port (1317), and is the API enabled in app.toml?");
  } else {
    const int64_t start = number_of(epoch, "poc_start_block_height"), next = start + number_of(params, "epoch_length");
    json_t *const finding = cox_checkup_add(endpoint->checkup, "chain", endpoint->url, COX_HEALTH_GOOD, "REST, epoch %" PRId64 " began at block %" PRId64
                                            ", the next PoC at %" PRId64 ", %d ms", number_of(epoch, "index"), start, next, asked.latency_ms);
    json_object_set_new(finding, "latency_ms", json_integer(asked.latency_ms));
  }
  cox_asked_fini(&asked);
}

/* A URL or a list of them. */
static void each_url(struct endpoint *endpoint, const json_t *urls, void (*check)(struct endpoint *endpoint)) {
  const size_t count = json_is_array(urls) ? json_array_size(urls) : 1;
  for (size_t i = 0; i < count; i++) {
    char url[512];
    const char *const text = json_string_value(json_is_array(urls) ? json_array_get(urls, i) : urls);
    size_t len = text != NULL ? strlen(text) : 0;
    while (len > 0 && text[len - 1] == '/') len--;
    snprintf(url, sizeof url, "%.*s", (int)len, text != NULL ? text : "");
    endpoint->url = url;
    if (len > 0) check(endpoint);
  }
}

int64_t cox_checkup_chain(struct cox_checkup *checkup, const json_t *config) {
  const json_t *const feed = json_object_get(config, "feed");
  const char *const kind = json_string_value(json_object_get(feed, "kind"));
  struct endpoint endpoint = {.checkup = checkup};
  if (kind == NULL || strcmp(kind, "cometbft") != 0) {
    cox_checkup_add(checkup, "chain", NULL, kind != NULL && strcmp(kind, "clock") == 0 ? COX_HEALTH_GOOD : COX_HEALTH_DOUBT, "%s",
                    kind != NULL && strcmp(kind, "clock") == 0 ? "none: blocks are made up (feed.kind = \"clock\")"
                                                               : "none is followed: blocks come only by the command new_block (feed.kind = \"none\")");
    return 0;
  }
  each_url(&endpoint, json_object_get(feed, "rpc"), check_rpc);
  each_url(&endpoint, json_object_get(feed, "rest"), check_rest);
  const char *const address = json_string_value(json_object_get(json_object_get(config, "participant"), "address"));
  const char *const pubkey = json_string_value(json_object_get(json_object_get(config, "participant"), "pubkey"));
  if (address == NULL || pubkey == NULL) {
    cox_checkup_add(checkup, "participant", NULL, COX_HEALTH_BAD, "participant.%s is not set: nodes make no valid proofs without it",
                    address == NULL ? "address" : "pubkey");
  }
  return endpoint.best;
}
