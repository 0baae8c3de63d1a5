#include "console/node_view.h"

#include <stdio.h>
#include <string.h>

#include "console/moment.h"

const struct cox_column cox_node_columns[COX_NODE_COLUMNS] = {
    {.title = "NODE", .least = 8},
    {.title = "INTENDED", .rank = 2},
    {.title = "CURRENT"},
    {.title = "SINCE", .rank = 5, .is_right = true},
    {.title = "ATTEMPT", .rank = 3},
    {.title = "ADMIN", .rank = 4},
    {.title = "FAILURE", .least = 12, .rank = 1},
};

const char *cox_node_view_text(const json_t *object, const char *key) {
  const char *const text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

void cox_node_view_state(const json_t *object, const char *status_key, const char *poc_key, char out[COX_STATE_TEXT]) {
  const char *const status = cox_node_view_text(object, status_key), *const poc = cox_node_view_text(object, poc_key);
  const bool has_poc = *poc != '\0' && strcmp(poc, "IDLE") != 0;
  snprintf(out, COX_STATE_TEXT, "%.22s%s%.22s", *status != '\0' ? status : "UNKNOWN", has_poc ? "/" : "", has_poc ? poc : "");
}

/* Everything of a target but what does not count in comparison. */
static bool is_same_target(json_t *left, json_t *right) {
  static const char *const beside[] = {"drain_s", "reason"};
  if (json_equal(left, right)) return true;
  json_t *const copies[] = {json_copy(left), json_copy(right)};
  for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
    json_object_del(copies[0], beside[i]);
    json_object_del(copies[1], beside[i]);
  }
  const bool is_same = json_equal(copies[0], copies[1]);
  json_decref(copies[0]);
  json_decref(copies[1]);
  return is_same;
}

/* The broker's own rule (cox_node_is_converged), from what it shows. */
static bool is_converged(const json_t *explain, const struct cox_node_view *view) {
  if (!view->has_target) return true;
  if (strcmp(view->intended, view->current) != 0 || !json_is_true(json_object_get(explain, "settled"))) return false;
  return is_same_target(json_object_get(explain, "target"), json_object_get(explain, "applied"));
}

static void read_attempt(const json_t *state, struct cox_node_view *out) {
  const json_t *const info = json_object_get(state, "reconcile_info");
  if (!json_is_object(info)) return;
  out->attempt = json_integer_value(json_object_get(info, "attempt"));
  out->attempt_at_ms = cox_moment_parse(cox_node_view_text(info, "started_at"));
  out->is_cancelled = json_is_true(json_object_get(info, "cancelled"));
  cox_node_view_state(info, "status", "poc_status", out->attempt_to);
}

void cox_node_view_read(const json_t *object, struct cox_node_view *out) {
  const json_t *const state = json_object_get(object, "state"), *const explain = json_object_get(state, "explain");
  const json_t *const admin = json_object_get(state, "admin_state");
  *out = (struct cox_node_view){
      .id = cox_node_view_text(json_object_get(object, "node"), "id"),
      .has_target = json_is_object(json_object_get(explain, "target")),
      .is_failed = strcmp(cox_node_view_text(state, "current_status"), "FAILED") == 0,
      .is_enabled = !json_is_false(json_object_get(admin, "enabled")),
      .admin_ends_at_ms = cox_moment_parse(cox_node_view_text(admin, "expires_at")),
      .admin_epoch = json_integer_value(json_object_get(admin, "epoch")),
      .failure = cox_node_view_text(state, "failure_reason"),
      .reason = cox_node_view_text(explain, "reason"),
      .doing = cox_node_view_text(explain, "doing"),
      .status_at_ms = cox_moment_parse(cox_node_view_text(state, "status_timestamp")),
      .next_at_ms = cox_moment_parse(cox_node_view_text(state, "next_attempt_at")),
      .intended = "-",
  };
  cox_node_view_state(state, "current_status", "poc_current_status", out->current);
  if (out->has_target) cox_node_view_state(state, "intended_status", "poc_intended_status", out->intended);
  read_attempt(state, out);
  out->is_converged = is_converged(explain, out);
}

enum cox_style cox_node_view_style(const struct cox_node_view *view) {
  if (view->is_failed) return COX_STYLE_BAD;
  if (!view->is_converged) return COX_STYLE_BUSY;
  return view->has_target ? COX_STYLE_GOOD : COX_STYLE_DIM;
}

static void describe_attempt(const struct cox_node_view *view, int64_t now_ms, char *text, size_t size) {
  char age[COX_MOMENT_AGE];
  if (view->attempt == 0) return;
  cox_moment_age(now_ms - view->attempt_at_ms, age);
  if (view->is_cancelled) snprintf(text, size, "ending %s", age);
  else if (strcmp(view->attempt_to, view->intended) == 0) snprintf(text, size, "%s", age);
  else snprintf(text, size, "%s to %s", age, view->attempt_to);
}

static void describe_admin(const struct cox_node_view *view, int64_t now_ms, char *text, size_t size) {
  char left[COX_MOMENT_AGE];
  if (view->is_enabled) return;
  if (view->admin_ends_at_ms == 0) snprintf(text, size, "disabled");
  else snprintf(text, size, "disabled, %s left", cox_moment_age(view->admin_ends_at_ms - now_ms, left));
}

/* The failure, and when the next attempt comes. */
static void describe_failure(const struct cox_node_view *view, int64_t now_ms, char *text, size_t size) {
  char wait[COX_MOMENT_AGE];
  if (view->next_at_ms > now_ms) {
    const bool has_words = *view->failure != '\0';
    snprintf(text, size, "next try in %s%s%s", cox_moment_age(view->next_at_ms - now_ms, wait), has_words ? ": " : "", view->failure);
  } else {
    snprintf(text, size, "%s", view->failure);
  }
}

bool cox_node_view_add_row(const struct cox_node_view *view, int64_t now_ms, struct cox_table *table) {
  char since[COX_MOMENT_AGE] = "", attempt[COX_MOMENT_AGE + COX_STATE_TEXT + 8] = "", failure[512] = "", admin[COX_MOMENT_AGE + 24] = "";
  if (view->status_at_ms != 0) cox_moment_age(now_ms - view->status_at_ms, since);
  describe_attempt(view, now_ms, attempt, sizeof attempt);
  describe_admin(view, now_ms, admin, sizeof admin);
  describe_failure(view, now_ms, failure, sizeof failure);
  const struct cox_cell cells[COX_NODE_COLUMNS] = {
      {view->id, view->is_enabled ? COX_STYLE_PLAIN : COX_STYLE_DIM},
      {view->intended, COX_STYLE_PLAIN},
      {view->current, cox_node_view_style(view)},
      {since, COX_STYLE_DIM},
      {attempt, COX_STYLE_BUSY},
      {admin, COX_STYLE_DIM},
      {failure, COX_STYLE_BAD},
  };
  return cox_table_add(table, cells);
}
