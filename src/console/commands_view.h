/* The commands of the broker as people see them, at the command line and in the console. Nothing of the list is trusted. */
#ifndef COX_CONSOLE_COMMANDS_VIEW_H
#define COX_CONSOLE_COMMANDS_VIEW_H

#include <jansson.h>

#include "console/term.h"

/* `list` is what GET /v1/commands answers: a table, with the names of the arguments, optional ones as "name?". False: out of memory. */
bool cox_commands_view(const json_t *list, const struct cox_term *term, struct cox_buf *out);

#endif
