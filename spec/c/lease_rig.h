/* A fake core whose nodes serve, for specs of leases. */
#ifndef SPEC_LEASE_RIG_H
#define SPEC_LEASE_RIG_H

#include "fake_core.h"

#include "core/lease.h"

/* A fake core with these lease options; ids from a fixed source, no slow start unless it is asked for. */
struct fake *lease_fake(const struct cox_lease_options *options);
/* Registers a node with that limit, model and version ("" none), armed and settled in INFERENCE. */
void lease_serve(struct fake *fake, const char *id, int port, int max, const char *model, const char *version);
json_t *lease_node(const char *id, int port, int max, const char *model, const char *version);
/* Acquires without waiting. */
int lease_take(struct fake *fake, const char *model, struct cox_lease_grant *grant);
/* lock_count of a node; -1: it is not registered. */
int lease_count(struct fake *fake, const char *id);
size_t lease_active(struct fake *fake);
size_t lease_waiters(struct fake *fake);

/* Without waiting; a code as of cox_lease_acquire. */
int lease_ask_for(struct fake *fake, const struct cox_lease_ask *ask, struct cox_lease_grant *grant);
int lease_give_back(struct fake *fake, struct cox_lease_grant *grant, enum cox_lease_outcome outcome);
/* What a refusal says of that node, until the next call; "": nothing. */
const char *lease_reason(struct fake *fake, const struct cox_lease_ask *ask, const char *id);

#endif
