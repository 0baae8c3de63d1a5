#include "console/control_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/holder.h"

enum { BACKLOG = 64, LOCK_TRIES = 100, LOCK_PAUSE_MS = 20 };

/* A path may be longer than an address: it is named through the descriptor of its folder. */
struct place {
  int folder;
  const char *name;
  struct sockaddr_un address;
};

static int find_place(struct place *place, const char *path, struct cox_err *err) {
  const char *const slash = strrchr(path, '/');
  place->name = slash != NULL ? slash + 1 : path;
  char *const folder = slash == NULL ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
  if (folder == NULL) return cox_err_set(err, COX_ENOMEM, "finding the socket %s failed: out of memory", path);
  place->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int reason = errno;
  free(folder);
  if (place->folder < 0) {
    return cox_err_set(err, reason == ENOENT ? COX_ENOENT : COX_ESYS, "the folder of the socket %s cannot be opened: %s", path, strerror(reason));
  }
  place->address = (struct sockaddr_un){.sun_family = AF_UNIX};
  const int len = snprintf(place->address.sun_path, sizeof place->address.sun_path, "/proc/self/fd/%d/%s", place->folder, place->name);
  if (*place->name != '\0' && len > 0 && (size_t)len < sizeof place->address.sun_path) return 0;
  close(place->folder);
  return cox_err_set(err, COX_EINVAL, "the socket's name in %s is empty or longer than 80 bytes: choose another one with admin.socket", path);
}

/* ---- listening ---- */

/* Two daemons that start at once must not take each other's fresh file for a stale one. */
static int lock_folder(const struct place *place, const char *path, struct cox_err *err) {
  const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
  for (int i = 0; i < LOCK_TRIES; i++) {
    if (flock(place->folder, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK) return cox_err_set(err, COX_ESYS, "locking the folder of the socket %s failed: %s", path, strerror(errno));
    nanosleep(&pause, NULL);
  }
  return cox_err_set(err, COX_EBUSY, "the folder of the socket %s stays locked by another process: is one starting there?", path);
}

/* 0: the file is nobody's any more and was removed. */
static int remove_stale(const struct place *place, const char *path, struct cox_err *err) {
  struct stat status;
  if (fstatat(place->folder, place->name, &status, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : COX_ESYS;
  if (!S_ISSOCK(status.st_mode)) {
    return cox_err_set(err, COX_EINVAL, "%s is there already and is no socket: move it away, or choose another path with admin.socket", path);
  }
  struct ucred holder = {0};
  socklen_t len = sizeof holder;
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int rc = connect(probe, (const struct sockaddr *)&place->address, sizeof place->address);
  const int reason = rc == 0 ? 0 : errno;
  if (rc == 0) getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &holder, &len);
  close(probe);
  if (reason == ECONNREFUSED) return unlinkat(place->folder, place->name, 0) == 0 || errno == ENOENT ? 0 : COX_ESYS;
  char who[COX_HOLDER_TEXT] = "another process";
  if (holder.pid > 0) cox_holder_name(holder.pid, who);
  return cox_err_set(err, COX_EBUSY, "the socket %s is held by %s: stop it, or choose another path with admin.socket", path, who);
}

static int bind_place(int fd, const struct place *place, const char *path, struct cox_err *err) {
  fchmod(fd, 0600); /* of the file that bind makes: there is no moment at which others could connect */
  int rc = bind(fd, (const struct sockaddr *)&place->address, sizeof place->address);
  if (rc != 0 && errno == EADDRINUSE) {
    rc = remove_stale(place, path, err);
    if (rc != 0 && rc != COX_ESYS) return rc;
    rc = bind(fd, (const struct sockaddr *)&place->address, sizeof place->address);
  }
  if (rc == 0 && fchmodat(place->folder, place->name, 0600, 0) == 0 && listen(fd, BACKLOG) == 0) return 0;
  return cox_err_set(err, COX_ESYS, "making the socket %s failed: %s; choose another path with admin.socket", path, strerror(errno));
}

int cox_socket_file_open(struct cox_socket_file *file, const char *path, struct cox_err *err) {
  struct place place;
  struct stat status;
  *file = (struct cox_socket_file){.fd = -1};
  int rc = find_place(&place, path, err);
  if (rc != 0) return rc;
  file->path = strdup(path);
  file->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  rc = file->fd >= 0 && file->path != NULL ? lock_folder(&place, path, err)
                                           : cox_err_set(err, COX_ESYS, "making the socket %s failed: %s", path, strerror(errno));
  if (rc == 0) rc = bind_place(file->fd, &place, path, err);
  if (rc == 0 && fstatat(place.folder, place.name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
    file->device = status.st_dev;
    file->inode = status.st_ino;
  }
  close(place.folder);
  if (rc != 0) cox_socket_file_close(file);
  return rc;
}

void cox_socket_file_close(struct cox_socket_file *file) {
  struct stat status;
  const bool is_ours = file->inode != 0 && lstat(file->path, &status) == 0 && status.st_dev == file->device && status.st_ino == file->inode;
  if (is_ours) unlink(file->path);
  if (file->fd >= 0) close(file->fd);
  free(file->path);
  *file = (struct cox_socket_file){.fd = -1};
}

/* ---- connecting ---- */

int cox_socket_file_connect(const char *path, struct cox_err *err) {
  struct place place;
  const int rc = find_place(&place, path, err);
  if (rc != 0) return rc;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)&place.address, sizeof place.address) == 0) {
    close(place.folder);
    return fd;
  }
  const int reason = errno;
  if (fd >= 0) close(fd);
  close(place.folder);
  if (reason == ENOENT || reason == ECONNREFUSED) return cox_err_set(err, COX_ENOENT, "nobody listens on the socket %s", path);
  return cox_err_set(err, COX_ESYS, "connecting to the socket %s failed: %s%s", path, strerror(reason),
                     reason == EACCES ? "; run as the daemon's user or as root" : "");
}

bool cox_socket_file_peer(int fd, struct cox_console_caller *caller) {
  struct ucred peer = {0};
  socklen_t len = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) return false;
  struct passwd entry, *found = NULL;
  char space[1024];
  caller->uid = peer.uid;
  snprintf(caller->name, sizeof caller->name, "uid %u", (unsigned)peer.uid);
  if (getpwuid_r(peer.uid, &entry, space, sizeof space, &found) == 0 && found != NULL) snprintf(caller->name, sizeof caller->name, "%s", entry.pw_name);
  return peer.uid == 0 || peer.uid == geteuid();
}
