#include "api/call.h"

#include <stdlib.h>
#include <string.h>

#include "api/server.h"
#include "base/clock.h"

enum { CALLER_MAX = 64 };

struct call {
  struct cox_calls *calls;
  struct cox_answer answer;
};

/* Lives until the request and every command let go of it: an answer that comes after the deadline is written here, and
 * nobody reads it.                                                                                                    */
struct cox_calls {
  struct cox_wait wait;
  struct cox_broker *broker;
  const struct cox_condition *condition; /* the request's: used while its handler runs */
  char caller[CALLER_MAX]; /* for the journal */
  atomic_size_t left; /* without an answer, and one for the sender */
  size_t count;
  struct call call[];
};

static void destroy(struct cox_wait *wait) {
  struct cox_calls *const calls = COX_CONTAINER(wait, struct cox_calls, wait);
  for (size_t i = 0; i < calls->count; i++) cox_answer_fini(&calls->call[i].answer);
  free(calls);
}

static void count_down(struct cox_calls *calls) {
  if (atomic_fetch_sub(&calls->left, 1) == 1) cox_wait_finish(&calls->wait, COX_WAIT_ANSWERED);
}

/* On cox-command or the store's thread. */
static void keep(void *arg, const struct cox_answer *answer) {
  struct call *const call = arg;
  struct cox_calls *const calls = call->calls;
  cox_answer_copy(&call->answer, answer);
  count_down(calls);
  cox_wait_release(&calls->wait);
}

void cox_request_caller(const struct cox_request *request, char caller[64]) {
  const char *const address = request->connection != NULL ? request->connection->address : "";
  const size_t room = CALLER_MAX - sizeof "http " - 1 - strlen(address); /* an address has at most 45 bytes */
  char *at = stpcpy(caller, "http ");
  size_t len = strlen(request->caller->name);
  if (len > room) len = room;
  while (len > 0 && len == room && ((unsigned char)request->caller->name[len] & 0xc0) == 0x80) len--; /* no half character */
  memcpy(at, request->caller->name, len);
  at += len;
  if (*address != '\0') *at++ = ' ';
  strcpy(at, address);
}

struct cox_calls *cox_calls_begin(struct cox_request *request, size_t count, int64_t deadline_us) {
  struct cox_calls *const calls = calloc(1, sizeof *calls + count * sizeof calls->call[0]);
  if (calls == NULL) {
    cox_request_fail(request, 500, "%s %s was not carried out: out of memory; try again later", request->method,
                     request->match.route->pattern);
    return NULL;
  }
  calls->wait.destroy = destroy;
  calls->broker = request->api->options.broker;
  calls->condition = &request->condition;
  cox_request_caller(request, calls->caller);
  atomic_init(&calls->left, count + 1);
  calls->count = count;
  /* A job waits as long as its command takes: the key's outcome is the command's. */
  cox_wait_begin(&calls->wait, request, request->job != NULL ? INT64_MAX : deadline_us);
  cox_wait_hold(&calls->wait); /* the sender's */
  return calls;
}

void cox_calls_send(struct cox_calls *calls, size_t index, const char *name, json_t *args) {
  struct call *const call = &calls->call[index];
  struct cox_answer refused = {.outcome = COX_ANSWER_ERROR};
  call->calls = calls;
  cox_wait_hold(&calls->wait);
  const int rc = cox_broker_submit_as(calls->broker, calls->caller, name, args, calls->condition, keep, call, &refused.err);
  if (rc == 0) return;
  refused.err.code = rc;
  keep(call, &refused);
}

void cox_calls_sent(struct cox_calls *calls) {
  count_down(calls);
  cox_wait_release(&calls->wait);
}

const struct cox_answer *cox_calls_answer(struct cox_wait *wait, size_t index) {
  return &COX_CONTAINER(wait, struct cox_calls, wait)->call[index].answer;
}

void cox_request_call(struct cox_request *request, const char *name, json_t *args,
                      void (*resume)(struct cox_request *request, struct cox_wait *wait)) {
  const int64_t deadline_us = cox_clock_mono_us(cox_clock_system()) + request->api->command_us;
  struct cox_calls *const calls = cox_calls_begin(request, 1, deadline_us);
  if (calls != NULL) {
    request->resume = resume;
    cox_calls_send(calls, 0, name, args);
    cox_calls_sent(calls);
  }
  json_decref(args);
}

unsigned cox_answer_status(const struct cox_answer *answer) {
  switch (answer->err.code) {
  case COX_EINVAL:
  case COX_EREFUSED: return 400;
  case COX_ENOENT: return 404;
  case COX_EBUSY: return 409;
  case COX_EMATCH: return 412;
  case COX_ESCRIPT:
  case COX_ETIME: return 422;
  case COX_ENOMEM: return answer->err.file[0] != '\0' ? 422 : 500; /* a script's memory, or ours */
  case COX_EFULL: return 429;
  case COX_ESTOPPED:
  case COX_EDEGRADED: return 503;
  default: return 500;
  }
}

void cox_request_fail_as(struct cox_request *request, const struct cox_answer *answer) {
  const unsigned status = cox_answer_status(answer);
  json_t *const object = json_object();
  json_object_set_new(object, "error", cox_json_text(answer->err.text));
  if (answer->err.file[0] != '\0') json_object_set_new(object, "file", cox_json_text(answer->err.file));
  if (answer->err.line > 0) json_object_set_new(object, "line", json_integer(answer->err.line));
  cox_request_answer(request, status, object);
  if (status != 429) return;
  request->more_header = "Retry-After";
  request->more_value = "1";
}
