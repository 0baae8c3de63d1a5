/* What we write to: a terminal with a size and perhaps colours, or something that wants plain text. */
#ifndef COX_CONSOLE_TERM_H
#define COX_CONSOLE_TERM_H

#include <stdbool.h>

#include "base/buf.h"

struct cox_term {
  bool is_terminal; /* false: a file, a pipe, or a terminal that cannot move its cursor (TERM=dumb) */
  bool has_colour;
  int width, height; /* columns and lines; 0: no limit */
};

/* Asks the descriptor and the environment (NO_COLOR, TERM; COLUMNS and LINES when the terminal does not know its size). */
void cox_term_look(int fd, struct cox_term *out);

enum cox_style { COX_STYLE_PLAIN, COX_STYLE_GOOD, COX_STYLE_BUSY, COX_STYLE_BAD, COX_STYLE_DIM, COX_STYLE_BOLD, COX_STYLE_COUNT };

/* Nothing for COX_STYLE_PLAIN, or without colours. */
void cox_term_begin(const struct cox_term *term, enum cox_style style, struct cox_buf *out);
void cox_term_end(const struct cox_term *term, enum cox_style style, struct cox_buf *out);

/* Writes all of it, whatever the descriptor's mode. False: nobody reads any more, or the disk is full (errno). */
bool cox_term_write(int fd, const struct cox_buf *text);

#endif
