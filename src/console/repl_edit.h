/* Lines from a person at a terminal: editing, history in a file, Tab. The only user of libedit. */
#ifndef COX_CONSOLE_REPL_EDIT_H
#define COX_CONSOLE_REPL_EDIT_H

#include <jansson.h>
#include <stdbool.h>

struct cox_repl_edit;

/* What may follow the line up to the cursor: {"start","words"} as in core/console.h, a new reference; NULL: nothing. */
typedef json_t *cox_repl_complete_fn(void *arg, const char *line);

/* `history` is the file's path; NULL: none is kept. NULL: this is no terminal that can be edited on. */
struct cox_repl_edit *cox_repl_edit_create(const char *history, cox_repl_complete_fn *complete, void *arg);
void cox_repl_edit_destroy(struct cox_repl_edit *edit);
/* One line without its end, borrowed until the next call; NULL: the end (Ctrl-D). `*is_abandoned`: Ctrl-C was pressed. With
 * `is_continued`, a chunk goes on: Tab on a blank line indents.                                                               */
const char *cox_repl_edit_read(struct cox_repl_edit *edit, const char *prompt, bool is_continued, bool *is_abandoned);

#endif
