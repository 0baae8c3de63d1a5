/* Copies: made while the store works, through its one connection, a few pages at a time between commits. What is written
 * meanwhile goes into the copy, too. And a copy put back.                                                               */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/sqlite_private.h"

enum {
  PAGES_PER_STEP = 256,
  TAIL_MAX = 64, /* of a path's other names */
};

int cox_sync_folder_of(const char *path, struct cox_err *err) {
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%s", path);
  char *const slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder ? 1 : 0] = '\0';
  const int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool is_good = fd >= 0 && fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) close(fd);
  return is_good ? 0 : cox_err_set(err, COX_ESYS, "making the name %s durable failed: %s", path, strerror(code));
}

/* ---- making a copy ---- */

struct cox_sqlite_backup *cox_sqlite_backup_create(const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg) {
  struct cox_sqlite_backup *const backup = calloc(1, sizeof *backup);
  if (backup == NULL) return NULL;
  backup->done = done;
  backup->arg = arg;
  backup->path = strdup(path);
  if (backup->path != NULL && asprintf(&backup->part, "%s.part", path) >= 0) return backup;
  free(backup->path);
  free(backup);
  return NULL;
}

static void end(struct cox_sqlite_backup *backup, const struct cox_err *err) {
  if (backup->native != NULL) sqlite3_backup_finish(backup->native);
  const bool was_begun = backup->db != NULL;
  sqlite3_close_v2(backup->db);
  if (err != NULL && was_begun) unlink(backup->part);
  if (backup->done != NULL) backup->done(backup->arg, err);
  free(backup->path);
  free(backup->part);
  free(backup);
}

void cox_sqlite_backup_fail(struct cox_sqlite_backup *backup, const struct cox_err *err) {
  static const struct cox_err nothing = {0};
  end(backup, err != NULL ? err : &nothing);
}

static int begin(struct cox_sqlite *self, struct cox_sqlite_backup *backup, struct cox_err *err) {
  if (access(backup->path, F_OK) == 0) {
    return cox_err_set(err, COX_EINVAL, "the copy %s was not made: there is a file of that name already; give another name", backup->path);
  }
  unlink(backup->part);
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (sqlite3_open_v2(backup->part, &backup->db, flags, self->vfs) != SQLITE_OK) {
    return cox_err_set(err, COX_ESYS, "the copy %s was not made: %s; is its folder there, and may the daemon write it?", backup->path,
                       backup->db != NULL ? sqlite3_errmsg(backup->db) : "out of memory");
  }
  chmod(backup->part, S_IRUSR | S_IWUSR);
  backup->native = sqlite3_backup_init(backup->db, "main", self->db, "main");
  return backup->native != NULL ? 0 : cox_err_set(err, COX_ESYS, "the copy %s was not made: %s", backup->path, sqlite3_errmsg(backup->db));
}

/* The copy is whole: to the disk, and to its name. */
static int conclude(struct cox_sqlite_backup *backup, struct cox_err *err) {
  sqlite3_backup_finish(backup->native);
  backup->native = NULL;
  int rc = cox_sqlite_exec(backup->db, "PRAGMA journal_mode = DELETE"); /* one file, without a log beside it */
  if (rc != SQLITE_OK) return cox_err_set(err, COX_ESYS, "the copy %s was not made: %s", backup->path, sqlite3_errmsg(backup->db));
  const int fd = open(backup->part, O_RDONLY | O_CLOEXEC);
  const bool is_good = fd >= 0 && fsync(fd) == 0 && link(backup->part, backup->path) == 0;
  const int code = errno;
  if (fd >= 0) close(fd);
  if (!is_good) return cox_err_set(err, COX_ESYS, "the copy %s was not made: %s", backup->path, strerror(code));
  unlink(backup->part);
  return cox_sync_folder_of(backup->path, err);
}

bool cox_sqlite_backup_step(struct cox_sqlite *self, struct cox_sqlite_backup *backup) {
  struct cox_err err = {0};
  int rc = backup->native == NULL ? begin(self, backup, &err) : 0;
  if (rc == 0) {
    const int step = sqlite3_backup_step(backup->native, PAGES_PER_STEP);
    if (step == SQLITE_OK) return true;
    if (step == SQLITE_DONE) rc = conclude(backup, &err);
    else rc = cox_err_set(&err, COX_ESYS, "the copy %s was not made: %s", backup->path, sqlite3_errmsg(backup->db));
  }
  end(backup, rc == 0 ? NULL : &err);
  return false;
}

/* ---- putting one back ---- */

int cox_sqlite_check(const char *path, struct cox_err *err) {
  struct cox_sqlite self = {.path = (char *)(uintptr_t)path};
  const int rc = cox_sqlite_look(&self, err);
  cox_sqlite_close(&self, false);
  return rc;
}

/* Root puts it back, and a daemon with another user must be able to open it: it belongs to who had the old one, or to whom the folder. */
static bool give_to_owner(int fd, const char *store) {
  struct stat before, info;
  char text[PATH_MAX];
  snprintf(text, sizeof text, "%s", store);
  if (geteuid() != 0 || (stat(store, &before) != 0 && stat(dirname(text), &before) != 0) || fstat(fd, &info) != 0) return true;
  return (before.st_uid == info.st_uid && before.st_gid == info.st_gid) || fchown(fd, before.st_uid, before.st_gid) == 0;
}

/* `to` is made beside `store`. The folder may be another user's: nothing that he put there is written to. */
static int copy_file(const char *from, const char *to, const char *store, struct cox_err *err) {
  struct stat info;
  unlink(to);
  const int in = open(from, O_RDONLY | O_CLOEXEC), out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  bool is_good = out >= 0 && fstat(in, &info) == 0;
  for (off_t left = is_good ? info.st_size : 0; is_good && left > 0;) {
    const ssize_t count = sendfile(out, in, NULL, (size_t)left);
    is_good = count > 0;
    left -= count;
  }
  is_good = is_good && give_to_owner(out, store) && fsync(out) == 0;
  const int code = errno;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return is_good ? 0 : cox_err_set(err, COX_ESYS, "copying %s to %s failed: %s", from, to, strerror(code));
}

/* Nobody may have it open; a damaged one can be replaced, that is what this is for. */
static int check_free(const char *path, struct cox_err *err) {
  const long pid = cox_sqlite_holder(path);
  if (pid == 0) return 0;
  return cox_err_set(err, COX_EBUSY, "the store %s is in use by process %ld: stop it first", path, pid);
}

/* A name for what is there, of which nothing has a part yet: the clock may have been set back, or be asked twice in a second. */
static void name_kept(const char *path, char *kept) {
  char log[PATH_MAX + TAIL_MAX];
  const long long now = (long long)time(NULL);
  for (int n = 1; n < 1000; n++) {
    if (n == 1) snprintf(kept, PATH_MAX, "%s.before-%lld", path, now);
    else snprintf(kept, PATH_MAX, "%s.before-%lld-%d", path, now, n);
    snprintf(log, sizeof log, "%s-wal", kept);
    if (access(kept, F_OK) != 0 && access(log, F_OK) != 0) return;
  }
}

static const char *const tails[] = {"-wal", "-journal", ""};
enum { TAILS = sizeof tails / sizeof *tails };

static void put_back(const char *path, const char *kept, size_t count) {
  char from[PATH_MAX + TAIL_MAX], to[PATH_MAX + TAIL_MAX];
  while (count-- > 0) {
    snprintf(from, sizeof from, "%s%s", kept, tails[count]);
    snprintf(to, sizeof to, "%s%s", path, tails[count]);
    rename(from, to);
  }
}

/* With its log, so that the log can never be taken for one of the new file. `is_there`: there was something. Negative: nothing was changed. */
static int set_aside(const char *path, const char *kept, bool *is_there, struct cox_err *err) {
  char from[PATH_MAX + TAIL_MAX], to[PATH_MAX + TAIL_MAX];
  for (size_t i = 0; i < TAILS; i++) {
    snprintf(from, sizeof from, "%s%s", path, tails[i]);
    snprintf(to, sizeof to, "%s%s", kept, tails[i]);
    if (rename(from, to) == 0) {
      *is_there = true;
      continue;
    }
    if (errno == ENOENT) continue;
    cox_err_set(err, COX_ESYS, "moving %s to %s failed: %s", from, to, strerror(errno));
    put_back(path, kept, i);
    return COX_ESYS;
  }
  return 0;
}

/* From the moment in which the copy has its second name no start takes what it finds, until the copy is in its place. Negative: as before. */
static int exchange(const char *part, const char *to, char *kept, struct cox_err *err) {
  char whole[PATH_MAX], name[PATH_MAX];
  bool was_there = false;
  cox_sqlite_name_restored(to, whole);
  name_kept(to, name);
  if (rename(part, whole) != 0) return cox_err_set(err, COX_ESYS, "moving %s to %s failed: %s", part, whole, strerror(errno));
  int rc = cox_sync_folder_of(to, err);
  if (rc == 0) rc = set_aside(to, name, &was_there, err);
  if (rc == 0 && rename(whole, to) != 0) {
    rc = cox_err_set(err, COX_ESYS, "moving %s to %s failed: %s", whole, to, strerror(errno));
    put_back(to, name, TAILS);
  }
  if (rc != 0) unlink(whole);
  if (rc == 0 && was_there) snprintf(kept, PATH_MAX, "%s", name);
  return rc == 0 ? cox_sync_folder_of(to, err) : rc;
}

int cox_sqlite_restore(const char *from, const char *to, char *kept, struct cox_err *err) {
  char part[PATH_MAX];
  kept[0] = '\0';
  if (strlen(to) + TAIL_MAX >= sizeof part) return cox_err_set(err, COX_EINVAL, "the path %.200s… is too long", to);
  snprintf(part, sizeof part, "%s.part", to);
  int rc = cox_sqlite_check(from, err);
  if (rc == 0) rc = check_free(to, err);
  if (rc == 0) rc = copy_file(from, part, to, err);
  if (rc == 0) rc = exchange(part, to, kept, err);
  if (rc != 0) unlink(part);
  return rc;
}
