/* The inside of the SQLite store: what its files share. */
#ifndef COX_STORE_SQLITE_PRIVATE_H
#define COX_STORE_SQLITE_PRIVATE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/thread.h"
#include "store/sqlite.h"

enum cox_sqlite_statement {
  COX_SQL_BEGIN,
  COX_SQL_COMMIT,
  COX_SQL_ROLLBACK,
  COX_SQL_PUT,
  COX_SQL_DELETE,
  COX_SQL_CLEAR,
  COX_SQL_CLEAR_ALL,
  COX_SQL_JOURNAL,
  COX_SQL_READ,
  COX_SQL_TRIM,
  COX_SQL_OLD,
  COX_SQL_META,
  COX_SQL_FORGET_AFTER,
  COX_SQL_COUNT
};

/* A copy that is being made. */
struct cox_sqlite_backup {
  char *path, *part;         /* owned: where it goes, and where it grows */
  sqlite3 *db;               /* of the part; NULL: not begun */
  sqlite3_backup *native;
  void (*done)(void *arg, const struct cox_err *err);
  void *arg;
};

struct cox_sqlite {
  struct cox_store store;
  char *path, *vfs;
  const struct cox_clock *clock;
  int64_t retry_us;
  uint32_t start;

  /* cox-store's, and before it starts the opener's */
  sqlite3 *db; /* NULL: it could not be opened again after a failure */
  sqlite3_stmt *statements[COX_SQL_COUNT];
  uint64_t seq;          /* last record that is committed */
  int wal_pages;         /* not yet in the database file */
  uint64_t untrimmed;    /* records since the journal was trimmed last */
  int64_t retry_at_us;

  atomic_bool is_held; /* cox-store is asked to rest; written under the mutex */

  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  struct cox_batch *first, *last;
  struct cox_store_read *first_read, *last_read;
  size_t reads;
  struct cox_sqlite_backup *backup;
  int64_t held_until_us; /* monotonic */
  uint64_t records_max;
  int64_t age_max_s;
  bool is_shut;     /* nothing is taken */
  bool is_settled;  /* shut, and the core has put its state back */
  bool is_closing, is_closed;
  char why[512];
  void (*is_back)(void *arg);
  void *is_back_arg;

  struct cox_thread thread;
};

/* sqlite_open.c */
/* Opens self->path as it is, or makes it when there is none and `may_create`. */
int cox_sqlite_open(struct cox_sqlite *self, bool may_create, struct cox_err *err);
void cox_sqlite_close(struct cox_sqlite *self, bool with_checkpoint);
int cox_sqlite_load(struct cox_sqlite *self, struct cox_stored *out, struct cox_err *err);
/* Opens it for a look only: is it a whole store that this version can read? */
int cox_sqlite_look(struct cox_sqlite *self, struct cox_err *err);
/* The process that has the file open; 0: none, or not known (another machine's). Only for a process without stores: it would lose their locks. */
long cox_sqlite_holder(const char *path);
/* "what PATH failed: reason". Returns COX_ESYS. */
int cox_sqlite_fail(const struct cox_sqlite *self, const char *what, struct cox_err *err);
/* What a copy is called from when it is whole until it is in its place. PATH_MAX bytes. */
void cox_sqlite_name_restored(const char *path, char *out);
/* One statement without results. An SQLite code. */
int cox_sqlite_exec(sqlite3 *db, const char *sql);

/* sqlite.c, on cox-store: rests while the store is held. */
void cox_sqlite_rest(struct cox_sqlite *self);

/* sqlite_write.c; all on cox-store */
/* Commits all of them in one transaction, or none. */
int cox_sqlite_commit(struct cox_sqlite *self, struct cox_batch *batches, struct cox_err *err);
/* Opens the file anew and writes to it: what failed must not come back. */
int cox_sqlite_test(struct cox_sqlite *self, struct cox_err *err);
/* Forgets old records, if that is due. */
int cox_sqlite_trim(struct cox_sqlite *self, uint64_t records_max, int64_t age_max_s, struct cox_err *err);
/* Brings what is in the log into the file. */
int cox_sqlite_checkpoint(struct cox_sqlite *self, struct cox_err *err);
/* Writes the start's number. An SQLite code. */
int cox_sqlite_put_start(struct cox_sqlite *self);
void cox_sqlite_answer(struct cox_sqlite *self, struct cox_store_read *read);

/* sqlite_backup.c */
struct cox_sqlite_backup *cox_sqlite_backup_create(const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg);
/* One part of the work. True: there is more to do. Else `done` was called and it was freed. */
bool cox_sqlite_backup_step(struct cox_sqlite *self, struct cox_sqlite_backup *backup);
/* Ends it with that error. */
void cox_sqlite_backup_fail(struct cox_sqlite_backup *backup, const struct cox_err *err);
/* Makes the folder's entries durable. 0 or COX_ESYS. */
int cox_sync_folder_of(const char *path, struct cox_err *err);

#endif
