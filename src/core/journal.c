#include "core/journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void cox_journal_init(struct cox_journal *journal) {
  memset(journal, 0, sizeof *journal);
  cox_mutex_init(&journal->mutex);
}

static struct cox_event_waiter *take_waiters_locked(struct cox_journal *journal) COX_REQUIRES(journal->mutex) {
  struct cox_event_waiter *const waiters = journal->waiters;
  for (struct cox_event_waiter *waiter = waiters; waiter != NULL; waiter = waiter->next) waiter->is_waiting = false;
  journal->waiters = NULL;
  return waiters;
}

static void wake_all(struct cox_event_waiter *waiters) {
  while (waiters != NULL) {
    struct cox_event_waiter *const next = waiters->next; /* it may be gone once it is woken */
    waiters->wake(waiters);
    waiters = next;
  }
}

/* Who still waits (a client that is gone, say) waits for nothing more. */
void cox_journal_fini(struct cox_journal *journal) {
  cox_mutex_lock(&journal->mutex);
  struct cox_event_waiter *const waiters = take_waiters_locked(journal);
  cox_mutex_unlock(&journal->mutex);
  wake_all(waiters);
  for (size_t i = 0; i < COX_JOURNAL_KEPT; i++) cox_record_release(journal->ring[i]);
  cox_mutex_fini(&journal->mutex);
}

void cox_journal_publish(struct cox_journal *journal, struct cox_record *const *records, size_t count) {
  if (count == 0) return;
  struct cox_record *gone[64];
  for (size_t done = 0; done < count;) {
    size_t part = 0;
    cox_mutex_lock(&journal->mutex);
    for (; part < sizeof gone / sizeof *gone && done < count; part++, done++) {
      struct cox_record **const place = &journal->ring[journal->published++ % COX_JOURNAL_KEPT];
      assert(records[done]->seq > journal->last);
      journal->last = records[done]->seq;
      gone[part] = *place;
      *place = cox_record_hold(records[done]);
    }
    struct cox_event_waiter *const waiters = done == count ? take_waiters_locked(journal) : NULL;
    cox_mutex_unlock(&journal->mutex);
    for (size_t i = 0; i < part; i++) cox_record_release(gone[i]);
    wake_all(waiters);
  }
}

uint64_t cox_journal_last(struct cox_journal *journal) {
  cox_mutex_lock(&journal->mutex);
  const uint64_t last = journal->last;
  cox_mutex_unlock(&journal->mutex);
  return last;
}

void cox_journal_begin(struct cox_journal *journal, uint64_t seq) {
  cox_mutex_lock(&journal->mutex);
  journal->last = seq;
  cox_mutex_unlock(&journal->mutex);
}

bool cox_event_passes(const struct cox_event_filter *filter, const char *kind, const char *node_id) {
  if (filter == NULL) return true;
  if (filter->kind != NULL && strcmp(filter->kind, kind) != 0) return false;
  return filter->node_id == NULL || (node_id != NULL && strcmp(filter->node_id, node_id) == 0);
}

/* First record in the ring whose number is above `since`: they count up. */
static uint64_t find_locked(const struct cox_journal *journal, uint64_t since) COX_REQUIRES(journal->mutex) {
  uint64_t low = journal->published > COX_JOURNAL_KEPT ? journal->published - COX_JOURNAL_KEPT : 0, high = journal->published;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (journal->ring[middle % COX_JOURNAL_KEPT]->seq > since) high = middle;
    else low = middle + 1;
  }
  return low;
}

enum { SECTION = 256 };

/* References to one part of the ring, taken under the lock; JSON is made outside of it. Returns how many. */
static size_t hold_section(struct cox_journal *journal, uint64_t since, struct cox_record *held[SECTION], uint64_t *first) {
  cox_mutex_lock(&journal->mutex);
  const uint64_t oldest = journal->published > COX_JOURNAL_KEPT ? journal->published - COX_JOURNAL_KEPT : 0;
  *first = oldest < journal->published ? journal->ring[oldest % COX_JOURNAL_KEPT]->seq : journal->last + 1;
  size_t count = 0;
  for (uint64_t n = find_locked(journal, since); n < journal->published && count < SECTION; n++) {
    held[count++] = cox_record_hold(journal->ring[n % COX_JOURNAL_KEPT]);
  }
  cox_mutex_unlock(&journal->mutex);
  return count;
}

static bool passes(const struct cox_record *record, const struct cox_event_filter *filter) {
  return cox_event_passes(filter, cox_record_kind_name(record->kind), json_string_value(record->node_id));
}

json_t *cox_journal_read(struct cox_journal *journal, uint64_t since, size_t max, const struct cox_event_filter *filter, uint64_t *next,
                         uint64_t *first) {
  json_t *const list = json_array();
  struct cox_record *held[SECTION];
  bool is_first = true;
  size_t count;
  *next = since;
  do {
    uint64_t oldest;
    count = hold_section(journal, *next, held, &oldest);
    const bool has_lost = !is_first && oldest > *next + 1; /* it moved on while we looked: the next call tells */
    if (is_first) *first = oldest;
    is_first = false;
    for (size_t i = 0; i < count; i++) {
      if (json_array_size(list) < max && !has_lost) {
        *next = held[i]->seq;
        if (passes(held[i], filter)) json_array_append_new(list, cox_record_json(held[i]));
      }
      cox_record_release(held[i]);
    }
    if (has_lost) break;
  } while (count == SECTION && json_array_size(list) < max);
  return list;
}

bool cox_journal_wait(struct cox_journal *journal, uint64_t since, struct cox_event_waiter *waiter) {
  cox_mutex_lock(&journal->mutex);
  const bool waits = journal->last <= since;
  if (waits) {
    waiter->is_waiting = true;
    waiter->prev = NULL;
    waiter->next = journal->waiters;
    if (waiter->next != NULL) waiter->next->prev = waiter;
    journal->waiters = waiter;
  }
  cox_mutex_unlock(&journal->mutex);
  return waits;
}

bool cox_journal_cancel(struct cox_journal *journal, struct cox_event_waiter *waiter) {
  cox_mutex_lock(&journal->mutex);
  const bool was_waiting = waiter->is_waiting;
  if (was_waiting) {
    if (waiter->prev != NULL) waiter->prev->next = waiter->next;
    else journal->waiters = waiter->next;
    if (waiter->next != NULL) waiter->next->prev = waiter->prev;
    waiter->is_waiting = false;
  }
  cox_mutex_unlock(&journal->mutex);
  return was_waiting;
}
