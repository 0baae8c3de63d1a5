/* The live view where there is no terminal: one plain line for each change, and a heartbeat. */
#ifndef COX_CONSOLE_LIVE_LINES_H
#define COX_CONSOLE_LIVE_LINES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "console/node_view.h"

struct cox_live_line { /* what was last said about a node */
  char *id;
  char current[COX_STATE_TEXT];
  bool is_here;
};

/* Start from a zeroed struct, end with cox_live_lines_fini. */
struct cox_live_lines {
  int64_t heartbeat_ms; /* 0: 10 s */
  int64_t beat_at_ms;
  char phase[64];
  int64_t epoch;
  bool has_phase;
  struct cox_live_line *nodes;
  size_t count, capacity;
};

/* Appends what changed since the last call: the phase, statuses of nodes, nodes that came or went; and the summary when
 * nothing was said of it for `heartbeat_ms`.                                                                              */
void cox_live_lines_update(struct cox_live_lines *lines, json_t *nodes, const json_t *world, int64_t now_ms, struct cox_buf *out);
void cox_live_lines_fini(struct cox_live_lines *lines);

#endif
