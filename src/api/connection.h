/* The life of the connections: what each is doing and until when it may. libmicrohttpd counts only inactivity, so that a
 * client which sends one byte every few seconds would stay for ever: a sweep cuts those.                              */
#ifndef COX_API_CONNECTION_H
#define COX_API_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/lock.h"

struct cox_wait;
struct cox_holding;

enum cox_phase {
  COX_PHASE_RECEIVING, /* idle, or a request is not complete: cut at the deadline */
  COX_PHASE_WAITING,   /* suspended: its wait expires at the deadline */
  COX_PHASE_SENDING    /* an answer is on its way: cut at the deadline */
};

struct cox_connections {
  struct cox_mutex mutex; /* guards the next two, and in each connection what is marked with it */
  struct cox_connection *first;
  bool is_stopped;
  int hangup_fd;      /* fixed: an epoll of the sockets whose hang-up ends a wait; -1: there is none */
  int64_t request_us; /* fixed: until a request is complete */
  int64_t send_us;    /* fixed: until an answer is sent */
  size_t kept_max;    /* fixed: of those that wait or hold leases; the others are left for requests that are answered at once */
  atomic_size_t kept; /* of those, so many are there */
};

struct cox_connection {
  struct cox_connections *owner;
  int fd;
  char address[46];                    /* fixed: of the client, as text; "" over a unix socket */
  bool is_local;                       /* fixed: over the control socket, which lets in only root and the daemon's user */
  uid_t uid;                           /* fixed: then, whose it is */
  atomic_int phase;
  atomic_int_fast64_t deadline_us;     /* monotonic */
  struct cox_wait *wait;               /* mutex; borrowed; NULL unless WAITING */
  bool is_watched;                     /* mutex; in hangup_fd */
  bool is_holding;                     /* its thread only: leases bind it, it may be idle */
  bool is_kept;                        /* its thread only: counted in `kept` */
  struct cox_holding *holding;         /* its thread only; owned; NULL: none */
  struct cox_connection *prev, *next;  /* mutex */
};

void cox_connections_init(struct cox_connections *connections, size_t connections_max, int64_t request_us, int64_t send_us);
/* May one more wait for long, or be idle and hold leases? Else nobody could ask how the daemon is. */
bool cox_connections_may_keep(const struct cox_connections *connections);
/* All must be closed. */
void cox_connections_fini(struct cox_connections *connections);
/* Cuts and expires what is past its deadline. */
void cox_connections_sweep(struct cox_connections *connections);
/* Ends the waits of watched connections whose clients hung up. */
void cox_connections_hear(struct cox_connections *connections);
/* Ends all waits with COX_WAIT_STOPPED, those that begin later too. */
void cox_connections_stop(struct cox_connections *connections);

struct sockaddr;
/* `from` (NULL: unknown) is where the client is. NULL: out of memory. */
struct cox_connection *cox_connection_open(struct cox_connections *connections, int fd, const struct sockaddr *from);
/* Before its socket is closed. */
void cox_connection_close(struct cox_connection *connection);
void cox_connection_receive(struct cox_connection *connection);
/* Between two requests. */
void cox_connection_rest(struct cox_connection *connection);
/* While it waits: the client's hang-up ends its wait with COX_WAIT_GONE. (The library does not look at suspended connections.) */
void cox_connection_watch(struct cox_connection *connection);
void cox_connection_wait(struct cox_connection *connection, struct cox_wait *wait, int64_t deadline_us);
/* It waits no more: nobody looks at the wait afterwards. */
void cox_connection_awake(struct cox_connection *connection);
void cox_connection_send(struct cox_connection *connection);

#endif
