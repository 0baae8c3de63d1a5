/* What cox-store does with the file once it is open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/durable.h"
#include "core/record.h"
#include "store/sqlite_private.h"

enum {
  TRIM_EVERY = 2000,       /* records between two trims */
  TRIM_MORE = 1000,        /* a trim forgets that many more than came since the last: it gains on a journal that is too long */
  READ_WINDOW = 50000,     /* numbers that one question looks through: commits wait for it */
};

/* Runs a statement without results and makes it ready for the next time. */
static int run(struct cox_sqlite *self, enum cox_sqlite_statement which) {
  sqlite3_stmt *const statement = self->statements[which];
  const int step = sqlite3_step(statement);
  const int rc = step == SQLITE_DONE || step == SQLITE_ROW ? SQLITE_OK : step;
  sqlite3_reset(statement);
  return rc;
}

static void bind_text(sqlite3_stmt *statement, int place, const char *text) {
  if (text != NULL) sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
  else sqlite3_bind_null(statement, place);
}

/* ---- one commit ---- */

struct writer {
  struct cox_sqlite *self;
  int rc; /* of the first failure */
};

static void write_state(void *arg, const char *table, const char *name, const json_t *value) {
  struct writer *const writer = arg;
  struct cox_sqlite *const self = writer->self;
  enum cox_sqlite_statement which = COX_SQL_PUT;
  if (table == NULL) which = COX_SQL_CLEAR_ALL;
  else if (name == NULL) which = COX_SQL_CLEAR;
  else if (value == NULL) which = COX_SQL_DELETE;
  if (writer->rc != SQLITE_OK) return;
  char *const text = which == COX_SQL_PUT ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  sqlite3_stmt *const statement = self->statements[which];
  if (table != NULL) bind_text(statement, 1, table);
  if (name != NULL) bind_text(statement, 2, name);
  if (which == COX_SQL_PUT) bind_text(statement, 3, text);
  writer->rc = which == COX_SQL_PUT && text == NULL ? SQLITE_NOMEM : run(self, which);
  if (table != NULL) sqlite3_clear_bindings(statement);
  free(text);
}

static int write_journal(struct cox_sqlite *self, const struct cox_record *record, const json_t *object) {
  sqlite3_stmt *const statement = self->statements[COX_SQL_JOURNAL];
  char *const text = json_dumps(object, JSON_COMPACT);
  if (text == NULL) return SQLITE_NOMEM;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)record->seq);
  sqlite3_bind_int64(statement, 2, record->wall_ms);
  bind_text(statement, 3, cox_record_kind_name(record->kind));
  bind_text(statement, 4, json_string_value(record->node_id));
  bind_text(statement, 5, text);
  const int rc = run(self, COX_SQL_JOURNAL);
  sqlite3_clear_bindings(statement);
  free(text);
  return rc;
}

static int write_record(struct cox_sqlite *self, const struct cox_record *record) {
  struct writer writer = {.self = self};
  json_t *const object = cox_record_json(record);
  if (object == NULL) return SQLITE_NOMEM;
  if (record->kind != COX_RECORD_KEEP) writer.rc = write_journal(self, record, object);
  if (writer.rc == SQLITE_OK && cox_record_is_state(record)) cox_durable_fold(object, write_state, &writer);
  json_decref(object);
  return writer.rc;
}

static int write_all(struct cox_sqlite *self, const struct cox_batch *batches, uint64_t *seq, uint64_t *count) {
  int rc = run(self, COX_SQL_BEGIN);
  for (const struct cox_batch *batch = batches; batch != NULL && rc == SQLITE_OK; batch = batch->next) {
    for (size_t i = 0; i < batch->count && rc == SQLITE_OK; i++) {
      cox_sqlite_rest(self);
      rc = write_record(self, batch->records[i]);
      if (batch->records[i]->seq > *seq) *seq = batch->records[i]->seq;
      ++*count;
    }
  }
  return rc == SQLITE_OK ? run(self, COX_SQL_COMMIT) : rc;
}

static void roll_back(struct cox_sqlite *self) {
  if (sqlite3_get_autocommit(self->db) == 0) run(self, COX_SQL_ROLLBACK); /* a failure may have done it already */
}

/* Somebody has moved or removed it under our hands: what is written goes into a file that no start will find. */
static int check_place(struct cox_sqlite *self, struct cox_err *err) {
  static const char words[] = "was moved or removed while it was in use: put it back where it was, and the daemon goes on with it; `coxswain export` "
                              "gives the nodes meanwhile";
  int has_moved = 0;
  sqlite3_file_control(self->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved); /* another file system may not know: it has not, then */
  if (has_moved != 0) return cox_err_set(err, COX_ESYS, "the store %s %s", self->path, words);
  const char *const log = sqlite3_filename_wal(sqlite3_db_filename(self->db, "main")); /* whole, whatever folder the process is in by now */
  if (self->vfs != NULL || access(log, F_OK) == 0 || errno != ENOENT) return 0;
  sqlite3_wal_checkpoint_v2(self->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL); /* what it held comes into the file, while we have it */
  return cox_err_set(err, COX_ESYS, "the log %s of the store was removed while it was in use: it is a part of it", log);
}

int cox_sqlite_commit(struct cox_sqlite *self, struct cox_batch *batches, struct cox_err *err) {
  uint64_t seq = self->seq, count = 0;
  if (write_all(self, batches, &seq, &count) == SQLITE_OK) {
    if (check_place(self, err) != 0) return COX_ESYS;
    self->seq = seq;
    self->untrimmed += count;
    return 0;
  }
  const int rc = cox_sqlite_fail(self, "writing", err);
  roll_back(self);
  return rc;
}

/* ---- after a failure ---- */

static int put_meta(struct cox_sqlite *self, const char *key, int64_t value) {
  sqlite3_stmt *const statement = self->statements[COX_SQL_META];
  bind_text(statement, 1, key);
  sqlite3_bind_int64(statement, 2, value);
  return run(self, COX_SQL_META);
}

int cox_sqlite_put_start(struct cox_sqlite *self) {
  int rc = run(self, COX_SQL_BEGIN);
  if (rc == SQLITE_OK) rc = put_meta(self, "start", self->start);
  if (rc == SQLITE_OK) rc = run(self, COX_SQL_COMMIT);
  if (rc != SQLITE_OK) roll_back(self);
  return rc;
}

static int forget_after(struct cox_sqlite *self) {
  sqlite3_bind_int64(self->statements[COX_SQL_FORGET_AFTER], 1, (sqlite3_int64)self->seq);
  return run(self, COX_SQL_FORGET_AFTER);
}

/* After a failed fsync the kernel takes what it could not write for written: it is read back, but never reaches the disk, and a
 * log that goes on behind it would end there after a power cut. So the file is opened anew, all of the log is brought into it
 * (written again, and synced), and the log begins anew. What had failed may be among it: its records are taken out here, and the
 * core writes its whole state anew before anything else counts.                                                                */
int cox_sqlite_test(struct cox_sqlite *self, struct cox_err *err) {
  cox_sqlite_close(self, false);
  const int rc = cox_sqlite_open(self, false, err);
  if (rc != 0) return rc;
  if (sqlite3_wal_checkpoint_v2(self->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK) {
    return cox_sqlite_fail(self, "bringing the log into", err);
  }
  bool is_good = run(self, COX_SQL_BEGIN) == SQLITE_OK && put_meta(self, "start", self->start) == SQLITE_OK &&
                 put_meta(self, "tested", cox_clock_wall_ms(self->clock)) == SQLITE_OK && forget_after(self) == SQLITE_OK;
  if (is_good && run(self, COX_SQL_COMMIT) == SQLITE_OK) return 0;
  cox_sqlite_fail(self, "writing", err);
  roll_back(self);
  return COX_ESYS;
}

/* ---- chores ---- */

int cox_sqlite_trim(struct cox_sqlite *self, uint64_t records_max, int64_t age_max_s, struct cox_err *err) {
  if (self->untrimmed < TRIM_EVERY) return 0;
  sqlite3_stmt *const old = self->statements[COX_SQL_OLD], *const trim = self->statements[COX_SQL_TRIM];
  const int64_t oldest_ms = cox_clock_wall_ms(self->clock) - age_max_s * 1000;
  const int64_t oldest_seq = self->seq > records_max ? (int64_t)(self->seq - records_max) : 0;
  bool is_due = false;
  if (sqlite3_step(old) == SQLITE_ROW) is_due = sqlite3_column_int64(old, 0) <= oldest_seq || sqlite3_column_int64(old, 1) < oldest_ms;
  sqlite3_reset(old);
  const uint64_t most = self->untrimmed + TRIM_MORE;
  self->untrimmed = 0;
  if (!is_due) return 0;
  sqlite3_bind_int64(trim, 1, oldest_seq);
  sqlite3_bind_int64(trim, 2, oldest_ms);
  sqlite3_bind_int64(trim, 3, (sqlite3_int64)most);
  return run(self, COX_SQL_TRIM) == SQLITE_OK ? 0 : cox_sqlite_fail(self, "forgetting old records in", err);
}

int cox_sqlite_checkpoint(struct cox_sqlite *self, struct cox_err *err) {
  if (sqlite3_wal_checkpoint_v2(self->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) != SQLITE_OK) {
    return cox_sqlite_fail(self, "bringing the log into", err);
  }
  self->wal_pages = 0;
  return 0;
}

void cox_sqlite_answer(struct cox_sqlite *self, struct cox_store_read *read) {
  struct cox_err err = {0};
  if (self->db == NULL) {
    cox_err_set(&err, COX_EDEGRADED, "older records cannot be read: the store %s could not be opened again", self->path);
    read->done(read, NULL, &err);
    return;
  }
  sqlite3_stmt *const statement = self->statements[COX_SQL_READ], *const oldest = self->statements[COX_SQL_OLD];
  json_t *const list = json_array();
  read->first = sqlite3_step(oldest) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(oldest, 0) : 0;
  sqlite3_reset(oldest);
  if (read->since + 1 < read->first) read->since = read->first - 1;
  if (read->until > read->since + READ_WINDOW) read->until = read->since + READ_WINDOW;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)read->since);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)read->until);
  bind_text(statement, 3, read->kind[0] != '\0' ? read->kind : NULL);
  bind_text(statement, 4, read->node_id[0] != '\0' ? read->node_id : NULL);
  sqlite3_bind_int64(statement, 5, (sqlite3_int64)read->max);
  int step;
  while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
    const char *const text = (const char *)sqlite3_column_text(statement, 0);
    json_array_append_new(list, json_loads(text != NULL ? text : "null", JSON_DECODE_ANY, NULL));
  }
  const bool is_good = step == SQLITE_DONE;
  if (!is_good) cox_sqlite_fail(self, "reading", &err);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  read->done(read, is_good ? list : NULL, is_good ? NULL : &err);
  json_decref(list);
}
