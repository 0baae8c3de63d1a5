/* The public interface for programs that run the broker inside of themselves. */
#include "coxswain/coxswain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "core/lease.h"
#include "daemon.h"
#include "embed.h"
#include "script/script.h"

_Static_assert((int)COXSWAIN_GONE == (int)COX_EGONE && (int)COXSWAIN_BUSY == (int)COX_EBUSY && (int)COXSWAIN_INVALID == (int)COX_EINVAL,
               "the public codes are the inner ones");
_Static_assert((int)COXSWAIN_REQUEST_TIMEOUT == (int)COX_LEASE_TIMEOUT && (int)COXSWAIN_SUCCESS == (int)COX_LEASE_SUCCESS,
               "the public outcomes are the inner ones");

int cox_embed_fail(struct coxswain_error *error, int code, const char *text) {
  if (error == NULL) return code;
  error->code = code;
  snprintf(error->text, sizeof error->text, "%s", text);
  return code;
}

/* ---- life ---- */

const char *coxswain_version(void) { return COX_VERSION; }

static void free_overrides(char **overrides) {
  for (size_t i = 0; overrides != NULL && overrides[i] != NULL; i++) free(overrides[i]);
  free(overrides);
}

/* Each key of the object as "key=value". NULL with the reason: it is none. */
static char **overrides_of(const char *config_json, struct coxswain_error *error) {
  json_error_t fault;
  json_t *const object = json_loads(config_json != NULL ? config_json : "{}", JSON_REJECT_DUPLICATES, &fault);
  if (!json_is_object(object)) {
    cox_embed_fail(error, COXSWAIN_INVALID, object == NULL ? fault.text : "the configuration must be a JSON object");
    json_decref(object);
    return NULL;
  }
  char **const overrides = calloc(json_object_size(object) + 1, sizeof(char *));
  size_t count = 0;
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    char *const text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (overrides == NULL || text == NULL || asprintf(&overrides[count++], "%s=%s", key, text) < 0) abort();
    free(text);
  }
  json_decref(object);
  return overrides;
}

static void report(const struct cox_faults *faults, struct coxswain_error *error) {
  struct cox_buf text = {0};
  for (size_t i = 0; i < faults->count; i++) {
    const struct cox_err *const fault = &faults->list[i];
    cox_buf_addf(&text, "%s", i > 0 ? "\n" : "");
    if (fault->file[0] != '\0') cox_buf_addf(&text, "%s:%d: ", fault->file, fault->line);
    cox_buf_addf(&text, "%s", fault->text);
  }
  cox_embed_fail(error, faults->count > 0 && faults->list[0].code < 0 ? faults->list[0].code : COXSWAIN_INVALID,
       text.data != NULL ? text.data : "starting failed");
  cox_buf_fini(&text);
}

static void set_log(const json_t *config) {
  const json_t *const log = json_object_get(config, "log");
  enum cox_log_level level = COX_LOG_INFO;
  cox_log_level_parse(json_string_value(json_object_get(log, "level")), &level);
  const char *const format = json_string_value(json_object_get(log, "format"));
  cox_log_setup(level, format != NULL && strcmp(format, "json") == 0, STDERR_FILENO);
}

struct coxswain *coxswain_start(const char *config_path, const char *config_json, struct coxswain_error *error) {
  char **const overrides = overrides_of(config_json, error);
  if (overrides == NULL) return NULL;
  struct cox_faults faults = {0};
  struct coxswain *cox = calloc(1, sizeof *cox);
  json_t *const config = cox_config_load(config_path, (const char *const *)overrides, NULL, &faults);
  if (cox != NULL && config != NULL) {
    set_log(config);
    cox->daemon = cox_daemon_start(config, &faults);
  }
  if (cox != NULL && cox->daemon != NULL) {
    cox->broker = cox_daemon_broker(cox->daemon);
    cox_subscriptions_init(cox);
  } else {
    report(&faults, error);
    free(cox);
    cox = NULL;
  }
  json_decref(config);
  cox_faults_fini(&faults);
  free_overrides(overrides);
  return cox;
}

/* They have been told and leave at once; asking every millisecond is simpler than a condition that each acquire has to look at. */
static void await_acquirers(struct coxswain *cox) {
  while (atomic_load(&cox->acquirers) > 0) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* The leases first: a callback of a subscription may wait for one. */
void coxswain_stop(struct coxswain *cox) {
  if (cox == NULL) return;
  cox_lease_stop(cox->broker);
  cox_subscriptions_fini(cox);
  await_acquirers(cox);
  cox_daemon_stop(cox->daemon);
  free(cox);
}

unsigned coxswain_port(const struct coxswain *cox) { return cox_daemon_port(cox->daemon); }

/* ---- commands ---- */

static char *text_of(json_t *value) {
  char *const text = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  json_decref(value);
  return text;
}

/* NULL with the reason: no object. A new reference. */
static json_t *args_of(const char *args_json, struct coxswain_error *error) {
  json_error_t fault;
  json_t *const args = json_loads(args_json != NULL ? args_json : "{}", JSON_REJECT_DUPLICATES, &fault);
  if (json_is_object(args)) return args;
  cox_embed_fail(error, COXSWAIN_INVALID, args == NULL ? fault.text : "the arguments of a command must be a JSON object");
  json_decref(args);
  return NULL;
}

int coxswain_command(struct coxswain *cox, const char *name, const char *args_json, int64_t timeout_ms, char **answer_json,
                     struct coxswain_error *error) {
  json_t *const args = args_of(args_json, error);
  if (args == NULL) return COXSWAIN_INVALID;
  struct cox_answer answer;
  struct cox_err err = {0};
  int rc = cox_broker_call(cox->broker, name, args, timeout_ms, &answer, &err);
  json_decref(args);
  if (rc != 0) return cox_embed_fail(error, rc, err.text);
  if (answer.outcome == COX_ANSWER_ERROR) rc = cox_embed_fail(error, answer.err.code, answer.err.text);
  else if (answer_json != NULL) *answer_json = text_of(cox_answer_json(&answer));
  cox_answer_fini(&answer);
  return rc;
}

struct callback {
  void (*answered)(void *arg, const char *answer_json);
  void *arg;
};

static void answered(void *arg, const struct cox_answer *answer) {
  struct callback *const callback = arg;
  char *const text = text_of(cox_answer_json(answer));
  callback->answered(callback->arg, text != NULL ? text : "{\"status\":\"error\",\"error\":\"out of memory\"}");
  free(text);
  free(callback);
}

int coxswain_command_async(struct coxswain *cox, const char *name, const char *args_json,
                           void (*done)(void *arg, const char *answer_json), void *arg, struct coxswain_error *error) {
  json_t *const args = args_of(args_json, error);
  if (args == NULL) return COXSWAIN_INVALID;
  struct callback *const callback = malloc(sizeof *callback);
  struct cox_err err = {.code = COX_ENOMEM, .text = "the command was not sent: out of memory"};
  int rc = COX_ENOMEM;
  if (callback != NULL) {
    *callback = (struct callback){done, arg};
    rc = cox_broker_submit(cox->broker, name, args, answered, callback, &err);
  }
  json_decref(args);
  if (rc == 0) return COXSWAIN_OK;
  free(callback);
  return cox_embed_fail(error, rc, err.text);
}

char *coxswain_nodes_json(struct coxswain *cox) { return text_of(cox_broker_nodes_json(cox->broker)); }
char *coxswain_node_json(struct coxswain *cox, const char *node_id) { return text_of(cox_broker_node_json(cox->broker, node_id)); }
char *coxswain_world_json(struct coxswain *cox) { return text_of(cox_broker_world_json(cox->broker)); }

/* ---- leases ---- */

/* Who has no version to ask for may say it with an empty text, too. */
static const char *unless_empty(const char *text) { return text != NULL && text[0] != '\0' ? text : NULL; }

static struct cox_lease_ask ask_of(const struct coxswain_request *request) {
  return (struct cox_lease_ask){
      .model = request->model,
      .version = unless_empty(request->version),
      .accepts_earlier = request->accept_earlier_version,
      .skip = request->skip,
      .skips = request->skips,
      .tenant = request->tenant,
      .affinity = unless_empty(request->affinity),
      .ttl_ms = request->ttl_ms,
  };
}

static void show(const struct cox_lease_grant *grant, struct coxswain_lease *lease) {
  cox_lease_id_format(grant->id, lease->id);
  lease->node_id = grant->place->node_id;
  lease->inference_url = grant->place->inference_url;
  lease->poc_url = grant->place->poc_url;
  lease->expires_ms = grant->expires_ms;
  lease->held = grant->place;
}

int coxswain_acquire(struct coxswain *cox, const struct coxswain_request *request, int64_t wait_ms, struct coxswain_lease *lease,
                     struct coxswain_error *error) {
  const struct cox_lease_ask ask = ask_of(request);
  struct cox_lease_grant grant;
  struct cox_err err = {0};
  atomic_fetch_add(&cox->acquirers, 1);
  const int rc = cox_lease_acquire_blocking(cox->broker, &ask, wait_ms, &grant, &err);
  atomic_fetch_sub(&cox->acquirers, 1);
  if (rc != 0) return cox_embed_fail(error, rc, err.text);
  show(&grant, lease);
  return COXSWAIN_OK;
}

/* Held by the caller (when it wants it) and by the leases. */
struct coxswain_waiter {
  struct cox_lease_wait wait;
  atomic_uint references;
  struct cox_broker *broker;
  void (*done)(void *arg, int code, struct coxswain_lease *lease);
  void *arg;
  struct cox_lease_ask ask;
  json_t *texts; /* own copies of what `ask` names */
  const char *skip[COX_LEASE_SKIPS_MAX];
};

void coxswain_waiter_release(struct coxswain_waiter *waiter) {
  if (waiter == NULL || atomic_fetch_sub(&waiter->references, 1) > 1) return;
  json_decref(waiter->texts);
  free(waiter);
}

static const char *copy(struct coxswain_waiter *waiter, const char *text) {
  if (text == NULL) return NULL;
  json_t *const kept = json_string_nocheck(text);
  json_array_append_new(waiter->texts, kept);
  return json_string_value(kept);
}

static void tell(struct coxswain_waiter *waiter, int rc, const struct cox_lease_grant *grant) {
  struct coxswain_lease lease;
  if (rc == 0) show(grant, &lease);
  waiter->done(waiter->arg, rc, rc == 0 ? &lease : NULL);
  coxswain_waiter_release(waiter);
}

static void granted(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  tell(COX_CONTAINER(wait, struct coxswain_waiter, wait), rc, grant);
}

static struct coxswain_waiter *make_waiter(struct coxswain *cox, const struct coxswain_request *request) {
  struct coxswain_waiter *const waiter = calloc(1, sizeof *waiter);
  if (waiter == NULL) return NULL;
  atomic_init(&waiter->references, 2);
  waiter->wait.done = granted;
  waiter->broker = cox->broker;
  waiter->texts = json_array();
  waiter->ask = ask_of(request);
  waiter->ask.model = copy(waiter, request->model);
  waiter->ask.version = copy(waiter, waiter->ask.version);
  waiter->ask.tenant = copy(waiter, request->tenant);
  waiter->ask.affinity = copy(waiter, waiter->ask.affinity);
  for (size_t i = 0; i < request->skips; i++) waiter->skip[i] = copy(waiter, request->skip[i]);
  waiter->ask.skip = waiter->skip;
  return waiter;
}

int coxswain_acquire_async(struct coxswain *cox, const struct coxswain_request *request, int64_t wait_ms,
                           void (*done)(void *arg, int code, struct coxswain_lease *lease), void *arg, struct coxswain_waiter **out,
                           struct coxswain_error *error) {
  if (request->skips > COX_LEASE_SKIPS_MAX) return cox_embed_fail(error, COXSWAIN_INVALID, "skip names too many nodes: at most 256 are allowed");
  struct coxswain_waiter *const waiter = make_waiter(cox, request);
  if (waiter == NULL) return cox_embed_fail(error, COXSWAIN_NO_MEMORY, "no lease was asked for: out of memory");
  waiter->done = done;
  waiter->arg = arg;
  struct cox_lease_grant grant;
  struct cox_err err = {0};
  const int rc = cox_lease_acquire(cox->broker, &waiter->ask, wait_ms, &waiter->wait, &grant, &err);
  if (rc == 0) tell(waiter, 0, &grant);
  else if (rc < 0) coxswain_waiter_release(waiter); /* the leases' */
  if (rc < 0 || out == NULL) coxswain_waiter_release(waiter);
  else *out = waiter;
  return rc < 0 ? cox_embed_fail(error, rc, err.text) : COXSWAIN_OK;
}

bool coxswain_waiter_cancel(struct coxswain_waiter *waiter) {
  if (!cox_lease_cancel(waiter->broker, &waiter->wait)) return false;
  coxswain_waiter_release(waiter); /* the leases' */
  return true;
}

static int read_id(const char *text, struct cox_lease_id *id, struct coxswain_error *error) {
  if (text != NULL && cox_lease_id_parse(text, id)) return 0;
  return cox_embed_fail(error, COXSWAIN_INVALID, "that is no lease id: one has 32 hex digits, as a lease names it");
}

int coxswain_renew(struct coxswain *cox, const char *lease_id, int64_t ttl_ms, const char *node_id, struct coxswain_error *error) {
  struct cox_lease_id id;
  struct cox_err err = {0};
  int rc = read_id(lease_id, &id, error);
  if (rc != 0) return rc;
  rc = cox_lease_renew(cox->broker, id, ttl_ms, node_id, NULL, NULL, &err);
  return rc == 0 ? COXSWAIN_OK : cox_embed_fail(error, rc, err.text);
}

int coxswain_release(struct coxswain *cox, const char *lease_id, enum coxswain_outcome outcome, struct coxswain_error *error) {
  struct cox_lease_id id;
  struct cox_err err = {0};
  int rc = read_id(lease_id, &id, error);
  if (rc != 0) return rc;
  rc = cox_lease_release(cox->broker, id, (enum cox_lease_outcome)outcome, &err);
  return rc == 0 ? COXSWAIN_OK : cox_embed_fail(error, rc, err.text);
}

void coxswain_lease_fini(struct coxswain_lease *lease) {
  struct cox_lease_grant grant = {.place = lease->held};
  cox_lease_grant_fini(&grant);
  lease->held = NULL;
}

char *coxswain_reasons_json(struct coxswain *cox, const struct coxswain_request *request) {
  const struct cox_lease_ask ask = ask_of(request);
  size_t omitted;
  return text_of(cox_lease_reasons(cox->broker, &ask, &omitted));
}
