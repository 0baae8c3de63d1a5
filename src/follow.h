/* What the configuration file of a running daemon says now, for whoever loads the scripts anew. */
#ifndef COX_FOLLOW_H
#define COX_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"

struct cox_follow {
  const char *path;             /* of the configuration, borrowed */
  const char *const *overrides; /* of -D, borrowed */
  struct stat seen;             /* the file that was read last */
  bool has_seen;
};

/* cox_daemon_follow calls it (`ctx` is a struct cox_follow), one thread at a time: the folders of scripts, a new reference. NULL without a
 * fault: the file is the one that was read last; with faults: it is broken. Reads it only when it is another one.                       */
json_t *cox_follow_folders(void *ctx, struct cox_faults *faults);

#endif
