#include "detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char ready_mark = '\0'; /* no message holds one */

/* Copies what the child says on its way; true: it said that it is ready. */
static bool listen_to(int fd) {
  char bytes[1024];
  bool is_ready = false;
  for (ssize_t count; (count = read(fd, bytes, sizeof bytes)) != 0;) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    const char *const mark = memchr(bytes, ready_mark, (size_t)count);
    const size_t len = mark != NULL ? (size_t)(mark - bytes) : (size_t)count;
    if (len > 0) fwrite(bytes, 1, len, stderr);
    is_ready = is_ready || mark != NULL;
  }
  return is_ready;
}

static void lead_nowhere(int fd) {
  const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nowhere < 0) return;
  dup2(nowhere, fd);
  close(nowhere);
}

/* The second fork: a leader of a session could get a terminal again. */
static void become_daemon(int pipe_end) {
  setsid();
  const pid_t pid = fork();
  if (pid != 0) _exit(pid > 0 ? 0 : 1); /* the caller sees the pipe's end in both cases */
  lead_nowhere(STDIN_FILENO);
  lead_nowhere(STDOUT_FILENO);
  dup2(pipe_end, STDERR_FILENO);
  close(pipe_end);
}

enum cox_detach_side cox_detach(bool *is_ready, struct cox_err *err) {
  int ends[2];
  fflush(NULL);
  if (pipe2(ends, O_CLOEXEC) != 0) {
    cox_err_set(err, COX_ESYS, "going to the background failed: %s", strerror(errno));
    return COX_DETACH_FAILED;
  }
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    become_daemon(ends[1]);
    return COX_DETACH_CHILD;
  }
  close(ends[1]);
  if (pid < 0) {
    cox_err_set(err, COX_ESYS, "going to the background failed: %s", strerror(errno));
    close(ends[0]);
    return COX_DETACH_FAILED;
  }
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
  *is_ready = listen_to(ends[0]);
  close(ends[0]);
  return COX_DETACH_PARENT;
}

void cox_detach_ready(void) {
  fflush(stderr);
  const ssize_t rc = write(STDERR_FILENO, &ready_mark, 1);
  (void)rc; /* the caller has gone: nobody wants to know */
  lead_nowhere(STDERR_FILENO);
}
