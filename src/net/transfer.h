/* HTTP exchanges of one worker: libcurl's multi interface on the worker's epoll, a pool of easy handles, and the limits.
 *
 * libcurl's callbacks only take notes; everything is acted upon by the worker, outside of them. One thread.               */
#ifndef COX_NET_TRANSFER_H
#define COX_NET_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "core/fiber.h"
#include "net/failure.h"

enum {
  COX_TRANSFER_HEADER_MAX = 64 * 1024,   /* bytes of all header lines of an answer */
  COX_TRANSFER_BODY_MAX = 1024 * 1024,   /* bytes, when the request names no limit */
  COX_TRANSFER_LOOKUPS_MAX = 32,         /* names being resolved at a time: each costs a thread of libcurl */
  COX_TRANSFER_ABANDONED_MAX = 256,      /* look-ups given up within 30 s: their threads may live that long */
};

struct cox_transfers;

struct cox_transfer {
  struct cox_transfer *next; /* in the pool */
  struct cox_transfers *owner;
  void *user;
  CURL *easy;
  struct cox_buf body;
  size_t header_len;
  const struct cox_io_request *request; /* borrowed until stopped */
  bool is_running;                      /* libcurl has it */
  bool is_looking;                      /* counted as a look-up */
  bool is_connected;                    /* the request could be sent */
  bool is_repeated;                     /* libcurl would have sent it a second time */
  bool has_header;                      /* the answer's header has come whole */
  bool is_body_over, is_header_over;
  int os_errno;                         /* of making the socket */
  int http_status;
  enum cox_class class_;
  char error[COX_FAILURE_MAX];
  char detail[CURL_ERROR_SIZE];
};

struct cox_transfers {
  CURLM *multi;
  const struct cox_clock *clock;
  int epoll_fd;
  int64_t due_us;  /* when libcurl wants a look, INT64_MAX: not */
  size_t max;      /* transfers at a time */
  size_t running;
  size_t lookups;
  size_t abandons; /* look-ups given up so far; the last ones: */
  int64_t abandoned_us[COX_TRANSFER_ABANDONED_MAX];
  struct cox_transfer *pool;
  size_t pooled;
  struct curl_slist *json_headers, *bare_headers;
  unsigned char *sockets; /* by number: what is known of each */
  size_t socket_capacity;
};

/* 0, COX_ENOMEM or COX_ESYS; after a failure cox_transfers_fini is still to be called. */
int cox_transfers_init(struct cox_transfers *transfers, int epoll_fd, const struct cox_clock *clock, size_t max,
                       struct cox_err *err);
/* Every transfer must have been stopped. */
void cox_transfers_fini(struct cox_transfers *transfers);

enum cox_room { COX_ROOM_FREE, COX_ROOM_NO_SLOT, COX_ROOM_NO_LOOKUP };
/* May a transfer to that address start now? */
enum cox_room cox_transfers_room(const struct cox_transfers *transfers, const char *url);

/* Starts an exchange; `request` and its strings are borrowed until it is stopped. NULL: out of memory. */
struct cox_transfer *cox_transfer_start(struct cox_transfers *transfers, const struct cox_io_request *request, void *user);
/* Its time is over: when it is still running its socket is closed, and its reply says so. */
void cox_transfer_expire(struct cox_transfer *transfer);
/* Ends it: when it is still running its socket is closed before this returns. The transfer goes back to the pool. */
void cox_transfer_stop(struct cox_transfer *transfer);
/* What came of an ended one; borrows from it. */
struct cox_io_reply cox_transfer_reply(const struct cox_transfer *transfer);

/* The socket `fd` has those epoll events. A connection at rest that has any is shut down: libcurl would take what a machine says
 * unasked (the "408" of a proxy that closes it, for one) for the answer to the next request. The idle ones of all events of one
 * epoll_wait come first, before libcurl can close any of them: afterwards a number may be another thread's.                        */
void cox_transfers_idle_event(struct cox_transfers *transfers, int fd, uint32_t events);
void cox_transfers_event(struct cox_transfers *transfers, int fd, uint32_t events);
/* Lets libcurl look at its time-outs when one is due. */
void cox_transfers_tick(struct cox_transfers *transfers, int64_t now_us);
/* Next exchange that has ended since; NULL: none. Its connection is free or closed; stop it after use. */
struct cox_transfer *cox_transfers_take_done(struct cox_transfers *transfers);

#endif
