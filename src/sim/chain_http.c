#include "sim/chain_http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "sim/chain_accept.h"
#include "sim/chain_routes.h"
#include "sim/chain_sim.h"
#include "sim/chain_spoil.h"

enum { BODY_MAX = 1 << 20, CONNECTIONS_MAX = 512, IDLE_S = 60 };

struct cox_chain_http {
  struct cox_sim_chain *chain;
  struct MHD_Daemon *daemon;
  unsigned port;
};

/* One request on its way. */
struct exchange {
  struct cox_buf body;
  bool is_too_long;
  bool is_handshake; /* counted in chain->handshakes */
};

/* ---- sending ---- */

/* A body that breaks off in its middle: half of it is sent, then the connection ends. */
struct half {
  char *text;
  size_t bytes;
};

static ssize_t read_half(void *user, uint64_t at, char *out, size_t room) {
  const struct half *const half = user;
  if (at >= half->bytes / 2) return MHD_CONTENT_READER_END_WITH_ERROR;
  const size_t left = half->bytes / 2 - (size_t)at;
  const size_t count = left < room ? left : room;
  memcpy(out, half->text + at, count);
  return (ssize_t)count;
}

static void free_half(void *user) {
  struct half *const half = user;
  free(half->text);
  free(half);
}

/* Takes the text. */
static struct MHD_Response *make_half(char *text, size_t bytes) {
  struct half *const half = malloc(sizeof *half);
  if (half == NULL) {
    free(text);
    return NULL;
  }
  *half = (struct half){.text = text, .bytes = bytes};
  struct MHD_Response *const response = MHD_create_response_from_callback(bytes, 16384, read_half, half, free_half);
  if (response == NULL) free_half(half);
  return response;
}

static bool render(const struct cox_chain_answer *answer, struct cox_buf *text) {
  if (answer->page != NULL) return cox_buf_addf(text, "%s", answer->page);
  char *const dumped = json_dumps(answer->json, JSON_COMPACT);
  const bool is_done = dumped != NULL && cox_buf_add(text, dumped, strlen(dumped));
  free(dumped);
  return is_done && cox_chain_spoil_size(text, answer->least_bytes);
}

static struct MHD_Response *make_response(const struct cox_chain_answer *answer) {
  struct cox_buf text = {0};
  if (!render(answer, &text)) {
    cox_buf_fini(&text);
    return NULL;
  }
  if (answer->is_truncated) return make_half(text.data, text.len);
  struct MHD_Response *const response = MHD_create_response_from_buffer(text.len, text.data, MHD_RESPMEM_MUST_FREE);
  if (response == NULL) cox_buf_fini(&text);
  return response;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, const struct cox_chain_answer *answer) {
  struct MHD_Response *const response = make_response(answer);
  if (response == NULL) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->page != NULL ? "text/html" : "application/json");
  if (answer->allow != NULL) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
  const enum MHD_Result result = MHD_queue_response(connection, (unsigned)answer->status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result send_error(struct MHD_Connection *connection, int status, const char *text) {
  struct cox_chain_answer answer = {.status = status, .json = json_pack("{s:s}", "error", text)};
  const enum MHD_Result result = send_answer(connection, &answer);
  json_decref(answer.json);
  return result;
}

/* ---- websocket handshakes ---- */

static const char *header_of(struct MHD_Connection *connection, const char *name) {
  const char *const value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value != NULL ? value : "";
}

static bool has_word(const char *list, const char *word) { return strcasestr(list, word) != NULL; }

static void end_socket(void *handle) { MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE); }

static void handshake_ended(struct cox_sim_chain *chain, struct exchange *exchange) {
  exchange->is_handshake = false;
  cox_mutex_lock(&chain->mutex);
  chain->handshakes--;
  cox_cond_broadcast(&chain->cond);
  cox_mutex_unlock(&chain->mutex);
}

static void on_upgrade(void *user, struct MHD_Connection *connection, void *request, const char *extra, size_t extra_bytes, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle) {
  (void)connection;
  struct cox_chain_http *const http = user;
  cox_chain_ws_adopt(http->chain->ws, fd, extra, extra_bytes, end_socket, handle);
  handshake_ended(http->chain, request);
}

/* 0: go on with 101; else the status of a refusal. */
static int admit_handshake(struct cox_sim_chain *chain, struct exchange *exchange) {
  cox_mutex_lock(&chain->mutex);
  const struct cox_chain_setting refusal = cox_chain_faults_get(&chain->faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_REFUSE_WS);
  const int status = chain->is_stopping ? 503 : refusal.is_on ? (int)refusal.value : 0;
  if (status == 0) {
    chain->handshakes++;
    exchange->is_handshake = true;
  }
  cox_mutex_unlock(&chain->mutex);
  return status;
}

static enum MHD_Result shake_hands(struct cox_chain_http *http, struct MHD_Connection *connection, struct exchange *exchange) {
  char accept[COX_CHAIN_ACCEPT_BYTES];
  if (!has_word(header_of(connection, "Upgrade"), "websocket") || !has_word(header_of(connection, "Connection"), "upgrade"))
    return send_error(connection, 400, "/websocket takes websocket handshakes: Upgrade and Connection say something else");
  if (strcmp(header_of(connection, "Sec-WebSocket-Version"), "13") != 0)
    return send_error(connection, 426, "Sec-WebSocket-Version must be 13");
  if (!cox_chain_accept(header_of(connection, "Sec-WebSocket-Key"), accept))
    return send_error(connection, 400, "Sec-WebSocket-Key must be 16 bytes in base64");
  const int refusal = admit_handshake(http->chain, exchange);
  if (refusal != 0) return send_error(connection, refusal, "no websocket here");
  struct MHD_Response *const response = MHD_create_response_for_upgrade(on_upgrade, http);
  if (response == NULL) return MHD_NO; /* the completed callback ends the handshake */
  MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, "websocket");
  MHD_add_response_header(response, "Sec-WebSocket-Accept", accept);
  const enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
  MHD_destroy_response(response);
  return result;
}

/* ---- requests ---- */

static const char *argument(void *ctx, const char *name) { return MHD_lookup_connection_value(ctx, MHD_GET_ARGUMENT_KIND, name); }

static enum MHD_Result answer_request(struct cox_chain_http *http, struct MHD_Connection *connection, const char *path,
                                      const char *method, const struct exchange *exchange) {
  const struct cox_chain_request request = {.method = method, .path = path, .argument = argument, .ctx = connection,
                                            .body = exchange->body.data, .body_bytes = exchange->body.len};
  struct cox_chain_answer answer;
  cox_chain_answer(http->chain, &request, &answer);
  if (answer.wait_ms > 0) cox_chain_wait_ms(http->chain, answer.wait_ms); /* this connection's own thread waits */
  const enum MHD_Result result = send_answer(connection, &answer);
  json_decref(answer.json);
  return result;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *upload, size_t *upload_bytes, void **state) {
  (void)version;
  struct cox_chain_http *const http = user;
  struct exchange *exchange = *state;
  if (exchange == NULL) {
    *state = exchange = calloc(1, sizeof *exchange);
    if (exchange != NULL) exchange->body.limit = BODY_MAX;
    return exchange != NULL ? MHD_YES : MHD_NO;
  }
  if (*upload_bytes > 0) {
    if (!exchange->is_too_long) exchange->is_too_long = !cox_buf_add(&exchange->body, upload, *upload_bytes);
    *upload_bytes = 0;
    return MHD_YES;
  }
  if (exchange->is_too_long) return send_error(connection, 413, "a body may have at most 1 MiB");
  if (strcmp(path, "/websocket") == 0 && strcmp(method, "GET") == 0) return shake_hands(http, connection, exchange);
  return answer_request(http, connection, path, method, exchange);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code) {
  (void)connection, (void)code;
  struct cox_chain_http *const http = user;
  struct exchange *const exchange = *state;
  if (exchange == NULL) return;
  if (exchange->is_handshake) handshake_ended(http->chain, exchange); /* it broke off before the socket was handed over */
  cox_buf_fini(&exchange->body);
  free(exchange);
  *state = NULL;
}

/* ---- life ---- */

static int read_address(const char *listen, unsigned port, struct sockaddr_in *address, struct cox_err *err) {
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, listen, &address->sin_addr) == 1) return 0;
  return cox_err_set(err, COX_EINVAL, "the chain cannot listen on \"%s\": give an IPv4 address, 127.0.0.1 for this machine alone",
                     listen);
}

/* A thread per connection, so that a slow answer holds up nobody else: there are few connections to a simulator. */
static int start(struct cox_chain_http *http, const struct sockaddr_in *address, const char *listen, unsigned port, struct cox_err *err) {
  const unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_ALLOW_UPGRADE | MHD_USE_ITC;
  errno = 0;
  http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, http, MHD_OPTION_SOCK_ADDR, address, MHD_OPTION_NOTIFY_COMPLETED,
                                  on_completed, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                                  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
  if (http->daemon == NULL)
    return cox_err_set(err, COX_ESYS, "the chain cannot listen on %s:%u: %s; choose another port or end who holds it", listen, port,
                       errno != 0 ? strerror(errno) : "the HTTP server did not start");
  const union MHD_DaemonInfo *const info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
  http->port = info != NULL ? info->port : port;
  return 0;
}

struct cox_chain_http *cox_chain_http_create(struct cox_sim_chain *chain, const char *listen, unsigned port, struct cox_err *err) {
  const char *const host = listen != NULL ? listen : "127.0.0.1";
  struct sockaddr_in address;
  if (read_address(host, port, &address, err) != 0) return NULL;
  struct cox_chain_http *const http = calloc(1, sizeof *http);
  if (http == NULL) {
    cox_err_set(err, COX_ENOMEM, "making the chain's HTTP server failed: out of memory");
    return NULL;
  }
  http->chain = chain;
  if (start(http, &address, host, port, err) == 0) return http;
  free(http);
  return NULL;
}

unsigned cox_chain_http_port(const struct cox_chain_http *http) { return http->port; }

void cox_chain_http_destroy(struct cox_chain_http *http) {
  if (http == NULL) return;
  MHD_stop_daemon(http->daemon);
  free(http);
}
