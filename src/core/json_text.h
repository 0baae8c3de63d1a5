/* JSON as text, straight into a buffer: what json_dumps(JSON_COMPACT | JSON_ENCODE_ANY) writes, byte for byte, at a fifth of
 * its cost (jansson looks for loops with a hash table per container; what we hold has none).                               */
#ifndef COX_CORE_JSON_TEXT_H
#define COX_CORE_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* All return false when out of memory; then the buffer holds a part. The value is only read. */
bool cox_json_add(struct cox_buf *buf, const json_t *value);
/* A quoted string; `text` must be UTF-8. */
bool cox_json_add_text(struct cox_buf *buf, const char *text, size_t len);
bool cox_json_add_integer(struct cox_buf *buf, int64_t value);

#endif
