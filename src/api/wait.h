/* Asynchronous answers: a request whose connection is suspended until somebody ends its wait.
 *
 * A wait ends exactly once: by an answer, by its deadline or because the API stops; whoever is first wins, and only then
 * the waker resumes the connection. A suspended connection lives until it is resumed, so the winner may rely on it and a
 * loser touches nothing but the wait itself, which is counted. That is why a late answer does no harm, even after the
 * API is gone.                                                                                                        */
#ifndef COX_API_WAIT_H
#define COX_API_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/queue.h"

struct MHD_Connection;
struct cox_job;
struct cox_request;

/* The queue of ended waits. Counted, because whoever pushes last may still be waking it when the API ends. */
struct cox_waker {
  atomic_uint references;
  struct cox_queue ended; /* struct cox_wait; bounded by the connections */
  atomic_size_t busy;     /* 1: connections are being resumed, so the library must not end */
};

struct cox_waker *cox_waker_create(struct cox_err *err);
void cox_waker_release(struct cox_waker *waker);
/* cox-api-waker: sleeps at most `timeout_ms`, or until `hangup_fd` is readable, then resumes all connections whose waits ended, together: each resume walks
 * all suspended connections of its thread, but those that fall together share one walk.                                 */
void cox_waker_turn(struct cox_waker *waker, int hangup_fd, int timeout_ms);

enum cox_wait_end { COX_WAIT_OPEN, COX_WAIT_ANSWERED, COX_WAIT_EXPIRED, COX_WAIT_STOPPED, COX_WAIT_GONE /* the client hung up */ };

struct cox_wait {
  struct cox_queue_link link; /* of the waker's queue */
  atomic_uint references;
  atomic_int end;             /* enum cox_wait_end */
  struct cox_waker *waker;    /* held */
  struct MHD_Connection *native;
  struct cox_job *job;        /* whose turn it is then, instead of a connection's; NULL: none */
  void (*destroy)(struct cox_wait *wait); /* frees what embeds it */
};

/* The request waits from now on: suspends its connection. Only from its handler or resume function, which return after
 * they arranged for cox_wait_finish(ANSWERED). The request takes the first reference; `destroy` must be set.           */
void cox_wait_begin(struct cox_wait *wait, struct cox_request *request, int64_t deadline_us);
/* Any thread. False: it had ended before. */
bool cox_wait_finish(struct cox_wait *wait, enum cox_wait_end end);
enum cox_wait_end cox_wait_end(struct cox_wait *wait);
struct cox_wait *cox_wait_hold(struct cox_wait *wait);
void cox_wait_release(struct cox_wait *wait);

#endif
