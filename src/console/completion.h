/* Completions for shells, made from the command table. */
#ifndef COX_CONSOLE_COMPLETION_H
#define COX_CONSOLE_COMPLETION_H

#include "base/buf.h"
#include "console/cli.h"

void cox_completion_bash(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count);
void cox_completion_zsh(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count);
void cox_completion_fish(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count);

/* What the first argument of an entry names, from its synopsis. */
enum cox_completion_kind { COX_COMPLETION_NONE, COX_COMPLETION_NODES, COX_COMPLETION_COMMANDS };
enum cox_completion_kind cox_completion_kind(const struct cox_cli_entry *entry);
/* Is the value of the option a file or a folder? */
bool cox_completion_is_file(const struct cox_cli_option *option);
/* Calls back for each entry, children behind their parent; `path` is "" or the parent's name. */
void cox_completion_each(const struct cox_cli_entry *entries, size_t count, void (*each)(void *arg, const char *path, const struct cox_cli_entry *entry),
                         void *arg);
/* Calls back for each option of an entry, those that find the daemon too, and --help. */
void cox_completion_options(const struct cox_cli_entry *entry, void (*each)(void *arg, const struct cox_cli_option *option), void *arg);
/* Appends text in which each of the characters of `special` gets `mark` in front. */
void cox_completion_escape(struct cox_buf *out, const char *text, const char *special, const char *mark);

#endif
