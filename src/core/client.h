/* One blocking HTTP exchange, for command-line clients: implemented by src/net, used by src/console. */
#ifndef COX_CORE_CLIENT_H
#define COX_CORE_CLIENT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct cox_client {
  const char *base_url;    /* "http://127.0.0.1:9200" */
  const char *unix_socket; /* NULL: TCP */
  const char *token;       /* NULL: none */
  /* Performs `method path` with a JSON body (NULL: none); appends the answer's body to `out`. Returns the HTTP status,
   * or COX_ENOENT when nobody answers at that address, or another negative code, with the reason in `err`.             */
  int (*call)(const struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out,
              struct cox_err *err);
};

#endif
