#include "fake_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/record.h"

static int64_t mono_us(void *ctx) { return ((struct fake *)ctx)->now_us; }
static int64_t wall_ms(void *ctx) { return 1700000000000 + ((struct fake *)ctx)->now_us / 1000; }

static int lookup(void *ctx, const char *name, enum cox_priority *priority) {
  (void)ctx;
  static const char *const names[] = {"register", "update", "remove", "admin", "intend", "block", "due", "half",
                                      "skip",     "fail", "intend_each",   "reconcile", "probe", "low", "read", "expire_admin_state"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], name) != 0) continue;
    *priority = strcmp(name, "low") == 0 ? COX_PRIORITY_LOW : COX_PRIORITY_HIGH;
    return 0;
  }
  return COX_ENOENT;
}

static double limit_s(void *ctx, const char *kind, enum cox_status status) {
  (void)kind;
  (void)status;
  return ((struct fake *)ctx)->limit_s;
}

static uint64_t generation(void *ctx) { return ((struct fake *)ctx)->generation; }

static void done_or(struct cox_answer *answer, int rc, const struct cox_err *err) {
  if (rc >= 0) {
    answer->result = json_pack("{si}", "value", rc);
    return;
  }
  answer->outcome = COX_ANSWER_ERROR;
  answer->err = *err;
  answer->err.code = rc;
}

static int intend(struct cox_txn *txn, const json_t *args, struct cox_err *err) {
  const int slot = cox_txn_find(txn, json_string_value(json_object_get(args, "node_id")));
  if (slot == COX_TXN_NONE) return cox_err_set(err, COX_ENOENT, "no such node");
  json_t *const object = json_incref(json_object_get(args, "target"));
  return cox_txn_intend(txn, slot, cox_target_create(object, json_string_value(json_object_get(args, "reason")), err), err);
}

/* A list of such arguments, in one transaction. */
static int intend_each(struct cox_txn *txn, const json_t *list, struct cox_err *err) {
  int rc = 0;
  for (size_t i = 0; rc >= 0 && i < json_array_size(list); i++) rc = intend(txn, json_array_get(list, i), err);
  return rc;
}

/* "expires_ms" of the arguments is on the fake's wall clock. */
static int set_admin(struct cox_txn *txn, const json_t *args, struct cox_err *err) {
  const json_t *const enabled = json_object_get(args, "enabled");
  struct cox_admin admin = {.is_enabled = enabled == NULL || json_is_true(enabled), .epoch = 7, .reason = json_string("because"),
                            .expires_ms = json_integer_value(json_object_get(args, "expires_ms"))};
  const int rc = cox_txn_set_admin(txn, json_string_value(json_object_get(args, "node_id")), &admin, err);
  json_decref(admin.reason);
  return rc;
}

static void run(void *ctx, const char *name, json_t *args, struct cox_txn *txn, struct cox_answer *answer) {
  struct fake *const fake = ctx;
  json_array_append_new(fake->served, json_string(name));
  const char *const id = json_string_value(json_object_get(args, "node_id"));
  struct cox_err err = {0};
  int rc = 0;
  if (strcmp(name, "register") == 0) rc = cox_txn_register(txn, json_object_get(args, "node"), &err);
  else if (strcmp(name, "update") == 0) rc = cox_txn_update(txn, json_object_get(args, "node"), &err);
  else if (strcmp(name, "remove") == 0) rc = cox_txn_remove(txn, id);
  else if (strcmp(name, "admin") == 0 || strcmp(name, "expire_admin_state") == 0) rc = set_admin(txn, args, &err);
  else if (strcmp(name, "intend") == 0) rc = intend(txn, args, &err);
  else if (strcmp(name, "intend_each") == 0) rc = intend_each(txn, json_object_get(args, "list"), &err);
  else if (strcmp(name, "reconcile") == 0) rc = cox_txn_reconcile(txn, id);
  else if (strcmp(name, "probe") == 0) rc = cox_txn_probe(txn, id);
  else if (strcmp(name, "block") == 0) {
    cox_txn_set_world(txn, args);
    if (json_object_get(args, "command") != NULL) cox_txn_issue(txn, json_string_value(json_object_get(args, "command")));
  } else if (strcmp(name, "half") == 0) {
    intend(txn, args, &err);
    rc = cox_err_set(&err, COX_ESCRIPT, "half.lua:3: on purpose");
  } else if (strcmp(name, "fail") == 0) {
    rc = cox_err_set(&err, COX_ESCRIPT, "fail.lua:1: on purpose");
  } else if (strcmp(name, "skip") == 0) {
    answer->outcome = COX_ANSWER_SKIPPED;
    answer->reason = strdup("not now");
    return;
  }
  done_or(answer, rc, &err);
}

static void start(void *ctx, struct cox_attempt *attempt) {
  struct fake *const fake = ctx;
  assert_true(fake->opens < FAKE_MAX);
  fake->is_cancelled[fake->opens] = false;
  fake->open[fake->opens++] = attempt;
  if (attempt->kind == COX_ATTEMPT_PROBE) {
    fake->started_probes++;
    return;
  }
  fake->started++;
  size_t same = 0; /* promise 5: two mutating calls to one machine are never open at once */
  for (size_t i = 0; i < fake->opens; i++) {
    same += fake->open[i]->kind == COX_ATTEMPT_REACH && json_equal(json_object_get(fake->open[i]->node, "poc_port"),
                                                                 json_object_get(attempt->node, "poc_port"));
  }
  assert_int_equal(same, 1);
}

static void cancel(void *ctx, unsigned worker, uint64_t number) {
  struct fake *const fake = ctx;
  for (size_t i = 0; i < fake->opens; i++) {
    if (fake->open[i]->fence.attempt != number) continue;
    assert_int_equal(fake->open[i]->worker, worker);
    fake->is_cancelled[i] = true;
  }
}

static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  struct fake *const fake = ctx;
  (void)err;
  for (size_t i = 0; i < batch->count; i++) {
    if (cox_record_is_state(batch->records[i])) json_array_append_new(fake->records, cox_record_json(batch->records[i]));
  }
  batch->done(batch, NULL);
  return 0;
}

static void settle(void *ctx) { (void)ctx; }

static void make_broker(struct fake *fake, const struct cox_policy *policy, json_t *participant, const char *callback_url) {
  const struct cox_broker_options options = {
      .clock = &fake->clock,
      .seed = 42,
      .policy = policy,
      .participant = participant,
      .callback_url = callback_url,
      .transport = &fake->transport,
      .store = &fake->store,
      .queue_max = 64,
      .leases = fake->leases,
      .probe_interval_s = fake->probe_interval_s > 0 ? fake->probe_interval_s : -1,
  };
  fake->broker = cox_broker_create(&options, NULL);
  assert_non_null(fake->broker);
}

void fake_use_policy(struct fake *fake, const struct cox_policy *policy, json_t *participant, const char *callback_url) {
  cox_broker_destroy(fake->broker);
  make_broker(fake, policy, participant, callback_url);
}

static const struct cox_store own_store = {.append = append, .settle = settle};

int fake_use_store(struct fake *fake, const struct cox_store *store, struct cox_err *err) {
  cox_broker_destroy(fake->broker);
  for (size_t i = 0; i < fake->opens; i++) cox_attempt_destroy(fake->open[i]);
  fake->opens = 0;
  fake->store = store != NULL ? *store : own_store;
  if (store == NULL) fake->store.ctx = fake;
  make_broker(fake, &fake->policy, NULL, NULL);
  return cox_broker_load(fake->broker, err);
}

struct fake *fake_create(double probe_interval_s) {
  struct fake *const fake = calloc(1, sizeof *fake);
  fake->now_us = 1000000;
  fake->probe_interval_s = probe_interval_s;
  fake->generation = 1;
  fake->limit_s = 100;
  fake->clock = (struct cox_clock){.mono_us = mono_us, .wall_ms = wall_ms, .ctx = fake};
  fake->policy = (struct cox_policy){.ctx = fake, .lookup = lookup, .limit_s = limit_s, .run = run, .generation = generation};
  fake->transport = (struct cox_transport){.ctx = fake, .workers = 2, .start = start, .cancel = cancel};
  fake->store = own_store;
  fake->store.ctx = fake;
  fake->served = json_array();
  fake->records = json_array();
  make_broker(fake, &fake->policy, NULL, NULL);
  return fake;
}

void fake_destroy(struct fake *fake) {
  for (size_t i = 0; i < fake->opens; i++) cox_attempt_destroy(fake->open[i]);
  cox_broker_destroy(fake->broker);
  cox_answer_fini(&fake->last);
  json_decref(fake->served);
  json_decref(fake->records);
  free(fake);
}

void fake_run(struct fake *fake) {
  while (cox_broker_step_commands(fake->broker) + cox_broker_step_reconcile(fake->broker, NULL) > 0) {}
}

void fake_pass_time(struct fake *fake, double seconds) {
  fake->now_us += (int64_t)(seconds * 1e6);
  fake_run(fake);
}

static void keep_answer(void *arg, const struct cox_answer *answer) {
  struct fake *const fake = arg;
  cox_answer_fini(&fake->last);
  fake->last = *answer;
  fake->last.reason = answer->reason ? strdup(answer->reason) : NULL;
  json_incref(fake->last.result);
  fake->answers++;
}

enum cox_outcome fake_send(struct fake *fake, const char *name, json_t *args) {
  struct cox_err err;
  const int before = fake->answers;
  assert_int_equal(cox_broker_submit(fake->broker, name, args, keep_answer, fake, &err), 0);
  json_decref(args);
  fake_run(fake);
  assert_int_equal(fake->answers, before + 1);
  return fake->last.outcome;
}

json_t *fake_node(const char *id, int port) {
  return json_pack("{ss, ss, si, si, si, s{s{s[]}}}", "id", id, "host", "10.0.0.1", "inference_port", port, "poc_port", port + 10000,
                   "max_concurrent", 10, "models", "m", "args");
}

void fake_register(struct fake *fake, const char *id, int port) {
  assert_int_equal(fake_send(fake, "register", json_pack("{so}", "node", fake_node(id, port))), COX_ANSWER_DONE);
}

void fake_arm(struct fake *fake) {
  fake_send(fake, "block", json_pack("{si, ss, sb, ss}", "height", 10, "hash", "AA", "synced", 1, "command", "due"));
}

void fake_intend(struct fake *fake, const char *id, json_t *target) {
  assert_int_equal(fake_send(fake, "intend", json_pack("{ss, so}", "node_id", id, "target", target)), COX_ANSWER_DONE);
}

static size_t index_of(struct fake *fake, const char *id) {
  for (size_t i = 0; i < fake->opens; i++) {
    if (strcmp(json_string_value(json_object_get(fake->open[i]->node, "id")), id) == 0) return i;
  }
  return FAKE_MAX;
}

struct cox_attempt *fake_open(struct fake *fake, const char *id) {
  const size_t i = index_of(fake, id);
  return i < FAKE_MAX ? fake->open[i] : NULL;
}

bool fake_is_cancelled(struct fake *fake, const char *id) {
  const size_t i = index_of(fake, id);
  return i < FAKE_MAX && fake->is_cancelled[i];
}

void fake_give_back(struct fake *fake, size_t index, enum cox_class class_, const char *error) {
  struct cox_attempt *const attempt = fake->open[index];
  fake->opens--;
  fake->open[index] = fake->open[fake->opens];
  fake->is_cancelled[index] = fake->is_cancelled[fake->opens];
  attempt->result.class_ = class_;
  attempt->result.error = error != NULL ? strdup(error) : NULL;
  cox_broker_complete(fake->broker, attempt);
}

void fake_finish(struct fake *fake, const char *id, enum cox_class class_, const char *error) {
  const size_t i = index_of(fake, id);
  assert_true(i < FAKE_MAX);
  fake_give_back(fake, i, class_, error);
  fake_run(fake);
}

const char *fake_state(struct fake *fake, const char *id, const char *key) {
  static char text[256];
  json_t *const node = cox_broker_node_json(fake->broker, id);
  const json_t *const value = json_object_get(json_object_get(node, "state"), key);
  snprintf(text, sizeof text, "%s", json_is_string(value) ? json_string_value(value) : value != NULL ? "present" : "absent");
  json_decref(node);
  return text;
}

json_t *fake_target(const char *status, const char *poc) {
  if (poc != NULL) {
    return json_pack("{ss, ss, si, ss, si}", "status", status, "poc", poc, "block_height", 100, "block_hash", "H", "node_count", 3);
  }
  return json_pack("{ss, ss}", "status", status, "model", "m");
}

void fake_serving(struct fake *fake) {
  fake_register(fake, "node1", 5000);
  fake_arm(fake);
  fake_intend(fake, "node1", fake_target("INFERENCE", NULL));
  fake_finish(fake, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(fake, "node1", "current_status"), "INFERENCE");
}
