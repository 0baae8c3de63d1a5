/* The socket file: made so that nobody else can connect, taken over when its owner is gone, removed only when it is ours. */
#ifndef COX_CONSOLE_CONTROL_LISTEN_H
#define COX_CONSOLE_CONTROL_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "core/console.h"

struct cox_socket_file {
  int fd;
  char *path; /* owned */
  dev_t device;
  ino_t inode;
};

/* A listening, non-blocking socket of mode 0600. 0, COX_EBUSY (the text says which process holds it), COX_EINVAL, COX_ESYS. */
int cox_socket_file_open(struct cox_socket_file *file, const char *path, struct cox_err *err);
/* Closes, and removes the file if it is still this one. */
void cox_socket_file_close(struct cox_socket_file *file);
/* A blocking connection to it, for clients. The descriptor; COX_ENOENT: nobody listens there; COX_ESYS. Any length of path. */
int cox_socket_file_connect(const char *path, struct cox_err *err);
/* Who is at the other end. False: neither root nor the user of this process. */
bool cox_socket_file_peer(int fd, struct cox_console_caller *caller);

#endif
