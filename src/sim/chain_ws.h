/* The websockets of a made-up chain: JSON-RPC subscriptions to NewBlock, and what can go wrong with them. One thread of its own
 * owns all of them; the functions here only post to it and may be called from any thread.                                      */
#ifndef COX_SIM_CHAIN_WS_H
#define COX_SIM_CHAIN_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

struct cox_chain_ws;

/* `ping_ms`: a peer is pinged that often, and cut when nothing came from it within a ninth of that (CometBFT: 27 and 3 s).
 * The clock is borrowed. NULL with the reason in `err`.                                                                          */
struct cox_chain_ws *cox_chain_ws_create(const struct cox_clock *clock, int64_t ping_ms, struct cox_err *err);
/* Closes all (code 1001) and ends the thread. No other call may be under way. */
void cox_chain_ws_destroy(struct cox_chain_ws *ws);

/* A socket whose handshake is done, with what was read from it beyond that. `end(handle)` is called exactly once, on the thread
 * of the websockets or here; it closes the socket.                                                                            */
void cox_chain_ws_adopt(struct cox_chain_ws *ws, int fd, const void *extra, size_t extra_bytes, void (*end)(void *handle), void *handle);

/* Is any websocket open? When not, an event need not be made. */
bool cox_chain_ws_has_any(struct cox_chain_ws *ws);
/* Sends a NewBlock event to all who have subscribed; `result` is its JSON text, taken (free). False: so many are waiting to be
 * sent that this one was dropped.                                                                                             */
bool cox_chain_ws_announce(struct cox_chain_ws *ws, char *result);

/* Those open now say nothing any more, pongs included, and stay open; with `is_lasting` so do those that come, until it is called
 * with false. Nothing brings a muted one back.                                                                                   */
void cox_chain_ws_mute(struct cox_chain_ws *ws, bool is_lasting);
void cox_chain_ws_unmute(struct cox_chain_ws *ws);
/* Ends all: with a close frame of that code, or with code 0 by closing the sockets. */
void cox_chain_ws_close(struct cox_chain_ws *ws, uint16_t code);

struct cox_chain_ws_counts {
  uint64_t open;
  uint64_t subscribed;
  uint64_t adopted; /* since the start */
  uint64_t sent;    /* events, to each subscriber */
  uint64_t dropped; /* events that found too many waiting */
};
struct cox_chain_ws_counts cox_chain_ws_counts(struct cox_chain_ws *ws);

#endif
