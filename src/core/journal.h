/* The journal: one numbered sequence of records. cox-command alone appends to it, in the order in which records are durable (or
 * given up as not storable); anybody reads. The last COX_JOURNAL_KEPT are in memory for live readers, who never hold up the
 * writer: one that is too slow finds a gap, and asks the store for what memory has lost.                                      */
#ifndef COX_CORE_JOURNAL_H
#define COX_CORE_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"
#include "core/record.h"

enum { COX_JOURNAL_KEPT = 2048 };

struct cox_event_waiter;

struct cox_journal {
  struct cox_mutex mutex; /* guards everything below */
  struct cox_record *ring[COX_JOURNAL_KEPT]; /* record number n of this process stands in ring[n % COX_JOURNAL_KEPT] */
  uint64_t published;     /* in this process */
  uint64_t last;          /* seq of the last one published, those of earlier processes too */
  struct cox_event_waiter *waiters;
};

/* Which records a reader wants. */
struct cox_event_filter {
  const char *kind;    /* NULL: any */
  const char *node_id; /* NULL: any */
};

/* Somebody who waits for the next record; embedded by its owner. */
struct cox_event_waiter {
  struct cox_event_waiter *prev, *next;
  bool is_waiting;
  void (*wake)(struct cox_event_waiter *waiter); /* once, on cox-command; must not block */
};

void cox_journal_init(struct cox_journal *journal);
void cox_journal_fini(struct cox_journal *journal);

/* cox-command: takes a reference of its own to each; wakes all who wait. Numbers must count up. */
void cox_journal_publish(struct cox_journal *journal, struct cox_record *const *records, size_t count);
/* The last number given out so far, 0: none. */
uint64_t cox_journal_last(struct cox_journal *journal);
/* Start-up: numbers go on after `seq`. */
void cox_journal_begin(struct cox_journal *journal, uint64_t seq);

/* Any thread: up to `max` records after number `since` that pass the filter (NULL: all), as a new list of JSON objects. `*next`:
 * go on after this number. `*first`: the oldest number in memory (last + 1 when there is none): older ones are the store's.    */
json_t *cox_journal_read(struct cox_journal *journal, uint64_t since, size_t max, const struct cox_event_filter *filter, uint64_t *next,
                         uint64_t *first);
/* Does a record pass the filter? */
bool cox_event_passes(const struct cox_event_filter *filter, const char *kind, const char *node_id);

/* Any thread: wakes `waiter` at the next record after `since`. False, and it does not wait: there is one already. */
bool cox_journal_wait(struct cox_journal *journal, uint64_t since, struct cox_event_waiter *waiter);
/* True: it waits no more and is not woken. False: it was woken, or is being woken now. */
bool cox_journal_cancel(struct cox_journal *journal, struct cox_event_waiter *waiter);

#endif
