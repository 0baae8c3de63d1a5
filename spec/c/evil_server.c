#include "evil_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"

enum {
  INPUT_MAX = 256 * 1024,
  EVENTS_MAX = 128,
  PATHS_MAX = 4096,
  PATH_MAX_BYTES = 96,
  WAIT_US = 20000000,
  POLL_MS = 1000,
};

static const char quick[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const struct evil_route fast_path = {"", {{EVIL_SEND, quick, 0, 0}, {EVIL_NEXT, NULL, 0, 0}}};

struct peer {
  struct peer *prev, *next;
  int fd;
  char *input; /* of the request that is being read */
  size_t input_len, input_capacity;
  char path[PATH_MAX_BYTES];
  const struct evil_step *step; /* NULL: reads the next request */
  int round;                    /* of a repeated step */
  size_t sent;                  /* of its text */
  int64_t wake_us;              /* INT64_MAX: waits for no time */
  bool wants_room;              /* the socket is full */
};

struct evil_server {
  struct evil_options options;
  int listener, epoll_fd, wake_fd, port;
  struct cox_thread thread;
  struct peer *peers;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  struct evil_counts counts;
  size_t *by_route; /* and one for all that match none */
  char *last_request;
  char (*urls)[PATH_MAX_BYTES + 32];
  size_t url_count;
  bool is_gate_open, is_ended;
};

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

/* ---- one connection ---- */

static void tell(struct evil_server *server, enum evil_event event, const char *path) {
  if (server->options.on_event != NULL) server->options.on_event(server->options.ctx, event, path);
}

static void drop(struct evil_server *server, struct peer *peer, bool has_left) {
  close(peer->fd);
  if (peer->prev != NULL) peer->prev->next = peer->next;
  else server->peers = peer->next;
  if (peer->next != NULL) peer->next->prev = peer->prev;
  if (has_left) tell(server, EVIL_LEFT, peer->path);
  cox_mutex_lock(&server->mutex);
  server->counts.open--;
  server->counts.left += has_left;
  cox_cond_broadcast(&server->cond);
  cox_mutex_unlock(&server->mutex);
  free(peer->input);
  free(peer);
}

static void watch(struct evil_server *server, struct peer *peer, int op) {
  struct epoll_event event = {.events = EPOLLIN | (peer->wants_room ? EPOLLOUT : 0), .data.ptr = peer};
  assert_int_equal(epoll_ctl(server->epoll_fd, op, peer->fd, &event), 0);
}

static void next_step(struct peer *peer) {
  peer->step++;
  peer->round = 0;
  peer->sent = 0;
  peer->wake_us = INT64_MAX;
}

/* Sends what the step has to send. False: it is blocked, or the peer is gone (then *is_gone). */
static bool send_text(struct evil_server *server, struct peer *peer, bool *is_gone) {
  const struct evil_step *const step = peer->step;
  const size_t length = strlen(step->text);
  const int rounds = step->count == 0 ? 1 : step->count;
  for (int burst = 0; rounds == EVIL_FOREVER || peer->round < rounds; burst++) {
    if (step->op == EVIL_DRIP && peer->sent == 0) {
      if (peer->wake_us == INT64_MAX) peer->wake_us = now_us() + (int64_t)step->ms * 1000;
      if (now_us() < peer->wake_us) return false;
    }
    if (burst == 64) { /* let the others live */
      peer->wake_us = now_us();
      return false;
    }
    const ssize_t count = send(peer->fd, step->text + peer->sent, length - peer->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      peer->wants_room = true;
      watch(server, peer, EPOLL_CTL_MOD);
      return false;
    }
    if (count < 0) {
      drop(server, peer, true);
      *is_gone = true;
      return false;
    }
    peer->sent += (size_t)count;
    if (peer->sent < length) continue;
    peer->sent = 0;
    peer->wake_us = INT64_MAX;
    if (rounds != EVIL_FOREVER) peer->round++;
  }
  return true;
}

static bool is_gate_open(struct evil_server *server) {
  cox_mutex_lock(&server->mutex);
  const bool is_open = server->is_gate_open;
  cox_mutex_unlock(&server->mutex);
  return is_open;
}

static void reset(struct evil_server *server, struct peer *peer) {
  const struct linger hard = {.l_onoff = 1};
  setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  drop(server, peer, false);
}

/* Goes on with the steps as far as possible. False: the peer is gone. */
static bool perform(struct evil_server *server, struct peer *peer) {
  while (peer->step != NULL) {
    bool is_gone = false;
    switch (peer->step->op) {
      case EVIL_END: return true;
      case EVIL_SEND:
      case EVIL_DRIP:
        if (!send_text(server, peer, &is_gone)) return !is_gone;
        break;
      case EVIL_PAUSE:
        if (peer->wake_us == INT64_MAX) peer->wake_us = now_us() + (int64_t)peer->step->ms * 1000;
        if (now_us() < peer->wake_us) return true;
        break;
      case EVIL_GATE:
        if (!is_gate_open(server)) return true;
        break;
      case EVIL_CLOSE: drop(server, peer, false); return false;
      case EVIL_RESET: reset(server, peer); return false;
      case EVIL_NEXT: peer->step = NULL; continue;
    }
    next_step(peer);
  }
  return true;
}

/* ---- requests ---- */

static size_t find_route(const struct evil_server *server, const char *path) {
  const size_t length = strcspn(path, "?");
  for (size_t i = 0; i < server->options.route_count; i++) {
    const char *const candidate = server->options.routes[i].path;
    if (strlen(candidate) == length && strncmp(candidate, path, length) == 0) return i;
  }
  return server->options.route_count;
}

static void begin(struct evil_server *server, struct peer *peer, size_t route) {
  const struct evil_route *const chosen = route < server->options.route_count ? &server->options.routes[route] : &fast_path;
  peer->step = chosen->steps;
  peer->round = 0;
  peer->sent = 0;
  peer->wake_us = INT64_MAX;
}

/* Length of the first whole request in the input, 0: not whole yet. */
static size_t whole(const struct peer *peer) {
  if (peer->input_len == 0) return 0;
  const char *const end = strstr(peer->input, "\r\n\r\n");
  if (end == NULL) return 0;
  const char *const field = strcasestr(peer->input, "\r\ncontent-length:");
  const size_t header = (size_t)(end - peer->input) + 4;
  const size_t body = field != NULL && field < end ? strtoul(field + 17, NULL, 10) : 0;
  return peer->input_len >= header + body ? header + body : 0;
}

static void take_request(struct evil_server *server, struct peer *peer, size_t length) {
  char method[8] = "";
  peer->path[0] = '\0';
  sscanf(peer->input, "%7s %95s", method, peer->path);
  const size_t route = find_route(server, peer->path);
  tell(server, EVIL_REQUEST, peer->path);
  cox_mutex_lock(&server->mutex);
  server->counts.requests++;
  server->counts.posts += strcmp(method, "POST") == 0;
  server->by_route[route]++;
  free(server->last_request);
  server->last_request = strndup(peer->input, length);
  cox_cond_broadcast(&server->cond);
  cox_mutex_unlock(&server->mutex);
  peer->input_len -= length;
  memmove(peer->input, peer->input + length, peer->input_len + 1);
  begin(server, peer, route);
}

/* False: the peer is gone. */
static bool read_input(struct evil_server *server, struct peer *peer) {
  for (;;) {
    if (peer->input_len + 4097 > peer->input_capacity) {
      peer->input_capacity = peer->input_capacity * 2 + 8192;
      peer->input = realloc(peer->input, peer->input_capacity);
      assert_non_null(peer->input);
    }
    const ssize_t count = recv(peer->fd, peer->input + peer->input_len, 4096, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return true;
    if (count <= 0) {
      drop(server, peer, true);
      return false;
    }
    peer->input_len += (size_t)count;
    peer->input[peer->input_len] = '\0';
    assert_true(peer->input_len < INPUT_MAX);
  }
}

static void advance(struct evil_server *server, struct peer *peer) {
  for (;;) {
    if (!perform(server, peer)) return;
    if (peer->step != NULL) return;
    const size_t length = whole(peer);
    if (length == 0) return;
    take_request(server, peer, length);
  }
}

static void serve(struct evil_server *server, struct peer *peer, uint32_t events) {
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_input(server, peer)) return;
  if (peer->wants_room && (events & EPOLLOUT) != 0) {
    peer->wants_room = false;
    watch(server, peer, EPOLL_CTL_MOD);
  }
  if (!peer->wants_room) advance(server, peer);
}

static void accept_all(struct evil_server *server) {
  for (;;) {
    const int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct peer *const peer = calloc(1, sizeof *peer);
    assert_non_null(peer);
    *peer = (struct peer){.fd = fd, .next = server->peers, .wake_us = INT64_MAX};
    if (server->peers != NULL) server->peers->prev = peer;
    server->peers = peer;
    tell(server, EVIL_ACCEPTED, "");
    cox_mutex_lock(&server->mutex);
    server->counts.accepted++;
    server->counts.open++;
    cox_cond_broadcast(&server->cond);
    cox_mutex_unlock(&server->mutex);
    watch(server, peer, EPOLL_CTL_ADD);
    const size_t greeting = find_route(server, "");
    if (greeting < server->options.route_count) begin(server, peer, greeting);
    advance(server, peer);
  }
}

/* ---- the loop ---- */

static int poll_ms(const struct evil_server *server) {
  int64_t until_us = INT64_MAX;
  for (const struct peer *peer = server->peers; peer != NULL; peer = peer->next) {
    if (peer->wake_us < until_us) until_us = peer->wake_us;
  }
  if (until_us == INT64_MAX) return POLL_MS;
  const int64_t left_us = until_us - now_us();
  return left_us <= 0 ? 0 : left_us > POLL_MS * 1000 ? POLL_MS : (int)((left_us + 999) / 1000);
}

static void wake_due(struct evil_server *server, bool is_all) {
  const int64_t now = now_us();
  for (struct peer *peer = server->peers, *next; peer != NULL; peer = next) {
    next = peer->next;
    if (!peer->wants_room && (is_all || peer->wake_us <= now)) advance(server, peer);
  }
}

static bool has_ended(struct evil_server *server) {
  cox_mutex_lock(&server->mutex);
  const bool is_ended = server->is_ended;
  cox_mutex_unlock(&server->mutex);
  return is_ended;
}

static void run(void *arg) {
  struct evil_server *const server = arg;
  struct epoll_event events[EVENTS_MAX];
  while (!has_ended(server)) {
    const int count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, poll_ms(server));
    bool is_woken = false, has_callers = false;
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == &server->wake_fd) is_woken = true;
      else if (events[i].data.ptr == &server->listener) has_callers = true;
      else serve(server, events[i].data.ptr, events[i].events);
    }
    if (has_callers) accept_all(server);
    uint64_t ignored;
    if (is_woken && read(server->wake_fd, &ignored, sizeof ignored) < 0) assert_int_equal(errno, EAGAIN);
    wake_due(server, is_woken);
  }
  while (server->peers != NULL) drop(server, server->peers, false);
}

static int listen_somewhere(int backlog, int *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(fd, backlog), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
  *port = ntohs(address.sin_port);
  return fd;
}

struct evil_server *evil_server_create(const struct evil_options *options) {
  struct evil_server *const server = calloc(1, sizeof *server);
  assert_non_null(server);
  server->options = *options;
  server->by_route = calloc(options->route_count + 1, sizeof *server->by_route);
  server->urls = calloc(PATHS_MAX, sizeof *server->urls);
  assert_true(server->by_route != NULL && server->urls != NULL);
  cox_mutex_init(&server->mutex);
  cox_cond_init(&server->cond);
  server->listener = listen_somewhere(4096, &server->port);
  server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct epoll_event caller = {.events = EPOLLIN, .data.ptr = &server->listener};
  struct epoll_event waker = {.events = EPOLLIN, .data.ptr = &server->wake_fd};
  assert_int_equal(epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listener, &caller), 0);
  assert_int_equal(epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &waker), 0);
  assert_int_equal(cox_thread_start(&server->thread, "evil-server", run, server, NULL), 0);
  return server;
}

static void wake(struct evil_server *server) {
  const uint64_t one = 1;
  assert_int_equal(write(server->wake_fd, &one, sizeof one), sizeof one);
}

void evil_server_destroy(struct evil_server *server) {
  if (server == NULL) return;
  cox_mutex_lock(&server->mutex);
  server->is_ended = true;
  cox_mutex_unlock(&server->mutex);
  wake(server);
  cox_thread_join(&server->thread);
  close(server->listener);
  close(server->epoll_fd);
  close(server->wake_fd);
  cox_cond_fini(&server->cond);
  cox_mutex_fini(&server->mutex);
  free(server->by_route);
  free(server->urls);
  free(server->last_request);
  free(server);
}

/* ---- what tests ask ---- */

int evil_server_port(const struct evil_server *server) { return server->port; }

const char *evil_url(struct evil_server *server, const char *path) {
  cox_mutex_lock(&server->mutex);
  char *const url = server->urls[server->url_count++ % PATHS_MAX];
  cox_mutex_unlock(&server->mutex);
  snprintf(url, sizeof *server->urls, "http://127.0.0.1:%d%s", server->port, path);
  return url;
}

struct evil_counts evil_server_counts(struct evil_server *server) {
  cox_mutex_lock(&server->mutex);
  const struct evil_counts counts = server->counts;
  cox_mutex_unlock(&server->mutex);
  return counts;
}

size_t evil_server_requests(struct evil_server *server, const char *path) {
  cox_mutex_lock(&server->mutex);
  const size_t count = server->by_route[find_route(server, path)];
  cox_mutex_unlock(&server->mutex);
  return count;
}

const char *evil_server_last_request(struct evil_server *server) {
  static char copy[8192];
  cox_mutex_lock(&server->mutex);
  snprintf(copy, sizeof copy, "%s", server->last_request != NULL ? server->last_request : "");
  cox_mutex_unlock(&server->mutex);
  return copy;
}

static bool has_requests(const struct evil_counts *counts, size_t wanted) { return counts->requests >= wanted; }
static bool has_open(const struct evil_counts *counts, size_t wanted) { return counts->open == wanted; }

static void wait_until(struct evil_server *server, bool (*is_so)(const struct evil_counts *, size_t), size_t wanted) {
  const int64_t end_us = now_us() + WAIT_US;
  cox_mutex_lock(&server->mutex);
  while (!is_so(&server->counts, wanted) && now_us() < end_us) cox_cond_wait_us(&server->cond, &server->mutex, end_us - now_us());
  const struct evil_counts counts = server->counts;
  cox_mutex_unlock(&server->mutex);
  if (!is_so(&counts, wanted))
    fail_msg("wanted %zu: there are %zu requests, %zu open of %zu", wanted, counts.requests, counts.open, counts.accepted);
}

void evil_server_wait_requests(struct evil_server *server, size_t requests) { wait_until(server, has_requests, requests); }
void evil_server_wait_open(struct evil_server *server, size_t open) { wait_until(server, has_open, open); }

void evil_server_open_gate(struct evil_server *server) {
  cox_mutex_lock(&server->mutex);
  server->is_gate_open = true;
  cox_mutex_unlock(&server->mutex);
  wake(server);
}

/* ---- ports without a server ---- */

/* The queue of connections that nobody accepts is filled; what comes then gets no answer. */
void evil_wall_init(struct evil_wall *wall) {
  wall->listener = listen_somewhere(0, &wall->port);
  const struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)wall->port)};
  bool is_full = false;
  for (size_t i = 0; i < sizeof wall->fillers / sizeof wall->fillers[0]; i++) {
    wall->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    connect(wall->fillers[i], (const struct sockaddr *)&address, sizeof address);
    struct pollfd ready = {.fd = wall->fillers[i], .events = POLLOUT};
    is_full = poll(&ready, 1, 200) == 0;
  }
  if (!is_full) wall->port = -1;
}

void evil_wall_fini(struct evil_wall *wall) {
  for (size_t i = 0; i < sizeof wall->fillers / sizeof wall->fillers[0]; i++) close(wall->fillers[i]);
  close(wall->listener);
}

int evil_closed_port(void) {
  int port;
  close(listen_somewhere(1, &port));
  return port;
}
