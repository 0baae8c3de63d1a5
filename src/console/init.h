/* What `coxswain init` writes. */
#ifndef COX_CONSOLE_INIT_H
#define COX_CONSOLE_INIT_H

#include <jansson.h>

#include "base/buf.h"

/* A commented coxswain.lua: every key of `keys` (as cox_config_describe gives them), those in `values` (dotted path → JSON) set,
 * the others commented out at their defaults. False: out of memory.                                                              */
bool cox_init_config(struct cox_buf *out, const json_t *keys, const json_t *values);

/* Is that the folder in which the package's unit looks for its configuration? */
bool cox_init_is_service(const char *dir);
/* There, state and socket are where the unit keeps them: clients and `restore` would look beside the file. */
void cox_init_places(const char *dir, json_t *values);

#endif
