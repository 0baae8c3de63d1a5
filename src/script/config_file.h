/* Files and paths of the configuration. */
#ifndef COX_SCRIPT_CONFIG_FILE_H
#define COX_SCRIPT_CONFIG_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Reads a whole file into an empty `buf`; `what` ("the nodes file") begins the message. 0, COX_ENOENT, COX_ESYS or
 * COX_EFULL when it is longer than buf->limit.                                                                       */
int cox_config_file_read(struct cox_buf *buf, const char *what, const char *path, struct cox_err *err);

/* `path` as an absolute path, seen from the folder of `file`; `file` NULL: from the working directory. Not resolved any
 * further, and free to not exist. To be freed; NULL: out of memory, or the working directory is gone.                */
char *cox_config_file_locate(const char *file, const char *path);

#endif
