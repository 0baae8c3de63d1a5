#include "sim/chain_sim.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/chain_http.h"
#include "sim/chain_wire.h"

enum {
  PING_MS = 27000,   /* CometBFT's */
  BEHIND_MAX = 1000, /* blocks; further behind (a suspended machine) the pace is taken anew instead of caught up with */
  BLOCK_BYTES_MAX = 8 << 20,
  ACTIONS_MAX = 16,  /* faults done once, in one call */
};
static const char default_participant[] = "gonka1jkcs7257mj00rr8s6rr0cs6z5kuyvfj5zc338z";

/* ---- what is shown ---- */

int64_t cox_chain_view_locked(const struct cox_sim_chain *chain) {
  const struct cox_chain_setting catching_up = cox_chain_faults_get(&chain->faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_CATCHING_UP);
  const int64_t first = cox_chain_state_first_height(chain->state);
  const int64_t height = cox_chain_state_height(chain->state) - (catching_up.is_on ? catching_up.value : 0);
  return height < first ? first : height;
}

bool cox_chain_show_locked(const struct cox_sim_chain *chain, int64_t height, struct cox_chain_block *block,
                           char last_hash[COX_CHAIN_HASH_BYTES]) {
  if (height > cox_chain_view_locked(chain) || !cox_chain_state_block(chain->state, height, block)) return false;
  const struct cox_chain_setting old = cox_chain_faults_get(&chain->faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_OLD_TIME);
  if (old.is_on) block->time_ms -= old.value * 1000;
  struct cox_chain_block last;
  const bool has_last = cox_chain_state_block(chain->state, height - 1, &last);
  snprintf(last_hash, COX_CHAIN_HASH_BYTES, "%s", has_last ? last.hash : "");
  return true;
}

/* ---- blocks ---- */

static void announce_locked(struct cox_sim_chain *chain, int64_t height) COX_REQUIRES(chain->mutex) {
  struct cox_chain_block block;
  char last_hash[COX_CHAIN_HASH_BYTES];
  if (!cox_chain_ws_has_any(chain->ws) || !cox_chain_show_locked(chain, height, &block, last_hash)) return;
  json_t *const event = cox_chain_wire_event(&block, last_hash, chain->block_bytes);
  char *const text = json_dumps(event, JSON_COMPACT);
  json_decref(event);
  if (text != NULL) cox_chain_ws_announce(chain->ws, text);
}

/* One block, unless the chain is stalled; its event is posted under the lock, so that events keep the order of the blocks. */
static void make_block_locked(struct cox_sim_chain *chain) COX_REQUIRES(chain->mutex) {
  if (cox_chain_faults_take(&chain->faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_STALL)) return;
  cox_chain_state_advance(chain->state, cox_clock_wall_ms(chain->clock));
  cox_chain_txs_include(&chain->txs, cox_chain_state_fleet(chain->state), cox_chain_state_height(chain->state));
  const int64_t height = cox_chain_view_locked(chain);
  const struct cox_chain_epoch epoch = cox_chain_state_epoch(chain->state, height);
  const bool is_boundary = cox_chain_is_boundary(height, epoch, cox_chain_state_params(chain->state));
  int64_t heights[COX_CHAIN_FEED_MAX];
  const size_t count = cox_chain_feed_next(&chain->feed, &chain->faults, height, is_boundary, heights);
  for (size_t i = 0; i < count; i++) announce_locked(chain, heights[i]);
}

/* The pace is kept from one moment and not from the last block: delays do not add up. */
static void tick(void *arg) {
  struct cox_sim_chain *const chain = arg;
  const int64_t block_us = chain->block_ms * 1000;
  int64_t due_us = cox_clock_mono_us(chain->clock) + block_us;
  cox_mutex_lock(&chain->mutex);
  while (!chain->is_stopping) {
    const int64_t now_us = cox_clock_mono_us(chain->clock);
    if (now_us < due_us) {
      cox_cond_wait_us(&chain->cond, &chain->mutex, due_us - now_us);
      continue;
    }
    make_block_locked(chain);
    cox_mutex_unlock(&chain->mutex); /* behind the pace we would else never let anybody ask */
    sched_yield();
    cox_mutex_lock(&chain->mutex);
    due_us = now_us - due_us > BEHIND_MAX * block_us ? now_us + block_us : due_us + block_us;
  }
  cox_mutex_unlock(&chain->mutex);
}

void cox_chain_wait_ms(struct cox_sim_chain *chain, int64_t wait_ms) {
  const int64_t until_us = cox_clock_mono_us(chain->clock) + wait_ms * 1000;
  cox_mutex_lock(&chain->mutex);
  for (int64_t now_us; !chain->is_stopping && (now_us = cox_clock_mono_us(chain->clock)) < until_us;)
    cox_cond_wait_us(&chain->cond, &chain->mutex, until_us - now_us);
  cox_mutex_unlock(&chain->mutex);
}

/* ---- faults ---- */

struct actions {
  struct {
    enum cox_chain_fault fault;
    int64_t value;
  } list[ACTIONS_MAX];
  size_t count;
};

/* Actions wait until all specs have been found good. */
static void note_action(void *ctx, enum cox_chain_fault fault, int64_t value) {
  struct actions *const actions = ctx;
  if (actions->count == ACTIONS_MAX) return;
  actions->list[actions->count].fault = fault;
  actions->list[actions->count++].value = value;
}

static void act(struct cox_sim_chain *chain, enum cox_chain_fault fault, int64_t value) {
  switch (fault) {
    case COX_CHAIN_HALF_OPEN: cox_chain_ws_mute(chain->ws, false); break;
    case COX_CHAIN_CLOSE_WS: cox_chain_ws_close(chain->ws, (uint16_t)value); break;
    case COX_CHAIN_CUT_WS: cox_chain_ws_close(chain->ws, 0); break;
    default: break;
  }
}

static bool is_on(const struct cox_chain_faults *faults, enum cox_chain_fault fault) {
  return cox_chain_faults_get(faults, COX_CHAIN_ANY_ROUTE, fault).is_on;
}

static void install_faults_locked(struct cox_sim_chain *chain, const struct cox_chain_faults *faults) COX_REQUIRES(chain->mutex) {
  const bool was_silent = is_on(&chain->faults, COX_CHAIN_SILENT), is_silent = is_on(faults, COX_CHAIN_SILENT);
  chain->faults = *faults;
  if (is_silent && !was_silent) cox_chain_ws_mute(chain->ws, true);
  if (was_silent && !is_silent) cox_chain_ws_unmute(chain->ws);
  const struct cox_chain_setting border = cox_chain_faults_get(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_EMPTY_GROUP);
  cox_chain_state_set_border(chain->state, border.is_on ? border.value : 0);
}

int cox_chain_apply_faults(struct cox_sim_chain *chain, const char *const *specs, size_t count, struct cox_err *err) {
  struct actions actions = {.count = 0};
  int rc = 0;
  cox_mutex_lock(&chain->mutex);
  struct cox_chain_faults faults = chain->faults;
  for (size_t i = 0; i < count && rc == 0; i++) {
    rc = cox_chain_faults_set(&faults, specs[i], note_action, &actions, err);
    if (rc == 0 && actions.count == ACTIONS_MAX)
      rc = cox_err_set(err, COX_EINVAL, "at most %d faults that are done once go into one call", ACTIONS_MAX - 1);
  }
  if (rc == 0) install_faults_locked(chain, &faults);
  cox_mutex_unlock(&chain->mutex);
  for (size_t i = 0; i < actions.count && rc == 0; i++) act(chain, actions.list[i].fault, actions.list[i].value);
  return rc;
}

/* ---- the public face ---- */

int cox_sim_chain_fault(struct cox_sim_chain *chain, const char *spec, struct cox_err *err) {
  return cox_chain_apply_faults(chain, &spec, 1, err);
}

int cox_sim_chain_advance(struct cox_sim_chain *chain, int64_t blocks, struct cox_err *err) {
  if (chain->block_ms != 0)
    return cox_err_set(err, COX_EREFUSED,
                       "blocks come by themselves, one each %" PRId64 " ms: start the chain with 0 to make them by hand",
                       chain->block_ms);
  if (blocks < 1 || blocks > COX_CHAIN_ADVANCE_MAX)
    return cox_err_set(err, COX_EINVAL, "blocks must be a whole number from 1 to %d", COX_CHAIN_ADVANCE_MAX);
  cox_mutex_lock(&chain->mutex);
  for (int64_t i = 0; i < blocks; i++) make_block_locked(chain);
  cox_mutex_unlock(&chain->mutex);
  return 0;
}

int cox_sim_chain_preserve(struct cox_sim_chain *chain, int64_t from_epoch, const json_t *ids, struct cox_err *err) {
  cox_mutex_lock(&chain->mutex);
  const struct cox_chain_epoch latest = cox_chain_state_epoch(chain->state, cox_chain_state_height(chain->state));
  const int rc = cox_chain_state_preserve(chain->state, from_epoch == -1 ? latest.index : from_epoch, ids, err);
  cox_mutex_unlock(&chain->mutex);
  return rc;
}

int cox_sim_chain_set_hardware(struct cox_sim_chain *chain, const json_t *hardware_nodes, struct cox_err *err) {
  cox_mutex_lock(&chain->mutex);
  const int rc = cox_chain_fleet_set_hardware(cox_chain_state_fleet(chain->state), hardware_nodes, err);
  cox_mutex_unlock(&chain->mutex);
  return rc;
}

static json_t *requests_locked(const struct cox_sim_chain *chain) COX_REQUIRES(chain->mutex) {
  json_t *const requests = json_object();
  for (int i = COX_CHAIN_ANY_ROUTE + 1; i < COX_CHAIN_ROUTE_COUNT; i++)
    json_object_set_new(requests, cox_chain_route_name((enum cox_chain_route)i), json_integer((json_int_t)chain->requests[i]));
  return requests;
}

static json_t *websockets(struct cox_sim_chain *chain) {
  const struct cox_chain_ws_counts counts = cox_chain_ws_counts(chain->ws);
  return json_pack("{s:I, s:I, s:I, s:I, s:I}", "open", (json_int_t)counts.open, "subscribed", (json_int_t)counts.subscribed, "adopted",
                   (json_int_t)counts.adopted, "events_sent", (json_int_t)counts.sent, "events_dropped", (json_int_t)counts.dropped);
}

json_t *cox_sim_chain_state(struct cox_sim_chain *chain) {
  cox_mutex_lock(&chain->mutex);
  const int64_t height = cox_chain_state_height(chain->state);
  const struct cox_chain_epoch epoch = cox_chain_state_epoch(chain->state, height);
  struct cox_chain_block block = {0};
  cox_chain_state_block(chain->state, height, &block);
  char time[COX_CHAIN_TIME_BYTES];
  cox_chain_wire_time(&block, time);
  json_t *const state = json_pack("{s:I, s:s, s:s, s:{s:I, s:I}, s:s, s:I, s:o, s:o}", "height", (json_int_t)height, "hash", block.hash,
                                  "time", time, "epoch", "index", (json_int_t)epoch.index, "poc_start_block_height",
                                  (json_int_t)epoch.poc_start, "phase", cox_chain_phase_name(cox_chain_state_phase(chain->state, height)),
                                  "block_ms", (json_int_t)chain->block_ms, "faults", cox_chain_faults_json(&chain->faults), "requests",
                                  requests_locked(chain));
  cox_mutex_unlock(&chain->mutex);
  json_object_set_new(state, "websockets", websockets(chain));
  return state;
}

char *cox_sim_chain_usage(void) {
  struct cox_buf text = {0};
  const bool is_done =
      cox_chain_faults_usage(&text) &&
      cox_buf_addf(
          &text,
          "Control on the same port:\n"
          "  GET  /sim/state                              height, epoch, phase, faults, websockets, requests\n"
          "  POST /sim/faults    {\"faults\": [\"SPEC\", …]}    all of them or none; every POST answers with the state\n"
          "  POST /sim/advance   {\"blocks\": N}              makes blocks, when the chain makes none by itself\n"
          "  POST /sim/preserved {\"nodes\": [IDS], \"epoch\"?: E}  who serves through PoC, from the newest epoch or E on\n"
          "  POST /sim/hardware  {\"hardware_nodes\": […]}    replaces what is registered on the chain\n");
  if (is_done) return text.data;
  cox_buf_fini(&text);
  return NULL;
}

/* ---- life ---- */

static json_t *list_of(const char *const *texts) {
  json_t *const list = json_array();
  for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) json_array_append_new(list, json_string(texts[i]));
  return list;
}

static int make_state(struct cox_sim_chain *chain, const struct cox_sim_chain_options *options, struct cox_err *err) {
  json_t *const preserved = list_of(options->preserved);
  const struct cox_chain_state_options state = {
      .epoch_params = options->epoch_params, .nodes = options->nodes, .preserved = preserved,
      .participant = options->participant != NULL ? options->participant : default_participant, .is_rotating = options->is_rotating,
      .first_height = options->start_height != 0 ? options->start_height : 1, .first_time_ms = cox_clock_wall_ms(chain->clock),
      .block_ms = options->block_ms};
  chain->state = cox_chain_state_create(&state, err);
  json_decref(preserved);
  if (chain->state == NULL) return COX_EINVAL;
  return cox_chain_txs_init(&chain->txs, state.participant);
}

/* Nothing is open yet: faults that act on what is open are refused. */
static int take_faults(struct cox_sim_chain *chain, const char *const *specs, struct cox_err *err) {
  int rc = 0;
  struct cox_chain_faults faults = {0};
  for (size_t i = 0; specs != NULL && specs[i] != NULL && rc == 0; i++) rc = cox_chain_faults_set(&faults, specs[i], NULL, NULL, err);
  cox_mutex_lock(&chain->mutex);
  if (rc == 0) install_faults_locked(chain, &faults);
  cox_mutex_unlock(&chain->mutex);
  return rc;
}

static int check(const struct cox_sim_chain_options *options, struct cox_err *err) {
  if (options->port > 65535) return cox_err_set(err, COX_EINVAL, "the port must be from 0 to 65535, not %u", options->port);
  if (options->block_ms < 0 || options->block_ms > 86400000)
    return cox_err_set(err, COX_EINVAL, "block_ms must be from 0 to 86400000, not %" PRId64, options->block_ms);
  if (options->block_bytes > BLOCK_BYTES_MAX) return cox_err_set(err, COX_EINVAL, "block_bytes must be at most %d", BLOCK_BYTES_MAX);
  if (options->ping_ms < 0 || options->ping_ms > 3600000) return cox_err_set(err, COX_EINVAL, "ping_ms must be from 0 to 3600000");
  return 0;
}

static int start(struct cox_sim_chain *chain, const struct cox_sim_chain_options *options, struct cox_err *err) {
  int rc = check(options, err);
  if (rc == 0) rc = make_state(chain, options, err);
  if (rc != 0) return rc;
  chain->ws = cox_chain_ws_create(chain->clock, options->ping_ms != 0 ? options->ping_ms : PING_MS, err);
  if (chain->ws == NULL) return COX_ESYS;
  rc = take_faults(chain, options->faults, err);
  if (rc != 0) return rc;
  chain->http = cox_chain_http_create(chain, options->listen, options->port, err);
  if (chain->http == NULL) return COX_ESYS;
  return chain->block_ms > 0 ? cox_thread_start(&chain->ticker, "cox-sim-chain", tick, chain, err) : 0;
}

struct cox_sim_chain *cox_sim_chain_create(const struct cox_sim_chain_options *options, struct cox_err *err) {
  struct cox_sim_chain *const chain = calloc(1, sizeof *chain);
  if (chain == NULL) {
    cox_err_set(err, COX_ENOMEM, "making the chain failed: out of memory");
    return NULL;
  }
  chain->clock = cox_clock_system();
  chain->block_ms = options->block_ms;
  chain->block_bytes = options->block_bytes;
  cox_mutex_init(&chain->mutex);
  cox_cond_init(&chain->cond);
  if (start(chain, options, err) == 0) return chain;
  cox_sim_chain_destroy(chain);
  return NULL;
}

unsigned cox_sim_chain_port(const struct cox_sim_chain *chain) { return cox_chain_http_port(chain->http); }

/* The order matters: no new websockets, then none at all, then the HTTP server, which must not be stopped while it has lent out
 * a socket.                                                                                                                    */
void cox_sim_chain_destroy(struct cox_sim_chain *chain) {
  if (chain == NULL) return;
  cox_mutex_lock(&chain->mutex);
  chain->is_stopping = true;
  cox_cond_broadcast(&chain->cond);
  while (chain->handshakes > 0) cox_cond_wait(&chain->cond, &chain->mutex);
  cox_mutex_unlock(&chain->mutex);
  cox_thread_join(&chain->ticker);
  cox_chain_ws_destroy(chain->ws);
  cox_chain_http_destroy(chain->http);
  cox_chain_state_destroy(chain->state);
  cox_chain_txs_fini(&chain->txs);
  cox_cond_fini(&chain->cond);
  cox_mutex_fini(&chain->mutex);
  free(chain);
}
