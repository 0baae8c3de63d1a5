/* One worker: a thread with one event loop and one VM set, which runs fibers until it is told to end. Internal to src/net. */
#ifndef COX_NET_WORKER_H
#define COX_NET_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"
#include "core/broker.h"
#include "core/fiber.h"
#include "net/mailbox.h"
#include "net/net.h"
#include "net/run.h"
#include "net/transfer.h"

/* Where finished attempts and the commands of jobs go: the broker, or a test. Any thread; never blocks. */
struct cox_net_sink {
  void *ctx;
  void (*complete)(void *ctx, struct cox_attempt *attempt); /* takes it */
  /* As cox_broker_submit_as without a condition. */
  int (*submit)(void *ctx, const char *caller, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err);
};

/* As cox_net_create, with another sink; options->broker is not used. */
struct cox_net *cox_net_create_with(const struct cox_net_options *options, const struct cox_net_sink *sink, struct cox_err *err);

struct cox_worker {
  /* any thread */
  struct cox_mailbox *mailbox;
  atomic_bool is_stopping;
  atomic_bool has_lost_cancel; /* there was no memory for one: all attempts are ended, and those still wanted come again */
  struct cox_thread thread;
  const struct cox_clock *clock;
  const struct cox_fiber_ops *ops;
  const struct cox_net_sink *sink;
  /* how the start went */
  struct cox_mutex mutex; /* guards the next three */
  struct cox_cond cond;
  bool is_up;
  struct cox_err err; /* code 0: it runs */
  /* the worker's thread only */
  void *vm;
  int epoll_fd;
  struct cox_transfers transfers;
  struct cox_sockets sockets;
  struct cox_programs programs;
  struct cox_alarms alarms;
  struct cox_run_table attempts;
  struct cox_run *jobs;
  size_t job_count;
  struct cox_run *chores;
  size_t chore_count;
  struct cox_run_list ready;  /* their reply is there */
  struct cox_run_list fresh;  /* not started yet */
  int64_t paced_until_us;     /* while many transfers run and are answered, no fiber is started before */
  bool is_quiet;              /* the last look at the sockets brought nothing */
  struct cox_run_list queued; /* wait for a free transfer */
  struct cox_run_list named;  /* wait for a free look-up */
};

/* Starts the thread and waits until its VM is there; at most `transfers_max` transfers at a time. The struct must be
 * zeroed and outlive the thread. After a failure nothing is left to do.                                              */
int cox_worker_start(struct cox_worker *worker, unsigned index, size_t transfers_max, const struct cox_net_options *options,
                     const struct cox_net_sink *sink, struct cox_err *err);
/* Any thread; never blocks. Takes the attempt. */
void cox_worker_post(struct cox_worker *worker, struct cox_attempt *attempt);
/* Any thread; never blocks. */
void cox_worker_cancel(struct cox_worker *worker, uint64_t attempt);
/* Any thread but the worker's: waits until the job was begun, or could not be. */
int cox_worker_start_job(struct cox_worker *worker, const char *name, struct cox_err *err);
/* Any thread but the worker's: ends all jobs and begins those of that list; waits until it is done. */
int cox_worker_renew_jobs(struct cox_worker *worker, const json_t *names, struct cox_err *err);
/* Any thread; never blocks. See core/transport.h. */
int cox_worker_chore(struct cox_worker *worker, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err);
/* Asks the thread to end; cox_worker_join waits until it has ended everything, and frees all. */
void cox_worker_stop(struct cox_worker *worker);
void cox_worker_join(struct cox_worker *worker);

/* drive.c: brings runs forward. The worker's thread only, never inside of a fiber's call. */

/* Takes an attempt in; it starts at a later turn. */
void cox_drive_admit(struct cox_worker *worker, struct cox_attempt *attempt);
/* The first start, which says whether there is such a job. */
int cox_drive_begin_job(struct cox_worker *worker, const char *name, struct cox_err *err);
/* Ends all jobs and begins those of the list. One that cannot be begun is logged, and the first is told. */
void cox_drive_renew_jobs(struct cox_worker *worker, const json_t *names, struct cox_err *err);
/* Takes a chore in. Takes the note. */
void cox_drive_chore(struct cox_worker *worker, struct cox_note *note);
/* Starts or resumes it until it waits again or is done. */
void cox_drive_advance(struct cox_worker *worker, struct cox_run *run);
/* Its alarm went off. */
void cox_drive_alarm(struct cox_worker *worker, struct cox_run *run, int64_t now_us);
/* Its command was answered. Takes the note. */
void cox_drive_answer(struct cox_worker *worker, struct cox_note *note);
/* Puts waiting requests on the wire as far as there is room. */
void cox_drive_feed(struct cox_worker *worker);
/* Closes what it has open, as the first half of ending an attempt; cox_drive_end must follow. */
void cox_drive_hang_up(struct cox_run *run);
/* Ends it before its time and gives it back; a job is forgotten, a chore is answered. */
void cox_drive_end(struct cox_worker *worker, struct cox_run *run, enum cox_fiber_end why);

#endif
