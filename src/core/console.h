/* Console sessions: lines of Lua that read everything and change things only by commands. Made by the room that runs scripts,
 * used by the one that talks to people. A session belongs to one thread at a time, but for `cancel`.                          */
#ifndef COX_CORE_CONSOLE_H
#define COX_CORE_CONSOLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Who sits at the other end: goes with every command of the session. */
struct cox_console_caller {
  uint32_t uid;
  char name[64]; /* "uid 1000" when the system knows no name */
};

struct cox_console_session; /* the implementer's */

enum cox_console_outcome {
  COX_CONSOLE_DONE,
  COX_CONSOLE_ERROR,
  COX_CONSOLE_INCOMPLETE, /* more lines must follow: nothing was run */
};

struct cox_console {
  void *ctx;
  /* Any thread. NULL with the reason. */
  struct cox_console_session *(*open)(void *ctx, const struct cox_console_caller *caller, struct cox_err *err);
  void (*close)(struct cox_console_session *session);
  /* From now on the session can be cancelled; earlier cancels are forgotten. Before each eval or complete. */
  void (*begin)(struct cox_console_session *session);
  /* Any thread, any time between open and close: what runs since `begin` ends as soon as it can. */
  void (*cancel)(struct cox_console_session *session);
  /* Runs a chunk, expression or "=expression" within the budget of a line. `text` gets what it printed and its values, or the
   * error, for people. `width`: columns to fit, 0: any number.                                                                */
  enum cox_console_outcome (*eval)(struct cox_console_session *session, const char *code, size_t len, int width, struct cox_buf *text);
  /* What may follow a beginning of a line: {"start": byte offset of what is replaced, "words": [sorted texts]}; a new reference,
   * never NULL.                                                                                                                */
  json_t *(*complete)(struct cox_console_session *session, const char *line, size_t len);
  /* Any thread: [{"name","help","priority","scope"}] of all commands; a new reference. */
  json_t *(*commands)(void *ctx);
};

#endif
