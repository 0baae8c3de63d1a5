/* The two languages of the control socket.
 *
 * Frames: four bytes of length (most significant first), then so many bytes of JSON, both ways. A request is an object
 * {"id": integer, "op": text, …}; every answer carries the id. The ops:
 *   line      "text", "width"?, "colour"?  → "outcome": done|error|incomplete, "text"; before it any number of {"id","part": text}
 *   complete  "text": the line up to the cursor → "start", "words"
 *   cancel    "of"?: id, else all          → what was cancelled answers by itself, as an error; then this one
 *   hello, nodes, node ("node_id"), world, commands → "value"
 * What cannot be understood is answered by {"id"?, "error"}.
 *
 * Text: any first byte but zero. A line in, text out, as the terminal would show it; for `socat - UNIX-CONNECT:coxswain.sock`. */
#ifndef COX_CONSOLE_CONTROL_WIRE_H
#define COX_CONSOLE_CONTROL_WIRE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum {
  COX_FRAME_HEAD = 4,
  COX_FRAME_REQUEST_MAX = 1 << 20,  /* bytes of one request */
  COX_FRAME_ANSWER_MAX = 128 << 20, /* bytes of one answer: all nodes of a large fleet */
  COX_LINE_BYTES_MAX = 64 << 10,    /* bytes of one line of text */
};

/* False: out of memory, or the buffer's limit. */
bool cox_frame_add(struct cox_buf *out, const json_t *value);

enum cox_frame_found { COX_FRAME_MORE, COX_FRAME_WHOLE, COX_FRAME_TOO_LARGE };
/* Looks at the beginning of `bytes`: a whole frame's content is at [COX_FRAME_HEAD, COX_FRAME_HEAD + *content_len). */
enum cox_frame_found cox_frame_find(const char *bytes, size_t len, size_t content_max, size_t *content_len);
/* The object in a frame's content; a new reference, or NULL with the reason. */
json_t *cox_frame_parse(const char *content, size_t len, struct cox_err *err);

#endif
