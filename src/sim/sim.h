/* Simulated ML nodes and chain that speak the real wire protocols (NETWORK sections 1 and 2) on loopback. */
#ifndef COX_SIM_SIM_H
#define COX_SIM_SIM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cox_sim_fleet;

enum { COX_SIM_FLEET_MAX = 10000 };

struct cox_sim_fleet_options {
  const char *listen;    /* IPv4 address, NULL: 127.0.0.1 */
  unsigned port;         /* node i (from 0) has its management API at port+i; 0: any free ports */
  unsigned count;        /* 1 … COX_SIM_FLEET_MAX */
  bool is_split;         /* the inference API at port+count+i; else both APIs share one address */
  bool is_old;           /* release of 2025-08 (true) or 2026-06 (false), of nodes that `old_nodes` does not name */
  const char *old_nodes; /* nodes of the old release: "node7", "1-50", "20%" (chosen by the seed); NULL: as is_old says */
  int64_t latency_ms;    /* before every answer */
  int64_t load_ms;       /* how long inference/up takes */
  int64_t stop_ms;       /* how long a stop takes */
  int64_t init_ms;       /* until pow/init/… is answered */
  int64_t pow_load_ms;   /* until pow/status says is_model_initialized */
  int64_t health_lag_ms; /* health follows inference/up's 200 so much later */
  int64_t restart_ms;    /* how long a process that ended is away; 0: 10 s */
  unsigned threads;      /* 1 … 4; 0: 1 */
  const char *model;     /* that the nodes are configured for; NULL: a usual one */
  unsigned max_concurrent;   /* 0: 100 */
  bool has_control;          /* a control listener at control_port: see cox_sim_fleet_control_port */
  unsigned control_port;     /* 0: any free port */
  const char *const *faults; /* NULL-terminated specs, may be NULL; see cox_sim_fleet_usage() */
  uint64_t seed;             /* which nodes "5%" means */
};

/* Starts its own threads. NULL with the reason in `err` (port in use, bad fault, too few open files). The limit of open
 * files is the caller's business: it takes one for each listener and one for each connection.                          */
struct cox_sim_fleet *cox_sim_fleet_create(const struct cox_sim_fleet_options *options, struct cox_err *err);
/* Management port of the first node; of any node; its inference port (the same one unless split). `index` from 0. */
unsigned cox_sim_fleet_port(const struct cox_sim_fleet *fleet);
unsigned cox_sim_fleet_node_port(const struct cox_sim_fleet *fleet, unsigned index, bool is_inference);
/* Of the control listener, 0: none. GET /sim/nodes answers cox_sim_fleet_report(); POST /sim/faults {"faults": [spec, …]}
 * sets faults, all or none; POST /sim/reset begins the counts anew; GET /sim/config gives the node-config entries.        */
unsigned cox_sim_fleet_control_port(const struct cox_sim_fleet *fleet);
/* node-config.json entries for these nodes ("node1" …); a new reference. */
json_t *cox_sim_fleet_nodes(const struct cox_sim_fleet *fleet);
/* Sets, ends or causes a fault while the fleet runs: it is in force when this returns. 0 or COX_EINVAL, COX_ENOMEM. Any
 * thread but the fleet's own.                                                                                          */
int cox_sim_fleet_fault(struct cox_sim_fleet *fleet, const char *spec, struct cox_err *err);
/* Grammar and list of the faults. */
const char *cox_sim_fleet_usage(void);
/* A new reference: {"nodes": [{id, port, inference_port, release, state, is_healthy, is_loading, server, pow, faults,
 * calls {"METHOD path": n}, times {"METHOD path": {first_ms, last_ms}}, last_init, mutating_open_max, …}],
 * "mutating_open_max": n, "calls": n}. Times are wall milliseconds. `mutating_open_max`: the most POSTs of the management
 * API that were ever open at one node at the same time; a caller that closed its connection is not open. Any thread.     */
json_t *cox_sim_fleet_report(struct cox_sim_fleet *fleet);
/* Begins all counts anew; what the nodes run stays. Any thread. */
void cox_sim_fleet_reset(struct cox_sim_fleet *fleet);
/* Resets all connections and ends the threads. */
void cox_sim_fleet_destroy(struct cox_sim_fleet *fleet);

struct cox_sim_chain;

struct cox_sim_chain_options {
  const char *listen; /* address, NULL: 127.0.0.1 */
  unsigned port;      /* RPC, REST, websocket and /sim control on one port; 0: any free port */
  int64_t block_ms;   /* 0: blocks are made only by cox_sim_chain_advance and POST /sim/advance */
  json_t *epoch_params; /* epoch_length, epoch_shift, poc_stage_duration, …; NULL: defaults, those of the clock feed; borrowed */
  json_t *nodes;        /* node-config entries for group data and hardware; NULL: none; borrowed */
  const char *const *preserved; /* NULL-terminated ids of nodes that serve through PoC; NULL: none */
  const char *participant; /* NULL: one of the simulator's own */
  int64_t start_height;    /* 0: 1 */
  const char *const *faults; /* NULL-terminated "[route:]fault[=value]" specs, may be NULL; see cox_sim_chain_usage() */
  size_t block_bytes;   /* a NewBlock event has at least so many bytes (real ones have about 30 000); 0: no padding; at most 8 MiB */
  bool is_rotating;     /* nodes with several models change theirs from epoch to epoch, else the first in sorted order */
  int64_t ping_ms;      /* websocket pings; 0: 27 000, as CometBFT */
};

/* Starts its own threads. NULL with the reason in `err` (port in use, bad node, bad fault). The first block is there at once. */
struct cox_sim_chain *cox_sim_chain_create(const struct cox_sim_chain_options *options, struct cox_err *err);
unsigned cox_sim_chain_port(const struct cox_sim_chain *chain);
/* Closes all connections and waits for the threads. NULL is allowed. */
void cox_sim_chain_destroy(struct cox_sim_chain *chain);

/* The functions below may be called from any thread while it runs. */

/* Sets one fault ("off": none at all), as POST /sim/faults does. 0 or COX_EINVAL. */
int cox_sim_chain_fault(struct cox_sim_chain *chain, const char *spec, struct cox_err *err);
/* Makes so many blocks at once (1 … 1 000 000). 0, COX_EINVAL, or COX_EREFUSED when blocks come by themselves. */
int cox_sim_chain_advance(struct cox_sim_chain *chain, int64_t blocks, struct cox_err *err);
/* Which nodes serve through PoC from that epoch on (-1: the newest one). 0, COX_EINVAL or COX_EFULL. */
int cox_sim_chain_preserve(struct cox_sim_chain *chain, int64_t from_epoch, const json_t *ids, struct cox_err *err);
/* Replaces the hardware registered on the chain, entries of its own shape. 0 or COX_EINVAL. */
int cox_sim_chain_set_hardware(struct cox_sim_chain *chain, const json_t *hardware_nodes, struct cox_err *err);
/* What GET /sim/state says: height, hash, epoch, phase, faults, websockets, requests by route. A new reference. */
json_t *cox_sim_chain_state(struct cox_sim_chain *chain);

/* Help for faults and control, one fact a line; the caller frees it. NULL: out of memory. */
char *cox_sim_chain_usage(void);

/* `coxswain sim mlnodes|chain …`: runs in the foreground until SIGTERM/SIGINT; an exit code. argv[0] is "sim". */
int cox_sim_main(int argc, char **argv);

#endif
