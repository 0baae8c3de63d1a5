/* One blocking HTTP exchange, for command-line clients: implemented by src/net, used by src/console. */
#ifndef COX_CORE_CLIENT_H
#define COX_CORE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { COX_CLIENT_ETAG_MAX = 160 };

struct cox_client {
  const char *base_url;    /* "http://127.0.0.1:9200" */
  const char *unix_socket; /* NULL: TCP */
  const char *token;       /* NULL: none */
  const char *ca_file;     /* certificates that an https:// daemon is believed by; NULL: the system's */
  bool is_foreign;         /* it is no daemon of ours: reasons are given in plain words ("refuses connections"), without advice */
  int timeout_ms;          /* for the whole exchange, connecting too; 0: 30 s */
  const char *if_match;    /* header of the next call; NULL: none */
  char *etag;              /* filled with the answer's ETag, "" when it has none; COX_CLIENT_ETAG_MAX bytes; NULL: not wanted */
  /* Performs `method path` with a JSON body (NULL: none); appends the answer's body to `out`. Returns the HTTP status,
   * or COX_ENOENT when nobody answers at that address, or another negative code, with the reason in `err`.             */
  int (*call)(const struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out,
              struct cox_err *err);
};

#endif
