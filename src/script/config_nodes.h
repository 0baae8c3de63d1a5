/* The declared nodes of a configuration: a list, or the path of a file with one. */
#ifndef COX_SCRIPT_CONFIG_NODES_H
#define COX_SCRIPT_CONFIG_NODES_H

#include <jansson.h>

#include "base/err.h"

/* The list of node objects in a nodes file, a new reference, with every fault in `faults`; NULL: there is no list. */
json_t *cox_config_nodes_read(const char *path, struct cox_faults *faults);

/* Every fault of a list: of each node, ids that stand twice, and addresses that two nodes share. `place` is the list's own
 * ("nodes", or "" for a file that is the list). `source` is the JSON text the list was read from, for the lines; may be NULL. */
void cox_config_nodes_check(json_t *nodes, const char *file, const char *place, const char *source, struct cox_faults *faults);

#endif
