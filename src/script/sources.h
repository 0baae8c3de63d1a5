/* The text of all scripts of one policy, read once: an immutable, shared set, so that every VM of a generation is built from
 * the very same bytes, whatever happens to the files meanwhile.                                                           */
#ifndef COX_SCRIPT_SOURCES_H
#define COX_SCRIPT_SOURCES_H

#include <jansson.h>
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
  uint64_t hash;    /* of the text */
  bool is_trusted;  /* of the library */
  unsigned from;    /* which of `folders` */
  uint32_t shadows; /* bits: the folders behind it that have a script of that name too */
};

struct cox_sources {
  atomic_uint references;
  struct cox_source *list; /* sorted by name; scripts and library apart by is_trusted */
  size_t count, capacity;
  json_t *folders;       /* as people wrote them, the first one wins */
  uint64_t hash;         /* of all names and bytes, but for cases (spec/) */
  uint64_t scripts_hash; /* the same without the library: what an operator calls the content */
  uint64_t drivers_hash; /* of what drivers are made of: all but policy, commands and jobs */
  atomic_size_t *alive;  /* counts down when it is freed; NULL: nobody counts */
};

enum {
  COX_SOURCES_FILES_MAX = 4096,
  COX_SOURCES_FILE_BYTES_MAX = 1024 * 1024,
  COX_SOURCES_BYTES_MAX = 64 * 1024 * 1024, /* of all together */
  COX_SOURCES_VISITS_MAX = 1024, /* folders that are read, by whatever way */
  COX_SOURCES_FOLDERS_MAX = 16,
};

/* Reads every *.lua below `scripts_dir` (policy) and `library_dir` (trusted). Links that leave the folder or lead back into it, huge
 * files and bytes that are not UTF-8 are faults; a file that is removed meanwhile is none. One reference, or NULL with every fault in `faults`.                                          */
struct cox_sources *cox_sources_read(const char *scripts_dir, const char *library_dir, struct cox_faults *faults);
/* The same from several folders (a list of texts), one laid over the other: of scripts with the same name the first folder's counts. */
struct cox_sources *cox_sources_read_folders(const json_t *folders, const char *library_dir, struct cox_faults *faults);
/* The same with a file of cases that stands in none of them: `name` ("spec/…_spec.lua") below `dir`, and what is in spec/support there.
 * No name: as cox_sources_read_folders.                                                                                              */
struct cox_sources *cox_sources_read_case(const json_t *folders, const char *library_dir, const char *dir, const char *name,
                                          struct cox_faults *faults);
/* Made by hand, for scripts that were kept elsewhere: begin, add each, then end, which adds the library. `begin` gives NULL and `add`
 * false only when out of memory; `end` gives NULL with the reasons in `faults`, and takes the sources then too.                       */
struct cox_sources *cox_sources_begin(const json_t *folders);
bool cox_sources_add(struct cox_sources *sources, const char *name, const char *path, const char *text, size_t len, unsigned from);
struct cox_sources *cox_sources_end(struct cox_sources *sources, const char *library_dir, struct cox_faults *faults);
/* FNV-1a, as for `hash` of a script. */
uint64_t cox_sources_hash(const char *text, size_t len);
enum { COX_SOURCES_HASH_TEXT = 17 };
/* As people see it. */
void cox_sources_hash_text(uint64_t hash, char text[COX_SOURCES_HASH_TEXT]);
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
