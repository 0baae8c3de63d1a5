/* Connections that somebody else accepted: those of the control socket that speak HTTP. */
#include <microhttpd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/server.h"

void cox_api_adopt(struct cox_api *api, int fd) {
  const struct sockaddr_un nobody = {.sun_family = AF_UNIX};
  /* The library closes what it cannot take. Its address says nothing: it is only shown. */
  MHD_add_connection(api->local != NULL ? api->local : api->daemon, fd, (const struct sockaddr *)&nobody, sizeof(sa_family_t));
}
