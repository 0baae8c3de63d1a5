/* The whole state, written anew in one commit after the store missed a part of it. It is put together slice by slice between commands:
 * ten thousand nodes at once would hold up the loop for a tenth of a second. What changes meanwhile is written behind what was
 * taken down before, so that the whole is the state as of its end. All of it on cox-command.                                    */
#ifndef COX_CORE_REWRITE_H
#define COX_CORE_REWRITE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/store.h"

struct cox_broker;
struct cox_ledger;
struct cox_pending;

struct cox_rewrite {
  struct cox_pending *pending; /* owned; NULL: none is under way */
  json_t *kept;                /* as of the beginning, owned */
  void *table, *name;          /* places in it; `table` NULL: all of it was taken down */
  size_t num;                  /* next number of the registry */
  struct cox_batch late;       /* what was kept since: behind all of `kept` */
};

/* Begins one, or begins anew. Nothing that was kept may be waiting for the store. Without memory nothing begins, and it stays owed. */
void cox_rewrite_begin(struct cox_broker *broker);
/* One slice; hands the whole over behind the last one. Returns whether there was anything to do. */
bool cox_rewrite_step(struct cox_broker *broker);
/* A change that the store was given: it belongs into the one under way, too. */
void cox_rewrite_follow(struct cox_ledger *ledger, const struct cox_batch *batch);
/* Gives the one under way up. */
void cox_rewrite_drop(struct cox_ledger *ledger);

#endif
