/* The inside of keys: what key.c and job.c share. */
#ifndef COX_API_JOB_H
#define COX_API_JOB_H

#include "api/blob.h"
#include "api/key.h"
#include "api/request.h"

/* An answer that may be given several times. */
struct cox_settlement {
  atomic_uint references;
  unsigned status;
  struct cox_blob *blob; /* owned */
  const char *content_type, *more_header, *more_value; /* static */
};

void cox_settlement_release(struct cox_settlement *outcome);

/* A request that waits for an outcome. */
struct cox_key_waiter {
  struct cox_wait wait;
  struct cox_key_waiter *next;
  struct cox_settlement *outcome; /* set before the wait is finished */
  bool is_first;               /* the job was made for it */
};

struct cox_key {
  struct cox_key *bucket_next, *older, *newer;
  char *caller, *name; /* owned */
  uint64_t fingerprint;
  int64_t at_us;
  struct cox_settlement *outcome; /* NULL: under way */
  struct cox_key_waiter *waiters;
  size_t waiter_count;
  bool is_stored;         /* the store has it, too */
};

struct cox_job {
  struct cox_keys *keys;
  struct cox_key *key; /* cannot be forgotten while the job runs */
  struct cox_request *request;
  char *method, *target;
  struct cox_settlement *outcome; /* owned; NULL: its request is under way; else the store is to have it first */
  bool is_stored;                 /* as the key's */
  atomic_uint turns;   /* asked for; whoever makes it 1 runs them all */
  struct cox_wait *wait; /* mutex; borrowed */
  int64_t deadline_us;   /* mutex */
  struct cox_job *prev, *next; /* mutex */
};

/* A job for the request, which keeps its contents until cox_job_take. NULL: out of memory. */
struct cox_job *cox_job_create(struct cox_keys *keys, const struct cox_request *request);
/* Moves body and path of the request into the job. */
void cox_job_take(struct cox_job *job, struct cox_request *request);
void cox_job_destroy(struct cox_job *job);

/* key.c: the job's request has its answer, which becomes the outcome. True: the store has it or is not to have it; false: the job
 * waits for the store, and has one more turn.                                                                                    */
bool cox_key_keep(struct cox_job *job);
/* key.c: tells the outcome to all who wait. Frees the job. */
void cox_key_settle(struct cox_job *job);

#endif
