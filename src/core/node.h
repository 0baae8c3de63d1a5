/* One registered node. Internal to the core: the fields belong to the registry's lock. */
#ifndef COX_CORE_NODE_H
#define COX_CORE_NODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/admin.h"
#include "core/attempt.h"
#include "core/status.h"
#include "core/target.h"

/* An attempt that ended, for people. */
struct cox_attempt_note {
  uint64_t attempt; /* 0: unused */
  enum cox_status status;
  enum cox_poc poc;
  enum cox_class class_;
  bool is_outdated; /* the target had changed before it ended */
  int64_t started_ms, duration_ms;
  json_t *error; /* string or NULL */
};

struct cox_lease_node;

enum { COX_NODE_NOTES = 4 };

/* The attempt in flight; number 0: none. */
struct cox_in_flight {
  uint64_t attempt, generation;
  unsigned worker;
  bool is_cancelled; /* the worker was asked to end it */
  bool is_unwanted;  /* the operator asked for a restart */
  int64_t started_us, started_ms, deadline_us;
  int64_t cancelled_us; /* when the worker was asked to end it */
  struct cox_target *target; /* held */
  json_t *note;              /* string: why the driver pushed its deadline out; may be NULL */
};

enum cox_failed_by { COX_FAILED_NOT, COX_FAILED_BY_ATTEMPT, COX_FAILED_BY_PROBE };

struct cox_node {
  /* fixed at registration */
  json_t *id; /* string */
  uint64_t registration;
  uint64_t id_hash;
  int num;

  /* written by cox-command under the registry's write lock */
  json_t *config;
  uint64_t url_hash;       /* of the management URL: two registrations of one machine share it */
  uint64_t inference_hash; /* of the inference URL */
  struct cox_admin admin;
  struct cox_target *target; /* NULL: nothing intended yet */
  uint64_t generation;       /* of the target */
  enum cox_status current;
  enum cox_poc current_poc;
  enum cox_status before; /* what a node was before probes called it FAILED */
  enum cox_poc before_poc;
  bool is_settled;        /* the last attempt that touched it succeeded */
  enum cox_failed_by failed_by;
  enum cox_class failure_class;
  json_t *failure_reason, *last_failure; /* strings or NULL */
  struct cox_target *applied;            /* last target reached, NULL: unknown */
  json_t *memory;                        /* the driver's notes, packed (packed.h), NULL: none */
  struct cox_unanswered unanswered;
  int64_t status_at_ms, checked_at_ms; /* 0: never */
  uint64_t change;                     /* counts everything that makes an older observation worthless */
  unsigned probe_bad, probe_good;      /* in a row */
  bool is_ready;
  bool serves_target;                  /* the last probe saw what the target asks for, the model as far as the node tells it */
  int64_t drain_until_us;              /* leaving INFERENCE: not dispatched before, unless its leases end; 0: no drain */
  struct cox_lease_node *lease;        /* what the leases were told of it; NULL: nothing */

  /* attempt record and backoff: written by cox-reconcile at dispatch, by cox-command at the result */
  struct cox_in_flight flight;
  uint64_t probe; /* number of the probe in flight, 0: none */
  unsigned probe_worker;
  unsigned failures; /* in a row, for the backoff */
  int64_t next_at_us; /* no attempt before; 0: at once */
  int64_t next_at_ms; /* the same moment on the wall clock, for people */
  uint64_t attempts;  /* ended so far */
  struct cox_attempt_note notes[COX_NODE_NOTES]; /* ring, attempts % COX_NODE_NOTES is the next to write */
  bool wants_probe, is_probe_cancelled;
  int64_t probe_at_us; /* the timer of the next probe; 0: none */
  int64_t look_at_us;  /* a timer for that moment exists already */

  /* the registry's links */
  struct cox_node *next_by_id, *next_by_registration, *next_by_url, *next_by_inference;
  struct cox_node *dirty_prev, *dirty_next;
  bool is_dirty;
  int64_t dirty_at_us; /* since then */
};

/* A node that is not in any registry yet. Takes `config`. NULL: out of memory. */
struct cox_node *cox_node_create(json_t *config);
/* Frees what it holds; it must be in no registry. */
void cox_node_destroy(struct cox_node *node);

/* Is it, as far as we know, what it should be? (No target: yes.) */
bool cox_node_is_converged(const struct cox_node *node);
/* Must the reconciler bring it anywhere? Not when only probes doubt a settled node: they also clear that doubt. */
bool cox_node_needs_attempt(const struct cox_node *node);
/* A changed status gets the time; false: it is the same. */
bool cox_node_set_status(struct cox_node *node, enum cox_status status, enum cox_poc poc, int64_t now_ms);
/* Takes a reference to, or releases, everything a node holds: for copies of the struct that outlive the lock. */
void cox_node_hold_parts(struct cox_node *copy);
void cox_node_release_parts(struct cox_node *copy);
const char *cox_node_id(const struct cox_node *node);
/* Hash of the management URL (is_poc) or the inference URL of a configuration. */
uint64_t cox_node_url_hash(const json_t *config, bool is_poc);
/* FNV-1a, seeded by the caller; 64 bits. */
uint64_t cox_hash_text(const char *text);
/* For long texts: eight bytes at a time. Another value than that of cox_hash_text. */
uint64_t cox_hash_bytes(const char *bytes, size_t count);

#endif
