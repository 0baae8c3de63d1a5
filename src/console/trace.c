#include "console/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "console/moment.h"
#include "console/text.h"

/* "12:00:01.250  text" */
static void add_line(struct cox_buf *out, int64_t now_ms, const struct cox_buf *text) {
  char moment[COX_CLOCK_TEXT];
  cox_clock_format(now_ms, moment);
  cox_buf_addf(out, "%.12s  ", moment + 11);
  cox_text_clean(out, text->data);
  cox_buf_add(out, "\n", 1);
}

static void say(struct cox_buf *out, int64_t now_ms, struct cox_buf *text) {
  if (text->data != NULL) add_line(out, now_ms, text);
  cox_buf_fini(text);
}

static int64_t number(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

static void look_at_target(struct cox_trace *trace, const struct cox_node_view *view, const json_t *state, int64_t now_ms, struct cox_buf *out) {
  const uint64_t generation = (uint64_t)number(state, "generation");
  if (trace->has_seen && generation == trace->generation) return;
  struct cox_buf text = {0};
  if (!view->has_target) cox_buf_addf(&text, "target    none yet");
  else cox_buf_addf(&text, "target    %s (generation %llu)%s%s", view->intended, (unsigned long long)generation, *view->reason != '\0' ? ": " : "", view->reason);
  trace->generation = generation;
  say(out, now_ms, &text);
}

static void look_at_status(struct cox_trace *trace, const struct cox_node_view *view, int64_t now_ms, struct cox_buf *out) {
  if (trace->has_seen && strcmp(trace->current, view->current) == 0) return;
  struct cox_buf text = {0};
  cox_buf_addf(&text, "status    %s%s%s", trace->has_seen ? trace->current : "", trace->has_seen ? " → " : "", view->current);
  snprintf(trace->current, sizeof trace->current, "%s", view->current);
  say(out, now_ms, &text);
}

/* The list is newest first; what fell out of it between two looks is not shown. */
static void look_at_ended(struct cox_trace *trace, const json_t *state, int64_t now_ms, struct cox_buf *out) {
  const json_t *const notes = json_object_get(state, "attempts");
  for (size_t i = json_array_size(notes); i-- > 0;) {
    const json_t *const note = json_array_get(notes, i);
    char to[COX_STATE_TEXT], took[COX_MOMENT_AGE];
    if (number(note, "attempt") <= trace->ended) continue;
    trace->ended = number(note, "attempt");
    if (!trace->has_seen) continue;
    struct cox_buf text = {0};
    const char *const error = cox_node_view_text(note, "error");
    cox_node_view_state(note, "status", "poc_status", to);
    cox_buf_addf(&text, "attempt %lld to %s %s after %s%s%s", (long long)trace->ended, to, cox_node_view_text(note, "outcome"),
                 cox_moment_age(number(note, "duration_ms"), took), *error != '\0' ? ": " : "", error);
    say(out, now_ms, &text);
  }
}

static void look_at_running(struct cox_trace *trace, const struct cox_node_view *view, int64_t now_ms, struct cox_buf *out) {
  struct cox_buf text = {0};
  if (view->attempt != trace->running && view->attempt != 0) {
    cox_buf_addf(&text, "attempt %lld to %s began", (long long)view->attempt, view->attempt_to);
    say(out, now_ms, &text);
  }
  if (view->attempt != 0 && view->is_cancelled && !(trace->is_cancelled && view->attempt == trace->running)) {
    cox_buf_addf(&text, "attempt %lld is cancelled", (long long)view->attempt);
    say(out, now_ms, &text);
  }
  trace->running = view->attempt;
  trace->is_cancelled = view->is_cancelled;
}

static void look_at_failure(struct cox_trace *trace, const struct cox_node_view *view, int64_t now_ms, struct cox_buf *out) {
  char failure[sizeof trace->failure];
  snprintf(failure, sizeof failure, "%s", view->failure);
  if (strcmp(trace->failure, failure) == 0) return;
  struct cox_buf text = {0};
  cox_buf_addf(&text, *view->failure != '\0' ? "failure   %s" : "failure   cleared", view->failure);
  memcpy(trace->failure, failure, sizeof failure);
  say(out, now_ms, &text);
}

void cox_trace_look(struct cox_trace *trace, const json_t *object, int64_t now_ms, struct cox_buf *out) {
  const json_t *const state = json_object_get(object, "state");
  struct cox_buf text = {0};
  if (object == NULL) {
    if (trace->has_seen) cox_buf_addf(&text, "the node was removed");
    say(out, now_ms, &text);
    *trace = (struct cox_trace){0};
    return;
  }
  struct cox_node_view view;
  cox_node_view_read(object, &view);
  if (trace->has_seen && trace->registration != (uint64_t)number(state, "registration")) {
    cox_buf_addf(&text, "registered anew");
    say(out, now_ms, &text);
  }
  trace->registration = (uint64_t)number(state, "registration");
  look_at_target(trace, &view, state, now_ms, out);
  look_at_ended(trace, state, now_ms, out);
  look_at_status(trace, &view, now_ms, out);
  look_at_failure(trace, &view, now_ms, out);
  look_at_running(trace, &view, now_ms, out);
  trace->has_seen = true;
}
