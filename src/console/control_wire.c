#include "console/control_wire.h"

#include <stdlib.h>
#include <string.h>

bool cox_frame_add(struct cox_buf *out, const json_t *value) {
  char *const text = json_dumps(value, JSON_COMPACT);
  if (text == NULL) return false;
  const size_t len = strlen(text);
  const unsigned char head[COX_FRAME_HEAD] = {(unsigned char)(len >> 24), (unsigned char)(len >> 16), (unsigned char)(len >> 8), (unsigned char)len};
  const bool is_good = len <= COX_FRAME_ANSWER_MAX && cox_buf_add(out, head, sizeof head) && cox_buf_add(out, text, len);
  free(text);
  return is_good;
}

enum cox_frame_found cox_frame_find(const char *bytes, size_t len, size_t content_max, size_t *content_len) {
  if (len < COX_FRAME_HEAD) return COX_FRAME_MORE;
  const unsigned char *const head = (const unsigned char *)bytes;
  *content_len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
  if (*content_len > content_max) return COX_FRAME_TOO_LARGE;
  return len - COX_FRAME_HEAD >= *content_len ? COX_FRAME_WHOLE : COX_FRAME_MORE;
}

json_t *cox_frame_parse(const char *content, size_t len, struct cox_err *err) {
  json_error_t fault;
  json_t *const value = json_loadb(content, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
  if (json_is_object(value)) return value;
  if (value != NULL) cox_err_set(err, COX_EINVAL, "a request must be a JSON object");
  else cox_err_set(err, COX_EINVAL, "a request that is not JSON: %s", fault.text);
  json_decref(value);
  return NULL;
}
