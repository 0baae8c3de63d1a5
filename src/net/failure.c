#include "net/failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Length of "user:password@" in front of the host, which must not reach a log; `*start` is where it begins. */
static size_t credentials(const char *url, size_t *start) {
  const char *const scheme = strstr(url, "://");
  *start = scheme != NULL && scheme - url <= 8 ? (size_t)(scheme - url) + 3 : 0;
  const char *const host = url + *start;
  const size_t authority = strcspn(host, "/?#");
  for (size_t i = authority; i > 0; i--) {
    if (host[i - 1] == '@') return i;
  }
  return 0;
}

static const char *connect_reason(const struct cox_failure *failure) {
  switch (failure->os_errno) {
    case ECONNREFUSED: return "connection refused; is the node running?";
    case EHOSTUNREACH: return "host unreachable";
    case ENETUNREACH: return "network unreachable";
    case ETIMEDOUT: return "connecting was given up by the system";
    case EMFILE:
    case ENFILE: return "no file descriptor is left for a connection; raise the limit of open files";
    case 0: return failure->detail[0] != '\0' ? failure->detail : "could not connect";
    default: return strerror(failure->os_errno);
  }
}

static void describe_timeout(const struct cox_failure *failure, char *out, size_t size) {
  const long long ms = (long long)(failure->is_connected ? failure->timeout_ms : failure->connect_ms);
  if (failure->is_looking) {
    snprintf(out, size, "the name was not resolved within %lld ms", ms);
  } else if (!failure->is_connected) {
    snprintf(out, size, "no connection within %lld ms", ms);
  } else if (failure->received > 0) {
    snprintf(out, size, "the answer was not whole after %lld ms (%zu bytes had come)", ms, failure->received);
  } else {
    snprintf(out, size, "no answer within %lld ms", ms);
  }
}

static enum cox_class reason(const struct cox_failure *failure, char *out, size_t size) {
  const char *const detail = failure->detail[0] != '\0' ? failure->detail : curl_easy_strerror(failure->code);
  if (failure->is_body_over || failure->code == CURLE_FILESIZE_EXCEEDED) {
    snprintf(out, size, "answer larger than %zu bytes", failure->body_max);
    return COX_CLASS_BAD_ANSWER;
  }
  if (failure->is_header_over) {
    snprintf(out, size, "header of the answer larger than %zu bytes", failure->header_max);
    return COX_CLASS_BAD_ANSWER;
  }
  switch (failure->code) {
    case CURLE_OPERATION_TIMEDOUT:
      describe_timeout(failure, out, size);
      return COX_CLASS_TIMEOUT;
    case CURLE_COULDNT_CONNECT:
      snprintf(out, size, "%s", connect_reason(failure));
      return COX_CLASS_REFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      snprintf(out, size, "the name could not be resolved (%s)", detail);
      return COX_CLASS_RESOLVE;
    case CURLE_GOT_NOTHING:
      snprintf(out, size, "the connection was closed without an answer");
      return COX_CLASS_RESET;
    case CURLE_RECV_ERROR: /* also what libcurl says to chunks that are none; only its words tell the two apart */
      if (strstr(failure->detail, "chunk") != NULL) break;
      /* fall through */
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
      snprintf(out, size, "the connection broke before the answer was whole (%s)", detail);
      return COX_CLASS_RESET;
    case CURLE_URL_MALFORMAT:
      snprintf(out, size, "not an address (%s); correct it in the node's configuration", detail);
      return COX_CLASS_SCRIPT;
    case CURLE_UNSUPPORTED_PROTOCOL: /* also what libcurl says to an answer without an HTTP status line */
      if (failure->is_connected) break;
      snprintf(out, size, "only http:// and https:// are spoken (%s)", detail);
      return COX_CLASS_SCRIPT;
    case CURLE_OUT_OF_MEMORY: /* also what libcurl says to a line of a header that passes its limit of 100 KiB */
      if (failure->is_connected && !failure->has_header) {
        snprintf(out, size, "a line of the answer's header is too long to be taken, or memory is at its end");
        return COX_CLASS_BAD_ANSWER;
      }
      snprintf(out, size, "out of memory");
      return COX_CLASS_SCRIPT;
    case CURLE_SSL_CONNECT_ERROR:
      snprintf(out, size, "TLS failed (%s)", detail);
      return COX_CLASS_RESET;
    case CURLE_SSL_CACERT_BADFILE:
      snprintf(out, size, "the certificates to believe it by could not be read (%s)", detail);
      return COX_CLASS_SCRIPT;
    case CURLE_PEER_FAILED_VERIFICATION:
      snprintf(out, size, "its certificate was not accepted (%s)", detail);
      return COX_CLASS_BAD_ANSWER;
    default: break;
  }
  snprintf(out, size, "the answer could not be understood (%s)", detail);
  return COX_CLASS_BAD_ANSWER;
}

enum cox_class cox_failure_describe(const struct cox_failure *failure, char out[COX_FAILURE_MAX]) {
  char why[320];
  const enum cox_class class_ = reason(failure, why, sizeof why);
  size_t start;
  const size_t skipped = credentials(failure->url, &start);
  snprintf(out, COX_FAILURE_MAX, "%.8s %.*s%.160s: %s", failure->method, (int)start, failure->url, failure->url + start + skipped,
           why);
  return class_;
}
