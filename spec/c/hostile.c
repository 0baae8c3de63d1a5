#include "hostile.h"

#include <dirent.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CASES_MAX = 1000 };

static void give_up(const char *what, const char *on) {
  fprintf(stderr, "%s: %s\n", what, on);
  exit(1);
}

static char *read_file(const char *path, size_t *len) {
  FILE *const file = fopen(path, "rb");
  if (file == NULL) give_up("cannot be read", path);
  fseek(file, 0, SEEK_END);
  const long size = ftell(file);
  rewind(file);
  char *const text = malloc((size_t)size + 1);
  *len = fread(text, 1, (size_t)size, file);
  text[*len] = '\0';
  fclose(file);
  return text;
}

/* ---- fixtures ---- */

static void copy_trimmed(char *out, size_t size, const char *begin, const char *end) {
  while (begin < end && *begin == ' ') begin++;
  while (end > begin && end[-1] == ' ') end--;
  snprintf(out, size, "%.*s", (int)(end - begin), begin);
}

/* "time all! | an endless loop | words" */
static void read_header(struct hostile *hostile, const char *line, const char *end) {
  static const char *const kinds[] = {"time", "memory", "error", "fine"};
  char kind[16], contexts[16];
  if (sscanf(line, "%15s %15s", kind, contexts) != 2) give_up("no header", line);
  *hostile = (struct hostile){.kind = HOSTILE_KINDS};
  for (int i = 0; i < HOSTILE_KINDS; i++) {
    if (strcmp(kinds[i], kind) == 0) hostile->kind = (enum hostile_kind)i;
  }
  if (hostile->kind == HOSTILE_KINDS) give_up("unknown kind", line);
  char *const mark = strchr(contexts, '!');
  hostile->needs_tick = mark != NULL;
  if (mark != NULL) *mark = '\0';
  snprintf(hostile->contexts, sizeof hostile->contexts, "%.7s", strcmp(contexts, "all") == 0 ? "pdjl" : contexts);
  const char *const name = memchr(line, '|', (size_t)(end - line));
  if (name == NULL) give_up("a case without a name", line);
  const char *const words = memchr(name + 1, '|', (size_t)(end - name - 1));
  copy_trimmed(hostile->name, sizeof hostile->name, name + 1, words != NULL ? words : end);
  if (words != NULL) copy_trimmed(hostile->expected, sizeof hostile->expected, words + 1, end);
}

static size_t read_fixture(const char *path, struct hostile *cases, size_t count) {
  size_t len;
  char *const text = read_file(path, &len);
  for (const char *at = text; at != NULL;) {
    if (strncmp(at, "== ", 3) != 0) give_up("a fixture begins with a header", path);
    const char *const line = at + 3, *const end = strchr(line, '\n');
    if (end == NULL || count >= CASES_MAX) give_up("too many cases, or one without code", path);
    const char *const next = strstr(end, "\n== ");
    struct hostile *const hostile = &cases[count++];
    read_header(hostile, line, end);
    hostile->code = strndup(end + 1, next != NULL && next > end ? (size_t)(next - end) : strlen(end + 1));
    at = next != NULL ? next + 1 : NULL;
  }
  free(text);
  return count;
}

struct hostile *hostile_read(size_t *count) {
  static const char *const files[] = {"loops", "patterns", "memory", "errors", "fine"};
  struct hostile *const cases = calloc(CASES_MAX, sizeof *cases);
  *count = 0;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[200];
    snprintf(path, sizeof path, "spec/fixtures/hostile/%s.txt", files[i]);
    *count = read_fixture(path, cases, *count);
  }
  return cases;
}

void hostile_free(struct hostile *cases, size_t count) {
  for (size_t i = 0; i < count; i++) free(cases[i].code);
  free(cases);
}

/* ---- folders ---- */

static void make_folders(char *path) {
  for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(path, 0700);
    *slash = '/';
  }
}

void hostile_write(const char *folder, const char *name, const char *bytes, size_t len) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  make_folders(path);
  FILE *const file = fopen(path, "wb");
  if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) give_up("cannot be written", path);
}

void hostile_put(const char *folder, const char *name, const char *format, ...) {
  char *text;
  va_list args;
  va_start(args, format);
  const int len = vasprintf(&text, format, args);
  va_end(args);
  if (len < 0) give_up("out of memory", name);
  hostile_write(folder, name, text, (size_t)len);
  free(text);
}

static void copy_shipped(const char *folder, const char *below) {
  char dir[64];
  snprintf(dir, sizeof dir, "scripts/%s", below);
  DIR *const shipped = opendir(dir);
  if (shipped == NULL) give_up("cannot be read", dir);
  for (const struct dirent *entry; (entry = readdir(shipped)) != NULL;) {
    if (strstr(entry->d_name, ".lua") == NULL) continue;
    char path[400], name[400];
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    snprintf(name, sizeof name, "%s/%s", below, entry->d_name);
    size_t len;
    char *const text = read_file(path, &len);
    hostile_write(folder, name, text, len);
    free(text);
  }
  closedir(shipped);
}

char *hostile_folder(void) {
  char *const folder = strdup("/tmp/coxswain-hostile-XXXXXX");
  if (mkdtemp(folder) == NULL) give_up("cannot be made", folder);
  static const char *const parts[] = {"commands", "policy", "drivers", "jobs"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) copy_shipped(folder, parts[i]);
  return folder;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place) {
  (void)info;
  (void)type;
  (void)place;
  return remove(path);
}

void hostile_remove(char *folder) {
  nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  free(folder);
}
