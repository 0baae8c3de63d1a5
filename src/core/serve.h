/* Runs commands on cox-command: the handler, its effects, the command it issued, the answer. */
#ifndef COX_CORE_SERVE_H
#define COX_CORE_SERVE_H

#include "core/engine.h"

/* Serves one command to its end: the answer is given when its records are stored. Takes the command. */
void cox_serve(struct cox_broker *broker, struct cox_command *command);

/* The live generation is another one: runs the command that is due, if one is. */
void cox_serve_due(struct cox_broker *broker);
/* The journal's line about a command: who asked and what came of it. NULL: out of memory. */
struct cox_record *cox_record_command(const char *name, const char *caller, const json_t *args, const struct cox_answer *answer);

/* chore.c: any thread. A command that waits: it runs on a worker, and the command loop never sees it. As cox_broker_submit_as. */
int cox_chore_submit(struct cox_broker *broker, const char *caller, const char *name, json_t *args, cox_reply_fn *reply, void *arg,
                     struct cox_err *err);

#endif
