/* The client's end of the control socket: one request at a time, cut short by Ctrl-C. */
#ifndef COX_CONSOLE_REPL_LINK_H
#define COX_CONSOLE_REPL_LINK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct cox_repl_link;

/* SIGINT is blocked from here on and read by the link: while a request is under way it cancels, a second one gives up. */
struct cox_repl_link *cox_repl_link_open(const char *path, struct cox_err *err);
/* Connects anew, to a daemon that was started again, say; what the session had is gone. 0, or the reason: then nothing changed. */
int cox_repl_link_reopen(struct cox_repl_link *link, const char *path, struct cox_err *err);
void cox_repl_link_close(struct cox_repl_link *link);
/* Sends `request` (taken) and waits for its answer, a new reference. `part` gets what comes before it; may be NULL. NULL with the
 * reason: the connection is of no more use.                                                                                        */
json_t *cox_repl_link_ask(struct cox_repl_link *link, json_t *request, void (*part)(void *arg, const char *text), void *arg, struct cox_err *err);
/* Was the last request interrupted? Then the terminal has written a "^C". */
bool cox_repl_link_was_interrupted(const struct cox_repl_link *link);
/* Waits for Ctrl-C at most so long; true: it came. */
bool cox_repl_link_is_interrupted(struct cox_repl_link *link, int timeout_ms);

#endif
