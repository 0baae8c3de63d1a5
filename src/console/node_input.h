/* Node objects from what was typed: key=value pairs, --json, -f FILE. */
#ifndef COX_CONSOLE_NODE_INPUT_H
#define COX_CONSOLE_NODE_INPUT_H

#include <jansson.h>

#include "base/err.h"

/* As cox_pairs_object, and: `model=ID` (may be repeated) makes the set of models, each without arguments; fields that are
 * texts stay texts (id=7). A new reference, or NULL with the reason.                                                       */
json_t *cox_node_input(const char *json, char *const *pairs, int count, struct cox_err *err);

#endif
