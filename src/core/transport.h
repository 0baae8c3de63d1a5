/* Who runs attempts. The reconciler calls it; completions come back through cox_broker_complete. */
#ifndef COX_CORE_TRANSPORT_H
#define COX_CORE_TRANSPORT_H

#include "core/answer.h"
#include "core/attempt.h"

struct cox_transport {
  void *ctx;
  unsigned workers; /* attempts carry worker < workers */
  /* Takes the attempt; gives it back exactly once by cox_broker_complete, from any thread. Never blocks. */
  void (*start)(void *ctx, struct cox_attempt *attempt);
  /* Asks to end the attempt of that number now: every transfer of it is closed and its completion comes with
   * COX_CLASS_CANCELLED, unless it was finished already. Unknown numbers are ignored. Never blocks.          */
  void (*cancel)(void *ctx, unsigned worker, uint64_t attempt);
  /* Runs a chore: a command whose handler may wait, and so runs on a worker and not on cox-command. Answers exactly once, from
   * any thread; `args` is borrowed for the call. 0, COX_EFULL or COX_ENOMEM (then `reply` is not called). NULL: there are none. */
  int (*chore)(void *ctx, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err);
};

#endif
