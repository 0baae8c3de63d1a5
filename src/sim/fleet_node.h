/* One simulated ML node (management API v1) as a state machine: no sockets, no threads, no clock of its own.
 *
 * Whoever carries it hands it calls and the time, and takes answered calls out:
 *
 *   cox_fleet_node_take(node, &call, now_us);                 a call arrives; the node keeps it until it is answered
 *   while ((call = cox_fleet_node_answered(node, now_us))) …  what is to be answered by now
 *   cox_fleet_node_next_us(node)                              when to look again
 *   cox_fleet_node_drop(node, &call)                          the caller went away before; what it asked for goes on
 *
 * Time is in microseconds and never goes back; nothing else makes the node move, so one sequence of calls and times
 * gives one sequence of answers. One thread at a time.                                                             */
#ifndef COX_SIM_FLEET_NODE_H
#define COX_SIM_FLEET_NODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/fleet_fault.h"

struct cox_fleet_node;
struct cox_fleet_route;

struct cox_fleet_node_options {
  const char *id;     /* "node1"; copied */
  bool is_old;        /* release of 2025-08 (true) or 2026-06 (false) */
  bool is_split;      /* the inference API has an address of its own */
  int64_t latency_us; /* from the decision to the answer */
  int64_t load_us;    /* of a model, by inference/up */
  int64_t stop_us;    /* of whatever runs */
  int64_t init_us;    /* until pow/init/… is answered; at least 1 s per GPU group in the field */
  int64_t pow_load_us; /* until the model of the proof of compute is initialised */
  int64_t health_lag_us; /* health follows inference/up's 200 so much later; up to 5 s in the field */
  int64_t restart_us; /* how long an ended process is away */
};

/* How an answer goes over the wire. */
enum cox_fleet_manner {
  COX_MANNER_PLAIN,
  COX_MANNER_RESET,       /* no answer: the connection is reset */
  COX_MANNER_HALF_HEADER, /* half a header, then nothing for ever */
  COX_MANNER_SLOW,        /* one byte of the body every interval_us */
  COX_MANNER_HUGE         /* the body never ends */
};

struct cox_fleet_answer {
  enum cox_fleet_manner manner;
  int status;
  json_t *json;     /* owned by the call; NULL: `text` */
  const char *text; /* static; the body is this when json is NULL */
  char *location; /* of a redirect; owned by the call */
  int64_t interval_us;
};

struct cox_fleet_call {
  /* set by the carrier before it is taken */
  bool is_inference; /* came to the inference address of a split node */
  bool is_abandoned; /* its caller has hung up already: it is carried out and does not count as open */
  json_t *body;      /* owned by the call; NULL: none, or no JSON */
  /* set by the node; valid once it is answered */
  struct cox_fleet_answer answer;
  /* the node's own */
  const struct cox_fleet_route *route;
  struct cox_fleet_call *previous, *next;
  int64_t at_us; /* when it is to be answered or looked at again */
  int wait;
  enum cox_fleet_manner manner;
  bool is_muted, is_garbled, is_mutating, is_counted;
};

/* NULL: out of memory. */
struct cox_fleet_node *cox_fleet_node_create(const struct cox_fleet_node_options *options);
/* No call may be left in it. */
void cox_fleet_node_destroy(struct cox_fleet_node *node);

/* Takes a zeroed call with its input set; `path` without a query. It stays in place until it is answered or dropped. */
void cox_fleet_node_take(struct cox_fleet_node *node, struct cox_fleet_call *call, const char *method, const char *path, int64_t now_us);
/* Moves to `now_us`; a call to be answered by then, which is no longer the node's; NULL when there is none. */
struct cox_fleet_call *cox_fleet_node_answered(struct cox_fleet_node *node, int64_t now_us);
/* When cox_fleet_node_answered is to be called again though nothing else happens; INT64_MAX: never. */
int64_t cox_fleet_node_next_us(const struct cox_fleet_node *node);
/* The caller gave up or its connection broke. */
void cox_fleet_node_drop(struct cox_fleet_node *node, struct cox_fleet_call *call);
/* An answer that went another way than COX_MANNER_PLAIN or COX_MANNER_RESET has reached its end, or its caller went away:
 * until then the call counts as open.                                                                             */
void cox_fleet_node_close(struct cox_fleet_node *node, struct cox_fleet_call *call);
/* Frees what the call owns; after the answer was used, or after a drop. */
void cox_fleet_call_fini(struct cox_fleet_call *call);

/* False: connections are refused, and those that were open are reset. */
bool cox_fleet_node_is_listening(const struct cox_fleet_node *node);
/* How often its process was started; a change resets its connections. */
unsigned cox_fleet_node_starts(const struct cox_fleet_node *node);
/* Sets or ends a fault, or makes it happen. False: out of memory. */
bool cox_fleet_node_fault(struct cox_fleet_node *node, const struct cox_fleet_fault *fault, int64_t now_us);

/* A new reference: state, faults, counts of calls as of `now_us`. `wall_offset_ms` is added to its times to show them.
 * NULL: out of memory.                                                                                             */
json_t *cox_fleet_node_report(const struct cox_fleet_node *node, int64_t now_us, int64_t wall_offset_ms);
/* Counts begin anew; what it runs stays. */
void cox_fleet_node_reset_counts(struct cox_fleet_node *node);

#endif
