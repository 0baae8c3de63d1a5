/* What a node should be: an immutable, shared value. Every change of a node's target gets a new generation
 * number, which is kept in the node, not here.                                                             */
#ifndef COX_CORE_TARGET_H
#define COX_CORE_TARGET_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "core/status.h"

struct cox_target {
  atomic_uint references;
  enum cox_status status; /* INFERENCE, POC, TRAINING or STOPPED */
  enum cox_poc poc;       /* IDLE unless status is POC */
  double drain_s;         /* seconds to wait for leases; does not count in comparison */
  char *reason;           /* policy's words, may be NULL; does not count in comparison */
  json_t *params;         /* object: model, args, block_height, block_hash, public_key, node_id, node_count, url, task */
};

/* From the object a policy returned: `status`, `poc`, `drain_s`, `reason` and the parameters above, nothing else. Takes
 * `object`, also when it fails; its values are shared. One reference, or NULL with the reason in `err`.                */
struct cox_target *cox_target_create(json_t *object, const char *reason, struct cox_err *err);
struct cox_target *cox_target_hold(struct cox_target *target);
void cox_target_release(struct cox_target *target);
/* By value, without `drain_s` and `reason`. NULL equals only NULL. */
bool cox_target_equal(const struct cox_target *left, const struct cox_target *right);
/* The whole target as one new object, with `reason` when `with_reason`. Returns a new reference. */
json_t *cox_target_json(const struct cox_target *target, bool with_reason);

#endif
