/* Text of unknown origin for people: cleaned of whatever could act on a terminal, measured in columns, cut and wrapped.
 * All of it is UTF-8; what is not is shown byte by byte.                                                              */
#ifndef COX_CONSOLE_TEXT_H
#define COX_CONSOLE_TEXT_H

#include <stdint.h>

#include "base/buf.h"

/* The next character of `*at`, which moves on. False: not UTF-8 there; `code` is then the byte, and `*at` is behind it. */
bool cox_text_next(const char **at, uint32_t *code);
/* Would the character act on a terminal, or turn the direction of writing? */
bool cox_text_is_harmful(uint32_t code);
/* Columns that a character takes on a terminal: 0, 1 or 2. */
int cox_text_char_width(uint32_t code);
/* Columns of a text that is clean. */
int cox_text_width(const char *text);

/* Appends `text`; control characters, marks that turn the writing direction and bytes that are not UTF-8 appear as `\x1b`,
 * `\u202e` and the like. NULL: nothing. False: out of memory or the buffer's limit.                                          */
bool cox_text_clean(struct cox_buf *out, const char *text);
/* Appends a clean text, cut to at most `columns` with "…". Returns the columns that it took. */
int cox_text_cut(struct cox_buf *out, const char *text, int columns);
void cox_text_pad(struct cox_buf *out, int columns);
/* Appends a clean text that begins at column `indent` and wraps at `width` (0: never), further lines indented alike.
 * Words longer than a line are broken. Ends without a newline.                                                       */
void cox_text_wrap(struct cox_buf *out, const char *text, int indent, int width);

#endif
