#include "core/rewrite.h"

#include <assert.h>

#include "core/durable.h"
#include "core/engine.h"

enum { SLICE = 128 /* numbers or names: a millisecond or two */ };

/* The values are immutable and shared. */
static json_t *copy_kept(struct cox_ledger *ledger) {
  json_t *const copy = json_object();
  const char *table;
  json_t *content;
  cox_mutex_lock(&ledger->mutex);
  json_object_foreach(ledger->kept, table, content) json_object_set_new(copy, table, json_copy(content));
  cox_mutex_unlock(&ledger->mutex);
  return copy;
}

static void forget(struct cox_rewrite *rewrite) {
  json_decref(rewrite->kept);
  cox_batch_fini(&rewrite->late);
  *rewrite = (struct cox_rewrite){0};
}

void cox_rewrite_drop(struct cox_ledger *ledger) {
  struct cox_rewrite *const rewrite = &ledger->rewrite;
  if (rewrite->pending == NULL) return;
  cox_pending_destroy(rewrite->pending);
  forget(rewrite);
}

void cox_rewrite_begin(struct cox_broker *broker) {
  struct cox_ledger *const ledger = &broker->ledger;
  cox_rewrite_drop(ledger);
  struct cox_pending *const pending = cox_pending_create(broker, NULL);
  if (pending == NULL) return;
  pending->is_rewrite = true;
  ledger->owes = false;
  ledger->rewrite = (struct cox_rewrite){.pending = pending, .kept = copy_kept(ledger)};
  ledger->rewrite.table = json_object_iter(ledger->rewrite.kept);
  if (ledger->rewrite.table != NULL) ledger->rewrite.name = json_object_iter(json_object_iter_value(ledger->rewrite.table));
  cox_durable_begin(&pending->batch);
}

/* True: there is more. */
static bool take_kept(struct cox_rewrite *rewrite) {
  for (int i = 0; i < SLICE && rewrite->table != NULL; i++) {
    json_t *const content = json_object_iter_value(rewrite->table);
    if (rewrite->name != NULL) {
      cox_batch_add(&rewrite->pending->batch, cox_record_keep(json_object_iter_key(rewrite->table), json_object_iter_key(rewrite->name),
                                                              json_object_iter_value(rewrite->name)));
      rewrite->name = json_object_iter_next(content, rewrite->name);
      continue;
    }
    rewrite->table = json_object_iter_next(rewrite->kept, rewrite->table);
    if (rewrite->table != NULL) rewrite->name = json_object_iter(json_object_iter_value(rewrite->table));
  }
  return rewrite->table != NULL;
}

static bool take_numbers(struct cox_rewrite *rewrite, const struct cox_registry *registry) {
  for (int i = 0; i < SLICE && rewrite->num < registry->num_count; i++) {
    cox_durable_number(registry, rewrite->num++, &rewrite->pending->batch);
  }
  return rewrite->num < registry->num_count;
}

static void hand_over(struct cox_broker *broker) {
  struct cox_rewrite *const rewrite = &broker->ledger.rewrite;
  struct cox_pending *const pending = rewrite->pending;
  cox_durable_end(&broker->registry, &pending->batch);
  for (size_t i = 0; i < rewrite->late.count; i++) cox_batch_add(&pending->batch, cox_record_hold(rewrite->late.records[i]));
  pending->batch.is_broken = pending->batch.is_broken || rewrite->late.is_broken;
  forget(rewrite);
  cox_ledger_submit(broker, pending);
}

bool cox_rewrite_step(struct cox_broker *broker) {
  struct cox_rewrite *const rewrite = &broker->ledger.rewrite;
  if (rewrite->pending == NULL) return false;
  if (!take_kept(rewrite) && !take_numbers(rewrite, &broker->registry)) hand_over(broker);
  return true;
}

void cox_rewrite_follow(struct cox_ledger *ledger, const struct cox_batch *batch) {
  struct cox_rewrite *const rewrite = &ledger->rewrite;
  if (rewrite->pending == NULL) return;
  for (size_t i = 0; i < batch->count; i++) {
    const struct cox_record *const record = batch->records[i];
    if (!cox_record_is_state(record)) continue;
    struct cox_batch *const into = record->kind == COX_RECORD_KEEP ? &rewrite->late : &rewrite->pending->batch;
    cox_batch_add(into, cox_record_again(record));
  }
}
