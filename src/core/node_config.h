/* Node objects as in the network's node-config.json: validation and the two base URLs. */
#ifndef COX_CORE_NODE_CONFIG_H
#define COX_CORE_NODE_CONFIG_H

#include <jansson.h>

#include "base/err.h"

/* A new, normalised, immutable copy of a node object, or NULL with the first fault in `err` (CONTRACT's messages:
 * "node id is required", …). Known keys: id, host, inference_port, poc_port, max_concurrent, models, inference_segment,
 * poc_segment, hardware, version, kind; any other is a fault that names it. `kind` is filled in ("mlnode").             */
json_t *cox_node_config_create(const json_t *object, struct cox_err *err);

/* Every fault of one node object; `file` and `path` ("nodes[3]") say where it stands. */
void cox_node_config_check(const json_t *object, const char *file, const char *path, struct cox_faults *faults);

enum { COX_URL_MAX = 512 };
/* `http://host:port<segment>` of the management API (is_poc) or the inference API; a host with a scheme keeps it. */
void cox_node_config_url(const json_t *config, bool is_poc, char out[COX_URL_MAX]);

#endif
