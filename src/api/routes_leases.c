/* Leases: the right to send one request to a node. */
#include <stdlib.h>
#include <string.h>

#include "api/holding.h"
#include "api/request.h"
#include "api/routes.h"
#include "api/server.h"
#include "base/clock.h"
#include "core/json_text.h"

enum {
  NAME_MAX_BYTES = 256,
  AFFINITY_MAX_BYTES = 1024,
  GRACE_US = 5000000, /* the leases keep the deadline themselves; this one is only a net below it */
};

/* What a request for a lease has, from its body to the end of its answer. */
struct leasing {
  struct cox_request *request;
  json_t *body; /* owns the texts of `ask` */
  struct cox_lease_ask ask;
  const char **skip; /* owned; NULL: none */
  int64_t wait_ms;
  bool is_bound;
  bool has_lease; /* until its answer was delivered, it is released when the request ends */
  struct cox_lease_id id;
  struct pending *pending; /* held; NULL: it does not wait */
};

enum { OPEN, GRANTED, DROPPED };

/* A wait; the request and the leases each hold it. */
struct pending {
  struct cox_wait wait;
  struct cox_lease_wait lease;
  struct cox_broker *broker;
  struct leasing *leasing; /* keeps what `lease` borrows: it ends the wait before it goes */
  atomic_int state;
  int rc;
  struct cox_lease_grant grant;
};

static void destroy_pending(struct cox_wait *wait) {
  struct pending *const pending = COX_CONTAINER(wait, struct pending, wait);
  cox_lease_grant_fini(&pending->grant);
  free(pending);
}

static void give_back(struct pending *pending) {
  if (pending->rc == 0) cox_lease_release(pending->broker, pending->grant.id, COX_LEASE_UNSAID, NULL);
}

/* On whichever thread freed the slot. */
static void granted(struct cox_lease_wait *lease, int rc, const struct cox_lease_grant *grant) {
  struct pending *const pending = COX_CONTAINER(lease, struct pending, lease);
  pending->rc = rc;
  if (rc == 0) pending->grant = *grant;
  if (atomic_exchange(&pending->state, GRANTED) == DROPPED) give_back(pending);
  else cox_wait_finish(&pending->wait, COX_WAIT_ANSWERED);
  cox_wait_release(&pending->wait);
}

/* The request ends before its lease came, or with it. */
static void end_pending(struct leasing *leasing) {
  struct pending *const pending = leasing->pending;
  if (pending == NULL) return;
  leasing->pending = NULL;
  if (atomic_load(&pending->state) == OPEN && cox_lease_cancel(pending->broker, &pending->lease)) {
    cox_wait_release(&pending->wait); /* the leases' */
  } else if (atomic_exchange(&pending->state, DROPPED) == GRANTED && !leasing->has_lease) {
    give_back(pending);
  }
  cox_wait_release(&pending->wait);
}

static void destroy_leasing(void *state) {
  struct leasing *const leasing = state;
  struct cox_broker *const broker = leasing->request->api->options.broker;
  end_pending(leasing);
  if (leasing->has_lease && !leasing->request->is_delivered) {
    cox_holding_drop(leasing->request, leasing->id);
    cox_lease_release(broker, leasing->id, COX_LEASE_UNSAID, NULL);
  }
  json_decref(leasing->body);
  free(leasing->skip);
  free(leasing);
}

/* ---- what is asked for ---- */

static bool fail(struct cox_request *request, const char *key, const char *rule) {
  cox_request_fail(request, 400, "no lease was given: %s must be %s", key, rule);
  return false;
}

static bool read_text(struct leasing *leasing, const char *key, size_t bytes_max, const char **out) {
  const json_t *const value = json_object_get(leasing->body, key);
  if (value == NULL) return true;
  if (!json_is_string(value) || json_string_length(value) > bytes_max || strlen(json_string_value(value)) != json_string_length(value)) {
    return fail(leasing->request, key, "a text, not too long");
  }
  if (json_string_length(value) > 0 || strcmp(key, "model") == 0) *out = json_string_value(value); /* "": as if it were left out */
  return true;
}

static bool read_skip(struct leasing *leasing) {
  const json_t *const list = json_object_get(leasing->body, "skip");
  if (list == NULL) return true;
  if (!json_is_array(list) || json_array_size(list) > COX_LEASE_SKIPS_MAX) {
    return fail(leasing->request, "skip", "a list of at most 256 node ids");
  }
  leasing->skip = calloc(json_array_size(list) + 1, sizeof *leasing->skip);
  if (leasing->skip == NULL) {
    cox_request_fail(leasing->request, 500, "no lease was given: out of memory; try again later");
    return false;
  }
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *const id = json_string_value(json_array_get(list, i));
    if (id == NULL) return fail(leasing->request, "skip", "a list of at most 256 node ids");
    leasing->skip[leasing->ask.skips++] = id;
  }
  leasing->ask.skip = leasing->skip;
  return true;
}

/* Absent: stays as it is. */
static bool read_ms(struct cox_request *request, const json_t *body, const char *key, int64_t least, int64_t most, int64_t *out) {
  const json_t *const value = json_object_get(body, key);
  if (value == NULL) return true;
  if (json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most) {
    *out = json_integer_value(value);
    return true;
  }
  cox_request_fail(request, 400, "%s must be a whole number from %lld to %lld; nothing was done", key, (long long)least, (long long)most);
  return false;
}

static bool read_bind(struct leasing *leasing) {
  const json_t *const value = json_object_get(leasing->body, "bind");
  if (value == NULL) return true;
  leasing->is_bound = json_is_string(value) && strcmp(json_string_value(value), "connection") == 0;
  if (leasing->is_bound && leasing->request->connection == NULL) { /* a job's: its answer may be read on another connection */
    return fail(leasing->request, "bind", "left out beside an Idempotency-Key");
  }
  return leasing->is_bound || fail(leasing->request, "bind", "\"connection\", or left out");
}

static bool read_ask(struct leasing *leasing) {
  static const char *const keys[] = {"model", "version", "accept_earlier_version", "skip",   "tenant",
                                     "affinity", "bind",    "wait_ms",                "ttl_ms", NULL};
  struct cox_request *const request = leasing->request;
  struct cox_lease_ask *const ask = &leasing->ask;
  if (!cox_request_has_only(request, leasing->body, keys)) return false;
  if (!json_is_string(json_object_get(leasing->body, "model"))) return fail(request, "model", "given: the name of a model");
  const json_t *const earlier = json_object_get(leasing->body, "accept_earlier_version");
  if (earlier != NULL && !json_is_boolean(earlier)) return fail(request, "accept_earlier_version", "true or false");
  ask->accepts_earlier = json_is_true(earlier);
  return read_text(leasing, "model", NAME_MAX_BYTES, &ask->model) && read_text(leasing, "version", NAME_MAX_BYTES, &ask->version) &&
         read_text(leasing, "tenant", NAME_MAX_BYTES, &ask->tenant) && read_text(leasing, "affinity", AFFINITY_MAX_BYTES, &ask->affinity) &&
         read_skip(leasing) && read_bind(leasing) &&
         read_ms(request, leasing->body, "wait_ms", 0, COX_LEASE_WAIT_MAX_MS, &leasing->wait_ms) &&
         read_ms(request, leasing->body, "ttl_ms", 1, COX_LEASE_TTL_MAX_MS, &ask->ttl_ms);
}

/* ---- the answers ---- */

enum { ANSWER_BYTES = 128 /* of an answer, beside what is known of the node */ };

/* Answers are written straight: with thousands of leases a second a tree of values would cost more than the lease. */
static bool begin_answer(struct cox_buf *buf, struct cox_lease_id id, size_t more_bytes) {
  static const char start[] = "{\"lease_id\":\"";
  char text[COX_LEASE_ID_TEXT];
  cox_lease_id_format(id, text);
  return cox_buf_room(buf, ANSWER_BYTES + more_bytes) != NULL && cox_buf_add(buf, start, sizeof start - 1) &&
         cox_buf_add(buf, text, COX_LEASE_ID_TEXT - 1) && cox_buf_add(buf, "\",", 2);
}

static bool add_literal(struct cox_buf *buf, const char *text) { return cox_buf_add(buf, text, strlen(text)); }

/* Empties the buffer. */
static void end_answer(struct cox_request *request, unsigned status, struct cox_buf *buf, bool is_whole) {
  is_whole = is_whole && cox_buf_add(buf, "}\n", 2);
  cox_request_answer_blob(request, status, "application/json", is_whole ? cox_blob_take(buf) : NULL);
  cox_buf_fini(buf);
}

static unsigned status_of(int code) {
  switch (code) {
  case COX_EINVAL: return 400;
  case COX_ENOENT: return 404;
  case COX_EBUSY: return 409;
  case COX_EGONE: return 410;
  case COX_EFULL: return 429;
  case COX_ESTOPPED: return 503;
  case COX_ETIME: return 504;
  default: return 500;
  }
}

static void refuse(struct cox_request *request, int code, const char *text) {
  const unsigned status = status_of(code);
  cox_request_fail(request, status, "%s", text);
  if (status != 429) return;
  request->more_header = "Retry-After";
  request->more_value = "1";
}

/* None is free, or none became free: with the reason of each node. */
static void refuse_with_reasons(struct leasing *leasing, unsigned status, const char *text) {
  size_t omitted;
  json_t *const object = json_object();
  json_object_set_new(object, "error", cox_json_text(text));
  json_object_set_new(object, "reasons", cox_lease_reasons(leasing->request->api->options.broker, &leasing->ask, &omitted));
  if (omitted > 0) json_object_set_new(object, "reasons_omitted", json_integer((json_int_t)omitted));
  cox_request_answer(leasing->request, status, object);
}

/* Takes the grant's lease; borrows the rest of it. */
static void give(struct leasing *leasing, const struct cox_lease_grant *grant) {
  struct cox_request *const request = leasing->request;
  leasing->has_lease = true;
  leasing->id = grant->id;
  if (leasing->is_bound && !cox_holding_add(request, grant->id)) {
    refuse(request, COX_EFULL, "no lease was given: this connection holds too many already; release some, or use another connection");
    leasing->has_lease = false;
    cox_lease_release(request->api->options.broker, grant->id, COX_LEASE_UNSAID, NULL);
    return;
  }
  const struct cox_lease_place *const place = grant->place;
  struct cox_buf buf = {0};
  const bool is_whole = begin_answer(&buf, grant->id, place->shown_len) && cox_buf_add(&buf, place->shown, place->shown_len) &&
                        add_literal(&buf, ",\"expires_at_ms\":") && cox_json_add_integer(&buf, grant->expires_ms);
  end_answer(request, 201, &buf, is_whole);
}

static void waited(struct cox_request *request, struct cox_wait *wait) {
  struct pending *const pending = COX_CONTAINER(wait, struct pending, wait);
  struct leasing *const leasing = request->state;
  if (pending->rc == 0) give(leasing, &pending->grant);
  else if (pending->rc == COX_ETIME) refuse_with_reasons(leasing, 504, "no node became free in time: wait longer, or try again later");
  else if (pending->rc == COX_EFULL) refuse(request, COX_EFULL, "no lease was given: too many requests wait for this model; try again later");
  else if (pending->rc == COX_ENOENT) refuse(request, COX_ENOENT, "no lease was given: no node names the model any more");
  else refuse(request, pending->rc, pending->rc == COX_ESTOPPED ? "no lease was given: the daemon is stopping" : "no lease was given: out of memory");
  end_pending(leasing);
}

/* What waits, or holds leases and is idle, keeps a connection from everybody else. */
static bool may_stay(struct cox_request *request) {
  if (cox_connections_may_keep(&request->api->connections)) return true;
  refuse(request, COX_EFULL, "no lease was given: too many connections wait or hold leases already, and the others are left free for short "
                             "requests; use fewer connections, or raise the limit of open files");
  return false;
}

static void begin_wait(struct leasing *leasing) {
  struct cox_request *const request = leasing->request;
  if (!may_stay(request)) return;
  struct pending *const pending = calloc(1, sizeof *pending);
  if (pending == NULL) {
    refuse(request, COX_ENOMEM, "no lease was given: out of memory; try again later");
    return;
  }
  pending->wait.destroy = destroy_pending;
  pending->lease.done = granted;
  pending->broker = request->api->options.broker;
  pending->leasing = leasing;
  atomic_init(&pending->state, OPEN);
  request->resume = waited;
  cox_wait_begin(&pending->wait, request, cox_clock_mono_us(cox_clock_system()) + leasing->wait_ms * 1000 + GRACE_US);
  leasing->pending = pending;
  cox_wait_hold(&pending->wait); /* `leasing`'s */
  cox_wait_hold(&pending->wait); /* the leases' */
  struct cox_lease_grant grant;
  const int rc = cox_lease_acquire(pending->broker, &leasing->ask, leasing->wait_ms, &pending->lease, &grant, NULL);
  if (rc != COX_LEASE_WAITS) granted(&pending->lease, rc, &grant);
  else if (request->connection != NULL) cox_connection_watch(request->connection);
}

void cox_post_lease(struct cox_request *request) {
  json_t *const body = cox_request_object(request);
  if (body == NULL) return;
  struct leasing *const leasing = calloc(1, sizeof *leasing);
  if (leasing == NULL) {
    json_decref(body);
    refuse(request, COX_ENOMEM, "no lease was given: out of memory; try again later");
    return;
  }
  leasing->request = request;
  leasing->body = body;
  request->state = leasing;
  request->state_destroy = destroy_leasing;
  if (!read_ask(leasing)) return;
  if (leasing->is_bound && request->connection->holding == NULL && !may_stay(request)) return;
  struct cox_err err;
  struct cox_lease_grant grant;
  const int rc = cox_lease_acquire(request->api->options.broker, &leasing->ask, leasing->wait_ms, NULL, &grant, &err);
  if (rc == 0) {
    give(leasing, &grant);
    cox_lease_grant_fini(&grant);
  } else if (rc == COX_EBUSY && leasing->wait_ms > 0) {
    begin_wait(leasing);
  } else if (rc == COX_EBUSY) {
    refuse_with_reasons(leasing, 503, err.text);
  } else {
    refuse(request, rc, err.text);
  }
}

/* ---- a lease that is there ---- */

static bool read_id(struct cox_request *request, struct cox_lease_id *id) {
  if (cox_lease_id_parse(request->match.param[0], id)) return true;
  cox_request_fail(request, 400, "%.100s is no lease id: one has 32 hex digits, as POST /v1/leases gave it", request->match.param[0]);
  return false;
}

static void renew(struct cox_request *request, struct cox_lease_id id, const json_t *body) {
  const json_t *const node = json_object_get(body, "node_id");
  int64_t ttl_ms = 0, expires_ms;
  if (json_object_get(body, "ttl_ms") == NULL) {
    cox_request_fail(request, 400, "ttl_ms is missing: for how long the lease is to live from now; nothing was done");
    return;
  }
  if (node != NULL && !json_is_string(node)) {
    cox_request_fail(request, 400, "node_id must be the id of a node; nothing was done");
    return;
  }
  if (!read_ms(request, body, "ttl_ms", 1, COX_LEASE_TTL_MAX_MS, &ttl_ms)) return;
  struct cox_err err;
  json_t *held_by = NULL;
  const int rc = cox_lease_renew(request->api->options.broker, id, ttl_ms, json_string_value(node), &held_by, &expires_ms, &err);
  if (rc != 0) {
    refuse(request, rc, err.text);
    return;
  }
  char text[COX_LEASE_ID_TEXT];
  cox_lease_id_format(id, text);
  cox_request_answer(request, 200, json_pack("{ss, so, sI}", "lease_id", text, "node_id", held_by, "expires_at_ms", (json_int_t)expires_ms));
}

void cox_put_lease(struct cox_request *request) {
  static const char *const keys[] = {"ttl_ms", "node_id", NULL};
  struct cox_lease_id id;
  if (!read_id(request, &id)) return;
  json_t *const body = cox_request_object(request);
  if (body != NULL && cox_request_has_only(request, body, keys)) renew(request, id, body);
  json_decref(body);
}

static void release(struct cox_request *request, struct cox_lease_id id, const json_t *body) {
  const json_t *const said = json_object_get(body, "outcome");
  enum cox_lease_outcome outcome = COX_LEASE_UNSAID;
  if (said != NULL && !cox_lease_outcome_parse(json_string_value(said), &outcome)) {
    cox_request_fail(request, 400, "outcome must be success, transport_error, application_error or timeout; nothing was done");
    return;
  }
  struct cox_err err;
  const int rc = cox_lease_release(request->api->options.broker, id, outcome, &err);
  cox_holding_drop(request, id);
  if (rc != 0) {
    refuse(request, rc, err.text);
    return;
  }
  struct cox_buf buf = {0};
  const bool is_whole = begin_answer(&buf, id, 0) && add_literal(&buf, "\"released\":true");
  end_answer(request, 200, &buf, is_whole);
}

void cox_delete_lease(struct cox_request *request) {
  static const char *const keys[] = {"outcome", NULL};
  struct cox_lease_id id;
  if (!read_id(request, &id)) return;
  json_t *const body = cox_request_object(request);
  if (body != NULL && cox_request_has_only(request, body, keys)) release(request, id, body);
  json_decref(body);
}
