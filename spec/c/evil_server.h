/* A server on a raw socket of 127.0.0.1 that does to its clients what a bad machine does. What it does stands in a table: the
 * path of the request names a list of steps. One thread; it counts everything a test may want to know.                        */
#ifndef SPEC_EVIL_SERVER_H
#define SPEC_EVIL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum evil_op {
  EVIL_END,    /* of the list: the connection stays open and silent until the client leaves */
  EVIL_SEND,   /* `text`, `count` times (0: once; EVIL_FOREVER: without end) */
  EVIL_DRIP,   /* the same, but `ms` milliseconds before each */
  EVIL_PAUSE,  /* `ms` milliseconds */
  EVIL_CLOSE,  /* in good order */
  EVIL_RESET,  /* RST */
  EVIL_NEXT,   /* wait for the next request on this connection */
  EVIL_GATE,   /* go on when evil_server_open_gate was called */
};

enum { EVIL_STEPS_MAX = 8, EVIL_FOREVER = -1 };

struct evil_step {
  enum evil_op op;
  const char *text;
  int count;
  int ms;
};

/* A request matches when its path up to a '?' is equal. Routes that match nothing: 200 with the body "ok". Nobody may ask for
 * "" : such a route is done to each connection as soon as it is accepted, before a request.                                    */
struct evil_route {
  const char *path;
  struct evil_step steps[EVIL_STEPS_MAX];
};

enum evil_event { EVIL_ACCEPTED, EVIL_REQUEST, EVIL_LEFT };

struct evil_server;

struct evil_options {
  const struct evil_route *routes;
  size_t route_count;
  /* Called in the server's thread, NULL: nobody listens. `path` is that of the last request of the connection, with what
   * stands behind the '?', "" when there was none.                                                                       */
  void (*on_event)(void *ctx, enum evil_event event, const char *path);
  void *ctx;
};

struct evil_server *evil_server_create(const struct evil_options *options);
/* Closes everything. */
void evil_server_destroy(struct evil_server *server);
int evil_server_port(const struct evil_server *server);
/* "http://127.0.0.1:PORT" + path, in a ring of a few thousand texts that live as long as the server. */
const char *evil_url(struct evil_server *server, const char *path);

struct evil_counts {
  size_t accepted; /* connections so far */
  size_t open;     /* of them, not closed by either side yet */
  size_t requests; /* whole requests so far */
  size_t posts;    /* of them with the method POST */
  size_t left;     /* connections that the client closed or broke */
};
struct evil_counts evil_server_counts(struct evil_server *server);
/* Requests for that path (without a '?') so far. */
size_t evil_server_requests(struct evil_server *server, const char *path);
/* The last whole request, header and body as they came. Lives until the next call. */
const char *evil_server_last_request(struct evil_server *server);

/* Each waits for at most 20 s and fails the test after that. */
void evil_server_wait_requests(struct evil_server *server, size_t requests); /* at least so many */
void evil_server_wait_open(struct evil_server *server, size_t open);         /* exactly so many */
/* Lets all that wait at a gate go on, and those that come later. */
void evil_server_open_gate(struct evil_server *server);

/* A port of 127.0.0.1 that answers no attempt to connect while it is held; -1: this system cannot do that. */
struct evil_wall {
  int listener, port;
  int fillers[8];
};
void evil_wall_init(struct evil_wall *wall);
void evil_wall_fini(struct evil_wall *wall);
/* A port of 127.0.0.1 that refuses. */
int evil_closed_port(void);

#endif
