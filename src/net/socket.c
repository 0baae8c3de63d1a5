#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "net/socket_private.h"

enum {
  READ_TURN = 512 * 1024, /* bytes read in one turn, so that a flood does not hold up the loop */
  URL_SHOWN = 160,
};

/* ---- ends ---- */

static void settle(struct cox_socket *socket) {
  if (!socket->is_waiting) return;
  socket->is_waiting = false;
  socket->is_settled = true;
}

void cox_socket_end(struct cox_socket *socket, enum cox_class class_, const char *why) {
  if (socket->stage == COX_SOCKET_ENDED) return;
  const bool was_open = socket->stage == COX_SOCKET_IS_OPEN;
  socket->stage = COX_SOCKET_ENDED;
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
  if (code == CURLE_OK) cox_socket_end(socket, COX_CLASS_RESET, "was closed by the other side without a word");
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
  struct cox_socket_message *const message = malloc(sizeof *message + arg->msg_length + 1);
  if (message == NULL) {
    cox_socket_end(socket, COX_CLASS_SCRIPT, "brought a message for which there is no memory");
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
    case COX_IO_SOCKET_OPEN: return socket->stage == COX_SOCKET_IS_OPEN;
    case COX_IO_SOCKET_SEND: return socket->stage == COX_SOCKET_IS_OPEN && !wslay_event_want_write(socket->frames);
    case COX_IO_SOCKET_PING: return socket->has_pong || socket->first != NULL;
    case COX_IO_SOCKET_RECEIVE: return socket->first != NULL;
    default: return true;
  }
}

static void look_for_answer(struct cox_socket *socket) {
  if (socket->is_waiting && has_what_was_asked(socket)) settle(socket);
}

void cox_socket_watch(struct cox_socket *socket) {
  uint32_t events = is_full(socket) ? 0 : EPOLLIN;
  if (socket->stage == COX_SOCKET_SHAKING ? socket->sent < socket->out.len : wslay_event_want_write(socket->frames)) events |= EPOLLOUT;
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
    cox_socket_end(socket, COX_CLASS_RESET, why);
  } else if (sent == WSLAY_CODE_MESSAGE_TOO_BIG) {
    snprintf(why, sizeof why, "brought a message larger than %zu bytes", socket->message_max);
    cox_socket_end(socket, COX_CLASS_BAD_ANSWER, why);
  } else {
    snprintf(why, sizeof why, "brought something that is no frame (code %u)", sent);
    cox_socket_end(socket, COX_CLASS_BAD_ANSWER, why);
  }
}

static void write_frames(struct cox_socket *socket) {
  if (socket->stage != COX_SOCKET_IS_OPEN || !wslay_event_want_write(socket->frames)) return;
  if (wslay_event_send(socket->frames) != 0) cox_socket_end(socket, COX_CLASS_RESET, "broke while a message was written");
}

static void read_frames(struct cox_socket *socket) {
  if (socket->stage != COX_SOCKET_IS_OPEN || is_full(socket)) return;
  socket->turn = 0;
  socket->is_unread = false;
  const int rc = wslay_event_recv(socket->frames);
  if (socket->stage != COX_SOCKET_IS_OPEN) return;
  if (rc != 0) {
    cox_socket_end(socket, COX_CLASS_RESET, "broke");
  } else {
    write_frames(socket); /* pongs, and the answer to a close */
    if (socket->stage == COX_SOCKET_IS_OPEN && !wslay_event_want_read(socket->frames)) end_closed(socket);
  }
}

static void serve_open(struct cox_socket *socket) {
  write_frames(socket);
  read_frames(socket);
  look_for_answer(socket);
  if (socket->stage == COX_SOCKET_IS_OPEN) cox_socket_watch(socket);
}

void cox_socket_begin_frames(struct cox_socket *socket, size_t used) {
  if (wslay_event_context_client_init(&socket->frames, &callbacks, socket) != 0) {
    cox_socket_end(socket, COX_CLASS_SCRIPT, "found no memory for its frames");
    return;
  }
  wslay_event_config_set_max_recv_msg_length(socket->frames, socket->message_max);
  socket->taken = used;
  socket->stage = COX_SOCKET_IS_OPEN;
  look_for_answer(socket); /* it was opened, however soon it ends: what came in between is to be received */
  serve_open(socket);
}

/* ---- life ---- */

void cox_sockets_init(struct cox_sockets *sockets, int epoll_fd, const struct cox_clock *clock) {
  *sockets = (struct cox_sockets){.epoll_fd = epoll_fd, .clock = clock};
}

static void free_inbox(struct cox_socket *socket) {
  free(socket->current);
  while (socket->first != NULL) {
    struct cox_socket_message *const message = socket->first;
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
  for (size_t i = 0; i < COX_SOCKET_WATCHED_MAX; i++) socket->watched[i] = -1;
  socket->message_max = request->response_max != 0 ? request->response_max : COX_SOCKET_MESSAGE_MAX;
  if (!cox_socket_prepare(socket, request)) {
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
  if (socket->stage == COX_SOCKET_IS_OPEN && wslay_event_queue_close(socket->frames, WSLAY_CODE_GOING_AWAY, NULL, 0) == 0) {
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
  if (wslay_event_queue_msg(socket->frames, &message) != 0) cox_socket_end(socket, COX_CLASS_SCRIPT, "takes no message any more, or memory is at its end");
}

void cox_socket_ask(struct cox_socket *socket, const struct cox_io_request *request) {
  assert(!socket->is_waiting);
  free(socket->current);
  socket->current = NULL;
  socket->reply_class = COX_CLASS_NONE;
  socket->kind = request->kind;
  socket->timeout_ms = request->timeout_ms;
  socket->is_waiting = true;
  if (socket->stage == COX_SOCKET_IS_OPEN) {
    if (request->kind == COX_IO_SOCKET_SEND) queue_message(socket, WSLAY_TEXT_FRAME, request->body, request->body_len);
    if (request->kind == COX_IO_SOCKET_PING) {
      socket->has_pong = false;
      queue_message(socket, WSLAY_PING, NULL, 0);
    }
  }
  if (socket->stage == COX_SOCKET_IS_OPEN) serve_open(socket);
  look_for_answer(socket);
  if (socket->stage == COX_SOCKET_ENDED && socket->is_waiting) {
    socket->reply_class = socket->class_;
    memcpy(socket->reply_error, socket->error, sizeof socket->error);
    settle(socket);
  }
}

void cox_socket_expire(struct cox_socket *socket) {
  if (!socket->is_waiting) return;
  if (socket->kind == COX_IO_SOCKET_OPEN && socket->stage == COX_SOCKET_CONNECTING) {
    cox_socket_end_unconnected(socket, CURLE_OPERATION_TIMEDOUT);
    return;
  }
  char why[96];
  snprintf(why, sizeof why, "did not answer within %lld ms", (long long)socket->timeout_ms);
  if (socket->kind == COX_IO_SOCKET_OPEN || socket->kind == COX_IO_SOCKET_SEND) {
    cox_socket_end(socket, COX_CLASS_TIMEOUT, socket->kind == COX_IO_SOCKET_OPEN ? why : "took no more: a message was not written in time");
    return;
  }
  socket->reply_class = COX_CLASS_TIMEOUT;
  snprintf(socket->reply_error, sizeof socket->reply_error, "timeout");
  settle(socket);
}

bool cox_socket_is_waiting(const struct cox_socket *socket) { return socket->is_waiting; }

void cox_socket_forget(struct cox_socket *socket) { socket->is_waiting = socket->is_settled = false; }

static struct cox_io_reply take_message(struct cox_socket *socket) {
  struct cox_socket_message *const message = socket->first;
  socket->first = message->next;
  if (socket->first == NULL) socket->last = NULL;
  socket->inbox--;
  socket->inbox_bytes -= message->length;
  socket->current = message;
  if (socket->stage == COX_SOCKET_IS_OPEN) cox_socket_watch(socket); /* there is room again */
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
  if (socket->stage == COX_SOCKET_SHAKING || socket->stage == COX_SOCKET_IS_OPEN) {
    if (socket->stage == COX_SOCKET_SHAKING) cox_socket_serve_handshake(socket);
    else serve_open(socket);
    /* What a full inbox leaves unread must not wake us again and again; the end of the stream cannot be waited for. */
    if (socket->stage == COX_SOCKET_IS_OPEN && socket->events == 0 && (events & (EPOLLERR | EPOLLHUP)) != 0) {
      epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, socket->fd, NULL);
      socket->fd = -1;
      cox_socket_end(socket, COX_CLASS_RESET, "broke");
    }
    return;
  }
  if (socket->stage == COX_SOCKET_ENDED) {
    epoll_ctl(socket->owner->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    if (fd == socket->fd) socket->fd = -1;
    return;
  }
  cox_socket_connect_event(socket, fd, events);
}

bool cox_sockets_event(struct cox_sockets *sockets, int fd, uint32_t events) {
  for (struct cox_socket *socket = sockets->first; socket != NULL; socket = socket->next) {
    if (fd != socket->fd && cox_socket_find_watched(socket, fd) == NULL) continue;
    serve(socket, fd, events);
    return true;
  }
  return false;
}

void cox_sockets_tick(struct cox_sockets *sockets, int64_t now_us) {
  for (struct cox_socket *socket = sockets->first; socket != NULL; socket = socket->next) {
    if (socket->stage == COX_SOCKET_IS_OPEN && socket->is_unread && !is_full(socket)) serve_open(socket);
    if (socket->stage != COX_SOCKET_CONNECTING || socket->due_us > now_us) continue;
    socket->due_us = INT64_MAX;
    cox_socket_connect_event(socket, -1, 0);
  }
}

int64_t cox_sockets_due(const struct cox_sockets *sockets) {
  int64_t due_us = INT64_MAX;
  for (const struct cox_socket *socket = sockets->first; socket != NULL; socket = socket->next) {
    if (socket->is_settled || (socket->stage == COX_SOCKET_IS_OPEN && socket->is_unread && !is_full(socket))) return 0;
    if (socket->stage == COX_SOCKET_CONNECTING && socket->due_us < due_us) due_us = socket->due_us;
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
