#include "console/live.h"

#include <stdlib.h>
#include <string.h>

#include "console/live_draw.h"
#include "console/live_lines.h"
#include "console/term.h"

struct cox_live {
  int fd;
  bool has_frame;
  int lines; /* of the frame on the screen */
  int width, height;
  struct cox_live_lines plain;
};

struct cox_live *cox_live_create(int fd) {
  struct cox_live *const live = calloc(1, sizeof *live);
  if (live != NULL) live->fd = fd;
  return live;
}

/* To where the frame begins. After a change of size the old lines may stand anywhere: begin on an empty screen. */
static void go_to_start(const struct cox_live *live, const struct cox_term *term, struct cox_buf *out) {
  if (!live->has_frame) cox_buf_addf(out, "\x1b[?25l");
  else if (live->width != term->width || live->height != term->height) cox_buf_addf(out, "\x1b[2J\x1b[H");
  else if (live->lines > 0) cox_buf_addf(out, "\r\x1b[%dA", live->lines);
}

/* Each line is overwritten and its end erased, so the screen is never empty in between. Returns the number of lines. */
static int add_lines(const struct cox_buf *frame, struct cox_buf *out) {
  int lines = 0;
  for (const char *at = frame->data; at != NULL && *at != '\0'; lines++) {
    const char *const end = strchr(at, '\n');
    cox_buf_add(out, at, (size_t)(end - at));
    cox_buf_addf(out, "\x1b[K\r\n");
    at = end + 1;
  }
  cox_buf_addf(out, "\x1b[J");
  return lines;
}

static void redraw(struct cox_live *live, const struct cox_term *term, const struct cox_buf *frame, struct cox_buf *out) {
  go_to_start(live, term, out);
  live->lines = add_lines(frame, out);
  live->has_frame = true;
  live->width = term->width;
  live->height = term->height;
}

bool cox_live_update(struct cox_live *live, json_t *nodes, const json_t *world, int64_t now_ms) {
  struct cox_term term;
  struct cox_buf frame = {0}, out = {0};
  cox_term_look(live->fd, &term);
  if (term.is_terminal) {
    struct cox_term room = term;
    if (room.height > 1) room.height--; /* the cursor's line below: writing into the last one would scroll */
    if (room.width > 1) room.width--;   /* erasing behind a full line would erase its last character */
    cox_live_draw(nodes, world, now_ms, &room, &frame);
    redraw(live, &term, &frame, &out);
  } else {
    cox_live_lines_update(&live->plain, nodes, world, now_ms, &out);
  }
  const bool is_read = cox_term_write(live->fd, &out);
  cox_buf_fini(&frame);
  cox_buf_fini(&out);
  return is_read;
}

void cox_live_leave(struct cox_live *live) { live->lines = 0; }

void cox_live_destroy(struct cox_live *live) {
  if (live == NULL) return;
  struct cox_buf out = {0};
  if (live->has_frame && cox_buf_addf(&out, "\x1b[?25h")) (void)cox_term_write(live->fd, &out);
  cox_buf_fini(&out);
  cox_live_lines_fini(&live->plain);
  free(live);
}
