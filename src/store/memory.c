/* Commits at once and never fails. It keeps the last records for readers, as the file would, and no tables: nobody loads them. */
#include "store/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "core/journal.h"
#include "core/record.h"

struct cox_store_memory {
  struct cox_store store;
  struct cox_mutex mutex; /* guards the rest */
  uint64_t appended;      /* record n stands in ring[n % COX_STORE_MEMORY_RECORDS] */
  uint64_t records_max;   /* at most COX_STORE_MEMORY_RECORDS */
  struct cox_record *ring[COX_STORE_MEMORY_RECORDS];
};

static int load(void *ctx, struct cox_stored *out, struct cox_err *err) {
  (void)ctx;
  *out = (struct cox_stored){.tables = json_object()};
  return out->tables != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "reading the state from memory failed: out of memory");
}

static void watch(void *ctx, void (*is_back)(void *arg), void *arg) {
  (void)ctx;
  (void)is_back;
  (void)arg;
}

static void settle(void *ctx) { (void)ctx; }

static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  struct cox_store_memory *const memory = ctx;
  (void)err;
  cox_mutex_lock(&memory->mutex);
  for (size_t i = 0; i < batch->count; i++) {
    if (batch->records[i]->kind == COX_RECORD_KEEP) continue;
    struct cox_record **const place = &memory->ring[memory->appended++ % COX_STORE_MEMORY_RECORDS];
    cox_record_release(*place);
    *place = cox_record_hold(batch->records[i]);
  }
  cox_mutex_unlock(&memory->mutex);
  batch->done(batch, NULL);
  return 0;
}

static bool is_wanted(const struct cox_store_read *read, const struct cox_record *record) {
  const struct cox_event_filter filter = {.kind = read->kind[0] != '\0' ? read->kind : NULL,
                                          .node_id = read->node_id[0] != '\0' ? read->node_id : NULL};
  return record->seq > read->since && record->seq <= read->until &&
         cox_event_passes(&filter, cox_record_kind_name(record->kind), json_string_value(record->node_id));
}

static int read_records(void *ctx, struct cox_store_read *read, struct cox_err *err) {
  struct cox_store_memory *const memory = ctx;
  (void)err;
  json_t *const list = json_array();
  cox_mutex_lock(&memory->mutex);
  const uint64_t first = memory->appended > memory->records_max ? memory->appended - memory->records_max : 0;
  read->first = first < memory->appended ? memory->ring[first % COX_STORE_MEMORY_RECORDS]->seq : 0;
  for (uint64_t n = first; n < memory->appended && json_array_size(list) < read->max; n++) {
    const struct cox_record *const record = memory->ring[n % COX_STORE_MEMORY_RECORDS];
    if (is_wanted(read, record)) json_array_append_new(list, cox_record_json(record));
  }
  cox_mutex_unlock(&memory->mutex);
  read->done(read, list, NULL);
  json_decref(list);
  return 0;
}

static int backup(void *ctx, const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err) {
  (void)ctx;
  (void)done;
  (void)arg;
  return cox_err_set(err, COX_EINVAL, "%s was not written: this daemon keeps its state in memory only; `coxswain export` gives the nodes", path);
}

static void compact(void *ctx, uint64_t records_max, int64_t age_max_s) {
  struct cox_store_memory *const memory = ctx;
  (void)age_max_s;
  cox_mutex_lock(&memory->mutex);
  if (records_max > 0 && records_max < COX_STORE_MEMORY_RECORDS) memory->records_max = records_max;
  cox_mutex_unlock(&memory->mutex);
}

static void close_nothing(void *ctx) { (void)ctx; }

struct cox_store_memory *cox_store_memory_create(struct cox_err *err) {
  struct cox_store_memory *const memory = calloc(1, sizeof *memory);
  if (memory == NULL) {
    cox_err_set(err, COX_ENOMEM, "making the memory store failed: out of memory");
    return NULL;
  }
  cox_mutex_init(&memory->mutex);
  memory->records_max = COX_STORE_MEMORY_RECORDS;
  memory->store = (struct cox_store){.ctx = memory, .load = load, .watch = watch, .append = append, .settle = settle, .read = read_records,
                                     .backup = backup, .compact = compact, .close = close_nothing};
  return memory;
}

void cox_store_memory_destroy(struct cox_store_memory *memory) {
  if (memory == NULL) return;
  for (size_t i = 0; i < COX_STORE_MEMORY_RECORDS; i++) cox_record_release(memory->ring[i]);
  cox_mutex_fini(&memory->mutex);
  free(memory);
}

const struct cox_store *cox_store_memory_store(struct cox_store_memory *memory) { return &memory->store; }
