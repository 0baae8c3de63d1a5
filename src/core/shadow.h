/* A rehearsal: command handlers run on a copy of the fleet and the world, on any thread, and nothing comes of it. What policy would
 * do can so be seen before it may do it.                                                                                           */
#ifndef COX_CORE_SHADOW_H
#define COX_CORE_SHADOW_H

#include <jansson.h>
#include <stddef.h>

#include "core/broker.h"
#include "core/txn.h"

struct cox_shadow;

/* Any thread: a copy of the present moment; it shares immutable values with the broker, which may change and go meanwhile. NULL: out
 * of memory.                                                                                                                         */
struct cox_shadow *cox_shadow_create(struct cox_broker *broker);
void cox_shadow_destroy(struct cox_shadow *shadow);
/* The world of the copy, borrowed; NULL before the first block. */
json_t *cox_shadow_world(struct cox_shadow *shadow);
/* The world that later transactions see; takes it. */
void cox_shadow_set_world(struct cox_shadow *shadow, json_t *world);
/* A transaction that will not be applied: policy runs on it, then cox_txn_read shows what each node would be. Ends with `end`; one
 * at a time.                                                                                                                        */
struct cox_txn *cox_shadow_begin(struct cox_shadow *shadow);
void cox_shadow_end(struct cox_shadow *shadow);

#endif
