/* The choice of scripts in the broker's store: the texts of the live set and of the one before it, and the contents that were rejected.
 * So a start goes on with what was chosen, and can still go back.
 *
 * Each choice is one commit with the texts it names. One that the store refused (a full disk) is owed to it: cox-reload writes what is
 * true by then as soon as it can be written again, and people are told until it is.                                                 */
#ifndef COX_SCRIPT_KEPT_H
#define COX_SCRIPT_KEPT_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "core/broker.h"
#include "script/generation.h"

enum {
  COX_KEPT_LOOK_MS = 200,         /* between two looks whether a store that cannot be written can again; that costs it nothing */
  COX_KEPT_RETRY_MS = 1000,       /* after the first refusal of a store that works (too much waits for it), twice as long after each other */
  COX_KEPT_RETRY_MAX_MS = 30000,
};

struct cox_kept {
  const struct cox_clock *clock;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond answered;
  bool is_open;           /* the store was given one, and has not answered yet */
  bool is_owed;           /* what is true now is not what the store has or was given */
  bool is_failing;        /* … because it refused that: people have been told */
  int64_t retry_at_us, pause_us;
  char why[512];          /* is_failing: the store's words */
  struct cox_broker *broker; /* that was asked last */
  void (*wake)(void *ctx); /* as cox_kept_tell says; NULL: nobody sleeps by it */
  void *wake_ctx;
};

void cox_kept_init(struct cox_kept *kept, const struct cox_clock *clock);
/* From now on `wake` is called, on any thread, whenever one becomes owed by the store's answer. */
void cox_kept_tell(struct cox_kept *kept, void (*wake)(void *ctx), void *ctx);
void cox_kept_fini(struct cox_kept *kept);
/* What was chosen last: {"live", "previous"?, "rejected", "last_number"}, each set {"generation", "hash", "folders", "files"}. A new reference;
 * NULL: nothing.                                                                                                                           */
json_t *cox_kept_read(struct cox_broker *broker);
/* The sources of one of these sets, with the library of this program; NULL with the reasons in `faults`. */
struct cox_sources *cox_kept_sources(struct cox_broker *broker, const json_t *set, const char *library_dir, struct cox_faults *faults);
/* cox-reload; never blocks. `previous` may be NULL; `rejected` is borrowed. While the store has one that it has not answered, this one is owed. */
void cox_kept_write(struct cox_kept *kept, struct cox_broker *broker, const struct cox_generation *live,
                    const struct cox_generation *previous, json_t *rejected, uint64_t last_number);
/* Any thread: from when on one that is owed is to be written, monotonic; INT64_MAX: none is, or the store's answer comes first. */
int64_t cox_kept_due_us(struct cox_kept *kept);
/* cox-reload: the store cannot be written, so that it would be in vain now. */
void cox_kept_put_off(struct cox_kept *kept);
/* cox-reload: one that is owed may be tried now. */
void cox_kept_hasten(struct cox_kept *kept);
/* cox-reload: waits until the store has answered what it was given, at most until `end_us` (monotonic) and not when `is_left`. False: it has not. */
bool cox_kept_await(struct cox_kept *kept, int64_t end_us, const atomic_bool *is_left);
/* Any thread: has the store refused what is true now, and not taken it since? The reason goes into `err`. */
bool cox_kept_is_failing(struct cox_kept *kept, struct cox_err *err);

#endif
