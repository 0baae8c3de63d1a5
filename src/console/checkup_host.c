/* This machine, seen by whoever asks: clock, limits, permissions, disk, port, store. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/exposure.h"
#include "console/checkup.h"

enum { FILES_WANTED = 4096, TEXT = 512 };
#define MIB (1024.0 * 1024.0)

static const char *text_at(const json_t *config, const char *group, const char *key) {
  return json_string_value(json_object_get(*group != '\0' ? json_object_get(config, group) : config, key));
}

static void check_clock(struct cox_checkup *checkup) {
  struct timex state = {0}; /* asks only */
  const int rc = adjtimex(&state);
  if (rc == TIME_ERROR || (rc >= 0 && (state.status & STA_UNSYNC) != 0)) {
    cox_checkup_add(checkup, "clock", NULL, COX_HEALTH_DOUBT, "the kernel does not know its clock as set by NTP: phases are told from the chain, but times in "
                    "the journal may be wrong (in a container this may only mean that the host does it)");
  } else if (rc >= 0) {
    cox_checkup_add(checkup, "clock", NULL, COX_HEALTH_GOOD, "kept in step by NTP");
  }
}

static void check_limits(struct cox_checkup *checkup) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  if (files.rlim_max != RLIM_INFINITY && files.rlim_max < FILES_WANTED) {
    cox_checkup_add(checkup, "limits", NULL, COX_HEALTH_DOUBT, "at most %llu open files: fewer connections and waiting requests; raise it with LimitNOFILE or ulimit -Hn",
                    (unsigned long long)files.rlim_max);
  } else {
    cox_checkup_add(checkup, "limits", NULL, COX_HEALTH_GOOD, "%llu open files", (unsigned long long)files.rlim_max);
  }
}

static void folder_of(const char *path, char out[PATH_MAX]) {
  snprintf(out, PATH_MAX, "%s", path);
  char *const slash = strrchr(out, '/');
  if (slash == NULL) snprintf(out, PATH_MAX, ".");
  else slash[slash == out] = '\0';
}

/* ---- permissions ---- */

static bool has_secret(const json_t *config) {
  size_t i;
  json_t *token;
  if (text_at(config, "admin", "token") != NULL) return true;
  json_array_foreach(json_object_get(json_object_get(config, "admin"), "tokens"), i, token) {
    if (json_object_get(token, "token") != NULL) return true;
  }
  return false;
}

static void check_secrets(struct cox_checkup *checkup, const json_t *config, const char *path) {
  struct stat info;
  const char *const key = text_at(config, "participant", "key_file");
  if (path != NULL && stat(path, &info) == 0 && (info.st_mode & S_IROTH) != 0 && has_secret(config)) {
    cox_checkup_add(checkup, "permissions", path, COX_HEALTH_DOUBT, "holds a token and everybody on this machine may read it: chmod o-r, or use admin.tokens with token_file");
  }
  if (key == NULL) return;
  if (stat(key, &info) != 0) cox_checkup_add(checkup, "permissions", key, COX_HEALTH_BAD, "participant.key_file cannot be read: %s", strerror(errno));
  else if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) cox_checkup_add(checkup, "permissions", key, COX_HEALTH_BAD, "participant.key_file may be read by others: chmod 600");
  else cox_checkup_add(checkup, "permissions", key, COX_HEALTH_GOOD, "only its owner may read the key");
}

static void check_token_files(struct cox_checkup *checkup, const json_t *config) {
  struct stat info;
  size_t i;
  json_t *token;
  json_array_foreach(json_object_get(json_object_get(config, "admin"), "tokens"), i, token) {
    const char *const path = json_string_value(json_object_get(token, "token_file"));
    if (path == NULL) continue;
    const char *const words = stat(path, &info) == 0 ? cox_exposure_words(info.st_mode) : NULL;
    if (access(path, R_OK) != 0) cox_checkup_add(checkup, "permissions", path, COX_HEALTH_BAD, "admin.tokens[%zu].token_file cannot be read: %s", i + 1, strerror(errno));
    else if (words != NULL) cox_checkup_add(checkup, "permissions", path, COX_HEALTH_DOUBT, "holds a token and %s: chmod 600", words);
  }
}

static void check_scripts_folder(struct cox_checkup *checkup, const char *folder) {
  struct stat info;
  if (folder == NULL || stat(folder, &info) != 0) return; /* the check of the scripts says so */
  if ((info.st_mode & S_IWOTH) != 0) cox_checkup_add(checkup, "permissions", folder, COX_HEALTH_BAD, "everybody on this machine may change the policy: chmod o-w");
}

/* One, or several that lie over each other. */
static void check_scripts_folders(struct cox_checkup *checkup, const json_t *scripts) {
  size_t i;
  json_t *folder;
  check_scripts_folder(checkup, json_string_value(scripts));
  json_array_foreach(scripts, i, folder) check_scripts_folder(checkup, json_string_value(folder));
}

static void check_socket(struct cox_checkup *checkup, const json_t *config) {
  const char *const path = text_at(config, "admin", "socket");
  char folder[PATH_MAX];
  if (path == NULL) return;
  folder_of(path, folder);
  if (access(folder, W_OK | X_OK) != 0) {
    cox_checkup_add(checkup, "permissions", folder, COX_HEALTH_BAD, "admin.socket cannot be made in it by this user: %s", strerror(errno));
  }
}

/* ---- store and disk ---- */

static void check_disk(struct cox_checkup *checkup, const char *folder) {
  struct statvfs disk;
  if (statvfs(folder, &disk) != 0) return;
  const double free_mib = (double)disk.f_bavail * (double)disk.f_frsize / MIB;
  const bool has_inodes = disk.f_files == 0 || disk.f_favail > 100;
  if (free_mib < 64 || !has_inodes) {
    cox_checkup_add(checkup, "disk", folder, COX_HEALTH_BAD, "%.0f MiB%s are free: when the disk is full, changes are refused until there is room", free_mib,
                    has_inodes ? "" : " and no inodes");
  } else {
    cox_checkup_add(checkup, "disk", folder, free_mib < 1024 ? COX_HEALTH_DOUBT : COX_HEALTH_GOOD, "%.1f GiB are free", free_mib / 1024);
  }
}

/* NULL: it is one. */
static const char *why_no_store(const char *path) {
  static const char wanted[16] = "SQLite format 3"; /* with its NUL */
  char head[sizeof wanted];
  FILE *const file = fopen(path, "re");
  if (file == NULL) return strerror(errno);
  const size_t count = fread(head, 1, sizeof head, file);
  fclose(file);
  if (count == 0) return NULL; /* made, and nothing written yet */
  return count == sizeof head && memcmp(head, wanted, sizeof head) == 0 ? NULL : "it is no store of this program";
}

static void check_store(struct cox_checkup *checkup, const json_t *config) {
  const char *const path = text_at(config, "", "store");
  char folder[PATH_MAX];
  struct stat info;
  if (path == NULL) return;
  if (strcmp(path, ":memory:") == 0) {
    cox_checkup_add(checkup, "store", NULL, COX_HEALTH_DOUBT, "in memory: nodes added over the API, admin states and intents end with the daemon");
    return;
  }
  folder_of(path, folder);
  if (access(folder, W_OK | X_OK) != 0) {
    cox_checkup_add(checkup, "store", path, COX_HEALTH_BAD, "cannot be written by this user, for its folder: %s", strerror(errno));
    return;
  }
  check_disk(checkup, folder);
  if (stat(path, &info) != 0) {
    cox_checkup_add(checkup, "store", path, COX_HEALTH_GOOD, "is not there yet and will be made");
    return;
  }
  const char *const why = why_no_store(path);
  if (why != NULL) cox_checkup_add(checkup, "store", path, COX_HEALTH_BAD, "cannot be used: %s; move it away, or restore a backup (coxswain restore)", why);
  else if (access(path, R_OK | W_OK) != 0) cox_checkup_add(checkup, "store", path, COX_HEALTH_BAD, "cannot be written by this user: %s", strerror(errno));
  else cox_checkup_add(checkup, "store", path, COX_HEALTH_GOOD, "%.1f MiB", (double)info.st_size / MIB);
}

/* ---- the port ---- */

static void check_exposure(struct cox_checkup *checkup, const json_t *config, const char *listen) {
  if (cox_is_loopback(listen)) return;
  if (has_secret(config) || json_array_size(json_object_get(json_object_get(config, "admin"), "tokens")) > 0) return;
  const bool is_meant = json_is_true(json_object_get(json_object_get(config, "admin"), "insecure"));
  cox_checkup_add(checkup, "port", listen, is_meant ? COX_HEALTH_DOUBT : COX_HEALTH_BAD, "is no loopback address and there is no token: %s",
                  is_meant ? "whoever reaches it may stop the fleet (admin.insecure)" : "the daemon will not start; set admin.token, or listen on 127.0.0.1");
}

static int try_to_listen(const char *listen) {
  char host[TEXT];
  const char *const colon = strrchr(listen, ':');
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV}, *found = NULL;
  if (colon == NULL || atoi(colon + 1) == 0) return 0; /* port 0: any free one */
  const bool is_bracketed = listen[0] == '[' && colon > listen + 1 && colon[-1] == ']';
  snprintf(host, sizeof host, "%.*s", (int)(colon - listen) - 2 * is_bracketed, listen + is_bracketed);
  if (getaddrinfo(host, colon + 1, &hints, &found) != 0) return 0; /* a name: the daemon says what is wrong with it */
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  int rc = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 ? errno : 0;
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
  return rc;
}

static void check_port(struct cox_checkup *checkup, const json_t *config, bool has_daemon) {
  const char *const listen = text_at(config, "admin", "listen");
  if (listen == NULL) return;
  check_exposure(checkup, config, listen);
  const int why = try_to_listen(listen);
  if (why == EADDRINUSE && has_daemon) cox_checkup_add(checkup, "port", listen, COX_HEALTH_GOOD, "held by the running daemon");
  else if (why == EADDRINUSE) cox_checkup_add(checkup, "port", listen, COX_HEALTH_BAD, "another program has it: end that one, or choose another admin.listen");
  else if (why != 0) cox_checkup_add(checkup, "port", listen, COX_HEALTH_BAD, "cannot be listened on: %s", strerror(why));
  else cox_checkup_add(checkup, "port", listen, COX_HEALTH_GOOD, "free");
}

void cox_checkup_host(struct cox_checkup *checkup, const json_t *config, const char *path, bool has_daemon) {
  check_clock(checkup);
  check_limits(checkup);
  if (path == NULL) return; /* the daemon is elsewhere, perhaps: its files are not looked for here */
  check_secrets(checkup, config, path);
  check_token_files(checkup, config);
  check_scripts_folders(checkup, json_object_get(config, "scripts"));
  check_socket(checkup, config);
  check_store(checkup, config);
  check_port(checkup, config, has_daemon);
}

/* ---- the way back from the nodes ---- */

static bool has_remote_node(const json_t *config, const char **host) {
  size_t i;
  json_t *node;
  json_array_foreach(json_object_get(config, "nodes"), i, node) {
    *host = json_string_value(json_object_get(node, "host"));
    if (*host != NULL && !cox_is_loopback(*host)) return true;
  }
  return false;
}

void cox_checkup_callback(struct cox_checkup *checkup, const json_t *config) {
  const char *const url = text_at(config, "", "callback_url"), *host;
  struct cox_asked asked;
  if (url == NULL) {
    cox_checkup_add(checkup, "callback", NULL, COX_HEALTH_BAD, "callback_url is not set: nodes would have nowhere to post their proofs");
    return;
  }
  if (cox_is_loopback(url) && has_remote_node(config, &host)) {
    cox_checkup_add(checkup, "callback", url, COX_HEALTH_BAD, "is this machine's own loopback, which the node at %s cannot reach: name an address that nodes reach", host);
    return;
  }
  cox_ask(checkup->env, url, "/v1/poc-batches", &asked);
  if (asked.status > 0) {
    cox_checkup_add(checkup, "callback", url, COX_HEALTH_GOOD, "somebody answers there (%d, %d ms), seen from this machine", asked.status, asked.latency_ms);
  } else {
    cox_checkup_add(checkup, "callback", url, COX_HEALTH_BAD, "%s: proofs of the nodes would be lost; is the network's API node running there?", asked.err.text);
  }
  cox_asked_fini(&asked);
}
