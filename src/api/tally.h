/* Requests counted by route and status, and the log of answers. Statuses are a closed set and routes are those of the table,
 * so nothing that a client sends makes a new series.                                                                        */
#ifndef COX_API_TALLY_H
#define COX_API_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/route.h"
#include "base/buf.h"
#include "base/err.h"

struct cox_request;

struct cox_tally {
  atomic_uint_fast64_t *counts; /* by route and code; the row behind the last route is for what fits none */
  atomic_int_fast64_t second;   /* of the last lines about refused requests … */
  atomic_uint lines;            /* … how many there were in it … */
  atomic_uint unsaid;           /* … and how many were not written */
};

int cox_tally_init(struct cox_tally *tally, struct cox_err *err);
void cox_tally_fini(struct cox_tally *tally);
/* The answer of the request is made: counts it, and writes what is to be said about it. */
void cox_tally_answer(struct cox_tally *tally, const struct cox_request *request);
/* coxswain_http_requests_total. */
bool cox_tally_text(const struct cox_tally *tally, struct cox_buf *out);

#endif
