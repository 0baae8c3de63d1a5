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
#include "base/fault.h"
#include "base/log.h"
#include "script/footprint.h"

enum {
  DEPTH_MAX = 8, /* as far as scripts are read */
  READS_MAX = 64, /* at a time: in a storm of changes there is always more */
  CHANGES = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |
            IN_ATTRIB /* what could not be read may be readable now */ | IN_ONLYDIR,
};

/* ---- what is watched ---- */

/* NULL: it is not among them. */
static struct cox_watched *find(struct cox_watched *list, size_t count, int number) {
  for (size_t i = 0; i < count; i++) {
    if (list[i].number == number) return &list[i];
  }
  return NULL;
}

enum added { ADDED_NONE, ADDED_NEW, ADDED_AGAIN };

static void lacks(struct cox_watch *watch, const char *reason, const char *remedy) {
  watch->lack = reason;
  watch->remedy = remedy;
}

static void lacks_watches(struct cox_watch *watch, int code) {
  if (code == ENOSPC) lacks(watch, "this user has no inotify watches left", "raise fs.inotify.max_user_watches with sysctl, then save a script again");
  else if (code == ENOMEM) lacks(watch, "the system has no memory for inotify watches", "free some, then save a script again");
}

static int watch_folder(const struct cox_watch *watch, const char *path) {
  if (!cox_fault("watch.has_no_room")) return inotify_add_watch(watch->fd, path, CHANGES);
  errno = ENOSPC;
  return -1;
}

/* NONE: as when the folder is gone. Watching a folder twice gives the same number. */
static enum added add(struct cox_watch *watch, const char *path, bool has_scripts) {
  const int number = watch_folder(watch, path);
  if (number < 0) lacks_watches(watch, errno);
  if (number < 0) return ADDED_NONE;
  struct cox_watched *const present = find(watch->list, watch->count, number);
  if (present != NULL && (present->has_scripts || !has_scripts)) return ADDED_AGAIN;
  if (present != NULL) {
    present->has_scripts = true;
    return ADDED_NEW;
  }
  if (watch->count == COX_WATCH_FOLDERS_MAX) {
    lacks(watch, "there are more folders than can be watched", "have fewer of them");
    return ADDED_NONE; /* none that this list can tell from others by links */
  }
  watch->list[watch->count++] = (struct cox_watched){number, has_scripts};
  return ADDED_NEW;
}

/* By links a folder may be below itself, in many ways. */
static void add_below(struct cox_watch *watch, const char *path, int depth) {
  const enum added added = add(watch, path, true);
  if (added != ADDED_NEW || depth == DEPTH_MAX) return;
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

/* Where the name of a folder may come to mean another one, by a rename or a link: the folder above it, or the nearest that there is, and
 * those that hold a link on the way. There only the names on the way count.                                                           */
static void add_way(struct cox_watch *watch, const char *folder) {
  char path[PATH_MAX], above[PATH_MAX], name[NAME_MAX + 1];
  struct stat info;
  bool has_one = false;
  snprintf(path, sizeof path, "%s", folder);
  for (bool goes_on = true; goes_on;) {
    split(path, above, name);
    const bool is_link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    if (is_link || !has_one) has_one = add(watch, above, false) != ADDED_NONE || has_one;
    goes_on = strcmp(above, "/") != 0 && strcmp(above, ".") != 0;
    memcpy(path, above, sizeof path);
  }
}

static void add_all(struct cox_watch *watch) {
  for (size_t i = 0; i < json_array_size(watch->folders); i++) {
    const char *const folder = json_string_value(json_array_get(watch->folders, i));
    add_way(watch, folder);
    add_below(watch, folder, 0);
  }
}

/* The folders as they are now; what is no part of them any more is left. */
static void watch_folders(struct cox_watch *watch) {
  struct cox_watched *const before = watch->list;
  const size_t count = watch->count;
  watch->list = calloc(COX_WATCH_FOLDERS_MAX, sizeof *watch->list);
  if (watch->list == NULL) {
    watch->list = before;
    lacks(watch, "out of memory", "free some, then save a script again");
    return;
  }
  watch->count = 0;
  for (size_t known = 1; known != watch->count;) { /* again, as long as more is found: it may be made just now */
    known = watch->count;
    add_all(watch);
  }
  for (size_t i = 0; i < count; i++) {
    if (find(watch->list, watch->count, before[i].number) == NULL) inotify_rm_watch(watch->fd, before[i].number);
  }
  free(before);
}

/* False: there is none, and the watch knows why. */
static bool has_queue(struct cox_watch *watch) {
  if (watch->fd < 0 && !cox_fault("watch.has_no_queue")) watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  else if (watch->fd < 0) errno = EMFILE;
  if (watch->fd >= 0) return true;
  if (errno == EMFILE) lacks(watch, "this user has no inotify instances left, or this process no open files",
                             "raise fs.inotify.max_user_instances with sysctl, or LimitNOFILE, then save a script again");
  else lacks(watch, "the system gives no inotify instance", "save a script again to have it asked once more");
  return false;
}

/* Each change between the two is told once. */
static void tell_lack(const struct cox_watch *watch, const char *before) {
  if (watch->lack != NULL && before == NULL) {
    cox_log(COX_LOG_WARN, "reload", "not all folders of scripts can be watched: edits are looked for twice a second instead", "watched",
            COX_LOG_INT(watch->count), "reason", watch->lack, "next", watch->remedy, NULL);
  } else if (watch->lack == NULL && before != NULL) {
    cox_log(COX_LOG_INFO, "reload", "all folders of scripts are watched now", "watched", COX_LOG_INT(watch->count), NULL);
  }
}

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

static void watch_all(struct cox_watch *watch) {
  const char *const before = watch->lack;
  watch->lack = NULL;
  if (has_queue(watch)) watch_folders(watch);
  tell_lack(watch, before);
  if (watch->lack == NULL) return;
  watch->footprint = cox_footprint_of(watch->folders);
  watch->look_us = now_us() + COX_WATCH_LOOK_MS * 1000;
}

void cox_watch_init_none(struct cox_watch *watch) { *watch = (struct cox_watch){.fd = -1}; }

void cox_watch_init(struct cox_watch *watch, json_t *folders) {
  *watch = (struct cox_watch){.fd = -1, .folders = json_incref(folders)};
  watch_all(watch);
}

void cox_watch_move(struct cox_watch *watch, json_t *folders) {
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

/* A part of the path to one of our folders. */
static bool is_on_the_way(const struct cox_watch *watch, const char *name) {
  const size_t len = strlen(name);
  for (size_t i = 0; i < json_array_size(watch->folders); i++) {
    const char *const path = json_string_value(json_array_get(watch->folders, i));
    for (const char *part = path; (part = strstr(part, name)) != NULL; part++) {
      if ((part == path || part[-1] == '/') && (part[len] == '/' || part[len] == '\0')) return true;
    }
  }
  return false;
}

/* Where Kubernetes mounts files, each is a link through this one, which is exchanged for all of them at once. */
static bool is_mounted_data(const char *name) { return strcmp(name, "..data") == 0; }

static bool is_script(const char *name) {
  const size_t len = strlen(name);
  return name[0] != '.' && len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

/* A folder, or a link to one. */
static bool may_be_folder(const struct inotify_event *event) {
  return event->name[0] != '.' && ((event->mask & IN_ISDIR) != 0 || strchr(event->name, '.') == NULL);
}

/* What editors leave beside a script is none of our business; a folder may hold scripts. */
static bool counts(const struct cox_watch *watch, const struct inotify_event *event) {
  if ((event->mask & IN_IGNORED) != 0) return false;
  if ((event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF)) != 0 || event->len == 0) return true;
  if (is_on_the_way(watch, event->name)) return true;
  const struct cox_watched *const folder = find(watch->list, watch->count, event->wd);
  if (folder == NULL || !folder->has_scripts) return false;
  return is_script(event->name) || is_mounted_data(event->name) || may_be_folder(event);
}

static void note_change(struct cox_watch *watch) {
  watch->last_us = now_us();
  if (watch->first_us == 0) watch->first_us = watch->last_us;
}

static ssize_t read_queue(const struct cox_watch *watch, char *bytes, size_t size) {
  const ssize_t len = read(watch->fd, bytes, size);
  if (len <= 0 || !cox_fault("watch.overflows")) return len;
  const struct inotify_event lost = {.wd = -1, .mask = IN_Q_OVERFLOW};
  memcpy(bytes, &lost, sizeof lost);
  return sizeof lost;
}

static void read_events(struct cox_watch *watch) {
  char bytes[16 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
  for (int reads = 0; reads < READS_MAX; reads++) {
    const ssize_t len = read_queue(watch, bytes, sizeof bytes);
    if (len <= 0) return;
    for (const char *p = bytes; p < bytes + len;) {
      const struct inotify_event *const event = (const struct inotify_event *)(const void *)p;
      p += sizeof *event + event->len;
      if (counts(watch, event)) note_change(watch);
    }
  }
}

/* Where the system does not tell. */
static void look(struct cox_watch *watch) {
  if (watch->lack == NULL || now_us() < watch->look_us) return;
  const uint64_t before = watch->footprint;
  watch->footprint = cox_footprint_of(watch->folders);
  watch->look_us = now_us() + COX_WATCH_LOOK_MS * 1000;
  if (watch->footprint != before) note_change(watch);
}

/* When the changes seen so far may be told. */
static int64_t due_us(const struct cox_watch *watch) {
  if (watch->first_us == 0) return INT64_MAX;
  const int64_t quiet_us = watch->last_us + COX_WATCH_QUIET_MS * 1000, patient_us = watch->first_us + COX_WATCH_PATIENT_MS * 1000;
  return quiet_us < patient_us ? quiet_us : patient_us;
}

/* -1: without end. */
static int wait_ms(int64_t until_us) {
  enum { WAIT_MAX_MS = 3600000 };
  if (until_us == INT64_MAX) return -1;
  const int64_t left_us = until_us - now_us();
  if (left_us > WAIT_MAX_MS * INT64_C(1000)) return WAIT_MAX_MS;
  return left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
}

/* When there is something to tell, to look at or to return for. */
static int64_t next_us(const struct cox_watch *watch, int64_t until_us) {
  const int64_t told_us = due_us(watch), look_us = watch->lack != NULL ? watch->look_us : INT64_MAX;
  const int64_t own_us = told_us < look_us ? told_us : look_us;
  return own_us < until_us ? own_us : until_us;
}

bool cox_watch_wait(struct cox_watch *watch, int wake_fd, int64_t until_us) {
  struct pollfd ready[] = {{.fd = wake_fd, .events = POLLIN}, {.fd = watch->fd, .events = POLLIN}}; /* poll leaves out a negative one */
  for (;;) {
    poll(ready, 2, wait_ms(next_us(watch, until_us)));
    if (watch->fd >= 0) read_events(watch);
    look(watch);
    if ((ready[0].revents & POLLIN) != 0) return false;
    if (due_us(watch) > now_us()) {
      if (until_us <= now_us()) return false;
      continue;
    }
    watch->first_us = watch->last_us = 0;
    watch_all(watch);
    return true;
  }
}
