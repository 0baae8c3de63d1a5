#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void cox_notify(const char *state) {
  const char *const place = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (place == NULL || (place[0] != '/' && place[0] != '@') || strlen(place) >= sizeof address.sun_path) return;
  memcpy(address.sun_path, place, strlen(place));
  if (place[0] == '@') address.sun_path[0] = '\0'; /* the abstract namespace */
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(place));
  const ssize_t rc = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, len);
  (void)rc; /* a manager that does not listen is no reason to stop */
  close(fd);
}
