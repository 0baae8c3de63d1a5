/* Runs commands on cox-command: the handler, its effects, the command it issued, the answer. */
#ifndef COX_CORE_SERVE_H
#define COX_CORE_SERVE_H

#include "core/engine.h"

/* Serves one command to its end: the answer is given when its records are stored. Takes the command. */
void cox_serve(struct cox_broker *broker, struct cox_command *command);

/* The live generation is another one: runs the command that is due, if one is. */
void cox_serve_due(struct cox_broker *broker);

#endif
