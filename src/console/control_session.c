#include "console/control_session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/thread.h"
#include "console/control_verbs.h"
#include "console/control_wire.h"

enum { TEXT_MAX = 1 << 20 /* of one answer for people */ };

struct request {
  struct request *next;
  json_t *json;
  bool is_cancelled;
};

struct cox_control_session {
  const struct cox_control_host *host;
  uint64_t connection;
  struct cox_console_caller caller;
  struct cox_thread thread;
  struct cox_buf unfinished; /* the thread's: lines of a chunk that is not whole (text mode) */
  bool has_quit;             /* the thread's: what was sent behind it is not run */
  struct cox_mutex mutex;    /* guards everything below */
  struct cox_cond cond;      /* a request came, one was cancelled, or the end */
  struct cox_console_session *console; /* written by the thread only; NULL until it is needed */
  struct request *first, *last; /* waiting */
  struct request *current;      /* under way */
  bool is_closed;
};

/* ---- answers ---- */

static void answer(struct cox_control_session *session, const struct request *request, json_t *reply) {
  json_t *const id = json_object_get(request->json, "id");
  if (id != NULL) json_object_set(reply, "id", id);
  session->host->emit(session->host->arg, session->connection, reply);
}

static void answer_error(struct cox_control_session *session, const struct request *request, const char *why) {
  answer(session, request, json_pack("{ss}", "error", why));
}

/* Text may hold anything that a script printed: what is not UTF-8 must not break the frame. */
static json_t *text_json(const struct cox_buf *text) {
  json_t *value = json_stringn(text->data != NULL ? text->data : "", text->len);
  for (size_t i = 0; value == NULL && i < text->len; i++) {
    if ((unsigned char)text->data[i] >= 0x80) text->data[i] = '?';
  }
  return value != NULL ? value : json_stringn(text->data, text->len);
}

static void answer_text(struct cox_control_session *session, const struct request *request, const char *outcome, struct cox_buf *text) {
  answer(session, request, json_pack("{ss, so}", "outcome", outcome, "text", text_json(text)));
}

/* ---- cancelling ---- */

static bool is_cancelled(struct cox_control_session *session) {
  cox_mutex_lock(&session->mutex);
  const bool is = session->is_closed || session->current->is_cancelled;
  cox_mutex_unlock(&session->mutex);
  return is;
}

static bool pause_verb(void *arg, int64_t ms) {
  struct cox_control_session *const session = arg;
  cox_mutex_lock(&session->mutex);
  if (!session->is_closed && !session->current->is_cancelled) cox_cond_wait_us(&session->cond, &session->mutex, ms * 1000);
  const bool goes_on = !session->is_closed && !session->current->is_cancelled;
  cox_mutex_unlock(&session->mutex);
  return goes_on;
}

/* A part of an answer that goes on. */
static void send_part(void *arg, struct cox_buf *text) {
  struct cox_control_session *const session = arg;
  answer(session, session->current, json_pack("{so}", "part", text_json(text)));
  cox_buf_clear(text);
}

/* ---- the console ---- */

/* Ready for one eval or complete; NULL: it was answered. */
static struct cox_console_session *begin(struct cox_control_session *session, const struct request *request) {
  const struct cox_console *const console = session->host->console;
  struct cox_err err = {0};
  struct cox_console_session *fresh = NULL;
  if (session->console == NULL) fresh = console->open(console->ctx, &session->caller, &err);
  cox_mutex_lock(&session->mutex);
  if (session->console == NULL) session->console = fresh;
  if (session->console != NULL) {
    console->begin(session->console);
    if (session->is_closed || request->is_cancelled) console->cancel(session->console);
  }
  cox_mutex_unlock(&session->mutex);
  if (session->console == NULL) answer_error(session, request, err.text);
  return session->console;
}

static void eval(struct cox_control_session *session, const struct request *request, const char *code, size_t len, struct cox_buf *text) {
  static const char *const outcomes[] = {"done", "error", "incomplete"};
  struct cox_console_session *const console = begin(session, request);
  if (console == NULL) return;
  const int width = (int)json_integer_value(json_object_get(request->json, "width"));
  const enum cox_console_outcome outcome = session->host->console->eval(console, code, len, width > 0 ? width : 0, text);
  answer_text(session, request, outcomes[outcome], text);
  if (outcome != COX_CONSOLE_INCOMPLETE) cox_buf_clear(&session->unfinished);
}

/* Text has no way to say that a chunk is not whole: its lines are kept here until it is; an empty line gives it up. */
static void eval_text(struct cox_control_session *session, const struct request *request, const char *code, struct cox_buf *text) {
  struct cox_buf *const unfinished = &session->unfinished;
  if (unfinished->len > 0 && *code == '\0') {
    cox_buf_clear(unfinished);
    cox_buf_addf(text, "given up: the chunk was not whole");
    answer_text(session, request, "error", text);
    return;
  }
  unfinished->limit = COX_FRAME_REQUEST_MAX;
  if (!cox_buf_addf(unfinished, "%s%s", unfinished->len > 0 ? "\n" : "", code)) {
    cox_buf_clear(unfinished);
    answer_error(session, request, "the chunk is longer than 1 MiB");
    return;
  }
  eval(session, request, unfinished->data, unfinished->len, text);
}

static void run_help(struct cox_control_session *session, const struct request *request, const char *about, struct cox_buf *text) {
  struct cox_buf code = {0};
  json_t *const name = json_string(about);
  char *const quoted = json_dumps(name, JSON_ENCODE_ANY); /* plain names only: the verb sees to it */
  if (*about == '\0') cox_verbs_help(text);
  cox_buf_addf(&code, *about == '\0' ? "help()" : "help(%s)", quoted);
  eval(session, request, code.data, code.len, text);
  cox_buf_fini(&code);
  json_decref(name);
  free(quoted);
}

/* ---- the ops ---- */

static void run_line(struct cox_control_session *session, const struct request *request) {
  const json_t *const line = json_object_get(request->json, "text");
  if (!json_is_string(line)) {
    answer_error(session, request, "op line needs a \"text\"");
    return;
  }
  struct cox_buf text = {.limit = TEXT_MAX};
  const struct cox_verb_call call = {
      .broker = session->host->broker,
      .commands = session->host->console->commands,
      .commands_ctx = session->host->console->ctx,
      .caller = &session->caller,
      .scripts = session->host->scripts,
      .width = (int)json_integer_value(json_object_get(request->json, "width")),
      .has_colour = json_is_true(json_object_get(request->json, "colour")),
      .out = &text,
      .pause = pause_verb,
      .send = send_part,
      .arg = session,
  };
  const char *help = "";
  const bool is_inside = session->unfinished.len > 0;
  switch (is_inside ? COX_VERB_NONE : cox_verbs_run(&call, json_string_value(line), &help)) {
    case COX_VERB_DONE: answer_text(session, request, is_cancelled(session) ? "error" : "done", &text); break;
    case COX_VERB_FAILED: answer_text(session, request, "error", &text); break;
    case COX_VERB_HELP: run_help(session, request, help, &text); break;
    case COX_VERB_QUIT:
      session->has_quit = true;
      answer(session, request, json_pack("{ss, ss, sb}", "outcome", "done", "text", "", "quit", 1));
      break;
    case COX_VERB_NONE:
      if (json_is_true(json_object_get(request->json, "is_text"))) eval_text(session, request, json_string_value(line), &text);
      else eval(session, request, json_string_value(line), json_string_length(line), &text);
      break;
  }
  cox_buf_fini(&text);
}

static void run_complete(struct cox_control_session *session, const struct request *request) {
  const json_t *const line = json_object_get(request->json, "text");
  if (!json_is_string(line)) {
    answer_error(session, request, "op complete needs a \"text\"");
    return;
  }
  json_t *found = cox_verbs_complete(session->host->broker, session->host->console, json_string_value(line));
  struct cox_console_session *const console = found == NULL ? begin(session, request) : NULL;
  if (console != NULL) found = session->host->console->complete(console, json_string_value(line), json_string_length(line));
  if (console != NULL) cox_verbs_add_words(json_string_value(line), found);
  if (found != NULL) answer(session, request, found);
}

static json_t *hello(struct cox_control_session *session) {
  struct cox_stats stats;
  cox_broker_stats(session->host->broker, &stats);
  json_t *const commands = session->host->console->commands(session->host->console->ctx);
  json_t *const value = json_pack("{ss, si, si, si, ss}", "version", COX_VERSION, "pid", (int)getpid(), "nodes", (int)stats.nodes, "commands",
                                  (int)json_array_size(commands), "user", session->caller.name);
  json_decref(commands);
  return value;
}

static void run_read(struct cox_control_session *session, const struct request *request, const char *op) {
  struct cox_broker *const broker = session->host->broker;
  const char *const id = json_string_value(json_object_get(request->json, "node_id"));
  json_t *value = NULL;
  if (strcmp(op, "hello") == 0) value = hello(session);
  else if (strcmp(op, "nodes") == 0) value = cox_broker_nodes_json(broker);
  else if (strcmp(op, "world") == 0) value = cox_broker_world_json(broker);
  else if (strcmp(op, "commands") == 0) value = session->host->console->commands(session->host->console->ctx);
  else if (strcmp(op, "node") == 0 && id != NULL) value = cox_broker_node_json(broker, id);
  if (value != NULL) answer(session, request, json_pack("{so}", "value", value));
  else if (strcmp(op, "node") == 0) answer_error(session, request, id != NULL ? "there is no such node" : "op node needs a \"node_id\"");
  else answer_error(session, request, "unknown op: there are line, complete, cancel, hello, nodes, node, world, commands");
}

static void run_request(struct cox_control_session *session, const struct request *request) {
  const char *const op = json_string_value(json_object_get(request->json, "op"));
  if (session->has_quit) return;
  if (op == NULL) answer_error(session, request, "a request needs an \"op\"");
  else if (is_cancelled(session)) answer_error(session, request, "cancelled before it began");
  else if (strcmp(op, "line") == 0) run_line(session, request);
  else if (strcmp(op, "complete") == 0) run_complete(session, request);
  else run_read(session, request, op);
}

/* ---- the thread ---- */

static void destroy_request(struct request *request) {
  json_decref(request->json);
  free(request);
}

/* The next request, now under way; NULL: the end. */
static struct request *take(struct cox_control_session *session) {
  cox_mutex_lock(&session->mutex);
  while (session->first == NULL && !session->is_closed) cox_cond_wait(&session->cond, &session->mutex);
  struct request *const request = session->is_closed ? NULL : session->first;
  if (request != NULL) {
    session->first = request->next;
    session->current = request;
  }
  cox_mutex_unlock(&session->mutex);
  return request;
}

static void finish(struct cox_control_session *session, struct request *request) {
  cox_mutex_lock(&session->mutex);
  session->current = NULL;
  cox_mutex_unlock(&session->mutex);
  destroy_request(request);
  session->host->emit(session->host->arg, session->connection, NULL);
}

static void run(void *arg) {
  struct cox_control_session *const session = arg;
  for (struct request *request; (request = take(session)) != NULL;) {
    run_request(session, request);
    finish(session, request);
  }
  struct cox_console_session *const console = session->console;
  cox_mutex_lock(&session->mutex);
  session->console = NULL;
  cox_mutex_unlock(&session->mutex);
  if (console != NULL) session->host->console->close(console);
  session->host->ended(session->host->arg, session);
}

struct cox_control_session *cox_control_session_create(const struct cox_control_host *host, uint64_t connection,
                                                       const struct cox_console_caller *caller, struct cox_err *err) {
  struct cox_control_session *const session = calloc(1, sizeof *session);
  if (session == NULL) {
    cox_err_set(err, COX_ENOMEM, "opening a console session failed: out of memory");
    return NULL;
  }
  session->host = host;
  session->connection = connection;
  session->caller = *caller;
  cox_mutex_init(&session->mutex);
  cox_cond_init(&session->cond);
  if (cox_thread_start(&session->thread, "cox-console", run, session, err) == 0) return session;
  cox_control_session_destroy(session);
  return NULL;
}

void cox_control_session_destroy(struct cox_control_session *session) {
  if (session == NULL) return;
  cox_thread_join(&session->thread);
  while (session->first != NULL) {
    struct request *const request = session->first;
    session->first = request->next;
    destroy_request(request);
  }
  cox_buf_fini(&session->unfinished);
  cox_cond_fini(&session->cond);
  cox_mutex_fini(&session->mutex);
  free(session);
}

/* ---- for the owner of the connection ---- */

void cox_control_session_push(struct cox_control_session *session, json_t *json) {
  struct request *const request = calloc(1, sizeof *request);
  if (request == NULL) abort(); /* the promise of an answer could not be kept */
  request->json = json;
  cox_mutex_lock(&session->mutex);
  if (session->first == NULL) session->first = request;
  else session->last->next = request;
  session->last = request;
  cox_cond_signal(&session->cond);
  cox_mutex_unlock(&session->mutex);
}

static void cancel_matching(struct request *request, const json_t *id) {
  if (request != NULL && (id == NULL || json_equal(json_object_get(request->json, "id"), id) != 0)) request->is_cancelled = true;
}

void cox_control_session_cancel(struct cox_control_session *session, const json_t *id) {
  cox_mutex_lock(&session->mutex);
  cancel_matching(session->current, id);
  for (struct request *request = session->first; request != NULL; request = request->next) cancel_matching(request, id);
  if (session->current != NULL && session->current->is_cancelled && session->console != NULL) session->host->console->cancel(session->console);
  cox_cond_signal(&session->cond);
  cox_mutex_unlock(&session->mutex);
}

void cox_control_session_close(struct cox_control_session *session) {
  cox_mutex_lock(&session->mutex);
  session->is_closed = true;
  if (session->console != NULL) session->host->console->cancel(session->console);
  cox_cond_signal(&session->cond);
  cox_mutex_unlock(&session->mutex);
}
