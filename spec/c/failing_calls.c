#include "failing.h"

#include <curl/curl.h>
#include <microhttpd.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lua.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* What a call returns when it fails, and why it does. A signal that comes in between (EINTR) is a failure, too, after which the caller has
 * to try again. What cannot fail is not here: eventfd_write, for one.                                                               */
static const char *const names[] = {
    "MHD_add_connection", "MHD_add_response_header", "MHD_create_response_from_buffer_with_free_callback_cls", "MHD_queue_response",
    "MHD_start_daemon", "accept4", "access", "bind", "chmod", "connect", "curl_easy_init", "curl_easy_setopt", "curl_global_init",
    "curl_multi_add_handle", "curl_multi_assign", "curl_multi_init", "curl_multi_socket_action",
    "curl_slist_append", "epoll_create1", "epoll_ctl", "epoll_wait", "eventfd", "eventfd_read", "fchmod", "flock",
    "fopen", "fread", "fstat", "fsync", "ftruncate", "getaddrinfo", "getrandom", "getsockname", "inotify_add_watch", "inotify_init1",
    "link", "listen", "lstat", "lua_newstate", "mkdir", "open", "opendir", "pread", "pthread_create", "pwrite", "read", "readlink",
    "realpath", "recv", "rename", "send", "setsockopt", "socket", "sqlite3_backup_init", "sqlite3_backup_step", "sqlite3_bind_int64",
    "sqlite3_bind_text", "sqlite3_exec", "sqlite3_open_v2", "sqlite3_prepare_v2", "sqlite3_prepare_v3", "sqlite3_step",
    "sqlite3_wal_checkpoint_v2", "stat", "statvfs", "timer_create", "timer_settime", "unlink", "write", NULL,
};

enum { NAMES = sizeof names / sizeof *names };

static atomic_long counts[NAMES], fails_at;
static atomic_int failing = -1; /* index of a name */
static atomic_bool was_hit;

static int index_of(const char *name) {
  for (int i = 0; names[i] != NULL; i++) {
    if (strcmp(names[i], name) == 0) return i;
  }
  return -1;
}

static bool hits(const char *name, int why) {
  const int index = index_of(name);
  const long call = atomic_fetch_add(&counts[index], 1) + 1;
  if (index != atomic_load(&failing) || call != atomic_load(&fails_at)) return false;
  atomic_store(&was_hit, true);
  errno = why;
  return true;
}

void failing_call(const char *name, long k) {
  atomic_store(&failing, -1);
  for (size_t i = 0; i < NAMES; i++) atomic_store(&counts[i], 0);
  atomic_store(&was_hit, false);
  atomic_store(&fails_at, k);
  atomic_store(&failing, name != NULL ? index_of(name) : -1);
}

bool failing_call_was_hit(void) { return atomic_load(&was_hit); }
long failing_call_count(const char *name) { return atomic_load(&counts[index_of(name)]); }
const char *const *failing_call_names(void) { return names; }

/* ---- what the linker puts in the place of the others ---- */

#define STAND_IN(type, name, parameters, arguments, result, why)     \
  type __real_##name parameters;                                     \
  type __wrap_##name parameters;                                     \
  type __wrap_##name parameters {                                    \
    if (hits(#name, why)) return result;                             \
    return __real_##name arguments;                                  \
  }

STAND_IN(enum MHD_Result, MHD_add_connection, (struct MHD_Daemon * daemon, int fd, const struct sockaddr *address, socklen_t size),
         (daemon, fd, address, size), (close(fd), MHD_NO), ENOMEM)
STAND_IN(enum MHD_Result, MHD_add_response_header, (struct MHD_Response * response, const char *header, const char *content),
         (response, header, content), MHD_NO, ENOMEM)
STAND_IN(struct MHD_Response *, MHD_create_response_from_buffer_with_free_callback_cls,
         (size_t size, const void *bytes, MHD_ContentReaderFreeCallback destroy, void *arg), (size, bytes, destroy, arg), NULL, ENOMEM)
STAND_IN(enum MHD_Result, MHD_queue_response, (struct MHD_Connection * connection, unsigned status, struct MHD_Response *response),
         (connection, status, response), MHD_NO, ENOMEM)
STAND_IN(int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags), -1, EMFILE)
STAND_IN(int, access, (const char *path, int mode), (path, mode), -1, EACCES)
STAND_IN(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), -1, EADDRINUSE)
STAND_IN(int, chmod, (const char *path, mode_t mode), (path, mode), -1, EPERM)
STAND_IN(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), -1, ENETUNREACH)
STAND_IN(CURL *, curl_easy_init, (void), (), NULL, ENOMEM)
STAND_IN(CURLcode, curl_global_init, (long flags), (flags), CURLE_FAILED_INIT, ENOMEM)
STAND_IN(CURLM *, curl_multi_init, (void), (), NULL, ENOMEM)
STAND_IN(CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy), (multi, easy), CURLM_OUT_OF_MEMORY, ENOMEM)
STAND_IN(CURLMcode, curl_multi_assign, (CURLM * multi, curl_socket_t fd, void *known), (multi, fd, known), CURLM_BAD_SOCKET, ENOMEM)
STAND_IN(CURLMcode, curl_multi_socket_action, (CURLM * multi, curl_socket_t fd, int events, int *running), (multi, fd, events, running),
         CURLM_OUT_OF_MEMORY, ENOMEM)
STAND_IN(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *text), (list, text), NULL, ENOMEM)
STAND_IN(int, epoll_create1, (int flags), (flags), -1, EMFILE)
STAND_IN(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event), (epoll, operation, fd, event), -1, ENOSPC)
STAND_IN(int, epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout_ms), (epoll, events, most, timeout_ms), -1, EINTR)
STAND_IN(int, eventfd, (unsigned value, int flags), (value, flags), -1, EMFILE)
STAND_IN(int, eventfd_read, (int fd, eventfd_t *value), (fd, value), -1, EINTR)
STAND_IN(int, fchmod, (int fd, mode_t mode), (fd, mode), -1, EPERM)
STAND_IN(int, flock, (int fd, int operation), (fd, operation), -1, ENOLCK)
STAND_IN(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL, EMFILE)
STAND_IN(size_t, fread, (void *bytes, size_t size, size_t count, FILE *file), (bytes, size, count, file),
         (file->_flags |= 0x20, (size_t)0), EIO) /* what ferror() looks at, which nothing else sets */
STAND_IN(int, fstat, (int fd, struct stat *about), (fd, about), -1, EIO)
STAND_IN(int, fsync, (int fd), (fd), -1, EIO)
STAND_IN(int, ftruncate, (int fd, off_t size), (fd, size), -1, EIO)
STAND_IN(int, getaddrinfo, (const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out), (name, service, hints, out),
         EAI_AGAIN, ENOMEM)
STAND_IN(ssize_t, getrandom, (void *bytes, size_t count, unsigned flags), (bytes, count, flags), -1, ENOSYS)
STAND_IN(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size), -1, ENOBUFS)
STAND_IN(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), -1, ENOSPC)
STAND_IN(int, inotify_init1, (int flags), (flags), -1, EMFILE)
STAND_IN(int, link, (const char *from, const char *to), (from, to), -1, EIO)
STAND_IN(int, listen, (int fd, int backlog), (fd, backlog), -1, EADDRINUSE)
STAND_IN(int, lstat, (const char *path, struct stat *about), (path, about), -1, EACCES)
STAND_IN(lua_State *, lua_newstate, (lua_Alloc allocate, void *arg), (allocate, arg), NULL, ENOMEM)
STAND_IN(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, ENOSPC)
STAND_IN(DIR *, opendir, (const char *path), (path), NULL, EMFILE)
STAND_IN(ssize_t, pread, (int fd, void *bytes, size_t size, off_t at), (fd, bytes, size, at), -1, EIO)
STAND_IN(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at), -1, ENOSPC)
STAND_IN(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size), -1, EINTR)
STAND_IN(ssize_t, readlink, (const char *path, char *out, size_t size), (path, out, size), -1, EACCES)
STAND_IN(char *, realpath, (const char *path, char *out), (path, out), NULL, EACCES)
STAND_IN(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags), -1, ECONNRESET)
STAND_IN(int, rename, (const char *from, const char *to), (from, to), -1, ENOSPC)
STAND_IN(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags), -1, ECONNRESET)
STAND_IN(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size), (fd, level, name, value, size), -1, ENOBUFS)
STAND_IN(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1, EMFILE)
STAND_IN(sqlite3_backup *, sqlite3_backup_init, (sqlite3 * to, const char *to_name, sqlite3 *from, const char *from_name),
         (to, to_name, from, from_name), NULL, ENOMEM)
STAND_IN(int, sqlite3_backup_step, (sqlite3_backup * backup, int pages), (backup, pages), SQLITE_IOERR, EIO)
STAND_IN(int, sqlite3_bind_int64, (sqlite3_stmt * statement, int at, sqlite3_int64 value), (statement, at, value), SQLITE_NOMEM, ENOMEM)
STAND_IN(int, sqlite3_bind_text, (sqlite3_stmt * statement, int at, const char *text, int size, void (*destroy)(void *)),
         (statement, at, text, size, destroy), SQLITE_NOMEM, ENOMEM)
STAND_IN(int, sqlite3_exec, (sqlite3 * db, const char *sql, int (*row)(void *, int, char **, char **), void *arg, char **why),
         (db, sql, row, arg, why), SQLITE_IOERR, EIO)
STAND_IN(int, sqlite3_prepare_v2, (sqlite3 * db, const char *sql, int size, sqlite3_stmt **out, const char **tail), (db, sql, size, out, tail),
         (*out = NULL, SQLITE_NOMEM), ENOMEM)
STAND_IN(int, sqlite3_prepare_v3, (sqlite3 * db, const char *sql, int size, unsigned flags, sqlite3_stmt **out, const char **tail),
         (db, sql, size, flags, out, tail), (*out = NULL, SQLITE_NOMEM), ENOMEM)
STAND_IN(int, sqlite3_step, (sqlite3_stmt * statement), (statement), SQLITE_IOERR, EIO)
STAND_IN(int, sqlite3_wal_checkpoint_v2, (sqlite3 * db, const char *name, int mode, int *frames, int *done), (db, name, mode, frames, done),
         SQLITE_IOERR, EIO)
STAND_IN(int, stat, (const char *path, struct stat *about), (path, about), -1, EACCES)
STAND_IN(int, statvfs, (const char *path, struct statvfs *about), (path, about), -1, EIO)
STAND_IN(int, timer_create, (clockid_t clock, struct sigevent *event, timer_t *out), (clock, event, out), -1, EAGAIN)
STAND_IN(int, timer_settime, (timer_t timer, int flags, const struct itimerspec *value, struct itimerspec *old), (timer, flags, value, old), -1, EINVAL)
STAND_IN(int, unlink, (const char *path), (path), -1, EACCES)
STAND_IN(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size), -1, EINTR)
STAND_IN(int, sqlite3_open_v2, (const char *path, sqlite3 **out, int flags, const char *vfs), (path, out, flags, vfs), (*out = NULL, SQLITE_CANTOPEN), EMFILE)

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg) {
  return hits("pthread_create", EAGAIN) ? EAGAIN : __real_pthread_create(thread, attributes, run, arg);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  va_list args;
  va_start(args, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
  va_end(args);
  return hits("open", EMFILE) ? -1 : __real_open(path, flags, mode);
}

/* With one value of any kind after the fixed ones, which is handed on as it came: all that is passed here is as wide as a pointer. */
#define STAND_IN_OPTION(type, name, handle, option, can_fail, result, why) \
  type __real_##name(handle on, option which, ...);                    \
  type __wrap_##name(handle on, option which, ...);                    \
  type __wrap_##name(handle on, option which, ...) {                   \
    va_list args;                                                      \
    va_start(args, which);                                             \
    void *const value = va_arg(args, void *);                          \
    va_end(args);                                                      \
    return can_fail && hits(#name, why) ? result : __real_##name(on, which, value); \
  }

/* Only texts can fail, for they are copied. */
static bool is_text(CURLoption option) {
  const struct curl_easyoption *const about = curl_easy_option_by_id(option);
  return about != NULL && about->type == CURLOT_STRING;
}

STAND_IN_OPTION(CURLcode, curl_easy_setopt, CURL *, CURLoption, is_text(which), CURLE_OUT_OF_MEMORY, ENOMEM)

struct MHD_Daemon *__wrap_MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accepts, void *accepts_arg,
                                           MHD_AccessHandlerCallback handle, void *handle_arg, ...);
struct MHD_Daemon *__wrap_MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accepts, void *accepts_arg,
                                           MHD_AccessHandlerCallback handle, void *handle_arg, ...) {
  if (hits("MHD_start_daemon", EMFILE)) return NULL;
  va_list args;
  va_start(args, handle_arg);
  struct MHD_Daemon *const daemon = MHD_start_daemon_va(flags, port, accepts, accepts_arg, handle, handle_arg, args);
  va_end(args);
  return daemon;
}
