#include "script/watch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
  DEPTH_MAX = 8, /* as far as scripts are read */
  CHANGES = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
};

/* ---- what is watched ---- */

static bool is_listed(const int *list, size_t count, int number) {
  for (size_t i = 0; i < count; i++) {
    if (list[i] == number) return true;
  }
  return false;
}

/* The number of the watch, -1: there is none, as when the folder is gone. Watching a folder twice gives the same number. */
static int add(struct cox_watch *watch, const char *path) {
  const int number = inotify_add_watch(watch->fd, path, CHANGES);
  if (number < 0 && errno == ENOSPC) watch->is_full = true;
  if (number < 0 || is_listed(watch->list, watch->count, number)) return number;
  if (watch->count < COX_WATCH_FOLDERS_MAX) watch->list[watch->count++] = number;
  else watch->is_full = true;
  return number;
}

static void add_below(struct cox_watch *watch, const char *path, int depth) {
  if (add(watch, path) < 0 || depth == DEPTH_MAX) return;
  DIR *const folder = opendir(path);
  if (folder == NULL) return;
  for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char below[PATH_MAX];
    struct stat info;
    if (entry->d_name[0] == '.') continue;
    const int len = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
    if (len < (int)sizeof below && stat(below, &info) == 0 && S_ISDIR(info.st_mode)) add_below(watch, below, depth + 1);
  }
  closedir(folder);
}

/* Splits a folder's path into the folder above and its own name. */
static void split(const char *path, char above[PATH_MAX], char name[NAME_MAX + 1]) {
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  size_t cut = len;
  while (cut > 0 && path[cut - 1] != '/') cut--;
  snprintf(name, NAME_MAX + 1, "%.*s", (int)(len - cut), path + cut);
  if (cut == 0) snprintf(above, PATH_MAX, ".");
  else snprintf(above, PATH_MAX, "%.*s", (int)(cut > 1 ? cut - 1 : 1), path);
}

/* The folders as they are now; what is no part of them any more is left. Of the folder above only the name counts: there the whole
 * may be exchanged, by a rename or a link.                                                                                        */
static void watch_all(struct cox_watch *watch) {
  int *const before = watch->list;
  const size_t count = watch->count;
  watch->list = calloc(COX_WATCH_FOLDERS_MAX, sizeof *watch->list);
  if (watch->list == NULL) {
    watch->list = before;
    return;
  }
  watch->count = 0;
  const bool was_full = watch->is_full;
  watch->is_full = false;
  for (size_t i = 0; i < json_array_size(watch->folders); i++) {
    char above[PATH_MAX], name[NAME_MAX + 1];
    const char *const folder = json_string_value(json_array_get(watch->folders, i));
    split(folder, above, name);
    add(watch, above);
    add_below(watch, folder, 0);
  }
  for (size_t i = 0; i < count; i++) {
    if (!is_listed(watch->list, watch->count, before[i])) inotify_rm_watch(watch->fd, before[i]);
  }
  free(before);
  if (!watch->is_full || was_full) return;
  cox_log(COX_LOG_WARN, "reload", "not all folders of scripts can be watched: edits there are noticed only by a reload or SIGHUP", "watched",
          COX_LOG_INT(watch->count), NULL);
}

void cox_watch_init_none(struct cox_watch *watch) { *watch = (struct cox_watch){.fd = -1}; }

void cox_watch_init(struct cox_watch *watch, json_t *folders) {
  *watch = (struct cox_watch){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .folders = json_incref(folders)};
  if (watch->fd >= 0) {
    watch_all(watch);
    return;
  }
  cox_log(COX_LOG_WARN, "reload", "the scripts are not watched: edits are noticed only by a reload or SIGHUP", "reason", strerror(errno), NULL);
}

void cox_watch_move(struct cox_watch *watch, json_t *folders) {
  if (watch->fd < 0) return;
  json_incref(folders);
  json_decref(watch->folders);
  watch->folders = folders;
  watch_all(watch);
}

void cox_watch_fini(struct cox_watch *watch) {
  if (watch->fd >= 0) close(watch->fd);
  json_decref(watch->folders);
  free(watch->list);
  *watch = (struct cox_watch){.fd = -1};
}

/* ---- events ---- */

/* One of our folders, seen from the one above it. */
static bool is_a_folder_of_ours(const struct cox_watch *watch, const char *name) {
  for (size_t i = 0; i < json_array_size(watch->folders); i++) {
    char above[PATH_MAX], own[NAME_MAX + 1];
    split(json_string_value(json_array_get(watch->folders, i)), above, own);
    if (strcmp(own, name) == 0) return true;
  }
  return false;
}

static bool is_script(const char *name) {
  const size_t len = strlen(name);
  return name[0] != '.' && len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

/* What editors leave beside a script is none of our business; a folder may hold scripts. */
static bool counts(const struct cox_watch *watch, const struct inotify_event *event) {
  if ((event->mask & IN_IGNORED) != 0) return false;
  if ((event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF)) != 0 || event->len == 0) return true;
  return is_script(event->name) || is_a_folder_of_ours(watch, event->name) || ((event->mask & IN_ISDIR) != 0 && event->name[0] != '.');
}

static void read_events(struct cox_watch *watch) {
  char bytes[16 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
  for (ssize_t len; (len = read(watch->fd, bytes, sizeof bytes)) > 0;) {
    for (const char *p = bytes; p < bytes + len;) {
      const struct inotify_event *const event = (const struct inotify_event *)(const void *)p;
      p += sizeof *event + event->len;
      if (!counts(watch, event)) continue;
      watch->last_us = cox_clock_mono_us(cox_clock_system());
      if (watch->first_us == 0) watch->first_us = watch->last_us;
    }
  }
}

/* When the changes seen so far may be told. */
static int64_t due_us(const struct cox_watch *watch) {
  if (watch->first_us == 0) return INT64_MAX;
  const int64_t quiet_us = watch->last_us + COX_WATCH_QUIET_MS * 1000, patient_us = watch->first_us + COX_WATCH_PATIENT_MS * 1000;
  return quiet_us < patient_us ? quiet_us : patient_us;
}

/* -1: without end. */
static int wait_ms(const struct cox_watch *watch) {
  const int64_t due = due_us(watch), now_us = cox_clock_mono_us(cox_clock_system());
  if (due == INT64_MAX) return -1;
  return due <= now_us ? 0 : (int)((due - now_us + 999) / 1000);
}

bool cox_watch_wait(struct cox_watch *watch, int wake_fd) {
  struct pollfd ready[] = {{.fd = wake_fd, .events = POLLIN}, {.fd = watch->fd, .events = POLLIN}}; /* poll leaves out a negative one */
  for (;;) {
    poll(ready, 2, wait_ms(watch));
    if (watch->fd >= 0) read_events(watch);
    if ((ready[0].revents & POLLIN) != 0) return false;
    if (wait_ms(watch) != 0) continue;
    watch->first_us = watch->last_us = 0;
    watch_all(watch);
    return true;
  }
}
