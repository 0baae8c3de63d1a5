#include "core/durable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/node_config.h"
#include "core/record.h"

/* ---- records → writes ---- */

struct sink {
  cox_durable_write_fn *write;
  void *arg;
};

/* The fields of a record that make the value of its table. */
static void write_fields(const struct sink *sink, const char *table, const char *name, const json_t *record,
                         const char *const *keys) {
  json_t *const value = json_object();
  for (; *keys != NULL; keys++) {
    json_t *const field = json_object_get(record, *keys);
    if (field != NULL) json_object_set_nocheck(value, *keys, field);
  }
  sink->write(sink->arg, table, name, value);
  json_decref(value);
}

static void num_name(const json_t *record, char out[24]) {
  snprintf(out, 24, "%lld", (long long)json_integer_value(json_object_get(record, "node_num")));
}

static void fold_config(const struct sink *sink, const char *id, const json_t *record, bool is_new) {
  static const char *const keys[] = {"node_num", "registration", "node", NULL};
  char num[24];
  num_name(record, num);
  write_fields(sink, "node", id, record, keys);
  if (is_new) {
    sink->write(sink->arg, "freed", num, NULL);
    sink->write(sink->arg, "counter", "registrations", json_object_get(record, "registration"));
  }
  if (json_is_true(json_object_get(record, "forgets"))) sink->write(sink->arg, "driver", id, NULL);
}

static void fold_remove(const struct sink *sink, const char *id, const json_t *record) {
  static const char *const tables[] = {"node", "admin", "target", "driver"};
  char num[24];
  num_name(record, num);
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) sink->write(sink->arg, tables[i], id, NULL);
  const json_t *const freed_at = json_object_get(record, "freed_at");
  if (freed_at != NULL) sink->write(sink->arg, "freed", num, freed_at);
}

static void fold_keep(const struct sink *sink, const json_t *record) {
  char table[96];
  snprintf(table, sizeof table, "keep:%s", json_string_value(json_object_get(record, "table")));
  sink->write(sink->arg, table, json_string_value(json_object_get(record, "name")), json_object_get(record, "value"));
}

static enum cox_record_kind kind_of(const json_t *record) {
  const char *const name = json_string_value(json_object_get(record, "kind"));
  int kind = 0;
  while (kind < COX_RECORD_KINDS && (name == NULL || strcmp(cox_record_kind_name((enum cox_record_kind)kind), name) != 0)) kind++;
  return (enum cox_record_kind)kind;
}

void cox_durable_fold(const json_t *record, cox_durable_write_fn *write, void *arg) {
  static const char *const admin_keys[] = {"enabled", "epoch", "reason", "actor", "expires_at", NULL};
  static const char *const target_keys[] = {"generation", "target", NULL};
  static const char *const episode_keys[] = {"height", "hash", "node_count", NULL};
  const struct sink sink = {write, arg};
  const char *const id = json_string_value(json_object_get(record, "node_id"));
  const json_t *const driver = json_object_get(record, "driver");
  char num[24];
  switch (kind_of(record)) {
    case COX_RECORD_REGISTER: fold_config(&sink, id, record, true); break;
    case COX_RECORD_UPDATE: fold_config(&sink, id, record, false); break;
    case COX_RECORD_REMOVE: fold_remove(&sink, id, record); break;
    case COX_RECORD_ADMIN: write_fields(&sink, "admin", id, record, admin_keys); break;
    case COX_RECORD_TARGET: write_fields(&sink, "target", id, record, target_keys); break;
    case COX_RECORD_EPISODE: write_fields(&sink, "episode", "current", record, episode_keys); break;
    case COX_RECORD_ATTEMPT:
    case COX_RECORD_DRIVER:
      if (driver != NULL) write(arg, "driver", id, driver);
      break;
    case COX_RECORD_FREED:
      num_name(record, num);
      write(arg, "freed", num, json_object_get(record, "freed_at"));
      break;
    case COX_RECORD_COUNTER: write(arg, "counter", "registrations", json_object_get(record, "registrations")); break;
    case COX_RECORD_RESET: write(arg, NULL, NULL, NULL); break;
    case COX_RECORD_KEEP: fold_keep(&sink, record); break;
    default: break; /* tells, but changes no state */
  }
}

static void write_into(void *arg, const char *table, const char *name, const json_t *value) {
  json_t *const tables = arg;
  if (table == NULL) json_object_clear(tables);
  else if (name == NULL) json_object_del(tables, table);
  if (name == NULL) return;
  json_t *content = json_object_get(tables, table);
  if (content == NULL && value != NULL) json_object_set_new(tables, table, content = json_object());
  if (value != NULL) json_object_set_new(content, name, json_incref((json_t *)(uintptr_t)value));
  else if (content != NULL) json_object_del(content, name);
  if (content != NULL && json_object_size(content) == 0) json_object_del(tables, table);
}

void cox_durable_fold_into(json_t *tables, const json_t *record) { cox_durable_fold(record, write_into, tables); }

/* ---- the core's state → records ---- */

void cox_batch_add(struct cox_batch *batch, struct cox_record *record) {
  if (record != NULL && batch->count == batch->capacity) {
    const size_t capacity = batch->capacity == 0 ? 4 : batch->capacity * 2;
    struct cox_record **const records = realloc(batch->records, capacity * sizeof(struct cox_record *));
    if (records == NULL) {
      cox_record_release(record);
      record = NULL;
    } else {
      batch->records = records;
      batch->capacity = capacity;
    }
  }
  if (record != NULL) batch->records[batch->count++] = record;
  else batch->is_broken = true;
}

void cox_batch_fini(struct cox_batch *batch) {
  for (size_t i = 0; i < batch->count; i++) cox_record_release(batch->records[i]);
  free(batch->records);
  batch->records = NULL;
  batch->count = batch->capacity = 0;
}

static bool set_number(struct cox_record *record, const char *key, int64_t number) {
  return cox_record_set(record, key, json_integer(number));
}

static struct cox_record *checked(struct cox_record *record, bool is_good) {
  if (is_good) return record;
  cox_record_release(record);
  return NULL;
}

struct cox_record *cox_record_config(enum cox_record_kind kind, const struct cox_node *node) {
  struct cox_record *const record = cox_record_create(kind, node->id);
  if (record == NULL) return NULL;
  return checked(record, set_number(record, "node_num", node->num) && set_number(record, "registration", (int64_t)node->registration) &&
                             cox_record_set(record, "node", json_incref(node->config)));
}

struct cox_record *cox_record_admin(const struct cox_node *node) {
  struct cox_record *const record = cox_record_create(COX_RECORD_ADMIN, node->id);
  if (record == NULL) return NULL;
  record->fields = json_object();
  return checked(record, record->fields != NULL && cox_admin_write(&node->admin, record->fields));
}

struct cox_record *cox_record_target(const struct cox_node *node) {
  struct cox_record *const record = cox_record_create(COX_RECORD_TARGET, node->id);
  if (record == NULL) return NULL;
  record->target = cox_target_hold(node->target);
  record->fence.generation = node->generation;
  return record;
}

static struct cox_record *driver_record(const struct cox_node *node) {
  struct cox_record *const record = cox_record_create(COX_RECORD_DRIVER, node->id);
  if (record == NULL) return NULL;
  record->has_driver = true;
  record->driver.applied = cox_target_hold(node->applied);
  record->driver.memory = json_incref(node->memory);
  record->driver.unanswered = node->unanswered;
  return record;
}

static bool has_driver_part(const struct cox_node *node) {
  return node->applied != NULL || node->memory != NULL || node->unanswered.call[0] != '\0';
}

static void add_node(const struct cox_node *node, struct cox_batch *batch) {
  cox_batch_add(batch, cox_record_config(COX_RECORD_REGISTER, node));
  cox_batch_add(batch, cox_record_admin(node));
  if (node->target != NULL) cox_batch_add(batch, cox_record_target(node));
  if (has_driver_part(node)) cox_batch_add(batch, driver_record(node));
}

static struct cox_record *freed_record(size_t num, int64_t freed_at) {
  struct cox_record *const record = cox_record_create(COX_RECORD_FREED, NULL);
  if (record == NULL) return NULL;
  return checked(record, set_number(record, "node_num", (int64_t)num) && set_number(record, "freed_at", freed_at));
}

static struct cox_record *counter_record(uint64_t registrations) {
  struct cox_record *const record = cox_record_create(COX_RECORD_COUNTER, NULL);
  if (record == NULL) return NULL;
  return checked(record, set_number(record, "registrations", (int64_t)registrations));
}

struct cox_record *cox_record_episode(const struct cox_registry *registry) {
  struct cox_record *const record = cox_record_create(COX_RECORD_EPISODE, NULL);
  if (record == NULL) return NULL;
  return checked(record, set_number(record, "height", registry->episode.height) &&
                             cox_record_set(record, "hash", json_string(registry->episode.hash)) &&
                             set_number(record, "node_count", registry->episode.node_count));
}

struct cox_record *cox_record_keep(const char *table, const char *name, json_t *value) {
  struct cox_record *const record = cox_record_create(COX_RECORD_KEEP, NULL);
  if (record == NULL) return NULL;
  const bool is_good = cox_record_set(record, "table", json_string(table)) && cox_record_set(record, "name", json_string(name));
  return checked(record, is_good && (value == NULL || cox_record_set(record, "value", json_incref(value))));
}

struct cox_record *cox_record_again(const struct cox_record *record) {
  const bool is_attempt = record->kind == COX_RECORD_ATTEMPT; /* of which only the driver's part is state */
  struct cox_record *const again = cox_record_create(is_attempt ? COX_RECORD_DRIVER : record->kind, record->node_id);
  if (again == NULL) return NULL;
  again->fields = json_incref(record->fields);
  if (record->kind == COX_RECORD_TARGET) again->target = cox_target_hold(record->target);
  again->fence = record->fence;
  again->has_driver = record->has_driver;
  again->driver.applied = cox_target_hold(record->driver.applied);
  again->driver.memory = json_incref(record->driver.memory);
  again->driver.unanswered = record->driver.unanswered;
  return again;
}

void cox_durable_begin(struct cox_batch *batch) { cox_batch_add(batch, cox_record_create(COX_RECORD_RESET, NULL)); }

void cox_durable_number(const struct cox_registry *registry, size_t num, struct cox_batch *batch) {
  if (registry->by_num[num] != NULL) add_node(registry->by_num[num], batch);
  else if (registry->num_freed_at[num] != INT64_MIN) cox_batch_add(batch, freed_record(num, registry->num_freed_at[num]));
}

void cox_durable_end(const struct cox_registry *registry, struct cox_batch *batch) {
  if (registry->episode.is_set) cox_batch_add(batch, cox_record_episode(registry));
  if (registry->registrations > 0) cox_batch_add(batch, counter_record(registry->registrations));
}
