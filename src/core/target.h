/* What a node should be: an immutable, shared value. Every change of a node's target gets a new generation
 * number, which is kept in the node, not here.                                                             */
#ifndef COX_CORE_TARGET_H
#define COX_CORE_TARGET_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "core/status.h"

/* What it takes to get there. There are ten thousand of these: a list by number costs a fifth of an object by name. */
enum cox_target_param {
  COX_TARGET_MODEL,
  COX_TARGET_ARGS,
  COX_TARGET_BLOCK_HEIGHT,
  COX_TARGET_BLOCK_HASH,
  COX_TARGET_PUBLIC_KEY,
  COX_TARGET_NODE_ID,
  COX_TARGET_NODE_COUNT,
  COX_TARGET_URL,
  COX_TARGET_TASK,
  COX_TARGET_PARAMS
};

enum {
  COX_TARGET_TEXT_BYTES_MAX = 1024 * 1024, /* each text of it; a longer one is refused */
  COX_TARGET_ARGS_MAX = 10000,
  COX_TARGET_REASON_BYTES_MAX = 4096, /* longer words are cut: they must not keep a node from its target */
  COX_TARGET_DRAIN_S_MAX = 86400,
};

struct cox_target {
  atomic_uint references;
  enum cox_status status;            /* INFERENCE, POC, TRAINING or STOPPED */
  enum cox_poc poc;                  /* IDLE unless status is POC */
  double drain_s;                    /* seconds to wait for leases; does not count in comparison */
  json_t *reason;                    /* string, policy's words, may be NULL; does not count in comparison */
  json_t *params[COX_TARGET_PARAMS]; /* held; NULL: not given */
};

/* "model", "args", … */
const char *cox_target_param_name(enum cox_target_param param);
/* Is it a number that may have that value? */
bool cox_target_takes_integer(enum cox_target_param param, json_int_t value);

/* From an object with `status`, `poc`, `drain_s`, `reason` and the parameters above, nothing else. Takes `object`, also when it
 * fails; its values are shared. `reason` (may be NULL) goes before the object's. One reference, or NULL with the reason in `err`. */
struct cox_target *cox_target_create(json_t *object, const char *reason, struct cox_err *err);

/* The same, field by field: `made` is the maker's own, on its stack, and begins as COX_TARGET_NOTHING.
 *
 * Takes `value` (null: not given), also when it fails. 0, or the reason why there is no such field or value. */
#define COX_TARGET_NOTHING ((struct cox_target){.status = COX_STATUS_UNKNOWN})
int cox_target_set(struct cox_target *made, const char *name, json_t *value, struct cox_err *err);
/* Is it whole? 0, or the reason; then it must be dropped. */
int cox_target_check(const struct cox_target *made, struct cox_err *err);
/* A shared target with what is in `made`, which is empty then. NULL: out of memory, and it must be dropped. */
struct cox_target *cox_target_share(struct cox_target *made);
void cox_target_drop(struct cox_target *made);

struct cox_target *cox_target_hold(struct cox_target *target);
void cox_target_release(struct cox_target *target);
/* By value, without `drain_s` and `reason`. NULL equals only NULL. */
bool cox_target_equal(const struct cox_target *left, const struct cox_target *right);
/* The whole target as one new object, with `reason` when `with_reason`. Returns a new reference. */
json_t *cox_target_json(const struct cox_target *target, bool with_reason);

#endif
