#include "api/blob.h"

#include <stdlib.h>
#include <string.h>

#include "core/json_text.h"

static struct cox_blob *make(char *data, size_t len) {
  struct cox_blob *const blob = data != NULL ? malloc(sizeof *blob) : NULL;
  if (blob == NULL) {
    free(data);
    return NULL;
  }
  atomic_init(&blob->references, 1);
  blob->data = data;
  blob->len = len;
  return blob;
}

struct cox_blob *cox_blob_json(const json_t *value) {
  struct cox_buf buf = {0};
  if (value == NULL || !cox_json_add(&buf, value) || !cox_buf_add(&buf, "\n", 1)) {
    cox_buf_fini(&buf);
    return NULL;
  }
  return make(buf.data, buf.len);
}

struct cox_blob *cox_blob_take(struct cox_buf *buf) {
  struct cox_blob *const blob = make(buf->data != NULL ? buf->data : strdup(""), buf->len);
  *buf = (struct cox_buf){0};
  return blob;
}

struct cox_blob *cox_blob_text(const char *text) { return make(strdup(text), strlen(text)); }

struct cox_blob *cox_blob_hold(struct cox_blob *blob) {
  atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
  return blob;
}

void cox_blob_release(struct cox_blob *blob) {
  if (blob == NULL || atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) > 1) return;
  free(blob->data);
  free(blob);
}

json_t *cox_json_text(const char *text) {
  json_t *value = json_string(text);
  if (value != NULL) return value;
  char *const copy = strdup(text);
  if (copy == NULL) return NULL;
  for (char *p = copy; *p != '\0'; p++) {
    if ((unsigned char)*p >= 0x80) *p = '?';
  }
  value = json_string(copy);
  free(copy);
  return value;
}
