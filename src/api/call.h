/* Commands that are sent to the broker on behalf of a request, one or several together. */
#ifndef COX_API_CALL_H
#define COX_API_CALL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "api/request.h"
#include "core/answer.h"

struct cox_calls;

/* Begins a wait of the request for `count` commands; answers 500 and returns NULL when out of memory. Every index is sent
 * once, then cox_calls_sent is called: the wait is answered when all have their answers.                                 */
struct cox_calls *cox_calls_begin(struct cox_request *request, size_t count, int64_t deadline_us);
/* Borrows `args`; the request's condition must hold. A command that is not accepted is answered at once. */
void cox_calls_send(struct cox_calls *calls, size_t index, const char *name, json_t *args);
void cox_calls_sent(struct cox_calls *calls);
/* In a resume function: the answer of one of them; borrowed until it returns. */
const struct cox_answer *cox_calls_answer(struct cox_wait *wait, size_t index);

/* The one command of a request: takes `args`; `resume` gets the wait. */
void cox_request_call(struct cox_request *request, const char *name, json_t *args,
                      void (*resume)(struct cox_request *request, struct cox_wait *wait));
/* Who asks, for the journal: "http NAME ADDRESS"; over a unix socket there is no address, nor for a job, which outlives its
 * connection.                                                                                                              */
void cox_request_caller(const struct cox_request *request, char caller[64]);
/* The HTTP status of a command's error. */
unsigned cox_answer_status(const struct cox_answer *answer);
/* Answers with a command's error, with file and line when it has them. */
void cox_request_fail_as(struct cox_request *request, const struct cox_answer *answer);

#endif
