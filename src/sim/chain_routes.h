/* What the chain answers to a request: RPC, REST and the simulator's own control. Knows no sockets. */
#ifndef COX_SIM_CHAIN_ROUTES_H
#define COX_SIM_CHAIN_ROUTES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/chain_faults.h"
#include "sim/chain_sim.h"

struct cox_chain_request {
  const char *method;
  const char *path; /* decoded, without the query */
  /* The value of a query argument, "" or NULL when it has none. */
  const char *(*argument)(void *ctx, const char *name);
  void *ctx;
  const char *body;
  size_t body_bytes;
};

struct cox_chain_answer {
  int status;
  json_t *json; /* NULL: `page` */
  const char *page; /* HTML, static */
  int64_t wait_ms;  /* before it is sent */
  size_t least_bytes;
  bool is_truncated;
  const char *allow; /* for 405, else NULL */
};

/* Fills `answer`; the caller owns its json. Faults that are due for the route are taken. Any thread. */
void cox_chain_answer(struct cox_sim_chain *chain, const struct cox_chain_request *request, struct cox_chain_answer *answer);

/* ---- shared by chain_routes.c and chain_control.c ---- */

/* The simulator's own routes, "/sim/…". */
void cox_chain_control(struct cox_sim_chain *chain, const struct cox_chain_request *request, struct cox_chain_answer *answer);

#endif
