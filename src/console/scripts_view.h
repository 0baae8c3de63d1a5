/* What people see of the sets of scripts, at the command line and in the console. Nothing of what is shown is trusted: a field of
 * another type counts as absent.                                                                                              */
#ifndef COX_CONSOLE_SCRIPTS_VIEW_H
#define COX_CONSOLE_SCRIPTS_VIEW_H

#include <jansson.h>
#include <stdint.h>

#include "console/term.h"

/* As core/scripts.h shows it: generation, hash, age, what a rollback leads to, what was rejected; then the files as a table. */
void cox_scripts_view_show(const json_t *shown, int64_t now_ms, const struct cox_term *term, struct cox_buf *out);
/* The result of a reload or rollback, with the nodes that it changes. */
void cox_scripts_view_loaded(const json_t *result, const struct cox_term *term, struct cox_buf *out);
/* {"changes"} of a plan as a table, and that nothing was done. */
void cox_scripts_view_plan(const json_t *result, const struct cox_term *term, struct cox_buf *out);
/* One "FILE:LINE: message" a line. */
void cox_scripts_view_faults(const json_t *faults, struct cox_buf *out);

#endif
