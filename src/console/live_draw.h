/* One frame of the live view, as a pure function. */
#ifndef COX_CONSOLE_LIVE_DRAW_H
#define COX_CONSOLE_LIVE_DRAW_H

#include <jansson.h>
#include <stdint.h>

#include "console/term.h"

/* Draws the nodes ([{"node","state"}]) and the world (NULL: not told, then nothing is drawn of it): the phase with its progress, a summary, one line for
 * each node. At most term->height lines (0: as many as there are), none wider than term->width, each ended by a newline.
 * When not all nodes fit, those that are not what they should be come first, and the rest is counted by status.              */
void cox_live_draw(json_t *nodes, const json_t *world, int64_t now_ms, const struct cox_term *term, struct cox_buf *out);

/* "7 of 8 converged", and so on, in one line without a newline. */
void cox_live_draw_summary(json_t *nodes, struct cox_buf *out);

#endif
