/* The way to an open websocket: libcurl resolves, connects and speaks TLS, then the handshake goes over its connection. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/socket_private.h"

enum { CONNECT_LEAST_MS = 1 };

/* ---- callbacks of libcurl, while it connects ---- */

int *cox_socket_find_watched(struct cox_socket *socket, int fd) {
  for (size_t i = 0; i < COX_SOCKET_WATCHED_MAX; i++) {
    if (socket->watched[i] == fd) return &socket->watched[i];
  }
  return NULL;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known) {
  (void)easy, (void)known;
  struct cox_socket *const socket = ctx;
  int *place = cox_socket_find_watched(socket, fd);
  if (what == CURL_POLL_REMOVE) {
    if (place == NULL) return 0;
    epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* fails when it is closed already: then it is out */
    *place = -1;
    return 0;
  }
  struct epoll_event event = {.data.fd = fd};
  if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
  const bool is_new = place == NULL;
  if (is_new) place = cox_socket_find_watched(socket, -1);
  int rc = place == NULL ? -1 : epoll_ctl(socket->owner->epoll_fd, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  if (rc != 0 && place != NULL && errno == ENOENT) rc = epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_ADD, fd, &event);
  if (rc != 0) cox_log(COX_LOG_ERROR, "net", "watching a websocket failed; it ends at its time-out", "reason", strerror(errno), NULL);
  else *place = fd;
  return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx) {
  (void)multi;
  struct cox_socket *const socket = ctx;
  socket->due_us = timeout_ms < 0 ? INT64_MAX : cox_clock_mono_us(socket->owner->clock) + (int64_t)timeout_ms * 1000;
  return 0;
}

static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
  (void)purpose;
  struct cox_socket *const ws = user;
  ws->is_looking = false;
  const int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd < 0) ws->os_errno = errno;
  return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static size_t on_nothing(char *bytes, size_t size, size_t count, void *user) {
  (void)bytes, (void)user;
  return size * count;
}

/* False: out of memory, for texts are copied. */
static bool set_options(struct cox_socket *socket, const char *http_url, const char *ca_file, int64_t timeout_ms) {
  CURL *const easy = socket->easy;
  curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, socket->detail);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_nothing);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, socket);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else closing it waits for its look-up to end */
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* no other has this handshake */
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms > CONNECT_LEAST_MS ? timeout_ms : CONNECT_LEAST_MS));
  return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK && /* an address means itself: no proxy from the environment */
         (ca_file == NULL || curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) == CURLE_OK) &&
         curl_easy_setopt(easy, CURLOPT_URL, http_url) == CURLE_OK;
}

/* ---- connecting and shaking hands ---- */

void cox_socket_end_unconnected(struct cox_socket *socket, CURLcode code) {
  const struct cox_failure failure = {.code = code,
                                      .method = "GET",
                                      .url = socket->url,
                                      .detail = socket->detail,
                                      .os_errno = socket->os_errno,
                                      .timeout_ms = socket->timeout_ms,
                                      .connect_ms = socket->timeout_ms,
                                      .is_looking = socket->is_looking};
  char why[COX_FAILURE_MAX];
  const enum cox_class class_ = cox_failure_describe(&failure, why);
  cox_socket_end(socket, class_, "could not be connected");
  snprintf(socket->error, sizeof socket->error, "opening a websocket failed: %.400s", why);
  memcpy(socket->reply_error, socket->error, sizeof socket->error);
}

static void write_handshake(struct cox_socket *socket) {
  while (socket->sent < socket->out.len) {
    size_t count = 0;
    const CURLcode code = curl_easy_send(socket->easy, socket->out.data + socket->sent, socket->out.len - socket->sent, &count);
    if (code == CURLE_AGAIN) return;
    if (code != CURLE_OK) {
      cox_socket_end(socket, COX_CLASS_RESET, "broke before the handshake was sent");
      return;
    }
    socket->sent += count;
  }
}

static void read_handshake(struct cox_socket *socket) {
  char bytes[4096];
  for (;;) {
    size_t count = 0, used = 0;
    const CURLcode code = curl_easy_recv(socket->easy, bytes, sizeof bytes, &count);
    if (code == CURLE_AGAIN) return;
    if (code != CURLE_OK || count == 0) {
      cox_socket_end(socket, COX_CLASS_RESET, "was closed before the handshake was answered");
      return;
    }
    if (!cox_buf_add(&socket->in, bytes, count)) {
      cox_socket_end(socket, COX_CLASS_SCRIPT, "was answered, but memory is at its end");
      return;
    }
    char why[COX_HANDSHAKE_WHY_MAX];
    switch (cox_handshake_read(socket->in.data, socket->in.len, socket->key, &used, &socket->http_status, why)) {
      case COX_HANDSHAKE_UNFINISHED: continue;
      case COX_HANDSHAKE_REFUSED: cox_socket_end(socket, socket->http_status >= 500 ? COX_CLASS_SERVER : COX_CLASS_CLIENT, why); return;
      case COX_HANDSHAKE_DONE: cox_socket_begin_frames(socket, used); return;
    }
  }
}

void cox_socket_serve_handshake(struct cox_socket *socket) {
  write_handshake(socket);
  if (socket->stage == COX_SOCKET_SHAKING) read_handshake(socket);
  if (socket->stage == COX_SOCKET_SHAKING) cox_socket_watch(socket);
}

/* Connected: from here on the descriptor is ours to watch. */
static void begin_shaking(struct cox_socket *socket) {
  curl_socket_t fd = CURL_SOCKET_BAD;
  curl_easy_getinfo(socket->easy, CURLINFO_ACTIVESOCKET, &fd);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.fd = fd};
  int *const place = cox_socket_find_watched(socket, fd);
  if (place != NULL) {
    epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    *place = -1;
  }
  if (fd == CURL_SOCKET_BAD || epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
    cox_socket_end(socket, COX_CLASS_SCRIPT, "was connected, but its socket cannot be watched");
    return;
  }
  socket->fd = fd;
  socket->events = event.events;
  socket->stage = COX_SOCKET_SHAKING;
  cox_socket_serve_handshake(socket);
}

static void look_at_curl(struct cox_socket *socket) {
  int left;
  const CURLMsg *const message = curl_multi_info_read(socket->multi, &left);
  if (socket->stage != COX_SOCKET_CONNECTING || message == NULL || message->msg != CURLMSG_DONE) return;
  const CURLcode code = message->data.result;
  long os_errno = 0;
  curl_easy_getinfo(socket->easy, CURLINFO_OS_ERRNO, &os_errno);
  if (socket->os_errno == 0) socket->os_errno = (int)os_errno;
  if (code == CURLE_OK) begin_shaking(socket);
  else cox_socket_end_unconnected(socket, code);
}

void cox_socket_connect_event(struct cox_socket *socket, int fd, uint32_t events) {
  int what = 0, running;
  if ((events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
  if ((events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR;
  curl_multi_socket_action(socket->multi, fd >= 0 ? fd : CURL_SOCKET_TIMEOUT, what, &running);
  look_at_curl(socket);
}

/* ---- begin ---- */

bool cox_socket_prepare(struct cox_socket *socket, const struct cox_io_request *request) {
  struct cox_buf http_url = {0};
  cox_handshake_key(socket->key);
  socket->url = strdup(request->url);
  socket->multi = curl_multi_init();
  socket->easy = curl_easy_init();
  bool is_done = socket->url != NULL && socket->multi != NULL && socket->easy != NULL &&
                 cox_handshake_request(request->url, socket->key, &socket->out) && cox_handshake_http_url(request->url, &http_url);
  if (is_done) {
    curl_multi_setopt(socket->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(socket->multi, CURLMOPT_SOCKETDATA, socket);
    curl_multi_setopt(socket->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(socket->multi, CURLMOPT_TIMERDATA, socket);
    is_done = set_options(socket, http_url.data, request->ca_file, request->timeout_ms) &&
              curl_multi_add_handle(socket->multi, socket->easy) == CURLM_OK;
  }
  cox_buf_fini(&http_url);
  return is_done;
}
