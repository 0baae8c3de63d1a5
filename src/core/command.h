/* The commands that wait for cox-command: two bounded queues, high before low. Low is never starved: after
 * COX_COMMAND_HIGHS high ones in a row, one waiting low one is served.                                     */
#ifndef COX_CORE_COMMAND_H
#define COX_CORE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/lock.h"
#include "core/broker.h"

enum { COX_COMMAND_HIGHS = 16 };

struct cox_pending;

struct cox_command {
  struct cox_command *next;
  struct cox_pending *pending; /* what it will be served with: made with it, so that memory cannot be missing then; owned */
  char *name;
  char caller[64]; /* who sent it, for the journal */
  json_t *args;
  struct cox_condition condition; /* must hold when it runs */
  cox_reply_fn *reply; /* may be NULL */
  void *arg;
};

struct cox_commands {
  struct cox_mutex mutex; /* guards everything below */
  struct cox_cond cond;   /* something to do for cox-command */
  struct {
    struct cox_command *first, *last;
    size_t count;
  } queue[COX_PRIORITY_COUNT];
  size_t max; /* waiting commands per queue */
  unsigned highs; /* served in a row */
  bool is_woken;  /* a result came */
  bool is_closed; /* accepts no more */
  bool is_ended;  /* cox-command may end once nothing waits */
};

void cox_commands_init(struct cox_commands *commands, size_t max);
/* The queues must be empty. */
void cox_commands_fini(struct cox_commands *commands);

/* Copies the texts, holds the arguments; `pending` is the caller's to set. */
struct cox_command *cox_command_create(const char *name, const char *caller, json_t *args, cox_reply_fn *reply, void *arg);
void cox_command_destroy(struct cox_command *command);

/* Any thread. Takes the command when it returns 0; COX_EFULL or COX_ESTOPPED leave it with the caller. */
int cox_commands_push(struct cox_commands *commands, enum cox_priority priority, struct cox_command *command,
                      struct cox_err *err);
/* The next one to serve, NULL: none waits. */
struct cox_command *cox_commands_take(struct cox_commands *commands);
/* cox-command: sleeps until there is a command, a wake-up or the end. False: ended, and no command waits. */
bool cox_commands_wait(struct cox_commands *commands);
/* Any thread: results came, look at them. */
void cox_commands_wake(struct cox_commands *commands);
/* From now on push refuses; those that wait are to be answered with COX_ESTOPPED. */
void cox_commands_close(struct cox_commands *commands);
bool cox_commands_is_closed(struct cox_commands *commands);
/* Lets cox-command end. */
void cox_commands_end(struct cox_commands *commands);
size_t cox_commands_depth(struct cox_commands *commands, enum cox_priority priority);

#endif
