/* What --help prints, from the table. */
#ifndef COX_CONSOLE_CLI_HELP_H
#define COX_CONSOLE_CLI_HELP_H

#include "base/buf.h"
#include "console/cli.h"

/* Of the whole program, or of an entry with children. `path` is "coxswain" or "coxswain node"; `parent` NULL: the program. */
void cox_cli_help_group(struct cox_buf *out, const char *path, const struct cox_cli_entry *parent,
                        const struct cox_cli_entry *entries, size_t count);
void cox_cli_help_entry(struct cox_buf *out, const char *path, const struct cox_cli_entry *entry);

#endif
