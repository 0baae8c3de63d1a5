#include "api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/holder.h"

enum { BACKLOG = 4096 }; /* the kernel lowers it to net.core.somaxconn */

static bool parse_port(const char *text, in_port_t *port) {
  const size_t digits = strspn(text, "0123456789");
  if (digits == 0 || digits > 5 || text[digits] != '\0') return false;
  const long number = strtol(text, NULL, 10);
  *port = htons((in_port_t)number);
  return number <= 65535;
}

static bool parse_host(const char *host, in_port_t port, struct cox_listen *out) {
  memset(out, 0, sizeof *out);
  struct sockaddr_in *const four = (struct sockaddr_in *)&out->address;
  struct sockaddr_in6 *const six = (struct sockaddr_in6 *)&out->address;
  const size_t len = strlen(host);
  char inner[INET6_ADDRSTRLEN];
  if (len > 2 && host[0] == '[' && host[len - 1] == ']' && len - 2 < sizeof inner) {
    snprintf(inner, sizeof inner, "%.*s", (int)(len - 2), host + 1);
    six->sin6_family = AF_INET6;
    six->sin6_port = port;
    out->len = sizeof *six;
    return inet_pton(AF_INET6, inner, &six->sin6_addr) == 1;
  }
  four->sin_family = AF_INET;
  four->sin_port = port;
  out->len = sizeof *four;
  return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &four->sin_addr) == 1;
}

static bool parse(const char *text, struct cox_listen *out) {
  const char *const colon = strrchr(text, ':');
  char host[INET6_ADDRSTRLEN + 2];
  in_port_t port;
  if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof host) return false;
  snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
  return parse_port(colon + 1, &port) && parse_host(host, port, out);
}

int cox_listen_parse(const char *text, struct cox_listen *out, struct cox_err *err) {
  if (text != NULL && parse(text, out)) return 0;
  return cox_err_set(err, COX_EINVAL, "admin.listen \"%.80s\" is not an address with a port: write \"127.0.0.1:9200\" or "
                     "\"[::1]:9200\"", text != NULL ? text : "");
}

bool cox_listen_is_loopback(const struct cox_listen *where) {
  if (where->address.ss_family == AF_INET) {
    return ntohl(((const struct sockaddr_in *)&where->address)->sin_addr.s_addr) >> 24 == 127;
  }
  const struct in6_addr *const six = &((const struct sockaddr_in6 *)&where->address)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static unsigned port_of(int fd) {
  struct cox_listen own = {.len = sizeof own.address};
  if (getsockname(fd, (struct sockaddr *)&own.address, &own.len) != 0) return 0;
  return ntohs(own.address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own.address)->sin6_port
                                                 : ((struct sockaddr_in *)&own.address)->sin_port);
}

/* Without SO_REUSEADDR a restart would fail for a minute while old connections linger. */
static int bind_and_listen(int fd, const struct cox_listen *where) {
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return -1;
  if (where->address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) return -1;
  if (bind(fd, (const struct sockaddr *)&where->address, where->len) != 0) return -1;
  return listen(fd, BACKLOG);
}

int cox_listen_open(const struct cox_listen *where, const char *text, unsigned *port, struct cox_err *err) {
  const int fd = socket(where->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && bind_and_listen(fd, where) == 0) {
    *port = port_of(fd);
    return fd;
  }
  const int why = errno;
  if (fd >= 0) close(fd);
  if (why == EADDRINUSE) {
    char holder[COX_HOLDER_TEXT];
    cox_holder_of_port((unsigned)strtoul(strrchr(text, ':') + 1, NULL, 10), holder);
    return cox_err_set(err, COX_EBUSY, "listening on admin.listen %s failed: %s listens there already; stop it or choose another port", text,
                       holder);
  }
  return cox_err_set(err, COX_ESYS, "listening on admin.listen %s failed: %s", text, strerror(why));
}
