#include "script/sources.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/utf8.h"

enum { DEPTH_MAX = 8, NAME_MAX_BYTES = 512 };

struct reading {
  struct cox_sources *sources;
  struct cox_faults *faults;
  char *root; /* resolved, to recognise links that lead out of it */
  const char *dir; /* as people wrote it */
  bool is_trusted;
  unsigned from;
  unsigned visits;   /* folders read so far */
  size_t bytes_left; /* of all scripts together */
};

/* A folder on the way down. */
struct place {
  const struct place *above;
  dev_t device;
  ino_t number;
  int depth;
};

static bool is_utf8(const char *text, size_t len) {
  for (size_t at = 0, bytes; at < len; at += bytes) {
    bytes = cox_utf8_bytes(text + at, len - at);
    if (bytes == 0) return false;
  }
  return true;
}

static struct cox_source *add(struct cox_sources *sources) {
  if (sources->count == sources->capacity) {
    const size_t capacity = sources->capacity == 0 ? 32 : sources->capacity * 2;
    struct cox_source *const list = realloc(sources->list, capacity * sizeof *list);
    if (list == NULL) return NULL;
    sources->list = list;
    sources->capacity = capacity;
  }
  struct cox_source *const source = &sources->list[sources->count++];
  *source = (struct cox_source){0};
  return source;
}

/* As much of a file as there is, and one byte more than the limit at most, with room for a NUL. NULL: out of memory. `size` is what
 * it seems to have; it may be growing.                                                                                            */
static char *read_bytes(FILE *file, size_t size, size_t *len) {
  char *text = NULL;
  *len = 0;
  for (size_t room = size + 1;; room *= 2) {
    if (room > COX_SOURCES_FILE_BYTES_MAX + 1) room = COX_SOURCES_FILE_BYTES_MAX + 1;
    char *const larger = realloc(text, room + 1);
    if (larger == NULL) {
      free(text);
      return NULL;
    }
    text = larger;
    *len += fread(text + *len, 1, room - *len, file);
    if (*len < room || room > COX_SOURCES_FILE_BYTES_MAX) return text;
  }
}

/* Removed since its folder was listed, as by an editor that puts another one in its place: not so a link that leads nowhere. */
static bool is_gone(const char *path) {
  struct stat info;
  return errno == ENOENT && lstat(path, &info) != 0 && errno == ENOENT;
}

/* Whole file, NUL-terminated; NULL with a fault, or without one when it is gone. */
static char *read_text(struct reading *reading, const char *path, size_t size, size_t *len) {
  FILE *const file = fopen(path, "rb");
  if (file == NULL && is_gone(path)) return NULL;
  if (file == NULL) {
    cox_faults_add(reading->faults, path, 0, "reading the script failed: %s", strerror(errno));
    return NULL;
  }
  char *const text = read_bytes(file, size, len);
  const bool is_whole = text != NULL && ferror(file) == 0;
  fclose(file);
  if (!is_whole) {
    cox_faults_add(reading->faults, path, 0, "reading the script failed: %s", text == NULL ? "out of memory" : "a read error");
  } else if (*len > COX_SOURCES_FILE_BYTES_MAX) {
    cox_faults_add(reading->faults, path, 0, "the script is larger than %d bytes: split it", COX_SOURCES_FILE_BYTES_MAX);
  } else if (*len > reading->bytes_left) {
    cox_faults_add(reading->faults, reading->dir, 0, "the scripts have more than %d bytes together", COX_SOURCES_BYTES_MAX);
  } else if (!is_utf8(text, *len)) {
    cox_faults_add(reading->faults, path, 0, "the script is not text in UTF-8");
  } else if (memchr(text, '\0', *len) != NULL) { /* the store could not keep it */
    cox_faults_add(reading->faults, path, 0, "the script has a zero byte in it: it is not text");
  } else {
    text[*len] = '\0';
    reading->bytes_left -= *len;
    return text;
  }
  free(text);
  return NULL;
}

/* False: with a fault, or it is gone. */
static bool stays_inside(const struct reading *reading, const char *path) {
  char *const real = realpath(path, NULL);
  const size_t len = strlen(reading->root);
  const bool is_inside = real != NULL && strncmp(real, reading->root, len) == 0 && (real[len] == '/' || real[len] == '\0');
  if (real == NULL && is_gone(path)) return false;
  if (real == NULL) cox_faults_add(reading->faults, path, 0, "reading the script failed: %s", strerror(errno));
  else if (!is_inside) cox_faults_add(reading->faults, path, 0, "the script is a link that leads out of %s: copy the file instead", reading->dir);
  free(real);
  return is_inside;
}

static void read_file(struct reading *reading, const char *path, const char *name, size_t size) {
  if (!stays_inside(reading, path)) return;
  if (!is_utf8(name, strlen(name))) {
    cox_faults_add(reading->faults, path, 0, "the script's name is not text in UTF-8: rename it");
    return;
  }
  if (reading->sources->count >= COX_SOURCES_FILES_MAX) {
    cox_faults_add(reading->faults, reading->dir, 0, "there are more than %d scripts in it", COX_SOURCES_FILES_MAX);
    return;
  }
  size_t len;
  char *const text = read_text(reading, path, size, &len);
  if (text == NULL) return;
  struct cox_source *const source = add(reading->sources);
  if (source == NULL) {
    free(text);
    cox_faults_add(reading->faults, path, 0, "reading the script failed: out of memory");
    return;
  }
  *source = (struct cox_source){.name = strdup(name), .path = strdup(path), .text = text, .len = len,
                                .is_trusted = reading->is_trusted, .from = reading->from};
  if (source->name == NULL || source->path == NULL) cox_faults_add(reading->faults, path, 0, "reading the script failed: out of memory");
}

static bool is_script(const char *name) {
  const size_t len = strlen(name);
  return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static void read_folder(struct reading *reading, const char *below, const struct place *above);

/* A link may lead to a folder that is being read. */
static bool leads_back(const struct place *above, const struct stat *info) {
  while (above != NULL && (above->device != info->st_dev || above->number != info->st_ino)) above = above->above;
  return above != NULL;
}

static void enter(struct reading *reading, const char *path, const char *name, const struct stat *info, const struct place *above) {
  const struct place here = {.above = above, .device = info->st_dev, .number = info->st_ino, .depth = above != NULL ? above->depth + 1 : 0};
  if (leads_back(above, info)) {
    cox_faults_add(reading->faults, path, 0, "the link leads back to a folder that it is in: remove it");
  } else if (reading->visits == COX_SOURCES_VISITS_MAX) {
    cox_faults_add(reading->faults, reading->dir, 0, "there are more than %d folders in it", COX_SOURCES_VISITS_MAX);
  } else if (here.depth > DEPTH_MAX) {
    cox_faults_add(reading->faults, path, 0, "the folder is nested too deeply: scripts are read %d folders deep", DEPTH_MAX);
  } else {
    reading->visits++;
    read_folder(reading, name, &here);
  }
}

static void read_entry(struct reading *reading, const char *dir, const char *below, const char *entry, const struct place *here) {
  char path[PATH_MAX + NAME_MAX + 2], name[NAME_MAX_BYTES];
  struct stat info;
  const int len = snprintf(name, sizeof name, "%s%s%s", below, *below != '\0' ? "/" : "", entry);
  snprintf(path, sizeof path, "%s/%s", dir, entry);
  if (len < 0 || (size_t)len >= sizeof name) {
    cox_faults_add(reading->faults, path, 0, "reading the script failed: its path is too long");
  } else if (stat(path, &info) != 0) {
    const int reason = errno;
    if (!is_gone(path)) cox_faults_add(reading->faults, path, 0, "reading the script failed: %s", strerror(reason));
  } else if (S_ISDIR(info.st_mode)) {
    enter(reading, path, name, &info, here);
  } else if (S_ISREG(info.st_mode) && is_script(entry)) {
    read_file(reading, path, name, (size_t)info.st_size);
  } else if (is_script(entry)) {
    cox_faults_add(reading->faults, path, 0, "the script is neither a file nor a folder: remove it, or give it another name");
  }
}

static void read_folder(struct reading *reading, const char *below, const struct place *here) {
  char dir[PATH_MAX];
  snprintf(dir, sizeof dir, "%s%s%s", reading->dir, *below != '\0' ? "/" : "", below);
  DIR *const folder = opendir(dir);
  if (folder == NULL && *below != '\0' && is_gone(dir)) return;
  if (folder == NULL) {
    cox_faults_add(reading->faults, dir, 0, "reading the folder of scripts failed: %s", strerror(errno));
    return;
  }
  for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] != '.') read_entry(reading, dir, below, entry->d_name, here); /* a dot: also what editors leave */
  }
  closedir(folder);
}

static size_t bytes_of(const struct cox_sources *sources) {
  size_t bytes = 0;
  for (size_t i = 0; i < sources->count; i++) bytes += sources->list[i].len;
  return bytes;
}

static struct reading reading_of(struct cox_sources *sources, const char *dir, unsigned from, bool is_trusted, struct cox_faults *faults) {
  return (struct reading){.sources = sources,
                          .faults = faults,
                          .dir = dir,
                          .is_trusted = is_trusted,
                          .from = from,
                          .bytes_left = COX_SOURCES_BYTES_MAX - bytes_of(sources),
                          .root = realpath(dir, NULL)};
}

static void read_root(struct cox_sources *sources, const char *dir, unsigned from, bool is_trusted, struct cox_faults *faults) {
  struct stat info;
  struct reading reading = reading_of(sources, dir, from, is_trusted, faults);
  if (reading.root == NULL || stat(reading.root, &info) != 0) {
    cox_faults_add(faults, dir, 0, "the folder of %s cannot be read: %s; give its path with `scripts = …`",
                   is_trusted ? "the trusted library" : "scripts", strerror(errno));
    free(reading.root);
    return;
  }
  enter(&reading, dir, "", &info, NULL);
  free(reading.root);
}

/* One file of cases and what stands beside it; nothing else of that folder, which may hold anything. */
static void read_case(struct cox_sources *sources, const char *dir, const char *name, struct cox_faults *faults) {
  static const char support[] = "spec/support";
  char path[PATH_MAX];
  struct stat info;
  struct reading reading = reading_of(sources, dir, 0, false, faults);
  snprintf(path, sizeof path, "%s/%s", dir, name);
  if (reading.root == NULL || stat(path, &info) != 0) {
    cox_faults_add(faults, path, 0, "reading the cases failed: %s", strerror(errno));
    goto out;
  }
  read_file(&reading, path, name, (size_t)info.st_size);
  snprintf(path, sizeof path, "%s/%s", dir, support);
  if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) enter(&reading, path, support, &info, NULL);
out:
  free(reading.root);
}

static int by_name(const void *left, const void *right) {
  const struct cox_source *const a = left, *const b = right;
  if (a->is_trusted != b->is_trusted) return a->is_trusted ? 1 : -1;
  return strcmp(a->name, b->name);
}

static int by_name_and_folder(const void *left, const void *right) {
  const struct cox_source *const a = left, *const b = right;
  const int order = by_name(left, right);
  return order != 0 ? order : (a->from > b->from) - (a->from < b->from);
}

static void free_source(struct cox_source *source) {
  free(source->name);
  free(source->path);
  free(source->text);
}

/* Of each name the first folder's stays. */
static void lay_over(struct cox_sources *sources) {
  size_t kept = 0;
  for (size_t i = 0; i < sources->count; i++) {
    struct cox_source *const source = &sources->list[i];
    if (kept > 0 && by_name(&sources->list[kept - 1], source) == 0) {
      sources->list[kept - 1].shadows |= UINT32_C(1) << source->from;
      free_source(source);
    } else {
      sources->list[kept++] = *source;
    }
  }
  sources->count = kept;
}

/* ---- hashes ---- */

#define FNV_START 0xcbf29ce484222325ULL

static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t len) {
  for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3ULL; /* FNV-1a */
  return hash;
}

uint64_t cox_sources_hash(const char *text, size_t len) { return hash_bytes(FNV_START, text, len); }

void cox_sources_hash_text(uint64_t hash, char text[COX_SOURCES_HASH_TEXT]) {
  snprintf(text, COX_SOURCES_HASH_TEXT, "%016llx", (unsigned long long)hash);
}

static void add_hash(uint64_t *hash, const struct cox_source *source) {
  *hash = hash_bytes(*hash, source->name, strlen(source->name) + 1);
  *hash = hash_bytes(*hash, (const char *)&source->hash, sizeof source->hash);
}

static bool is_of_drivers(const struct cox_source *source) {
  static const char *const others[] = {"policy/", "commands/", "jobs/"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (!source->is_trusted && strncmp(source->name, others[i], strlen(others[i])) == 0) return false;
  }
  return true;
}

/* Cases of `coxswain test` run in no daemon: another one is no reason to exchange the scripts. */
static bool is_case(const struct cox_source *source) { return !source->is_trusted && strncmp(source->name, "spec/", 5) == 0; }

static void hash_all(struct cox_sources *sources) {
  sources->hash = sources->scripts_hash = sources->drivers_hash = FNV_START;
  for (size_t i = 0; i < sources->count; i++) {
    struct cox_source *const source = &sources->list[i];
    source->hash = cox_sources_hash(source->text, source->len);
    if (is_case(source)) continue;
    add_hash(&sources->hash, source);
    if (!source->is_trusted) add_hash(&sources->scripts_hash, source);
    if (is_of_drivers(source)) add_hash(&sources->drivers_hash, source);
  }
}

/* ---- sets ---- */

struct cox_sources *cox_sources_begin(const json_t *folders) {
  struct cox_sources *const sources = calloc(1, sizeof *sources);
  if (sources == NULL) return NULL;
  atomic_init(&sources->references, 1);
  sources->folders = json_deep_copy(folders);
  return sources;
}

bool cox_sources_add(struct cox_sources *sources, const char *name, const char *path, const char *text, size_t len, unsigned from) {
  struct cox_source made = {.name = strdup(name), .path = strdup(path), .text = malloc(len + 1), .len = len, .from = from};
  struct cox_source *const place = made.name != NULL && made.path != NULL && made.text != NULL ? add(sources) : NULL;
  if (place == NULL) {
    free_source(&made);
    return false;
  }
  memcpy(made.text, text, len);
  made.text[len] = '\0';
  *place = made;
  return true;
}

/* Takes `sources`. */
static struct cox_sources *finish(struct cox_sources *sources, bool is_whole) {
  if (!is_whole) {
    cox_sources_release(sources);
    return NULL;
  }
  if (sources->count > 0) qsort(sources->list, sources->count, sizeof *sources->list, by_name_and_folder);
  lay_over(sources);
  hash_all(sources);
  return sources;
}

struct cox_sources *cox_sources_end(struct cox_sources *sources, const char *library_dir, struct cox_faults *faults) {
  const size_t before = faults->count;
  read_root(sources, library_dir, 0, true, faults);
  return finish(sources, faults->count == before);
}

struct cox_sources *cox_sources_read_case(const json_t *folders, const char *library_dir, const char *dir, const char *name,
                                          struct cox_faults *faults) {
  const size_t before = faults->count;
  struct cox_sources *const sources = cox_sources_begin(folders);
  if (sources == NULL) {
    cox_faults_add(faults, NULL, 0, "reading the scripts failed: out of memory");
    return NULL;
  }
  const unsigned first = name != NULL ? 1 : 0; /* the case's folder lies over the others */
  if (name != NULL) read_case(sources, dir, name, faults);
  for (size_t i = 0; i < json_array_size(folders); i++) {
    read_root(sources, json_string_value(json_array_get(folders, i)), (unsigned)i + first, false, faults);
  }
  if (faults->count == before) read_root(sources, library_dir, 0, true, faults); /* too many of theirs are no fault of the library's */
  return finish(sources, faults->count == before);
}

struct cox_sources *cox_sources_read_folders(const json_t *folders, const char *library_dir, struct cox_faults *faults) {
  return cox_sources_read_case(folders, library_dir, NULL, NULL, faults);
}

struct cox_sources *cox_sources_read(const char *scripts_dir, const char *library_dir, struct cox_faults *faults) {
  json_t *const folders = json_pack("[s]", scripts_dir);
  struct cox_sources *const sources = cox_sources_read_folders(folders, library_dir, faults);
  json_decref(folders);
  return sources;
}

struct cox_sources *cox_sources_hold(struct cox_sources *sources) {
  atomic_fetch_add_explicit(&sources->references, 1, memory_order_relaxed);
  return sources;
}

void cox_sources_release(struct cox_sources *sources) {
  if (sources == NULL || atomic_fetch_sub_explicit(&sources->references, 1, memory_order_acq_rel) != 1) return;
  for (size_t i = 0; i < sources->count; i++) free_source(&sources->list[i]);
  if (sources->alive != NULL) atomic_fetch_sub(sources->alive, 1);
  json_decref(sources->folders);
  free(sources->list);
  free(sources);
}

const struct cox_source *cox_sources_find(const struct cox_sources *sources, const char *name, bool is_trusted) {
  const struct cox_source key = {.name = (char *)(uintptr_t)name, .is_trusted = is_trusted};
  return sources->count == 0 ? NULL : bsearch(&key, sources->list, sources->count, sizeof *sources->list, by_name);
}

const char *cox_sources_path(const struct cox_sources *sources, const char *name) {
  const struct cox_source *source = cox_sources_find(sources, name, false);
  if (source == NULL) source = cox_sources_find(sources, name, true);
  return source != NULL ? source->path : name;
}

void cox_sources_each(const struct cox_sources *sources, const char *folder,
                      void (*each)(void *arg, const struct cox_source *source, const char *stem), void *arg) {
  const size_t len = strlen(folder);
  for (size_t i = 0; i < sources->count; i++) {
    const struct cox_source *const source = &sources->list[i];
    if (source->is_trusted || strncmp(source->name, folder, len) != 0 || source->name[len] != '/') continue;
    const char *const file = source->name + len + 1;
    if (strchr(file, '/') != NULL) continue;
    char stem[NAME_MAX_BYTES];
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(file) - 4), file);
    each(arg, source, stem);
  }
}
