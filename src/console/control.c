#include "console/control.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"
#include "console/control_listen.h"
#include "console/control_peer.h"

enum { EVENTS = 32, SWEEP_MS = 500, TAG_BITS = 8, LISTENER = COX_CONTROL_CONNECTIONS_MAX, WAKE };

/* From a session's thread to cox-control. */
struct message {
  struct message *next;
  uint64_t connection;
  json_t *answer;                    /* NULL: a request has ended */
  struct cox_control_session *ended; /* NULL: it goes on */
};

struct cox_control {
  struct cox_control_options options;
  struct cox_control_host host;
  struct cox_peer_host peer_host;
  struct cox_socket_file file;
  struct cox_thread thread;
  int epoll, wake;
  struct cox_peer peers[COX_CONTROL_CONNECTIONS_MAX]; /* all below: cox-control's */
  uint64_t numbers;
  size_t sessions;
  struct cox_mutex mutex; /* guards the rest */
  struct message *first, *last;
  bool is_stopping;
};

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

/* ---- from the sessions ---- */

static void wake(struct cox_control *control) {
  const uint64_t one = 1;
  const ssize_t rc = write(control->wake, &one, sizeof one);
  (void)rc; /* full: it is awake */
}

static void post(struct cox_control *control, uint64_t connection, json_t *answer, struct cox_control_session *ended) {
  struct message *const message = calloc(1, sizeof *message);
  if (message == NULL) abort(); /* an answer would be missing, or a thread never joined */
  *message = (struct message){.connection = connection, .answer = answer, .ended = ended};
  cox_mutex_lock(&control->mutex);
  if (control->first == NULL) control->first = message;
  else control->last->next = message;
  control->last = message;
  cox_mutex_unlock(&control->mutex);
  wake(control);
}

static void emit(void *arg, uint64_t connection, json_t *answer) { post(arg, connection, answer, NULL); }
static void session_ended(void *arg, struct cox_control_session *session) { post(arg, 0, NULL, session); }

/* ---- connections ---- */

/* `tag` comes back with the event. Only adding can fail. */
static bool watch(struct cox_control *control, int operation, int fd, uint32_t events, uint64_t tag) {
  struct epoll_event event = {.events = events, .data.u64 = tag};
  return epoll_ctl(control->epoll, operation, fd, &event) == 0;
}

/* With the number: an event may be meant for a connection whose place another one has taken since. */
static uint64_t tag_of(const struct cox_control *control, const struct cox_peer *peer) {
  return peer->number << TAG_BITS | (uint64_t)(peer - control->peers);
}

/* The session goes on without it until its thread has ended. */
static void forget(struct cox_control *control, struct cox_peer *peer) {
  if (peer->session != NULL) cox_control_session_close(peer->session);
  if (peer->fd >= 0) watch(control, EPOLL_CTL_DEL, peer->fd, 0, 0);
  cox_peer_fini(peer);
}

/* Sends what it can, then waits for what may come next: answers that are to be sent, or requests. */
static void settle(struct cox_control *control, struct cox_peer *peer) {
  if (!cox_peer_write(peer, now_us()) || cox_peer_is_over(peer)) {
    forget(control, peer);
    return;
  }
  const bool reads = !peer->is_eof && !peer->is_ended && !peer->is_full;
  const uint32_t events = (reads ? EPOLLIN : 0u) | (peer->sent < peer->out.len ? EPOLLOUT : 0u);
  watch(control, EPOLL_CTL_MOD, peer->fd, events, tag_of(control, peer));
}

static struct cox_control_session *open_session(void *arg, struct cox_peer *peer, struct cox_err *err) {
  struct cox_control *const control = arg;
  if (control->sessions >= COX_CONTROL_SESSIONS_MAX) {
    cox_err_set(err, COX_EFULL, "%d console sessions are open already: close one first", COX_CONTROL_SESSIONS_MAX);
    return NULL;
  }
  struct cox_control_session *const session = cox_control_session_create(&control->host, peer->number, &peer->caller, err);
  if (session != NULL) control->sessions++;
  return session;
}

/* The oldest one that never said anything, when all places are taken. */
static struct cox_peer *free_place(struct cox_control *control) {
  struct cox_peer *oldest = NULL;
  for (size_t i = 0; i < COX_CONTROL_CONNECTIONS_MAX; i++) {
    struct cox_peer *const peer = &control->peers[i];
    if (peer->fd < 0) return peer;
    if (!peer->has_spoken && (oldest == NULL || peer->since_us < oldest->since_us)) oldest = peer;
  }
  if (oldest != NULL) forget(control, oldest);
  return oldest;
}

static void refuse(int fd, const char *why) {
  const ssize_t rc = send(fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);
  (void)rc;
  close(fd);
}

static void accept_all(struct cox_control *control) {
  for (int fd; (fd = accept4(control->file.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
    struct cox_console_caller caller = {0};
    if (!cox_socket_file_peer(fd, &caller)) {
      cox_log(COX_LOG_WARN, "control", "another user was turned away from the control socket", "user", caller.name, NULL);
      refuse(fd, "error: only the daemon's user and root may use this socket\n");
      continue;
    }
    struct cox_peer *const peer = free_place(control);
    if (peer == NULL) {
      refuse(fd, "error: too many console connections are open: close one first\n");
      continue;
    }
    cox_peer_init(peer, fd, ++control->numbers, &caller, now_us());
    if (!watch(control, EPOLL_CTL_ADD, fd, EPOLLIN, tag_of(control, peer))) forget(control, peer); /* nobody would hear it */
  }
}

/* It wants the HTTP API; its first bytes are still unread. */
static void give_away(struct cox_control *control, struct cox_peer *peer) {
  const int fd = peer->fd;
  watch(control, EPOLL_CTL_DEL, fd, 0, 0);
  peer->fd = -1;
  cox_peer_fini(peer);
  control->options.adopt(control->options.adopt_ctx, fd);
}

static void serve_peer(struct cox_control *control, uint64_t tag, uint32_t events) {
  struct cox_peer *const peer = &control->peers[tag & ((1u << TAG_BITS) - 1)];
  if (peer->fd < 0 || peer->number != tag >> TAG_BITS) return;
  /* Closed on both sides, it will take no answer: what runs for it is cancelled. */
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 || ((events & EPOLLIN) != 0 && !cox_peer_read(peer, &control->peer_host))) {
    forget(control, peer);
  } else if (peer->language == COX_PEER_HTTP) {
    give_away(control, peer);
  } else {
    settle(control, peer);
  }
}

/* ---- messages ---- */

static struct message *take_messages(struct cox_control *control) {
  uint64_t count;
  const ssize_t rc = read(control->wake, &count, sizeof count);
  (void)rc;
  cox_mutex_lock(&control->mutex);
  struct message *const first = control->first;
  control->first = control->last = NULL;
  cox_mutex_unlock(&control->mutex);
  return first;
}

static struct cox_peer *find(struct cox_control *control, uint64_t number) {
  for (size_t i = 0; i < COX_CONTROL_CONNECTIONS_MAX; i++) {
    if (control->peers[i].fd >= 0 && control->peers[i].number == number) return &control->peers[i];
  }
  return NULL;
}

static void handle_message(struct cox_control *control, const struct message *message) {
  if (message->ended != NULL) {
    cox_control_session_destroy(message->ended);
    control->sessions--;
    return;
  }
  struct cox_peer *const peer = find(control, message->connection);
  if (peer == NULL) {
    json_decref(message->answer);
    return;
  }
  if (peer->sent == peer->out.len) peer->since_us = now_us(); /* from now on it has time to take the answer */
  if (message->answer == NULL) {
    peer->requests--;
    cox_peer_parse(peer, &control->peer_host);
  }
  if (message->answer != NULL && !cox_peer_answer(peer, message->answer)) {
    cox_log(COX_LOG_WARN, "control", "a console connection that takes no answers was cut", "user", peer->caller.name, NULL);
    forget(control, peer);
  } else {
    settle(control, peer);
  }
}

static void handle_messages(struct cox_control *control) {
  for (struct message *message = take_messages(control); message != NULL;) {
    struct message *const next = message->next;
    handle_message(control, message);
    free(message);
    message = next;
  }
}

/* ---- the loop ---- */

/* Cuts whoever says nothing, and whoever does not take what was asked for. */
static void sweep(struct cox_control *control) {
  const int64_t oldest_us = now_us() - control->options.silent_ms * 1000;
  for (size_t i = 0; i < COX_CONTROL_CONNECTIONS_MAX; i++) {
    struct cox_peer *const peer = &control->peers[i];
    if (peer->fd < 0 || peer->since_us > oldest_us) continue;
    if (!peer->has_spoken || peer->sent < peer->out.len) forget(control, peer);
  }
}

static bool is_stopping(struct cox_control *control) {
  cox_mutex_lock(&control->mutex);
  const bool is = control->is_stopping;
  cox_mutex_unlock(&control->mutex);
  return is;
}

/* All connections end; then the loop goes on until the last session's thread has said so. */
static void forget_all(struct cox_control *control) {
  watch(control, EPOLL_CTL_DEL, control->file.fd, 0, 0);
  for (size_t i = 0; i < COX_CONTROL_CONNECTIONS_MAX; i++) {
    if (control->peers[i].fd >= 0) forget(control, &control->peers[i]);
  }
}

static void run(void *arg) {
  struct cox_control *const control = arg;
  struct epoll_event events[EVENTS];
  while (!is_stopping(control) || control->sessions > 0) {
    if (is_stopping(control)) forget_all(control);
    const int count = epoll_wait(control->epoll, events, EVENTS, SWEEP_MS);
    for (int i = 0; i < count; i++) {
      const uint64_t tag = events[i].data.u64;
      if (tag == LISTENER) accept_all(control);
      else if (tag == WAKE) handle_messages(control);
      else serve_peer(control, tag, events[i].events);
    }
    sweep(control);
  }
  forget_all(control);
}

static int start(struct cox_control *control, struct cox_err *err) {
  const int rc = cox_socket_file_open(&control->file, control->options.path, err);
  if (rc != 0) return rc;
  control->epoll = epoll_create1(EPOLL_CLOEXEC);
  control->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (control->epoll < 0 || control->wake < 0) return cox_err_set(err, COX_ESYS, "opening the control socket failed: %s", strerror(errno));
  if (!watch(control, EPOLL_CTL_ADD, control->file.fd, EPOLLIN, LISTENER) || !watch(control, EPOLL_CTL_ADD, control->wake, EPOLLIN, WAKE)) {
    return cox_err_set(err, COX_ESYS, "watching the control socket failed: %s", strerror(errno));
  }
  return cox_thread_start(&control->thread, "cox-control", run, control, err);
}

struct cox_control *cox_control_create(const struct cox_control_options *options, struct cox_err *err) {
  struct cox_control *const control = calloc(1, sizeof *control);
  if (control == NULL) {
    cox_err_set(err, COX_ENOMEM, "opening the control socket failed: out of memory");
    return NULL;
  }
  control->options = *options;
  if (control->options.silent_ms == 0) control->options.silent_ms = COX_CONTROL_SILENT_MS;
  control->host = (struct cox_control_host){
      .broker = options->broker, .console = options->console, .scripts = options->scripts, .arg = control, .emit = emit, .ended = session_ended};
  control->peer_host = (struct cox_peer_host){.arg = control, .open_session = open_session, .has_http = options->adopt != NULL};
  control->epoll = control->wake = control->file.fd = -1;
  cox_mutex_init(&control->mutex);
  for (size_t i = 0; i < COX_CONTROL_CONNECTIONS_MAX; i++) control->peers[i].fd = -1;
  if (start(control, err) == 0) return control;
  cox_control_destroy(control);
  return NULL;
}

void cox_control_destroy(struct cox_control *control) {
  if (control == NULL) return;
  cox_mutex_lock(&control->mutex);
  control->is_stopping = true;
  cox_mutex_unlock(&control->mutex);
  if (control->wake >= 0) wake(control);
  cox_thread_join(&control->thread);
  while (control->first != NULL) { /* answers to nobody */
    struct message *const message = control->first;
    control->first = message->next;
    json_decref(message->answer);
    free(message);
  }
  if (control->epoll >= 0) close(control->epoll);
  if (control->wake >= 0) close(control->wake);
  cox_socket_file_close(&control->file);
  cox_mutex_fini(&control->mutex);
  free(control);
}
