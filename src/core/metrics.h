/* What the core counts, for `GET /metrics`: cheap atomics that any thread adds to, read without any lock. Every outcome is
 * there from the start, at 0, and no label takes values from outside without a limit.                                      */
#ifndef COX_CORE_METRICS_H
#define COX_CORE_METRICS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/lock.h"
#include "core/answer.h"
#include "core/status.h"

enum { COX_BUCKETS_MAX = 13, COX_NAMES_MAX = 128, COX_NAME_TEXT = 64 };

struct cox_histogram {
  const double *bounds_s; /* ascending; NULL: no bucket but +Inf */
  size_t bounds;
  atomic_uint_fast64_t buckets[COX_BUCKETS_MAX + 1]; /* not cumulative; the last one has no upper end */
  atomic_uint_fast64_t sum_us;
};

/* `times` observations of `us` microseconds each. */
void cox_histogram_add(struct cox_histogram *histogram, int64_t us, uint64_t times);

/* Attempts are counted by what they wanted to reach; a probe takes the place of COX_STATUS_UNKNOWN. */
enum cox_attempt_result { /* of a metric: the classes, but for these two */
  COX_RESULT_SUCCEEDED = COX_CLASS_NONE,
  COX_RESULT_STALE = COX_CLASS_COUNT,
  COX_RESULT_COUNT
};

enum cox_command_outcome { /* the answers, and one more */
  COX_COMMAND_REFUSED = COX_ANSWER_ERROR + 1, /* not accepted: the queue was full */
  COX_COMMAND_OUTCOMES
};

enum cox_reload_outcome { COX_RELOAD_DONE, COX_RELOAD_UNCHANGED, COX_RELOAD_REFUSED, COX_RELOAD_ROLLED_BACK, COX_RELOAD_OUTCOMES };

struct cox_metrics {
  atomic_uint_fast64_t attempts[COX_STATUS_FAILED][COX_RESULT_COUNT];
  struct cox_histogram attempt_s[COX_STATUS_FAILED], cancel_s;
  struct cox_histogram commit_s;         /* of the store */
  struct cox_histogram stall_s;          /* cox-command: how long it could not look at anything else */
  struct cox_histogram busy_s;           /* cox-command: how much of that it computed itself */
  struct cox_histogram queued_s, work_s; /* of the reconciler's queue of nodes */
  atomic_uint_fast64_t retries, reloads[COX_RELOAD_OUTCOMES];
  atomic_bool has_unstored_scripts;      /* the store has refused the choice that is in force */
  atomic_int_fast64_t working_since_us;  /* the reconciler's write section; 0: none runs */
  struct cox_mutex mutex;                /* guards the growth of the list */
  struct {
    char name[COX_NAME_TEXT];
    atomic_uint_fast64_t outcomes[COX_COMMAND_OUTCOMES];
  } commands[COX_NAMES_MAX];             /* the last one stands for all that found no room */
  atomic_size_t names;                   /* what is below is fixed for ever */
};

void cox_metrics_init(struct cox_metrics *metrics);
void cox_metrics_fini(struct cox_metrics *metrics);
/* Any thread. Only for commands that exist: the names of others are without end. */
void cox_metrics_command(struct cox_metrics *metrics, const char *name, enum cox_command_outcome outcome);
/* Any thread. A command that exists is shown from now on, also while it was never run. */
void cox_metrics_know(struct cox_metrics *metrics, const char *name);

/* ---- the text format of Prometheus, for whoever shows more ---- */

/* "# HELP" and "# TYPE". */
bool cox_metrics_head(struct cox_buf *out, const char *name, const char *type, const char *help);
/* `labels` is NULL or `a="b",c="d"`, already escaped. */
bool cox_metrics_count(struct cox_buf *out, const char *name, const char *labels, uint64_t value);
bool cox_metrics_histogram(struct cox_buf *out, const char *name, const char *labels, const struct cox_histogram *histogram);

#endif
