/* The control socket: a unix socket (mode 0600) for consoles on this machine, served by the thread cox-control; each session has a
 * thread of its own (control_session.h). Only the daemon's user and root are let in.                                              */
#ifndef COX_CONSOLE_CONTROL_H
#define COX_CONSOLE_CONTROL_H

#include "base/err.h"
#include "core/broker.h"
#include "core/console.h"
#include "core/scripts.h"

enum {
  COX_CONTROL_CONNECTIONS_MAX = 64, /* the oldest one that never spoke gives way, else a new one is refused */
  COX_CONTROL_SESSIONS_MAX = 16,    /* threads; those that are about to end count, too */
  COX_CONTROL_SILENT_MS = 10000,    /* a connection that sent no whole request, or takes nothing of its answer, is cut */
};

struct cox_control;

struct cox_control_options {
  const char *path; /* of the socket */
  struct cox_broker *broker;
  const struct cox_console *console; /* outlives the socket */
  const struct cox_scripts *scripts; /* outlives the socket; NULL: scripts are not loaded anew */
  int64_t silent_ms;                 /* 0: COX_CONTROL_SILENT_MS */
  /* A connection that begins like HTTP, nothing of it read yet: takes the descriptor. NULL: it is spoken to as text. */
  void (*adopt)(void *ctx, int fd);
  void *adopt_ctx;
};

/* Listens and serves from now on. A socket file that nobody listens on is taken over. NULL: COX_EBUSY says who holds it. */
struct cox_control *cox_control_create(const struct cox_control_options *options, struct cox_err *err);
/* Cuts all sessions, ends what they run, removes the socket file. */
void cox_control_destroy(struct cox_control *control);

#endif
