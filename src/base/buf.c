#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool extend(struct cox_buf *buf, size_t count) {
  if (buf->limit != 0 && (count > buf->limit || buf->len > buf->limit - count)) return false;
  const size_t need = buf->len + count + 1;
  if (need <= buf->capacity) return true;
  size_t capacity = buf->capacity == 0 ? 256 : buf->capacity;
  while (capacity < need) capacity *= 2;
  char *const data = realloc(buf->data, capacity);
  if (data == NULL) return false;
  buf->data = data;
  buf->capacity = capacity;
  return true;
}

static inline bool reserve(struct cox_buf *buf, size_t count) {
  const bool has_room = buf->len < buf->capacity && count < buf->capacity - buf->len;
  return (has_room && buf->limit == 0) || extend(buf, count);
}

bool cox_buf_add(struct cox_buf *buf, const void *bytes, size_t count) {
  if (!reserve(buf, count)) return false;
  if (count > 0) memcpy(buf->data + buf->len, bytes, count);
  buf->len += count;
  buf->data[buf->len] = '\0';
  return true;
}

bool cox_buf_addf(struct cox_buf *buf, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  const int count = vsnprintf(NULL, 0, format, args);
  va_end(args);
  bool is_done = count >= 0 && reserve(buf, (size_t)count);
  if (is_done) {
    vsnprintf(buf->data + buf->len, (size_t)count + 1, format, again);
    buf->len += (size_t)count;
  }
  va_end(again);
  return is_done;
}

char *cox_buf_room(struct cox_buf *buf, size_t count) { return reserve(buf, count) ? buf->data + buf->len : NULL; }

void cox_buf_grow(struct cox_buf *buf, size_t count) {
  buf->len += count;
  buf->data[buf->len] = '\0';
}

void cox_buf_clear(struct cox_buf *buf) {
  buf->len = 0;
  if (buf->data != NULL) buf->data[0] = '\0';
}

void cox_buf_fini(struct cox_buf *buf) {
  free(buf->data);
  buf->data = NULL;
  buf->len = buf->capacity = 0;
}
