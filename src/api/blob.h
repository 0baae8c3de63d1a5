/* Bytes that are written once and then only read, by as many answers as want them. */
#ifndef COX_API_BLOB_H
#define COX_API_BLOB_H

#include <jansson.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/buf.h"

struct cox_blob {
  atomic_uint references;
  char *data; /* owned */
  size_t len;
};

/* The value as compact JSON and a line end, or NULL (out of memory, or `value` is NULL). Borrows the value. */
struct cox_blob *cox_blob_json(const json_t *value);
/* The bytes of the buffer, which is empty afterwards; NULL: out of memory. */
struct cox_blob *cox_blob_take(struct cox_buf *buf);
/* A copy of the text. */
struct cox_blob *cox_blob_text(const char *text);
struct cox_blob *cox_blob_hold(struct cox_blob *blob);
void cox_blob_release(struct cox_blob *blob);

/* A JSON string of any bytes: those that are not UTF-8 (a text cut in the middle of a character, a client's garbage)
 * become '?'. A new reference.                                                                                      */
json_t *cox_json_text(const char *text);

#endif
