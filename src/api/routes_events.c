/* The journal: as server-sent events for those who follow it, or page by page as JSON (format=json). What memory has lost comes
 * from the store, and what the store has lost is told as a gap.                                                                 */
#include "api/routes.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "api/server.h"
#include "base/clock.h"
#include "core/record.h"

enum {
  PAGE = 256,                    /* records rendered at a time */
  PAGE_MAX = 5000,               /* in one answer of JSON */
  CATCH_UP_US = 2000000,         /* for the lines of what was answered: a disk that is stuck holds up their commit, but no reader for long */
  BEAT_US = 15000000,            /* a quiet stream says so that often: else nobody would notice that the client is gone */
};

/* ---- what is asked for ---- */

struct question {
  uint64_t since;
  size_t max;
  bool is_json;
  char kind[16], node_id[256]; /* "": any */
};

static bool read_number(const char *text, uint64_t most, uint64_t *out) {
  char *end;
  errno = 0;
  const unsigned long long number = strtoull(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || *text == '-' || number > most) return false;
  *out = number;
  return true;
}

/* False: answered (400). */
static bool read_question(struct cox_request *request, struct question *question) {
  char text[32] = "", format[8] = "";
  bool is_bad = false;
  uint64_t max = PAGE;
  *question = (struct question){0};
  if (cox_request_query(request, "since", text, sizeof text, &is_bad)) is_bad = !read_number(text, INT64_MAX, &question->since);
  const char *const last = MHD_lookup_connection_value(request->native, MHD_HEADER_KIND, "Last-Event-ID");
  if (last != NULL && !is_bad) is_bad = !read_number(last, INT64_MAX, &question->since);
  if (!is_bad && cox_request_query(request, "max", text, sizeof text, &is_bad)) is_bad = !read_number(text, PAGE_MAX, &max) || max == 0;
  if (!is_bad && cox_request_query(request, "format", format, sizeof format, &is_bad)) {
    question->is_json = strcmp(format, "json") == 0;
    is_bad = !question->is_json && strcmp(format, "sse") != 0;
  }
  if (!is_bad) cox_request_query(request, "kind", question->kind, sizeof question->kind, &is_bad);
  if (!is_bad && question->kind[0] != '\0' && !cox_record_kind_is_known(question->kind)) {
    cox_request_fail(request, 400, "%s /v1/events: there is no kind %s; the kinds are " COX_RECORD_KIND_NAMES, request->method, question->kind);
    return false;
  }
  if (!is_bad) cox_request_query(request, "node", question->node_id, sizeof question->node_id, &is_bad);
  question->max = (size_t)max;
  if (!is_bad) return true;
  cox_request_fail(request, 400, "%s /v1/events: since (or Last-Event-ID) must be the number of a record, max 1 to %d, format sse or json, "
                   "kind and node a name", request->method, PAGE_MAX);
  return false;
}

static struct cox_event_filter filter_of(const struct question *question) {
  return (struct cox_event_filter){.kind = question->kind[0] != '\0' ? question->kind : NULL,
                                   .node_id = question->node_id[0] != '\0' ? question->node_id : NULL};
}

/* ---- waiting: for the next record, or for older ones ---- */

struct event_wait {
  struct cox_wait wait;
  struct cox_event_waiter waiter;
  struct cox_store_read read;
  bool is_read;    /* it waits for the store */
  json_t *records; /* what the store found, NULL: it could not tell */
};

static void destroy_wait(struct cox_wait *wait) {
  struct event_wait *const own = COX_CONTAINER(wait, struct event_wait, wait);
  json_decref(own->records);
  free(own);
}

static struct event_wait *begin_wait(struct cox_request *request, int64_t wait_us) {
  struct event_wait *const own = calloc(1, sizeof *own);
  if (own == NULL) return NULL;
  own->wait.destroy = destroy_wait;
  cox_wait_begin(&own->wait, request, cox_clock_mono_us(cox_clock_system()) + wait_us);
  cox_wait_hold(&own->wait); /* whoever is to wake it has this one */
  return own;
}

static void wake(struct event_wait *own) {
  cox_wait_finish(&own->wait, COX_WAIT_ANSWERED);
  cox_wait_release(&own->wait);
}

static void caught_up(void *arg, const struct cox_err *err) {
  (void)err;
  wake(arg);
}

static void record_came(struct cox_event_waiter *waiter) { wake(COX_CONTAINER(waiter, struct event_wait, waiter)); }

static void page_came(struct cox_store_read *read, json_t *records, const struct cox_err *err) {
  struct event_wait *const own = COX_CONTAINER(read, struct event_wait, read);
  (void)err; /* then there are no records, and that is told as a gap */
  own->records = json_incref(records);
  wake(own);
}

/* False: out of memory. */
static bool wait_for_record(struct cox_request *request, uint64_t since) {
  struct event_wait *const own = begin_wait(request, BEAT_US);
  if (own == NULL) return false;
  own->waiter.wake = record_came;
  if (!cox_broker_events_wait(request->api->options.broker, since, &own->waiter)) wake(own);
  return true;
}

/* Records after `since`, up to `until`, from the store. False: out of memory. */
static bool wait_for_store(struct cox_request *request, const struct question *question, uint64_t since, uint64_t until, size_t max) {
  struct event_wait *const own = begin_wait(request, request->api->command_us);
  if (own == NULL) return false;
  own->is_read = true;
  own->read = (struct cox_store_read){.since = since, .until = until, .max = max, .done = page_came};
  memcpy(own->read.kind, question->kind, sizeof own->read.kind);
  memcpy(own->read.node_id, question->node_id, sizeof own->read.node_id);
  if (cox_broker_events_stored(request->api->options.broker, &own->read, NULL) != 0) wake(own);
  return true;
}

/* Until the lines of what was answered are there. False: out of memory. */
static bool wait_for_answered(struct cox_request *request) {
  struct event_wait *const own = begin_wait(request, CATCH_UP_US);
  if (own == NULL) return false;
  if (cox_broker_events_catch_up(request->api->options.broker, caught_up, own, NULL) != 0) wake(own);
  return true;
}

/* ---- one page of JSON ---- */

struct page {
  struct question question;
  uint64_t until; /* as far as the store is asked */
};

static void answer_page(struct cox_request *request, json_t *events, uint64_t next, uint64_t from, uint64_t to) {
  json_t *const page = json_pack("{sO, sI, sI}", "events", events, "next", (json_int_t)next, "last",
                                 (json_int_t)cox_broker_events_last(request->api->options.broker));
  if (from != 0) json_object_set_new(page, "gap", json_pack("{sI, sI}", "from", (json_int_t)from, "to", (json_int_t)to));
  cox_request_answer(request, 200, page);
}

static void fail_page(struct cox_request *request) { cox_request_fail(request, 500, "reading the journal failed: out of memory; try again later"); }

static void page_read(struct cox_request *request, struct cox_wait *wait) {
  const struct event_wait *const own = COX_CONTAINER(wait, struct event_wait, wait);
  const struct page *const page = request->state;
  uint64_t from, to;
  const uint64_t next = cox_store_read_end(&own->read, own->records, page->question.since, page->until, &from, &to);
  json_t *const events = own->records != NULL ? json_incref(own->records) : json_array();
  answer_page(request, events, next, from, to);
  json_decref(events);
}

/* `request->state` is its page. */
static void read_page(struct cox_request *request) {
  struct page *const page = request->state;
  const struct question *const question = &page->question;
  const struct cox_event_filter filter = filter_of(question);
  json_t *const memory = cox_broker_events_json(request->api->options.broker, question->since, question->max, &filter);
  const uint64_t oldest = (uint64_t)json_integer_value(json_object_get(memory, "oldest"));
  if (question->since + 1 >= oldest) {
    answer_page(request, json_object_get(memory, "events"), (uint64_t)json_integer_value(json_object_get(memory, "next")), 0, 0);
  } else {
    page->until = oldest - 1;
    request->resume = page_read;
    if (!wait_for_store(request, question, question->since, oldest - 1, question->max)) fail_page(request);
  }
  json_decref(memory);
}

/* Or the time for that is over: then with what there is. */
static void page_caught_up(struct cox_request *request, struct cox_wait *wait) {
  (void)wait;
  request->goes_on_late = false;
  read_page(request);
}

static void serve_page(struct cox_request *request, const struct question *question) {
  struct page *const page = malloc(sizeof *page);
  if (page == NULL) {
    fail_page(request);
    return;
  }
  *page = (struct page){.question = *question};
  request->state = page;
  request->state_destroy = free;
  if (!cox_broker_events_is_behind(request->api->options.broker)) {
    read_page(request);
    return;
  }
  request->resume = page_caught_up;
  request->goes_on_late = true;
  if (!wait_for_answered(request)) fail_page(request);
}

/* ---- the stream ---- */

struct stream {
  struct cox_request *request; /* alive whenever we are called to write */
  struct cox_api *api;
  struct question question;
  uint64_t since, asked_until;
  struct cox_buf out; /* not yet sent: from `sent` on */
  size_t sent;
};

static void destroy_stream(void *state) {
  struct stream *const stream = state;
  atomic_fetch_sub(&stream->api->streams, 1);
  cox_buf_fini(&stream->out);
  free(stream);
}

/* "id", "event" and "data" as the standard for server-sent events wants them; JSON in one line has no line ends. */
static void add_event(struct stream *stream, const json_t *record) {
  char *const text = json_dumps(record, JSON_COMPACT);
  if (text == NULL) return;
  cox_buf_addf(&stream->out, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)json_integer_value(json_object_get(record, "seq")),
               json_string_value(json_object_get(record, "kind")), text);
  free(text);
}

static void add_events(struct stream *stream, json_t *events) {
  size_t i;
  json_t *record;
  json_array_foreach(events, i, record) add_event(stream, record);
}

static void add_gap(struct stream *stream, uint64_t from, uint64_t to) {
  if (from == 0) return;
  cox_buf_addf(&stream->out, "id: %llu\nevent: gap\ndata: {\"kind\":\"gap\",\"from\":%llu,\"to\":%llu}\n\n", (unsigned long long)to,
               (unsigned long long)from, (unsigned long long)to);
}

/* What the wait that ended has brought. False: the API stops. */
static bool take_wait(struct stream *stream) {
  struct cox_wait *const wait = cox_request_take_wait(stream->request);
  if (wait == NULL) return true;
  struct event_wait *const own = COX_CONTAINER(wait, struct event_wait, wait);
  const enum cox_wait_end end = cox_wait_end(wait);
  if (!own->is_read && cox_broker_events_cancel(stream->api->options.broker, &own->waiter)) cox_wait_release(wait);
  if (end == COX_WAIT_EXPIRED && !own->is_read) cox_buf_addf(&stream->out, ": nothing new\n\n");
  if (end == COX_WAIT_ANSWERED && own->is_read) {
    uint64_t from, to;
    const uint64_t next = cox_store_read_end(&own->read, own->records, stream->since, stream->asked_until, &from, &to);
    add_gap(stream, from, to);
    add_events(stream, own->records);
    stream->since = next;
  }
  cox_wait_release(wait);
  return end != COX_WAIT_STOPPED;
}

/* More to send, or a wait. False: out of memory. */
static bool go_on(struct stream *stream) {
  struct cox_broker *const broker = stream->api->options.broker;
  const struct cox_event_filter filter = filter_of(&stream->question);
  json_t *const page = cox_broker_events_json(broker, stream->since, PAGE, &filter);
  const uint64_t oldest = (uint64_t)json_integer_value(json_object_get(page, "oldest"));
  const uint64_t last = (uint64_t)json_integer_value(json_object_get(page, "last"));
  bool is_good = true;
  if (stream->since > last) { /* of a journal that could not be stored to its end */
    add_gap(stream, last + 1, stream->since);
    stream->since = last;
  } else if (stream->since + 1 < oldest) {
    stream->asked_until = oldest - 1;
    is_good = wait_for_store(stream->request, &stream->question, stream->since, oldest - 1, PAGE);
  } else {
    add_events(stream, json_object_get(page, "events"));
    stream->since = (uint64_t)json_integer_value(json_object_get(page, "next"));
    if (stream->out.len == 0) is_good = wait_for_record(stream->request, stream->since);
  }
  json_decref(page);
  return is_good;
}

static ssize_t write_stream(void *state, uint64_t position, char *out, size_t room) {
  struct stream *const stream = state;
  (void)position;
  if (!take_wait(stream) || atomic_load(&stream->api->is_stopping)) return COX_STREAM_END;
  cox_connection_send(stream->request->connection); /* it has its time for each piece */
  if (stream->sent == stream->out.len) {
    cox_buf_clear(&stream->out);
    stream->sent = 0;
    if (!go_on(stream)) return COX_STREAM_BROKEN;
  }
  const size_t left = stream->out.len - stream->sent, count = left < room ? left : room;
  if (count > 0) memcpy(out, stream->out.data + stream->sent, count);
  stream->sent += count;
  return (ssize_t)count;
}

static void serve_stream(struct cox_request *request, const struct question *question) {
  struct cox_api *const api = request->api;
  struct stream *const stream = calloc(1, sizeof *stream);
  if (stream == NULL || atomic_fetch_add(&api->streams, 1) >= COX_API_STREAMS_MAX) {
    if (stream != NULL) atomic_fetch_sub(&api->streams, 1);
    free(stream);
    cox_request_fail(request, 503, "no more streams of events: %d are open already; ask page by page with format=json, or try again later",
                     COX_API_STREAMS_MAX);
    return;
  }
  *stream = (struct stream){.request = request, .api = api, .question = *question, .since = question->since};
  cox_buf_addf(&stream->out, ": the journal after %llu\nretry: 1000\n\n", (unsigned long long)stream->since);
  request->more_header = "Cache-Control";
  request->more_value = "no-cache";
  cox_request_answer_stream(request, "text/event-stream", write_stream, stream, destroy_stream);
}

void cox_get_events(struct cox_request *request) {
  struct question question;
  if (!read_question(request, &question)) return;
  if (question.is_json) serve_page(request, &question);
  else serve_stream(request, &question);
}
