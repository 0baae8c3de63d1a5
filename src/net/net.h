/* The workers: threads that each own one event loop and one VM set, and run hundreds of fibers on it. */
#ifndef COX_NET_NET_H
#define COX_NET_NET_H

#include "base/clock.h"
#include "base/err.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/fiber.h"
#include "core/transport.h"

struct cox_net;

struct cox_net_options {
  unsigned workers;                /* threads, 1 … 64 */
  const struct cox_clock *clock;
  const struct cox_fiber_ops *ops; /* outlives the workers */
  struct cox_broker *broker;       /* where completions and commands of jobs go; outlives the workers */
};

/* Starts the threads ("cox-worker-N"). NULL with the reason in `err`. */
struct cox_net *cox_net_create(const struct cox_net_options *options, struct cox_err *err);
/* The transport that runs on these workers; valid until cox_net_destroy. */
const struct cox_transport *cox_net_transport(struct cox_net *net);
/* Runs a job on worker 0, again with backoff (0.5 … 10 s) when it ends with an error, until the workers stop. */
int cox_net_start_job(struct cox_net *net, const char *name, struct cox_err *err);
/* Ends all jobs and runs those of that list of names, as above; waits until they were begun. One that cannot be is logged. */
int cox_net_renew_jobs(struct cox_net *net, const json_t *names, struct cox_err *err);
/* Ends jobs and attempts (each comes back cancelled), joins the threads, frees all. */
void cox_net_destroy(struct cox_net *net);

/* Fills client->call (see core/client.h) with the libcurl implementation. */
void cox_net_client(struct cox_client *client);

#endif
