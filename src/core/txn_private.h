/* The inside of a transaction, shared by txn.c (what a handler sees and collects) and apply.c (what it does). */
#ifndef COX_CORE_TXN_PRIVATE_H
#define COX_CORE_TXN_PRIVATE_H

#include "core/engine.h"
#include "core/txn.h"

/* What is to happen to one slot. Applying swaps: afterwards it holds what the node had before: the before image that undoing
 * puts back, and that is freed with the transaction.                                                                        */
struct cox_change {
  struct cox_change *prev, *next;
  int slot;
  struct cox_node *fresh; /* to be registered; after applying a removal: the removed node */
  bool is_removed;
  json_t *config;
  bool has_admin;
  struct cox_admin admin;
  struct cox_target *target;
  bool wants_restart, wants_probe;
  struct cox_target *old_applied;
  json_t *old_memory;
  struct cox_node *node; /* set by applying: the registered node, NULL after a removal */
  bool is_new, has_config, has_target, has_forgotten; /* set by applying: what really changed */
  uint64_t generation;         /* set by applying: of the target that was set */
  int64_t drain_until_us;      /* set by applying: of the target before it */
  int64_t freed_at;            /* set by applying: what held the number of a new node back, or that of a removed one now */
  json_t *removed_id;          /* set by applying, borrowed from `fresh` */
};

enum { COX_CHANGES_MAX = 64 };

/* Changes side by side: a phase command has ten thousand, and each walk through them is short only when none must be fetched anew. */
struct cox_change_block {
  struct cox_change_block *older;
  size_t used;
  struct cox_change changes[COX_CHANGES_MAX];
};

/* What of a world is about single nodes; found once for all of them. Borrowed. */
struct cox_world_nodes {
  const json_t *world; /* NULL: of none */
  json_t *epoch_models, *preserved;
};

struct cox_txn {
  struct cox_txn *older; /* of the same command, applied before: kept until they are stored */
  struct cox_broker *broker;
  const char *caller; /* of the command, borrowed while its handler runs: whom an admin state is put down to; NULL: nobody */
  struct cox_change **changes; /* by slot */
  size_t capacity;
  size_t end; /* highest slot of a fresh node + 1; 0: none */
  struct cox_change *first, *last;
  struct cox_change_block *blocks; /* where they are */
  struct cox_world_nodes world_nodes;
  json_t *world;  /* NULL: stays; after applying the old one */
  json_t *issued; /* list of names or NULL */
  bool reconciles_all, probes_all;
  const json_t *begun_height, *begun_hash; /* while applying: of the episode that was looked at last */
};

#define SWAP(type, left, right) \
  do {                          \
    type swapped = (left);      \
    (left) = (right);           \
    (right) = swapped;          \
  } while (0)

void cox_txn_init(struct cox_txn *txn, struct cox_broker *broker);
/* Frees everything, the collected changes too. */
void cox_txn_fini(struct cox_txn *txn);
/* Applies all of it in one write section; when there is work, the reconciler is owed a trigger (serve.c). 0, or COX_ENOMEM and nothing happened.
 * Appends one record per durable change to `batch`.                                                                           */
int cox_txn_apply(struct cox_txn *txn, struct cox_batch *batch, struct cox_err *err) COX_EXCLUDES(txn->broker->registry.lock);
/* What was applied will not be undone any more. */
void cox_txn_stand(struct cox_txn *txn) COX_EXCLUDES(txn->broker->registry.lock);
/* Is it an operator's change: one that nothing could compute again? (Nodes, admin states, training; other targets are what a
 * phase asks for.)                                                                                                          */
bool cox_txn_is_durable(const struct cox_txn *txn);

#endif
