/* Changes on their way to the store, in order, and what happens when they cannot be stored. All of it on cox-command, but for
 * what says otherwise.
 *
 * A change is in force in memory at once; its answer waits for the commit. Operators' changes carry their before image: when
 * the store fails, those that are not committed are put back, newest first, each is answered with the error, and degraded mode
 * begins: such changes are refused, everything else goes on and is owed to the store. Once it can be written again the whole
 * state is written anew, and with that commit degraded mode ends.                                                             */
#ifndef COX_CORE_LEDGER_H
#define COX_CORE_LEDGER_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/queue.h"
#include "core/answer.h"
#include "core/journal.h"
#include "core/rewrite.h"
#include "core/store.h"

struct cox_broker;
struct cox_command;
struct cox_txn;

enum {
  COX_LEDGER_RECORDS_MAX = 65536, /* waiting for the store; operators' changes are refused beyond it */
  COX_LEDGER_SOFT_MAX = 49152,    /* the others are not stored beyond it: they are counted and become a gap */
  COX_NOTES_MAX = 4096,           /* from other threads, not yet taken over */
  COX_KEEP_VALUE_MAX = 4 * 1024 * 1024,
  COX_KEEP_NAMES_MAX = 100000,    /* per table */
};

enum cox_pending_outcome { COX_PENDING_OPEN, COX_PENDING_STORED, COX_PENDING_FAILED };

/* One change. */
struct cox_pending {
  struct cox_batch batch;
  struct cox_queue_link link;       /* of those whose outcome is known */
  struct cox_pending *prev, *next;  /* in order */
  struct cox_broker *broker;
  atomic_int outcome;               /* set by the store's thread */
  char *why;                        /* FAILED: the store's words, owned; set before the outcome */
  int64_t handed_us;                /* to the store, monotonic */
  bool is_durable;                  /* in force only when it is stored */
  bool has_state;                   /* some of its records are state records */
  bool is_rewrite;                  /* the whole state written anew */
  bool is_with_store;               /* `outcome` will come */
  bool is_lost;                     /* not stored, and nobody minds: published in its turn */
  bool is_undone;                   /* not in force any more: only its command is published, as failed */
  bool is_over;                     /* answered and published; waits for the store to let go of it */
  uint64_t gap;                     /* records whose loss it tells the store */
  struct cox_command *command;      /* to be answered; NULL: nobody, or answered */
  struct cox_answer answer;
  uint64_t seq;                     /* last number given out with it: all up to there stand in front of it, or are its own */
  struct cox_txn *undo;             /* what its transactions replaced, newest first */
  struct cox_note *note;
};

/* Records from another thread; or none, and it waits until what was there before it is in the journal. */
struct cox_note {
  struct cox_queue_link link;
  struct cox_pending *pending; /* that has them; owned until cox-command takes it */
  void (*done)(void *arg, const struct cox_err *err); /* NULL: nobody asks */
  void *arg;
};

struct cox_ledger {
  struct cox_journal journal;
  uint64_t seq;                     /* last number given out */
  uint32_t start;
  struct cox_pending *first, *last; /* not known to be stored, in order */
  size_t waiting;                   /* records in them */
  struct cox_queue known;           /* struct cox_pending; any thread pushes, bounded by those above */
  struct cox_queue notes;           /* struct cox_note; any thread pushes, at most COX_NOTES_MAX */
  atomic_uint note_count;
  atomic_uint_fast64_t told;        /* somebody was answered, and may ask the journal for all records up to this number */
  atomic_uint_fast64_t settled;     /* up to this number they are there, or were given up */
  atomic_bool is_back;              /* the store says that it can be written again */
  bool owes;                        /* the store's state is not ours: it is to be written anew */
  int64_t owes_from_us;             /* not earlier: the store had no room for it last time */
  struct cox_rewrite rewrite;       /* that is under way */
  uint64_t lost;                    /* records that the store was not told and does not know of yet */
  atomic_uint_fast64_t lost_total;
  struct cox_mutex mutex;           /* guards the rest */
  bool is_degraded;
  char why[256];
  json_t *kept;                     /* {<table>: {<name>: value}} of cox_broker_keep */
};

/* 0 or COX_ENOMEM; to be ended with cox_ledger_fini in both cases. */
int cox_ledger_init(struct cox_ledger *ledger);
/* The store is closed: what it never got to is dropped. */
void cox_ledger_fini(struct cox_broker *broker);

/* A change of `command` (taken; NULL: nobody is to be answered). NULL: out of memory. */
struct cox_pending *cox_pending_create(struct cox_broker *broker, struct cox_command *command);
/* Of one that was never handed in, or is over. */
void cox_pending_destroy(struct cox_pending *pending);
/* May an operator's change be made now? 0, COX_EDEGRADED or COX_EFULL with the reason. */
int cox_ledger_admits(struct cox_broker *broker, struct cox_err *err);
/* Takes it: numbers its records, hands them over, answers its command in time. */
void cox_ledger_submit(struct cox_broker *broker, struct cox_pending *pending);
/* What the store has said and others have reported since. Returns how much there was. */
size_t cox_ledger_handle(struct cox_broker *broker);
/* When a rewrite that is owed may be tried again, on the monotonic clock; INT64_MAX: nothing waits for a moment. */
int64_t cox_ledger_next_us(struct cox_broker *broker);
/* keep.c: any thread; never blocks. Sends a record to cox-command, which gives it its number and stores it. Takes `record` (NULL: out of
 * memory), also when it fails; `done` as in cox_broker_keep. `what` is what it is called in an error. 0, COX_ENOMEM, COX_EFULL.        */
int cox_note_send(struct cox_broker *broker, struct cox_record *record, void (*done)(void *arg, const struct cox_err *err), void *arg,
                  const char *what, struct cox_err *err);
/* The end: waits until nothing waits, at most `timeout_ms`. */
void cox_ledger_drain(struct cox_broker *broker, int64_t timeout_ms);

/* undo.c: puts back what an applied transaction replaced. */
void cox_txn_undo(struct cox_txn *txn);

#endif
