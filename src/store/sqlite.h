/* The store in one SQLite file: WAL, synchronous=FULL, one connection that only its own thread (cox-store) uses, and one commit
 * for all that waits (group commit). The file is locked as long as it is open.                                              */
#ifndef COX_STORE_SQLITE_H
#define COX_STORE_SQLITE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/store.h"

struct cox_sqlite;

enum {
  COX_SQLITE_RECORDS_MAX = 200000,  /* of the journal */
  COX_SQLITE_AGE_MAX_S = 30 * 86400,
  COX_SQLITE_READS_MAX = 64,        /* questions for older records that wait */
  COX_SQLITE_RETRY_MS = 1000,       /* between two test writes */
};

struct cox_sqlite_options {
  const char *path;
  const struct cox_clock *clock; /* NULL: the machine's */
  uint64_t records_max;          /* of the journal; 0: COX_SQLITE_RECORDS_MAX */
  int64_t age_max_s;             /* of the journal; 0: COX_SQLITE_AGE_MAX_S */
  int64_t retry_ms;              /* 0: COX_SQLITE_RETRY_MS */
  const char *vfs;               /* SQLite's name of the file system; NULL: the machine's */
};

/* Opens the file, or makes a new one where there is none, checks it and starts the thread. NULL with the file's name, the reason
 * and the way out in `err`: a file that is there and cannot be used is never replaced.                                       */
struct cox_sqlite *cox_sqlite_create(const struct cox_sqlite_options *options, struct cox_err *err);
/* Commits what it has taken, ends the thread and closes the file (like the interface's `close`), and frees. */
void cox_sqlite_destroy(struct cox_sqlite *sqlite);
/* The core's interface to it; valid until destroy. */
const struct cox_store *cox_sqlite_store(struct cox_sqlite *sqlite);

/* Is that a whole store of ours that this version can read? For `coxswain restore`; nothing is changed. */
int cox_sqlite_check(const char *path, struct cox_err *err);
/* Puts the copy `from` in the place of the store `to`, which no daemon may have open; what was there is kept beside it, and its
 * name goes into `kept` (PATH_MAX bytes, "": nothing was there).                                                              */
int cox_sqlite_restore(const char *from, const char *to, char *kept, struct cox_err *err);

#endif
