/* What other threads hand to a worker. It is counted, because the answer to a command may come after the worker ended.
 *
 * A worker takes the notes first, then the attempts, and looks at the attempts first: so a cancel always finds the attempt that
 * was handed over before it.                                                                                                     */
#ifndef COX_NET_MAILBOX_H
#define COX_NET_MAILBOX_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lock.h"
#include "base/queue.h"
#include "core/answer.h"
#include "core/attempt.h"

struct cox_run;

/* One who waits until jobs were begun; lives on the stack of the waiting thread. */
struct cox_job_order {
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  bool is_done;
  const char *name;     /* of the job to begin; NULL: end all that run, and begin those of `names` */
  const json_t *names;
  struct cox_err err;   /* code 0: it was begun; of several: the first that was not */
};

enum cox_note_kind { COX_NOTE_CANCEL, COX_NOTE_JOB, COX_NOTE_ANSWER, COX_NOTE_CHORE };

struct cox_note {
  struct cox_queue_link link;
  enum cox_note_kind kind;
  uint64_t attempt;             /* CANCEL: its number */
  struct cox_job_order *order;  /* JOB */
  struct cox_run *run;          /* ANSWER: who waits for it; worker only, NULL once nobody does */
  json_t *answer;               /* ANSWER: owned; NULL: out of memory */
  char *command;                /* CHORE: its name, owned */
  json_t *args;                 /* CHORE: owned */
  cox_reply_fn *reply;          /* CHORE: who waits; NULL once it is answered */
  void *arg;
  struct cox_mailbox *mailbox;  /* ANSWER: where it goes; held by whoever answers */
};

enum { COX_CHORES_MAX = 64 };

struct cox_mailbox {
  atomic_uint references;
  struct cox_queue attempts; /* of struct cox_attempt; bounded by the reconciler */
  struct cox_queue notes;    /* of struct cox_note; bounded by the attempts, one for each job, and COX_CHORES_MAX */
  atomic_uint chores;        /* not answered yet */
};

struct cox_mailbox *cox_mailbox_create(struct cox_err *err);
struct cox_mailbox *cox_mailbox_hold(struct cox_mailbox *mailbox);
/* The last one frees the notes that are left. No attempt may be left. */
void cox_mailbox_release(struct cox_mailbox *mailbox);

/* NULL: out of memory. */
struct cox_note *cox_note_create(enum cox_note_kind kind);
void cox_note_destroy(struct cox_note *note);
/* Answers a chore, which frees it; the answer is ended. */
void cox_note_answer_chore(struct cox_note *note, struct cox_mailbox *mailbox, struct cox_answer *answer);
/* Any thread. Takes the note. */
void cox_mailbox_post(struct cox_mailbox *mailbox, struct cox_note *note);
/* Is there something to take? A glance without cost, for the middle of long work. */
bool cox_mailbox_has_notes(struct cox_mailbox *mailbox);

#endif
