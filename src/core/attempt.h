/* One try to bring one node to one target, or one probe of it. Made by the reconciler, run by a worker,
 * finished by the command loop; it crosses the threads as a whole and has one owner at a time.            */
#ifndef COX_CORE_ATTEMPT_H
#define COX_CORE_ATTEMPT_H

#include <jansson.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/queue.h"
#include "core/status.h"
#include "core/target.h"

/* What a result must match to change anything. */
struct cox_fence {
  uint64_t term;         /* of the broker; 1 on a single machine */
  uint64_t registration; /* of the node; a re-registered id is a new one */
  uint64_t generation;   /* of the target */
  uint64_t attempt;      /* unique in this process; also names the attempt to its worker */
};

enum cox_attempt_kind { COX_ATTEMPT_REACH, COX_ATTEMPT_PROBE };

/* The last mutating call that was sent and not answered; call[0] == 0: none. */
struct cox_unanswered {
  char call[64]; /* "POST /api/v1/stop" */
  int64_t at_ms; /* wall clock, for people */
  struct cox_mark mark;
};

/* Filled by the worker (through the fiber's finish). */
struct cox_result {
  enum cox_class class_; /* COX_CLASS_NONE: the driver's function returned */
  int http_status;       /* of the answer that failed it, 0 when there was none */
  char *error;           /* one sentence, owned; NULL on success */
  json_t *memory;        /* the driver's notes on this node, packed, owned; NULL: unchanged */
  struct cox_unanswered unanswered;
  bool has_answered;        /* the node answered at least one request */
  /* probes only: */
  enum cox_status seen;     /* UNKNOWN when the driver could not say */
  enum cox_poc seen_poc;
  bool has_seen_poc;        /* false: the driver could not say */
  bool is_ready;            /* it serves inference now */
  char *seen_model;         /* model it serves, owned; NULL when unknown */
};

struct cox_attempt {
  struct cox_queue_link link; /* of whoever owns it now */
  struct cox_fence fence;
  enum cox_attempt_kind kind;
  unsigned worker;         /* index, chosen by the reconciler, the same for all calls to one node */
  json_t *node;            /* node configuration, held */
  struct cox_target *target;  /* held; NULL for a probe of a node without a target */
  struct cox_target *applied; /* last target reached, held; may be NULL */
  json_t *memory;          /* driver's notes from earlier attempts, packed, held; may be NULL */
  struct cox_unanswered unanswered;
  uint64_t change;         /* the node's change counter when this began (observations) */
  int64_t started_us;      /* monotonic, when it was handed over */
  int64_t deadline_us;     /* monotonic; the worker ends it then with COX_CLASS_TIMEOUT */
  int64_t deadline_max_us; /* monotonic; node:extend never passes it */
  struct cox_result result;
};

struct cox_attempt *cox_attempt_create(enum cox_attempt_kind kind);
/* Frees everything it holds, the result too. */
void cox_attempt_destroy(struct cox_attempt *attempt);

#endif
