/* Paths become absolute when they are read, so that what they mean no longer depends on the working directory of a
 * process that may detach.                                                                                          */
#include "script/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024 };

static int read_all(int fd, struct cox_buf *buf) {
  char *const chunk = malloc(CHUNK_BYTES);
  int rc = chunk == NULL ? ENOMEM : 0;
  while (rc == 0) {
    const ssize_t count = read(fd, chunk, CHUNK_BYTES);
    if (count == 0) break;
    if (count < 0) rc = errno == EINTR ? 0 : errno;
    else if (!cox_buf_add(buf, chunk, (size_t)count)) rc = buf->limit - buf->len < (size_t)count ? EFBIG : ENOMEM;
  }
  free(chunk);
  return rc;
}

int cox_config_file_read(struct cox_buf *buf, const char *what, const char *path, struct cox_err *err) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  const int rc = fd < 0 ? errno : read_all(fd, buf);
  if (fd >= 0) close(fd);
  if (rc == 0)
    return cox_buf_add(buf, "", 0) ? 0 : cox_err_at(err, COX_ENOMEM, path, 0, "reading %s failed: out of memory", what);
  if (rc == EFBIG) {
    return cox_err_at(err, COX_EFULL, path, 0, "reading %s failed: it is longer than %zu bytes", what, buf->limit);
  }
  return cox_err_at(err, rc == ENOENT ? COX_ENOENT : COX_ESYS, path, 0, "reading %s failed: %s", what, strerror(rc));
}

static char *join(const char *folder, int folder_len, const char *path) {
  char *joined;
  return asprintf(&joined, "%.*s/%s", folder_len, folder, path) < 0 ? NULL : joined;
}

static char *from_here(const char *path) {
  if (*path == '/') return strdup(path);
  char *const here = getcwd(NULL, 0);
  if (here == NULL) return NULL;
  char *const located = join(here, strcmp(here, "/") == 0 ? 0 : (int)strlen(here), path);
  free(here);
  return located;
}

char *cox_config_file_locate(const char *file, const char *path) {
  const char *const slash = file != NULL ? strrchr(file, '/') : NULL;
  if (*path == '/' || slash == NULL) return from_here(path);
  char *const joined = join(file, (int)(slash - file), path);
  if (joined == NULL) return NULL;
  char *const located = from_here(joined);
  free(joined);
  return located;
}
