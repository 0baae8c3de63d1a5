/* What decides: the loaded set of scripts, seen from the core. */
#ifndef COX_CORE_POLICY_H
#define COX_CORE_POLICY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/answer.h"
#include "core/status.h"

struct cox_txn;

enum cox_priority { COX_PRIORITY_HIGH, COX_PRIORITY_LOW, COX_PRIORITY_COUNT };

struct cox_policy {
  void *ctx;
  /* Any thread: does a handler of that name exist, and how urgent is it? 0 or COX_ENOENT. */
  int (*lookup)(void *ctx, const char *name, enum cox_priority *priority);
  /* Any thread: seconds a driver of that kind may need for that status (COX_STATUS_UNKNOWN: for a probe); 0: no such driver. */
  double (*limit_s)(void *ctx, const char *kind, enum cox_status status);
  /* cox-command only: run a handler. Effects go into `txn` and are applied by the caller when the outcome is DONE. */
  void (*run)(void *ctx, const char *name, json_t *args, struct cox_txn *txn, struct cox_answer *answer);
  /* Any thread: is that command a chore, whose handler may wait and runs on a worker? NULL: there are none. */
  bool (*waits)(void *ctx, const char *name);
  /* Any thread: number of the live generation, from 1. */
  uint64_t (*generation)(void *ctx);
  /* cox-command only, between two commands: the moment to change the live generation. True: it was changed, and the command that
   * is due is run again on all nodes. Called again after that. NULL: it never changes.                                           */
  bool (*turn)(void *ctx);
};

#endif
