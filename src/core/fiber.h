/* How workers (src/net) run drivers and jobs (src/script) without knowing each other: a fiber is a
 * suspended script that asks for one piece of I/O at a time. The simulator runs the same fibers on virtual I/O.
 *
 * All functions of one VM are called on the one thread that owns it. A fiber is never resumed inside of
 * another fiber's call. After start or start_job, finish is called exactly once, whatever happens between;
 * after start_chore it is finish_chore.                                                                     */
#ifndef COX_CORE_FIBER_H
#define COX_CORE_FIBER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "core/answer.h"
#include "core/attempt.h"

struct cox_fiber; /* made by the script room */

enum cox_io_kind {
  COX_IO_HTTP,
  COX_IO_SLEEP,
  COX_IO_COMMAND,
  COX_IO_SOCKET_OPEN,    /* connects a websocket; the reply names it by a number, and it is closed with the fiber at the latest */
  COX_IO_SOCKET_SEND,    /* answered once the system has taken the whole message */
  COX_IO_SOCKET_PING,    /* answered by the pong, or by any message that has come and is not received yet */
  COX_IO_SOCKET_RECEIVE, /* the oldest message that is there, or the next one; its time-out leaves the socket open */
  COX_IO_SOCKET_CLOSE,   /* at once, and always good */
  COX_IO_PROGRAM         /* runs a program: `body` on its standard input, the reply is its standard output */
};

/* What a fiber waits for. Strings are borrowed from the fiber and live until its next resume or finish. */
struct cox_io_request {
  enum cox_io_kind kind;
  /* HTTP */
  const char *method; /* "GET" or "POST" */
  const char *url;
  const char *body;       /* NULL: none; sent as application/json */
  size_t body_len;        /* bytes */
  int64_t timeout_ms;     /* of this request, > 0 */
  bool is_mutating;       /* sent once: never repeated by the library */
  bool is_fresh;          /* on a connection of its own: an earlier call may still be on its way on another one, and a connection that is
                           * there already could overtake it                                                                           */
  const char *ca_file;    /* of HTTP and SOCKET_OPEN: certificates that an https server is believed by; NULL: the system's */
  size_t response_max;    /* bytes; a longer answer ends as COX_CLASS_BAD_ANSWER */
  /* SLEEP */
  int64_t sleep_ms;
  /* SOCKET_OPEN: url (ws, wss, http or https), timeout_ms until it is open, response_max bytes of a message (0: 8 MiB).
   * SOCKET_…: the number from the reply to OPEN; body and body_len of a text to SEND; timeout_ms, for RECEIVE also 0: what is
   * there now. PROGRAM: url is its path, body, timeout_ms, response_max bytes of output.                                       */
  uint64_t socket;
  /* COMMAND (jobs): the worker submits it and resumes the fiber with the answer */
  const char *command;
  json_t *args; /* borrowed; NULL: {} */
};

/* What came of it. `class_` is set by the transport only: a whole answer of any HTTP status is COX_CLASS_NONE. */
struct cox_io_reply {
  enum cox_class class_;
  const char *error;  /* one sentence when class_ is not NONE */
  int http_status;
  const char *body;   /* NUL-terminated, borrowed for the call */
  size_t body_len;
  json_t *answer;     /* COMMAND: {"status","reason"?,"result"?,"error"?}, borrowed */
  uint64_t socket;    /* SOCKET_OPEN: its number, from 1 */
};

enum cox_fiber_state { COX_FIBER_WAITS, COX_FIBER_DONE };
/* Why a fiber is finished; anything but DONE closes the coroutine first (to-be-closed variables run). */
enum cox_fiber_end { COX_END_DONE, COX_END_CANCELLED, COX_END_DEADLINE };

struct cox_fiber_ops {
  void *ctx;
  /* One VM set per worker. NULL with the reason in `err`. */
  void *(*vm_create)(void *ctx, struct cox_err *err);
  void (*vm_destroy)(void *vm);
  /* A fiber for an attempt; borrows it until finish, which fills attempt->result (also when start failed inside
   * the driver: the first resume then says DONE). NULL only when out of memory.                                 */
  struct cox_fiber *(*start)(void *vm, struct cox_attempt *attempt);
  /* A fiber for the job of that name. NULL with the reason in `err` when there is none. What a job of that name saved when it was
   * last finished as cancelled, it gets.                                                                                          */
  struct cox_fiber *(*start_job)(void *vm, const char *name, struct cox_err *err);
  /* Run until it waits (then `request` is filled) or is done. `reply` is NULL at the first call.
   * A driver may move attempt->deadline_us meanwhile: look at it after each call.                */
  enum cox_fiber_state (*resume)(struct cox_fiber *fiber, const struct cox_io_reply *reply, struct cox_io_request *request);
  /* Ends and frees the fiber. For jobs `err` says why it ended (code 0: its function returned); NULL for attempts. */
  void (*finish)(struct cox_fiber *fiber, enum cox_fiber_end why, struct cox_err *err);
  /* A fiber for a chore: a command that may wait (core/transport.h). Arguments are borrowed until its finish_chore, which fills
   * the answer, an error for any end but DONE; the caller ends it with cox_answer_fini. NULL only when out of memory.           */
  struct cox_fiber *(*start_chore)(void *vm, const char *name, json_t *args);
  void (*finish_chore)(struct cox_fiber *fiber, enum cox_fiber_end why, struct cox_answer *answer);
  /* An attempt that was begun with scripts too old to be kept any longer and is to be ended now as cancelled; NULL: there is none.
   * May be NULL itself.                                                                                                         */
  struct cox_attempt *(*outdated)(void *vm);
};

#endif
