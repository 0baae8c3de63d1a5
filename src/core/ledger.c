#include "core/ledger.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "core/durable.h"
#include "core/engine.h"
#include "core/txn_private.h"

#define LOCK broker->registry.lock

int cox_ledger_init(struct cox_ledger *ledger) {
  cox_journal_init(&ledger->journal);
  cox_queue_init(&ledger->known, false, NULL);
  cox_queue_init(&ledger->notes, false, NULL);
  cox_mutex_init(&ledger->mutex);
  ledger->kept = json_object();
  return ledger->kept != NULL ? 0 : COX_ENOMEM;
}

enum { REWRITE_RETRY_US = 1000000 };

/* ---- one change ---- */

struct cox_pending *cox_pending_create(struct cox_broker *broker, struct cox_command *command) {
  struct cox_pending *const pending = calloc(1, sizeof *pending);
  if (pending == NULL) return NULL;
  pending->broker = broker;
  pending->command = command;
  return pending;
}

/* Before the answer: who has it and asks the journal at once finds the lines, or waits for them. */
static void note_told(struct cox_ledger *ledger, uint64_t seq) {
  uint_fast64_t told = atomic_load(&ledger->told);
  while (told < seq && !atomic_compare_exchange_weak(&ledger->told, &told, seq)) continue;
}

static void answer(struct cox_pending *pending) {
  struct cox_command *const command = pending->command;
  if (command == NULL) return;
  pending->command = NULL;
  note_told(&pending->broker->ledger, pending->seq);
  const bool is_lost = pending->answer.outcome == COX_ANSWER_SKIPPED && cox_fault("serve.forgets_skipped");
  if (command->reply != NULL && !is_lost) command->reply(command->arg, &pending->answer);
  cox_command_destroy(command);
}

static void destroy_note(struct cox_note *note, const struct cox_err *err) {
  if (note->done != NULL) note->done(note->arg, err);
  if (note->pending != NULL) cox_pending_destroy(note->pending); /* it was never taken */
  free(note);
}

static void end_note(struct cox_pending *pending, const struct cox_err *err) {
  struct cox_note *const note = pending->note;
  pending->note = NULL;
  if (note == NULL) return;
  note_told(&pending->broker->ledger, pending->seq);
  destroy_note(note, err);
}

void cox_pending_destroy(struct cox_pending *pending) {
  assert(pending->command == NULL && pending->note == NULL);
  while (pending->undo != NULL) {
    struct cox_txn *const older = pending->undo->older;
    cox_txn_stand(pending->undo); /* if it was not undone */
    cox_txn_fini(pending->undo);
    free(pending->undo);
    pending->undo = older;
  }
  cox_answer_fini(&pending->answer);
  cox_batch_fini(&pending->batch);
  free(pending->why);
  free(pending);
}

static void link_last(struct cox_ledger *ledger, struct cox_pending *pending) {
  pending->prev = ledger->last;
  if (ledger->last != NULL) ledger->last->next = pending;
  else ledger->first = pending;
  ledger->last = pending;
  ledger->waiting += pending->batch.count;
}

static void unlink_pending(struct cox_ledger *ledger, struct cox_pending *pending) {
  if (pending->prev != NULL) pending->prev->next = pending->next;
  else ledger->first = pending->next;
  if (pending->next != NULL) pending->next->prev = pending->prev;
  else ledger->last = pending->prev;
  pending->prev = pending->next = NULL;
  ledger->waiting -= pending->batch.count;
}

static bool is_shown(const struct cox_pending *pending, enum cox_record_kind kind) {
  if (pending->is_undone) return kind == COX_RECORD_COMMAND;
  return kind != COX_RECORD_KEEP && !(pending->is_rewrite && kind > COX_RECORD_ATTEMPT) && !(pending->is_lost && kind == COX_RECORD_GAP);
}

/* What readers see of it, each unbroken run at once: a phase command has ten thousand records. */
static void publish(struct cox_broker *broker, struct cox_pending *pending) {
  const struct cox_batch *const batch = &pending->batch;
  for (size_t i = 0, begin = 0; i <= batch->count; i++) {
    if (i < batch->count && is_shown(pending, batch->records[i]->kind)) continue;
    if (i > begin) cox_journal_publish(&broker->ledger.journal, &batch->records[begin], i - begin);
    begin = i + 1;
  }
  atomic_store(&broker->ledger.settled, pending->seq); /* in order */
  end_note(pending, NULL); /* of one that waited for those before it; others have their answer */
}

/* ---- degraded mode ---- */

static void log_degraded(struct cox_broker *broker, bool is_so, const char *why) {
  if (is_so) {
    cox_log(COX_LOG_ERROR, "store", "the store cannot be written: changes that must be durable are refused until it can, everything else goes on",
            "reason", why, NULL);
  } else {
    cox_log(COX_LOG_WARN, "store", "the store is written again: all changes are accepted", NULL);
  }
  struct cox_pending *const pending = cox_pending_create(broker, NULL);
  struct cox_record *const record = cox_record_create(COX_RECORD_STORE, NULL);
  if (pending == NULL || record == NULL || !cox_record_set(record, "state", json_string(is_so ? "degraded" : "working"))) {
    cox_record_release(record);
    free(pending);
    return;
  }
  if (is_so) cox_record_set(record, "reason", json_string(why));
  cox_batch_add(&pending->batch, record);
  cox_ledger_submit(broker, pending);
}

static bool is_degraded(struct cox_ledger *ledger) {
  cox_mutex_lock(&ledger->mutex);
  const bool is_so = ledger->is_degraded;
  cox_mutex_unlock(&ledger->mutex);
  return is_so;
}

/* False: it was so before. */
static bool set_degraded(struct cox_ledger *ledger, bool is_so, const char *why) {
  cox_mutex_lock(&ledger->mutex);
  const bool is_new = ledger->is_degraded != is_so;
  ledger->is_degraded = is_so;
  if (is_so) snprintf(ledger->why, sizeof ledger->why, "%s", why);
  cox_mutex_unlock(&ledger->mutex);
  return is_new;
}

bool cox_broker_is_degraded(struct cox_broker *broker, struct cox_err *err) {
  struct cox_ledger *const ledger = &broker->ledger;
  cox_mutex_lock(&ledger->mutex);
  const bool is_so = ledger->is_degraded;
  if (is_so) {
    cox_err_set(err, COX_EDEGRADED, "the store cannot be written (%s): changes that must be durable are refused until it can, everything "
                "else goes on; it is tried again all the time", ledger->why);
  }
  cox_mutex_unlock(&ledger->mutex);
  return is_so;
}

int cox_ledger_admits(struct cox_broker *broker, struct cox_err *err) {
  if (cox_broker_is_degraded(broker, err)) return COX_EDEGRADED;
  if (broker->ledger.waiting < COX_LEDGER_RECORDS_MAX) return 0;
  return cox_err_set(err, COX_EFULL, "%zu records wait for the store already: try again later", broker->ledger.waiting);
}

static void undo(struct cox_pending *pending) {
  if (cox_fault("ledger.forgets_undo")) return;
  for (struct cox_txn *txn = pending->undo; txn != NULL; txn = txn->older) cox_txn_undo(txn);
  if (pending->undo == NULL) return;
  if (!cox_fault("ledger.forgets_expiry")) cox_expiry_forget(pending->broker);
  pending->broker->fleet_version++; /* the phase's command decides anew from what is in force again */
  pending->broker->ledger.owes = true;
  cox_broker_trigger(pending->broker);
}

static void fail_command_record(struct cox_pending *pending, const char *text) {
  for (size_t i = 0; i < pending->batch.count; i++) {
    struct cox_record *const record = pending->batch.records[i];
    if (record->kind == COX_RECORD_COMMAND) cox_record_end(record, COX_ANSWER_ERROR, text); /* nobody has seen it yet */
  }
}

/* An operator's change that is not in force any more. */
static void refuse(struct cox_pending *pending, int code, const char *why) {
  struct cox_err err;
  const char *const name = pending->command != NULL ? pending->command->name : "keep";
  cox_err_set(&err, code, "%s was undone: it could not be stored (%s); nothing was changed, try again later", name, why);
  if (pending->command != NULL) {
    cox_answer_fini(&pending->answer);
    pending->answer.outcome = COX_ANSWER_ERROR;
    pending->answer.err = err;
  }
  answer(pending);
  end_note(pending, &err);
}

/* It stands, but the store does not know of it. */
static void lose(struct cox_pending *pending) {
  struct cox_ledger *const ledger = &pending->broker->ledger;
  const uint64_t own = pending->is_rewrite ? 0 : pending->batch.count - (pending->gap > 0 ? 1 : 0); /* a rewrite tells nothing new */
  const uint64_t count = own + pending->gap;
  ledger->lost += count;
  atomic_fetch_add_explicit(&ledger->lost_total, count, memory_order_relaxed);
  if (pending->has_state) ledger->owes = true;
  if (pending->is_rewrite) ledger->owes_from_us = cox_clock_mono_us(pending->broker->options.clock) + REWRITE_RETRY_US;
  pending->is_lost = true;
  answer(pending);
  end_note(pending, NULL);
}

static void give_up(struct cox_broker *broker, struct cox_pending *pending, const char *why) {
  unlink_pending(&broker->ledger, pending);
  if (pending->is_lost || atomic_load(&pending->outcome) == COX_PENDING_STORED) {
    /* its part is done */
  } else if (pending->is_durable) {
    pending->is_undone = true;
    fail_command_record(pending, why);
    refuse(pending, COX_EDEGRADED, why);
    broker->ledger.lost += pending->gap;
  } else {
    lose(pending);
  }
  publish(broker, pending);
  pending->is_over = true;
  if (!pending->is_with_store) cox_pending_destroy(pending);
}

/* The store has shut: nothing of what is left here was committed, nor will be. (What was committed last may still be here.) */
static void fail_all(struct cox_broker *broker, const char *why) {
  struct cox_ledger *const ledger = &broker->ledger;
  cox_rewrite_drop(ledger); /* the store says when it is back */
  for (struct cox_pending *pending = ledger->last; pending != NULL; pending = pending->prev) {
    if (pending->is_durable && atomic_load(&pending->outcome) != COX_PENDING_STORED) undo(pending);
  }
  while (ledger->first != NULL) give_up(broker, ledger->first, why);
  if (set_degraded(ledger, true, why)) log_degraded(broker, true, why);
  broker->options.store->settle(broker->options.store->ctx);
}

/* ---- to the store and back ---- */

static void keep_value_locked(struct cox_ledger *ledger, const struct cox_record *record) COX_REQUIRES(ledger->mutex) {
  const char *const table = json_string_value(json_object_get(record->fields, "table"));
  const char *const name = json_string_value(json_object_get(record->fields, "name"));
  json_t *const value = json_object_get(record->fields, "value");
  json_t *content = json_object_get(ledger->kept, table);
  if (content == NULL && value != NULL) {
    json_object_set_new(ledger->kept, table, json_object());
    content = json_object_get(ledger->kept, table); /* NULL: no memory; it is stored, and the next start finds it */
  }
  if (value != NULL) json_object_set(content, name, value);
  else if (content != NULL) json_object_del(content, name);
}

static void keep_values(struct cox_ledger *ledger, const struct cox_batch *batch) {
  cox_mutex_lock(&ledger->mutex);
  for (size_t i = 0; i < batch->count; i++) {
    if (batch->records[i]->kind == COX_RECORD_KEEP) keep_value_locked(ledger, batch->records[i]);
  }
  cox_mutex_unlock(&ledger->mutex);
}

/* Any thread: the store's. */
static void stored(struct cox_batch *batch, const struct cox_err *err) {
  struct cox_pending *const pending = COX_CONTAINER(batch, struct cox_pending, batch);
  struct cox_broker *const broker = pending->broker;
  if (err == NULL) {
    cox_histogram_add(&broker->metrics.commit_s, cox_clock_mono_us(broker->options.clock) - pending->handed_us, 1);
    if (pending->note != NULL) keep_values(&broker->ledger, &pending->batch);
    answer(pending);
    end_note(pending, NULL);
  } else {
    pending->why = strdup(err->text);
  }
  atomic_store(&pending->outcome, err == NULL ? COX_PENDING_STORED : COX_PENDING_FAILED);
  if (cox_queue_push(&broker->ledger.known, &pending->link)) cox_commands_wake(&broker->commands);
}

static void number_records(struct cox_broker *broker, struct cox_pending *pending) {
  const int64_t now_ms = cox_clock_wall_ms(broker->options.clock);
  for (size_t i = 0; i < pending->batch.count; i++) {
    struct cox_record *const record = pending->batch.records[i];
    record->wall_ms = now_ms;
    if (record->kind != COX_RECORD_KEEP) record->seq = ++broker->ledger.seq;
    pending->has_state = pending->has_state || cox_record_is_state(record);
  }
  pending->seq = broker->ledger.seq;
}

static void tell_gap(struct cox_ledger *ledger, struct cox_pending *pending) {
  const bool is_vain = (is_degraded(ledger) && !pending->is_rewrite) || ledger->waiting > COX_LEDGER_SOFT_MAX;
  if (ledger->lost == 0 || is_vain) return;
  struct cox_record *const record = cox_record_create(COX_RECORD_GAP, NULL);
  if (record == NULL) return;
  if (!cox_record_set(record, "count", json_integer((json_int_t)ledger->lost))) {
    cox_record_release(record);
    return;
  }
  cox_batch_add(&pending->batch, record);
  pending->gap = ledger->lost;
  ledger->lost = 0;
}

/* What stands at the head and needs the store no more. */
static void publish_known(struct cox_broker *broker) {
  struct cox_ledger *const ledger = &broker->ledger;
  while (ledger->first != NULL) {
    struct cox_pending *const pending = ledger->first;
    if (!pending->is_lost) return;
    unlink_pending(ledger, pending);
    publish(broker, pending);
    cox_pending_destroy(pending);
  }
}

static int hand_over(struct cox_broker *broker, struct cox_pending *pending, struct cox_err *err) {
  const struct cox_store *const store = broker->options.store;
  if (store == NULL) return COX_ENOENT;
  if (pending->batch.is_broken) return cox_err_set(err, COX_ENOMEM, "out of memory");
  if (!pending->is_durable && !pending->is_rewrite && broker->ledger.waiting > COX_LEDGER_SOFT_MAX) return COX_EFULL;
  pending->is_with_store = true;
  pending->handed_us = cox_clock_mono_us(broker->options.clock);
  const int rc = store->append(store->ctx, &pending->batch, err);
  if (rc != 0) pending->is_with_store = false;
  return rc;
}

/* Neither stored nor failed with others: the store is full, or memory is. */
static void turn_back(struct cox_broker *broker, struct cox_pending *pending, int code, const char *why) {
  if (broker->options.store == NULL) {
    answer(pending);
    end_note(pending, NULL);
  } else if (pending->is_durable) {
    undo(pending); /* the newest: what others did before it stays as it is */
    pending->is_undone = true;
    fail_command_record(pending, why);
    refuse(pending, code, why);
    broker->ledger.lost += pending->gap;
  } else {
    lose(pending);
  }
  pending->is_lost = true;
  publish_known(broker);
}

void cox_ledger_submit(struct cox_broker *broker, struct cox_pending *pending) {
  struct cox_ledger *const ledger = &broker->ledger;
  struct cox_err err = {0};
  tell_gap(ledger, pending);
  number_records(broker, pending);
  pending->batch.done = stored;
  const bool needs_store = pending->has_state || pending->note != NULL;
  if (!needs_store || cox_fault("ledger.answers_early")) answer(pending); /* nothing that could be lost */
  link_last(ledger, pending);
  const int rc = hand_over(broker, pending, &err);
  if (rc == COX_EDEGRADED) fail_all(broker, err.text);
  else if (rc != 0) turn_back(broker, pending, rc, err.text);
  else if (!pending->is_rewrite) cox_rewrite_follow(ledger, &pending->batch);
}

/* Somebody waits for what is there before it. */
static void take_reader(struct cox_broker *broker, struct cox_pending *pending) {
  number_records(broker, pending);
  pending->is_lost = true; /* it goes in its turn, without the store */
  link_last(&broker->ledger, pending);
  publish_known(broker);
}

static void take_note(struct cox_broker *broker, struct cox_note *note) {
  struct cox_pending *const pending = note->pending;
  struct cox_err err = {0};
  note->pending = NULL;
  pending->note = note;
  if (pending->batch.count == 0) {
    take_reader(broker, pending);
    return;
  }
  if (pending->is_durable && cox_ledger_admits(broker, &err) != 0) {
    end_note(pending, &err);
    cox_pending_destroy(pending);
    return;
  }
  cox_ledger_submit(broker, pending);
}

static size_t take_notes(struct cox_broker *broker) {
  size_t count = 0;
  for (struct cox_queue_link *link = cox_queue_take(&broker->ledger.notes); link != NULL; count++) {
    struct cox_note *const note = COX_CONTAINER(link, struct cox_note, link);
    link = link->next;
    take_note(broker, note);
    note_told(&broker->ledger, broker->ledger.seq); /* who sent it may have answered somebody since */
    atomic_fetch_sub(&broker->ledger.note_count, 1); /* after that: cox_broker_events_is_behind */
  }
  return count;
}

static void take_outcome(struct cox_broker *broker, struct cox_pending *pending) {
  struct cox_ledger *const ledger = &broker->ledger;
  if (!pending->is_over && atomic_load(&pending->outcome) == COX_PENDING_FAILED) {
    fail_all(broker, pending->why != NULL ? pending->why : "out of memory");
  }
  if (pending->is_over) {
    cox_pending_destroy(pending);
    return;
  }
  assert(pending == ledger->first); /* the store keeps the order */
  const bool is_whole_again = pending->is_rewrite;
  unlink_pending(ledger, pending);
  publish(broker, pending);
  cox_pending_destroy(pending);
  publish_known(broker);
  if (is_whole_again && set_degraded(ledger, false, NULL)) log_degraded(broker, false, NULL);
}

static size_t take_outcomes(struct cox_broker *broker) {
  size_t count = 0;
  for (struct cox_queue_link *link = cox_queue_take(&broker->ledger.known); link != NULL; count++) {
    struct cox_pending *const pending = COX_CONTAINER(link, struct cox_pending, link);
    link = link->next;
    take_outcome(broker, pending);
  }
  return count;
}

/* The store works, and does not know all of the state. */
static bool is_behind(struct cox_ledger *ledger) {
  return ledger->owes && ledger->first == NULL && ledger->rewrite.pending == NULL && !is_degraded(ledger);
}

int64_t cox_ledger_next_us(struct cox_broker *broker) { return is_behind(&broker->ledger) ? broker->ledger.owes_from_us : INT64_MAX; }

size_t cox_ledger_handle(struct cox_broker *broker) {
  struct cox_ledger *const ledger = &broker->ledger;
  const size_t count = take_outcomes(broker) + take_notes(broker);
  const bool is_back = atomic_exchange(&ledger->is_back, false);
  const bool is_time = is_behind(ledger) && cox_clock_mono_us(broker->options.clock) >= ledger->owes_from_us;
  if (is_back || is_time) cox_rewrite_begin(broker);
  return count + cox_rewrite_step(broker);
}

void cox_ledger_drain(struct cox_broker *broker, int64_t timeout_ms) {
  const int64_t end_us = cox_clock_mono_us(broker->options.clock) + timeout_ms * 1000;
  struct cox_mutex mutex;
  struct cox_cond never;
  cox_mutex_init(&mutex);
  cox_cond_init(&never);
  for (;;) {
    cox_ledger_handle(broker);
    const bool is_done = broker->ledger.first == NULL && broker->ledger.rewrite.pending == NULL;
    if (is_done || cox_clock_mono_us(broker->options.clock) >= end_us) break;
    cox_mutex_lock(&mutex);
    cox_cond_wait_us(&never, &mutex, 1000);
    cox_mutex_unlock(&mutex);
  }
  cox_cond_fini(&never);
  cox_mutex_fini(&mutex);
}

/* They came when cox-command had ended. */
static void refuse_notes(struct cox_broker *broker) {
  struct cox_err err;
  cox_err_set(&err, COX_ESTOPPED, "the broker has stopped");
  for (struct cox_queue_link *link = cox_queue_take(&broker->ledger.notes); link != NULL;) {
    struct cox_note *const note = COX_CONTAINER(link, struct cox_note, link);
    link = link->next;
    destroy_note(note, &err);
  }
}

void cox_ledger_fini(struct cox_broker *broker) {
  struct cox_ledger *const ledger = &broker->ledger;
  take_outcomes(broker);
  cox_rewrite_drop(ledger);
  while (ledger->first != NULL) { /* the store is closed, so nobody else has them */
    struct cox_pending *const pending = ledger->first;
    unlink_pending(ledger, pending);
    if (pending->command != NULL || pending->note != NULL) refuse(pending, COX_ESTOPPED, "the broker has stopped");
    cox_pending_destroy(pending);
  }
  refuse_notes(broker);
  cox_queue_fini(&ledger->known);
  cox_queue_fini(&ledger->notes);
  cox_journal_fini(&ledger->journal);
  json_decref(ledger->kept);
  cox_mutex_fini(&ledger->mutex);
}
