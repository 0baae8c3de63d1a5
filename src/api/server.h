/* The inside of the API: what its files share. Threads:
 *   cox-api-0, cox-api-1  libmicrohttpd's: sockets, requests, handlers; they never wait for anything but events; with TLS
 *                         a third one for the control socket
 *   cox-api-waker         resumes connections whose wait ended; sweeps deadlines
 *   cox-api-render        renders what grows with the fleet
 * Locks: the connections', the renderer's and the keys'; two at once only keys before connections.                      */
#ifndef COX_API_SERVER_H
#define COX_API_SERVER_H

#include <stdatomic.h>
#include <stdint.h>

#include "api/api.h"
#include "api/auth.h"
#include "api/connection.h"
#include "api/key.h"
#include "api/render.h"
#include "api/route.h"
#include "api/tally.h"
#include "api/wait.h"
#include "base/thread.h"

struct MHD_Connection;
struct MHD_Daemon;
struct cox_tls;

enum {
  COX_API_THREADS = 2,
  COX_API_SWEEP_MS = 200,
  COX_API_POOL_BYTES = 16 * 1024,             /* per connection: request line and headers together; a path of 10 000 fits */
  COX_API_BODIES_MAX = 64 * 1024 * 1024,      /* of all requests together */
  COX_API_DRAIN_MAX = 8 * COX_BODY_MAX, /* of a refused body, so that its sender can read why */
  COX_API_CONNECTIONS_MAX = 12000,
  COX_API_LOCAL_MAX = 64,                     /* connections of the control socket that speak HTTP, when the others speak TLS */
  COX_API_STREAMS_MAX = 256,                  /* of events, at a time */
  COX_API_PIECE_BYTES = 32 * 1024             /* of a stream, at a time */
};

struct cox_api {
  struct cox_api_options options; /* `listen`, tokens and files of TLS are not kept */
  struct cox_access access;
  struct cox_tls *tls;            /* NULL: plain */
  struct cox_tally tally;
  struct cox_keys keys;
  int64_t command_us, scripts_us;
  int listen_fd;                  /* -1 while it is the daemon's */
  unsigned port;
  uint64_t start;                 /* random: first half of every request id */
  struct MHD_Daemon *daemon;
  struct MHD_Daemon *local;       /* with TLS: the control socket's connections, which are plain; NULL: `daemon` has them */
  struct cox_connections connections;
  struct cox_waker *waker;
  struct cox_renderer renderer;
  struct cox_thread waker_thread;
  atomic_bool is_ready, is_stopping, is_ended;
  atomic_uint named;              /* server threads that have their name */
  atomic_size_t suspended;        /* connections that libmicrohttpd must not be stopped with */
  atomic_size_t busy;             /* requests that are complete and not yet answered in full */
  atomic_size_t body_bytes;       /* held by all requests */
  atomic_size_t streams;          /* of events */
  atomic_uint_fast64_t requests;
};

/* server.c: the daemon of libmicrohttpd on api->listen_fd. 0 or COX_ESYS. */
int cox_server_start(struct cox_api *api, size_t connections_max, struct cox_err *err);
/* What we keep of a connection; NULL: its memory could not be had. */
struct cox_connection *cox_connection_of(struct MHD_Connection *native);
/* Closes everything; nothing may be suspended. */
void cox_server_stop(struct cox_api *api);

#endif
