/* Adding and changing nodes, one or many: register_node for one that is unknown, update_node for one that is known. Which
 * it is can change between the question and the command; then the other one is tried.                                   */
#include "api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/server.h"
#include "base/clock.h"
#include "core/node_config.h"

enum {
  TOGETHER = 64,  /* commands of one request in the queue at a time: it must not fill it */
  TRIES_MAX = 4,  /* per node, when others add and remove it all the time */
  BATCH_TIMES = 3 /* a batch may take so many times what one command may */
};

/* One node on its way in. */
struct item {
  json_t *node;         /* borrowed from the body */
  unsigned tries;
  bool is_update, is_done;
  json_t *result, *error; /* done: one of them, owned */
  unsigned status;        /* of the error */
};

struct upsert {
  bool is_batch;
  json_t *body; /* owned */
  int64_t deadline_us;
  size_t count, sent[TOGETHER], sents; /* the items of the present round */
  struct item item[];
};

static void destroy(void *state) {
  struct upsert *const upsert = state;
  for (size_t i = 0; i < upsert->count; i++) {
    json_decref(upsert->item[i].result);
    json_decref(upsert->item[i].error);
  }
  json_decref(upsert->body);
  free(upsert);
}

static bool is_known(struct cox_request *request, const char *id) { return cox_broker_has_node(request->api->options.broker, id); }

static void fail_item(struct item *item, unsigned status, const char *text) {
  item->is_done = true;
  item->status = status;
  item->error = cox_json_text(text);
}

/* All faults of the node object at once; nothing is sent for a bad one. */
static void check(struct item *item) {
  struct cox_faults faults = {0};
  struct cox_buf text = {.limit = 2048};
  cox_node_config_check(item->node, "", "node", &faults);
  for (size_t i = 0; i < faults.count; i++) {
    const char *const fault = faults.list[i].text;
    cox_buf_addf(&text, "%s%s", i > 0 ? "; " : "", strncmp(fault, "node: ", 6) == 0 ? fault + 6 : fault);
  }
  if (faults.count > 0) fail_item(item, 400, text.data != NULL ? text.data : "the node is not valid");
  cox_buf_fini(&text);
  cox_faults_fini(&faults);
}

/* Somebody registered or removed the node in between: then the other command is right. */
static bool lost_race(struct cox_request *request, const struct item *item, const struct cox_answer *answer) {
  if (item->tries >= TRIES_MAX) return false;
  if (item->is_update) return answer->err.code == COX_ENOENT;
  const bool is_refused = answer->err.code == COX_EINVAL || answer->err.code == COX_EREFUSED;
  return is_refused && is_known(request, json_string_value(json_object_get(item->node, "id")));
}

static void take_answer(struct cox_request *request, struct item *item, const struct cox_answer *answer) {
  if (answer->outcome == COX_ANSWER_ERROR) {
    if (lost_race(request, item, answer)) item->is_update = !item->is_update;
    else fail_item(item, cox_answer_status(answer), answer->err.text);
    return;
  }
  if (answer->outcome == COX_ANSWER_SKIPPED) {
    fail_item(item, 409, answer->reason != NULL ? answer->reason : "the command was skipped");
    return;
  }
  item->is_done = true;
  item->result = answer->result != NULL ? json_incref(answer->result) : json_incref(item->node);
}

static json_t *error_json(const struct upsert *upsert, size_t index) {
  return json_pack("{sI, sO*, sO}", "index", (json_int_t)index, "id", json_object_get(upsert->item[index].node, "id"), "error",
                   upsert->item[index].error);
}

static void answer_one(struct cox_request *request, const struct item *item) {
  if (item->result != NULL) cox_request_answer(request, 200, json_incref(item->result));
  else cox_request_answer(request, item->status, json_pack("{sO}", "error", item->error));
}

/* Bad input of any node makes it a 400; without that it is what happened to the first. */
static unsigned worst_status(const struct upsert *upsert) {
  for (size_t i = 0; i < upsert->count; i++) {
    if (upsert->item[i].status == 400) return 400;
  }
  return upsert->item[0].status;
}

static void answer_batch(struct cox_request *request, const struct upsert *upsert) {
  json_t *const nodes = json_array(), *const errors = json_array();
  for (size_t i = 0; i < upsert->count; i++) {
    if (upsert->item[i].result != NULL) json_array_append(nodes, upsert->item[i].result);
    else json_array_append_new(errors, error_json(upsert, i));
  }
  const size_t failed = json_array_size(errors);
  if (failed == 0) {
    cox_request_answer(request, 201, json_incref(nodes));
  } else if (failed < upsert->count) {
    cox_request_answer(request, 206, json_pack("{sO, sO}", "nodes", nodes, "errors", errors));
  } else {
    json_t *const text = json_sprintf("none of the %zu nodes was accepted, nothing was changed: see errors", failed);
    cox_request_answer(request, worst_status(upsert), json_pack("{so, sO}", "error", text, "errors", errors));
  }
  json_decref(nodes);
  json_decref(errors);
}

static void send_item(struct cox_request *request, struct cox_calls *calls, size_t index, struct item *item) {
  if (item->tries++ == 0) item->is_update = is_known(request, json_string_value(json_object_get(item->node, "id")));
  json_t *const args = json_pack("{sO}", "node", item->node);
  cox_calls_send(calls, index, item->is_update ? "update_node" : "register_node", args);
  json_decref(args);
}

static void went(struct cox_request *request, struct cox_wait *wait);

/* The next items that are not done, in the order of the body, or the answer when there are none. */
static void go_on(struct cox_request *request, struct upsert *upsert) {
  upsert->sents = 0;
  for (size_t i = 0; i < upsert->count && upsert->sents < TOGETHER; i++) {
    if (!upsert->item[i].is_done) upsert->sent[upsert->sents++] = i;
  }
  if (upsert->sents == 0) {
    if (upsert->is_batch) answer_batch(request, upsert);
    else answer_one(request, &upsert->item[0]);
    return;
  }
  struct cox_calls *const calls = cox_calls_begin(request, upsert->sents, upsert->deadline_us);
  if (calls == NULL) return;
  request->resume = went;
  for (size_t i = 0; i < upsert->sents; i++) send_item(request, calls, i, &upsert->item[upsert->sent[i]]);
  cox_calls_sent(calls);
}

static void went(struct cox_request *request, struct cox_wait *wait) {
  struct upsert *const upsert = request->state;
  for (size_t i = 0; i < upsert->sents; i++) {
    take_answer(request, &upsert->item[upsert->sent[i]], cox_calls_answer(wait, i));
  }
  go_on(request, upsert);
}

/* Takes the body: a node, or a list of them. */
static void begin(struct cox_request *request, json_t *body, bool is_batch) {
  const size_t count = is_batch ? json_array_size(body) : 1;
  struct upsert *const upsert = calloc(1, sizeof *upsert + count * sizeof upsert->item[0]);
  if (upsert == NULL) {
    json_decref(body);
    cox_request_fail(request, 500, "no node was changed: out of memory; try again later");
    return;
  }
  upsert->is_batch = is_batch;
  upsert->body = body;
  upsert->count = count;
  upsert->deadline_us = cox_clock_mono_us(cox_clock_system()) + request->api->command_us * (is_batch ? BATCH_TIMES : 1);
  for (size_t i = 0; i < count; i++) {
    upsert->item[i].node = is_batch ? json_array_get(body, i) : body;
    check(&upsert->item[i]);
  }
  request->state = upsert;
  request->state_destroy = destroy;
  go_on(request, upsert);
}

void cox_post_node(struct cox_request *request) {
  json_t *const body = cox_request_json(request);
  const char *const id = json_string_value(json_object_get(body, "id"));
  if (body == NULL) return;
  if (id == NULL || cox_request_require(request, id)) begin(request, body, false);
  else json_decref(body);
}

void cox_put_node(struct cox_request *request) {
  const char *const id = request->match.param[0];
  json_t *const body = cox_request_json(request);
  if (body == NULL) return;
  const json_t *const given = json_object_get(body, "id");
  if (given != NULL && (!json_is_string(given) || strcmp(json_string_value(given), id) != 0)) {
    cox_request_fail(request, 400, "the body's id is not the path's id %.200s: leave it out, or give the same; nothing was changed",
                     id);
    json_decref(body);
    return;
  }
  if (json_is_object(body) && given == NULL) json_object_set_new(body, "id", json_string(id));
  if (cox_request_require(request, id)) begin(request, body, false);
  else json_decref(body);
}

void cox_post_batch(struct cox_request *request) {
  if (request->if_match != NULL || request->if_none_match != NULL) {
    cox_request_fail(request, 400, "If-Match and If-None-Match name one node, and a batch has several: send those nodes one by one; "
                     "nothing was changed");
    return;
  }
  json_t *const body = cox_request_json(request);
  if (body == NULL) return;
  if (json_is_array(body)) {
    begin(request, body, true);
    return;
  }
  json_decref(body);
  cox_request_fail(request, 400, "the body of POST /admin/v1/nodes/batch must be a list of nodes; nothing was changed");
}
