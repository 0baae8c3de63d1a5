/* admin.tokens of a configuration: [{ token | token_file, scope, name }]. */
#ifndef COX_SCRIPT_CONFIG_TOKENS_H
#define COX_SCRIPT_CONFIG_TOKENS_H

#include <jansson.h>

#include "script/config_schema.h"

/* Every fault of the list; never with a token in it. */
void cox_config_tokens_check(const json_t *tokens, cox_config_fault_fn *fault, void *arg);
/* Replaces each token_file by what `locate` makes of it (malloc; NULL: it stays). */
void cox_config_tokens_each_file(json_t *tokens, char *(*locate)(void *arg, const char *path), void *arg);
/* Replaces each token by `mask`. */
void cox_config_tokens_mask(json_t *tokens, const char *mask);

#endif
