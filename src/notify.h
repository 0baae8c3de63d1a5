/* The service manager's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET. */
#ifndef COX_NOTIFY_H
#define COX_NOTIFY_H

/* "READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1"; several lines are joined by '\n'. Nothing without a manager. */
void cox_notify(const char *state);

#endif
