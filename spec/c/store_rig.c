#include "store_rig.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "core/durable.h"
#include "core/engine.h"
#include "core/packed.h"

char store_rig_error[1024];
int store_rig_error_code;

/* ---- the tap ---- */

static int tap_load(void *ctx, struct cox_stored *out, struct cox_err *err) {
  struct tap *const tap = ctx;
  const int rc = tap->inner->load(tap->inner->ctx, out, err);
  if (rc == 0) {
    tap->tables = json_deep_copy(out->tables);
    tap->states[tap->count++] = json_deep_copy(out->tables);
  }
  return rc;
}

static void tap_watch(void *ctx, void (*is_back)(void *arg), void *arg) {
  struct tap *const tap = ctx;
  tap->inner->watch(tap->inner->ctx, is_back, arg);
}

static int tap_append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  struct tap *const tap = ctx;
  for (size_t i = 0; i < batch->count; i++) {
    json_t *const record = cox_record_json(batch->records[i]);
    cox_durable_fold_into(tap->tables, record);
    json_decref(record);
  }
  assert_true(tap->count < RIG_STATES_MAX);
  tap->states[tap->count++] = json_deep_copy(tap->tables);
  const int rc = tap->inner->append(tap->inner->ctx, batch, err);
  if (rc == 0) return 0;
  json_decref(tap->states[--tap->count]);
  json_decref(tap->tables);
  tap->tables = json_deep_copy(tap->states[tap->count - 1]);
  return rc;
}

static void tap_settle(void *ctx) {
  struct tap *const tap = ctx;
  tap->inner->settle(tap->inner->ctx);
}

static int tap_read(void *ctx, struct cox_store_read *read, struct cox_err *err) {
  struct tap *const tap = ctx;
  return tap->inner->read(tap->inner->ctx, read, err);
}

static int tap_backup(void *ctx, const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err) {
  struct tap *const tap = ctx;
  return tap->inner->backup(tap->inner->ctx, path, done, arg, err);
}

static void tap_fini(struct tap *tap) {
  for (size_t i = 0; i < tap->count; i++) json_decref(tap->states[i]);
  json_decref(tap->tables);
  *tap = (struct tap){0};
}

/* ---- open and close ---- */

bool store_rig_open(struct store_rig *rig, const char *path, const char *vfs, struct cox_err *err) {
  const struct cox_sqlite_options options = {.path = path, .vfs = vfs, .retry_ms = 1};
  if (rig->model == NULL) rig->model = json_object();
  if (rig->fake == NULL) rig->fake = fake_create(0);
  rig->sqlite = cox_sqlite_create(&options, err);
  if (rig->sqlite == NULL) return false;
  rig->tap = (struct tap){.inner = cox_sqlite_store(rig->sqlite)};
  rig->tap.store = (struct cox_store){.ctx = &rig->tap, .load = tap_load, .watch = tap_watch, .append = tap_append, .settle = tap_settle,
                                      .read = tap_read, .backup = tap_backup};
  rig->acked = 0;
  if (fake_use_store(rig->fake, &rig->tap.store, err) == 0) return true;
  store_rig_close(rig);
  return false;
}

void store_rig_close(struct store_rig *rig) {
  if (rig->sqlite != NULL) cox_sqlite_store(rig->sqlite)->close((void *)rig->sqlite);
  if (rig->fake != NULL) fake_destroy(rig->fake);
  rig->fake = NULL;
  cox_sqlite_destroy(rig->sqlite);
  rig->sqlite = NULL;
  tap_fini(&rig->tap);
}

/* ---- asking ---- */

struct question {
  atomic_bool is_answered;
  enum cox_outcome outcome;
};

static void answered(void *arg, const struct cox_answer *answer) {
  struct question *const question = arg;
  question->outcome = answer->outcome;
  store_rig_error_code = answer->outcome == COX_ANSWER_ERROR ? answer->err.code : 0;
  snprintf(store_rig_error, sizeof store_rig_error, "%s", answer->outcome == COX_ANSWER_ERROR ? answer->err.text : "");
  atomic_store(&question->is_answered, true);
}

static void pause_shortly(void) { nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL); }

static bool is_late(int64_t since_us) { return cox_clock_mono_us(cox_clock_system()) - since_us > 20000000; }

enum cox_outcome store_rig_ask(struct store_rig *rig, const char *name, json_t *args) {
  struct question question = {.outcome = COX_ANSWER_ERROR};
  const int64_t since_us = cox_clock_mono_us(cox_clock_system());
  assert_int_equal(cox_broker_submit(rig->fake->broker, name, args, answered, &question, NULL), 0);
  json_decref(args);
  while (!atomic_load(&question.is_answered)) {
    if (cox_broker_step_commands(rig->fake->broker) == 0) pause_shortly();
    if (is_late(since_us)) fail_msg("%s was never answered", name);
  }
  if (question.outcome == COX_ANSWER_DONE) rig->acked = rig->tap.count - 1;
  return question.outcome;
}

bool store_rig_recover(struct store_rig *rig) {
  const int64_t since_us = cox_clock_mono_us(cox_clock_system());
  for (;;) {
    fake_run(rig->fake);
    const struct cox_ledger *const ledger = &rig->fake->broker->ledger;
    if (!cox_broker_is_degraded(rig->fake->broker, NULL) && ledger->first == NULL && !ledger->owes) return true;
    if (is_late(since_us)) return false;
    pause_shortly();
  }
}

/* ---- changes by chance ---- */

static bool toggle(struct store_rig *rig, const char *id, bool is_enabled) {
  json_t *const args = json_pack("{ss, sb}", "node_id", id, "enabled", (int)is_enabled);
  if (store_rig_ask(rig, "admin", args) != COX_ANSWER_DONE) return false;
  json_object_set_new(json_object_get(rig->model, id), "enabled", json_boolean(is_enabled));
  return true;
}

static bool add(struct store_rig *rig, const char *id, int port) {
  if (store_rig_ask(rig, "register", json_pack("{so}", "node", fake_node(id, port))) != COX_ANSWER_DONE) return false;
  json_object_set_new(rig->model, id, json_pack("{sb, si}", "enabled", 1, "max_concurrent", 10));
  return true;
}

static bool drop(struct store_rig *rig, const char *id) {
  if (store_rig_ask(rig, "remove", json_pack("{ss}", "node_id", id)) != COX_ANSWER_DONE) return false;
  json_object_del(rig->model, id);
  return true;
}

static bool update(struct store_rig *rig, const char *id, int port, int most, bool moves) {
  json_t *const node = fake_node(id, moves ? port + 100 : port);
  json_object_set_new(node, "max_concurrent", json_integer(most));
  if (store_rig_ask(rig, "update", json_pack("{so}", "node", node)) != COX_ANSWER_DONE) return false;
  json_object_set_new(json_object_get(rig->model, id), "max_concurrent", json_integer(most));
  return true;
}

void store_rig_serve(struct store_rig *rig) {
  assert_int_equal(store_rig_ask(rig, "register", json_pack("{so}", "node", fake_node("node1", 5000))), COX_ANSWER_DONE);
  assert_int_equal(store_rig_ask(rig, "block", json_pack("{si, ss, sb, ss}", "height", 10, "hash", "AA", "synced", 1, "command", "due")), COX_ANSWER_DONE);
  assert_int_equal(store_rig_ask(rig, "intend", json_pack("{ss, so, ss}", "node_id", "node1", "target", fake_target("INFERENCE", NULL), "reason",
                                                          "it serves")), COX_ANSWER_DONE);
  fake_run(rig->fake);
  struct cox_attempt *const attempt = fake_open(rig->fake, "node1");
  assert_non_null(attempt);
  attempt->result.memory = cox_packed(json_pack("{ss}", "seen", "before"));
  snprintf(attempt->result.unanswered.call, sizeof attempt->result.unanswered.call, "POST /api/v1/stop");
  attempt->result.unanswered.at_ms = 1234;
  attempt->result.unanswered.mark = (struct cox_mark){.era = 99, .at_us = 5678};
  fake_finish(rig->fake, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(rig->fake, "node1", "current_status"), "INFERENCE");
}

void store_rig_write(const char *name, const void *bytes, size_t count) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
  close(fd);
}

bool store_rig_change(struct store_rig *rig, struct cox_rng *rng) {
  char id[16];
  const int which = (int)cox_rng_below(rng, 6), port = 5000 + which, most = 1 + (int)cox_rng_below(rng, 1000);
  snprintf(id, sizeof id, "node%d", which);
  if (json_object_get(rig->model, id) == NULL) return add(rig, id, port);
  switch (cox_rng_below(rng, 8)) {
    case 0: return drop(rig, id);
    case 1: return update(rig, id, port, most, true);
    case 2: return update(rig, id, port, most, false);
    case 3: { /* no operator's change: it stands, whatever the store does */
      const bool is_poc = cox_rng_below(rng, 2) == 0;
      json_t *const target = fake_target(is_poc ? "POC" : "INFERENCE", is_poc ? "GENERATING" : NULL);
      const size_t acked = rig->acked;
      assert_int_equal(store_rig_ask(rig, "intend", json_pack("{ss, so}", "node_id", id, "target", target)), COX_ANSWER_DONE);
      rig->acked = acked;
      return true;
    }
    default: return toggle(rig, id, cox_rng_below(rng, 2) == 0);
  }
}

/* ---- looking ---- */

json_t *store_rig_memory(struct store_rig *rig) {
  struct cox_batch batch = {0};
  const struct cox_registry *const registry = &rig->fake->broker->registry;
  json_t *const tables = json_object();
  cox_durable_begin(&batch);
  for (size_t num = 0; num < registry->num_count; num++) cox_durable_number(registry, num, &batch);
  cox_durable_end(registry, &batch);
  for (size_t i = 0; i < batch.count; i++) {
    json_t *const record = cox_record_json(batch.records[i]);
    cox_durable_fold_into(tables, record);
    json_decref(record);
  }
  cox_batch_fini(&batch);
  return tables;
}

void store_rig_check_model(struct store_rig *rig) {
  json_t *const nodes = cox_broker_nodes_json(rig->fake->broker);
  size_t i;
  json_t *object;
  assert_int_equal(json_array_size(nodes), json_object_size(rig->model));
  json_array_foreach(nodes, i, object) {
    json_t *const node = json_object_get(object, "node"), *const admin = json_object_get(json_object_get(object, "state"), "admin_state");
    json_t *const wanted = json_object_get(rig->model, json_string_value(json_object_get(node, "id")));
    assert_non_null(wanted);
    assert_true(json_equal(json_object_get(wanted, "enabled"), json_object_get(admin, "enabled")));
    assert_true(json_equal(json_object_get(wanted, "max_concurrent"), json_object_get(node, "max_concurrent")));
  }
  json_decref(nodes);
}

json_t *store_rig_tables(const char *path, const char *vfs) {
  struct cox_err err = {0};
  struct cox_stored stored;
  const struct cox_sqlite_options options = {.path = path, .vfs = vfs};
  struct cox_sqlite *const sqlite = cox_sqlite_create(&options, &err);
  if (sqlite == NULL) fail_msg("%s", err.text);
  const struct cox_store *const store = cox_sqlite_store(sqlite);
  assert_int_equal(store->load(store->ctx, &stored, &err), 0);
  cox_sqlite_destroy(sqlite);
  return stored.tables;
}

bool store_rig_same(json_t *left, json_t *right) {
  const char *table, *name;
  json_t *content, *value;
  bool is_same = json_equal(left, right);
  for (int side = 0; side < 2 && !is_same; side++) {
    json_t *const one = side == 0 ? left : right, *const other = side == 0 ? right : left;
    json_object_foreach(one, table, content) {
      json_object_foreach(content, name, value) {
        json_t *const counterpart = json_object_get(json_object_get(other, table), name);
        if (json_equal(value, counterpart)) continue;
        char *const text = json_dumps(value, JSON_SORT_KEYS | JSON_ENCODE_ANY);
        fprintf(stderr, "%s %s/%s: %s\n", side == 0 ? "left" : "right", table, name, text);
        free(text);
      }
    }
  }
  return is_same;
}

void store_rig_only_registry(json_t *tables) {
  const char *table;
  json_t *content;
  void *next;
  json_object_foreach_safe(tables, next, table, content) {
    if (strncmp(table, "keep:", 5) == 0) json_object_del(tables, table);
  }
}

/* ---- a file for each test ---- */

char store_rig_folder[64], store_rig_path[128];

int store_rig_setup(void **state) {
  (void)state;
  cox_log_setup((enum cox_log_level)(COX_LOG_ERROR + 1), false, 2);
  snprintf(store_rig_folder, sizeof store_rig_folder, "/tmp/cox-store-XXXXXX");
  assert_non_null(mkdtemp(store_rig_folder));
  snprintf(store_rig_path, sizeof store_rig_path, "%s/cox.db", store_rig_folder);
  return 0;
}

int store_rig_teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", store_rig_folder);
  return system(command);
}

void store_rig_must_open(struct store_rig *rig) {
  struct cox_err err = {0};
  if (!store_rig_open(rig, store_rig_path, NULL, &err)) fail_msg("%s", err.text);
}

void store_rig_end(struct store_rig *rig) {
  store_rig_close(rig);
  json_decref(rig->model);
  rig->model = NULL;
}
