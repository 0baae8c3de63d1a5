#include "console/repl_link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "console/control_listen.h"
#include "console/control_wire.h"

enum { READ_BYTES = 64 << 10 };

struct cox_repl_link {
  int fd, signals;
  struct cox_buf in;
  json_int_t last_id;
  unsigned interrupts; /* during the last request */
};

static int open_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct cox_repl_link *cox_repl_link_open(const char *path, struct cox_err *err) {
  struct cox_repl_link *const link = calloc(1, sizeof *link);
  if (link == NULL) {
    cox_err_set(err, COX_ENOMEM, "out of memory");
    return NULL;
  }
  link->signals = -1;
  link->fd = cox_socket_file_connect(path, err);
  if (link->fd >= 0) link->signals = open_signals();
  if (link->signals >= 0) return link;
  if (link->fd >= 0) cox_err_set(err, COX_ESYS, "opening a signal descriptor failed: %s", strerror(errno));
  cox_repl_link_close(link);
  return NULL;
}

int cox_repl_link_reopen(struct cox_repl_link *link, const char *path, struct cox_err *err) {
  const int fd = cox_socket_file_connect(path, err);
  if (fd < 0) return err->code;
  close(link->fd);
  link->fd = fd;
  cox_buf_clear(&link->in);
  return 0;
}

void cox_repl_link_close(struct cox_repl_link *link) {
  if (link == NULL) return;
  if (link->fd >= 0) close(link->fd);
  if (link->signals >= 0) close(link->signals);
  cox_buf_fini(&link->in);
  free(link);
}

/* Takes the signals that wait; true: there were any. */
static bool take_signals(struct cox_repl_link *link) {
  struct signalfd_siginfo info;
  bool has_any = false;
  while (read(link->signals, &info, sizeof info) == (ssize_t)sizeof info) has_any = true;
  return has_any;
}

bool cox_repl_link_is_interrupted(struct cox_repl_link *link, int timeout_ms) {
  struct pollfd ready = {.fd = link->signals, .events = POLLIN};
  return poll(&ready, 1, timeout_ms) > 0 && take_signals(link);
}

bool cox_repl_link_was_interrupted(const struct cox_repl_link *link) { return link->interrupts > 0; }

static int send_frame(struct cox_repl_link *link, const json_t *request, struct cox_err *err) {
  struct cox_buf out = {0};
  int rc = cox_frame_add(&out, request) ? 0 : cox_err_set(err, COX_ENOMEM, "out of memory");
  if (rc == 0 && out.len > COX_FRAME_HEAD + COX_FRAME_REQUEST_MAX) rc = cox_err_set(err, COX_EINVAL, "that is longer than 1 MiB");
  for (size_t done = 0; rc == 0 && done < out.len;) {
    const ssize_t count = send(link->fd, out.data + done, out.len - done, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) rc = cox_err_set(err, COX_ESYS, "the daemon closed the connection: %s", strerror(errno));
    else done += (size_t)count;
  }
  cox_buf_fini(&out);
  return rc;
}

/* A whole frame off the front; NULL: none is there. */
static json_t *take_frame(struct cox_repl_link *link, struct cox_err *err) {
  size_t len = 0;
  if (link->in.data == NULL) return NULL;
  const enum cox_frame_found found = cox_frame_find(link->in.data, link->in.len, COX_FRAME_ANSWER_MAX, &len);
  if (found == COX_FRAME_TOO_LARGE) cox_err_set(err, COX_EINVAL, "something else than a coxswain answers on this socket");
  if (found != COX_FRAME_WHOLE) return NULL;
  json_t *const value = cox_frame_parse(link->in.data + COX_FRAME_HEAD, len, err);
  const size_t used = COX_FRAME_HEAD + len;
  memmove(link->in.data, link->in.data + used, link->in.len - used);
  link->in.len -= used;
  return value;
}

/* Waits for bytes or Ctrl-C. */
static int wait_for_more(struct cox_repl_link *link, struct cox_err *err) {
  struct pollfd ready[] = {{.fd = link->fd, .events = POLLIN}, {.fd = link->signals, .events = POLLIN}};
  if (poll(ready, 2, -1) < 0) return errno == EINTR ? 0 : cox_err_set(err, COX_ESYS, "waiting for the daemon failed: %s", strerror(errno));
  if (ready[1].revents != 0 && take_signals(link) && ++link->interrupts > 1) {
    return cox_err_set(err, COX_ETIME, "given up: the daemon did not answer to the first Ctrl-C");
  }
  if (ready[1].revents != 0) {
    json_t *const cancel = json_pack("{ss, sI}", "op", "cancel", "of", link->last_id);
    const int rc = send_frame(link, cancel, err);
    json_decref(cancel);
    if (rc != 0) return rc;
  }
  if (ready[0].revents == 0) return 0;
  char bytes[READ_BYTES];
  const ssize_t count = recv(link->fd, bytes, sizeof bytes, 0);
  if (count < 0 && errno == EINTR) return 0;
  if (count <= 0) return cox_err_set(err, COX_ESYS, "the daemon closed the connection");
  return cox_buf_add(&link->in, bytes, (size_t)count) ? 0 : cox_err_set(err, COX_ENOMEM, "out of memory");
}

json_t *cox_repl_link_ask(struct cox_repl_link *link, json_t *request, void (*part)(void *arg, const char *text), void *arg, struct cox_err *err) {
  link->interrupts = 0;
  take_signals(link); /* what was pressed before is not meant for this */
  json_object_set_new(request, "id", json_integer(++link->last_id));
  *err = (struct cox_err){0};
  int rc = send_frame(link, request, err);
  json_decref(request);
  while (rc == 0) {
    json_t *const answer = take_frame(link, err);
    if (answer == NULL) {
      rc = err->code != 0 ? err->code : wait_for_more(link, err);
      continue;
    }
    const json_t *const id = json_object_get(answer, "id");
    const char *const text = json_string_value(json_object_get(answer, "part"));
    const bool is_ours = id == NULL || json_integer_value(id) == link->last_id; /* the outcome of a cancel has no id, nor an error */
    if (is_ours && text == NULL && (id != NULL || json_object_get(answer, "error") != NULL)) return answer;
    if (is_ours && text != NULL && part != NULL) part(arg, text);
    json_decref(answer);
  }
  return NULL;
}
