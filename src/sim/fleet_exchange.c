/* One request to a simulated node and how its answer goes over the wire. All in the shard's thread. */
#include <assert.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/queue.h"
#include "sim/fleet_shard.h"

enum {
  BODY_MAX = 1 << 20,
  POOL_BYTES = 8192,
  CONNECTIONS_MAX = 1 << 20, /* the limit of open files comes first */
  HUGE_BLOCK = 16384,
};

enum stage {
  STAGE_READING, /* the body is coming */
  STAGE_OPEN,    /* the node has the call */
  STAGE_DECIDED, /* the answer stands, it is not on its way */
  STAGE_RAW,     /* suspended: what goes over the wire is our own doing */
  STAGE_GONE     /* the connection is to be closed without a word */
};

struct cox_fleet_exchange {
  struct cox_fleet_call call;
  struct cox_fleet_shard *shard;
  struct cox_fleet_seat *seat;
  struct MHD_Connection *connection;
  int fd;
  enum stage stage;
  bool is_suspended, is_listed, has_node;
  bool is_too_big;
  struct cox_buf body;
  struct cox_fleet_exchange *previous, *next; /* of the seat, while the caller waits for the end of the answer */
  char *slow;                                 /* what is left of a slow body; NULL: nothing is sent */
  size_t slow_length, slow_sent;
  int64_t drip_at_us;
};

void cox_fleet_reset_socket(int fd) {
  const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  /* Dissolving the association of a connected socket sends a reset, which close() after a shutdown would not. */
  if (connect(fd, &nowhere, sizeof nowhere) != 0) shutdown(fd, SHUT_RDWR);
}

/* ---- its place among the calls of a seat ---- */

static void enlist(struct cox_fleet_exchange *exchange) {
  struct cox_fleet_seat *const seat = exchange->seat;
  exchange->previous = NULL;
  exchange->next = seat->exchanges;
  if (seat->exchanges != NULL) seat->exchanges->previous = exchange;
  seat->exchanges = exchange;
  exchange->is_listed = true;
}

/* Nothing is open any more as the caller sees it. */
static void delist(struct cox_fleet_exchange *exchange) {
  if (!exchange->is_listed) return;
  *(exchange->previous != NULL ? &exchange->previous->next : &exchange->seat->exchanges) = exchange->next;
  if (exchange->next != NULL) exchange->next->previous = exchange->previous;
  exchange->is_listed = false;
  cox_mutex_lock(&exchange->shard->mutex);
  if (exchange->has_node) {
    cox_fleet_node_drop(exchange->seat->node, &exchange->call);
  } else {
    cox_fleet_node_close(exchange->seat->node, &exchange->call);
  }
  exchange->has_node = false;
  cox_mutex_unlock(&exchange->shard->mutex);
}

static void suspend(struct cox_fleet_exchange *exchange) {
  struct cox_fleet_shard *const shard = exchange->shard;
  MHD_suspend_connection(exchange->connection);
  exchange->is_suspended = true;
  shard->lines[exchange->fd].exchange = exchange;
  /* A peer that closes is not noticed while its connection is suspended: this notices. */
  if (cox_fleet_shard_watch_line(shard, exchange->fd) != 0) cox_fleet_exchange_hang_up(shard, exchange);
}

static void resume(struct cox_fleet_exchange *exchange) {
  if (!exchange->is_suspended) return;
  exchange->is_suspended = false;
  exchange->shard->lines[exchange->fd].exchange = NULL;
  cox_fleet_shard_forget_line(exchange->shard, exchange->fd);
  MHD_resume_connection(exchange->connection);
}

void cox_fleet_exchange_hang_up(struct cox_fleet_shard *shard, struct cox_fleet_exchange *exchange) {
  (void)shard;
  delist(exchange);
  exchange->stage = STAGE_GONE;
  resume(exchange);
}

/* ---- answers ---- */

static ssize_t endless(void *cls, uint64_t position, char *out, size_t room) {
  (void)cls;
  static const char start[] = "{\"status\": \"";
  memset(out, 'x', room);
  if (position == 0 && room >= sizeof start) memcpy(out, start, sizeof start - 1);
  return (ssize_t)room;
}

static char *body_text(const struct cox_fleet_answer *answer) {
  if (answer->json != NULL) return json_dumps(answer->json, JSON_COMPACT);
  return strdup(answer->text != NULL ? answer->text : "");
}

static struct MHD_Response *response_of(const struct cox_fleet_answer *answer) {
  if (answer->manner == COX_MANNER_HUGE) return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HUGE_BLOCK, endless, NULL, NULL);
  char *const text = body_text(answer);
  if (text == NULL) return NULL;
  struct MHD_Response *const response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
  if (response == NULL) free(text);
  return response;
}

/* Queues what was decided; a huge answer stays open until it breaks. */
static enum MHD_Result reply(struct cox_fleet_exchange *exchange) {
  const struct cox_fleet_answer *const answer = &exchange->call.answer;
  struct MHD_Response *const response = response_of(answer);
  if (response == NULL) return MHD_NO;
  if (answer->manner != COX_MANNER_HUGE) delist(exchange);
  const bool is_json = answer->json != NULL || answer->manner == COX_MANNER_HUGE;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, is_json ? "application/json" : "text/plain; charset=utf-8");
  if (answer->location != NULL) MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, answer->location);
  const enum MHD_Result result = MHD_queue_response(exchange->connection, (unsigned)answer->status, response);
  MHD_destroy_response(response);
  return result;
}

static void send_raw(const struct cox_fleet_exchange *exchange, const char *bytes, size_t count) {
  /* So little fits into any socket buffer; a broken connection is noticed by its hang-up. */
  const ssize_t sent = send(exchange->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  (void)sent;
}

static void begin_drip(struct cox_fleet_exchange *exchange) {
  const struct cox_fleet_answer *const answer = &exchange->call.answer;
  char header[160];
  exchange->slow = body_text(answer);
  exchange->slow_length = exchange->slow != NULL ? strlen(exchange->slow) : 0;
  const int length = snprintf(header, sizeof header,
                              "HTTP/1.1 %d Slow\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                              answer->status, exchange->slow_length);
  send_raw(exchange, header, (size_t)length);
  exchange->drip_at_us = exchange->shard->now_us;
  cox_fleet_exchange_drip(exchange->shard, exchange);
}

void cox_fleet_exchange_drip(struct cox_fleet_shard *shard, struct cox_fleet_exchange *exchange) {
  if (exchange->slow == NULL || exchange->drip_at_us > shard->now_us) return;
  if (exchange->slow_sent == exchange->slow_length) {
    cox_fleet_exchange_hang_up(shard, exchange);
    return;
  }
  send_raw(exchange, exchange->slow + exchange->slow_sent++, 1);
  exchange->drip_at_us = shard->now_us + exchange->call.answer.interval_us;
  cox_fleet_shard_arm(shard, exchange->drip_at_us, shard->seat_count + (uint64_t)exchange->fd);
}

/* What is no plain HTTP is sent past the server while it leaves the connection alone. */
static void begin_raw(struct cox_fleet_exchange *exchange) {
  static const char half[] = "HTTP/1.1 200 OK\r\nContent-Type: applicat";
  exchange->stage = STAGE_RAW;
  if (exchange->call.answer.manner == COX_MANNER_SLOW) {
    begin_drip(exchange);
  } else {
    send_raw(exchange, half, sizeof half - 1);
  }
}

static bool is_raw(const struct cox_fleet_exchange *exchange) {
  const enum cox_fleet_manner manner = exchange->call.answer.manner;
  return manner == COX_MANNER_SLOW || manner == COX_MANNER_HALF_HEADER;
}

void cox_fleet_exchange_answered(struct cox_fleet_shard *shard, struct cox_fleet_call *call) {
  struct cox_fleet_exchange *const exchange = COX_CONTAINER(call, struct cox_fleet_exchange, call);
  exchange->has_node = false;
  exchange->stage = STAGE_DECIDED;
  if (call->answer.manner == COX_MANNER_RESET) {
    cox_fleet_reset_socket(exchange->fd);
    cox_fleet_exchange_hang_up(shard, exchange);
  } else if (exchange->is_suspended) {
    if (is_raw(exchange)) begin_raw(exchange);
    else resume(exchange);
  }
}

/* ---- requests ---- */

static json_t *parse_body(const struct cox_buf *body) {
  return body->len == 0 ? NULL : json_loadb(body->data, body->len, 0, NULL);
}

static bool has_hung_up(int fd) {
  struct pollfd line = {.fd = fd, .events = POLLRDHUP};
  return poll(&line, 1, 0) > 0;
}

/* Callers that closed their connection are not open any more, even if their hang-up was not seen yet. */
static void drop_dead_callers(struct cox_fleet_shard *shard, struct cox_fleet_seat *seat) {
  struct cox_fleet_exchange *next;
  for (struct cox_fleet_exchange *exchange = seat->exchanges; exchange != NULL; exchange = next) {
    next = exchange->next;
    if (has_hung_up(exchange->fd)) cox_fleet_exchange_hang_up(shard, exchange);
  }
}

static enum MHD_Result refuse_body(struct MHD_Connection *connection) {
  static char text[] = "{\"detail\":\"Request Entity Too Large\"}";
  struct MHD_Response *const response = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
  if (response == NULL) return MHD_NO;
  const enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_CONTENT_TOO_LARGE, response);
  MHD_destroy_response(response);
  return result;
}

/* The request is whole: the node gets it. */
static enum MHD_Result begin(struct cox_fleet_exchange *exchange, const char *method, const char *url) {
  struct cox_fleet_shard *const shard = exchange->shard;
  shard->now_us = cox_clock_mono_us(shard->clock);
  if (exchange->is_too_big) return refuse_body(exchange->connection);
  exchange->call.body = parse_body(&exchange->body);
  exchange->call.is_inference = shard->lines[exchange->fd].is_inference;
  /* Requests of several connections are not read in the order in which they were sent: this one may be the older. */
  exchange->call.is_abandoned = strcmp(method, "POST") == 0 && has_hung_up(exchange->fd);
  drop_dead_callers(shard, exchange->seat);
  exchange->stage = STAGE_OPEN;
  exchange->has_node = true;
  enlist(exchange);
  cox_mutex_lock(&shard->mutex);
  cox_fleet_node_take(exchange->seat->node, &exchange->call, method, url, shard->now_us);
  cox_mutex_unlock(&shard->mutex);
  cox_fleet_seat_settle(shard, exchange->seat);
  if (exchange->call.is_abandoned) cox_fleet_exchange_hang_up(shard, exchange);
  if (exchange->stage == STAGE_GONE) return MHD_NO;
  if (exchange->stage == STAGE_DECIDED && !is_raw(exchange)) return reply(exchange);
  const bool is_decided = exchange->stage == STAGE_DECIDED;
  suspend(exchange);
  if (is_decided && exchange->is_suspended) begin_raw(exchange);
  return MHD_YES;
}

static int socket_of(struct MHD_Connection *connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static struct cox_fleet_exchange *exchange_create(struct cox_fleet_shard *shard, struct MHD_Connection *connection) {
  struct cox_fleet_exchange *const exchange = calloc(1, sizeof *exchange);
  if (exchange == NULL) return NULL;
  exchange->shard = shard;
  exchange->connection = connection;
  exchange->fd = socket_of(connection);
  exchange->seat = shard->lines[exchange->fd].seat;
  exchange->body.limit = BODY_MAX;
  return exchange;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **context) {
  (void)version;
  struct cox_fleet_exchange *const exchange = *context;
  if (exchange == NULL) {
    *context = exchange_create(cls, connection);
    return *context != NULL ? MHD_YES : MHD_NO;
  }
  switch (exchange->stage) {
  case STAGE_READING:
    if (*upload_size == 0) return begin(exchange, method, url);
    if (!cox_buf_add(&exchange->body, upload, *upload_size)) exchange->is_too_big = true;
    *upload_size = 0;
    return MHD_YES;
  case STAGE_DECIDED:
    return reply(exchange);
  default:
    return MHD_NO;
  }
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode why) {
  (void)cls, (void)connection, (void)why;
  struct cox_fleet_exchange *const exchange = *context;
  if (exchange == NULL) return;
  *context = NULL;
  delist(exchange);
  if (exchange->shard->lines[exchange->fd].exchange == exchange) exchange->shard->lines[exchange->fd].exchange = NULL;
  cox_fleet_call_fini(&exchange->call);
  cox_buf_fini(&exchange->body);
  free(exchange->slow);
  free(exchange);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode what) {
  (void)context;
  struct cox_fleet_shard *const shard = cls;
  const int fd = socket_of(connection);
  struct cox_fleet_line *const line = &shard->lines[fd];
  int *const first = &line->seat->first_line;
  if (what == MHD_CONNECTION_NOTIFY_STARTED) {
    line->next = *first;
    if (*first >= 0) shard->lines[*first].previous = fd;
    *first = fd;
  } else {
    *(line->previous >= 0 ? &shard->lines[line->previous].next : first) = line->next;
    if (line->next >= 0) shard->lines[line->next].previous = line->previous;
  }
}

struct MHD_Daemon *cox_fleet_exchange_daemon(struct cox_fleet_shard *shard) {
  const unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
  return MHD_start_daemon(flags, 0, NULL, NULL, on_request, shard,
                          MHD_OPTION_NOTIFY_COMPLETED, on_completed, shard, MHD_OPTION_NOTIFY_CONNECTION, on_connection, shard,
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                          MHD_OPTION_END);
}
