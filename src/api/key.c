#include "api/key.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/job.h"
#include "api/server.h"
#include "base/clock.h"
#include "core/node.h"

enum { BUCKETS = 4096, BURIED_MAX = 256 /* per sweep: the store must not be flooded */ };

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

void cox_settlement_release(struct cox_settlement *outcome) {
  if (outcome == NULL || atomic_fetch_sub_explicit(&outcome->references, 1, memory_order_acq_rel) > 1) return;
  cox_blob_release(outcome->blob);
  free(outcome);
}

static struct cox_settlement *hold(struct cox_settlement *outcome) {
  if (outcome != NULL) atomic_fetch_add_explicit(&outcome->references, 1, memory_order_relaxed);
  return outcome;
}

static size_t size_of(const struct cox_settlement *outcome) {
  return outcome != NULL && outcome->blob != NULL ? outcome->blob->len : 0;
}

int cox_keys_init(struct cox_keys *keys, struct cox_api *api, size_t keys_max, double keep_s, struct cox_err *err) {
  *keys = (struct cox_keys){.api = api, .keys_max = keys_max > 0 ? keys_max : COX_KEYS_MAX};
  keys->keep_us = (int64_t)((keep_s > 0 ? keep_s : COX_KEY_KEEP_S) * 1e6);
  cox_mutex_init(&keys->mutex);
  keys->buckets = calloc(BUCKETS, sizeof(struct cox_key *));
  return keys->buckets != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
}

static struct cox_key **bucket_of(struct cox_keys *keys, const char *caller, const char *name) {
  return &keys->buckets[(cox_hash_text(caller) * 31 + cox_hash_text(name)) % BUCKETS];
}

/* Each caller has keys of its own: nobody gets another's answers. */
static struct cox_key *find_locked(struct cox_keys *keys, const char *caller, const char *name) COX_REQUIRES(keys->mutex) {
  struct cox_key *key = *bucket_of(keys, caller, name);
  while (key != NULL && (strcmp(key->name, name) != 0 || strcmp(key->caller, caller) != 0)) key = key->bucket_next;
  return key;
}

static void destroy_key(struct cox_key *key) {
  if (key == NULL) return;
  assert(key->waiters == NULL);
  cox_settlement_release(key->outcome);
  free(key->caller);
  free(key->name);
  free(key);
}

static void unlink_locked(struct cox_keys *keys, struct cox_key *key) COX_REQUIRES(keys->mutex) {
  struct cox_key **link = bucket_of(keys, key->caller, key->name);
  while (*link != key) link = &(*link)->bucket_next;
  *link = key->bucket_next;
  if (key->older != NULL) key->older->newer = key->newer;
  else keys->oldest = key->newer;
  if (key->newer != NULL) key->newer->older = key->older;
  else keys->newest = key->older;
  keys->count--;
  keys->bytes -= size_of(key->outcome);
}

/* The store is told later, outside of the lock. */
static void forget_locked(struct cox_keys *keys, struct cox_key *key) COX_REQUIRES(keys->mutex) {
  unlink_locked(keys, key);
  if (!key->is_stored || keys->api->options.forget_outcome == NULL || keys->doomed_count >= keys->keys_max) {
    destroy_key(key);
    return;
  }
  cox_settlement_release(key->outcome);
  key->outcome = NULL;
  key->bucket_next = keys->doomed;
  keys->doomed = key;
  keys->doomed_count++;
}

/* NULL: there is none. */
static struct cox_key *pop_doomed_locked(struct cox_keys *keys) COX_REQUIRES(keys->mutex) {
  struct cox_key *const key = keys->doomed;
  if (key == NULL) return NULL;
  keys->doomed = key->bucket_next;
  keys->doomed_count--;
  return key;
}

/* One that the store is to forget; NULL: there is none. Not when it was used again meanwhile: then the store has the new one. */
static struct cox_key *take_doomed(struct cox_keys *keys) {
  cox_mutex_lock(&keys->mutex);
  struct cox_key *key = pop_doomed_locked(keys);
  while (key != NULL && find_locked(keys, key->caller, key->name) != NULL) {
    destroy_key(key);
    key = pop_doomed_locked(keys);
  }
  cox_mutex_unlock(&keys->mutex);
  return key;
}

static void bury(struct cox_keys *keys) {
  const struct cox_api_options *const options = &keys->api->options;
  for (size_t i = 0; i < BURIED_MAX; i++) {
    struct cox_key *const key = take_doomed(keys);
    if (key == NULL) return;
    options->forget_outcome(options->keep_ctx, key->caller, key->name);
    destroy_key(key);
  }
}

/* What is older than it is kept for; and the oldest, as long as there are too many. A key under way stays. */
static void shrink_locked(struct cox_keys *keys, size_t count_max) COX_REQUIRES(keys->mutex) {
  const int64_t end_us = now_us() - keys->keep_us;
  for (struct cox_key *key = keys->oldest, *newer; key != NULL; key = newer) {
    newer = key->newer;
    if (key->at_us > end_us && keys->count <= count_max && keys->bytes <= COX_KEYS_BYTES_MAX) return;
    if (key->outcome != NULL) forget_locked(keys, key);
  }
}

static struct cox_key *add_locked(struct cox_keys *keys, const char *caller, const char *name, uint64_t fingerprint)
    COX_REQUIRES(keys->mutex) {
  shrink_locked(keys, keys->keys_max - 1);
  struct cox_key *const key = keys->count < keys->keys_max ? calloc(1, sizeof *key) : NULL;
  if (key == NULL) return NULL;
  key->caller = strdup(caller);
  key->name = strdup(name);
  if (key->caller == NULL || key->name == NULL) {
    destroy_key(key);
    return NULL;
  }
  key->fingerprint = fingerprint;
  key->at_us = now_us();
  struct cox_key **const bucket = bucket_of(keys, caller, name);
  key->bucket_next = *bucket;
  *bucket = key;
  key->older = keys->newest;
  if (keys->newest != NULL) keys->newest->newer = key;
  else keys->oldest = key;
  keys->newest = key;
  keys->count++;
  return key;
}

void cox_keys_fini(struct cox_keys *keys) {
  if (keys->api == NULL) return;
  cox_mutex_lock(&keys->mutex);
  assert(keys->jobs == NULL);
  while (keys->oldest != NULL) { /* the store goes on having them */
    struct cox_key *const key = keys->oldest;
    unlink_locked(keys, key);
    destroy_key(key);
  }
  for (struct cox_key *key; (key = pop_doomed_locked(keys)) != NULL;) destroy_key(key);
  cox_mutex_unlock(&keys->mutex);
  free(keys->buckets);
  cox_mutex_fini(&keys->mutex);
}

void cox_keys_sweep(struct cox_keys *keys) {
  const int64_t now = now_us();
  cox_mutex_lock(&keys->mutex);
  shrink_locked(keys, keys->keys_max);
  for (struct cox_job *job = keys->jobs; job != NULL; job = job->next) {
    if (job->wait != NULL && job->deadline_us <= now) cox_wait_finish(job->wait, COX_WAIT_EXPIRED);
  }
  cox_mutex_unlock(&keys->mutex);
  bury(keys);
}

void cox_keys_stop(struct cox_keys *keys) {
  if (keys->api == NULL) return;
  cox_mutex_lock(&keys->mutex);
  keys->is_stopped = true;
  for (struct cox_job *job = keys->jobs; job != NULL; job = job->next) {
    if (job->wait != NULL) cox_wait_finish(job->wait, COX_WAIT_STOPPED);
  }
  cox_mutex_unlock(&keys->mutex);
}

static uint64_t add_bytes(uint64_t hash, const char *bytes, size_t count) { return hash * 31 + cox_hash_bytes(bytes, count); }

static uint64_t add_text(uint64_t hash, const char *text) { return text != NULL ? add_bytes(hash, text, strlen(text)) : hash * 3; }

/* To notice a key that was used twice by mistake; nobody gains anything by making two requests alike. */
static uint64_t fingerprint_of(const struct cox_request *request) {
  uint64_t hash = add_text(0xcbf29ce484222325ULL, request->method);
  hash = add_text(add_text(hash, request->target), request->if_match);
  hash = add_text(hash, request->if_none_match);
  return request->body.len > 0 ? add_bytes(hash, request->body.data, request->body.len) : hash;
}

static void destroy_waiter(struct cox_wait *wait) {
  struct cox_key_waiter *const waiter = COX_CONTAINER(wait, struct cox_key_waiter, wait);
  cox_settlement_release(waiter->outcome);
  free(waiter);
}

static void answer_with(struct cox_request *request, const struct cox_settlement *outcome, bool is_replay) {
  struct cox_blob *const blob = outcome != NULL && outcome->blob != NULL ? cox_blob_hold(outcome->blob) : NULL;
  cox_request_answer_blob(request, outcome != NULL ? outcome->status : 500, outcome != NULL ? outcome->content_type : NULL, blob);
  request->is_replay = is_replay;
  if (outcome == NULL) return;
  request->more_header = outcome->more_header;
  request->more_value = outcome->more_value;
}

static void settled(struct cox_request *request, struct cox_wait *wait) {
  const struct cox_key_waiter *const waiter = COX_CONTAINER(wait, struct cox_key_waiter, wait);
  answer_with(request, waiter->outcome, !waiter->is_first);
}

/* Both locks: the connection must not be resumed before it is suspended. */
static bool wait_locked(struct cox_keys *keys, struct cox_key *key, struct cox_request *request, bool is_first) COX_REQUIRES(keys->mutex) {
  struct cox_key_waiter *const waiter = key->waiter_count < COX_KEY_WAITERS_MAX ? calloc(1, sizeof *waiter) : NULL;
  if (waiter == NULL) return false;
  waiter->wait.destroy = destroy_waiter;
  waiter->is_first = is_first;
  waiter->next = key->waiters;
  key->waiters = waiter;
  key->waiter_count++;
  request->resume = settled;
  cox_wait_begin(&waiter->wait, request, now_us() + keys->api->command_us);
  cox_wait_hold(&waiter->wait); /* the key's */
  return true;
}

static void link_job_locked(struct cox_keys *keys, struct cox_job *job, struct cox_key *key) COX_REQUIRES(keys->mutex) {
  job->key = key;
  job->next = keys->jobs;
  if (job->next != NULL) job->next->prev = job;
  keys->jobs = job;
  atomic_fetch_add(&keys->open, 1);
}

enum begun { CARRY_OUT, WAIT, KNOWN, OTHER, FULL };

/* KNOWN: `*outcome` is held. CARRY_OUT: the job is linked, and the request waits for it. */
static enum begun begin_locked(struct cox_keys *keys, struct cox_request *request, struct cox_job *job, struct cox_settlement **outcome)
    COX_REQUIRES(keys->mutex) {
  const char *const caller = request->caller->name;
  const uint64_t fingerprint = fingerprint_of(request);
  struct cox_key *key = find_locked(keys, caller, request->key);
  if (key != NULL && key->at_us <= now_us() - keys->keep_us && key->outcome != NULL) {
    forget_locked(keys, key);
    key = NULL;
  }
  if (key != NULL && key->fingerprint != fingerprint) return OTHER;
  if (key != NULL && (*outcome = hold(key->outcome)) != NULL) return KNOWN;
  if (key != NULL) return wait_locked(keys, key, request, false) ? WAIT : FULL;
  key = add_locked(keys, caller, request->key, fingerprint);
  if (key == NULL) return FULL;
  if (!wait_locked(keys, key, request, true)) {
    forget_locked(keys, key);
    return FULL;
  }
  link_job_locked(keys, job, key);
  cox_job_take(job, request);
  return CARRY_OUT;
}

void cox_request_begin_keyed(struct cox_request *request) {
  struct cox_keys *const keys = &request->api->keys;
  struct cox_settlement *outcome = NULL;
  struct cox_job *const job = cox_job_create(keys, request);
  enum begun begun = FULL;
  if (job != NULL) {
    cox_mutex_lock(&keys->mutex);
    begun = begin_locked(keys, request, job, &outcome);
    cox_mutex_unlock(&keys->mutex);
  }
  switch (begun) {
    case CARRY_OUT: cox_job_turn(job); return;
    case WAIT: break;
    case KNOWN:
      answer_with(request, outcome, true);
      cox_settlement_release(outcome);
      break;
    case OTHER:
      cox_request_fail(request, 422, "the Idempotency-Key %.80s was used for another request: nothing was done; take a new key for a new "
                       "request", request->key);
      break;
    case FULL:
      cox_request_fail(request, 503, "the Idempotency-Key %.80s cannot be remembered now, so nothing was done: too many are under way; try "
                       "again later", request->key);
      break;
  }
  cox_job_destroy(job);
}

/* "Try again" is no outcome to keep. */
static bool is_final(unsigned status) { return status != 429 && status != 500 && status != 503 && status != 504; }

static struct cox_settlement *outcome_of(struct cox_request *request) {
  struct cox_settlement *const outcome = calloc(1, sizeof *outcome);
  if (outcome == NULL) return NULL; /* its waiters get a 500 */
  atomic_init(&outcome->references, 1);
  outcome->status = request->status;
  outcome->blob = request->answer;
  request->answer = NULL;
  outcome->content_type = request->content_type;
  outcome->more_header = request->more_header;
  outcome->more_value = request->more_value;
  return outcome;
}

/* Its job ends: those who wait for the outcome. */
static struct cox_key_waiter *finish_locked(struct cox_keys *keys, struct cox_job *job, struct cox_settlement *outcome)
    COX_REQUIRES(keys->mutex) {
  struct cox_key *const key = job->key;
  if (job->prev != NULL) job->prev->next = job->next;
  else keys->jobs = job->next;
  if (job->next != NULL) job->next->prev = job->prev;
  struct cox_key_waiter *const waiters = key->waiters;
  key->waiters = NULL;
  key->waiter_count = 0;
  for (struct cox_key_waiter *waiter = waiters; waiter != NULL; waiter = waiter->next) waiter->outcome = hold(outcome);
  if (outcome == NULL || !is_final(outcome->status)) {
    forget_locked(keys, key);
    return waiters;
  }
  key->outcome = hold(outcome);
  key->is_stored = job->is_stored;
  keys->bytes += size_of(outcome);
  shrink_locked(keys, keys->keys_max);
  return waiters;
}

/* While the store writes. */
static void destroy_keeping(struct cox_wait *wait) { free(wait); }

/* Any thread. What could not be written is kept in memory only: the command's change stands, and its sender is to know. */
static void kept(void *arg, const struct cox_err *err) {
  struct cox_wait *const wait = arg;
  (void)err;
  cox_wait_finish(wait, COX_WAIT_ANSWERED);
  cox_wait_release(wait);
}

/* Leases do not survive a restart, and are asked for too often to write each. */
static bool is_soft(const struct cox_request *request) { return strncmp(request->match.route->pattern, "/v1/leases", 10) == 0; }

static bool is_to_be_stored(const struct cox_job *job) {
  const struct cox_settlement *const outcome = job->outcome;
  return job->keys->api->options.keep_outcome != NULL && outcome->blob != NULL && is_final(outcome->status) && !is_soft(job->request);
}

/* The job's next turn comes when it is stored; at once when the store will not have it. */
static void store(struct cox_job *job, struct cox_wait *wait) {
  const struct cox_api_options *const options = &job->keys->api->options;
  const struct cox_settlement *const outcome = job->outcome;
  const struct cox_key_record record = {
      .caller = job->key->caller, /* the key cannot be forgotten while its job runs */
      .key = job->key->name,
      .fingerprint = job->key->fingerprint,
      .status = outcome->status,
      .content_type = outcome->content_type,
      .body = outcome->blob->data,
      .body_len = outcome->blob->len,
  };
  wait->destroy = destroy_keeping;
  cox_wait_begin(wait, job->request, INT64_MAX);
  cox_wait_hold(wait); /* the store's */
  job->is_stored = options->keep_outcome(options->keep_ctx, &record, kept, wait) == 0;
  if (!job->is_stored) kept(wait, NULL);
}

bool cox_key_keep(struct cox_job *job) {
  job->outcome = outcome_of(job->request);
  job->request->is_delivered = job->outcome != NULL; /* the key keeps it */
  if (job->outcome == NULL || !is_to_be_stored(job)) return true;
  struct cox_wait *const wait = calloc(1, sizeof *wait);
  if (wait != NULL) store(job, wait);
  return wait == NULL;
}

void cox_key_settle(struct cox_job *job) {
  struct cox_keys *const keys = job->keys;
  cox_mutex_lock(&keys->mutex);
  struct cox_key_waiter *waiter = finish_locked(keys, job, job->outcome);
  cox_mutex_unlock(&keys->mutex);
  while (waiter != NULL) {
    struct cox_key_waiter *const next = waiter->next;
    cox_wait_finish(&waiter->wait, COX_WAIT_ANSWERED);
    cox_wait_release(&waiter->wait);
    waiter = next;
  }
  cox_job_destroy(job);
  atomic_fetch_sub(&keys->open, 1); /* last: the API may end now */
}

int cox_keys_restore(struct cox_keys *keys, const struct cox_key_record *record) {
  struct cox_settlement *const outcome = calloc(1, sizeof *outcome);
  if (outcome == NULL) return COX_ENOMEM;
  atomic_init(&outcome->references, 1);
  outcome->status = record->status;
  outcome->content_type = "application/json";
  struct cox_buf body = {0};
  if (cox_buf_add(&body, record->body, record->body_len)) outcome->blob = cox_blob_take(&body);
  else cox_buf_fini(&body);
  cox_mutex_lock(&keys->mutex);
  const bool is_known = find_locked(keys, record->caller, record->key) != NULL;
  struct cox_key *const key = is_known || outcome->blob == NULL ? NULL : add_locked(keys, record->caller, record->key, record->fingerprint);
  if (key != NULL) {
    key->outcome = hold(outcome);
    key->at_us -= record->age_ms * 1000;
    key->is_stored = true;
    keys->bytes += size_of(outcome);
  }
  cox_mutex_unlock(&keys->mutex);
  cox_settlement_release(outcome);
  return key != NULL || is_known ? 0 : COX_ENOMEM;
}
