/* The running chain: the state machine under a lock, the thread that makes blocks, and what HTTP and websockets ask of it.
 * Private to the chain simulator; sim.h has the public face.                                                               */
#ifndef COX_SIM_CHAIN_SIM_H
#define COX_SIM_CHAIN_SIM_H

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"
#include "sim/chain_faults.h"
#include "sim/chain_feed.h"
#include "sim/chain_state.h"
#include "sim/chain_tx.h"
#include "sim/chain_ws.h"
#include "sim/sim.h"

struct cox_chain_http;

enum { COX_CHAIN_ADVANCE_MAX = 1000000 };

struct cox_sim_chain {
  const struct cox_clock *clock;
  int64_t block_ms;
  size_t block_bytes;
  struct cox_chain_ws *ws;
  struct cox_chain_http *http;
  struct cox_thread ticker; /* "cox-sim-chain": makes the blocks; not started when block_ms is 0 */
  struct cox_cond cond;     /* of `mutex`: is_stopping was set, or a handshake has ended */
  /* Guards all that follows. No I/O under it: announcements are posted to the websockets' thread. */
  struct cox_mutex mutex;
  bool is_stopping;
  unsigned handshakes; /* answered with 101, the socket not yet handed over: MHD must not be stopped before that */
  struct cox_chain_state *state;
  struct cox_chain_faults faults;
  struct cox_chain_feed feed;
  struct cox_chain_txs txs;
  uint64_t requests[COX_CHAIN_ROUTE_COUNT];
};

/* The height that the node admits: behind the newest one while it is catching up. */
int64_t cox_chain_view_locked(const struct cox_sim_chain *chain) COX_REQUIRES(chain->mutex);
/* A block as the node shows it (old-time), with the hash of the one before ("" for the first). False: there is none. */
bool cox_chain_show_locked(const struct cox_sim_chain *chain, int64_t height, struct cox_chain_block *block,
                           char last_hash[COX_CHAIN_HASH_BYTES]) COX_REQUIRES(chain->mutex);
/* Applies all specs or none of them. 0 or COX_EINVAL. */
int cox_chain_apply_faults(struct cox_sim_chain *chain, const char *const *specs, size_t count, struct cox_err *err)
    COX_EXCLUDES(chain->mutex);
/* Waits, but ends at once when the chain stops. */
void cox_chain_wait_ms(struct cox_sim_chain *chain, int64_t wait_ms) COX_EXCLUDES(chain->mutex);

#endif
