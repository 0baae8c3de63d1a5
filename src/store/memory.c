/* The broker needs a store from the first day; this one answers at once and keeps the last records for people to read. */
#include "store/memory.h"

#include <stdlib.h>

#include "base/lock.h"

struct cox_store_memory {
  struct cox_store store;
  struct cox_mutex mutex; /* guards the rest */
  uint64_t appended;      /* record n stands in ring[n % COX_STORE_MEMORY_RECORDS] */
  json_t *ring[COX_STORE_MEMORY_RECORDS];
};

static json_t *load(void *ctx, struct cox_err *err) {
  (void)ctx;
  json_t *const state = json_pack("{s:[]}", "nodes");
  if (state == NULL) cox_err_set(err, COX_ENOMEM, "reading the state from memory failed: out of memory");
  return state;
}

static void append(void *ctx, json_t *records, void (*done)(void *arg, const struct cox_err *err), void *arg) {
  struct cox_store_memory *const memory = ctx;
  size_t i;
  json_t *record;
  cox_mutex_lock(&memory->mutex);
  json_array_foreach(records, i, record) {
    json_t **const place = &memory->ring[memory->appended++ % COX_STORE_MEMORY_RECORDS];
    json_decref(*place);
    *place = json_incref(record);
  }
  cox_mutex_unlock(&memory->mutex);
  done(arg, NULL);
}

static void close_nothing(void *ctx) { (void)ctx; }

struct cox_store_memory *cox_store_memory_create(struct cox_err *err) {
  struct cox_store_memory *const memory = calloc(1, sizeof *memory);
  if (memory == NULL) {
    cox_err_set(err, COX_ENOMEM, "making the memory store failed: out of memory");
    return NULL;
  }
  cox_mutex_init(&memory->mutex);
  memory->store = (struct cox_store){.ctx = memory, .load = load, .append = append, .close = close_nothing};
  return memory;
}

void cox_store_memory_destroy(struct cox_store_memory *memory) {
  if (memory == NULL) return;
  for (size_t i = 0; i < COX_STORE_MEMORY_RECORDS; i++) json_decref(memory->ring[i]);
  cox_mutex_fini(&memory->mutex);
  free(memory);
}

const struct cox_store *cox_store_memory_store(struct cox_store_memory *memory) { return &memory->store; }

json_t *cox_store_memory_records(struct cox_store_memory *memory, uint64_t *dropped) {
  json_t *const list = json_array();
  cox_mutex_lock(&memory->mutex);
  const uint64_t end = memory->appended;
  const uint64_t first = end > COX_STORE_MEMORY_RECORDS ? end - COX_STORE_MEMORY_RECORDS : 0;
  for (uint64_t n = first; n < end; n++) json_array_append(list, memory->ring[n % COX_STORE_MEMORY_RECORDS]);
  cox_mutex_unlock(&memory->mutex);
  if (dropped != NULL) *dropped = first;
  return list;
}
