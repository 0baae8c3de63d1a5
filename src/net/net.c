#include "net/net.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "net/worker.h"

enum {
  WORKERS_MAX = 64,
  FILES_OWN = 128,      /* descriptors left for everything that is no node: store, sockets of the API, logs */
  TRANSFERS_MIN = 8,    /* per worker, however low the limit of open files is */
  TRANSFERS_MAX = 8192, /* per worker, however high it is: each costs about 10 KB in flight */
};

struct cox_net {
  struct cox_transport transport;
  struct cox_net_sink sink;
  unsigned workers;
  struct cox_worker worker[];
};

static void broker_complete(void *ctx, struct cox_attempt *attempt) { cox_broker_complete(ctx, attempt); }

static int broker_submit(void *ctx, const char *caller, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  return cox_broker_submit_as(ctx, caller, name, args, NULL, reply, arg, err);
}

static void transport_start(void *ctx, struct cox_attempt *attempt) {
  struct cox_net *const net = ctx;
  assert(attempt->worker < net->workers);
  cox_worker_post(&net->worker[attempt->worker], attempt);
}

static void transport_cancel(void *ctx, unsigned worker, uint64_t attempt) {
  struct cox_net *const net = ctx;
  assert(worker < net->workers);
  cox_worker_cancel(&net->worker[worker], attempt);
}

static int transport_chore(void *ctx, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  struct cox_net *const net = ctx;
  return cox_worker_chore(&net->worker[0], name, args, reply, arg, err); /* beside the jobs: they share a script machine */
}

/* Half of the descriptors that are left serve nodes; callers and waiting leases need the others. */
static size_t transfers_max(unsigned workers) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return TRANSFERS_MAX;
  const size_t open_max = (size_t)files.rlim_cur;
  const size_t share = open_max > FILES_OWN ? (open_max - FILES_OWN) / 2 / workers : 0;
  if (share < TRANSFERS_MIN) return TRANSFERS_MIN;
  return share < TRANSFERS_MAX ? share : TRANSFERS_MAX;
}

struct cox_net *cox_net_create_with(const struct cox_net_options *options, const struct cox_net_sink *sink, struct cox_err *err) {
  struct cox_err unwanted = {0};
  if (err == NULL) err = &unwanted;
  if (options->workers < 1 || options->workers > WORKERS_MAX) {
    cox_err_set(err, COX_EINVAL, "starting %u workers failed: give 1 to %d", options->workers, WORKERS_MAX);
    return NULL;
  }
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    cox_err_set(err, COX_ESYS, "preparing libcurl failed: is there memory, and is its installation whole?");
    return NULL;
  }
  const size_t transfers = transfers_max(options->workers);
  struct cox_net *const net = calloc(1, sizeof *net + options->workers * sizeof net->worker[0]);
  if (net == NULL) {
    curl_global_cleanup();
    cox_err_set(err, COX_ENOMEM, "starting the workers failed: out of memory");
    return NULL;
  }
  net->sink = *sink;
  net->transport = (struct cox_transport){net, options->workers, transport_start, transport_cancel, transport_chore};
  for (; net->workers < options->workers; net->workers++) {
    if (cox_worker_start(&net->worker[net->workers], net->workers, transfers, options, &net->sink, err) != 0) {
      cox_net_destroy(net);
      return NULL;
    }
  }
  cox_log(COX_LOG_INFO, "net", "workers started", "workers", COX_LOG_INT(net->workers), "transfers_each", COX_LOG_INT(transfers), NULL);
  return net;
}

struct cox_net *cox_net_create(const struct cox_net_options *options, struct cox_err *err) {
  const struct cox_net_sink sink = {options->broker, broker_complete, broker_submit};
  return cox_net_create_with(options, &sink, err);
}

const struct cox_transport *cox_net_transport(struct cox_net *net) { return &net->transport; }

int cox_net_start_job(struct cox_net *net, const char *name, struct cox_err *err) {
  return cox_worker_start_job(&net->worker[0], name, err);
}

int cox_net_renew_jobs(struct cox_net *net, const json_t *names, struct cox_err *err) {
  return cox_worker_renew_jobs(&net->worker[0], names, err);
}

void cox_net_destroy(struct cox_net *net) {
  if (net == NULL) return;
  for (unsigned i = 0; i < net->workers; i++) cox_worker_stop(&net->worker[i]);
  for (unsigned i = 0; i < net->workers; i++) cox_worker_join(&net->worker[i]);
  free(net);
  curl_global_cleanup();
}
