/* The broker inside of your own program.
 *
 *   struct coxswain *cox = coxswain_start("coxswain.lua", NULL, &error);
 *   struct coxswain_request request = {.model = "Qwen/QwQ-32B"};
 *   struct coxswain_lease lease;
 *   if (coxswain_acquire(cox, &request, 2000, &lease, &error) == COXSWAIN_OK) {
 *     ... POST lease.inference_url + "/v1/chat/completions" ...
 *     coxswain_release(cox, lease.id, COXSWAIN_SUCCESS, NULL);
 *     coxswain_lease_fini(&lease);
 *   }
 *   coxswain_stop(cox);
 *
 * Every function may be called from any thread, but nothing may be called during or after coxswain_stop. Texts are UTF-8 and
 * end with NUL. A `struct coxswain_error *` may be NULL. Returned texts are yours: free() them. The broker blocks no signals of
 * yours and installs no handlers but one for SIGRTMIN, with which it stops scripts that run away.
 *
 * The interface follows semantic versioning by COXSWAIN_VERSION. Link with `pkg-config --libs coxswain`, or in CMake with
 * find_package(coxswain) and the target coxswain::coxswain.                                                                    */
#ifndef COXSWAIN_H
#define COXSWAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COXSWAIN_VERSION_MAJOR 0
#define COXSWAIN_VERSION_MINOR 1

#ifdef __cplusplus
extern "C" {
#endif

enum coxswain_code {
  COXSWAIN_OK = 0,
  COXSWAIN_INVALID = -1,   /* your input is wrong */
  COXSWAIN_UNKNOWN = -2,   /* no such command, node, model or lease */
  COXSWAIN_FULL = -3,      /* a bounded queue is full: try again later */
  COXSWAIN_NO_MEMORY = -4,
  COXSWAIN_SYSTEM = -5,    /* a system call failed */
  COXSWAIN_BUSY = -6,      /* no node is free now; or the lease is another node's */
  COXSWAIN_SCRIPT = -7,    /* a script failed */
  COXSWAIN_TIMEOUT = -8,   /* the deadline passed */
  COXSWAIN_STOPPED = -9,   /* the broker is stopping */
  COXSWAIN_REFUSED = -10,  /* a script refused, in plain words */
  COXSWAIN_GONE = -11      /* the lease was released or has expired */
};

struct coxswain_error {
  int code;        /* enum coxswain_code */
  char text[1024]; /* what, on what, why, what next */
};

struct coxswain;

/* The version of the library that is linked, "0.1.0". */
const char *coxswain_version(void);

/* Starts the whole daemon in this process: store, scripts, workers, admin API, jobs. `config_path`: a configuration file (Lua), or
 * NULL for none; `config_json`: an object whose keys are laid over it, or NULL. Returns when it is ready; NULL with every fault in
 * `error`. Relative paths in `config_json` are seen from the working directory.                                                 */
struct coxswain *coxswain_start(const char *config_path, const char *config_json, struct coxswain_error *error);
/* Subscriptions end (waiting for a callback that runs), waiting acquires end with COXSWAIN_STOPPED, attempts are cancelled; within 5 s.
 * Not from inside of a callback. NULL is allowed.                                                                                   */
void coxswain_stop(struct coxswain *cox);
/* Port of the admin API. */
unsigned coxswain_port(const struct coxswain *cox);

/* ---- commands ---- */

/* Sends a command (`args_json`: an object, NULL for {}) and waits for its answer: {"status":"done"|"skipped","result"?,"reason"?}
 * in `answer_json`, which may be NULL. COXSWAIN_TIMEOUT: not answered in time, not undone.                                       */
int coxswain_command(struct coxswain *cox, const char *name, const char *args_json, int64_t timeout_ms, char **answer_json,
                     struct coxswain_error *error);
/* The same without waiting: `answered` is called exactly once when this returned COXSWAIN_OK, on a thread of the broker; it must not
 * block, and `answer_json` is there only until it returns. A failed command is answered {"status":"error","error":…}.               */
int coxswain_command_async(struct coxswain *cox, const char *name, const char *args_json,
                           void (*answered)(void *arg, const char *answer_json), void *arg, struct coxswain_error *error);

/* ---- what there is ---- */

/* [{"node":{…},"state":{…}}], as GET /admin/v1/nodes shows it. NULL: out of memory. */
char *coxswain_nodes_json(struct coxswain *cox);
/* One of these; NULL: no such node. */
char *coxswain_node_json(struct coxswain *cox, const char *node_id);
/* Epoch, phase, block; {} before the first block. */
char *coxswain_world_json(struct coxswain *cox);

/* ---- what happens ---- */

/* One line of the journal is an object: {"seq", "time", "kind", "node_id"?, …}, as GET /v1/events shows it. Kinds: start, store, command,
 * reload, note (ejections, hardware, …), status, attempt, register, update, remove, admin, target, episode, gap.                      */
struct coxswain_filter {
  const char *kind;    /* NULL: any */
  const char *node_id; /* NULL: any */
};

#define COXSWAIN_FROM_NOW UINT64_MAX

struct coxswain_subscription;
/* Calls `event` for each line after number `since` (0: all that are kept; COXSWAIN_FROM_NOW: only what happens from now on) that passes
 * `filter` (NULL: all; copied), in order and one at a time, on a thread of the subscription's own: it may take its time and call
 * everything here. `event_json` is there only until it returns. Who is so slow that even the store has lost lines meanwhile gets
 * {"kind": "gap", "from", "to"} in their place. `subscription` is set before the first call; end it with coxswain_unsubscribe.
 * COXSWAIN_FULL: there are 64 already.                                                                                            */
int coxswain_subscribe(struct coxswain *cox, uint64_t since, const struct coxswain_filter *filter,
                       void (*event)(void *arg, const char *event_json), void *arg, struct coxswain_subscription **subscription,
                       struct coxswain_error *error);
/* When this returns `event` does not run and will not be called again. From inside of that very `event` it does not wait for it to
 * return; of another one it must not be called there. NULL is allowed. coxswain_stop ends those that are left.                     */
void coxswain_unsubscribe(struct coxswain_subscription *subscription);
/* Number of the last line; 0: none yet. */
uint64_t coxswain_events_last(struct coxswain *cox);

/* ---- leases ---- */

/* Zero, NULL and empty texts mean the default. Texts are copied where that is needed. */
struct coxswain_request {
  const char *model;          /* required */
  const char *version;        /* of the node; NULL: any */
  bool accept_earlier_version;
  const char *const *skip;    /* node ids */
  size_t skips;
  const char *tenant;         /* waiting requests of different tenants take turns */
  const char *affinity;       /* equal keys get the same node as long as its load allows */
  int64_t ttl_ms;             /* 0: 1 200 000 */
};

struct coxswain_lease {
  char id[33];
  const char *node_id, *inference_url, *poc_url; /* until coxswain_lease_fini */
  int64_t expires_ms;                            /* milliseconds since 1970 UTC */
  void *held;                                    /* the library's */
};

enum coxswain_outcome { COXSWAIN_UNSAID, COXSWAIN_SUCCESS, COXSWAIN_APPLICATION_ERROR, COXSWAIN_TRANSPORT_ERROR, COXSWAIN_REQUEST_TIMEOUT };

/* Blocks at most `wait_ms` (0: not at all). COXSWAIN_BUSY: none is free and wait_ms is 0; COXSWAIN_TIMEOUT. */
int coxswain_acquire(struct coxswain *cox, const struct coxswain_request *request, int64_t wait_ms, struct coxswain_lease *lease,
                     struct coxswain_error *error);

struct coxswain_waiter;
/* The same without blocking: when this returns COXSWAIN_OK, `done` is called exactly once unless it is cancelled: on a thread of the
 * broker, of whoever released the slot, or on this one before it returns. It must not block. With code COXSWAIN_OK the lease is the
 * callee's (coxswain_release, coxswain_lease_fini); else `lease` is NULL. `waiter` may be NULL; else it is yours to release.         */
int coxswain_acquire_async(struct coxswain *cox, const struct coxswain_request *request, int64_t wait_ms,
                           void (*done)(void *arg, int code, struct coxswain_lease *lease), void *arg, struct coxswain_waiter **waiter,
                           struct coxswain_error *error);
/* True: `done` will not be called. False: it was, or is being called. */
bool coxswain_waiter_cancel(struct coxswain_waiter *waiter);
void coxswain_waiter_release(struct coxswain_waiter *waiter);

/* It ends `ttl_ms` from now. With `node_id` a lease of an earlier start of this broker is taken over on that node. */
int coxswain_renew(struct coxswain *cox, const char *lease_id, int64_t ttl_ms, const char *node_id, struct coxswain_error *error);
/* The second release of a lease is COXSWAIN_GONE. How the request went keeps others away from nodes that do not answer. */
int coxswain_release(struct coxswain *cox, const char *lease_id, enum coxswain_outcome outcome, struct coxswain_error *error);
/* Frees what the struct holds; it does not release the lease. */
void coxswain_lease_fini(struct coxswain_lease *lease);
/* Why each node was not given: [{"node_id","reason"}]. */
char *coxswain_reasons_json(struct coxswain *cox, const struct coxswain_request *request);

#ifdef __cplusplus
}
#endif

#endif
