/* The text of all scripts of one policy, read once: an immutable, shared set, so that every VM of a generation is built from
 * the very same bytes, whatever happens to the files meanwhile.                                                           */
#ifndef COX_SCRIPT_SOURCES_H
#define COX_SCRIPT_SOURCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cox_source {
  char *name;   /* "commands/start_poc.lua", with / whatever the folder; also the chunk's name */
  char *path;   /* as shown to people: folder and name */
  char *text;
  size_t len;
  bool is_trusted; /* of the library */
};

struct cox_sources {
  atomic_uint references;
  struct cox_source *list; /* sorted by name; scripts and library apart by is_trusted */
  size_t count, capacity;
  uint64_t hash; /* of all names and bytes */
};

enum {
  COX_SOURCES_FILES_MAX = 4096,
  COX_SOURCES_FILE_BYTES_MAX = 1024 * 1024,
};

/* Reads every *.lua below `scripts_dir` (policy) and `library_dir` (trusted). Links that leave the folder, huge files and bytes
 * that are not UTF-8 are faults. One reference, or NULL with every fault in `faults`.                                          */
struct cox_sources *cox_sources_read(const char *scripts_dir, const char *library_dir, struct cox_faults *faults);
struct cox_sources *cox_sources_hold(struct cox_sources *sources);
void cox_sources_release(struct cox_sources *sources);
/* By name; NULL: none. */
const struct cox_source *cox_sources_find(const struct cox_sources *sources, const char *name, bool is_trusted);
/* The path that people know a chunk by; `name` itself when it is none of ours. */
const char *cox_sources_path(const struct cox_sources *sources, const char *name);
/* Calls back for each script right below `folder` ("commands") with the name of its file without ".lua". */
void cox_sources_each(const struct cox_sources *sources, const char *folder,
                      void (*each)(void *arg, const struct cox_source *source, const char *stem), void *arg);

#endif
