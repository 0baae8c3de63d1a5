#include "api/route.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/routes.h"

/* A literal segment stands before a parameter in its place: the first that fits is taken. */
static const struct cox_route routes[] = {
    {"GET", "/", cox_get_page, 0, true},
    {"GET", "/page.js", cox_get_page_script, 0, true},
    {"GET", "/page.css", cox_get_page_style, 0, true},
    {"GET", "/page.svg", cox_get_page_icon, 0, true},
    {"GET", "/routes", cox_get_index, 0, false},
    {"GET", "/livez", cox_get_livez, 0, true},
    {"GET", "/readyz", cox_get_readyz, 0, true},
    {"GET", "/metrics", cox_get_metrics, 0, false},
    {"GET", "/openapi.json", cox_get_openapi, 0, false},
    {"GET", "/admin/v1/nodes", cox_get_nodes, 0, false},
    {"POST", "/admin/v1/nodes", cox_post_node, COX_BODY_MAX, false},
    {"POST", "/admin/v1/nodes/batch", cox_post_batch, COX_BODY_MAX, false},
    {"GET", "/admin/v1/nodes/:id", cox_get_node, 0, false},
    {"PUT", "/admin/v1/nodes/:id", cox_put_node, COX_BODY_MAX, false},
    {"DELETE", "/admin/v1/nodes/:id", cox_delete_node, COX_BODY_MAX, false},
    {"POST", "/admin/v1/nodes/:id/enable", cox_post_enable, COX_BODY_MAX, false},
    {"POST", "/admin/v1/nodes/:id/disable", cox_post_disable, COX_BODY_MAX, false},
    {"GET", "/admin/v1/config", cox_get_config, 0, false},
    {"GET", "/v1/commands", cox_get_commands, 0, false},
    {"POST", "/v1/commands/:name", cox_post_command, COX_BODY_MAX, false},
    {"POST", "/v1/leases", cox_post_lease, COX_BODY_MAX, false},
    {"PUT", "/v1/leases/:id", cox_put_lease, COX_BODY_MAX, false},
    {"DELETE", "/v1/leases/:id", cox_delete_lease, COX_BODY_MAX, false},
    {"GET", "/v1/world", cox_get_world, 0, false},
    {"GET", "/v1/events", cox_get_events, 0, false},
    {"GET", "/v1/backup", cox_get_backup, 0, false},
    {"GET", "/v1/scripts", cox_get_scripts, 0, false},
    {"POST", "/v1/scripts/reload", cox_post_reload, COX_BODY_MAX, false},
    {"POST", "/v1/scripts/rollback", cox_post_rollback, COX_BODY_MAX, false},
    {"POST", "/v1/scripts/plan", cox_post_plan, COX_BODY_MAX, false},
};

const struct cox_route *cox_routes(size_t *count) {
  *count = sizeof routes / sizeof *routes;
  return routes;
}

static int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

bool cox_percent_decode(char *text) {
  char *out = text;
  for (const char *in = text; *in != '\0'; in++) {
    if (*in != '%') {
      *out++ = *in;
      continue;
    }
    const int high = hex(in[1]), low = high < 0 ? -1 : hex(in[2]);
    if (low < 0 || (high == 0 && low == 0)) return false;
    *out++ = (char)(high << 4 | low);
    in += 2;
  }
  *out = '\0';
  return true;
}

static bool is_ascii(const char *text) {
  while (*text != '\0' && (unsigned char)*text < 0x80) text++;
  return *text == '\0';
}

static bool is_utf8(const char *text) {
  if (is_ascii(text)) return true;
  json_t *const value = json_string(text);
  const bool is_good = value != NULL;
  json_decref(value);
  return is_good;
}

bool cox_path_parse(const char *raw, struct cox_path *path) {
  *path = (struct cox_path){.text = strdup(raw)};
  if (path->text == NULL || *path->text != '/') return false;
  for (char *next = path->text; next != NULL;) {
    char *const segment = next + 1;
    next = strchr(segment, '/');
    if (next != NULL) *next = '\0';
    if (path->count++ >= COX_SEGMENTS_MAX) {
      path->count = COX_SEGMENTS_MAX + 1;
      return true;
    }
    if (!cox_percent_decode(segment) || !is_utf8(segment)) return false;
    path->segment[path->count - 1] = segment;
  }
  return true;
}

void cox_path_fini(struct cox_path *path) {
  free(path->text);
  path->text = NULL;
}

static bool fits(const char *pattern, const struct cox_path *path, const char *param[COX_PARAMS_MAX]) {
  size_t params = 0, i = 0;
  for (const char *next = pattern; next != NULL; i++) {
    const char *const part = next + 1;
    next = strchr(part, '/');
    const size_t len = next != NULL ? (size_t)(next - part) : strlen(part);
    if (i >= path->count) return false;
    if (*part == ':') {
      assert(params < COX_PARAMS_MAX);
      if (*path->segment[i] == '\0') return false;
      param[params++] = path->segment[i];
    } else if (strlen(path->segment[i]) != len || strncmp(path->segment[i], part, len) != 0) {
      return false;
    }
  }
  return i == path->count;
}

static void allow(struct cox_match *match, const char *method) {
  if (strstr(match->allow, method) != NULL) return;
  const size_t len = strlen(match->allow);
  snprintf(match->allow + len, sizeof match->allow - len, "%s%s%s", len > 0 ? ", " : "", method,
           strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

void cox_route_match(const char *method, const struct cox_path *path, struct cox_match *match) {
  *match = (struct cox_match){0};
  if (path->count > COX_SEGMENTS_MAX) return;
  const char *const wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
  const char *param[COX_PARAMS_MAX] = {0};
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    if (strcmp(routes[i].method, wanted) != 0 || !fits(routes[i].pattern, path, param)) continue;
    match->route = &routes[i];
    memcpy(match->param, param, sizeof match->param);
    return;
  }
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    if (fits(routes[i].pattern, path, param)) allow(match, routes[i].method);
  }
}
