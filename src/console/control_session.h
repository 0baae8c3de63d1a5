/* One session of the control socket: a thread that does its requests one after the other, so that no session waits for another. */
#ifndef COX_CONSOLE_CONTROL_SESSION_H
#define COX_CONSOLE_CONTROL_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/broker.h"
#include "core/console.h"
#include "core/scripts.h"

struct cox_control_session;

/* What all sessions share; outlives them. The callbacks are called on the session's thread and must not wait for it. */
struct cox_control_host {
  struct cox_broker *broker;
  const struct cox_console *console;
  const struct cox_scripts *scripts; /* NULL: they are not loaded anew */
  void *arg;
  /* An answer or a part of one for that connection, which may be gone; NULL: a request has ended, all of it was said. Takes
   * `answer`.                                                                                                             */
  void (*emit)(void *arg, uint64_t connection, json_t *answer);
  /* The session's thread is about to end: join and destroy it. The last call for this session. */
  void (*ended)(void *arg, struct cox_control_session *session);
};

/* Starts the thread. NULL with the reason. */
struct cox_control_session *cox_control_session_create(const struct cox_control_host *host, uint64_t connection,
                                                       const struct cox_console_caller *caller, struct cox_err *err);
/* The owner of the connection (all below). Joins: only after `ended`, or when nobody minds waiting. */
void cox_control_session_destroy(struct cox_control_session *session);
/* Takes `request`. The end of each is told by an emit of NULL; how many there may be at a time is the caller's matter. */
void cox_control_session_push(struct cox_control_session *session, json_t *request);
/* Cancels the request of that id, or all. */
void cox_control_session_cancel(struct cox_control_session *session, const json_t *id);
/* No more requests: those that wait are dropped, the one under way is cancelled, the thread ends. */
void cox_control_session_close(struct cox_control_session *session);

#endif
