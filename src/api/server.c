/* Between libmicrohttpd and our requests: its callbacks, and nothing else. */
#include "api/server.h"

#include <assert.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "api/holding.h"
#include "api/request.h"
#include "api/tls.h"
#include "base/log.h"

static void release_blob(void *blob) { cox_blob_release(blob); }

/* The response has the state from here on, and gives it back when it goes. */
static struct MHD_Response *stream_of(struct cox_request *request) {
  struct MHD_Response *const response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, COX_API_PIECE_BYTES, request->stream,
                                                                          request->stream_state, request->stream_destroy);
  if (response != NULL) request->stream_state = NULL;
  return response;
}

static struct MHD_Response *response_of(struct cox_request *request) {
  if (request->stream != NULL) return stream_of(request);
  static char no_memory[] = "{\"error\":\"the answer was not made: out of memory; try again later\"}\n";
  struct cox_blob *const blob = request->answer;
  request->answer = NULL;
  if (blob == NULL) return MHD_create_response_from_buffer(sizeof no_memory - 1, no_memory, MHD_RESPMEM_PERSISTENT);
  struct MHD_Response *const response =
      MHD_create_response_from_buffer_with_free_callback_cls(blob->len, blob->data, release_blob, blob);
  if (response == NULL) cox_blob_release(blob);
  return response;
}

static enum MHD_Result send_answer(struct cox_request *request) {
  cox_tally_answer(&request->api->tally, request);
  struct MHD_Response *const response = response_of(request);
  if (response == NULL) return MHD_NO;
  MHD_add_response_header(response, "Content-Type", request->content_type);
  MHD_add_response_header(response, "X-Request-Id", request->id);
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff"); /* texts of strangers are in our answers */
  if (request->more_header != NULL) MHD_add_response_header(response, request->more_header, request->more_value);
  for (size_t i = 0; request->headers != NULL && request->headers[i][0] != NULL; i++) {
    MHD_add_response_header(response, request->headers[i][0], request->headers[i][1]);
  }
  if (request->has_to_close) MHD_add_response_header(response, "Connection", "close");
  if (request->etag[0] != '\0') MHD_add_response_header(response, "ETag", request->etag);
  if (request->is_replay) MHD_add_response_header(response, "Idempotency-Replayed", "true");
  cox_connection_send(request->connection);
  const enum MHD_Result is_queued = MHD_queue_response(request->native, request->status, response);
  MHD_destroy_response(response);
  return is_queued;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *native, const char *target, const char *method,
                              const char *version, const char *data, size_t *data_len, void **context) {
  (void)version;
  struct cox_request *request = *context;
  if (request == NULL) {
    request = *context = cox_request_create(cls, native, method, target);
    if (request == NULL) return MHD_NO;
    return request->is_urgent ? send_answer(request) : MHD_YES;
  }
  if (*data_len > 0) {
    const size_t count = *data_len;
    *data_len = 0;
    return cox_request_take(request, data, count) ? MHD_YES : MHD_NO;
  }
  cox_request_advance(request);
  return request->wait != NULL ? MHD_YES : send_answer(request);
}

struct cox_connection *cox_connection_of(struct MHD_Connection *native) {
  const union MHD_ConnectionInfo *const info = MHD_get_connection_info(native, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != NULL ? info->socket_context : NULL;
}

/* The request line is there: from here on the request has its time, however long the connection was idle before. */
static void *line_came(void *cls, const char *target, struct MHD_Connection *native) {
  (void)cls;
  (void)target;
  struct cox_connection *const connection = cox_connection_of(native);
  if (connection != NULL) cox_connection_receive(connection);
  return NULL; /* becomes the request's context: there is none yet */
}

static void completed(void *cls, struct MHD_Connection *native, void **context, enum MHD_RequestTerminationCode code) {
  (void)cls;
  struct cox_request *const request = *context;
  struct cox_connection *const connection = cox_connection_of(native);
  *context = NULL;
  if (connection != NULL) cox_connection_rest(connection);
  if (request == NULL) return;
  request->is_delivered = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
  if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK) {
    cox_log(COX_LOG_DEBUG, "api", "request broken off", "id", request->id, "method", request->method, "path", request->target, "status",
            COX_LOG_INT(request->status), NULL);
  }
  cox_request_destroy(request);
}

/* The library names its threads all alike. */
static void name_thread(struct cox_api *api) {
  static _Thread_local bool is_named;
  if (is_named) return;
  is_named = true;
  char name[16];
  snprintf(name, sizeof name, "cox-api-%u", atomic_fetch_add(&api->named, 1));
  prctl(PR_SET_NAME, name);
}

static void connection_changed(void *cls, struct MHD_Connection *native, void **socket_context,
                               enum MHD_ConnectionNotificationCode code) {
  struct cox_api *const api = cls;
  if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
    if (*socket_context != NULL) cox_holding_end(api->options.broker, *socket_context);
    cox_connection_close(*socket_context);
    *socket_context = NULL;
    return;
  }
  name_thread(api);
  const union MHD_ConnectionInfo *const info = MHD_get_connection_info(native, MHD_CONNECTION_INFO_CONNECTION_FD);
  const union MHD_ConnectionInfo *const client = MHD_get_connection_info(native, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (info != NULL) *socket_context = cox_connection_open(&api->connections, info->connect_fd, client != NULL ? client->client_addr : NULL);
}

/* Paths are decoded by route.c, after they were split. */
static size_t leave_escaped(void *cls, struct MHD_Connection *native, char *text) {
  (void)cls;
  (void)native;
  return strlen(text);
}

static void log_library(void *cls, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void log_library(void *cls, const char *format, va_list args) {
  (void)cls;
  if (!cox_log_enabled(COX_LOG_DEBUG)) return;
  char text[512];
  vsnprintf(text, sizeof text, format, args);
  text[strcspn(text, "\n")] = '\0';
  cox_log(COX_LOG_DEBUG, "api", "libmicrohttpd", "text", text, NULL);
}

/* None while we stop. (MHD_quiesce_daemon would refuse them earlier, but it and the library's threads take the listening socket out of
 * the same set without a lock, and who comes second aborts the process: seen with libmicrohttpd 0.9.75.)                           */
static enum MHD_Result accepts(void *cls, const struct sockaddr *address, socklen_t len) {
  const struct cox_api *const api = cls;
  (void)address;
  (void)len;
  return atomic_load(&api->is_stopping) ? MHD_NO : MHD_YES;
}

/* On a listening socket, or (`is_local`) for connections that are handed over by the control socket. */
static struct MHD_Daemon *start(struct cox_api *api, unsigned connections_max, bool is_local) {
  const unsigned tls = api->tls != NULL && !is_local ? MHD_USE_TLS : 0;
  const unsigned origin = is_local ? MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC : 0;
  const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | tls | origin;
  const struct MHD_OptionItem tls_options[] = {
      {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(uintptr_t)cox_tls_retrieve},
      {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)COX_TLS_PRIORITIES},
      {MHD_OPTION_END, 0, NULL},
  };
  const struct MHD_OptionItem listen_options[] = {
      {MHD_OPTION_LISTEN_SOCKET, api->listen_fd, NULL},
      {MHD_OPTION_THREAD_POOL_SIZE, COX_API_THREADS, NULL},
      {MHD_OPTION_END, 0, NULL},
  };
  static const struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};
  const unsigned idle_s = (unsigned)((api->connections.request_us + 999999) / 1000000);
  return MHD_start_daemon(flags, 0, accepts, api, handle, api,
                          MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
                          MHD_OPTION_ARRAY, tls > 0 ? tls_options : no_options,
                          MHD_OPTION_ARRAY, is_local ? no_options : listen_options,
                          MHD_OPTION_CONNECTION_LIMIT, connections_max,
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)COX_API_POOL_BYTES,
                          MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
                          MHD_OPTION_STRICT_FOR_CLIENT, 1,
                          MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
                          MHD_OPTION_URI_LOG_CALLBACK, line_came, api,
                          MHD_OPTION_NOTIFY_COMPLETED, completed, api,
                          MHD_OPTION_NOTIFY_CONNECTION, connection_changed, api,
                          MHD_OPTION_END);
}

/* Its threads inherit the mask: signals are for the main thread. */
int cox_server_start(struct cox_api *api, size_t connections_max, struct cox_err *err) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  api->daemon = start(api, (unsigned)connections_max, false);
  if (api->daemon != NULL) api->listen_fd = -1; /* the daemon's now */
  if (api->daemon != NULL && api->tls != NULL) api->local = start(api, COX_API_LOCAL_MAX, true);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  const bool is_started = api->daemon != NULL && (api->tls == NULL || api->local != NULL);
  return is_started ? 0 : cox_err_set(err, COX_ESYS, "starting the HTTP server failed: is there memory for its threads?");
}

void cox_server_stop(struct cox_api *api) {
  if (api->daemon == NULL) return;
  assert(atomic_load(&api->suspended) == 0); /* the library aborts the process otherwise */
  if (api->local != NULL) MHD_stop_daemon(api->local);
  MHD_stop_daemon(api->daemon);
  api->daemon = api->local = NULL;
}
