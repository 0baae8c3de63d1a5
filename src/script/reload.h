/* cox-reload: makes the next generation beside the live one (read, run, check, cases, rehearsal) and has it exchanged, one request after
 * the other. Whoever asks never waits. Any failure before the flip leaves the live one as it is.                                     */
#ifndef COX_SCRIPT_RELOAD_H
#define COX_SCRIPT_RELOAD_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "core/broker.h"
#include "core/scripts.h"
#include "script/generations.h"
#include "script/kept.h"
#include "script/rejected.h"
#include "script/watch.h"

enum {
  COX_RELOAD_WAITING_MAX = 64,
  COX_RELOAD_UNREADABLE = 0, /* in place of a hash: files that could not even be read */
};

struct cox_reload_options {
  const struct cox_clock *clock;
  json_t *folders; /* of scripts, borrowed, held */
  const char *library_dir;
  size_t memory_max;
  double command_budget_s;
  struct cox_generations *generations;
  bool is_watching; /* edits are noticed as they are made */
};

/* For a simulated world, which has one thread and no files. */
struct cox_reload_drive {
  bool (*attend)(void *ctx); /* something more happens, so that a flip comes to its end; false: nothing will */
  struct cox_sources *(*read)(void *ctx, struct cox_faults *faults); /* what the folders hold now; as cox_sources_read_folders */
  void *ctx;
};

enum cox_order_kind { COX_ORDER_RELOAD, COX_ORDER_ROLLBACK, COX_ORDER_PLAN };

struct cox_reload {
  struct cox_reload_options options;
  char *library_dir;
  struct cox_broker *broker;          /* NULL before it is known */
  int wake_fd;                        /* readable: something to do */
  void (*exchanged)(void *ctx);       /* cox-reload, after a flip; NULL: nobody asks */
  void *exchanged_ctx;
  struct cox_thread thread;
  /* cox-reload's own */
  uint64_t tried_hash;                /* of the content that was tried last */
  bool has_tried;
  uint64_t last_number;               /* given to a generation */
  struct cox_kept kept;
  struct cox_rejected rejected;
  struct cox_watch watch;
  _Atomic(uint64_t) found_hash;       /* cox-reload writes it: what the folders held when they were last read, of scripts alone */
  struct cox_reload_drive drive;      /* all NULL: there is a thread */
  atomic_bool is_left;                /* the load under way is not wanted any more: a newer request came, or the stop */
  struct cox_mutex mutex;             /* guards the rest */
  struct {
    enum cox_order_kind kind;
    struct cox_scripts_request *request;
  } orders[COX_RELOAD_WAITING_MAX];   /* a ring */
  size_t first, count;
  char look_caller[64];               /* somebody noticed that the files may be others; "": nobody */
  char failure[512];                  /* the live scripts fail and are to be left, and why; "": they do not */
  uint64_t failed_number;             /* the generation that does */
  bool can_begin_again;               /* a load is under way that a newer request may end */
  json_t *(*folders)(void *ctx, struct cox_faults *faults); /* as cox_reload_follow says; NULL: they never change */
  void *folders_ctx;
  bool is_running, is_stopping;
};

int cox_reload_init(struct cox_reload *reload, const struct cox_reload_options *options);
void cox_reload_fini(struct cox_reload *reload);
/* Before any thread: reads, checks and makes the first live generation. A content that was rejected before, as the store of the broker
 * (may be NULL) remembers, is not tried: the one that was live then is, from the store. 0, or a code with every fault in `faults`.     */
int cox_reload_first(struct cox_reload *reload, struct cox_broker *broker, struct cox_faults *faults);
int cox_reload_start(struct cox_reload *reload, struct cox_broker *broker, struct cox_err *err);
/* Instead of a start, before the first load: orders come by cox_reload_carry_out, on the thread that is cox-command too. */
void cox_reload_drive(struct cox_reload *reload, struct cox_broker *broker, const struct cox_reload_drive *drive);
/* Answers before it returns. */
void cox_reload_carry_out(struct cox_reload *reload, enum cox_order_kind kind, struct cox_scripts_request *request);
/* What cox-reload does unasked: when the choice of scripts is owed to the store (monotonic; INT64_MAX: it is not), and writes it if it is time and
 * the store can be written. Its thread does that by itself.                                                                             */
int64_t cox_reload_due_us(struct cox_reload *reload);
void cox_reload_turn(struct cox_reload *reload);
/* Ends the thread, and within milliseconds whatever scripts it runs; what waits is answered. Later requests are answered at once. */
void cox_reload_stop(struct cox_reload *reload);

/* Any thread; never blocks. */
void cox_reload_ask(struct cox_reload *reload, enum cox_order_kind kind, struct cox_scripts_request *request);
/* Any thread; never blocks: the files may have changed. A content that was rejected is not tried again. */
void cox_reload_look(struct cox_reload *reload, const char *caller);
/* Any thread: from now on whoever asks for a reload, a plan or a look gets what the configuration names then. `folders` is called on
 * cox-reload, and may read files: a new reference to the list; NULL with faults, or without any: it is as it was.                   */
void cox_reload_follow(struct cox_reload *reload, json_t *(*folders)(void *ctx, struct cox_faults *faults), void *ctx);
/* Any thread; never blocks: that generation fails while it runs; go back to the one before. */
void cox_reload_give_up(struct cox_reload *reload, uint64_t number, const char *why);
/* Any thread: as in struct cox_scripts. */
json_t *cox_reload_show(struct cox_reload *reload);
json_t *cox_reload_difference(struct cox_reload *reload);

#endif
