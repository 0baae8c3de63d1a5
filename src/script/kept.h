/* The choice of scripts in the broker's store: the texts of the live set and of the one before it, and the contents that were rejected.
 * So a start goes on with what was chosen, and can still go back.                                                                 */
#ifndef COX_SCRIPT_KEPT_H
#define COX_SCRIPT_KEPT_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "core/broker.h"
#include "script/generation.h"

struct cox_kept {
  json_t *names;       /* {name: true} of the texts that the store was given */
  atomic_bool is_lost; /* something was not stored: all of it is to be written again */
  struct cox_mutex mutex;
  struct cox_cond answered;
  unsigned open; /* given to the store, which has not answered yet; under the mutex */
};

int cox_kept_init(struct cox_kept *kept);
void cox_kept_fini(struct cox_kept *kept);
/* What was chosen last: {"live", "previous"?, "rejected", "last_number"}, each set {"generation", "hash", "folders", "files"}. A new reference;
 * NULL: nothing.                                                                                                                           */
json_t *cox_kept_read(struct cox_kept *kept, struct cox_broker *broker);
/* The sources of one of these sets, with the library of this program; NULL with the reasons in `faults`. */
struct cox_sources *cox_kept_sources(struct cox_broker *broker, const json_t *set, const char *library_dir, struct cox_faults *faults);
/* Never blocks. `previous` may be NULL; `rejected` is borrowed. */
void cox_kept_write(struct cox_kept *kept, struct cox_broker *broker, const struct cox_generation *live,
                    const struct cox_generation *previous, json_t *rejected, uint64_t last_number);
/* Waits until the store has answered for all that it was given, for some seconds at most, and not when `is_left`. True: it has all of it.
 * Not for a thread that the store needs.                                                                                             */
bool cox_kept_await(struct cox_kept *kept, const atomic_bool *is_left);

#endif
