/* What a simulated node tells about itself. */
#include <string.h>

#include "sim/fleet_node_private.h"

const char *cox_fleet_service_name(enum cox_fleet_service service) {
  static const char *const names[] = {"STOPPED", "INFERENCE", "POW", "TRAIN"};
  return names[service];
}

static json_t *wall(int64_t at_us, int64_t wall_offset_ms) {
  return at_us == COX_FLEET_NEVER ? json_null() : json_integer(at_us / 1000 + wall_offset_ms);
}

static const char *name_of(const struct cox_fleet_route *route, char *out, size_t room) {
  out[0] = '\0';
  strncat(out, route->method, room - 1);
  if (route->method[0] != '\0') strncat(out, " ", room - strlen(out) - 1);
  return strncat(out, route->path, room - strlen(out) - 1);
}

static void report_calls(const struct cox_fleet_node *node, int64_t wall_offset_ms, json_t *out) {
  json_t *const calls = json_object(), *const times = json_object();
  for (int i = 0; i < COX_FLEET_ROUTES; i++) {
    const struct cox_fleet_count *const count = &node->counts[i];
    if (count->calls == 0) continue;
    char name[80];
    name_of(&cox_fleet_routes[i], name, sizeof name);
    json_object_set_new(calls, name, json_integer((json_int_t)count->calls));
    json_object_set_new(times, name, json_pack("{soso}", "first_ms", wall(count->first_us, wall_offset_ms), "last_ms",
                        wall(count->last_us, wall_offset_ms)));
  }
  json_object_set_new(out, "calls", calls);
  json_object_set_new(out, "times", times);
  json_object_set_new(out, "first_call_ms", wall(node->first_call_us, wall_offset_ms));
  json_object_set_new(out, "last_call_ms", wall(node->last_call_us, wall_offset_ms));
}

static json_t *report_faults(const struct cox_fleet_node *node) {
  json_t *const list = json_array();
  for (int kind = 0; kind < COX_FAULT_KINDS_LASTING; kind++) {
    const struct cox_fleet_fault *const fault = node->faults[kind];
    if (fault == NULL) continue;
    const char *const name = cox_fleet_fault_name((enum cox_fleet_fault_kind)kind);
    json_array_append_new(list, json_sprintf("%s%s%s%s%s", name, fault->value[0] ? "=" : "", fault->value,
                          fault->part[0] ? "@" : "", fault->part));
  }
  return list;
}

static json_t *or_null(json_t *value) { return value != NULL ? json_incref(value) : json_null(); }

json_t *cox_fleet_node_report(const struct cox_fleet_node *node, int64_t now_us, int64_t wall_offset_ms) {
  const bool is_loading = node->server.load_at_us != COX_FLEET_NEVER;
  const bool is_stopping = node->stop_at_us != COX_FLEET_NEVER || node->is_stop_wanted;
  json_t *const out = json_pack(
      "{ss ss sb sI sb ss sb sb sb sb}", "id", node->id, "release", node->options.is_old ? "old" : "new", "is_up", node->is_up, "starts",
      (json_int_t)node->starts, "is_listening", cox_fleet_node_is_listening(node), "state", cox_fleet_service_name(node->service),
      "is_loading", is_loading, "is_healthy", cox_fleet_is_healthy(node, now_us), "is_stopping", is_stopping, "is_silent",
      node->is_silent || node->is_quiet);
  if (out == NULL) return NULL;
  json_object_set_new(out, "server", or_null(node->server.asked));
  json_object_set_new(out, "pow", cox_fleet_pow_words(node, now_us));
  json_object_set_new(out, "last_init", or_null(node->last_init));
  json_object_set_new(out, "last_up", or_null(node->last_up));
  json_object_set_new(out, "last_train", or_null(node->last_train));
  json_object_set_new(out, "faults", report_faults(node));
  json_object_set_new(out, "loads", json_integer((json_int_t)node->loads));
  json_object_set_new(out, "pow_inits", json_integer((json_int_t)node->pow_inits));
  json_object_set_new(out, "mutating_open", json_integer(node->mutating_open));
  json_object_set_new(out, "mutating_open_max", json_integer(node->mutating_open_max));
  report_calls(node, wall_offset_ms, out);
  return out;
}

void cox_fleet_node_reset_counts(struct cox_fleet_node *node) {
  memset(node->counts, 0, sizeof node->counts);
  node->first_call_us = node->last_call_us = COX_FLEET_NEVER;
  node->mutating_open_max = node->mutating_open;
  node->loads = node->pow_inits = 0;
  cox_fleet_keep(&node->last_init, NULL);
  cox_fleet_keep(&node->last_up, NULL);
  cox_fleet_keep(&node->last_train, NULL);
}
