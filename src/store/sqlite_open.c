/* Opening the file. Whatever is wrong with it is said with its name and a way out, and nothing is ever put in its place. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite_private.h"

enum {
  APPLICATION_ID = 0x436f7873, /* "Coxs" */
  CHECK_PAGES_MAX = 8192,      /* larger files are checked in part: reading all of it would hold up the start */
  LOCK_BYTE = 0x40000000,      /* where SQLite locks: sqlite3's os_unix.c, PENDING_BYTE */
  LOCK_BYTES = 512,
  CACHE_KIB = 1024,            /* of pages, however large the file grows. Measured: 16 MiB are no faster with 10 000 nodes */
};

#define WAY_OUT "put a copy back with `coxswain restore COPY`, or start without it: `coxswain run --store :memory:`"

/* Schema step n brings user_version n to n + 1. Steps are never changed, only added. */
static const char *const steps[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE state (tbl TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID;"
    "CREATE TABLE journal (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, node TEXT, record TEXT NOT NULL);",
    /* Admin states have an actor and an end from here on. An older program would forget both, and a disable that was to end would
     * never: so it must not take the file. Nothing that is in it changes.                                                       */
    "SELECT 1",
};
enum { SCHEMA = sizeof steps / sizeof *steps };

static const char *const sql[COX_SQL_COUNT] = {
    [COX_SQL_BEGIN] = "BEGIN IMMEDIATE",
    [COX_SQL_COMMIT] = "COMMIT",
    [COX_SQL_ROLLBACK] = "ROLLBACK",
    [COX_SQL_PUT] = "INSERT INTO state (tbl, key, value) VALUES (?1, ?2, ?3) ON CONFLICT (tbl, key) DO UPDATE SET value = ?3",
    [COX_SQL_DELETE] = "DELETE FROM state WHERE tbl = ?1 AND key = ?2",
    [COX_SQL_CLEAR] = "DELETE FROM state WHERE tbl = ?1",
    [COX_SQL_CLEAR_ALL] = "DELETE FROM state",
    [COX_SQL_JOURNAL] = "INSERT INTO journal (seq, time, kind, node, record) VALUES (?1, ?2, ?3, ?4, ?5)",
    [COX_SQL_READ] = "SELECT record FROM journal WHERE seq > ?1 AND seq <= ?2 AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR node = ?4) "
                     "ORDER BY seq LIMIT ?5",
    [COX_SQL_TRIM] = "DELETE FROM journal WHERE seq IN (SELECT seq FROM journal WHERE seq <= ?1 OR time < ?2 ORDER BY seq LIMIT ?3)",
    [COX_SQL_OLD] = "SELECT seq, time FROM journal ORDER BY seq LIMIT 1",
    [COX_SQL_META] = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
    [COX_SQL_FORGET_AFTER] = "DELETE FROM journal WHERE seq > ?1",
};

int cox_sqlite_fail(const struct cox_sqlite *self, const char *what, struct cox_err *err) {
  const int code = sqlite3_extended_errcode(self->db);
  const int system = sqlite3_system_errno(self->db);
  const bool has_system = (code & 0xff) == SQLITE_IOERR && system != 0;
  return cox_err_set(err, COX_ESYS, "%s %s failed: %s%s%s", what, self->path, sqlite3_errmsg(self->db), has_system ? ": " : "",
                     has_system ? strerror(system) : "");
}

int cox_sqlite_exec(sqlite3 *db, const char *text) { return sqlite3_exec(db, text, NULL, NULL, NULL); }

/* ---- who holds it ---- */

long cox_sqlite_holder(const char *path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = LOCK_BYTES};
  if (fd < 0) return 0;
  const bool is_held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
  close(fd); /* ends all locks of this process on it */
  return is_held ? (long)lock.l_pid : 0;
}

/* As the system lists it: this process may have the file open in another store, and would lose that one's locks by opening and closing it
 * once more. 0: not known.                                                                                                          */
static long listed_holder(const char *path) {
  struct stat info;
  char line[256];
  long found = 0;
  FILE *const locks = stat(path, &info) == 0 ? fopen("/proc/locks", "re") : NULL;
  while (locks != NULL && found == 0 && fgets(line, sizeof line, locks) != NULL) {
    long pid;
    unsigned long inode;
    long long start;
    if (sscanf(line, "%*s POSIX %*s WRITE %ld %*x:%*x:%lu %lld", &pid, &inode, &start) != 3) continue;
    if (inode == info.st_ino && start >= LOCK_BYTE && start < LOCK_BYTE + LOCK_BYTES && pid > 0) found = pid;
  }
  if (locks != NULL) fclose(locks);
  return found;
}

static int refuse_locked(struct cox_sqlite *self, struct cox_err *err) {
  cox_sqlite_close(self, false);
  const long pid = self->vfs == NULL ? listed_holder(self->path) : 0;
  char who[64] = "another program or another store of this process";
  if (pid == (long)getpid()) snprintf(who, sizeof who, "another store of this process");
  else if (pid > 0) snprintf(who, sizeof who, "process %ld", pid);
  return cox_err_set(err, COX_EBUSY, "the store %s is in use by %s: stop it first, or give this one another file with `store` or --store",
                     self->path, who);
}

/* ---- what is wrong with it ---- */

static int refuse(struct cox_sqlite *self, const char *what, struct cox_err *err) {
  const int code = sqlite3_extended_errcode(self->db) & 0xff;
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED) return refuse_locked(self, err);
  if (code == SQLITE_NOTADB) {
    return cox_err_set(err, COX_EINVAL, "the store %s is no database: its first bytes are wrong. If it was one, it is damaged: " WAY_OUT, self->path);
  }
  if (code == SQLITE_CORRUPT) {
    return cox_err_set(err, COX_EINVAL, "the store %s is damaged: %s. Keep it for a look, then " WAY_OUT, self->path, sqlite3_errmsg(self->db));
  }
  if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY || code == SQLITE_PERM) {
    return cox_err_set(err, COX_ESYS, "the store %s cannot be opened for writing (%s): give this user the right to write it and its folder, or "
                       WAY_OUT, self->path, sqlite3_errmsg(self->db));
  }
  struct cox_err why = {0};
  cox_sqlite_fail(self, what, &why);
  return cox_err_set(err, COX_ESYS, "%s; " WAY_OUT, why.text);
}

static int folder_missing(const char *path, struct cox_err *err) {
  return cox_err_set(err, COX_ENOENT, "the store %s cannot be made: its folder is not there; make it, or name another place with `store`", path);
}

void cox_sqlite_name_restored(const char *path, char *out) { snprintf(out, PATH_MAX, "%s.restored", path); }

/* A copy that was being put into its place when the machine or the program went down. What stands there may have lost its log by then, or be gone. */
static int check_restored(const struct cox_sqlite *self, struct cox_err *err) {
  char whole[PATH_MAX];
  cox_sqlite_name_restored(self->path, whole);
  if (access(whole, F_OK) != 0) return 0;
  return cox_err_set(err, COX_EINVAL, "the store %s was being replaced by a copy, and that did not get to its end (%s is there): do it again with "
                     "`coxswain restore COPY`, for which that file will do, too", self->path, whole);
}

/* Before SQLite touches it. 1: it is there, 0: there is none, negative: it is nothing to open. */
static int look_at_file(const struct cox_sqlite *self, struct cox_err *err) {
  struct stat info;
  char log[PATH_MAX];
  if (check_restored(self, err) != 0) return COX_EINVAL;
  if (stat(self->path, &info) != 0) {
    if (errno != ENOENT) {
      const char *const right = errno == EACCES ? "give this user the right to enter its folder, or " : "";
      return cox_err_set(err, COX_ESYS, "the store %s cannot be looked at: %s; %s" WAY_OUT, self->path, strerror(errno), right);
    }
    snprintf(log, sizeof log, "%s-wal", self->path);
    if (stat(log, &info) != 0 || info.st_size == 0) return 0;
    return cox_err_set(err, COX_EINVAL, "the store %s is missing, but its log %s is there: put the file back, or move the log away to begin anew",
                       self->path, log);
  }
  if (S_ISDIR(info.st_mode)) return cox_err_set(err, COX_EINVAL, "the store %s is a folder: name a file in it, as in %s/coxswain.db", self->path, self->path);
  if (!S_ISREG(info.st_mode)) return cox_err_set(err, COX_EINVAL, "the store %s is no ordinary file: name another one", self->path);
  if (info.st_size == 0) {
    return cox_err_set(err, COX_EINVAL, "the store %s is empty (0 bytes): if it held something, " WAY_OUT "; to begin anew, remove it", self->path);
  }
  return 1;
}

static int64_t pragma_number(struct cox_sqlite *self, const char *text) {
  sqlite3_stmt *statement = NULL;
  int64_t number = -1;
  if (sqlite3_prepare_v2(self->db, text, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
    number = sqlite3_column_int64(statement, 0);
  }
  sqlite3_finalize(statement);
  return number;
}

static int check_owner(struct cox_sqlite *self, struct cox_err *err) {
  const int64_t id = pragma_number(self, "PRAGMA application_id");
  if (id < 0 && sqlite3_errcode(self->db) != SQLITE_OK && sqlite3_errcode(self->db) != SQLITE_ROW && sqlite3_errcode(self->db) != SQLITE_DONE) {
    return refuse(self, "reading the store", err);
  }
  if (id != APPLICATION_ID) {
    return cox_err_set(err, COX_EINVAL, "the store %s is a database of another program (application id %lld): name another file with `store`",
                       self->path, (long long)id);
  }
  const int64_t schema = pragma_number(self, "PRAGMA user_version");
  if (schema <= SCHEMA && schema > 0) return 0;
  return cox_err_set(err, COX_EINVAL, "the store %s has schema %lld and this version knows 1 to %d: start the newer coxswain that wrote it, or "
                     WAY_OUT, self->path, (long long)schema, SCHEMA);
}

static int check_pages(struct cox_sqlite *self, struct cox_err *err) {
  const bool is_small = pragma_number(self, "PRAGMA page_count") <= CHECK_PAGES_MAX;
  const char *const checks[] = {is_small ? "PRAGMA quick_check(1)" : "PRAGMA quick_check('state')", "PRAGMA quick_check('meta')"};
  for (size_t i = 0; i < (is_small ? 1 : 2); i++) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(self->db, checks[i], -1, &statement, NULL) != SQLITE_OK) return refuse(self, "checking the store", err);
    const int step = sqlite3_step(statement);
    const char *const found = step == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    int rc = 0;
    if (step != SQLITE_ROW) rc = refuse(self, "checking the store", err);
    else if (found == NULL || strcmp(found, "ok") != 0) {
      rc = cox_err_set(err, COX_EINVAL, "the store %s is damaged: %.300s. Keep it for a look, then " WAY_OUT, self->path, found != NULL ? found : "?");
    }
    sqlite3_finalize(statement);
    if (rc != 0) return rc;
  }
  return 0;
}

/* ---- opening ---- */

static int open_native(struct cox_sqlite *self, const char *path, int flags, struct cox_err *err) {
  const int all = flags | SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int rc = sqlite3_open_v2(path, &self->db, all, self->vfs);
  if (self->db == NULL) return cox_err_set(err, COX_ENOMEM, "opening the store %s failed: out of memory", self->path);
  if (rc != SQLITE_OK) return refuse(self, "opening the store", err);
  if (sqlite3_db_readonly(self->db, "main") == 1) {
    return cox_err_set(err, COX_ESYS, "the store %s cannot be written: give this user the right to write it and its folder, or " WAY_OUT, self->path);
  }
  /* Exclusive before anything else: then the log needs no shared memory, and no second connection can ever be there (one more
   * would meet the corruption that this version's log reset has).                                                         */
  if (cox_sqlite_exec(self->db, "PRAGMA locking_mode = EXCLUSIVE") != SQLITE_OK) return refuse(self, "opening the store", err);
  return 0;
}

static int use_log(struct cox_sqlite *self, struct cox_err *err) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(self->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
  const int step = rc == SQLITE_OK ? sqlite3_step(statement) : rc;
  const char *const mode = step == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
  const bool is_good = mode != NULL && strcmp(mode, "wal") == 0;
  sqlite3_finalize(statement);
  char pragmas[128];
  snprintf(pragmas, sizeof pragmas, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -%d", CACHE_KIB);
  if (is_good) rc = cox_sqlite_exec(self->db, pragmas);
  if (!is_good || rc != SQLITE_OK) return refuse(self, "opening the log of the store", err);
  return 0;
}

/* All steps that are missing, in one transaction. */
static int migrate(struct cox_sqlite *self, int64_t from, struct cox_err *err) {
  char version[96];
  bool is_good = cox_sqlite_exec(self->db, "BEGIN IMMEDIATE") == SQLITE_OK;
  for (int64_t step = from; is_good && step < SCHEMA; step++) is_good = cox_sqlite_exec(self->db, steps[step]) == SQLITE_OK;
  snprintf(version, sizeof version, "PRAGMA user_version = %d; PRAGMA application_id = %d; COMMIT", SCHEMA, APPLICATION_ID);
  if (is_good && cox_sqlite_exec(self->db, version) == SQLITE_OK) return 0;
  const int rc = refuse(self, "making the tables of the store", err);
  if (self->db != NULL) cox_sqlite_exec(self->db, "ROLLBACK");
  return rc;
}

static void remove_with_log(const char *path) {
  static const char *const tails[] = {"", "-wal", "-journal", "-shm"};
  char name[PATH_MAX];
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    snprintf(name, sizeof name, "%s%s", path, tails[i]);
    unlink(name);
  }
}

/* A new file comes into its place whole: one that is empty or half made is never taken for a store, nor left behind as one. */
static int make_file(struct cox_sqlite *self, struct cox_err *err) {
  char part[PATH_MAX];
  if ((size_t)snprintf(part, sizeof part, "%s.new-%ld", self->path, (long)getpid()) >= sizeof part) {
    return cox_err_set(err, COX_EINVAL, "the store's path is too long: %.200s…", self->path);
  }
  remove_with_log(part);
  int rc = open_native(self, part, SQLITE_OPEN_CREATE, err);
  if (rc != 0 && access(self->path, F_OK) != 0 && errno == ENOENT) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", self->path);
    char *const slash = strrchr(folder, '/');
    if (slash != NULL && slash != folder) *slash = '\0';
    if (slash != NULL && access(folder, F_OK) != 0) rc = folder_missing(self->path, err);
  }
  if (rc == 0) rc = use_log(self, err);
  if (rc == 0) rc = migrate(self, 0, err);
  cox_sqlite_close(self, true);
  if (rc == 0) chmod(part, S_IRUSR | S_IWUSR);
  if (rc == 0 && link(part, self->path) != 0 && (errno == EEXIST || rename(part, self->path) != 0)) {
    rc = cox_err_set(err, COX_ESYS, "making the store %s failed: %s; try again", self->path, strerror(errno));
  }
  remove_with_log(part);
  return rc == 0 ? cox_sync_folder_of(self->path, err) : rc;
}

static int prepare(struct cox_sqlite *self, struct cox_err *err) {
  for (int i = 0; i < COX_SQL_COUNT; i++) {
    if (sqlite3_prepare_v3(self->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i], NULL) != SQLITE_OK) {
      return refuse(self, "preparing the store", err);
    }
  }
  return 0;
}

static int count_pages(void *ctx, sqlite3 *db, const char *name, int pages) {
  struct cox_sqlite *const self = ctx;
  (void)db;
  (void)name;
  self->wal_pages = pages;
  return SQLITE_OK;
}

static int open_existing(struct cox_sqlite *self, struct cox_err *err) {
  int rc = open_native(self, self->path, 0, err);
  if (rc == 0) rc = check_owner(self, err);
  if (rc == 0) rc = check_pages(self, err); /* before anything is written: what is damaged stays as it is, for a look */
  if (rc == 0) rc = use_log(self, err);
  const int64_t schema = rc == 0 ? pragma_number(self, "PRAGMA user_version") : SCHEMA;
  if (rc == 0 && schema < SCHEMA) rc = migrate(self, schema, err);
  if (rc == 0) rc = prepare(self, err);
  if (rc == 0) sqlite3_wal_hook(self->db, count_pages, self);
  return rc;
}

/* What is advised for a store that cannot be used is no help with a copy. */
static int refuse_copy(int rc, struct cox_err *err) {
  static const char store[] = "the store ";
  char text[sizeof err->text];
  const char *const way = strstr(err->text, WAY_OUT);
  if (way == NULL || strncmp(err->text, store, sizeof store - 1) != 0) return rc;
  const char *const rest = err->text + sizeof store - 1;
  snprintf(text, sizeof text, "the copy %.*sput another one back", (int)(way - rest), rest);
  return cox_err_set(err, rc, "%s", text);
}

static int look(struct cox_sqlite *self, struct cox_err *err) {
  int rc = look_at_file(self, err);
  if (rc == 0) return cox_err_set(err, COX_ENOENT, "the copy %s is not there", self->path);
  if (rc < 0) return rc;
  rc = sqlite3_open_v2(self->path, &self->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
  if (self->db == NULL) return cox_err_set(err, COX_ENOMEM, "opening %s failed: out of memory", self->path);
  if (rc != SQLITE_OK) return refuse(self, "opening the copy", err);
  rc = check_owner(self, err);
  return rc == 0 ? check_pages(self, err) : rc;
}

int cox_sqlite_look(struct cox_sqlite *self, struct cox_err *err) {
  const int rc = look(self, err);
  return rc == 0 ? 0 : refuse_copy(rc, err);
}

/* Another file system than the machine's (specs) has no names to move: the file is made in its place. */
static int make_in_place(struct cox_sqlite *self, struct cox_err *err) {
  int there = 0;
  sqlite3_vfs *const vfs = sqlite3_vfs_find(self->vfs);
  if (vfs == NULL) return cox_err_set(err, COX_EINVAL, "SQLite has no file system %s", self->vfs);
  vfs->xAccess(vfs, self->path, SQLITE_ACCESS_EXISTS, &there);
  if (there != 0) return 0;
  int rc = open_native(self, self->path, SQLITE_OPEN_CREATE, err);
  if (rc == 0) rc = use_log(self, err);
  if (rc == 0) rc = migrate(self, 0, err);
  cox_sqlite_close(self, true);
  return rc;
}

static int missing(const struct cox_sqlite *self, struct cox_err *err) {
  return cox_err_set(err, COX_ENOENT, "the store %s is not there any more: put it back where it was, and the daemon goes on with it; `coxswain export` "
                     "gives the nodes meanwhile", self->path);
}

int cox_sqlite_open(struct cox_sqlite *self, bool may_create, struct cox_err *err) {
  int rc = 0;
  if (self->vfs != NULL) {
    rc = may_create ? make_in_place(self, err) : 0;
  } else {
    rc = look_at_file(self, err);
    if (rc == 0) rc = may_create ? make_file(self, err) : missing(self, err);
  }
  if (rc >= 0) rc = open_existing(self, err);
  if (rc != 0) cox_sqlite_close(self, false);
  return rc;
}

void cox_sqlite_close(struct cox_sqlite *self, bool with_checkpoint) {
  for (int i = 0; i < COX_SQL_COUNT; i++) {
    sqlite3_finalize(self->statements[i]);
    self->statements[i] = NULL;
  }
  if (self->db == NULL) return;
  if (!with_checkpoint) sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close_v2(self->db); /* a statement that is still there goes later */
  self->db = NULL;
}

/* ---- what it holds ---- */

static int load_row(struct cox_sqlite *self, sqlite3_stmt *rows, json_t *tables, struct cox_err *err) {
  const char *const table = (const char *)sqlite3_column_text(rows, 0), *const name = (const char *)sqlite3_column_text(rows, 1);
  const char *const text = (const char *)sqlite3_column_text(rows, 2);
  json_t *const value = text != NULL ? json_loadb(text, (size_t)sqlite3_column_bytes(rows, 2), JSON_DECODE_ANY, NULL) : NULL;
  if (table == NULL || name == NULL || value == NULL) {
    json_decref(value);
    return cox_err_set(err, COX_EINVAL, "the store %s holds something unreadable in its table %s at %.100s: " WAY_OUT, self->path,
                       table != NULL ? table : "?", name != NULL ? name : "?");
  }
  json_t *content = json_object_get(tables, table);
  if (content == NULL) json_object_set_new(tables, table, content = json_object());
  json_object_set_new(content, name, value);
  return 0;
}

static int load_tables(struct cox_sqlite *self, json_t *tables, struct cox_err *err) {
  sqlite3_stmt *rows = NULL;
  if (sqlite3_prepare_v2(self->db, "SELECT tbl, key, value FROM state ORDER BY tbl, key", -1, &rows, NULL) != SQLITE_OK) {
    return refuse(self, "reading the store", err);
  }
  int rc = 0, step = SQLITE_DONE;
  while (rc == 0 && (step = sqlite3_step(rows)) != SQLITE_DONE) {
    rc = step == SQLITE_ROW ? load_row(self, rows, tables, err) : refuse(self, "reading the store", err);
  }
  sqlite3_finalize(rows);
  return rc;
}

int cox_sqlite_load(struct cox_sqlite *self, struct cox_stored *out, struct cox_err *err) {
  *out = (struct cox_stored){.tables = json_object()};
  const int rc = load_tables(self, out->tables, err);
  if (rc != 0) {
    json_decref(out->tables);
    return rc;
  }
  const int64_t seq = pragma_number(self, "SELECT coalesce(max(seq), 0) FROM journal");
  const int64_t start = pragma_number(self, "SELECT coalesce(max(value), 0) FROM meta WHERE key = 'start'");
  self->seq = out->seq = seq > 0 ? (uint64_t)seq : 0;
  self->start = out->start = (uint32_t)(start > 0 ? start : 0) + 1;
  if (cox_sqlite_put_start(self) == SQLITE_OK) return 0;
  cox_sqlite_fail(self, "writing", &out->why);
  out->is_shut = true;
  return 0;
}
