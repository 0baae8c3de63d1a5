#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

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

void cox_notify_reloading(void) {
  char text[64];
  snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)cox_clock_mono_us(cox_clock_system()));
  cox_notify(text);
}

int64_t cox_notify_watchdog_ms(void) {
  const char *const usec = getenv("WATCHDOG_USEC"), *const pid = getenv("WATCHDOG_PID");
  if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())) return 0; /* meant for another process */
  const long long us = strtoll(usec, NULL, 10);
  return us > 0 ? (us < 4000 ? 4 : us / 1000) : 0;
}
