#include "console/control_peer.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "console/control_wire.h"

enum { READ_BYTES = 16 << 10, OUT_MAX = COX_FRAME_ANSWER_MAX + COX_FRAME_HEAD };

void cox_peer_init(struct cox_peer *peer, int fd, uint64_t number, const struct cox_console_caller *caller, int64_t now_us) {
  *peer = (struct cox_peer){.fd = fd, .number = number, .caller = *caller, .since_us = now_us};
  peer->out.limit = OUT_MAX;
}

void cox_peer_fini(struct cox_peer *peer) {
  if (peer->fd >= 0) close(peer->fd);
  cox_buf_fini(&peer->in);
  cox_buf_fini(&peer->out);
  *peer = (struct cox_peer){.fd = -1};
}

/* ---- answers ---- */

/* Text for people ends with a newline, unless there is none. */
static bool answer_as_text(struct cox_peer *peer, const json_t *answer) {
  const char *const part = json_string_value(json_object_get(answer, "part")), *const error = json_string_value(json_object_get(answer, "error"));
  const char *text = json_string_value(json_object_get(answer, "text"));
  const char *const outcome = json_string_value(json_object_get(answer, "outcome"));
  if (part != NULL) return cox_buf_addf(&peer->out, "%s", part);
  if (error != NULL) return cox_buf_addf(&peer->out, "error: %s\n", error);
  if (json_is_true(json_object_get(answer, "quit"))) peer->is_ended = true;
  if (text == NULL || *text == '\0') return true;
  const bool is_error = outcome != NULL && strcmp(outcome, "error") == 0;
  return cox_buf_addf(&peer->out, "%s%s\n", is_error ? "error: " : "", text);
}

bool cox_peer_answer(struct cox_peer *peer, json_t *answer) {
  if (peer->sent > 0 && peer->sent == peer->out.len) {
    cox_buf_clear(&peer->out);
    peer->sent = 0;
  }
  const bool is_good = peer->language == COX_PEER_TEXT ? answer_as_text(peer, answer) : cox_frame_add(&peer->out, answer);
  json_decref(answer);
  return is_good;
}

/* Says why, and reads no more. */
static void refuse(struct cox_peer *peer, const json_t *id, const char *why) {
  json_t *const answer = json_pack("{ss}", "error", why);
  if (id != NULL) json_object_set(answer, "id", (json_t *)(uintptr_t)id);
  cox_peer_answer(peer, answer);
  peer->is_ended = true;
}

bool cox_peer_write(struct cox_peer *peer, int64_t now_us) {
  while (peer->sent < peer->out.len) {
    const ssize_t count = send(peer->fd, peer->out.data + peer->sent, peer->out.len - peer->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    peer->sent += (size_t)count;
    peer->since_us = now_us;
  }
  peer->sent = 0;
  cox_buf_fini(&peer->out); /* an answer may be large, the next ones are not */
  return true;
}

bool cox_peer_is_over(const struct cox_peer *peer) {
  const bool says_no_more = peer->is_ended || (peer->is_eof && peer->in.len == 0);
  if (!says_no_more || peer->sent < peer->out.len) return false;
  return peer->requests == 0;
}

/* ---- requests ---- */

/* Takes `request`. */
static void hand_on(struct cox_peer *peer, const struct cox_peer_host *host, json_t *request) {
  struct cox_err err = {0};
  peer->has_spoken = true;
  if (peer->session == NULL) peer->session = host->open_session(host->arg, peer, &err);
  if (peer->session == NULL) {
    refuse(peer, json_object_get(request, "id"), err.text);
    json_decref(request);
    return;
  }
  peer->requests++;
  cox_control_session_push(peer->session, request);
}

/* Cancels do not wait behind what they cancel. */
static void cancel(struct cox_peer *peer, json_t *request) {
  if (peer->session != NULL) cox_control_session_cancel(peer->session, json_object_get(request, "of"));
  json_t *const answer = json_pack("{ss}", "outcome", "done");
  if (json_object_get(request, "id") != NULL) json_object_set(answer, "id", json_object_get(request, "id"));
  cox_peer_answer(peer, answer);
  peer->has_spoken = true;
  json_decref(request);
}

static bool is_cancel(const json_t *request) {
  const char *const op = json_string_value(json_object_get(request, "op"));
  return op != NULL && strcmp(op, "cancel") == 0;
}

static bool has_room(const struct cox_peer *peer) { return peer->requests < COX_PEER_REQUESTS_MAX; }

/* One frame off `*at`. False: there is no whole one, or no room for it. */
static bool parse_frame(struct cox_peer *peer, const struct cox_peer_host *host, size_t *at) {
  size_t len = 0;
  const char *const bytes = peer->in.data + *at;
  const enum cox_frame_found found = cox_frame_find(bytes, peer->in.len - *at, COX_FRAME_REQUEST_MAX, &len);
  if (found == COX_FRAME_TOO_LARGE) refuse(peer, NULL, "a request is larger than 1 MiB, or this is no frame: the connection is closed");
  if (found != COX_FRAME_WHOLE) return false;
  struct cox_err err = {0};
  json_t *const request = cox_frame_parse(bytes + COX_FRAME_HEAD, len, &err);
  if (request == NULL) refuse(peer, NULL, err.text);
  else if (is_cancel(request)) cancel(peer, request);
  else if (has_room(peer)) hand_on(peer, host, request);
  else {
    peer->is_full = true;
    json_decref(request);
    return false;
  }
  *at += COX_FRAME_HEAD + len;
  return true;
}

static bool parse_line(struct cox_peer *peer, const struct cox_peer_host *host, size_t *at) {
  const char *const line = peer->in.data + *at;
  const size_t left = peer->in.len - *at;
  const char *const end = memchr(line, '\n', left);
  size_t len = end != NULL ? (size_t)(end - line) : left;
  const size_t used = end != NULL ? len + 1 : len;
  if (len > COX_LINE_BYTES_MAX) refuse(peer, NULL, "a line is longer than 64 KiB: the connection is closed");
  if (len > COX_LINE_BYTES_MAX || (end == NULL && !peer->is_eof)) return false;
  if (!has_room(peer)) {
    peer->is_full = true;
    return false;
  }
  if (len > 0 && line[len - 1] == '\r') len--;
  json_t *const text = json_stringn(line, len);
  if (text != NULL && memchr(line, '\0', len) == NULL) hand_on(peer, host, json_pack("{ss, so, sb}", "op", "line", "text", text, "is_text", 1));
  else cox_peer_answer(peer, json_pack("{ss}", "error", "a line must be text in UTF-8"));
  if (text != NULL && memchr(line, '\0', len) != NULL) json_decref(text);
  peer->has_spoken = true;
  *at += used;
  return true;
}

void cox_peer_parse(struct cox_peer *peer, const struct cox_peer_host *host) {
  size_t at = 0;
  bool has_more = true;
  peer->is_full = false;
  while (has_more && !peer->is_ended && at < peer->in.len) {
    has_more = peer->language == COX_PEER_FRAMES ? parse_frame(peer, host, &at) : parse_line(peer, host, &at);
  }
  const bool is_rest_lost = peer->is_ended || (peer->is_eof && !peer->is_full);
  if (is_rest_lost) at = peer->in.len;
  if (at == 0) return;
  memmove(peer->in.data, peer->in.data + at, peer->in.len - at);
  peer->in.len -= at;
  peer->in.data[peer->in.len] = '\0';
}

/* "GET /…", "POST /…": a word of capitals, a space and a slash. */
static bool is_http(const char *bytes, size_t len) {
  size_t at = 0;
  while (at < len && at < 8 && isupper((unsigned char)bytes[at])) at++;
  return at >= 3 && at + 1 < len && bytes[at] == ' ' && bytes[at + 1] == '/';
}

static void look_at_language(struct cox_peer *peer, const struct cox_peer_host *host) {
  char bytes[16];
  const ssize_t count = recv(peer->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
  if (count <= 0) return;
  if (bytes[0] == '\0') peer->language = COX_PEER_FRAMES;
  else peer->language = host->has_http && is_http(bytes, (size_t)count) ? COX_PEER_HTTP : COX_PEER_TEXT;
}

bool cox_peer_read(struct cox_peer *peer, const struct cox_peer_host *host) {
  char bytes[READ_BYTES];
  if (peer->language == COX_PEER_UNKNOWN) look_at_language(peer, host);
  if (peer->language == COX_PEER_HTTP) return true;
  for (int i = 0; i < 4 && !peer->is_ended && !peer->is_eof && !peer->is_full; i++) { /* the others want their turn */
    const ssize_t count = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return true;
    if (count < 0 || (count > 0 && !cox_buf_add(&peer->in, bytes, (size_t)count))) return false;
    if (count == 0) peer->is_eof = true;
    cox_peer_parse(peer, host);
  }
  return true;
}
