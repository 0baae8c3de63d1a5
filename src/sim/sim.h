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
