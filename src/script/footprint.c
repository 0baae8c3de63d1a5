#include "script/footprint.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "script/sources.h"

enum { DEPTH_MAX = 8 /* as far as scripts are read */ };

struct walk {
  uint64_t sum; /* of what is known of each file: in whichever order a folder tells them */
  unsigned visits;
};

static bool is_script(const char *name) {
  const size_t len = strlen(name);
  return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static void add(struct walk *walk, const char *path, const struct stat *info) {
  char text[PATH_MAX + 256];
  const int len = snprintf(text, sizeof text, "%s %llu %llu %lld %lld.%ld %lld.%ld %o", path, (unsigned long long)info->st_dev,
                           (unsigned long long)info->st_ino, (long long)info->st_size, (long long)info->st_mtim.tv_sec, info->st_mtim.tv_nsec,
                           (long long)info->st_ctim.tv_sec, info->st_ctim.tv_nsec, (unsigned)info->st_mode);
  walk->sum += cox_sources_hash(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

/* A folder's own times change with files that are no scripts: only that it is there counts. */
static void enter(struct walk *walk, const char *path, int depth) {
  const struct stat nothing = {0};
  if (walk->visits++ >= COX_SOURCES_VISITS_MAX) return;
  DIR *const folder = opendir(path);
  add(walk, path, &(struct stat){.st_size = folder != NULL ? 1 : -errno});
  if (folder == NULL) return;
  for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char below[PATH_MAX];
    struct stat info;
    if (entry->d_name[0] == '.') continue;
    const int len = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
    if (len >= (int)sizeof below) continue;
    if (stat(below, &info) != 0) add(walk, below, &nothing); /* a link to nowhere may lead somewhere later */
    else if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX) enter(walk, below, depth + 1);
    else if (is_script(entry->d_name)) add(walk, below, &info);
  }
  closedir(folder);
}

uint64_t cox_footprint_of(const json_t *folders) {
  struct walk walk = {0};
  for (size_t i = 0; i < json_array_size(folders); i++) enter(&walk, json_string_value(json_array_get(folders, i)), 0);
  return walk.sum;
}
