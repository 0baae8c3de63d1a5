/* The words of the console that are no Lua: `why node1`, `trace node1`. They are read and carried out in the daemon, so that text
 * mode has them, too.                                                                                                             */
#ifndef COX_CONSOLE_CONTROL_VERBS_H
#define COX_CONSOLE_CONTROL_VERBS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/broker.h"
#include "core/console.h"
#include "core/scripts.h"

enum cox_verb_outcome { COX_VERB_NONE /* the line is Lua */, COX_VERB_DONE, COX_VERB_FAILED, COX_VERB_HELP, COX_VERB_QUIT };

/* What a verb works with; all borrowed. */
struct cox_verb_call {
  struct cox_broker *broker;
  json_t *(*commands)(void *ctx);
  void *commands_ctx;
  const struct cox_console_caller *caller;
  const struct cox_scripts *scripts; /* NULL: they are not loaded anew */
  int width; /* columns; 0: any number */
  bool has_colour;
  struct cox_buf *out;
  /* For verbs that go on: waits `ms`, false: cancelled; sends what is in `out` and empties it. */
  bool (*pause)(void *arg, int64_t ms);
  void (*send)(void *arg, struct cox_buf *out);
  void *arg;
};

/* Who asks, for the journal: "console NAME". */
void cox_verb_caller(const struct cox_console_caller *caller, char out[64]);
/* COX_VERB_HELP: `*about` is what help is wanted on, "" when on nothing in particular; lives until the next call on this thread. */
enum cox_verb_outcome cox_verbs_run(const struct cox_verb_call *call, const char *line, const char **about);
/* The list of verbs for people. */
void cox_verbs_help(struct cox_buf *out);
/* As core/console.h's complete, for lines that begin with a verb and a space; NULL: the line is Lua. */
json_t *cox_verbs_complete(struct cox_broker *broker, const struct cox_console *console, const char *line);
/* Adds the verbs to what may follow, where a verb may stand. */
void cox_verbs_add_words(const char *line, json_t *found);

#endif
