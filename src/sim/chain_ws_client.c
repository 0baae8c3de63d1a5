#include "sim/chain_ws_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "sim/chain_wire.h"

enum {
  MESSAGE_MAX = 1 << 20,  /* bytes of one request */
  QUEUED_MAX = 16 << 20,  /* bytes; a subscriber that reads slower than this is cut, as CometBFT does it */
  CLOSE_WAIT_US = 2000000,
};

/* ---- the socket under the frames ---- */

static ssize_t take_extra(struct cox_chain_ws_client *client, uint8_t *bytes, size_t room) {
  const size_t left = client->extra_bytes - client->extra_at;
  const size_t count = left < room ? left : room;
  memcpy(bytes, client->extra + client->extra_at, count);
  client->extra_at += count;
  return (ssize_t)count;
}

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *bytes, size_t room, int flags, void *user) {
  (void)flags;
  struct cox_chain_ws_client *const client = user;
  if (client->extra_at < client->extra_bytes) return take_extra(client, bytes, room);
  const ssize_t count = recv(client->fd, bytes, room, MSG_DONTWAIT);
  if (count > 0) return count;
  const bool is_later = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
  wslay_event_set_error(frames, is_later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t count, int flags, void *user) {
  struct cox_chain_ws_client *const client = user;
  const int more = (flags & WSLAY_MSG_MORE) != 0 ? MSG_MORE : 0;
  const ssize_t sent = send(client->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL | more);
  if (sent >= 0) return sent;
  const bool is_later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  wslay_event_set_error(frames, is_later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
  return -1;
}

/* A muted one still reads, or it would not notice that the peer has gone. */
static void read_away(struct cox_chain_ws_client *client) {
  char waste[4096];
  ssize_t count;
  do count = recv(client->fd, waste, sizeof waste, MSG_DONTWAIT);
  while (count > 0);
  if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) client->has_ended = true;
}

/* ---- JSON-RPC ---- */

static void say(struct cox_chain_ws_client *client, const char *text) {
  const struct wslay_event_msg message = {.opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)text, .msg_length = strlen(text)};
  if (wslay_event_queue_msg(client->frames, &message) == WSLAY_ERR_NOMEM) client->has_ended = true;
}

/* Takes the answer. */
static void say_json(struct cox_chain_ws_client *client, json_t *answer) {
  char *const text = json_dumps(answer, JSON_COMPACT);
  json_decref(answer);
  if (text != NULL) say(client, text);
  else client->has_ended = true;
  free(text);
}

/* CometBFT takes positional parameters and named ones. */
static const char *query_of(const json_t *request) {
  const json_t *const params = json_object_get(request, "params");
  return json_string_value(json_is_array(params) ? json_array_get(params, 0) : json_object_get(params, "query"));
}

/* `tm.event='NewBlock'` with any spaces. */
static bool is_new_block(const char *query) {
  static const char wanted[] = "tm.event='NewBlock'";
  const char *at = wanted;
  for (; *query != '\0'; query++) {
    if (*query == ' ') continue;
    if (*query != *at) return false;
    at++;
  }
  return *at == '\0';
}

static json_t *subscribe(struct cox_chain_ws_client *client, const json_t *request, json_t *id) {
  const char *const query = query_of(request);
  if (query == NULL) return cox_chain_wire_error(id, -32602, "Invalid params", "query must be a string");
  if (!is_new_block(query))
    return cox_chain_wire_error(id, -32603, "Internal error", "failed to parse query: only tm.event='NewBlock' is known");
  if (client->subscription != NULL) return cox_chain_wire_error(id, -32603, "Internal error", "already subscribed");
  client->subscription = json_dumps(id, JSON_COMPACT | JSON_ENCODE_ANY);
  return cox_chain_wire_result(id, json_object());
}

static json_t *unsubscribe(struct cox_chain_ws_client *client, json_t *id) {
  if (client->subscription == NULL) return cox_chain_wire_error(id, -32603, "Internal error", "subscription not found");
  free(client->subscription);
  client->subscription = NULL;
  return cox_chain_wire_result(id, json_object());
}

static json_t *answer(struct cox_chain_ws_client *client, const json_t *request) {
  json_t *const asked_id = json_object_get(request, "id");
  const char *const method = json_string_value(json_object_get(request, "method"));
  const bool is_id = json_is_string(asked_id) || json_is_integer(asked_id);
  json_t *const id = is_id ? json_incref(asked_id) : json_integer(-1);
  if (method == NULL || !is_id)
    return cox_chain_wire_error(id, -32600, "Invalid Request", "method and id (a string or a number) are needed");
  if (strcmp(method, "subscribe") == 0) return subscribe(client, request, id);
  if (strcmp(method, "unsubscribe") == 0 || strcmp(method, "unsubscribe_all") == 0) return unsubscribe(client, id);
  if (strcmp(method, "health") == 0) return cox_chain_wire_result(id, json_object());
  return cox_chain_wire_error(id, -32601, "Method not found", method);
}

static void on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *message, void *user) {
  (void)frames;
  struct cox_chain_ws_client *const client = user;
  if (wslay_is_ctrl_frame(message->opcode)) return; /* wslay answers pings and closes by itself */
  json_error_t at;
  json_t *const request = json_loadb((const char *)message->msg, message->msg_length, JSON_REJECT_DUPLICATES, &at);
  if (request == NULL) say_json(client, cox_chain_wire_error(json_integer(-1), -32700, "Parse error. Invalid JSON", at.text));
  else say_json(client, answer(client, request));
  json_decref(request);
}

/* ---- what chain_ws.c asks for ---- */

struct cox_chain_ws_client *cox_chain_ws_client_create(int fd, const void *extra, size_t extra_bytes, void (*end)(void *handle),
                                                       void *handle) {
  static const struct wslay_event_callbacks callbacks = {
      .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_message};
  struct cox_chain_ws_client *const client = calloc(1, sizeof *client);
  if (client == NULL) return NULL;
  client->fd = fd;
  /* Two events in a row must not wait for an acknowledgement of the first; a socket that knows no such delay refuses, rightly. */
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  client->extra = malloc(extra_bytes + 1);
  if (client->extra == NULL || wslay_event_context_server_init(&client->frames, &callbacks, client) != 0) {
    free(client->extra);
    free(client);
    return NULL;
  }
  if (extra_bytes > 0) memcpy(client->extra, extra, extra_bytes);
  client->extra_bytes = extra_bytes;
  client->end = end;
  client->handle = handle;
  wslay_event_config_set_max_recv_msg_length(client->frames, MESSAGE_MAX);
  return client;
}

void cox_chain_ws_client_destroy(struct cox_chain_ws_client *client) {
  client->end(client->handle);
  wslay_event_context_free(client->frames);
  free(client->subscription);
  free(client->extra);
  free(client);
}

void cox_chain_ws_client_read(struct cox_chain_ws_client *client) {
  if (client->is_muted) {
    read_away(client);
  } else if (wslay_event_recv(client->frames) != 0) {
    wslay_event_send(client->frames); /* a last answer and the close frame, when the peer is still there */
    client->has_ended = true;
  }
}

void cox_chain_ws_client_write(struct cox_chain_ws_client *client) {
  if (client->is_muted || client->has_ended) return;
  if (wslay_event_send(client->frames) != 0) client->has_ended = true;
  else if (!wslay_event_want_read(client->frames) && !wslay_event_want_write(client->frames)) client->has_ended = true;
  else if (wslay_event_get_queued_msg_length(client->frames) > QUEUED_MAX) client->has_ended = true;
}

bool cox_chain_ws_client_wants_write(const struct cox_chain_ws_client *client) {
  return !client->is_muted && wslay_event_want_write(client->frames) != 0;
}

bool cox_chain_ws_client_announce(struct cox_chain_ws_client *client, const char *result) {
  if (client->subscription == NULL || client->is_muted || client->has_ended || client->cut_at_us != 0) return false;
  struct cox_buf text = {0};
  const bool is_done = cox_buf_addf(&text, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", client->subscription) &&
                       cox_buf_add(&text, result, strlen(result)) && cox_buf_add(&text, "}", 1);
  if (is_done) say(client, text.data);
  else client->has_ended = true;
  cox_buf_fini(&text);
  return is_done;
}

void cox_chain_ws_client_close(struct cox_chain_ws_client *client, uint16_t code, int64_t now_us) {
  if (code == 0 || wslay_event_queue_close(client->frames, code, NULL, 0) != 0) {
    client->has_ended = true;
    return;
  }
  client->is_muted = false;
  client->cut_at_us = now_us + CLOSE_WAIT_US;
}

void cox_chain_ws_client_tick(struct cox_chain_ws_client *client, int64_t now_us, int64_t ping_us) {
  if (client->cut_at_us != 0 && now_us >= client->cut_at_us) client->has_ended = true;
  if (client->is_muted) return;
  if (now_us - client->pinged_us >= ping_us) {
    const struct wslay_event_msg ping = {.opcode = WSLAY_PING, .msg = NULL, .msg_length = 0};
    if (wslay_event_queue_msg(client->frames, &ping) == WSLAY_ERR_NOMEM) client->has_ended = true;
    client->pinged_us = now_us;
    return;
  }
  const bool is_unanswered = client->pinged_us > client->heard_us; /* it had its ping, however late our own thread was */
  if (is_unanswered && now_us - client->pinged_us >= ping_us / 9) client->has_ended = true;
}
