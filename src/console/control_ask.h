/* Questions of console verbs that others answer: commands, and what is asked of the scripts. The verb waits for the answer, and
 * Ctrl-C ends its waiting; what was asked goes on.                                                                             */
#ifndef COX_CONSOLE_CONTROL_ASK_H
#define COX_CONSOLE_CONTROL_ASK_H

#include "console/control_verbs.h"
#include "core/scripts.h"

enum cox_asked { COX_ASKED_RELOAD, COX_ASKED_ROLLBACK, COX_ASKED_PLAN };

/* 0: `answer` is there, end it with cox_answer_fini. COX_ETIME: not answered in time or cancelled, not undone. */
int cox_ask_command(const struct cox_verb_call *call, const char *name, json_t *args, struct cox_answer *answer, struct cox_err *err);
/* 0: `outcome` is there, release its result. `dir` (NULL: none) is for a plan. COX_ENOENT: this daemon has no such room. */
int cox_ask_scripts(const struct cox_verb_call *call, enum cox_asked what, const char *dir, struct cox_scripts_outcome *outcome,
                    struct cox_err *err);

#endif
