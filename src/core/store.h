/* What survives, seen from the core. Implementations must also be possible on etcd: keys, records, one commit. */
#ifndef COX_CORE_STORE_H
#define COX_CORE_STORE_H

#include <jansson.h>

#include "base/err.h"

struct cox_store {
  void *ctx;
  /* The durable state as one object {"nodes":[…]}, a new reference, NULL with `err` on failure. Start-up only. */
  json_t *(*load)(void *ctx, struct cox_err *err);
  /* cox-command: appends the records of one change (borrowed array of objects). `done(arg, err)` is called exactly
   * once, from any thread, after the commit (err NULL) or its failure. Never blocks.                              */
  void (*append)(void *ctx, json_t *records, void (*done)(void *arg, const struct cox_err *err), void *arg);
  void (*close)(void *ctx);
};

#endif
