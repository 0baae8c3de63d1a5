/* Who runs attempts. The reconciler calls it; completions come back through cox_broker_complete. */
#ifndef COX_CORE_TRANSPORT_H
#define COX_CORE_TRANSPORT_H

#include "core/attempt.h"

struct cox_transport {
  void *ctx;
  unsigned workers; /* attempts carry worker < workers */
  /* Takes the attempt; gives it back exactly once by cox_broker_complete, from any thread. Never blocks. */
  void (*start)(void *ctx, struct cox_attempt *attempt);
  /* Asks to end the attempt of that number now: every transfer of it is closed and its completion comes with
   * COX_CLASS_CANCELLED, unless it was finished already. Unknown numbers are ignored. Never blocks.          */
  void (*cancel)(void *ctx, unsigned worker, uint64_t attempt);
};

#endif
