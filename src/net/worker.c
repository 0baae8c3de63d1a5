#include "net/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"

enum {
  EVENTS_MAX = 256,        /* taken from epoll at once */
  RESUMES_MAX = 256,       /* replies given to fibers per turn */
  STARTS_MAX = 64,         /* fibers started per turn: each may connect, and a cancel must not wait for many of them */
  CROWD = 104,             /* so many transfers at a time keep a worker busy while answers come quickly: more only cost memory */
  QUIET_MS = 2,            /* so long without an event, with fibers waiting to start: the nodes are slow, more may go on the wire */
  PACE_US = 100000,        /* and so long at most, whatever trickles in */
  POLL_MAX_US = 1000000,   /* the loop turns at least once a second, whatever was missed */
};

/* ---- mail ---- */

/* All sockets first: the machines learn of it before the scripts are wound up one by one. */
static void hang_up(struct cox_worker *worker, struct cox_queue_link *link) {
  for (; link != NULL; link = link->next) {
    const struct cox_note *const note = COX_CONTAINER(link, struct cox_note, link);
    struct cox_run *const run = note->kind == COX_NOTE_CANCEL ? cox_run_table_find(&worker->attempts, note->attempt) : NULL;
    if (run != NULL) cox_drive_hang_up(run);
  }
}

static void take_notes(struct cox_worker *worker, struct cox_queue_link *link) {
  while (link != NULL) {
    struct cox_note *const note = COX_CONTAINER(link, struct cox_note, link);
    link = link->next;
    switch (note->kind) {
      case COX_NOTE_ANSWER: cox_drive_answer(worker, note); continue;
      case COX_NOTE_CHORE: cox_drive_chore(worker, note); continue;
      case COX_NOTE_CANCEL: {
        struct cox_run *const run = cox_run_table_find(&worker->attempts, note->attempt);
        if (run != NULL) cox_drive_end(worker, run, COX_END_CANCELLED);
        break;
      }
      case COX_NOTE_JOB: {
        struct cox_job_order *const order = note->order;
        struct cox_err err = {0};
        if (order->name != NULL) cox_drive_begin_job(worker, order->name, &err);
        else cox_drive_renew_jobs(worker, order->names, &err);
        cox_mutex_lock(&order->mutex);
        order->err = err;
        order->is_done = true;
        cox_cond_signal(&order->cond);
        cox_mutex_unlock(&order->mutex); /* from here on the order may be gone */
        break;
      }
    }
    cox_note_destroy(note);
  }
}

static void end_attempts(struct cox_worker *worker) {
  size_t from = 0;
  for (struct cox_run *run; (run = cox_run_table_next(&worker->attempts, &from)) != NULL;)
    cox_drive_end(worker, run, COX_END_CANCELLED);
}

/* Admitting is cheap, the fibers start later: so cancels are never held up by a flood of starts. */
static void take_mail(struct cox_worker *worker) {
  const bool has_lost_cancel = atomic_exchange(&worker->has_lost_cancel, false);
  struct cox_queue_link *const notes = cox_queue_take(&worker->mailbox->notes);
  struct cox_queue_link *link = cox_queue_take(&worker->mailbox->attempts);
  while (link != NULL) {
    struct cox_attempt *const attempt = COX_CONTAINER(link, struct cox_attempt, link);
    link = link->next;
    cox_drive_admit(worker, attempt);
  }
  hang_up(worker, notes);
  take_notes(worker, notes);
  if (has_lost_cancel) end_attempts(worker);
}

/* In the middle of long work. */
static void glance_at_mail(struct cox_worker *worker) {
  if (cox_mailbox_has_notes(worker->mailbox)) take_mail(worker);
}

/* ---- the loop ---- */

static bool is_paced(const struct cox_worker *worker, int64_t now_us) {
  return worker->transfers.running >= CROWD && !worker->is_quiet && now_us < worker->paced_until_us;
}

static int poll_ms(const struct cox_worker *worker) {
  const int64_t now_us = cox_clock_mono_us(worker->clock);
  if (worker->ready.first != NULL || cox_programs_has_ended(&worker->programs)) return 0;
  if (worker->fresh.first != NULL) return is_paced(worker, now_us) ? QUIET_MS : 0;
  int64_t until_us = now_us + POLL_MAX_US;
  if (worker->transfers.due_us < until_us) until_us = worker->transfers.due_us;
  if (cox_alarms_next(&worker->alarms) < until_us) until_us = cox_alarms_next(&worker->alarms);
  if (cox_sockets_due(&worker->sockets) < until_us) until_us = cox_sockets_due(&worker->sockets);
  return until_us <= now_us ? 0 : (int)((until_us - now_us + 999) / 1000);
}

static void collect_done(struct cox_worker *worker) {
  for (struct cox_transfer *transfer; (transfer = cox_transfers_take_done(&worker->transfers)) != NULL;)
    cox_run_list_add(&worker->ready, transfer->user);
  for (struct cox_run *run; (run = cox_sockets_take_settled(&worker->sockets)) != NULL;) cox_run_list_add(&worker->ready, run);
  for (struct cox_run *run; (run = cox_programs_take_ended(&worker->programs)) != NULL;) cox_run_list_add(&worker->ready, run);
}

static void serve_sockets(struct cox_worker *worker) {
  struct epoll_event events[EVENTS_MAX];
  const int count = epoll_wait(worker->epoll_fd, events, EVENTS_MAX, poll_ms(worker));
  worker->is_quiet = count == 0;
  for (int i = 0; i < count; i++) cox_transfers_idle_event(&worker->transfers, events[i].data.fd, events[i].events);
  for (int i = 0; i < count; i++) {
    const int fd = events[i].data.fd;
    if (fd == worker->mailbox->attempts.event_fd || fd == worker->mailbox->notes.event_fd) continue; /* taken below */
    if (!cox_sockets_event(&worker->sockets, fd, events[i].events) && !cox_programs_event(&worker->programs, fd))
      cox_transfers_event(&worker->transfers, fd, events[i].events);
    glance_at_mail(worker);
  }
  cox_transfers_tick(&worker->transfers, cox_clock_mono_us(worker->clock));
  cox_sockets_tick(&worker->sockets, cox_clock_mono_us(worker->clock));
  collect_done(worker);
}

static void fire_alarms(struct cox_worker *worker) {
  const int64_t now_us = cox_clock_mono_us(worker->clock);
  for (struct cox_alarm *alarm; (alarm = cox_alarms_take_due(&worker->alarms, now_us)) != NULL;)
    cox_drive_alarm(worker, COX_CONTAINER(alarm, struct cox_run, alarm), now_us);
}

static void advance_some(struct cox_worker *worker, struct cox_run_list *list, unsigned max) {
  for (unsigned i = 0; i < max; i++) {
    struct cox_run *const run = cox_run_list_take(list);
    if (run == NULL) return;
    cox_drive_advance(worker, run);
    glance_at_mail(worker);
  }
}

/* Each transfer in flight costs about 15 KB: a burst of a thousand must not be on the wire at once when answers come quickly. */
static void start_some(struct cox_worker *worker) {
  const int64_t now_us = cox_clock_mono_us(worker->clock);
  if (worker->fresh.first == NULL || is_paced(worker, now_us)) return;
  advance_some(worker, &worker->fresh, STARTS_MAX);
  worker->paced_until_us = now_us + PACE_US;
}

/* Attempts of scripts that are kept no longer. */
static void end_outdated(struct cox_worker *worker) {
  if (worker->ops->outdated == NULL) return;
  for (struct cox_attempt *attempt; (attempt = worker->ops->outdated(worker->vm)) != NULL;)
    cox_drive_end(worker, cox_run_table_find(&worker->attempts, attempt->fence.attempt), COX_END_CANCELLED);
}

static void turn(struct cox_worker *worker) {
  serve_sockets(worker);
  take_mail(worker);
  end_outdated(worker);
  fire_alarms(worker);
  cox_drive_feed(worker);
  advance_some(worker, &worker->ready, RESUMES_MAX);
  start_some(worker);
}

static void end_all(struct cox_worker *worker) {
  take_mail(worker);
  end_attempts(worker);
  while (worker->jobs != NULL) cox_drive_end(worker, worker->jobs, COX_END_CANCELLED);
  while (worker->chores != NULL) cox_drive_end(worker, worker->chores, COX_END_CANCELLED);
}

/* ---- start and end ---- */

static int watch(struct cox_worker *worker, int fd, struct cox_err *err) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return 0;
  return cox_err_set(err, COX_ESYS, "watching a worker's mailbox failed: %s", strerror(errno));
}

static int prepare(struct cox_worker *worker, size_t transfers_max, struct cox_err *err) {
  worker->mailbox = cox_mailbox_create(err);
  if (worker->mailbox == NULL) return err->code;
  worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (worker->epoll_fd < 0)
    return cox_err_set(err, COX_ESYS, "making a worker's event loop failed: %s; is the limit of open files reached?", strerror(errno));
  if (watch(worker, worker->mailbox->attempts.event_fd, err) != 0 || watch(worker, worker->mailbox->notes.event_fd, err) != 0)
    return err->code;
  if (cox_run_table_init(&worker->attempts) != 0)
    return cox_err_set(err, COX_ENOMEM, "making a worker failed: out of memory");
  cox_sockets_init(&worker->sockets, worker->epoll_fd, worker->clock);
  cox_programs_init(&worker->programs, worker->epoll_fd);
  return cox_transfers_init(&worker->transfers, worker->epoll_fd, worker->clock, transfers_max, err);
}

static void discard(struct cox_worker *worker) {
  cox_programs_fini(&worker->programs);
  cox_transfers_fini(&worker->transfers);
  cox_alarms_fini(&worker->alarms);
  cox_run_table_fini(&worker->attempts);
  if (worker->epoll_fd >= 0) close(worker->epoll_fd);
  worker->epoll_fd = -1;
  cox_mailbox_release(worker->mailbox);
  worker->mailbox = NULL;
  cox_cond_fini(&worker->cond);
  cox_mutex_fini(&worker->mutex);
}

static void report_up(struct cox_worker *worker, const struct cox_err *err) {
  cox_mutex_lock(&worker->mutex);
  worker->is_up = true;
  worker->err = *err;
  cox_cond_signal(&worker->cond);
  cox_mutex_unlock(&worker->mutex);
}

static void run_worker(void *arg) {
  struct cox_worker *const worker = arg;
  struct cox_err err = {0};
  worker->vm = worker->ops->vm_create(worker->ops->ctx, &err);
  if (worker->vm == NULL && err.code == 0) cox_err_set(&err, COX_ESCRIPT, "making a worker's script machine failed");
  const bool is_up = worker->vm != NULL;
  report_up(worker, &err);
  if (!is_up) return;
  while (!atomic_load(&worker->is_stopping)) turn(worker);
  end_all(worker);
  worker->ops->vm_destroy(worker->vm);
  worker->vm = NULL;
}

static int wait_up(struct cox_worker *worker, struct cox_err *err) {
  cox_mutex_lock(&worker->mutex);
  while (!worker->is_up) cox_cond_wait(&worker->cond, &worker->mutex);
  const struct cox_err outcome = worker->err;
  cox_mutex_unlock(&worker->mutex);
  if (outcome.code == 0) return 0;
  *err = outcome;
  return outcome.code;
}

int cox_worker_start(struct cox_worker *worker, unsigned index, size_t transfers_max, const struct cox_net_options *options,
                     const struct cox_net_sink *sink, struct cox_err *err) {
  worker->clock = options->clock;
  worker->ops = options->ops;
  worker->sink = sink;
  worker->epoll_fd = -1;
  cox_mutex_init(&worker->mutex);
  cox_cond_init(&worker->cond);
  char name[16];
  snprintf(name, sizeof name, "cox-worker-%u", index);
  int rc = prepare(worker, transfers_max, err);
  if (rc == 0) rc = cox_thread_start(&worker->thread, name, run_worker, worker, err);
  if (rc == 0) rc = wait_up(worker, err);
  if (rc != 0) {
    cox_thread_join(&worker->thread);
    discard(worker);
  }
  return rc;
}

void cox_worker_stop(struct cox_worker *worker) {
  atomic_store(&worker->is_stopping, true);
  cox_queue_wake(&worker->mailbox->notes);
}

/* What was posted after the last look is given back from here. */
static void give_back_late(struct cox_worker *worker) {
  struct cox_queue_link *link = cox_queue_take(&worker->mailbox->attempts);
  while (link != NULL) {
    struct cox_attempt *const attempt = COX_CONTAINER(link, struct cox_attempt, link);
    link = link->next;
    attempt->result.class_ = COX_CLASS_CANCELLED;
    attempt->result.error = strdup("cancelled before it began: the workers are stopping");
    worker->sink->complete(worker->sink->ctx, attempt);
  }
  struct cox_queue_link *note_link = cox_queue_take(&worker->mailbox->notes);
  while (note_link != NULL) {
    struct cox_note *const note = COX_CONTAINER(note_link, struct cox_note, link);
    note_link = note_link->next;
    if (note->kind == COX_NOTE_CHORE) {
      struct cox_answer answer = {.outcome = COX_ANSWER_ERROR};
      cox_err_set(&answer.err, COX_ESTOPPED, "command %s was not run: the workers are stopping", note->command);
      cox_note_answer_chore(note, worker->mailbox, &answer);
    } else {
      cox_note_destroy(note);
    }
  }
}

void cox_worker_join(struct cox_worker *worker) {
  cox_thread_join(&worker->thread);
  give_back_late(worker);
  discard(worker);
}

/* ---- other threads ---- */

void cox_worker_post(struct cox_worker *worker, struct cox_attempt *attempt) {
  cox_queue_push(&worker->mailbox->attempts, &attempt->link);
}

void cox_worker_cancel(struct cox_worker *worker, uint64_t attempt) {
  struct cox_note *const note = cox_note_create(COX_NOTE_CANCEL);
  if (note == NULL) {
    atomic_store(&worker->has_lost_cancel, true);
    cox_queue_wake(&worker->mailbox->notes);
    return;
  }
  note->attempt = attempt;
  cox_mailbox_post(worker->mailbox, note);
}

int cox_worker_chore(struct cox_worker *worker, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  struct cox_mailbox *const mailbox = worker->mailbox;
  if (atomic_fetch_add(&mailbox->chores, 1) >= COX_CHORES_MAX) {
    atomic_fetch_sub(&mailbox->chores, 1);
    return cox_err_set(err, COX_EFULL, "command %s was not accepted: %d commands that wait are under way; try again later", name, COX_CHORES_MAX);
  }
  struct cox_note *const note = cox_note_create(COX_NOTE_CHORE);
  if (note != NULL) note->command = strdup(name);
  if (note == NULL || note->command == NULL) {
    atomic_fetch_sub(&mailbox->chores, 1);
    cox_note_destroy(note);
    return cox_err_set(err, COX_ENOMEM, "command %s was not accepted: out of memory", name);
  }
  note->args = args != NULL ? json_incref(args) : json_object();
  note->reply = reply;
  note->arg = arg;
  cox_mailbox_post(mailbox, note);
  return 0;
}

static int order_jobs(struct cox_worker *worker, const char *name, const json_t *names, struct cox_err *err) {
  struct cox_note *const note = cox_note_create(COX_NOTE_JOB);
  if (note == NULL) return cox_err_set(err, COX_ENOMEM, "starting %s%s failed: out of memory", name != NULL ? "the job " : "jobs", name != NULL ? name : "");
  struct cox_job_order order = {.name = name, .names = names};
  cox_mutex_init(&order.mutex);
  cox_cond_init(&order.cond);
  note->order = &order;
  cox_mailbox_post(worker->mailbox, note);
  cox_mutex_lock(&order.mutex);
  while (!order.is_done) cox_cond_wait(&order.cond, &order.mutex);
  cox_mutex_unlock(&order.mutex);
  cox_cond_fini(&order.cond);
  cox_mutex_fini(&order.mutex);
  if (order.err.code == 0) return 0;
  if (err != NULL) *err = order.err;
  return order.err.code;
}

int cox_worker_start_job(struct cox_worker *worker, const char *name, struct cox_err *err) { return order_jobs(worker, name, NULL, err); }
int cox_worker_renew_jobs(struct cox_worker *worker, const json_t *names, struct cox_err *err) { return order_jobs(worker, NULL, names, err); }
