/* The durable state: what it consists of, how records make it, how it becomes a registry again.
 *
 * Tables, by name → value:
 *   node     id  → {node_num, registration, node}                  admin  id → {enabled, epoch, reason?, actor?, expires_at?}
 *   target   id  → {generation, target}                            driver id → {applied?, memory?, unanswered?}
 *   freed    num → start height of the episode that holds it back  episode "current" → {height, hash, node_count}
 *   counter  "registrations" → number                              keep:<table> name → value (keep.c)
 * Everything else is not durable: after a start every node is UNKNOWN and unsettled.                                        */
#ifndef COX_CORE_DURABLE_H
#define COX_CORE_DURABLE_H

#include <jansson.h>

#include "core/record.h"
#include "core/registry.h"
#include "core/store.h"

/* One write that a record stands for. `table` NULL: everything goes. `name` NULL: the whole table goes. `value` NULL: the name
 * goes. All borrowed.                                                                                                       */
typedef void cox_durable_write_fn(void *arg, const char *table, const char *name, const json_t *value);

/* The only meaning of a record, whether it comes from the core or out of an old journal: what it writes. `record` is its JSON. */
void cox_durable_fold(const json_t *record, cox_durable_write_fn *write, void *arg);
/* Folds into {<table>: {<name>: value}}. */
void cox_durable_fold_into(json_t *tables, const json_t *record);

/* Records that make the whole state of a registry anew, in parts: the reset, then each number (its node, or what holds it back),
 * then the rest. What is kept for others comes beside them. On cox-command, the only writer.                                */
void cox_durable_begin(struct cox_batch *batch);
void cox_durable_number(const struct cox_registry *registry, size_t num, struct cox_batch *batch);
void cox_durable_end(const struct cox_registry *registry, struct cox_batch *batch);
/* Fills an empty registry. 0, or the reason why that is no state of ours. Start-up only. */
int cox_durable_restore(struct cox_registry *registry, const json_t *tables, struct cox_err *err);

/* What the core tells about one node. NULL: out of memory. */
struct cox_record *cox_record_config(enum cox_record_kind kind, const struct cox_node *node);
struct cox_record *cox_record_admin(const struct cox_node *node);
struct cox_record *cox_record_target(const struct cox_node *node);
struct cox_record *cox_record_keep(const char *table, const char *name, json_t *value); /* borrows `value` (may be NULL) */
struct cox_record *cox_record_episode(const struct cox_registry *registry);
/* Another record, without a number, that writes the same as that state record. */
struct cox_record *cox_record_again(const struct cox_record *record);

#endif
