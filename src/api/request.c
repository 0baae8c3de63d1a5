#include "api/request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/head.h"
#include "api/key.h"
#include "api/server.h"
#include "base/clock.h"

/* A client's own id is taken over when it is harmless in a header, a log line and an error. */
static bool is_decent_id(const char *id) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  const size_t len = strlen(id);
  return len > 0 && len <= 64 && strspn(id, letters) == len;
}

static void write_id(char *out, uint64_t start, uint64_t number) {
  out = cox_hex_write(out, start);
  *out++ = '-';
  *cox_hex_write(out, number) = '\0';
}

static void set_id(struct cox_request *request, const char *given) {
  struct cox_api *const api = request->api;
  const uint64_t number = atomic_fetch_add_explicit(&api->requests, 1, memory_order_relaxed);
  if (given != NULL && is_decent_id(given)) snprintf(request->id, sizeof request->id, "%s", given);
  else write_id(request->id, api->start, number);
}

struct cox_request *cox_request_create(struct cox_api *api, struct MHD_Connection *native, const char *method,
                                       const char *target) {
  struct cox_connection *const connection = cox_connection_of(native);
  struct cox_request *const request = connection != NULL ? calloc(1, sizeof *request) : NULL;
  if (request == NULL) return NULL;
  struct cox_head head;
  cox_head_read(native, &head);
  request->api = api;
  request->native = native;
  request->connection = connection;
  request->method = method;
  request->target = target;
  request->caller = cox_access_anonymous();
  request->started_us = cox_clock_mono_us(cox_clock_system());
  set_id(request, head.request_id);
  cox_request_judge(request, &head);
  return request;
}

/* The connection runs again: the wait is over, and nobody else looks at it. Takes over the request's reference. */
struct cox_wait *cox_request_take_wait(struct cox_request *request) {
  struct cox_wait *const wait = request->wait;
  if (wait == NULL) return NULL;
  request->wait = NULL;
  if (request->job != NULL) {
    cox_job_awake(request->job);
    return wait;
  }
  cox_connection_awake(request->connection);
  atomic_fetch_sub(&request->api->suspended, 1);
  return wait;
}

static void drop_body(struct cox_request *request) {
  atomic_fetch_sub(&request->api->body_bytes, request->body.len);
  cox_buf_fini(&request->body);
}

void cox_request_destroy(struct cox_request *request) {
  if (request == NULL) return;
  if (request->wait != NULL) cox_wait_release(cox_request_take_wait(request)); /* the client went away: its handler was not called again */
  if (request->state != NULL) request->state_destroy(request->state);
  if (request->stream_state != NULL) request->stream_destroy(request->stream_state); /* it was never sent */
  drop_body(request);
  cox_blob_release(request->answer);
  cox_path_fini(&request->path);
  cox_condition_fini(&request->condition);
  free(request->key);
  free(request->if_match);
  free(request->if_none_match);
  if (request->is_busy) atomic_fetch_sub(&request->api->busy, 1);
  free(request);
}

static void refuse_body(struct cox_request *request, size_t body_max) {
  drop_body(request);
  cox_request_fail(request, 413, "the body of %s %.200s is longer than %zu bytes: send less at a time", request->method,
                   request->target, body_max);
}

bool cox_request_take(struct cox_request *request, const char *data, size_t count) {
  request->body_bytes += count;
  if (request->body_bytes > COX_API_DRAIN_MAX) return false;
  if (request->status != 0 || request->match.route->body_max == 0) return true;
  const size_t body_max = request->match.route->body_max;
  if (request->body_bytes > body_max) {
    refuse_body(request, body_max);
    return true;
  }
  const bool has_room = atomic_fetch_add(&request->api->body_bytes, count) + count <= COX_API_BODIES_MAX;
  if (has_room && cox_buf_add(&request->body, data, count)) return true;
  atomic_fetch_sub(&request->api->body_bytes, count);
  drop_body(request);
  cox_request_fail(request, 503, "the body of %s %.200s was not taken: other requests hold %d bytes already; try again later",
                   request->method, request->target, COX_API_BODIES_MAX);
  return true;
}

static void begin(struct cox_request *request) {
  request->is_busy = true;
  atomic_fetch_add(&request->api->busy, 1);
  if (request->status != 0) return;
  if (!atomic_load(&request->api->is_stopping)) {
    if (request->key != NULL) cox_request_begin_keyed(request);
    else request->match.route->handle(request);
    return;
  }
  cox_request_fail(request, 503, "%s %.200s was not carried out: the daemon is stopping", request->method, request->target);
  request->has_to_close = true;
}

static void fail_late(struct cox_request *request) {
  if (request->key != NULL) {
    cox_request_fail(request, 504, "%s %.200s was not answered in time and goes on: send it again with the same Idempotency-Key to get "
                     "its outcome (request id %s)", request->method, request->target, request->id);
    return;
  }
  cox_request_fail(request, 504, "%s %.200s was not answered in time; it may still be carried out, so look before you repeat it "
                   "(request id %s)", request->method, request->target, request->id);
}

static void awake(struct cox_request *request) {
  struct cox_wait *const wait = cox_request_take_wait(request);
  switch (cox_wait_end(wait)) {
  case COX_WAIT_OPEN: assert(false && "a connection was resumed while it waits"); break;
  case COX_WAIT_ANSWERED: request->resume(request, wait); break;
  case COX_WAIT_EXPIRED:
    if (request->goes_on_late) request->resume(request, wait);
    else fail_late(request);
    break;
  case COX_WAIT_GONE: /* nobody reads it */
    cox_request_fail(request, 503, "%s %.200s was not answered: the client hung up", request->method, request->target);
    request->has_to_close = true;
    break;
  case COX_WAIT_STOPPED:
    cox_request_fail(request, 503, "%s %.200s was not answered: the daemon is stopping; it may be carried out (request id %s)",
                     request->method, request->target, request->id);
    request->has_to_close = true;
    break;
  }
  cox_wait_release(wait);
}

void cox_request_advance(struct cox_request *request) {
  if (request->wait == NULL) begin(request);
  else awake(request);
  assert((request->wait != NULL) != (request->status != 0) && "a handler either answers or waits");
}

void cox_request_answer_blob(struct cox_request *request, unsigned status, const char *content_type, struct cox_blob *blob) {
  assert(request->status == 0 && status >= 200);
  request->status = blob != NULL ? status : 500;
  request->content_type = blob != NULL ? content_type : "application/json";
  request->answer = blob;
}

void cox_request_answer_stream(struct cox_request *request, const char *content_type,
                               ssize_t (*stream)(void *state, uint64_t position, char *out, size_t room), void *state,
                               void (*destroy)(void *state)) {
  assert(request->status == 0);
  request->status = 200;
  request->content_type = content_type;
  request->stream = stream;
  request->stream_state = state;
  request->stream_destroy = destroy;
}

void cox_request_answer(struct cox_request *request, unsigned status, json_t *value) {
  cox_request_answer_blob(request, status, "application/json", cox_blob_json(value));
  json_decref(value);
}

void cox_request_fail(struct cox_request *request, unsigned status, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  json_t *const object = json_object();
  json_object_set_new(object, "error", cox_json_text(text));
  cox_request_answer(request, status, object);
}
