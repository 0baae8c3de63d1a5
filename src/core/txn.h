/* One command's view of the registry and its collected effects, applied in one short write section, all or nothing.
 * Only on cox-command, which is the only writer of what is read here; valid until the handler returns.
 *
 * A `slot` names a node inside of one transaction: 0 … cox_txn_count()-1 are the registered nodes (in order of
 * node_num), new ones follow. Effects are seen by later reads of the same transaction.                              */
#ifndef COX_CORE_TXN_H
#define COX_CORE_TXN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "core/admin.h"
#include "core/status.h"
#include "core/target.h"

struct cox_txn;

enum { COX_TXN_NONE = -1 };

/* What policy may see of a node. Pointers are borrowed until the transaction ends. */
struct cox_txn_node {
  json_t *id; /* string */
  int node_num;
  json_t *config;
  struct cox_admin admin;
  enum cox_status intended, current; /* intended is UNKNOWN when there is no target */
  enum cox_poc intended_poc, current_poc;
  struct cox_target *target;   /* may be NULL */
  const char *failure_reason;  /* may be NULL */
  json_t *epoch_models;        /* of this node in this epoch: [{id, model_args}], may be NULL */
  bool is_preserved;
};

size_t cox_txn_count(struct cox_txn *txn); /* with those registered, without those removed in this transaction: skip removed slots */
bool cox_txn_read(struct cox_txn *txn, int slot, struct cox_txn_node *out); /* false: removed */
void cox_txn_read_target(struct cox_txn *txn, int slot, struct cox_txn_node *out); /* only what cox_txn_intend changes */
int cox_txn_find(struct cox_txn *txn, const char *id); /* slot or COX_TXN_NONE */

/* The world: an object, borrowed. NULL before the first block. Plus what the core adds at reading:
 * nothing; `cox_txn_episode` gives the node count.                                               */
json_t *cox_txn_world(struct cox_txn *txn);
/* Replaces the world when the command is done (takes no reference of its own beyond the call's; increments). Also
 * notes height → hash for cox_txn_block_hash.                                                                     */
void cox_txn_set_world(struct cox_txn *txn, json_t *world);
/* Hash of one of the last 256 blocks seen, or NULL. */
const char *cox_txn_block_hash(struct cox_txn *txn, int64_t height);
/* node_count of the PoC episode that starts at that block: fixed when its first PoC target is set, until then the
 * highest registered node number + 1.                                                                            */
int cox_txn_node_count(struct cox_txn *txn, int64_t block_height, const char *block_hash);

/* Sets the intent. Takes the only reference to `target` (NULL: it could not be made, `err` says why). 1: changed, 0: equal to what it
 * has, negative: error.                                                                                                             */
int cox_txn_intend(struct cox_txn *txn, int slot, struct cox_target *target, struct cox_err *err);

/* Nodes. register of a known id and update of an unknown one are errors; both give the slot, or a negative code with
 * the reason. A new registration is enabled at the present epoch (0 before the first block of the process).           */
int cox_txn_register(struct cox_txn *txn, json_t *object, struct cox_err *err);
int cox_txn_update(struct cox_txn *txn, json_t *object, struct cox_err *err);
bool cox_txn_remove(struct cox_txn *txn, const char *id);
/* `admin`: without an actor, which is the command's caller; its reason is borrowed. 0, COX_ENOENT or COX_ENOMEM. */
int cox_txn_set_admin(struct cox_txn *txn, const char *id, const struct cox_admin *admin, struct cox_err *err);

/* Names the command that is due after this one; it runs next on the same thread as its own transaction when anything
 * that it decides from changed since it last succeeded, or resync_s passed. Its outcome stands in the answer's
 * `result.issued` ([{name, status, reason?}]).                                                                        */
void cox_txn_issue(struct cox_txn *txn, const char *name);

/* Ends backoffs (id NULL: of all nodes); with an id also cancels and restarts the attempt in flight. Returns nodes
 * triggered, or COX_ENOENT.                                                                                           */
int cox_txn_reconcile(struct cox_txn *txn, const char *id);
/* Probes now. Returns nodes triggered, or COX_ENOENT. */
int cox_txn_probe(struct cox_txn *txn, const char *id);

#endif
