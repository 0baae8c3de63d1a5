/* One websocket of a made-up chain: frames, and the JSON-RPC methods that a subscriber calls. Owned by the thread of chain_ws.c. */
#ifndef COX_SIM_CHAIN_WS_CLIENT_H
#define COX_SIM_CHAIN_WS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wslay/wslay.h>

struct cox_chain_ws_client {
  struct cox_chain_ws_client *next; /* of chain_ws.c */
  int fd;
  wslay_event_context_ptr frames;
  char *extra; /* read with the handshake, not yet parsed */
  size_t extra_bytes, extra_at;
  char *subscription;    /* JSON text of the id of its subscription to NewBlock; NULL: none */
  void (*end)(void *handle);
  void *handle;
  int64_t heard_us, pinged_us;
  int64_t cut_at_us;     /* 0: not closing */
  bool is_muted;         /* reads and forgets, says nothing */
  bool is_write_watched; /* of chain_ws.c */
  bool has_ended;        /* to be destroyed */
};

/* NULL: out of memory; `end` was not called then. */
struct cox_chain_ws_client *cox_chain_ws_client_create(int fd, const void *extra, size_t extra_bytes, void (*end)(void *handle),
                                                       void *handle);
/* Closes the socket by its `end`. */
void cox_chain_ws_client_destroy(struct cox_chain_ws_client *client);

/* Reads and answers what is there (answers are queued). */
void cox_chain_ws_client_read(struct cox_chain_ws_client *client);
/* Writes what the socket takes; ends when both sides have closed. */
void cox_chain_ws_client_write(struct cox_chain_ws_client *client);
bool cox_chain_ws_client_wants_write(const struct cox_chain_ws_client *client);
/* Queues an event when subscribed. False: not subscribed, or nothing is said any more. */
bool cox_chain_ws_client_announce(struct cox_chain_ws_client *client, const char *result);
/* Queues a close frame; with code 0 it ends without one. */
void cox_chain_ws_client_close(struct cox_chain_ws_client *client, uint16_t code, int64_t now_us);
/* Pings when due; ends one that has been silent for too long. */
void cox_chain_ws_client_tick(struct cox_chain_ws_client *client, int64_t now_us, int64_t ping_us);

#endif
