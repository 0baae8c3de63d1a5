/* Simulated ML nodes and chain that speak the real wire protocols (NETWORK sections 1 and 2) on loopback. */
#ifndef COX_SIM_SIM_H
#define COX_SIM_SIM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cox_sim_fleet;

struct cox_sim_fleet_options {
  const char *listen; /* address, NULL: 127.0.0.1 */
  unsigned port;      /* one listener for the fleet: node i answers under /n<i> (poc and inference segment); 0: any free port */
  unsigned count;     /* 1 … 10000 */
  bool is_old;        /* release of 2025-08 (true) or 2026-06 (false) */
  int64_t latency_ms; /* before every answer */
  int64_t load_ms;    /* how long inference/up takes; default 0 */
  int64_t stop_ms;    /* how long a stop takes; default 0 */
  const char *const *faults; /* NULL-terminated "[node:]fault[=value]" specs, may be NULL; see cox_sim_usage() */
  uint64_t seed;
};

/* Starts its own threads. NULL with the reason in `err` (port in use, bad fault). */
struct cox_sim_fleet *cox_sim_fleet_create(const struct cox_sim_fleet_options *options, struct cox_err *err);
unsigned cox_sim_fleet_port(const struct cox_sim_fleet *fleet);
/* node-config.json entries for these nodes ("node1" …); a new reference. */
json_t *cox_sim_fleet_nodes(const struct cox_sim_fleet *fleet);
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
