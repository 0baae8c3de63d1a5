/* Outcomes of idempotency keys in the broker's store, so that they survive a restart: between the API, which has them, and the core,
 * which keeps small tables for others.                                                                                             */
#ifndef COX_OUTCOMES_H
#define COX_OUTCOMES_H

#include "api/api.h"

/* Sets what the API is to be given; `broker` outlives it. */
void cox_outcomes_use(struct cox_api_options *options, struct cox_broker *broker);

#endif
