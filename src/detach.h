/* Going to the background: whoever called gets its prompt back only when the daemon is ready, or the reason why it is not. */
#ifndef COX_DETACH_H
#define COX_DETACH_H

#include <stdbool.h>

#include "base/err.h"

enum cox_detach_side { COX_DETACH_FAILED = -1, COX_DETACH_CHILD, COX_DETACH_PARENT };

/* Before any thread. In the child (a process of its own session, whose standard error is the caller's until cox_detach_ready) it
 * returns COX_DETACH_CHILD; in the caller it returns once that is over: COX_DETACH_PARENT with `*is_ready`.                      */
enum cox_detach_side cox_detach(bool *is_ready, struct cox_err *err);
/* In the child: ready. From now on its standard streams lead nowhere. */
void cox_detach_ready(void);

#endif
