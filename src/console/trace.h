/* `trace NODE`: what changes at one node, line by line. */
#ifndef COX_CONSOLE_TRACE_H
#define COX_CONSOLE_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "console/node_view.h"

/* What was seen last. */
struct cox_trace {
  bool has_seen;
  uint64_t generation, registration;
  int64_t running, ended; /* numbers of attempts; 0: none */
  bool is_cancelled;
  char intended[COX_STATE_TEXT], current[COX_STATE_TEXT];
  char failure[256];
};

/* Appends a line for each thing that changed since the last look; at the first look the present state. `object` is
 * {"node","state"}; NULL: the node is gone.                                                                           */
void cox_trace_look(struct cox_trace *trace, const json_t *object, int64_t now_ms, struct cox_buf *out);

#endif
