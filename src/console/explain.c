#include "console/explain.h"

#include <stdio.h>
#include <string.h>

#include "console/moment.h"
#include "console/node_view.h"
#include "console/table.h"
#include "console/text.h"

enum { LABEL = 12, INDENT = LABEL + 2, URL_MAX = 512 };

struct context {
  const json_t *config, *state, *explain;
  struct cox_node_view view;
  int64_t now_ms;
  const struct cox_term *term;
  struct cox_buf *out;
};

/* "label     text", the text cleaned and wrapped. */
static void add_fact(const struct context *context, const char *label, enum cox_style style, const char *text) {
  struct cox_buf clean = {0};
  if (!cox_text_clean(&clean, text)) return;
  cox_term_begin(context->term, COX_STYLE_DIM, context->out);
  cox_buf_addf(context->out, "%-*s", INDENT, label);
  cox_term_end(context->term, COX_STYLE_DIM, context->out);
  cox_term_begin(context->term, style, context->out);
  cox_text_wrap(context->out, clean.data, INDENT, context->term->width);
  cox_term_end(context->term, style, context->out);
  cox_buf_add(context->out, "\n", 1);
  cox_buf_fini(&clean);
}

static void add_built(const struct context *context, const char *label, enum cox_style style, struct cox_buf *text) {
  if (text->data != NULL) add_fact(context, label, style, text->data);
  cox_buf_fini(text);
}

/* ---- what it is made of ---- */

/* As cox_node_config_url, for an object that nobody has checked. */
static void add_url(const struct context *context, const char *label, const char *port, const char *segment) {
  struct cox_buf text = {0};
  const char *const host = cox_node_view_text(context->config, "host");
  cox_buf_addf(&text, "%s%s:%lld%s", strstr(host, "://") != NULL ? "" : "http://", host,
               (long long)json_integer_value(json_object_get(context->config, port)), cox_node_view_text(context->config, segment));
  add_built(context, label, COX_STYLE_PLAIN, &text);
}

static void add_title(const struct context *context) {
  struct cox_buf text = {0};
  cox_text_clean(&text, context->view.id);
  cox_term_begin(context->term, COX_STYLE_BOLD, context->out);
  cox_text_wrap(context->out, text.data != NULL ? text.data : "", 0, context->term->width);
  cox_term_end(context->term, COX_STYLE_BOLD, context->out);
  cox_buf_add(context->out, "\n", 1);
  cox_buf_fini(&text);
  cox_buf_addf(&text, "number %lld, registration %lld, driver %s", (long long)json_integer_value(json_object_get(context->config, "node_num")),
               (long long)json_integer_value(json_object_get(context->state, "registration")), cox_node_view_text(context->config, "kind"));
  add_built(context, "node", COX_STYLE_PLAIN, &text);
}

static void add_models(const struct context *context) {
  struct cox_buf text = {0};
  const char *model;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)json_object_get(context->config, "models"), model, value) {
    cox_buf_addf(&text, "%s%s", text.len > 0 ? ", " : "", model);
  }
  add_built(context, "models", COX_STYLE_PLAIN, &text);
}

static void add_load(const struct context *context) {
  struct cox_buf text = {0};
  cox_buf_addf(&text, "%lld of %lld requests at once", (long long)json_integer_value(json_object_get(context->state, "lock_count")),
               (long long)json_integer_value(json_object_get(context->config, "max_concurrent")));
  add_built(context, "load", COX_STYLE_PLAIN, &text);
}

/* ---- what it should be ---- */

/* Parameters that people care about; the whole is in --json. */
static void add_parameters(const json_t *target, struct cox_buf *text) {
  const char *const model = cox_node_view_text(target, "model");
  const json_t *const height = json_object_get(target, "block_height"), *const count = json_object_get(target, "node_count");
  const json_t *const args = json_object_get(target, "args");
  if (*model != '\0') cox_buf_addf(text, " of %s", model);
  for (size_t i = 0; i < json_array_size(args); i++) {
    const char *const arg = json_string_value(json_array_get(args, i));
    cox_buf_addf(text, " %s", arg != NULL ? arg : "?");
  }
  if (json_is_integer(height)) {
    cox_buf_addf(text, ", episode of block %lld (%.12s)", (long long)json_integer_value(height), cox_node_view_text(target, "block_hash"));
  }
  if (json_is_integer(count)) {
    cox_buf_addf(text, ", part %lld of %lld", (long long)json_integer_value(json_object_get(target, "node_id")), (long long)json_integer_value(count));
  }
}

static void add_target(const struct context *context) {
  struct cox_buf text = {0};
  if (!context->view.has_target) {
    add_fact(context, "target", COX_STYLE_DIM, "none: no command has set one yet");
    return;
  }
  cox_buf_addf(&text, "%s", context->view.intended);
  add_parameters(json_object_get(context->explain, "target"), &text);
  cox_buf_addf(&text, " (generation %lld)", (long long)json_integer_value(json_object_get(context->state, "generation")));
  add_built(context, "target", COX_STYLE_BOLD, &text);
  if (*context->view.reason != '\0') add_fact(context, "why", COX_STYLE_PLAIN, context->view.reason);
}

static void add_admin(const struct context *context) {
  struct cox_buf text = {0};
  char left[COX_MOMENT_AGE];
  const json_t *const admin = json_object_get(context->state, "admin_state");
  const char *const reason = cox_node_view_text(admin, "reason"), *const actor = cox_node_view_text(admin, "actor");
  const int64_t expires_ms = cox_moment_parse(cox_node_view_text(admin, "expires_at"));
  cox_buf_addf(&text, "%s in epoch %lld", context->view.is_enabled ? "enabled" : "disabled", (long long)context->view.admin_epoch);
  if (*actor != '\0') cox_buf_addf(&text, " by %s", actor);
  if (expires_ms != 0) {
    cox_buf_addf(&text, ", until %s (another %s)", cox_node_view_text(admin, "expires_at"), cox_moment_age(expires_ms - context->now_ms, left));
  }
  cox_buf_addf(&text, "%s%s", *reason != '\0' ? ": " : "", reason);
  add_built(context, "admin", COX_STYLE_PLAIN, &text);
}

/* ---- what it is, and what happens ---- */

/* "… for 12s". */
static void add_current(const struct context *context) {
  struct cox_buf text = {0};
  char age[COX_MOMENT_AGE];
  cox_buf_addf(&text, "%s", context->view.current);
  if (context->view.status_at_ms != 0) {
    cox_buf_addf(&text, " for %s (since %s)", cox_moment_age(context->now_ms - context->view.status_at_ms, age),
                 cox_node_view_text(context->state, "status_timestamp"));
  }
  const bool is_settled = json_is_true(json_object_get(context->explain, "settled"));
  if (!is_settled && context->view.has_target) cox_buf_addf(&text, "; not settled: no attempt to its target has succeeded since");
  add_built(context, "current", cox_node_view_style(&context->view), &text);
}

static void add_doing(const struct context *context) {
  struct cox_buf text = {0};
  char age[COX_MOMENT_AGE];
  const struct cox_node_view *const view = &context->view;
  const json_t *const info = json_object_get(context->state, "reconcile_info");
  if (view->attempt == 0) {
    add_fact(context, "doing", COX_STYLE_PLAIN, view->doing);
    return;
  }
  cox_buf_addf(&text, "attempt %lld to %s, for %s", (long long)view->attempt, view->attempt_to, cox_moment_age(context->now_ms - view->attempt_at_ms, age));
  const int64_t deadline_ms = cox_moment_parse(cox_node_view_text(info, "deadline_at"));
  if (deadline_ms != 0) cox_buf_addf(&text, ", ended at the latest in %s", cox_moment_age(deadline_ms - context->now_ms, age));
  if (view->is_cancelled) cox_buf_addf(&text, "; it is cancelled and about to end");
  if (*cox_node_view_text(info, "note") != '\0') cox_buf_addf(&text, "; %s", cox_node_view_text(info, "note"));
  add_built(context, "doing", COX_STYLE_BUSY, &text);
}

/* How many requests it has, and why it is given to more or not; nothing from a daemon that does not say. */
static void add_leases(const struct context *context) {
  struct cox_buf text = {0};
  const json_t *const lease = json_object_get(context->explain, "lease");
  if (lease == NULL) return;
  cox_buf_addf(&text, "%lld live; %s", (long long)json_integer_value(json_object_get(lease, "leases")), cox_node_view_text(lease, "why"));
  if (json_is_true(json_object_get(lease, "draining"))) cox_buf_addf(&text, "; draining: no new ones until those have ended");
  const bool is_eligible = json_is_true(json_object_get(lease, "eligible"));
  add_built(context, "leases", is_eligible ? COX_STYLE_PLAIN : COX_STYLE_DIM, &text);
}

static void add_next(const struct context *context) {
  struct cox_buf text = {0};
  char wait[COX_MOMENT_AGE];
  if (context->view.next_at_ms == 0) return;
  cox_buf_addf(&text, "in %s (%s); `coxswain command reconcile` ends the wait", cox_moment_age(context->view.next_at_ms - context->now_ms, wait),
               cox_node_view_text(context->state, "next_attempt_at"));
  add_built(context, "next try", COX_STYLE_PLAIN, &text);
}

static void add_failures(const struct context *context) {
  struct cox_buf text = {0};
  char age[COX_MOMENT_AGE];
  const char *const last = cox_node_view_text(context->explain, "last_failure"), *const call = cox_node_view_text(context->explain, "unanswered");
  if (*context->view.failure != '\0') add_fact(context, "failure", COX_STYLE_BAD, context->view.failure);
  if (*last != '\0') add_fact(context, "last failure", COX_STYLE_PLAIN, last);
  if (*call == '\0') return;
  const int64_t at_ms = cox_moment_parse(cox_node_view_text(context->explain, "unanswered_at"));
  cox_buf_addf(&text, "%s, sent %s ago: what it did is not known", call, cox_moment_age(context->now_ms - at_ms, age));
  add_built(context, "unanswered", COX_STYLE_BUSY, &text);
}

static void add_check(const struct context *context) {
  struct cox_buf text = {0};
  char age[COX_MOMENT_AGE];
  const int64_t at_ms = cox_moment_parse(cox_node_view_text(context->state, "checked_at"));
  if (at_ms == 0) cox_buf_addf(&text, "never");
  else cox_buf_addf(&text, "%s ago", cox_moment_age(context->now_ms - at_ms, age));
  add_built(context, "last check", COX_STYLE_PLAIN, &text);
}

/* ---- what was tried ---- */

static const struct cox_column note_columns[] = {
    {.title = "ATTEMPT", .is_right = true}, {.title = "TO"}, {.title = "OUTCOME"},
    {.title = "TOOK", .is_right = true, .rank = 2}, {.title = "BEGAN", .is_right = true, .rank = 3},
    {.title = "ERROR", .least = 16, .rank = 1},
};

static void add_note(const json_t *note, int64_t now_ms, struct cox_table *table) {
  char number[24], to[COX_STATE_TEXT], took[COX_MOMENT_AGE], began[COX_MOMENT_AGE + 8], age[COX_MOMENT_AGE], outcome[64];
  const bool is_good = strcmp(cox_node_view_text(note, "outcome"), "succeeded") == 0;
  snprintf(number, sizeof number, "%lld", (long long)json_integer_value(json_object_get(note, "attempt")));
  cox_node_view_state(note, "status", "poc_status", to);
  cox_moment_age(json_integer_value(json_object_get(note, "duration_ms")), took);
  snprintf(began, sizeof began, "%s ago", cox_moment_age(now_ms - cox_moment_parse(cox_node_view_text(note, "started_at")), age));
  snprintf(outcome, sizeof outcome, "%.40s%s", cox_node_view_text(note, "outcome"),
           json_is_true(json_object_get(note, "outdated")) ? ", outdated" : "");
  const struct cox_cell cells[] = {{number, COX_STYLE_PLAIN}, {to, COX_STYLE_PLAIN}, {outcome, is_good ? COX_STYLE_GOOD : COX_STYLE_BAD},
                                   {took, COX_STYLE_PLAIN}, {began, COX_STYLE_DIM}, {cox_node_view_text(note, "error"), COX_STYLE_PLAIN}};
  cox_table_add(table, cells);
}

static void add_notes(const struct context *context) {
  const json_t *const notes = json_object_get(context->state, "attempts");
  if (json_array_size(notes) == 0) {
    add_fact(context, "attempts", COX_STYLE_DIM, "none has ended yet");
    return;
  }
  struct cox_table *const table = cox_table_create(note_columns, sizeof note_columns / sizeof *note_columns);
  if (table == NULL) return;
  for (size_t i = 0; i < json_array_size(notes); i++) add_note(json_array_get(notes, i), context->now_ms, table);
  cox_buf_add(context->out, "\n", 1);
  cox_table_render(table, context->term, context->out);
  cox_table_destroy(table);
}

void cox_explain_node(const json_t *object, int64_t now_ms, const struct cox_term *term, struct cox_buf *out) {
  struct context context = {
      .config = json_object_get(object, "node"),
      .state = json_object_get(object, "state"),
      .now_ms = now_ms,
      .term = term,
      .out = out,
  };
  context.explain = json_object_get(context.state, "explain");
  cox_node_view_read(object, &context.view);
  add_title(&context);
  add_url(&context, "management", "poc_port", "poc_segment");
  add_url(&context, "inference", "inference_port", "inference_segment");
  add_models(&context);
  add_load(&context);
  add_admin(&context);
  add_target(&context);
  add_current(&context);
  add_doing(&context);
  add_leases(&context);
  add_next(&context);
  add_failures(&context);
  add_check(&context);
  add_notes(&context);
}
