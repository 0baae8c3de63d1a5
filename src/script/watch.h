/* Notices when somebody edits the scripts: every folder and what is below it, by inotify. Editors write, rename, and replace, and a
 * folder may be exchanged as a whole; all of it comes down to "look again", once it has been quiet for a moment. One thread.        */
#ifndef COX_SCRIPT_WATCH_H
#define COX_SCRIPT_WATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
  COX_WATCH_FOLDERS_MAX = 1024,
  COX_WATCH_QUIET_MS = 50,  /* so long without a change */
  COX_WATCH_PATIENT_MS = 250, /* and so long at most after the first one */
  COX_WATCH_LOOK_MS = 500,    /* between two looks at what the system does not tell of */
};

struct cox_watched {
  int number;
  bool has_scripts; /* or is on the way to a folder that has */
};

struct cox_watch {
  int fd; /* -1: nothing is watched */
  json_t *folders;
  struct cox_watched *list;
  size_t count;
  const char *lack;          /* why not all of them can be watched, so that they are looked at now and then; NULL: they are */
  const char *remedy;        /* against that */
  uint64_t footprint;        /* of the last look */
  int64_t look_us;           /* when the next one is due */
  int64_t first_us, last_us; /* changes seen and not told; 0: none */
};

/* Begins to watch; `folders` is held. When the system has no room for it a line is logged, and the files are looked at instead, every
 * COX_WATCH_LOOK_MS, until there is room again at a change.                                                                          */
void cox_watch_init(struct cox_watch *watch, json_t *folders);
/* One that watches nothing. */
void cox_watch_init_none(struct cox_watch *watch);
/* Other folders from now on, held; nothing is lost of what is to be told. */
void cox_watch_move(struct cox_watch *watch, json_t *folders);
void cox_watch_fini(struct cox_watch *watch);
/* Sleeps until `wake_fd` is readable, it is `until_us` (monotonic; INT64_MAX: never), or there was a change and it is quiet again. True: there
 * was.                                                                                                                               */
bool cox_watch_wait(struct cox_watch *watch, int wake_fd, int64_t until_us);

#endif
