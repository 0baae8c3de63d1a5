#include "script/rig_fiber.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/node_config.h"

static const char *const io_names[] = {"http", "sleep", "command", "ws_open", "ws_send", "ws_ping", "ws_receive", "ws_close", "program"};

/* ---- places ---- */

static struct cox_rig_fiber *free_place(struct cox_rig_fibers *fibers) {
  for (size_t i = 0; i < COX_RIG_FIBERS_MAX; i++) {
    if (fibers->list[i].is_used) continue;
    fibers->list[i] = (struct cox_rig_fiber){.is_used = true};
    return &fibers->list[i];
  }
  return NULL;
}

static json_int_t name_of(const struct cox_rig_fibers *fibers, const struct cox_rig_fiber *entry) { return entry - fibers->list + 1; }

static struct cox_rig_fiber *find(struct cox_rig_fibers *fibers, const json_t *args, const char *key, struct cox_err *err) {
  const json_int_t name = json_integer_value(json_object_get(args, key));
  if (name >= 1 && name <= COX_RIG_FIBERS_MAX && fibers->list[name - 1].is_used) return &fibers->list[name - 1];
  cox_err_set(err, COX_ENOENT, "there is no %s %lld any more", key, (long long)name);
  return NULL;
}

static json_t *full(struct cox_err *err) {
  cox_err_set(err, COX_EFULL, "more than %d attempts and jobs at once", COX_RIG_FIBERS_MAX);
  return NULL;
}

/* ---- what the core hands over ---- */

void cox_rig_fibers_take(struct cox_rig_fibers *fibers, struct cox_attempt *attempt) {
  struct cox_rig_fiber *const entry = free_place(fibers);
  if (entry == NULL) { /* the node is tried again after its backoff */
    attempt->result.class_ = COX_CLASS_CANCELLED;
    cox_broker_complete(fibers->rig->broker, attempt);
    return;
  }
  entry->attempt = attempt;
  entry->is_brokers = true;
}

void cox_rig_fibers_cancel(struct cox_rig_fibers *fibers, uint64_t number) {
  for (size_t i = 0; i < COX_RIG_FIBERS_MAX; i++) {
    struct cox_rig_fiber *const entry = &fibers->list[i];
    if (entry->is_used && entry->is_brokers && entry->attempt->fence.attempt == number) entry->is_cancelled = true;
  }
}

int cox_rig_fibers_chore(struct cox_rig_fibers *fibers, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  struct cox_rig_fiber *const entry = free_place(fibers);
  if (entry == NULL) return cox_err_set(err, COX_EFULL, "too many commands wait");
  entry->args = args != NULL ? json_incref(args) : json_object();
  entry->reply = reply;
  entry->reply_arg = arg;
  entry->fiber = fibers->ops->start_chore(fibers->vm, name, entry->args);
  fibers->last_chore = (size_t)name_of(fibers, entry);
  return 0;
}

json_t *cox_rig_fibers_poll(struct cox_rig_fibers *fibers) {
  json_t *const attempts = json_array(), *const cancelled = json_array();
  for (size_t i = 0; i < COX_RIG_FIBERS_MAX; i++) {
    struct cox_rig_fiber *const entry = &fibers->list[i];
    if (!entry->is_used) continue;
    if (entry->is_cancelled) json_array_append_new(cancelled, json_integer(name_of(fibers, entry)));
    entry->is_cancelled = false;
    if (entry->attempt == NULL || entry->fiber != NULL) continue;
    json_t *const target = entry->attempt->target != NULL ? cox_target_json(entry->attempt->target, true) : NULL;
    json_array_append_new(attempts, json_pack("{sI, sO, ss, so*}", "attempt", name_of(fibers, entry), "node_id",
                                              json_object_get(entry->attempt->node, "id"), "kind",
                                              entry->attempt->kind == COX_ATTEMPT_PROBE ? "probe" : "reach", "target", target));
  }
  return json_pack("{so, so}", "attempts", attempts, "cancelled", cancelled);
}

/* ---- starting ---- */

static json_t *begin(struct cox_rig_fibers *fibers, struct cox_rig_fiber *entry) {
  entry->fiber = fibers->ops->start(fibers->vm, entry->attempt);
  return json_pack("{sI}", "fiber", name_of(fibers, entry));
}

static json_t *start_job(struct cox_rig_fibers *fibers, json_t *args, struct cox_err *err) {
  const char *const name = json_string_value(json_object_get(args, "name"));
  struct cox_rig_fiber *const entry = free_place(fibers);
  if (entry == NULL) return full(err);
  json_object_clear(fibers->rig->config);
  json_object_update(fibers->rig->config, json_object_get(args, "config"));
  entry->fiber = fibers->ops->start_job(fibers->vm, name != NULL ? name : "?", err);
  entry->is_used = entry->fiber != NULL;
  return entry->is_used ? json_pack("{sI}", "fiber", name_of(fibers, entry)) : NULL;
}

/* Takes the reference; NULL and absent alike give NULL. */
static bool read_target(json_t *object, struct cox_target **out, struct cox_err *err) {
  *out = NULL;
  if (!json_is_object(object)) return true;
  *out = cox_target_create(json_deep_copy(object), json_string_value(json_object_get(object, "reason")), err);
  return *out != NULL;
}

static void read_unanswered(const struct cox_rig *rig, const json_t *given, struct cox_attempt *attempt) {
  const char *const call = json_string_value(json_object_get(given, "call"));
  if (call == NULL) return;
  snprintf(attempt->unanswered.call, sizeof attempt->unanswered.call, "%s", call);
  const double age_s = json_number_value(json_object_get(given, "age_s"));
  attempt->unanswered.at_ms = cox_clock_wall_ms(&rig->clock) - (int64_t)(age_s * 1000);
  attempt->unanswered.mark = cox_clock_mark(&rig->clock);
  attempt->unanswered.mark.at_us -= (int64_t)(age_s * 1e6);
  attempt->result.unanswered = attempt->unanswered;
}

/* One attempt of a case's own; no broker knows of it. */
static struct cox_attempt *make_attempt(const struct cox_rig_fibers *fibers, json_t *args, struct cox_err *err) {
  const char *const kind = json_string_value(json_object_get(args, "kind"));
  const bool is_probe = kind != NULL && strcmp(kind, "probe") == 0;
  struct cox_attempt *const attempt = cox_attempt_create(is_probe ? COX_ATTEMPT_PROBE : COX_ATTEMPT_REACH);
  const struct cox_policy *const policy = cox_script_policy(fibers->rig->script);
  if (attempt == NULL) return NULL;
  attempt->node = cox_node_config_create(json_object_get(args, "node"), err);
  if (attempt->node == NULL || !read_target(json_object_get(args, "target"), &attempt->target, err) ||
      !read_target(json_object_get(args, "applied"), &attempt->applied, err)) {
    goto failed;
  }
  if (!is_probe && attempt->target == NULL) {
    cox_err_set(err, COX_EINVAL, "an attempt needs a target { status = … }");
    goto failed;
  }
  json_t *const memory = json_object_get(args, "memory");
  attempt->memory = json_is_object(memory) ? json_deep_copy(memory) : NULL;
  read_unanswered(fibers->rig, json_object_get(args, "unanswered"), attempt);
  const double limit_s = policy->limit_s(policy->ctx, json_string_value(json_object_get(attempt->node, "kind")),
                                         is_probe ? COX_STATUS_UNKNOWN : attempt->target->status);
  attempt->started_us = fibers->rig->now_us;
  attempt->deadline_us = attempt->started_us + (int64_t)((limit_s > 0 ? limit_s : 60) * 1e6);
  attempt->deadline_max_us = is_probe ? attempt->deadline_us : attempt->started_us + (attempt->deadline_us - attempt->started_us) * 4;
  return attempt;
failed:
  cox_attempt_destroy(attempt);
  return NULL;
}

json_t *cox_rig_fibers_start(struct cox_rig_fibers *fibers, json_t *args, struct cox_err *err) {
  const char *const kind = json_string_value(json_object_get(args, "kind"));
  if (kind != NULL && strcmp(kind, "job") == 0) return start_job(fibers, args, err);
  if (kind == NULL) {
    struct cox_rig_fiber *const entry = find(fibers, args, "attempt", err);
    if (entry != NULL && entry->attempt != NULL && entry->fiber == NULL) return begin(fibers, entry);
    if (entry != NULL) cox_err_set(err, COX_EINVAL, "this attempt was started before");
    return NULL;
  }
  struct cox_attempt *const attempt = make_attempt(fibers, args, err);
  struct cox_rig_fiber *const entry = attempt != NULL ? free_place(fibers) : NULL;
  if (entry == NULL) {
    cox_attempt_destroy(attempt);
    return attempt != NULL ? full(err) : NULL;
  }
  entry->attempt = attempt;
  return begin(fibers, entry);
}

/* ---- running ---- */

static void add_text(json_t *object, const char *key, const char *text) {
  if (text != NULL) json_object_set_new(object, key, json_string(text));
}

/* "http://10.0.0.9:5050/health" → base "inference", path "/health", when it begins with one of the node's two addresses. */
static void add_place(const struct cox_rig_fiber *entry, json_t *out, const char *url) {
  char base[COX_URL_MAX];
  for (int is_inference = 0; entry->attempt != NULL && is_inference <= 1; is_inference++) {
    cox_node_config_url(entry->attempt->node, is_inference == 0, base);
    const size_t len = strlen(base);
    if (strncmp(url, base, len) != 0) continue;
    add_text(out, "base", is_inference != 0 ? "inference" : "poc");
    add_text(out, "path", url + len);
    return;
  }
}

static json_t *request_of(const struct cox_rig_fiber *entry) {
  const struct cox_io_request *const request = &entry->request;
  json_t *const out = json_pack("{ss, sf, sf, sI}", "kind", io_names[request->kind], "timeout_s", (double)request->timeout_ms / 1000, "sleep_s",
                                (double)request->sleep_ms / 1000, "socket", (json_int_t)request->socket);
  add_text(out, "method", request->method);
  add_text(out, "url", request->url);
  add_text(out, "command", request->command);
  if (request->url != NULL) add_place(entry, out, request->url);
  if (request->body != NULL) json_object_set_new(out, "body", json_stringn(request->body, request->body_len));
  if (request->args != NULL) json_object_set(out, "args", request->args);
  return out;
}

/* What the case answers, in the transport's words. Texts are borrowed from `given`. */
static struct cox_io_reply reply_of(json_t *given) {
  struct cox_io_reply reply = {.class_ = COX_CLASS_NONE,
                               .error = json_string_value(json_object_get(given, "error")),
                               .http_status = (int)json_integer_value(json_object_get(given, "status")),
                               .body = "",
                               .answer = json_object_get(given, "answer"),
                               .socket = (uint64_t)json_integer_value(json_object_get(given, "socket"))};
  const json_t *const body = json_object_get(given, "body");
  if (json_is_string(body)) reply.body = json_string_value(body);
  if (json_is_string(body)) reply.body_len = json_string_length(body);
  cox_class_parse(json_string_value(json_object_get(given, "class")), &reply.class_);
  return reply;
}

json_t *cox_rig_fibers_resume(struct cox_rig_fibers *fibers, json_t *args, struct cox_err *err) {
  struct cox_rig_fiber *const entry = find(fibers, args, "fiber", err);
  if (entry == NULL) return NULL;
  if (entry->fiber == NULL) return json_object(); /* it could not even begin */
  json_t *const given = json_object_get(args, "reply");
  const struct cox_io_reply reply = reply_of(given);
  if (fibers->ops->resume(entry->fiber, given != NULL ? &reply : NULL, &entry->request) == COX_FIBER_DONE) return json_object();
  json_t *const out = json_pack("{so}", "request", request_of(entry));
  if (entry->attempt != NULL) {
    json_object_set_new(out, "deadline_s", json_real((double)(entry->attempt->deadline_us - fibers->rig->now_us) / 1e6));
  }
  return out;
}

/* ---- ending ---- */

static json_t *result_of(const struct cox_rig *rig, const struct cox_attempt *attempt) {
  const struct cox_result *const result = &attempt->result;
  json_t *const out = json_pack("{ss, si}", "class", cox_class_name(result->class_), "http_status", result->http_status);
  add_text(out, "error", result->error);
  if (result->memory != NULL) json_object_set(out, "memory", result->memory);
  if (result->unanswered.call[0] != '\0') {
    const double age_s = (double)cox_clock_since_us(&rig->clock, result->unanswered.mark) / 1e6;
    json_object_set_new(out, "unanswered", json_pack("{ss, sf}", "call", result->unanswered.call, "age_s", age_s));
  }
  if (attempt->kind != COX_ATTEMPT_PROBE) return out;
  json_object_set_new(out, "seen", json_pack("{ss, ss*, sb, ss*}", "status", cox_status_name(result->seen), "poc",
                                             result->has_seen_poc ? cox_poc_name(result->seen_poc) : NULL, "ready", result->is_ready, "model", result->seen_model));
  return out;
}

static json_t *finish_job(struct cox_rig_fibers *fibers, struct cox_rig_fiber *entry, enum cox_fiber_end why) {
  struct cox_err err = {0};
  if (entry->reply == NULL) {
    fibers->ops->finish(entry->fiber, why, &err);
    json_t *const out = json_object();
    if (err.code != 0) json_object_set_new(out, "error", json_pack("{ss, si, ss}", "file", err.file, "line", err.line, "message", err.text));
    return out;
  }
  struct cox_answer answer = {.outcome = COX_ANSWER_ERROR, .err = {.code = COX_ENOMEM, .text = "out of memory"}};
  if (entry->fiber != NULL) fibers->ops->finish_chore(entry->fiber, why, &answer);
  entry->reply(entry->reply_arg, &answer);
  cox_answer_fini(&answer);
  json_decref(entry->args);
  return json_object();
}

static json_t *end(struct cox_rig_fibers *fibers, struct cox_rig_fiber *entry, enum cox_fiber_end why) {
  entry->is_used = false;
  if (entry->attempt == NULL) return finish_job(fibers, entry, why);
  if (entry->fiber != NULL) fibers->ops->finish(entry->fiber, why, NULL);
  else entry->attempt->result.class_ = COX_CLASS_CANCELLED;
  return result_of(fibers->rig, entry->attempt);
}

json_t *cox_rig_fibers_finish(struct cox_rig_fibers *fibers, json_t *args, struct cox_attempt **attempt, struct cox_err *err) {
  struct cox_rig_fiber *const entry = find(fibers, args, "fiber", err);
  const char *const word = json_string_value(json_object_get(args, "why"));
  if (entry == NULL) return NULL;
  const bool is_cancel = word != NULL && strcmp(word, "cancelled") == 0, is_deadline = word != NULL && strcmp(word, "deadline") == 0;
  json_t *const outcome = end(fibers, entry, is_cancel ? COX_END_CANCELLED : is_deadline ? COX_END_DEADLINE : COX_END_DONE);
  if (entry->is_brokers) *attempt = entry->attempt;
  else cox_attempt_destroy(entry->attempt);
  return outcome;
}

void cox_rig_fibers_drop(struct cox_rig_fibers *fibers) {
  for (size_t i = 0; i < COX_RIG_FIBERS_MAX; i++) {
    struct cox_rig_fiber *const entry = &fibers->list[i];
    if (!entry->is_used) continue;
    json_decref(end(fibers, entry, COX_END_CANCELLED));
    cox_attempt_destroy(entry->attempt);
  }
}

/* ---- life ---- */

bool cox_rig_fibers_init(struct cox_rig_fibers *fibers, struct cox_rig *rig, struct cox_err *err) {
  fibers->rig = rig;
  fibers->ops = cox_script_fiber_ops(rig->script);
  fibers->vm = fibers->ops->vm_create(fibers->ops->ctx, err);
  return fibers->vm != NULL;
}

bool cox_rig_fibers_renew(struct cox_rig_fibers *fibers, struct cox_err *err) {
  fibers->ops->vm_destroy(fibers->vm);
  fibers->vm = fibers->ops->vm_create(fibers->ops->ctx, err);
  return fibers->vm != NULL;
}

void cox_rig_fibers_fini(struct cox_rig_fibers *fibers) {
  if (fibers->vm != NULL) fibers->ops->vm_destroy(fibers->vm);
}
