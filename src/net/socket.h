/* Websockets of one worker: libcurl connects (names, TLS), libwslay makes the frames, the worker's epoll drives both.
 *
 * Each socket has a multi handle of its own: a connection that was only made is idle in libcurl's eyes, and beside others it might be
 * closed to make room. Everything is read until nothing more is there before the loop sleeps; while messages wait to be received,
 * reading stops at a limit, and so does the other side. One thread.                                                              */
#ifndef COX_NET_SOCKET_H
#define COX_NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "core/fiber.h"

enum {
  COX_SOCKETS_MAX = 64,                  /* of a worker */
  COX_SOCKET_MESSAGE_MAX = 8 << 20,      /* bytes, when the request names no limit */
  COX_SOCKET_INBOX_MAX = 1024,           /* messages that wait to be received */
};

struct cox_socket;

struct cox_sockets {
  const struct cox_clock *clock;
  int epoll_fd;
  struct cox_socket *first;
  size_t count;
  uint64_t last; /* number given out */
};

void cox_sockets_init(struct cox_sockets *sockets, int epoll_fd, const struct cox_clock *clock);

/* Begins to connect. NULL with half a sentence in `*why`. `user` is handed back by cox_sockets_take_settled. */
struct cox_socket *cox_socket_open(struct cox_sockets *sockets, const struct cox_io_request *request, void *user, const char **why);
/* Ends it: with a close frame when it is open and the system takes it at once. Its socket is closed before this returns. */
void cox_socket_close(struct cox_socket *socket);
uint64_t cox_socket_number(const struct cox_socket *socket);

/* Begins one of the COX_IO_SOCKET_… kinds but OPEN and CLOSE (opening has begun with cox_socket_open). */
void cox_socket_ask(struct cox_socket *socket, const struct cox_io_request *request);
/* Its time is over. A message half written ends the socket; otherwise it stays as it is. */
void cox_socket_expire(struct cox_socket *socket);
/* Does it still wait for what was asked? */
bool cox_socket_is_waiting(const struct cox_socket *socket);
/* What came of it; borrows from the socket until the next ask. */
struct cox_io_reply cox_socket_reply(struct cox_socket *socket);
/* Nobody waits any more (the fiber ends). */
void cox_socket_forget(struct cox_socket *socket);

/* False: that descriptor is none of theirs. */
bool cox_sockets_event(struct cox_sockets *sockets, int fd, uint32_t events);
void cox_sockets_tick(struct cox_sockets *sockets, int64_t now_us);
/* When the next tick is due, INT64_MAX: no need. */
int64_t cox_sockets_due(const struct cox_sockets *sockets);
/* The `user` of a socket that has what was asked for; each once. NULL: none. */
void *cox_sockets_take_settled(struct cox_sockets *sockets);

#endif
