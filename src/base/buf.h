/* A growing byte string with an optional limit. Start from a zeroed struct (limit 0: none). */
#ifndef COX_BASE_BUF_H
#define COX_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct cox_buf {
  char *data; /* always NUL-terminated when not NULL; the NUL is not counted */
  size_t len;
  size_t capacity;
  size_t limit; /* bytes; appending past it fails */
};

/* False when the limit or memory is reached; the buffer keeps what it had. */
bool cox_buf_add(struct cox_buf *buf, const void *bytes, size_t count);
bool cox_buf_addf(struct cox_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for `count` more bytes behind the content, to be written at once; then cox_buf_grow says how many it were. NULL: out of
 * memory, or over the limit.                                                                                                 */
char *cox_buf_room(struct cox_buf *buf, size_t count);
void cox_buf_grow(struct cox_buf *buf, size_t count);
void cox_buf_clear(struct cox_buf *buf);
void cox_buf_fini(struct cox_buf *buf);

#endif
