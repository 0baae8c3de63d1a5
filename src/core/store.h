/* What survives, seen from the core. A store is a log of numbered records and a few tables of named values which are nothing
 * but those records folded (durable.h): one commit writes both. That much can be had from etcd, too: keys, transactions,
 * revisions; the tables' names are its prefixes.
 *
 * A store that fails to write shuts: everything it has taken and not committed fails, in order, and it takes no more until
 * the core has put its own state back (settle) and a test write of the store's own has succeeded. Then it says so (watch). */
#ifndef COX_CORE_STORE_H
#define COX_CORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cox_record;

/* Records that are committed together or not at all. Belongs to the core; the store only has it until `done`. */
struct cox_batch {
  struct cox_batch *next;
  struct cox_record **records; /* each held */
  size_t count, capacity;
  bool is_broken; /* a record could not be made: out of memory */
  /* Exactly once per batch that was taken, from any thread, in the order of append: committed (err NULL) or not. */
  void (*done)(struct cox_batch *batch, const struct cox_err *err);
};

/* Takes `record` (NULL: out of memory, the batch is broken then). */
void cox_batch_add(struct cox_batch *batch, struct cox_record *record);
void cox_batch_fini(struct cox_batch *batch);

/* What a start finds. */
struct cox_stored {
  json_t *tables;  /* {<table>: {<name>: value}}, owned */
  uint64_t seq;    /* of the last record, 0: none */
  uint32_t start;  /* number of this start: counts up with every load, from 1; 0: nothing survives, so there is no count */
  bool is_shut;    /* it can be read but not written now; `watch` tells when that is over */
  struct cox_err why;
};

/* One question for older records than memory holds. Belongs to the asker until `done`. */
struct cox_store_read {
  struct cox_store_read *next;
  uint64_t since; /* records with a greater number */
  uint64_t until; /* and not above this one; set with the answer: as far as was looked */
  size_t max;
  char kind[16], node_id[256]; /* "": any */
  uint64_t first; /* set with the answer: oldest number that the store has, 0: none */
  /* Once, from any thread. `records`: a list in order, borrowed; NULL with the reason in `err`. */
  void (*done)(struct cox_store_read *read, json_t *records, const struct cox_err *err);
};

/* After the answer (`records`, NULL: it could not tell) to a question from `since` to `until`: the number to go on after. `from` and `to`
 * get what the store does not have of it, 0: nothing is missing.                                                                  */
uint64_t cox_store_read_end(const struct cox_store_read *read, const json_t *records, uint64_t since, uint64_t until, uint64_t *from,
                            uint64_t *to);

enum { COX_STORE_HOLD_MS = 50 };

struct cox_store {
  void *ctx;
  /* Start-up only, first of all. 0, or a code with the reason. NULL: there is nothing to load (tests). */
  int (*load)(void *ctx, struct cox_stored *out, struct cox_err *err);
  /* Start-up only: `is_back(arg)` is called, from any thread, whenever the store can be written again after it was shut. */
  void (*watch)(void *ctx, void (*is_back)(void *arg), void *arg);
  /* Any thread; never blocks. 0: taken. COX_EFULL (too much waits) or COX_EDEGRADED (it is shut): not taken. */
  int (*append)(void *ctx, struct cox_batch *batch, struct cox_err *err);
  /* cox-command: the state that failed batches described is put back; test writes may begin. */
  void (*settle)(void *ctx);
  /* Any thread; never blocks. COX_EFULL when too many ask. */
  int (*read)(void *ctx, struct cox_store_read *read, struct cox_err *err);
  /* Any thread; never blocks: writes a copy of everything to a new file while the work goes on. `done` once, from any thread.
   * COX_EBUSY: one is being made. COX_EINVAL: this store has no file.                                                         */
  int (*backup)(void *ctx, const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err);
  /* Any thread; never blocks: keeps at most so many records, and none older than so many seconds (0: as it is). The next quiet
   * moment does it.                                                                                                           */
  void (*compact)(void *ctx, uint64_t records_max, int64_t age_max_s);
  /* Any thread; never blocks. NULL: this store is no burden. True: a long pass is under way, which shares caches and processors with
   * the store's thread; what was taken may wait until it is over (false), but not longer than COX_STORE_HOLD_MS.                   */
  void (*hold)(void *ctx, bool is_held);
  /* Commits what it has taken and ends; every `done` is called before it returns. */
  void (*close)(void *ctx);
};

#endif
