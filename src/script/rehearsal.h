/* New scripts tried on the fleet as it is, without effect: all phase commands, each in the world of its window. */
#ifndef COX_SCRIPT_REHEARSAL_H
#define COX_SCRIPT_REHEARSAL_H

#include <jansson.h>

#include "core/broker.h"
#include "script/generation.h"

struct cox_rehearsal {
  json_t *changes; /* [{"node_id","from"?,"to","reason"?}] of the nodes whose targets the command that is due now would change */
};

/* The owner of the candidate's policy VM. 0, or a code with every fault in `faults`. The caller ends `out` with fini, also then. */
int cox_rehearsal_run(struct cox_generation *candidate, struct cox_broker *broker, double budget_s, struct cox_rehearsal *out,
                      struct cox_faults *faults);
void cox_rehearsal_fini(struct cox_rehearsal *rehearsal);

#endif
