/* Where the API listens. */
#ifndef COX_API_LISTEN_H
#define COX_API_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

struct cox_listen {
  struct sockaddr_storage address;
  socklen_t len;
};

/* "127.0.0.1:9200", "[::1]:0", "localhost:9200": a number and a port, never a look-up. 0 or COX_EINVAL. */
int cox_listen_parse(const char *text, struct cox_listen *out, struct cox_err *err);
bool cox_listen_is_loopback(const struct cox_listen *where);
/* A listening socket and its port, or COX_EBUSY (somebody listens there) or COX_ESYS; `text` is for the error. */
int cox_listen_open(const struct cox_listen *where, const char *text, unsigned *port, struct cox_err *err);

#endif
