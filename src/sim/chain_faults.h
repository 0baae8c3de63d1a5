/* How a made-up chain misbehaves: named faults with a value, switched on and off while it runs. For one thread at a time.
 *
 * A spec is "[route:]fault[=value]", "[route:]fault=off", or "off" for all. Only faults of answers take a route.          */
#ifndef COX_SIM_CHAIN_FAULTS_H
#define COX_SIM_CHAIN_FAULTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum cox_chain_fault {
  /* blocks */
  COX_CHAIN_REORDER,
  COX_CHAIN_DOUBLE,
  COX_CHAIN_DROP,
  COX_CHAIN_DROP_BOUNDARIES,
  COX_CHAIN_STALL,
  COX_CHAIN_CATCHING_UP,
  COX_CHAIN_OLD_TIME,
  COX_CHAIN_EMPTY_GROUP,
  /* websocket */
  COX_CHAIN_SILENT,
  COX_CHAIN_REFUSE_WS,
  /* done once, when they are set */
  COX_CHAIN_HALF_OPEN,
  COX_CHAIN_CLOSE_WS,
  COX_CHAIN_CUT_WS,
  /* transactions */
  COX_CHAIN_BUMP_SEQUENCE,
  COX_CHAIN_LOSE_ANSWER,
  COX_CHAIN_LOSE_TX,
  /* answers over HTTP */
  COX_CHAIN_SLOW,
  COX_CHAIN_BAD_GATEWAY,
  COX_CHAIN_HTML,
  COX_CHAIN_MISSING,
  COX_CHAIN_NULL_FIELDS,
  COX_CHAIN_WRONG_TYPES,
  COX_CHAIN_TRUNCATED,
  COX_CHAIN_HUGE,
  COX_CHAIN_FAULT_COUNT
};

enum cox_chain_route {
  COX_CHAIN_ANY_ROUTE,
  COX_CHAIN_STATUS,
  COX_CHAIN_BLOCK,
  COX_CHAIN_EPOCH_INFO,
  COX_CHAIN_MODELS_ALL,
  COX_CHAIN_GROUP_DATA,       /* of the parent */
  COX_CHAIN_MODEL_GROUP_DATA, /* of one model */
  COX_CHAIN_HARDWARE_NODES,
  COX_CHAIN_ACCOUNTS,
  COX_CHAIN_TXS,
  COX_CHAIN_ROUTE_COUNT
};
const char *cox_chain_route_name(enum cox_chain_route route);

struct cox_chain_setting {
  bool is_on;
  int64_t value; /* faults that count down: how many are left; 0: until switched off */
};

/* Start from a zeroed struct; copied by value. */
struct cox_chain_faults {
  struct cox_chain_setting settings[COX_CHAIN_ROUTE_COUNT][COX_CHAIN_FAULT_COUNT];
};

/* Applies one spec. `act` (may be NULL) is called for a fault that is done once, instead of switching it on; with NULL such a
 * fault is refused. 0 or COX_EINVAL with what was wrong, on which nothing changed.                                           */
typedef void cox_chain_act_fn(void *ctx, enum cox_chain_fault fault, int64_t value);
int cox_chain_faults_set(struct cox_chain_faults *faults, const char *spec, cox_chain_act_fn *act, void *ctx, struct cox_err *err);

/* The setting that counts for a route: its own before that of all; not on: zeros. */
struct cox_chain_setting cox_chain_faults_get(const struct cox_chain_faults *faults, enum cox_chain_route route,
                                              enum cox_chain_fault fault);
/* Is the fault due now? Counts down one that has a count, and switches it off with the last. */
bool cox_chain_faults_take(struct cox_chain_faults *faults, enum cox_chain_route route, enum cox_chain_fault fault);
/* The faults that are on, as a list of specs that would set them. A new reference. */
json_t *cox_chain_faults_json(const struct cox_chain_faults *faults);
/* One line of help for each fault. */
bool cox_chain_faults_usage(struct cox_buf *out);

#endif
