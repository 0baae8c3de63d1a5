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
  const char *listen;
  unsigned port; /* RPC, REST and websocket on one port; 0: any */
  int64_t block_ms;
  json_t *epoch_params; /* epoch_length, epoch_shift, poc_stage_duration, …; NULL: defaults; borrowed */
  json_t *nodes;        /* node-config entries for group data and hardware; NULL: none; borrowed */
  const char *participant;
  int64_t start_height;
};

struct cox_sim_chain *cox_sim_chain_create(const struct cox_sim_chain_options *options, struct cox_err *err);
unsigned cox_sim_chain_port(const struct cox_sim_chain *chain);
void cox_sim_chain_destroy(struct cox_sim_chain *chain);

/* `coxswain sim mlnodes|chain …`: runs in the foreground until SIGTERM/SIGINT; an exit code. argv[0] is "sim". */
int cox_sim_main(int argc, char **argv);

#endif
