#include "console/live_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "console/live_draw.h"
#include "console/phase_view.h"
#include "console/text.h"

enum { HEARTBEAT_MS = 10000 };

struct context {
  char time[COX_CLOCK_TEXT];
  struct cox_buf *out;
};

static void say(const struct context *context, const char *kind) { cox_buf_addf(context->out, "%s %s ", context->time, kind); }

static void end(const struct context *context) { cox_buf_add(context->out, "\n", 1); }

static void say_phase(struct cox_live_lines *lines, const struct cox_phase_view *phase, const struct context *context) {
  if (!phase->has_block || *phase->phase == '\0') return;
  if (lines->has_phase && lines->epoch == phase->epoch && strncmp(lines->phase, phase->phase, sizeof lines->phase - 1) == 0) return;
  say(context, "phase");
  cox_text_clean(context->out, phase->phase);
  cox_buf_addf(context->out, " epoch %lld block %lld", (long long)phase->epoch, (long long)phase->height);
  if (phase->has_next) cox_buf_addf(context->out, ", %lld blocks to %s", (long long)(phase->next - phase->height), phase->next_name);
  end(context);
  snprintf(lines->phase, sizeof lines->phase, "%s", phase->phase);
  lines->epoch = phase->epoch;
  lines->has_phase = true;
}

/* The order rarely changes, so the search begins where the last one ended. */
static struct cox_live_line *find(struct cox_live_lines *lines, const char *id, size_t hint) {
  for (size_t i = 0; i < lines->count; i++) {
    struct cox_live_line *const line = &lines->nodes[(hint + i) % lines->count];
    if (strcmp(line->id, id) == 0) return line;
  }
  return NULL;
}

static struct cox_live_line *add(struct cox_live_lines *lines, const char *id) {
  if (lines->count == lines->capacity) {
    const size_t capacity = lines->capacity == 0 ? 16 : lines->capacity * 2;
    struct cox_live_line *const nodes = realloc(lines->nodes, capacity * sizeof *nodes);
    if (nodes == NULL) return NULL;
    lines->nodes = nodes;
    lines->capacity = capacity;
  }
  struct cox_live_line *const line = &lines->nodes[lines->count];
  *line = (struct cox_live_line){.id = strdup(id)};
  if (line->id == NULL) return NULL;
  lines->count++;
  return line;
}

static void say_node(struct cox_live_line *line, const struct cox_node_view *view, const struct context *context) {
  line->is_here = true;
  if (strcmp(line->current, view->current) == 0) return;
  say(context, "node");
  cox_text_clean(context->out, view->id);
  cox_buf_addf(context->out, " ");
  cox_text_clean(context->out, view->current);
  if (line->current[0] != '\0') {
    cox_buf_addf(context->out, " (was ");
    cox_text_clean(context->out, line->current);
    cox_buf_addf(context->out, ")");
  }
  if (view->is_failed && *view->failure != '\0') {
    cox_buf_addf(context->out, ": ");
    cox_text_clean(context->out, view->failure);
  }
  end(context);
  snprintf(line->current, sizeof line->current, "%s", view->current);
}

static void say_nodes(struct cox_live_lines *lines, json_t *nodes, const struct context *context) {
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct cox_node_view view;
    cox_node_view_read(object, &view);
    struct cox_live_line *line = find(lines, view.id, i);
    if (line == NULL) line = add(lines, view.id);
    if (line != NULL) say_node(line, &view, context);
  }
}

static void say_removed(struct cox_live_lines *lines, const struct context *context) {
  size_t kept = 0;
  for (size_t i = 0; i < lines->count; i++) {
    struct cox_live_line *const line = &lines->nodes[i];
    if (line->is_here) {
      line->is_here = false;
      lines->nodes[kept++] = *line;
      continue;
    }
    say(context, "node");
    cox_text_clean(context->out, line->id);
    cox_buf_addf(context->out, " was removed");
    end(context);
    free(line->id);
  }
  lines->count = kept;
}

static void beat(struct cox_live_lines *lines, json_t *nodes, const struct cox_phase_view *phase, int64_t now_ms,
                 const struct context *context) {
  const int64_t pause_ms = lines->heartbeat_ms > 0 ? lines->heartbeat_ms : HEARTBEAT_MS;
  if (lines->beat_at_ms != 0 && now_ms - lines->beat_at_ms < pause_ms) return;
  lines->beat_at_ms = now_ms;
  say(context, "fleet");
  if (phase->has_block) cox_buf_addf(context->out, "block %lld: ", (long long)phase->height);
  cox_live_draw_summary(nodes, context->out);
  end(context);
}

void cox_live_lines_update(struct cox_live_lines *lines, json_t *nodes, const json_t *world, int64_t now_ms, struct cox_buf *out) {
  struct context context = {.out = out};
  struct cox_phase_view phase;
  cox_clock_format(now_ms, context.time);
  cox_phase_view_read(world, &phase);
  say_phase(lines, &phase, &context);
  say_nodes(lines, nodes, &context);
  say_removed(lines, &context);
  beat(lines, nodes, &phase, now_ms, &context);
}

void cox_live_lines_fini(struct cox_live_lines *lines) {
  for (size_t i = 0; i < lines->count; i++) free(lines->nodes[i].id);
  free(lines->nodes);
  *lines = (struct cox_live_lines){0};
}
