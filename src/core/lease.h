/* Leases: the right to send one request to a node. The load of a node is the number of its live leases, so it can neither
 * drift nor become negative.
 *
 * Any thread, and none of these waits for anything but a short lock of its own, unless it says so. What a node may be leased
 * for is pushed in by the core whenever that changes (core/lease_push.h).                                                     */
#ifndef COX_CORE_LEASE_H
#define COX_CORE_LEASE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "core/lease_id.h"
#include "core/wheel.h"

struct cox_broker;
struct cox_lease_block;
struct cox_lease_model;
struct cox_lease_node;
struct cox_lease_tenant;

enum {
  COX_LEASE_TTL_MS = 1200000,       /* unless another is asked for */
  COX_LEASE_TTL_MAX_MS = 86400000,
  COX_LEASE_WAIT_MAX_MS = 600000,
  COX_LEASE_SKIPS_MAX = 256,        /* nodes one request may skip */
  COX_LEASE_REASONS_MAX = 1000,     /* nodes that a refusal names; the rest is counted */
  COX_LEASE_MAX = 1000000,          /* live leases, unless the options say otherwise */
  COX_LEASE_WAITERS_MAX = 16384,    /* per model, unless the options say otherwise */
};

/* Zero means the default everywhere. */
struct cox_lease_options {
  uint32_t start_number;  /* of this process: the first 32 bits of its lease ids; 0: the store's count of starts, or, when it keeps none, seconds of the
                           * wall clock */
  size_t max, waiters_max;
  double slow_start_s;    /* a node that just became ready gets less for so long; 0: 10, negative: never */
  unsigned eject_after;   /* transport errors and time-outs in a row; 0: 5 */
  double eject_s[2];      /* length of the first ejection and of the longest; 0: 10, 300 */
  double eject_share;     /* of the nodes of a model, at most so many are ejected; 0: 0.5, negative: none ever */
  void (*random)(void *ctx, void *bytes, size_t count); /* source of the secrets behind the ids; NULL: getrandom(2) */
  void *random_ctx;
};

/* What is asked for. All texts are borrowed until the acquire has ended. */
struct cox_lease_ask {
  const char *model;
  const char *version;     /* NULL: any */
  bool accepts_earlier;    /* lower versions too, never a higher one */
  const char *const *skip; /* node ids not to be given */
  size_t skips;
  const char *tenant;      /* NULL: "" */
  const char *affinity;    /* equal keys get the same node as long as its load allows; NULL: none */
  int64_t ttl_ms;          /* 0: COX_LEASE_TTL_MS */
};

/* Where the request goes; shared, immutable. */
struct cox_lease_place {
  atomic_uint references;
  json_t *config; /* of the node, held */
  const char *node_id; /* in `config` */
  char *inference_url, *poc_url;
  char *shown; /* all three as they stand in an answer: "node_id":…,"inference_url":…,"poc_url":…; written once, not for each lease */
  size_t shown_len;
  struct cox_lease_block *block; /* where it stands */
};

struct cox_lease_grant {
  struct cox_lease_id id;
  struct cox_lease_place *place; /* one reference: end it with cox_lease_grant_fini */
  int64_t expires_ms;            /* wall clock */
};

void cox_lease_grant_fini(struct cox_lease_grant *grant);

/* A request that waits, inside of whatever the caller has. It belongs to the leases from the moment cox_lease_acquire returned
 * COX_LEASE_WAITS until `done` is called or cox_lease_cancel returned true.                                                  */
struct cox_lease_wait {
  /* set by the caller: called exactly once, on whichever thread freed the slot; must not block. 0: `grant` is the callee's;
   * COX_ETIME, COX_ESTOPPED, COX_ENOMEM: there is none.                                                                      */
  void (*done)(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant);
  /* the leases' own */
  const struct cox_lease_ask *ask; /* borrowed like its texts, and only while it is queued */
  int64_t ttl_ms;
  struct cox_wheel_entry timer;
  struct cox_lease_wait *prev, *next;
  struct cox_lease_tenant *tenant;
  struct cox_lease_slot {
    struct cox_lease_node *node;
    struct cox_lease_place *place; /* held */
    uint64_t number;               /* of the lease, from which its id is made without the lock */
    uint32_t trial;                /* number of the trial it is, 0: none */
  } slot;                          /* that it was given */
  int rc;
  bool is_queued;
};

enum { COX_LEASE_WAITS = 1 };

/* 0: granted at once. COX_LEASE_WAITS: `wait` waits, at most `wait_ms`. With `wait` NULL or `wait_ms` 0 it never waits and takes
 * a slot only when nobody waits for that model: COX_EBUSY (not counted as a refusal when `wait_ms` says that it will wait). COX_EINVAL: bad input; COX_ENOENT: no node names that model;
 * COX_EFULL: too many leases, or waiters; COX_ESTOPPED; COX_ENOMEM.                                                           */
int cox_lease_acquire(struct cox_broker *broker, const struct cox_lease_ask *ask, int64_t wait_ms, struct cox_lease_wait *wait,
                      struct cox_lease_grant *grant, struct cox_err *err);
/* True: `wait` is the caller's again and `done` is never called. False: `done` was called, or is being called now. */
bool cox_lease_cancel(struct cox_broker *broker, struct cox_lease_wait *wait);
/* Blocks the calling thread, at most `wait_ms`; COX_ETIME. */
int cox_lease_acquire_blocking(struct cox_broker *broker, const struct cox_lease_ask *ask, int64_t wait_ms,
                               struct cox_lease_grant *grant, struct cox_err *err);
/* Per node, why it was not given: [{"node_id","reason"}], at most COX_LEASE_REASONS_MAX; `omitted`: how many more there are. */
json_t *cox_lease_reasons(struct cox_broker *broker, const struct cox_lease_ask *ask, size_t *omitted);

enum cox_lease_outcome {
  COX_LEASE_UNSAID,
  COX_LEASE_SUCCESS,
  COX_LEASE_APPLICATION_ERROR, /* the node answered 4xx: says nothing about the node */
  COX_LEASE_TRANSPORT_ERROR,
  COX_LEASE_TIMEOUT
};
/* False: none of success, application_error, transport_error, timeout. */
bool cox_lease_outcome_parse(const char *text, enum cox_lease_outcome *out);

/* The lease ends `ttl_ms` from now (0: COX_LEASE_TTL_MS). With `node_id`, an id of an earlier start of this daemon is taken over
 * on that node, above max_concurrent too. COX_EINVAL, COX_ENOENT unknown (or no such node), COX_EGONE released or expired,
 * COX_EBUSY the lease is another node's, COX_EFULL, COX_ESTOPPED. `held_by` gets a new reference to the id of its node, `expires_ms` the
 * wall clock; both may be NULL.                                                                                                   */
int cox_lease_renew(struct cox_broker *broker, struct cox_lease_id id, int64_t ttl_ms, const char *node_id, json_t **held_by,
                    int64_t *expires_ms, struct cox_err *err);
/* 0, COX_ENOENT or COX_EGONE. */
int cox_lease_release(struct cox_broker *broker, struct cox_lease_id id, enum cox_lease_outcome outcome, struct cox_err *err);
bool cox_lease_is_live(struct cox_broker *broker, struct cox_lease_id id);

enum cox_lease_count {
  COX_LEASE_GRANTED,
  COX_LEASE_GRANTED_LATE, /* after waiting */
  COX_LEASE_BUSY,
  COX_LEASE_TIMED_OUT,
  COX_LEASE_REFUSED_FULL,
  COX_LEASE_UNKNOWN_MODEL,
  COX_LEASE_CANCELLED,
  COX_LEASE_RENEWED,
  COX_LEASE_ADOPTED,
  COX_LEASE_RELEASED,
  COX_LEASE_EXPIRED,
  COX_LEASE_EJECTED,
  COX_LEASE_COUNTS
};
struct cox_lease_stats {
  size_t active, waiters, ejected; /* the last one counts nodes */
  uint64_t counts[COX_LEASE_COUNTS];
};
/* Takes no lock: each figure is right, together they may be of two moments. */
void cox_lease_stats(struct cox_broker *broker, struct cox_lease_stats *out);
/* "granted", "granted_late", … for metrics. */
const char *cox_lease_count_name(enum cox_lease_count count);

/* Expiry, deadlines, breakers, and waiters for slots that the core opened. cox_broker_step_reconcile does it; returns how much it
 * did, `next_us`: when it next has work (INT64_MAX: never).                                                                      */
size_t cox_lease_turn(struct cox_broker *broker, int64_t *next_us);
/* Answers all waiters with COX_ESTOPPED; nothing is leased from now on. */
void cox_lease_stop(struct cox_broker *broker);

#endif
