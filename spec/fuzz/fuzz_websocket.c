/* What a websocket's other side sends, from the answer to the handshake on, as far as the reply that the job gets. Input: a byte that
 * chooses how it is cut into pieces, then the bytes. libcurl's connection is ours (linked with --wrap).                             */
#include "input.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/socket_private.h"

enum { MESSAGE_MAX = 4096, ASKS_MAX = 5000 };

static struct input incoming;
static size_t piece, room; /* bytes of a piece; left in this one */
static bool is_cut;
static int descriptor; /* stands for the connection's in epoll */

CURLcode __wrap_curl_easy_recv(CURL *easy, void *bytes, size_t size, size_t *count);
CURLcode __wrap_curl_easy_recv(CURL *easy, void *bytes, size_t size, size_t *count) {
  (void)easy;
  *count = size < room ? size : room;
  if (*count > incoming.left) *count = incoming.left;
  if (*count == 0 && incoming.left == 0 && is_cut) return CURLE_OK; /* the end */
  if (*count == 0) return CURLE_AGAIN;
  memcpy(bytes, incoming.at, *count);
  incoming.at += *count;
  incoming.left -= *count;
  room -= *count;
  return CURLE_OK;
}

CURLcode __wrap_curl_easy_send(CURL *easy, const void *bytes, size_t size, size_t *count);
CURLcode __wrap_curl_easy_send(CURL *easy, const void *bytes, size_t size, size_t *count) {
  (void)easy, (void)bytes;
  *count = piece > 1 && size > piece ? piece : size;
  return CURLE_OK;
}

/* A socket that libcurl has connected. */
static struct cox_socket *make(struct cox_sockets *sockets) {
  struct cox_socket *const socket = calloc(1, sizeof *socket);
  if (socket == NULL) abort();
  *socket = (struct cox_socket){.owner = sockets, .stage = COX_SOCKET_SHAKING, .is_waiting = true, .kind = COX_IO_SOCKET_OPEN, .timeout_ms = 1000,
                                .due_us = INT64_MAX, .message_max = MESSAGE_MAX, .number = 1, .events = EPOLLIN};
  for (size_t i = 0; i < COX_SOCKET_WATCHED_MAX; i++) socket->watched[i] = -1;
  socket->fd = descriptor = eventfd(0, EFD_CLOEXEC);
  socket->url = strdup("ws://input/");
  snprintf(socket->key, sizeof socket->key, "dGhlIHNhbXBsZSBub25jZQ=="); /* RFC 6455's: its answer is the same for all inputs */
  struct epoll_event event = {.events = EPOLLIN, .data.fd = socket->fd};
  if (!cox_handshake_request(socket->url, socket->key, &socket->out) || epoll_ctl(sockets->epoll_fd, EPOLL_CTL_ADD, socket->fd, &event) != 0) abort();
  sockets->first = socket;
  sockets->count = 1;
  return socket;
}

static void look_at(const struct cox_io_reply *reply) {
  if (reply->class_ != COX_CLASS_NONE) {
    input_must(reply->error != NULL && reply->error[0] != '\0', "a failure says why");
    return;
  }
  input_must(reply->body != NULL && reply->body[reply->body_len] == '\0', "a message is a text with an end");
  input_must(reply->body_len <= MESSAGE_MAX, "no message is larger than the limit");
}

/* The next piece is there. */
static void serve(struct cox_sockets *sockets, struct cox_socket *socket) {
  room = piece;
  cox_sockets_event(sockets, socket->fd, EPOLLIN);
  cox_sockets_tick(sockets, 0);
}

/* What the job does: it asks for a message, then for the next. False: the connection has ended, and said so. */
static bool receive(struct cox_sockets *sockets, struct cox_socket *socket) {
  cox_socket_ask(socket, &(struct cox_io_request){.kind = COX_IO_SOCKET_RECEIVE, .timeout_ms = 1000});
  while (cox_socket_is_waiting(socket) && incoming.left > 0 && socket->stage == COX_SOCKET_IS_OPEN) serve(sockets, socket);
  if (cox_socket_is_waiting(socket)) {
    serve(sockets, socket); /* an end without a word */
    if (cox_socket_is_waiting(socket)) cox_socket_expire(socket);
  }
  input_must(cox_sockets_take_settled(sockets) == socket->user, "what was asked is settled");
  const struct cox_io_reply reply = cox_socket_reply(socket);
  look_at(&reply);
  return reply.class_ == COX_CLASS_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct cox_sockets sockets;
  incoming = (struct input){(const char *)data, size};
  const uint8_t how = input_byte(&incoming);
  piece = (size_t)(how & 0x7f) + 1;
  is_cut = (how & 0x80) != 0;
  cox_sockets_init(&sockets, epoll_create1(EPOLL_CLOEXEC), cox_clock_system());
  struct cox_socket *const socket = make(&sockets);
  while (socket->stage == COX_SOCKET_SHAKING && incoming.left > 0) serve(&sockets, socket);
  if (cox_socket_is_waiting(socket)) cox_socket_expire(socket);
  cox_sockets_take_settled(&sockets);
  const struct cox_io_reply opened = cox_socket_reply(socket);
  look_at(&opened);
  for (int asks = 0; receive(&sockets, socket); asks++) input_must(asks < ASKS_MAX, "an input has an end");
  cox_socket_close(socket);
  close(descriptor);
  close(sockets.epoll_fd);
  return 0;
}
