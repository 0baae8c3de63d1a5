/* What the journal is told about attempts and probes that came back: noted under the registry's lock, told after it. */
#ifndef COX_CORE_LANDING_H
#define COX_CORE_LANDING_H

#include "core/engine.h"
#include "core/record.h"

struct cox_landing {
  const struct cox_node *node; /* NULL: it was removed meanwhile */
  bool was_in_flight;          /* the attempt was the node's */
  enum cox_status from, to;
  enum cox_poc from_poc, to_poc;
  json_t *reason;              /* of a failure, held while it is told */
  struct cox_attempt_note note; /* was_in_flight: what is remembered of it; its error is held */
  struct cox_driver_part driver;
};

/* Around the handling of one that came back. */
void cox_landing_begin_locked(struct cox_broker *broker, struct cox_landing *landing, const struct cox_node *node,
                              const struct cox_attempt *attempt) COX_REQUIRES(broker->registry.lock);
void cox_landing_end_locked(struct cox_broker *broker, struct cox_landing *landing) COX_REQUIRES(broker->registry.lock);
/* cox-command: writes the journal's lines and releases what the landings hold. */
void cox_landings_tell(struct cox_broker *broker, struct cox_landing *landings, struct cox_attempt *const *attempts, size_t count,
                       int64_t now_us);

#endif
