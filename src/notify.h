/* The service manager's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET. */
#ifndef COX_NOTIFY_H
#define COX_NOTIFY_H

#include <stdint.h>

/* "READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1"; several lines are joined by '\n'. Nothing without a manager. */
void cox_notify(const char *state);
/* RELOADING=1 with the moment, as managers since systemd 253 want it; older ones ignore that line. */
void cox_notify_reloading(void);
/* How often the manager wants WATCHDOG=1 at least, in milliseconds; 0: it does not. */
int64_t cox_notify_watchdog_ms(void);

#endif
