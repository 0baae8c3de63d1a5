/* The broker's store and journal as others see them: lines, tables, backups. */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "core/durable.h"
#include "core/engine.h"

enum { NAME_MAX_BYTES = 512, TABLE_MAX_BYTES = 64 };

/* ---- start ---- */

static void is_back(void *arg) {
  struct cox_broker *const broker = arg;
  atomic_store(&broker->ledger.is_back, true);
  cox_commands_wake(&broker->commands);
}

static void take_kept(struct cox_ledger *ledger, json_t *tables) {
  static const char start[] = "keep:";
  const char *table;
  json_t *content;
  json_object_foreach(tables, table, content) {
    if (strncmp(table, start, sizeof start - 1) == 0) json_object_set(ledger->kept, table + sizeof start - 1, content);
  }
}

static int tell_start(struct cox_broker *broker, struct cox_err *err) {
  struct cox_pending *const pending = cox_pending_create(broker, NULL);
  struct cox_record *const record = pending != NULL ? cox_record_create(COX_RECORD_START, NULL) : NULL;
  if (record == NULL) {
    free(pending);
    return cox_err_set(err, COX_ENOMEM, "starting the journal failed: out of memory");
  }
  cox_record_set(record, "version", json_string(COX_VERSION));
  cox_record_set(record, "start", json_integer(broker->ledger.start));
  cox_batch_add(&pending->batch, record);
  cox_ledger_submit(broker, pending);
  return 0;
}

/* It can be read but not written: degraded from the first moment. */
static void begin_shut(struct cox_ledger *ledger, const struct cox_store *store, const struct cox_err *why) {
  cox_mutex_lock(&ledger->mutex);
  ledger->is_degraded = true;
  snprintf(ledger->why, sizeof ledger->why, "%.250s", why->text);
  cox_mutex_unlock(&ledger->mutex);
  cox_log(COX_LOG_ERROR, "store", "the store can be read but not written: changes that must be durable are refused until it can", "reason",
          why->text, NULL);
  store->settle(store->ctx);
}

/* The leases of before are taken over by whoever renews them, and for that their nodes must be known. */
static void tell_leases(struct cox_broker *broker) {
  struct cox_registry *const registry = &broker->registry;
  cox_rwlock_write(&registry->lock);
  for (size_t i = 0; i < registry->num_count; i++) {
    if (registry->by_num[i] != NULL) cox_lease_push_locked(broker, registry->by_num[i]);
  }
  cox_rwlock_write_unlock(&registry->lock);
}

int cox_broker_load(struct cox_broker *broker, struct cox_err *err) {
  const struct cox_store *const store = broker->options.store;
  struct cox_stored stored = {0};
  if (store == NULL || store->load == NULL) return 0;
  int rc = store->load(store->ctx, &stored, err);
  if (rc != 0) return rc;
  struct cox_ledger *const ledger = &broker->ledger;
  ledger->start = stored.start;
  ledger->seq = cox_fault("keep.numbers_anew") ? 0 : stored.seq;
  atomic_store(&ledger->settled, ledger->seq);
  if (broker->options.leases.start_number == 0) cox_leases_begin(broker->leases, stored.start);
  cox_journal_begin(&ledger->journal, cox_fault("keep.forgets_last") ? 0 : stored.seq);
  store->watch(store->ctx, is_back, broker);
  rc = cox_durable_restore(&broker->registry, stored.tables, err);
  if (rc == 0) tell_leases(broker);
  if (rc == 0) take_kept(ledger, stored.tables);
  if (rc == 0 && stored.is_shut) begin_shut(ledger, store, &stored.why);
  if (rc == 0) rc = tell_start(broker, err);
  json_decref(stored.tables);
  return rc;
}

uint32_t cox_broker_start_number(const struct cox_broker *broker) { return broker->ledger.start; }

/* ---- lines and tables ---- */

/* Takes `pending` with its records (NULL: out of memory), also when it fails. */
static int send(struct cox_broker *broker, struct cox_pending *pending, void (*done)(void *arg, const struct cox_err *err), void *arg,
                const char *what, struct cox_err *err) {
  struct cox_note *const note = pending != NULL && !pending->batch.is_broken ? calloc(1, sizeof *note) : NULL;
  if (note == NULL) {
    if (pending != NULL) cox_pending_destroy(pending);
    return cox_err_set(err, COX_ENOMEM, "%s was not written: out of memory", what);
  }
  if (atomic_fetch_add(&broker->ledger.note_count, 1) >= COX_NOTES_MAX) {
    atomic_fetch_sub(&broker->ledger.note_count, 1);
    cox_pending_destroy(pending);
    free(note);
    return cox_err_set(err, COX_EFULL, "%s was not written: %d others wait already; try again later", what, COX_NOTES_MAX);
  }
  *note = (struct cox_note){.pending = pending, .done = done, .arg = arg};
  if (cox_queue_push(&broker->ledger.notes, &note->link)) cox_commands_wake(&broker->commands);
  return 0;
}

int cox_note_send(struct cox_broker *broker, struct cox_record *record, void (*done)(void *arg, const struct cox_err *err), void *arg,
                  const char *what, struct cox_err *err) {
  struct cox_pending *const pending = cox_pending_create(broker, NULL);
  if (pending != NULL) cox_batch_add(&pending->batch, record);
  else cox_record_release(record);
  return send(broker, pending, done, arg, what, err);
}

int cox_broker_note(struct cox_broker *broker, const char *kind, const char *node_id, json_t *fields, struct cox_err *err) {
  const bool is_reload = strcmp(kind, "reload") == 0;
  json_t *const id = node_id != NULL ? json_string(node_id) : NULL;
  struct cox_record *record = NULL;
  int rc = 0;
  if (!is_reload && strcmp(kind, "note") != 0) rc = cox_err_set(err, COX_EINVAL, "a line of the journal must be a reload or a note, not %s", kind);
  if (rc == 0) record = cox_record_create(is_reload ? COX_RECORD_RELOAD : COX_RECORD_NOTE, id);
  if (record != NULL) record->fields = json_incref(fields);
  if (rc == 0) rc = cox_note_send(broker, record, NULL, NULL, "a line of the journal", err);
  json_decref(id);
  json_decref(fields);
  return rc;
}

static int check_keep(struct cox_broker *broker, const char *table, const char *name, const json_t *value, struct cox_err *err) {
  if (*table == '\0' || strlen(table) > TABLE_MAX_BYTES || *name == '\0' || strlen(name) > NAME_MAX_BYTES) {
    return cox_err_set(err, COX_EINVAL, "%.64s %.64s cannot be kept: names have 1 to %d bytes, tables 1 to %d", table, name, NAME_MAX_BYTES,
                       TABLE_MAX_BYTES);
  }
  if (value == NULL) return 0;
  if (json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > COX_KEEP_VALUE_MAX) {
    return cox_err_set(err, COX_EINVAL, "%s %s cannot be kept: it is larger than %d bytes", table, name, COX_KEEP_VALUE_MAX);
  }
  struct cox_ledger *const ledger = &broker->ledger;
  cox_mutex_lock(&ledger->mutex);
  const size_t names = json_object_size(json_object_get(ledger->kept, table));
  cox_mutex_unlock(&ledger->mutex);
  if (names < COX_KEEP_NAMES_MAX) return 0;
  return cox_err_set(err, COX_EFULL, "%s %s cannot be kept: the table has %d names already; forget old ones", table, name, COX_KEEP_NAMES_MAX);
}

int cox_broker_keep(struct cox_broker *broker, const char *table, const char *name, json_t *value,
                    void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err) {
  json_t *const values = json_object();
  json_object_set_new(values, name, value != NULL ? value : json_null());
  const int rc = json_object_size(values) == 1 ? cox_broker_keep_all(broker, table, values, done, arg, err)
                                               : cox_err_set(err, COX_EINVAL, "%.64s %.64s cannot be kept: it is no text", table, name);
  json_decref(values);
  return rc;
}

int cox_broker_keep_all(struct cox_broker *broker, const char *table, json_t *values, void (*done)(void *arg, const struct cox_err *err),
                        void *arg, struct cox_err *err) {
  const char *name;
  json_t *value;
  int rc = 0;
  json_object_foreach(values, name, value) {
    if (rc == 0) rc = check_keep(broker, table, name, json_is_null(value) ? NULL : value, err);
  }
  if (rc != 0) return rc;
  struct cox_pending *const pending = cox_pending_create(broker, NULL);
  if (pending != NULL) pending->is_durable = true;
  json_object_foreach(values, name, value) {
    if (pending != NULL) cox_batch_add(&pending->batch, cox_record_keep(table, name, json_is_null(value) ? NULL : value));
  }
  return send(broker, pending, done, arg, table, err);
}

json_t *cox_broker_kept(struct cox_broker *broker, const char *table, const char *name) {
  struct cox_ledger *const ledger = &broker->ledger;
  cox_mutex_lock(&ledger->mutex);
  json_t *const value = json_incref(json_object_get(json_object_get(ledger->kept, table), name));
  cox_mutex_unlock(&ledger->mutex);
  return value;
}

json_t *cox_broker_kept_all(struct cox_broker *broker, const char *table) {
  struct cox_ledger *const ledger = &broker->ledger;
  cox_mutex_lock(&ledger->mutex);
  json_t *const content = json_object_get(ledger->kept, table);
  json_t *const copy = content != NULL ? json_copy(content) : json_object();
  cox_mutex_unlock(&ledger->mutex);
  return copy;
}

/* ---- reading ---- */

uint64_t cox_store_read_end(const struct cox_store_read *read, const json_t *records, uint64_t since, uint64_t until, uint64_t *from,
                            uint64_t *to) {
  const size_t count = json_array_size(records);
  *from = *to = 0;
  if (records == NULL) { /* all of it is missing */
    *from = since + 1;
    *to = until;
    return until;
  }
  if (read->first > since + 1) {
    *from = since + 1;
    *to = read->first - 1 < until ? read->first - 1 : until;
  }
  if (count == read->max) return (uint64_t)json_integer_value(json_object_get(json_array_get(records, count - 1), "seq"));
  return read->until > since ? read->until : until;
}

json_t *cox_broker_events_json(struct cox_broker *broker, uint64_t since, size_t max, const struct cox_event_filter *filter) {
  uint64_t next, oldest;
  json_t *const events = cox_journal_read(&broker->ledger.journal, since, max, filter, &next, &oldest);
  return json_pack("{so, sI, sI, sI}", "events", events, "next", (json_int_t)next, "oldest", (json_int_t)oldest, "last",
                   (json_int_t)cox_broker_events_last(broker));
}

int cox_broker_events_stored(struct cox_broker *broker, struct cox_store_read *read, struct cox_err *err) {
  const struct cox_store *const store = broker->options.store;
  if (store == NULL || store->read == NULL) return cox_err_set(err, COX_EINVAL, "there is no store to read older records from");
  return store->read(store->ctx, read, err);
}

bool cox_broker_events_is_behind(struct cox_broker *broker) {
  const struct cox_ledger *const ledger = &broker->ledger;
  if (atomic_load(&ledger->note_count) > 0) return true; /* lines that have no number yet; who sent them may have answered somebody */
  return atomic_load(&ledger->told) > atomic_load(&ledger->settled);
}

int cox_broker_events_catch_up(struct cox_broker *broker, void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err) {
  return send(broker, cox_pending_create(broker, NULL), done, arg, "a question to the journal", err);
}

uint64_t cox_broker_events_last(struct cox_broker *broker) { return cox_journal_last(&broker->ledger.journal); }

bool cox_broker_events_wait(struct cox_broker *broker, uint64_t since, struct cox_event_waiter *waiter) {
  return cox_journal_wait(&broker->ledger.journal, since, waiter);
}

bool cox_broker_events_cancel(struct cox_broker *broker, struct cox_event_waiter *waiter) {
  return cox_journal_cancel(&broker->ledger.journal, waiter);
}

int cox_broker_backup(struct cox_broker *broker, const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg,
                      struct cox_err *err) {
  const struct cox_store *const store = broker->options.store;
  if (store == NULL || store->backup == NULL) return cox_err_set(err, COX_EINVAL, "there is no store to copy");
  return store->backup(store->ctx, path, done, arg, err);
}
