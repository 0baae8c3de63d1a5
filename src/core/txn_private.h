/* The inside of a transaction, shared by txn.c (what a handler sees and collects) and apply.c (what it does). */
#ifndef COX_CORE_TXN_PRIVATE_H
#define COX_CORE_TXN_PRIVATE_H

#include "core/engine.h"
#include "core/txn.h"

/* What is to happen to one slot. Applying swaps: afterwards it holds what the node had before, and frees it. */
struct cox_change {
  struct cox_change *next;
  int slot;
  struct cox_node *fresh; /* to be registered; after applying a removal: the removed node */
  bool is_removed;
  json_t *config;
  bool has_admin, is_enabled;
  int64_t admin_epoch;
  json_t *admin_reason;
  struct cox_target *target;
  bool wants_restart, wants_probe;
  struct cox_target *old_applied;
  json_t *old_memory;
  struct cox_node *node; /* set by applying: the registered node, NULL after a removal */
  bool is_new, has_config, has_target; /* set by applying: what really changed */
  json_t *removed_id;          /* set by applying, borrowed from `fresh` */
};

struct cox_txn {
  struct cox_broker *broker;
  struct cox_change **changes; /* by slot */
  size_t capacity;
  size_t end; /* highest slot of a fresh node + 1; 0: none */
  struct cox_change *first, *last;
  json_t *world;  /* NULL: stays; after applying the old one */
  json_t *issued; /* list of names or NULL */
  bool reconciles_all, probes_all;
};

void cox_txn_init(struct cox_txn *txn, struct cox_broker *broker);
/* Frees everything, the collected changes too. */
void cox_txn_fini(struct cox_txn *txn);
/* Applies all of it in one write section and wakes the reconciler when there is work. 0, or COX_ENOMEM and nothing happened.
 * Appends one record per durable change to `records`.                                                                         */
int cox_txn_apply(struct cox_txn *txn, json_t *records, struct cox_err *err) COX_EXCLUDES(txn->broker->registry.lock);

#endif
