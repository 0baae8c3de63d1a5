#include "pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/holder.h"

enum { TRIES = 10 };

static int refuse(struct cox_pidfile *pidfile, const char *path, int reason, struct cox_err *err) {
  char text[32] = "", holder[COX_HOLDER_TEXT] = "another process";
  if (reason != EWOULDBLOCK) return cox_err_set(err, COX_ESYS, "the pidfile %s cannot be used: %s", path, strerror(reason));
  const ssize_t len = pread(pidfile->fd, text, sizeof text - 1, 0);
  const long pid = len > 0 ? strtol(text, NULL, 10) : 0;
  if (pid > 0) cox_holder_name((pid_t)pid, holder);
  return cox_err_set(err, COX_EBUSY, "the pidfile %s is held by %s: stop it first, or choose another pidfile", path, holder);
}

/* The file may have been removed by its last holder between open and lock: then the lock is on nothing. */
static bool is_still_there(const struct cox_pidfile *pidfile, const char *path) {
  struct stat open_one, named;
  return fstat(pidfile->fd, &open_one) == 0 && stat(path, &named) == 0 && open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

int cox_pidfile_open(struct cox_pidfile *pidfile, const char *path, struct cox_err *err) {
  *pidfile = (struct cox_pidfile){.fd = -1};
  if (path == NULL) return 0;
  for (int i = 0; i < TRIES; i++) {
    pidfile->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (pidfile->fd < 0) return refuse(pidfile, path, errno, err);
    if (flock(pidfile->fd, LOCK_EX | LOCK_NB) != 0) {
      const int rc = refuse(pidfile, path, errno, err);
      close(pidfile->fd);
      pidfile->fd = -1;
      return rc;
    }
    pidfile->path = realpath(path, NULL);
    if (pidfile->path != NULL && is_still_there(pidfile, pidfile->path)) return 0;
    free(pidfile->path);
    close(pidfile->fd);
    *pidfile = (struct cox_pidfile){.fd = -1};
  }
  return cox_err_set(err, COX_EBUSY, "the pidfile %s comes and goes: is another coxswain starting or stopping?", path);
}

int cox_pidfile_write(struct cox_pidfile *pidfile, struct cox_err *err) {
  char text[32];
  if (pidfile->fd < 0) return 0;
  const int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (ftruncate(pidfile->fd, 0) == 0 && pwrite(pidfile->fd, text, (size_t)len, 0) == len) return 0;
  return cox_err_set(err, COX_ESYS, "writing the pidfile %s failed: %s", pidfile->path, strerror(errno));
}

void cox_pidfile_leave(struct cox_pidfile *pidfile) {
  if (pidfile->fd >= 0) close(pidfile->fd);
  free(pidfile->path);
  *pidfile = (struct cox_pidfile){.fd = -1};
}

void cox_pidfile_close(struct cox_pidfile *pidfile) {
  if (pidfile->fd >= 0) unlink(pidfile->path); /* while it is locked: nobody else's */
  cox_pidfile_leave(pidfile);
}
