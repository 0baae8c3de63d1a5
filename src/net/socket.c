#include "net/socket.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/failure.h"
#include "net/handshake.h"

enum {
  WATCHED_MAX = 8,          /* descriptors of one socket: several addresses tried at once, and the look-up's */
  READ_TURN = 512 * 1024,   /* bytes read in one turn, so that a flood does not hold up the loop */
  CONNECT_LEAST_MS = 1,
  URL_SHOWN = 160,
};

enum stage { CONNECTING, SHAKING, OPEN, ENDED };

/* A message that has come whole. */
struct message {
  struct message *next;
  size_t length;
  char text[]; /* and a NUL */
};

struct cox_socket {
  struct cox_socket *next;
  struct cox_sockets *owner;
  void *user;
  uint64_t number;
  enum stage stage;
  CURLM *multi;
  CURL *easy;
  int64_t due_us; /* when libcurl wants a look */
  int fd;         /* once it is connected; -1 before */
  uint32_t events; /* asked of epoll for it */
  int watched[WATCHED_MAX]; /* descriptors in the epoll set while libcurl has them; -1: free */
  int os_errno;
  bool is_looking; /* the name is not resolved yet */
  char detail[CURL_ERROR_SIZE];
  char *url;
  char key[COX_HANDSHAKE_KEY_BYTES];
  struct cox_buf out, in; /* of the handshake; `in` keeps what came behind the answer */
  size_t sent, taken;     /* of them */
  wslay_event_context_ptr frames;
  size_t message_max;
  struct message *first, *last, *current; /* inbox, and the one that the last reply borrows */
  size_t inbox, inbox_bytes;
  size_t turn;     /* bytes read in this turn */
  bool is_unread;  /* reading stopped before nothing was there */
  bool has_pong;
  /* what was asked */
  bool is_waiting, is_settled;
  enum cox_io_kind kind;
  int64_t timeout_ms;
  /* how it ended, and how the last request did */
  enum cox_class class_;
  int http_status;
  char error[COX_FAILURE_MAX];
  enum cox_class reply_class;
  char reply_error[COX_FAILURE_MAX];
};

/* ---- ends ---- */

static void settle(struct cox_socket *socket) {
  if (!socket->is_waiting) return;
  socket->is_waiting = false;
  socket->is_settled = true;
}

static void end(struct cox_socket *socket, enum cox_class class_, const char *why) {
  if (socket->stage == ENDED) return;
  const bool was_open = socket->stage == OPEN;
  socket->stage = ENDED;
  socket->class_ = class_;
  if (was_open) snprintf(socket->error, sizeof socket->error, "the websocket %.*s %s", URL_SHOWN, socket->url, why);
  else snprintf(socket->error, sizeof socket->error, "opening the websocket %.*s failed: it %s", URL_SHOWN, socket->url, why);
  /* What has come whole is still received, one by one. */
  if (socket->is_waiting && !(socket->kind == COX_IO_SOCKET_RECEIVE && socket->first != NULL)) {
    socket->reply_class = class_;
    memcpy(socket->reply_error, socket->error, sizeof socket->error);
  }
  settle(socket);
}

/* ---- callbacks of libcurl, while it connects ---- */

static int *find_watched(struct cox_socket *socket, int fd) {
  for (size_t i = 0; i < WATCHED_MAX; i++) {
    if (socket->watched[i] == fd) return &socket->watched[i];
  }
  return NULL;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known) {
  (void)easy, (void)known;
  struct cox_socket *const socket = ctx;
  int *place = find_watched(socket, fd);
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
  if (is_new) place = find_watched(socket, -1);
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

static void set_options(struct cox_socket *socket, const char *http_url, int64_t timeout_ms) {
  CURL *const easy = socket->easy;
  curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, socket->detail);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_nothing);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, socket);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else closing it waits for its look-up to end */
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* no other has this handshake */
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* an address means itself: no proxy from the environment */
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms > CONNECT_LEAST_MS ? timeout_ms : CONNECT_LEAST_MS));
  curl_easy_setopt(easy, CURLOPT_URL, http_url);
}

/* ---- frames ---- */

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *bytes, size_t room, int flags, void *user) {
  (void)flags;
  struct cox_socket *const socket = user;
  const size_t left = socket->in.len - socket->taken;
  if (left > 0) { /* read with the handshake */
    const size_t count = left < room ? left : room;
    memcpy(bytes, socket->in.data + socket->taken, count);
    socket->taken += count;
    return (ssize_t)count;
  }
  size_t count = 0;
  if (socket->turn >= READ_TURN || socket->inbox >= COX_SOCKET_INBOX_MAX) {
    socket->is_unread = true;
    wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
    return -1;
  }
  const CURLcode code = curl_easy_recv(socket->easy, bytes, room, &count);
  if (code == CURLE_OK && count > 0) {
    socket->turn += count;
    return (ssize_t)count;
  }
  if (code == CURLE_OK) end(socket, COX_CLASS_RESET, "was closed by the other side without a word");
  wslay_event_set_error(frames, code == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t count, int flags, void *user) {
  (void)flags;
  struct cox_socket *const socket = user;
  size_t sent = 0;
  const CURLcode code = curl_easy_send(socket->easy, bytes, count, &sent);
  if (code == CURLE_OK) return (ssize_t)sent;
  wslay_event_set_error(frames, code == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

/* Frames of a client are masked with chance, so that what it says cannot pose as something else to machines in between. */
static int on_mask(wslay_event_context_ptr frames, uint8_t *bytes, size_t count, void *user) {
  (void)user;
  if (getrandom(bytes, count, 0) == (ssize_t)count) return 0;
  wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

static void on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *arg, void *user) {
  (void)frames;
  struct cox_socket *const socket = user;
  if (arg->opcode == WSLAY_PONG) socket->has_pong = true;
  if (wslay_is_ctrl_frame(arg->opcode)) return; /* wslay answers pings and closes by itself */
  struct message *const message = malloc(sizeof *message + arg->msg_length + 1);
  if (message == NULL) {
    end(socket, COX_CLASS_SCRIPT, "brought a message for which there is no memory");
    return;
  }
  message->next = NULL;
  message->length = arg->msg_length;
  if (arg->msg_length > 0) memcpy(message->text, arg->msg, arg->msg_length);
  message->text[arg->msg_length] = '\0';
  if (socket->last != NULL) socket->last->next = message;
  else socket->first = message;
  socket->last = message;
  socket->inbox++;
  socket->inbox_bytes += message->length;
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv, .send_callback = on_send, .genmask_callback = on_mask, .on_msg_recv_callback = on_message};

/* ---- the inbox, and what is waited for ---- */

static bool is_full(const struct cox_socket *socket) {
  return socket->inbox >= COX_SOCKET_INBOX_MAX || socket->inbox_bytes >= socket->message_max;
}

static bool has_what_was_asked(const struct cox_socket *socket) {
  switch (socket->kind) {
    case COX_IO_SOCKET_OPEN: return socket->stage == OPEN;
    case COX_IO_SOCKET_SEND: return socket->stage == OPEN && !wslay_event_want_write(socket->frames);
    case COX_IO_SOCKET_PING: return socket->has_pong || socket->first != NULL;
    case COX_IO_SOCKET_RECEIVE: return socket->first != NULL;
    default: return true;
  }
}

static void look_for_answer(struct cox_socket *socket) {
  if (socket->is_waiting && has_what_was_asked(socket)) settle(socket);
}

static void watch_open(struct cox_socket *socket) {
  uint32_t events = is_full(socket) ? 0 : EPOLLIN;
  if (socket->stage == SHAKING ? socket->sent < socket->out.len : wslay_event_want_write(socket->frames)) events |= EPOLLOUT;
  if (events == socket->events) return;
  struct epoll_event event = {.events = events, .data.fd = socket->fd};
  epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_MOD, socket->fd, &event);
  socket->events = events;
}

/* The other side's close frame, or our own reason for one. */
static void end_closed(struct cox_socket *socket) {
  char why[96];
  const unsigned sent = wslay_event_get_status_code_sent(socket->frames), got = wslay_event_get_status_code_received(socket->frames);
  if (wslay_event_get_close_received(socket->frames)) {
    snprintf(why, sizeof why, "was closed by the other side with code %u", got);
    end(socket, COX_CLASS_RESET, why);
  } else if (sent == WSLAY_CODE_MESSAGE_TOO_BIG) {
    snprintf(why, sizeof why, "brought a message larger than %zu bytes", socket->message_max);
    end(socket, COX_CLASS_BAD_ANSWER, why);
  } else {
    snprintf(why, sizeof why, "brought something that is no frame (code %u)", sent);
    end(socket, COX_CLASS_BAD_ANSWER, why);
  }
}

static void write_frames(struct cox_socket *socket) {
  if (socket->stage != OPEN || !wslay_event_want_write(socket->frames)) return;
  if (wslay_event_send(socket->frames) != 0) end(socket, COX_CLASS_RESET, "broke while a message was written");
}

static void read_frames(struct cox_socket *socket) {
  if (socket->stage != OPEN || is_full(socket)) return;
  socket->turn = 0;
  socket->is_unread = false;
  const int rc = wslay_event_recv(socket->frames);
  if (socket->stage != OPEN) return;
  if (rc != 0) {
    end(socket, COX_CLASS_RESET, "broke");
  } else {
    write_frames(socket); /* pongs, and the answer to a close */
    if (socket->stage == OPEN && !wslay_event_want_read(socket->frames)) end_closed(socket);
  }
}

static void serve_open(struct cox_socket *socket) {
  write_frames(socket);
  read_frames(socket);
  look_for_answer(socket);
  if (socket->stage == OPEN) watch_open(socket);
}

/* ---- connecting and shaking hands ---- */

static void end_unconnected(struct cox_socket *socket, CURLcode code) {
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
  end(socket, class_, "could not be connected");
  snprintf(socket->error, sizeof socket->error, "opening a websocket failed: %.400s", why);
  memcpy(socket->reply_error, socket->error, sizeof socket->error);
}

static void write_handshake(struct cox_socket *socket) {
  while (socket->sent < socket->out.len) {
    size_t count = 0;
    const CURLcode code = curl_easy_send(socket->easy, socket->out.data + socket->sent, socket->out.len - socket->sent, &count);
    if (code == CURLE_AGAIN) return;
    if (code != CURLE_OK) {
      end(socket, COX_CLASS_RESET, "broke before the handshake was sent");
      return;
    }
    socket->sent += count;
  }
}

static void begin_frames(struct cox_socket *socket, size_t used) {
  if (wslay_event_context_client_init(&socket->frames, &callbacks, socket) != 0) {
    end(socket, COX_CLASS_SCRIPT, "found no memory for its frames");
    return;
  }
  wslay_event_config_set_max_recv_msg_length(socket->frames, socket->message_max);
  socket->taken = used;
  socket->stage = OPEN;
  serve_open(socket);
}

static void read_handshake(struct cox_socket *socket) {
  char bytes[4096];
  for (;;) {
    size_t count = 0, used = 0;
    const CURLcode code = curl_easy_recv(socket->easy, bytes, sizeof bytes, &count);
    if (code == CURLE_AGAIN) return;
    if (code != CURLE_OK || count == 0) {
      end(socket, COX_CLASS_RESET, "was closed before the handshake was answered");
      return;
    }
    if (!cox_buf_add(&socket->in, bytes, count)) {
      end(socket, COX_CLASS_SCRIPT, "was answered, but memory is at its end");
      return;
    }
    char why[COX_HANDSHAKE_WHY_MAX];
    switch (cox_handshake_read(socket->in.data, socket->in.len, socket->key, &used, &socket->http_status, why)) {
      case COX_HANDSHAKE_UNFINISHED: continue;
      case COX_HANDSHAKE_REFUSED: end(socket, socket->http_status >= 500 ? COX_CLASS_SERVER : COX_CLASS_CLIENT, why); return;
      case COX_HANDSHAKE_DONE: begin_frames(socket, used); return;
    }
  }
}

static void serve_shaking(struct cox_socket *socket) {
  write_handshake(socket);
  if (socket->stage == SHAKING) read_handshake(socket);
  if (socket->stage == SHAKING) watch_open(socket);
}

/* Connected: from here on the descriptor is ours to watch. */
static void begin_shaking(struct cox_socket *socket) {
  curl_socket_t fd = CURL_SOCKET_BAD;
  curl_easy_getinfo(socket->easy, CURLINFO_ACTIVESOCKET, &fd);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.fd = fd};
  int *const place = find_watched(socket, fd);
  if (place != NULL) {
    epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    *place = -1;
  }
  if (fd == CURL_SOCKET_BAD || epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
    end(socket, COX_CLASS_SCRIPT, "was connected, but its socket cannot be watched");
    return;
  }
  socket->fd = fd;
  socket->events = event.events;
  socket->stage = SHAKING;
  serve_shaking(socket);
}

static void look_at_curl(struct cox_socket *socket) {
  int left;
  const CURLMsg *const message = curl_multi_info_read(socket->multi, &left);
  if (socket->stage != CONNECTING || message == NULL || message->msg != CURLMSG_DONE) return;
  const CURLcode code = message->data.result;
  long os_errno = 0;
  curl_easy_getinfo(socket->easy, CURLINFO_OS_ERRNO, &os_errno);
  if (socket->os_errno == 0) socket->os_errno = (int)os_errno;
  if (code == CURLE_OK) begin_shaking(socket);
  else end_unconnected(socket, code);
}

/* ---- life ---- */

void cox_sockets_init(struct cox_sockets *sockets, int epoll_fd, const struct cox_clock *clock) {
  *sockets = (struct cox_sockets){.epoll_fd = epoll_fd, .clock = clock};
}

static bool prepare(struct cox_socket *socket, const struct cox_io_request *request) {
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
    set_options(socket, http_url.data, request->timeout_ms);
    is_done = curl_multi_add_handle(socket->multi, socket->easy) == CURLM_OK;
  }
  cox_buf_fini(&http_url);
  return is_done;
}

static void free_inbox(struct cox_socket *socket) {
  free(socket->current);
  while (socket->first != NULL) {
    struct message *const message = socket->first;
    socket->first = message->next;
    free(message);
  }
}

static void destroy(struct cox_socket *socket) {
  if (socket->fd >= 0) epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, socket->fd, NULL);
  wslay_event_context_free(socket->frames);
  if (socket->multi != NULL && socket->easy != NULL) curl_multi_remove_handle(socket->multi, socket->easy); /* closes the connection */
  curl_easy_cleanup(socket->easy);
  if (socket->multi != NULL) curl_multi_cleanup(socket->multi);
  cox_buf_fini(&socket->out);
  cox_buf_fini(&socket->in);
  free_inbox(socket);
  free(socket->url);
  free(socket);
}

struct cox_socket *cox_socket_open(struct cox_sockets *sockets, const struct cox_io_request *request, void *user, const char **why) {
  if (sockets->count >= COX_SOCKETS_MAX) {
    *why = "opening a websocket was refused: too many of them are open on this worker; close one first";
    return NULL;
  }
  struct cox_socket *const socket = calloc(1, sizeof *socket);
  if (socket == NULL) {
    *why = "opening a websocket failed: out of memory";
    return NULL;
  }
  *socket = (struct cox_socket){.owner = sockets, .user = user, .fd = -1, .due_us = INT64_MAX, .is_looking = true,
                                .is_waiting = true, .kind = COX_IO_SOCKET_OPEN, .timeout_ms = request->timeout_ms};
  for (size_t i = 0; i < WATCHED_MAX; i++) socket->watched[i] = -1;
  socket->message_max = request->response_max != 0 ? request->response_max : COX_SOCKET_MESSAGE_MAX;
  if (!prepare(socket, request)) {
    destroy(socket);
    *why = "opening a websocket failed: out of memory, or its address is none (write ws://host:port/path)";
    return NULL;
  }
  socket->number = ++sockets->last;
  socket->next = sockets->first;
  sockets->first = socket;
  sockets->count++;
  return socket;
}

void cox_socket_close(struct cox_socket *socket) {
  struct cox_sockets *const sockets = socket->owner;
  if (socket->stage == OPEN && wslay_event_queue_close(socket->frames, WSLAY_CODE_GOING_AWAY, NULL, 0) == 0) {
    wslay_event_send(socket->frames);
  }
  struct cox_socket **place = &sockets->first;
  while (*place != socket) place = &(*place)->next;
  *place = socket->next;
  sockets->count--;
  destroy(socket);
}

uint64_t cox_socket_number(const struct cox_socket *socket) { return socket->number; }

/* ---- requests ---- */

static void queue_message(struct cox_socket *socket, uint8_t opcode, const char *text, size_t length) {
  const struct wslay_event_msg message = {.opcode = opcode, .msg = (const uint8_t *)text, .msg_length = length};
  if (wslay_event_queue_msg(socket->frames, &message) != 0) end(socket, COX_CLASS_SCRIPT, "takes no message any more, or memory is at its end");
}

void cox_socket_ask(struct cox_socket *socket, const struct cox_io_request *request) {
  assert(!socket->is_waiting);
  free(socket->current);
  socket->current = NULL;
  socket->reply_class = COX_CLASS_NONE;
  socket->kind = request->kind;
  socket->timeout_ms = request->timeout_ms;
  socket->is_waiting = true;
  if (socket->stage == OPEN) {
    if (request->kind == COX_IO_SOCKET_SEND) queue_message(socket, WSLAY_TEXT_FRAME, request->body, request->body_len);
    if (request->kind == COX_IO_SOCKET_PING) {
      socket->has_pong = false;
      queue_message(socket, WSLAY_PING, NULL, 0);
    }
  }
  if (socket->stage == OPEN) serve_open(socket);
  look_for_answer(socket);
  if (socket->stage == ENDED && socket->is_waiting) {
    socket->reply_class = socket->class_;
    memcpy(socket->reply_error, socket->error, sizeof socket->error);
    settle(socket);
  }
}

void cox_socket_expire(struct cox_socket *socket) {
  if (!socket->is_waiting) return;
  if (socket->kind == COX_IO_SOCKET_OPEN && socket->stage == CONNECTING) {
    end_unconnected(socket, CURLE_OPERATION_TIMEDOUT);
    return;
  }
  char why[96];
  snprintf(why, sizeof why, "did not answer within %lld ms", (long long)socket->timeout_ms);
  if (socket->kind == COX_IO_SOCKET_OPEN || socket->kind == COX_IO_SOCKET_SEND) {
    end(socket, COX_CLASS_TIMEOUT, socket->kind == COX_IO_SOCKET_OPEN ? why : "took no more: a message was not written in time");
    return;
  }
  socket->reply_class = COX_CLASS_TIMEOUT;
  snprintf(socket->reply_error, sizeof socket->reply_error, "timeout");
  settle(socket);
}

bool cox_socket_is_waiting(const struct cox_socket *socket) { return socket->is_waiting; }

void cox_socket_forget(struct cox_socket *socket) { socket->is_waiting = socket->is_settled = false; }

static struct cox_io_reply take_message(struct cox_socket *socket) {
  struct message *const message = socket->first;
  socket->first = message->next;
  if (socket->first == NULL) socket->last = NULL;
  socket->inbox--;
  socket->inbox_bytes -= message->length;
  socket->current = message;
  if (socket->stage == OPEN) watch_open(socket); /* there is room again */
  return (struct cox_io_reply){.class_ = COX_CLASS_NONE, .body = message->text, .body_len = message->length};
}

struct cox_io_reply cox_socket_reply(struct cox_socket *socket) {
  if (socket->reply_class != COX_CLASS_NONE)
    return (struct cox_io_reply){.class_ = socket->reply_class, .error = socket->reply_error, .http_status = socket->http_status};
  if (socket->kind == COX_IO_SOCKET_RECEIVE) return take_message(socket);
  return (struct cox_io_reply){.class_ = COX_CLASS_NONE, .socket = socket->number, .body = ""};
}

/* ---- the loop's side ---- */

static void serve(struct cox_socket *socket, int fd, uint32_t events) {
  if (socket->stage == SHAKING || socket->stage == OPEN) {
    if (socket->stage == SHAKING) serve_shaking(socket);
    else serve_open(socket);
    /* What a full inbox leaves unread must not wake us again and again; the end of the stream cannot be waited for. */
    if (socket->stage == OPEN && socket->events == 0 && (events & (EPOLLERR | EPOLLHUP)) != 0) {
      epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, socket->fd, NULL);
      socket->fd = -1;
      end(socket, COX_CLASS_RESET, "broke");
    }
    return;
  }
  if (socket->stage == ENDED) {
    epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    if (fd == socket->fd) socket->fd = -1;
    return;
  }
  int what = 0, running;
  if ((events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
  if ((events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR;
  curl_multi_socket_action(socket->multi, fd, what, &running);
  look_at_curl(socket);
}

bool cox_sockets_event(struct cox_sockets *sockets, int fd, uint32_t events) {
  for (struct cox_socket *socket = sockets->first; socket != NULL; socket = socket->next) {
    if (fd != socket->fd && find_watched(socket, fd) == NULL) continue;
    serve(socket, fd, events);
    return true;
  }
  return false;
}

void cox_sockets_tick(struct cox_sockets *sockets, int64_t now_us) {
  for (struct cox_socket *socket = sockets->first; socket != NULL; socket = socket->next) {
    if (socket->stage == OPEN && socket->is_unread && !is_full(socket)) serve_open(socket);
    if (socket->stage != CONNECTING || socket->due_us > now_us) continue;
    socket->due_us = INT64_MAX;
    int running;
    curl_multi_socket_action(socket->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look_at_curl(socket);
  }
}

int64_t cox_sockets_due(const struct cox_sockets *sockets) {
  int64_t due_us = INT64_MAX;
  for (const struct cox_socket *socket = sockets->first; socket != NULL; socket = socket->next) {
    if (socket->is_settled || (socket->stage == OPEN && socket->is_unread && !is_full(socket))) return 0;
    if (socket->stage == CONNECTING && socket->due_us < due_us) due_us = socket->due_us;
  }
  return due_us;
}

void *cox_sockets_take_settled(struct cox_sockets *sockets) {
  for (struct cox_socket *socket = sockets->first; socket != NULL; socket = socket->next) {
    if (!socket->is_settled) continue;
    socket->is_settled = false;
    return socket->user;
  }
  return NULL;
}
