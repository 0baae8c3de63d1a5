/* The manual's pages and the troff that they are made of. */
#ifndef COX_CONSOLE_MANUAL_H
#define COX_CONSOLE_MANUAL_H

#include "base/buf.h"
#include "console/target.h"

/* Text as troff reads it: nothing in it is a request, hyphens can be copied, other alphabets by their numbers. */
void cox_troff_text(struct cox_buf *out, const char *text);
/* A line of it; behind a request when there is one (NULL: none). */
void cox_troff_line(struct cox_buf *out, const char *request, const char *text);
/* A page in markdown: headings, paragraphs, lists, tables, code, emphasis; links become their words. */
void cox_troff_markdown(struct cox_buf *out, const char *text);

/* coxswain.lua(5) and coxswain-scripts(7). Return an exit code; the reason is on stderr. */
int cox_manual_config(const struct cox_cli_env *env, const char *program, struct cox_buf *out);
int cox_manual_scripts(const struct cox_cli_env *env, const char *program, struct cox_buf *out);

#endif
