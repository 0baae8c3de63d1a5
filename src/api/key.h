/* Idempotency keys: a request with the header Idempotency-Key is carried out once, and whoever sends it again with that key
 * gets the same answer; also while the first is still under way, and when its client is long gone.
 *
 * To that end it is carried out by a job: a copy of the request that belongs to no connection, has all the time its command
 * needs and runs wherever its waits end. The request itself, and those that come with the same key, only wait for the job's
 * outcome; their own patience ends with 504 as ever.
 *
 * Outcomes that say "try again" (429, 500, 503, 504) are not kept: the next request with the key is carried out. The others are
 * told to nobody before a store has them, when there is one: who has seen an outcome gets it again after a restart, too. Only those
 * of leases are kept in memory alone, as leases are.                                                                              */
#ifndef COX_API_KEY_H
#define COX_API_KEY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lock.h"

struct cox_api;
struct cox_job;
struct cox_key;
struct cox_request;
struct cox_wait;

enum {
  COX_KEY_LENGTH_MAX = 255,
  COX_KEYS_MAX = 10000,
  COX_KEYS_BYTES_MAX = 64 * 1024 * 1024, /* of kept answers together */
  COX_KEY_WAITERS_MAX = 64,              /* requests that wait for one outcome */
  COX_KEY_KEEP_S = 24 * 3600
};

/* One kept outcome, for a store that lets them survive. Texts are borrowed. */
struct cox_key_record {
  const char *caller, *key;
  uint64_t fingerprint; /* of the request */
  unsigned status;
  const char *content_type, *body;
  size_t body_len;
  int64_t age_ms;
};

struct cox_keys {
  struct cox_mutex mutex; /* guards the rest, and in keys and jobs what is marked with it; before the connections' */
  struct cox_key **buckets, *oldest, *newest;
  struct cox_key *doomed; /* forgotten here, and not yet by the store; at most as many as are kept, the next start sees to the rest */
  size_t count, bytes, doomed_count;
  struct cox_job *jobs;
  bool is_stopped;
  size_t keys_max;   /* fixed */
  int64_t keep_us;   /* fixed */
  struct cox_api *api;
  atomic_size_t open; /* jobs */
};

int cox_keys_init(struct cox_keys *keys, struct cox_api *api, size_t keys_max, double keep_s, struct cox_err *err);
/* No job may be open. */
void cox_keys_fini(struct cox_keys *keys);
/* Forgets what is too old, tells the store what was forgotten, and expires the waits of jobs. */
void cox_keys_sweep(struct cox_keys *keys);
/* Ends the waits of all jobs, those that begin later too. */
void cox_keys_stop(struct cox_keys *keys);
/* Takes over what a store kept. 0 or COX_ENOMEM. */
int cox_keys_restore(struct cox_keys *keys, const struct cox_key_record *record);

/* Instead of its handler: answers, or begins a wait. */
void cox_request_begin_keyed(struct cox_request *request);

/* For wait.c: the wait of a job's request. */
void cox_job_wait(struct cox_job *job, struct cox_wait *wait, int64_t deadline_us);
void cox_job_awake(struct cox_job *job);
/* It is begun, or its wait has ended: goes on, on this thread. */
void cox_job_turn(struct cox_job *job);

#endif
