/* The closed sets of words that nodes, attempts and answers are described with. */
#ifndef COX_CORE_STATUS_H
#define COX_CORE_STATUS_H

#include <stdbool.h>

enum cox_status {
  COX_STATUS_UNKNOWN,
  COX_STATUS_INFERENCE,
  COX_STATUS_POC,
  COX_STATUS_TRAINING,
  COX_STATUS_STOPPED,
  COX_STATUS_FAILED,
  COX_STATUS_COUNT
};

enum cox_poc { COX_POC_IDLE, COX_POC_GENERATING, COX_POC_VALIDATING, COX_POC_COUNT };

/* Why a call or an attempt did not succeed. The backoff and the metrics go by this class. */
enum cox_class {
  COX_CLASS_NONE,       /* it succeeded */
  COX_CLASS_REFUSED,    /* connection refused or host unreachable */
  COX_CLASS_RESOLVE,    /* the name could not be resolved */
  COX_CLASS_RESET,      /* the connection broke before the answer was whole */
  COX_CLASS_TIMEOUT,    /* the request's or the attempt's deadline passed */
  COX_CLASS_CONFLICT,   /* HTTP 409 */
  COX_CLASS_SERVER,     /* HTTP 5xx, or 200 with "status":"ERROR" */
  COX_CLASS_CLIENT,     /* any other HTTP status >= 400, and redirects */
  COX_CLASS_BAD_ANSWER, /* an answer that could not be understood or is too large */
  COX_CLASS_SCRIPT,     /* the driver itself failed */
  COX_CLASS_CANCELLED,  /* the broker cancelled the attempt */
  COX_CLASS_COUNT
};

/* Upper-case names as on the wire ("INFERENCE", "IDLE"); class names are lower-case ("bad_answer"). */
const char *cox_status_name(enum cox_status status);
const char *cox_poc_name(enum cox_poc poc);
const char *cox_class_name(enum cox_class class_);
/* False when the text is none of the set (or NULL); `out` is then untouched. */
bool cox_status_parse(const char *text, enum cox_status *out);
bool cox_poc_parse(const char *text, enum cox_poc *out);
bool cox_class_parse(const char *text, enum cox_class *out);

#endif
