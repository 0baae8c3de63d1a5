/* Brings runs forward: start, request, reply, end. Every wait of a fiber is one of: a transfer, a place in a queue, a sleep,
 * a command. Whatever ends it puts the run into `ready`; the loop resumes from there, so that no fiber is ever resumed from
 * inside of libcurl or of another fiber.                                                                                      */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/answer.h"
#include "net/worker.h"

enum {
  REST_FIRST_US = 500000, /* a job's first rest after an error; it doubles */
  REST_MAX_US = 10000000,
  LIFE_GOOD_US = 60000000, /* a job that lived so long starts its rests anew */
  CHORE_US = 120000000,    /* how long a command that waits may take */
};

static int64_t now_us(const struct cox_worker *worker) { return cox_clock_mono_us(worker->clock); }

static int64_t after_ms(const struct cox_worker *worker, int64_t ms) {
  const int64_t now = now_us(worker);
  return ms < (INT64_MAX - 1 - now) / 1000 ? now + ms * 1000 : INT64_MAX - 1;
}

static int64_t deadline_of(const struct cox_run *run) { return run->attempt != NULL ? run->attempt->deadline_us : run->deadline_us; }

static void set_alarm(struct cox_worker *worker, struct cox_run *run) {
  int64_t at_us = run->wake_us;
  if (deadline_of(run) < at_us) at_us = deadline_of(run);
  cox_alarm_set(&worker->alarms, &run->alarm, at_us);
}

static void make_ready(struct cox_worker *worker, struct cox_run *run) {
  if (run->list != NULL) cox_run_unlist(run);
  cox_run_list_add(&worker->ready, run);
}

/* ---- ends ---- */

/* Forgets whatever the run waits for; an open socket is closed here. */
static void drop_wait(struct cox_run *run) {
  cox_run_unlist(run);
  if (run->transfer != NULL) cox_transfer_stop(run->transfer);
  run->transfer = NULL;
  if (run->socket != NULL) cox_socket_forget(run->socket);
  run->socket = NULL;
  if (run->program != NULL) cox_program_stop(run->program);
  run->program = NULL;
  if (run->errand != NULL) run->errand->run = NULL; /* its answer will find nobody */
  run->errand = NULL;
  json_decref(run->answer);
  run->answer = NULL;
  run->failure = NULL;
  run->has_request = false;
  run->wake_us = INT64_MAX;
}

static void fill_result(struct cox_attempt *attempt, enum cox_class class_, const char *text) {
  attempt->result.class_ = class_;
  attempt->result.error = strdup(text); /* NULL without memory: the class says enough */
}

static void give_back(struct cox_worker *worker, struct cox_attempt *attempt) {
  worker->sink->complete(worker->sink->ctx, attempt);
}

static void end_attempt(struct cox_worker *worker, struct cox_run *run, enum cox_fiber_end why) {
  struct cox_attempt *const attempt = run->attempt;
  if (run->fiber != NULL) {
    worker->ops->finish(run->fiber, why, NULL);
  } else if (why == COX_END_DEADLINE) {
    fill_result(attempt, COX_CLASS_TIMEOUT, "the attempt's deadline passed before it could begin; the worker is overloaded");
  } else if (why == COX_END_CANCELLED) {
    fill_result(attempt, COX_CLASS_CANCELLED, "cancelled before it began");
  } else { /* done without a fiber: the start gave none, which has one reason only */
    fill_result(attempt, COX_CLASS_SCRIPT, "starting the driver failed: out of memory");
  }
  run->fiber = NULL;
  cox_run_table_remove(&worker->attempts, run);
  run->attempt = NULL;
  cox_alarm_set(&worker->alarms, &run->alarm, INT64_MAX);
  cox_run_destroy(run);
  give_back(worker, attempt);
}

static void forget_job(struct cox_worker *worker, struct cox_run *run) {
  struct cox_run **place = &worker->jobs;
  while (*place != run) place = &(*place)->chain;
  *place = run->chain;
  worker->job_count--;
  cox_alarm_set(&worker->alarms, &run->alarm, INT64_MAX);
  cox_run_destroy(run);
}

static void rest_job(struct cox_worker *worker, struct cox_run *run, const struct cox_err *err) {
  const int64_t now = now_us(worker);
  if (now - run->begun_us >= LIFE_GOOD_US) run->rest_us = REST_FIRST_US;
  cox_log(COX_LOG_WARN, "jobs", "job failed, it starts again", "job", run->job, "file", err->file, "line", COX_LOG_INT(err->line), "reason", err->text, "wait_ms",
          COX_LOG_INT(run->rest_us / 1000), NULL);
  run->wake_us = now + run->rest_us;
  run->rest_us = run->rest_us * 2 < REST_MAX_US ? run->rest_us * 2 : REST_MAX_US;
  set_alarm(worker, run);
}

static void end_job(struct cox_worker *worker, struct cox_run *run, enum cox_fiber_end why) {
  struct cox_err err = {0};
  if (run->fiber != NULL) worker->ops->finish(run->fiber, why, &err);
  run->fiber = NULL;
  if (why != COX_END_DONE) {
    forget_job(worker, run);
  } else if (err.code == 0) {
    cox_log(COX_LOG_INFO, "jobs", "job ended", "job", run->job, NULL);
    forget_job(worker, run);
  } else {
    rest_job(worker, run, &err);
  }
}

static void forget_chore(struct cox_worker *worker, struct cox_run *run) {
  struct cox_run **place = &worker->chores;
  while (*place != run) place = &(*place)->chain;
  *place = run->chain;
  worker->chore_count--;
  run->chore = NULL;
  cox_alarm_set(&worker->alarms, &run->alarm, INT64_MAX);
  cox_run_destroy(run);
}

static void end_chore(struct cox_worker *worker, struct cox_run *run, enum cox_fiber_end why) {
  struct cox_note *const note = run->chore;
  struct cox_answer answer = {.outcome = COX_ANSWER_ERROR};
  if (run->fiber != NULL) {
    worker->ops->finish_chore(run->fiber, why, &answer);
  } else {
    const bool is_stopped = why == COX_END_CANCELLED;
    cox_err_set(&answer.err, is_stopped ? COX_ESTOPPED : COX_ENOMEM, "command %s was not run: %s", note->command,
                is_stopped ? "the workers are stopping" : "out of memory");
  }
  run->fiber = NULL;
  forget_chore(worker, run);
  cox_note_answer_chore(note, worker->mailbox, &answer);
}

static void close_sockets(struct cox_run *run) {
  for (size_t i = 0; i < COX_RUN_SOCKETS_MAX; i++) {
    if (run->sockets[i] != NULL) cox_socket_close(run->sockets[i]);
    run->sockets[i] = NULL;
  }
}

void cox_drive_hang_up(struct cox_run *run) { drop_wait(run); }

void cox_drive_end(struct cox_worker *worker, struct cox_run *run, enum cox_fiber_end why) {
  drop_wait(run);
  close_sockets(run);
  if (run->chore != NULL) {
    end_chore(worker, run, why);
  } else if (run->attempt != NULL) {
    end_attempt(worker, run, why);
  } else {
    end_job(worker, run, why);
  }
}

/* ---- starts ---- */

/* For one more run. */
static bool has_alarm_room(struct cox_worker *worker) {
  return cox_alarms_reserve(&worker->alarms, worker->attempts.count + worker->job_count + worker->chore_count + 1) == 0;
}

void cox_drive_admit(struct cox_worker *worker, struct cox_attempt *attempt) {
  struct cox_run *const run = cox_run_create(attempt, NULL);
  if (run == NULL || !has_alarm_room(worker)) {
    if (run != NULL) run->attempt = NULL;
    cox_run_destroy(run);
    fill_result(attempt, COX_CLASS_SCRIPT, "starting the attempt failed: out of memory");
    give_back(worker, attempt);
    return;
  }
  cox_run_table_add(&worker->attempts, run);
  cox_run_list_add(&worker->fresh, run);
  set_alarm(worker, run);
}

void cox_drive_chore(struct cox_worker *worker, struct cox_note *note) {
  struct cox_run *const run = cox_run_create_chore(note);
  if (run == NULL || !has_alarm_room(worker)) {
    struct cox_answer answer = {.outcome = COX_ANSWER_ERROR};
    cox_err_set(&answer.err, COX_ENOMEM, "command %s was not run: out of memory", note->command);
    if (run != NULL) run->chore = NULL;
    cox_run_destroy(run);
    cox_note_answer_chore(note, worker->mailbox, &answer);
    return;
  }
  run->chain = worker->chores;
  worker->chores = run;
  worker->chore_count++;
  run->deadline_us = now_us(worker) + CHORE_US;
  cox_run_list_add(&worker->fresh, run);
  set_alarm(worker, run);
}

/* False: it could not be started; the run is then given back, or at rest. */
static bool start_fiber(struct cox_worker *worker, struct cox_run *run) {
  if (run->attempt != NULL) {
    run->fiber = worker->ops->start(worker->vm, run->attempt);
    if (run->fiber == NULL) cox_drive_end(worker, run, COX_END_DONE);
    return run->fiber != NULL;
  }
  if (run->chore != NULL) {
    run->fiber = worker->ops->start_chore(worker->vm, run->chore->command, run->chore->args);
    if (run->fiber == NULL) cox_drive_end(worker, run, COX_END_DONE);
    return run->fiber != NULL;
  }
  struct cox_err err = {0};
  run->begun_us = now_us(worker);
  run->fiber = worker->ops->start_job(worker->vm, run->job, &err);
  if (run->fiber == NULL) rest_job(worker, run, &err);
  return run->fiber != NULL;
}

int cox_drive_begin_job(struct cox_worker *worker, const char *name, struct cox_err *err) {
  struct cox_run *const run = cox_run_create(NULL, name);
  if (run == NULL || !has_alarm_room(worker)) {
    cox_run_destroy(run);
    return cox_err_set(err, COX_ENOMEM, "starting the job %s failed: out of memory", name);
  }
  run->fiber = worker->ops->start_job(worker->vm, name, err);
  if (run->fiber == NULL) {
    cox_run_destroy(run);
    return err->code != 0 ? err->code : cox_err_set(err, COX_ENOENT, "starting the job %s failed: there is none of that name", name);
  }
  run->begun_us = now_us(worker);
  run->rest_us = REST_FIRST_US;
  run->chain = worker->jobs;
  worker->jobs = run;
  worker->job_count++;
  cox_run_list_add(&worker->ready, run);
  return 0;
}

void cox_drive_renew_jobs(struct cox_worker *worker, const json_t *names, struct cox_err *err) {
  while (worker->jobs != NULL) cox_drive_end(worker, worker->jobs, COX_END_CANCELLED);
  for (size_t i = 0; i < json_array_size(names); i++) {
    struct cox_err own = {0};
    const char *const name = json_string_value(json_array_get(names, i));
    if (cox_drive_begin_job(worker, name, &own) == 0) continue;
    cox_log(COX_LOG_ERROR, "jobs", "a job was not started", "job", name, "reason", own.text, NULL);
    if (err->code == 0) *err = own;
  }
}

/* ---- requests ---- */

static void request_http(struct cox_worker *worker, struct cox_run *run) {
  switch (cox_transfers_room(&worker->transfers, run->request.url)) {
    case COX_ROOM_NO_SLOT: cox_run_list_add(&worker->queued, run); return;
    case COX_ROOM_NO_LOOKUP: cox_run_list_add(&worker->named, run); return;
    case COX_ROOM_FREE: break;
  }
  run->transfer = cox_transfer_start(&worker->transfers, &run->request, run);
  if (run->transfer != NULL) {
    run->wake_us = after_ms(worker, run->request.timeout_ms);
    set_alarm(worker, run);
    return;
  }
  run->failure = "making an HTTP request failed: out of memory";
  make_ready(worker, run);
}

static void feed(struct cox_worker *worker, struct cox_run_list *list) {
  while (list->first != NULL && cox_transfers_room(&worker->transfers, list->first->request.url) == COX_ROOM_FREE)
    request_http(worker, cox_run_list_take(list));
}

void cox_drive_feed(struct cox_worker *worker) {
  feed(worker, &worker->named);
  /* A name without a look-up must not hold up those behind it. */
  while (worker->queued.first != NULL) {
    const enum cox_room room = cox_transfers_room(&worker->transfers, worker->queued.first->request.url);
    if (room == COX_ROOM_NO_SLOT) return;
    request_http(worker, cox_run_list_take(&worker->queued));
  }
}

/* On cox-command. The reference belongs to this side, so that the mailbox is there until the push is over. */
static void on_answer(void *arg, const struct cox_answer *answer) {
  struct cox_note *const note = arg;
  struct cox_mailbox *const mailbox = note->mailbox;
  note->answer = cox_answer_json(answer);
  cox_mailbox_post(mailbox, note);
  cox_mailbox_release(mailbox);
}

/* Who that is in the journal. */
static void name_caller(const struct cox_run *run, char out[64]) {
  if (run->job != NULL) snprintf(out, 64, "job %.56s", run->job);
  else snprintf(out, 64, "command %.52s", run->chore != NULL ? run->chore->command : "");
}

static void request_command(struct cox_worker *worker, struct cox_run *run) {
  char caller[64];
  struct cox_note *const note = cox_note_create(COX_NOTE_ANSWER);
  if (note == NULL) {
    run->failure = "submitting a command failed: out of memory";
    make_ready(worker, run);
    return;
  }
  note->run = run;
  note->mailbox = cox_mailbox_hold(worker->mailbox);
  run->errand = note; /* before the submit: the answer may be quicker than its return */
  struct cox_answer refusal = {.outcome = COX_ANSWER_ERROR};
  name_caller(run, caller);
  if (worker->sink->submit(worker->sink->ctx, caller, run->request.command, run->request.args, on_answer, note, &refusal.err) == 0) return;
  run->errand = NULL;
  cox_mailbox_release(note->mailbox);
  cox_note_destroy(note);
  run->answer = cox_answer_json(&refusal);
  if (run->answer == NULL) run->failure = "submitting a command was refused, and no memory is left to say why";
  make_ready(worker, run);
}

void cox_drive_answer(struct cox_worker *worker, struct cox_note *note) {
  struct cox_run *const run = note->run;
  if (run != NULL) {
    run->errand = NULL;
    run->answer = note->answer;
    note->answer = NULL;
    if (run->answer == NULL) run->failure = "reading the answer to a command failed: out of memory";
    make_ready(worker, run);
  }
  cox_note_destroy(note);
}

static void request_sleep(struct cox_worker *worker, struct cox_run *run) {
  run->wake_us = after_ms(worker, run->request.sleep_ms > 0 ? run->request.sleep_ms : 0);
}

/* ---- sockets and programs ---- */

static void fail_request(struct cox_worker *worker, struct cox_run *run, const char *why) {
  run->failure = why;
  make_ready(worker, run);
}

static void await_socket(struct cox_worker *worker, struct cox_run *run, struct cox_socket *socket) {
  run->socket = socket;
  if (!cox_socket_is_waiting(socket)) return; /* it is settled, and found by the loop */
  if (run->request.timeout_ms == 0) cox_socket_expire(socket);
  else run->wake_us = after_ms(worker, run->request.timeout_ms);
}

static void request_open(struct cox_worker *worker, struct cox_run *run) {
  size_t place = 0;
  while (place < COX_RUN_SOCKETS_MAX && run->sockets[place] != NULL) place++;
  if (place == COX_RUN_SOCKETS_MAX) {
    fail_request(worker, run, "opening a websocket was refused: this script has too many open; close one first");
    return;
  }
  const char *why = NULL;
  struct cox_socket *const socket = cox_socket_open(&worker->sockets, &run->request, run, &why);
  if (socket == NULL) {
    fail_request(worker, run, why);
    return;
  }
  run->sockets[place] = socket;
  await_socket(worker, run, socket);
}

static struct cox_socket **find_socket(struct cox_run *run, uint64_t number) {
  for (size_t i = 0; i < COX_RUN_SOCKETS_MAX; i++) {
    if (run->sockets[i] != NULL && cox_socket_number(run->sockets[i]) == number) return &run->sockets[i];
  }
  return NULL;
}

static void request_socket(struct cox_worker *worker, struct cox_run *run) {
  struct cox_socket **const place = find_socket(run, run->request.socket);
  if (place == NULL) {
    fail_request(worker, run, "this websocket is closed");
  } else if (run->request.kind == COX_IO_SOCKET_CLOSE) {
    cox_socket_close(*place);
    *place = NULL;
    make_ready(worker, run);
  } else {
    cox_socket_ask(*place, &run->request);
    await_socket(worker, run, *place);
  }
}

/* One that could not be opened is of no use any more. Its reply has been read. */
static void drop_unopened(struct cox_run *run, struct cox_socket *socket) {
  struct cox_socket **const place = find_socket(run, cox_socket_number(socket));
  cox_socket_close(socket);
  *place = NULL;
}

static void request_program(struct cox_worker *worker, struct cox_run *run) {
  const char *why = NULL;
  run->program = cox_program_start(&worker->programs, &run->request, run, &why);
  if (run->program == NULL) fail_request(worker, run, why);
  else run->wake_us = after_ms(worker, run->request.timeout_ms);
}

static void request(struct cox_worker *worker, struct cox_run *run) {
  run->has_request = true;
  switch (run->request.kind) {
    case COX_IO_HTTP:
      if (worker->queued.first != NULL) {
        cox_run_list_add(&worker->queued, run); /* no overtaking */
      } else {
        request_http(worker, run);
      }
      break;
    case COX_IO_SLEEP: request_sleep(worker, run); break;
    case COX_IO_COMMAND: request_command(worker, run); break;
    case COX_IO_SOCKET_OPEN: request_open(worker, run); break;
    case COX_IO_SOCKET_SEND:
    case COX_IO_SOCKET_PING:
    case COX_IO_SOCKET_RECEIVE:
    case COX_IO_SOCKET_CLOSE: request_socket(worker, run); break;
    case COX_IO_PROGRAM: request_program(worker, run); break;
  }
  set_alarm(worker, run);
}

/* ---- replies ---- */

static struct cox_io_reply reply_of(const struct cox_run *run) {
  if (run->failure != NULL) return (struct cox_io_reply){.class_ = COX_CLASS_SCRIPT, .error = run->failure};
  if (run->transfer != NULL) return cox_transfer_reply(run->transfer);
  if (run->socket != NULL) return cox_socket_reply(run->socket);
  if (run->program != NULL) return cox_program_reply(run->program);
  return (struct cox_io_reply){.class_ = COX_CLASS_NONE, .answer = run->answer};
}

static bool is_overdue(const struct cox_worker *worker, const struct cox_run *run) {
  return deadline_of(run) <= now_us(worker);
}

void cox_drive_advance(struct cox_worker *worker, struct cox_run *run) {
  assert(run->list == NULL);
  if (is_overdue(worker, run)) {
    cox_drive_end(worker, run, COX_END_DEADLINE);
    return;
  }
  if (run->fiber == NULL && !start_fiber(worker, run)) return;
  const struct cox_io_reply reply = reply_of(run);
  struct cox_io_request next = {0};
  const bool is_first = !run->has_request;
  const enum cox_fiber_state state = worker->ops->resume(run->fiber, is_first ? NULL : &reply, &next);
  struct cox_socket *const unopened =
      run->socket != NULL && run->request.kind == COX_IO_SOCKET_OPEN && reply.class_ != COX_CLASS_NONE ? run->socket : NULL;
  drop_wait(run); /* the reply has been read */
  if (unopened != NULL) drop_unopened(run, unopened);
  if (state == COX_FIBER_DONE) {
    cox_drive_end(worker, run, COX_END_DONE);
    return;
  }
  run->request = next;
  request(worker, run);
}

void cox_drive_alarm(struct cox_worker *worker, struct cox_run *run, int64_t now) {
  if (deadline_of(run) <= now) {
    cox_drive_end(worker, run, COX_END_DEADLINE);
    return;
  }
  if (run->wake_us <= now) {
    run->wake_us = INT64_MAX;
    if (run->transfer != NULL) cox_transfer_expire(run->transfer); /* does nothing to one that ended and waits to be read */
    if (run->program != NULL) cox_program_expire(run->program);
    if (run->socket != NULL) cox_socket_expire(run->socket);
    /* Those two are found by the loop when they have what was asked for. */
    if (run->program == NULL && run->socket == NULL) make_ready(worker, run);
  }
  set_alarm(worker, run);
}
