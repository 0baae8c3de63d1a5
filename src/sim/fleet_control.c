#include "sim/fleet_control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { BODY_MAX = 1 << 20, SPECS_MAX = 1024, TIMEOUT_S = 10 };

static enum MHD_Result send_json(struct MHD_Connection *connection, unsigned status, json_t *json, const char *allow) {
  char *const text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  if (text == NULL) return MHD_NO;
  struct MHD_Response *const response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
  if (response == NULL) {
    free(text);
    return MHD_NO;
  }
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
  if (allow != NULL) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
  const enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result send_error(struct MHD_Connection *connection, unsigned status, const char *text) {
  return send_json(connection, status, json_pack("{ss}", "error", text), NULL);
}

/* ---- the calls ---- */

static enum MHD_Result get_nodes(struct cox_sim_fleet *fleet, struct MHD_Connection *connection, const struct cox_buf *body) {
  (void)body;
  return send_json(connection, 200, cox_sim_fleet_report(fleet), NULL);
}

static enum MHD_Result get_config(struct cox_sim_fleet *fleet, struct MHD_Connection *connection, const struct cox_buf *body) {
  (void)body;
  return send_json(connection, 200, cox_sim_fleet_nodes(fleet), NULL);
}

static enum MHD_Result post_reset(struct cox_sim_fleet *fleet, struct MHD_Connection *connection, const struct cox_buf *body) {
  (void)body;
  cox_sim_fleet_reset(fleet);
  return send_json(connection, 200, json_pack("{ss}", "status", "OK"), NULL);
}

static enum MHD_Result post_faults(struct cox_sim_fleet *fleet, struct MHD_Connection *connection, const struct cox_buf *body) {
  static const char expected[] = "the body must be {\"faults\": [\"[nodes:]fault[=value][@part]\", …]}";
  json_t *const json = body->len == 0 ? NULL : json_loadb(body->data, body->len, 0, NULL);
  const json_t *const list = json_object_get(json, "faults");
  const size_t count = json_array_size(list);
  const char *specs[SPECS_MAX];
  bool is_valid = json_is_array(list) && json_object_size(json) == 1 && count <= SPECS_MAX;
  for (size_t i = 0; is_valid && i < count; i++) is_valid = (specs[i] = json_string_value(json_array_get(list, i))) != NULL;
  struct cox_err err = {0};
  enum MHD_Result result;
  if (!is_valid) {
    result = send_error(connection, 400, expected);
  } else if (cox_fleet_set_faults(fleet, specs, count, &err) != 0) {
    result = send_error(connection, 400, err.text);
  } else {
    result = send_json(connection, 200, json_pack("{sI}", "faults", (json_int_t)count), NULL);
  }
  json_decref(json);
  return result;
}

static const struct call {
  const char *method, *path;
  enum MHD_Result (*handle)(struct cox_sim_fleet *fleet, struct MHD_Connection *connection, const struct cox_buf *body);
} calls[] = {
    {"GET", "/sim/nodes", get_nodes},
    {"GET", "/sim/config", get_config},
    {"POST", "/sim/faults", post_faults},
    {"POST", "/sim/reset", post_reset},
};

/* ---- the listener ---- */

static enum MHD_Result dispatch(struct cox_sim_fleet *fleet, struct MHD_Connection *connection, const char *method, const char *path,
                                const struct cox_buf *body) {
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    if (strcmp(path, calls[i].path) != 0) continue;
    if (strcmp(method, calls[i].method) == 0) return calls[i].handle(fleet, connection, body);
    return send_json(connection, 405, json_pack("{ss}", "error", "this method is not allowed here"), calls[i].method);
  }
  return send_error(connection, 404, "there are GET /sim/nodes, GET /sim/config, POST /sim/faults and POST /sim/reset");
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **context) {
  (void)version;
  struct cox_buf *body = *context;
  if (body == NULL) {
    *context = body = calloc(1, sizeof *body);
    if (body == NULL) return MHD_NO;
    body->limit = BODY_MAX;
    return MHD_YES;
  }
  if (*upload_size == 0) return dispatch(cls, connection, method, url, body);
  const bool is_kept = cox_buf_add(body, upload, *upload_size);
  *upload_size = 0;
  return is_kept ? MHD_YES : MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode why) {
  (void)cls, (void)connection, (void)why;
  struct cox_buf *const body = *context;
  *context = NULL;
  if (body != NULL) cox_buf_fini(body);
  free(body);
}

struct MHD_Daemon *cox_fleet_control_start(struct cox_sim_fleet *fleet, const char *address, unsigned port, struct cox_err *err) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, address, &at.sin_addr);
  struct MHD_Daemon *const control =
      MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, fleet, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
                       MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
  if (control == NULL) {
    cox_err_set(err, COX_ESYS, "listening for control on %s:%u failed: %s; choose another port", address, port, strerror(errno));
  }
  return control;
}

unsigned cox_fleet_control_port(struct MHD_Daemon *control) {
  return control == NULL ? 0 : MHD_get_daemon_info(control, MHD_DAEMON_INFO_BIND_PORT)->port;
}

void cox_fleet_control_stop(struct MHD_Daemon *control) {
  if (control != NULL) MHD_stop_daemon(control);
}
