/* One thread that carries a part of the fleet over HTTP: its listeners, connections and timers. Internal to src/sim.
 *
 * libmicrohttpd runs inside of this thread (external polling), so that accepting, answering, suspending, resuming and
 * closing never race; only the nodes themselves are shared, under the mutex.                                         */
#ifndef COX_SIM_FLEET_SHARD_H
#define COX_SIM_FLEET_SHARD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"
#include "core/timers.h"
#include "sim/fleet_node.h"

struct MHD_Daemon;
struct cox_fleet_exchange;

/* A node and its addresses: [0] management, [1] inference when it has one of its own. */
struct cox_fleet_seat {
  struct cox_fleet_node *node; /* what it does: under the shard's mutex */
  bool is_dirty;               /* under the shard's mutex: a fault was set */
  unsigned port[2];
  /* the shard's thread only, after the start */
  int listen_fd[2]; /* -1: none */
  bool is_listening;
  unsigned starts;
  int64_t armed_us; /* its earliest timer; INT64_MAX: none */
  int first_line;   /* its connections, a list through the lines; -1: none */
  struct cox_fleet_exchange *exchanges; /* its calls that are not answered to the end */
};

/* A connection, found by its descriptor. */
struct cox_fleet_line {
  struct cox_fleet_seat *seat; /* NULL: no connection of ours */
  struct cox_fleet_exchange *exchange; /* the call on it that waits; NULL: none */
  int previous, next;
  bool is_inference;
};

struct cox_fleet_shard {
  struct cox_fleet_seat *seats; /* borrowed: all of the fleet's … */
  unsigned seat_count, first_seat, step; /* … of which first_seat, + step, … are this shard's */
  const struct cox_clock *clock;
  struct cox_thread thread;
  atomic_bool is_stopping;
  int wake_fd, epoll_fd, spare_fd;
  struct cox_mutex mutex; /* guards the nodes, is_dirty and the next two */
  struct cox_cond cond;   /* applied changed */
  uint64_t asked, applied; /* changes of faults, counted */
  /* the thread only */
  struct MHD_Daemon *daemon;
  struct cox_fleet_line *lines; /* by descriptor */
  int line_count;
  struct cox_timers timers; /* registration: a seat's index, or seat_count + a descriptor whose body is slow */
  int64_t now_us;
  bool has_lost;       /* out of memory for a timer: all seats are looked at in the next turn */
  bool has_complained; /* about the limit of open files */
};

/* Zeroed but for the borrowed fields. 0 or an error; then nothing is left. */
int cox_fleet_shard_start(struct cox_fleet_shard *shard, unsigned index, struct cox_err *err);
/* Resets all connections and waits for the thread's end. Nothing happens if it was not started. */
void cox_fleet_shard_stop(struct cox_fleet_shard *shard);
/* Waits until all faults set before are in force. Any thread but the shard's. */
void cox_fleet_shard_apply(struct cox_fleet_shard *shard);

/* ---- for fleet_exchange.c, in the thread ---- */

/* Looks at what the seat's node answers by now, opens or closes its listeners, sets its timer. */
void cox_fleet_seat_settle(struct cox_fleet_shard *shard, struct cox_fleet_seat *seat);
void cox_fleet_shard_arm(struct cox_fleet_shard *shard, int64_t at_us, uint64_t what);
/* A hang-up of that connection is reported to its exchange. 0 or -1. */
int cox_fleet_shard_watch_line(struct cox_fleet_shard *shard, int fd);
void cox_fleet_shard_forget_line(struct cox_fleet_shard *shard, int fd);

/* fleet_exchange.c: one request and its answer. */
struct MHD_Daemon *cox_fleet_exchange_daemon(struct cox_fleet_shard *shard);
/* The node has decided this call. */
void cox_fleet_exchange_answered(struct cox_fleet_shard *shard, struct cox_fleet_call *call);
/* The other side closed the connection while the call waits. */
void cox_fleet_exchange_hang_up(struct cox_fleet_shard *shard, struct cox_fleet_exchange *exchange);
/* One more byte of a slow body. */
void cox_fleet_exchange_drip(struct cox_fleet_shard *shard, struct cox_fleet_exchange *exchange);
/* Ends the connection at once, as a dying process does. */
void cox_fleet_reset_socket(int fd);

#endif
