#include "core/json_text.h"

#include <string.h>

/* json_object_iter and its kin take a mutable object, but only read it. */
static json_t *mutable(const json_t *value) {
  json_t *out;
  memcpy(&out, &value, sizeof out);
  return out;
}

static bool add(struct cox_buf *buf, const char *text) { return cox_buf_add(buf, text, strlen(text)); }

bool cox_json_add_integer(struct cox_buf *buf, int64_t value) {
  char digits[24], *at = digits + sizeof digits;
  uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do *--at = (char)('0' + left % 10); while ((left /= 10) > 0);
  if (value < 0) *--at = '-';
  return cox_buf_add(buf, at, (size_t)(digits + sizeof digits - at));
}

enum { ESCAPE_MAX = 6 };

/* Returns the end. */
static char *put_escape(char *at, unsigned char byte) {
  static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt", digits[] = "0123456789ABCDEF"; /* pairs: the byte and what stands for it */
  *at++ = '\\';
  for (const char *pair = letters; *pair != '\0'; pair += 2) {
    if ((unsigned char)*pair != byte) continue;
    *at++ = pair[1];
    return at;
  }
  memcpy(at, "u00", 3);
  at[3] = digits[byte >> 4];
  at[4] = digits[byte & 15];
  return at + 5;
}

/* Does none of the eight bytes need an escape? A byte that is below the limit borrows into its highest bit; what borrows from its
 * neighbour is found as well, but only beside one that is found itself.                                                          */
static bool is_plain(const uint64_t *eight) {
  const uint64_t each = 0x0101010101010101, quote = *eight ^ each * '"', slash = *eight ^ each * '\\';
  const uint64_t found = ((*eight - each * 0x20) & ~*eight) | ((quote - each) & ~quote) | ((slash - each) & ~slash);
  return (found & each * 0x80) == 0;
}

/* Room for the worst, so that one pass does. */
bool cox_json_add_text(struct cox_buf *buf, const char *text, size_t len) {
  char *const start = cox_buf_room(buf, len * ESCAPE_MAX + 2), *at = start;
  if (start == NULL) return false;
  *at++ = '"';
  for (size_t i = 0; i < len;) {
    uint64_t eight;
    if (len - i >= sizeof eight && is_plain(memcpy(&eight, text + i, sizeof eight))) {
      memcpy(at, text + i, sizeof eight);
      at += sizeof eight;
      i += sizeof eight;
      continue;
    }
    const unsigned char byte = (unsigned char)text[i++];
    if (byte >= 0x20 && byte != '"' && byte != '\\') *at++ = (char)byte;
    else at = put_escape(at, byte);
  }
  *at++ = '"';
  cox_buf_grow(buf, (size_t)(at - start));
  return true;
}

static bool add_real(struct cox_buf *buf, const json_t *value) {
  char text[64];
  const size_t len = json_dumpb(value, text, sizeof text, JSON_ENCODE_ANY);
  return len > 0 && len <= sizeof text && cox_buf_add(buf, text, len);
}

static bool add_list(struct cox_buf *buf, const json_t *list) {
  bool is_whole = cox_buf_add(buf, "[", 1);
  const size_t count = json_array_size(list);
  for (size_t i = 0; i < count && is_whole; i++) {
    is_whole = (i == 0 || cox_buf_add(buf, ",", 1)) && cox_json_add(buf, json_array_get(list, i));
  }
  return is_whole && cox_buf_add(buf, "]", 1);
}

static bool add_object(struct cox_buf *buf, const json_t *object) {
  json_t *const own = mutable(object);
  bool is_whole = cox_buf_add(buf, "{", 1), is_first = true;
  for (void *iter = json_object_iter(own); iter != NULL && is_whole; iter = json_object_iter_next(own, iter)) {
    is_whole = (is_first || cox_buf_add(buf, ",", 1)) &&
               cox_json_add_text(buf, json_object_iter_key(iter), json_object_iter_key_len(iter)) && cox_buf_add(buf, ":", 1) &&
               cox_json_add(buf, json_object_iter_value(iter));
    is_first = false;
  }
  return is_whole && cox_buf_add(buf, "}", 1);
}

bool cox_json_add(struct cox_buf *buf, const json_t *value) {
  switch (json_typeof(value)) {
    case JSON_OBJECT: return add_object(buf, value);
    case JSON_ARRAY: return add_list(buf, value);
    case JSON_STRING: return cox_json_add_text(buf, json_string_value(value), json_string_length(value));
    case JSON_INTEGER: return cox_json_add_integer(buf, json_integer_value(value));
    case JSON_REAL: return add_real(buf, value);
    case JSON_TRUE: return add(buf, "true");
    case JSON_FALSE: return add(buf, "false");
    case JSON_NULL: return add(buf, "null");
  }
  return false;
}
