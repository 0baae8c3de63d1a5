/* One node in words: what it should be and why, what it is, what was tried, and what comes next. */
#ifndef COX_CONSOLE_EXPLAIN_H
#define COX_CONSOLE_EXPLAIN_H

#include <jansson.h>
#include <stdint.h>

#include "console/term.h"

/* `object` is {"node","state"}. Long texts wrap at the terminal's width. */
void cox_explain_node(const json_t *object, int64_t now_ms, const struct cox_term *term, struct cox_buf *out);

#endif
