/* The file that names the daemon's process. Its lock, not its existence, says that a daemon runs. */
#ifndef COX_PIDFILE_H
#define COX_PIDFILE_H

#include "base/err.h"

struct cox_pidfile {
  int fd; /* -1: there is none */
  char *path; /* owned, absolute */
};

/* Locks it; the lock goes along through fork. 0, COX_EBUSY (who holds it), COX_ESYS. `path` NULL: none is wanted. */
int cox_pidfile_open(struct cox_pidfile *pidfile, const char *path, struct cox_err *err);
/* Writes the calling process's number. 0 or COX_ESYS. */
int cox_pidfile_write(struct cox_pidfile *pidfile, struct cox_err *err);
/* Lets go of it in a process that has forked: the file and the lock are the child's. */
void cox_pidfile_leave(struct cox_pidfile *pidfile);
/* Removes the file, then lets it go. */
void cox_pidfile_close(struct cox_pidfile *pidfile);

#endif
