#include "console/live_draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/node_view.h"
#include "console/phase_view.h"
#include "console/table.h"
#include "console/text.h"

enum { HEAD_LINES = 2, WORLD_LINES = 2, BAR_LEAST = 8, BAR_MOST = 60, PART_MAX = 96, KINDS_MAX = 12 };

/* A line of unknown length, cut to the width. */
static void add_line(struct cox_buf *out, const struct cox_term *term, enum cox_style style, const char *text) {
  cox_term_begin(term, style, out);
  if (term->width > 0) cox_text_cut(out, text, term->width);
  else cox_buf_add(out, text, strlen(text));
  cox_term_end(term, style, out);
  cox_buf_add(out, "\n", 1);
}

/* ---- the phase ---- */

static void add_part(struct cox_buf *line, const char *text) {
  if (line->len > 0) cox_buf_addf(line, " · ");
  cox_text_clean(line, text);
}

/* "block 742 · PoCGenerate · epoch 7 · start_poc is due": what matters most stands first, for narrow terminals. */
static void draw_phase(const struct cox_phase_view *phase, const struct cox_term *term, struct cox_buf *out) {
  struct cox_buf line = {0};
  char part[PART_MAX];
  if (!phase->has_block) {
    add_line(out, term, COX_STYLE_BUSY, "no block has come yet");
    return;
  }
  snprintf(part, sizeof part, "block %lld", (long long)phase->height);
  add_part(&line, part);
  add_part(&line, *phase->phase != '\0' ? phase->phase : "phase not known");
  if (!phase->is_synced) add_part(&line, "not synced");
  if (phase->has_epoch) {
    snprintf(part, sizeof part, "epoch %lld", (long long)phase->epoch);
    add_part(&line, part);
  }
  if (*phase->command != '\0') {
    snprintf(part, sizeof part, "%.60s is due", phase->command);
    add_part(&line, part);
  }
  add_line(out, term, phase->is_synced ? COX_STYLE_BOLD : COX_STYLE_BUSY, line.data);
  cox_buf_fini(&line);
}

static void add_bar(struct cox_buf *out, int columns, int64_t done, int64_t whole) {
  const int full = whole > 0 ? (int)((double)done / (double)whole * columns) : 0;
  for (int i = 0; i < columns; i++) cox_buf_addf(out, "%s", i < full ? "█" : "░");
}

/* "████░░░░  18 blocks to PoCValidate": the bar is this stretch from its first block to the next boundary. */
static void draw_bar(const struct cox_phase_view *phase, const struct cox_term *term, struct cox_buf *out) {
  struct cox_buf line = {0};
  char label[PART_MAX];
  const long long left = (long long)(phase->next - phase->height);
  if (!phase->has_next) {
    add_line(out, term, COX_STYLE_DIM, phase->has_block ? "the next boundary is not known" : "");
    return;
  }
  snprintf(label, sizeof label, "%lld %s to %s (%lld)", left, left == 1 ? "block" : "blocks", phase->next_name, (long long)phase->next);
  const int spare = term->width > 0 ? term->width - cox_text_width(label) - 2 : BAR_MOST;
  const bool has_begin = phase->has_first || phase->epoch == 0; /* epoch 0 begins with the chain */
  if (spare >= BAR_LEAST && has_begin) {
    const int64_t first = phase->has_first ? phase->first : 0;
    add_bar(&line, spare < BAR_MOST ? spare : BAR_MOST, phase->height - first, phase->next - first);
    cox_text_pad(&line, 2);
  }
  cox_buf_addf(&line, "%s", label);
  add_line(out, term, COX_STYLE_PLAIN, line.data);
  cox_buf_fini(&line);
}

/* ---- the summary ---- */

struct tally {
  size_t nodes, converged, in_flight, failed;
};

static struct tally count(json_t *nodes) {
  struct tally tally = {0};
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct cox_node_view view;
    cox_node_view_read(object, &view);
    tally.nodes++;
    tally.converged += view.is_converged;
    tally.in_flight += view.attempt != 0;
    tally.failed += view.is_failed;
  }
  return tally;
}

static void add_summary(const struct tally *tally, struct cox_buf *out) {
  cox_buf_addf(out, "%zu of %zu converged · %zu %s in flight · %zu failed", tally->converged, tally->nodes, tally->in_flight,
               tally->in_flight == 1 ? "attempt" : "attempts", tally->failed);
}

void cox_live_draw_summary(json_t *nodes, struct cox_buf *out) {
  const struct tally tally = count(nodes);
  add_summary(&tally, out);
}

static void draw_summary(json_t *nodes, const struct cox_term *term, struct cox_buf *out) {
  const struct tally tally = count(nodes);
  struct cox_buf line = {0};
  add_summary(&tally, &line);
  const enum cox_style style = tally.failed > 0 ? COX_STYLE_BAD : tally.converged < tally.nodes ? COX_STYLE_BUSY : COX_STYLE_GOOD;
  add_line(out, term, style, line.data != NULL ? line.data : "");
  cox_buf_fini(&line);
}

/* ---- the nodes ---- */

/* What needs eyes most is 0. */
static int urgency(const struct cox_node_view *view) {
  if (view->is_failed) return 0;
  if (view->attempt != 0) return 1;
  return view->is_converged ? 3 : 2;
}

/* Nodes by their current status, in the order in which the statuses appear. */
struct rest {
  struct {
    char status[COX_STATE_TEXT];
    size_t count;
  } kinds[KINDS_MAX];
  size_t kind_count, count, unconverged;
};

static void count_rest(struct rest *rest, const struct cox_node_view *view) {
  rest->count++;
  rest->unconverged += !view->is_converged;
  size_t i = 0;
  while (i < rest->kind_count && strcmp(rest->kinds[i].status, view->current) != 0) i++;
  if (i == KINDS_MAX) return; /* their number still counts in the whole */
  if (i == rest->kind_count) {
    snprintf(rest->kinds[i].status, sizeof rest->kinds[i].status, "%s", view->current);
    rest->kind_count++;
  }
  rest->kinds[i].count++;
}

static void draw_rest(const struct rest *rest, const struct cox_term *term, struct cox_buf *out) {
  struct cox_buf line = {0};
  cox_buf_addf(&line, "and %zu more: ", rest->count);
  for (size_t i = 0; i < rest->kind_count; i++) {
    cox_buf_addf(&line, "%s%zu ", i > 0 ? ", " : "", rest->kinds[i].count);
    cox_text_clean(&line, rest->kinds[i].status);
  }
  if (rest->unconverged > 0) cox_buf_addf(&line, "; %zu of them not converged", rest->unconverged);
  add_line(out, term, rest->unconverged > 0 ? COX_STYLE_BUSY : COX_STYLE_DIM, line.data != NULL ? line.data : "");
  cox_buf_fini(&line);
}

/* The `room` most urgent nodes as rows, in the order given within one urgency; the others into `rest`. */
static void select_rows(json_t *nodes, size_t room, int64_t now_ms, struct cox_table *table, struct rest *rest) {
  const bool has_room = json_array_size(nodes) <= room;
  size_t rows = 0, i;
  json_t *object;
  for (int wanted = 0; wanted <= (has_room ? 0 : 3); wanted++) {
    json_array_foreach(nodes, i, object) {
      struct cox_node_view view;
      cox_node_view_read(object, &view);
      if (!has_room && urgency(&view) != wanted) continue;
      if (rows++ < room) cox_node_view_add_row(&view, now_ms, table);
      else count_rest(rest, &view);
    }
  }
}

/* `head`: lines above the rows. */
static void draw_nodes(json_t *nodes, int head, int64_t now_ms, const struct cox_term *term, struct cox_buf *out) {
  const size_t total = json_array_size(nodes);
  const size_t lines = term->height > 0 ? (size_t)(term->height > head ? term->height - head : 0) : SIZE_MAX;
  const size_t room = total <= lines ? total : lines > 0 ? lines - 1 : 0;
  struct cox_table *const table = cox_table_create(cox_node_columns, COX_NODE_COLUMNS);
  if (table == NULL) return;
  struct rest rest = {0};
  select_rows(nodes, room, now_ms, table, &rest);
  cox_table_render(table, term, out);
  if (rest.count > 0) draw_rest(&rest, term, out);
  cox_table_destroy(table);
}

/* A terminal of one to four lines gets the beginning. */
static void keep_lines(struct cox_buf *out, size_t start, int lines) {
  size_t at = start;
  while (at < out->len && lines > 0) lines -= out->data[at++] == '\n';
  if (at >= out->len) return;
  out->len = at;
  out->data[at] = '\0';
}

void cox_live_draw(json_t *nodes, const json_t *world, int64_t now_ms, const struct cox_term *term, struct cox_buf *out) {
  const size_t start = out->len;
  if (world != NULL) {
    struct cox_phase_view phase;
    cox_phase_view_read(world, &phase);
    draw_phase(&phase, term, out);
    draw_bar(&phase, term, out);
  }
  draw_summary(nodes, term, out);
  draw_nodes(nodes, world != NULL ? HEAD_LINES + WORLD_LINES : HEAD_LINES, now_ms, term, out);
  if (term->height > 0) keep_lines(out, start, term->height);
}
