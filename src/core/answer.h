/* The one answer of a command. */
#ifndef COX_CORE_ANSWER_H
#define COX_CORE_ANSWER_H

#include <jansson.h>

#include "base/err.h"

enum cox_outcome { COX_ANSWER_DONE, COX_ANSWER_SKIPPED, COX_ANSWER_ERROR };

struct cox_answer {
  enum cox_outcome outcome;
  char *reason;       /* SKIPPED: why; owned */
  json_t *result;     /* DONE: any value, owned; may be NULL */
  struct cox_err err; /* ERROR: COX_EINVAL arguments, COX_ENOENT unknown command or node, COX_ESCRIPT/COX_ETIME handler
                         failed, COX_EFULL, COX_EREFUSED, COX_ESTOPPED */
};

/* Called exactly once per accepted command; must not block. Borrows the answer. */
typedef void cox_reply_fn(void *arg, const struct cox_answer *answer);

/* Into an answer that holds nothing yet. */
void cox_answer_copy(struct cox_answer *to, const struct cox_answer *from);
void cox_answer_fini(struct cox_answer *answer);
/* {"status":"done"|"skipped"|"error","reason"?,"result"?,"error"?}; a new reference. */
json_t *cox_answer_json(const struct cox_answer *answer);

#endif
