/* The workers in virtual time: fibers that ask for one piece of I/O at a time, their deadlines, and their cancellation. What
 * src/net does with sockets, with the same order of things: a deadline is looked at before a fiber is resumed; cancelling closes
 * the transfer first; each attempt is given back exactly once.                                                              */
#include <stdlib.h>
#include <string.h>

#include "core/answer.h"
#include "sim/world_private.h"

enum { REST_US = 1000000 }; /* of a job that failed */

static struct cox_world_run *find(struct cox_world *world, uint64_t id) {
  struct cox_world_run *run = world->runs;
  while (run != NULL && run->id != id) run = run->next;
  return run;
}

static struct cox_world_run *make(struct cox_world *world, struct cox_attempt *attempt, unsigned worker) {
  struct cox_world_run *const run = calloc(1, sizeof *run);
  if (run == NULL) abort();
  run->id = ++world->ids;
  run->attempt = attempt;
  run->worker = worker;
  run->next = world->runs;
  world->runs = run;
  return run;
}

static void forget(struct cox_world *world, struct cox_world_run *run) {
  struct cox_world_run **place = &world->runs;
  while (*place != run) place = &(*place)->next;
  *place = run->next;
  json_decref(run->answer);
  free(run);
}

static const char *node_of(const struct cox_world_run *run) {
  return run->attempt != NULL ? json_string_value(json_object_get(run->attempt->node, "id")) : "job";
}

/* ---- ends ---- */

static void end_attempt(struct cox_world *world, struct cox_world_run *run, enum cox_fiber_end why) {
  struct cox_attempt *const attempt = run->attempt;
  if (run->fiber != NULL) {
    world->scripts.ops->finish(run->fiber, why, NULL);
  } else {
    attempt->result.class_ = why == COX_END_DEADLINE ? COX_CLASS_TIMEOUT : COX_CLASS_CANCELLED;
    attempt->result.error = strdup("ended before it began");
  }
  cox_world_trace(world, "ends %s #%llu of %s: %s%s%s", attempt->kind == COX_ATTEMPT_PROBE ? "probe" : "attempt",
                  (unsigned long long)attempt->fence.attempt, node_of(run), cox_class_name(attempt->result.class_),
                  attempt->result.error != NULL ? ": " : "", attempt->result.error != NULL ? attempt->result.error : "");
  forget(world, run);
  cox_world_expect(world, attempt);
  cox_broker_complete(world->broker, attempt);
}

static void end_job(struct cox_world *world, struct cox_world_run *run, enum cox_fiber_end why) {
  struct cox_err err = {0};
  world->scripts.ops->finish(run->fiber, why, &err);
  run->fiber = NULL;
  if (why == COX_END_DONE && err.code != 0) {
    cox_world_break(world, "jobs do not fail", NULL, "the job ended: %s:%d: %s", err.file, err.line, err.text);
  }
  forget(world, run);
}

static void end(struct cox_world *world, struct cox_world_run *run, enum cox_fiber_end why) {
  cox_world_hang_up(world, run);
  if (run->attempt != NULL) end_attempt(world, run, why);
  else end_job(world, run, why);
}

/* ---- going on ---- */

static void wake_at(struct cox_world *world, struct cox_world_run *run, int64_t at_us) {
  const int64_t deadline_us = run->attempt != NULL ? run->attempt->deadline_us : INT64_MAX;
  run->token = ++world->ids;
  cox_world_plan(world, at_us < deadline_us ? at_us : deadline_us, COX_EVENT_WAKE, run->id, run->token);
}

static void ask_for(struct cox_world *world, struct cox_world_run *run, const struct cox_io_request *request) {
  struct cox_answer refusal = {.outcome = COX_ANSWER_ERROR};
  switch (request->kind) {
    case COX_IO_HTTP:
      cox_world_send(world, run, request);
      wake_at(world, run, world->now_us + request->timeout_ms * 1000);
      break;
    case COX_IO_SLEEP: wake_at(world, run, world->now_us + request->sleep_ms * 1000); break;
    case COX_IO_COMMAND:
      run->waits_for_answer = true;
      wake_at(world, run, INT64_MAX / 2);
      if (cox_world_ask(world, request->command, request->args, run->id, &refusal.err)) break;
      run->answer = cox_answer_json(&refusal);
      cox_world_plan(world, world->now_us, COX_EVENT_REPLY, run->id, 0);
      break;
    case COX_IO_SOCKET_OPEN:
    case COX_IO_SOCKET_SEND:
    case COX_IO_SOCKET_PING:
    case COX_IO_SOCKET_RECEIVE:
    case COX_IO_SOCKET_CLOSE:
    case COX_IO_PROGRAM:
      cox_world_break(world, "jobs do not fail", NULL, "a job asked for I/O of kind %d, which no simulated life has", (int)request->kind);
      break;
  }
}

static void go_on(struct cox_world *world, struct cox_world_run *run, const struct cox_io_reply *reply) {
  if (run->attempt != NULL && run->attempt->deadline_us <= world->now_us) {
    end(world, run, COX_END_DEADLINE);
    return;
  }
  struct cox_io_request next = {0};
  const enum cox_fiber_state state = world->scripts.ops->resume(run->fiber, reply, &next);
  cox_world_hang_up(world, run); /* the reply has been read */
  run->waits_for_answer = false;
  if (state == COX_FIBER_DONE) end(world, run, COX_END_DONE);
  else ask_for(world, run, &next);
}

void cox_world_begin(struct cox_world *world, uint64_t id) {
  struct cox_world_run *const run = find(world, id);
  if (run == NULL) return;
  if (run->attempt != NULL && run->fiber == NULL) run->fiber = world->scripts.ops->start(world->vms[run->worker], run->attempt);
  if (run->fiber == NULL) abort(); /* out of memory */
  run->has_begun = true;
  go_on(world, run, NULL);
}

void cox_world_wake(struct cox_world *world, uint64_t id, uint64_t token) {
  struct cox_world_run *const run = find(world, id);
  if (run == NULL || run->token != token) return;
  if (run->call != NULL) {
    const struct cox_io_reply timeout = {.class_ = COX_CLASS_TIMEOUT, .error = "no answer within the request's time"};
    go_on(world, run, &timeout);
  } else {
    const struct cox_io_reply slept = {.class_ = COX_CLASS_NONE};
    go_on(world, run, &slept);
  }
}

void cox_world_answered(struct cox_world *world, uint64_t id) {
  struct cox_world_call *const call = cox_world_call_find(world, id);
  if (call == NULL) return;
  struct cox_world_run *const run = find(world, call->run);
  if (run == NULL || run->call != call) return;
  const size_t length = call->body != NULL ? strlen(call->body) : 0;
  const struct cox_io_reply reply = {.class_ = call->class_, .error = call->error, .http_status = call->status,
                                     .body = call->body != NULL ? call->body : "", .body_len = length};
  cox_world_trace(world, "answer to %s %s: %d %s %.120s", call->method, call->path, call->status, cox_class_name(call->class_),
                  call->body != NULL ? call->body : "");
  run->token = 0;
  go_on(world, run, &reply);
}

void cox_world_replied(struct cox_world *world, uint64_t id) {
  struct cox_world_run *const run = find(world, id);
  if (run == NULL || !run->waits_for_answer) return;
  json_t *const answer = run->answer;
  run->answer = NULL;
  run->token = 0;
  const struct cox_io_reply reply = {.class_ = COX_CLASS_NONE, .answer = answer};
  go_on(world, run, &reply);
  json_decref(answer);
}

void cox_world_cancel(struct cox_world *world, uint64_t id) {
  struct cox_world_run *const run = find(world, id);
  if (run != NULL) end(world, run, COX_END_CANCELLED);
}

/* ---- the transport ---- */

static int64_t worker_delay_us(struct cox_world *world) {
  const int64_t usual_us = cox_world_span(world, COX_WORLD_PACE, 0.00001, 0.001);
  const int64_t late_us = cox_world_span(world, COX_WORLD_PACE, 0.001, 0.2);
  return cox_world_roll(world, COX_WORLD_PACE, 0.05) ? late_us : usual_us;
}

static void start(void *ctx, struct cox_attempt *attempt) {
  struct cox_world *const world = ctx;
  cox_world_check_start(world, attempt);
  struct cox_world_run *const run = make(world, attempt, attempt->worker);
  const bool is_probe = attempt->kind == COX_ATTEMPT_PROBE;
  if (is_probe) world->outcome.probes++;
  else world->outcome.attempts++;
  cox_world_trace(world, "starts %s #%llu of %s generation %llu%s%s", is_probe ? "probe" : "attempt",
                  (unsigned long long)attempt->fence.attempt, node_of(run), (unsigned long long)attempt->fence.generation,
                  is_probe ? "" : " to ", is_probe ? "" : cox_status_name(attempt->target->status));
  cox_world_plan(world, world->now_us + worker_delay_us(world), COX_EVENT_BEGIN, run->id, 0);
}

static void cancel(void *ctx, unsigned worker, uint64_t attempt) {
  struct cox_world *const world = ctx;
  for (struct cox_world_run *run = world->runs; run != NULL; run = run->next) {
    if (run->attempt == NULL || run->attempt->fence.attempt != attempt || run->worker != worker) continue;
    cox_world_trace(world, "cancels #%llu of %s", (unsigned long long)attempt, node_of(run));
    run->is_cancel_asked = true;
    cox_world_plan(world, world->now_us + worker_delay_us(world), COX_EVENT_CANCEL, run->id, 0);
    return;
  }
}

void cox_world_worker_init(struct cox_world *world) {
  world->transport = (struct cox_transport){
      .ctx = world, .workers = 1 + (unsigned)cox_rng_below(&world->shape, COX_WORLD_WORKERS_MAX), .start = start, .cancel = cancel};
}

/* ---- jobs ---- */

int cox_world_start_job(struct cox_world *world, const char *name) {
  struct cox_err err = {0};
  struct cox_fiber *const fiber = world->scripts.ops->start_job(world->vms[0], name, &err);
  if (fiber == NULL) {
    cox_world_break(world, "jobs do not fail", NULL, "starting the job %s failed: %s", name, err.text);
    return COX_ESCRIPT;
  }
  struct cox_world_run *const run = make(world, NULL, 0);
  run->fiber = fiber;
  run->job = name;
  cox_world_plan(world, world->now_us + REST_US / 10, COX_EVENT_BEGIN, run->id, 0);
  return 0;
}

void cox_world_renew_job(struct cox_world *world, const char *name) {
  struct cox_world_run *run = world->runs;
  while (run != NULL && (run->job == NULL || strcmp(run->job, name) != 0)) run = run->next;
  if (run == NULL) return;
  end(world, run, COX_END_CANCELLED);
  cox_world_start_job(world, name);
}

void cox_world_end_jobs(struct cox_world *world) {
  for (struct cox_world_run *run = world->runs, *next; run != NULL; run = next) {
    next = run->next;
    if (run->attempt == NULL) end(world, run, COX_END_CANCELLED);
  }
}

void cox_world_end_runs(struct cox_world *world) {
  while (world->runs != NULL) end(world, world->runs, COX_END_CANCELLED);
}
