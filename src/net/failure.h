/* What libcurl's codes mean to us: a class for the backoff and one sentence for people. */
#ifndef COX_NET_FAILURE_H
#define COX_NET_FAILURE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { COX_FAILURE_MAX = 512 };

/* What is known of a transfer that did not bring a whole answer. */
struct cox_failure {
  CURLcode code;
  const char *method, *url;
  const char *detail;     /* libcurl's own words, may be "" */
  int os_errno;           /* 0: none */
  int64_t timeout_ms;     /* its limit, … */
  int64_t connect_ms;     /* … and that of look-up and connection */
  size_t received;        /* bytes of header and body */
  size_t body_max, header_max;
  bool is_body_over, is_header_over; /* a limit was passed */
  bool is_looking;        /* the name was not resolved yet */
  bool is_connected;      /* the request could be sent */
  bool has_header;        /* the answer's header has come whole */
};

/* Writes "GET http://…: why" (without user name and password) and returns the class; never COX_CLASS_NONE. */
enum cox_class cox_failure_describe(const struct cox_failure *failure, char out[COX_FAILURE_MAX]);

#endif
