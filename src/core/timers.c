#include "core/timers.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

void cox_timers_fini(struct cox_timers *timers) {
  free(timers->heap);
  *timers = (struct cox_timers){0};
}

int cox_timers_add(struct cox_timers *timers, int64_t at_us, uint64_t registration, enum cox_timer_kind kind) {
  if (timers->count == timers->capacity) {
    const size_t capacity = timers->capacity == 0 ? 64 : timers->capacity * 2;
    struct cox_timer *const heap = realloc(timers->heap, capacity * sizeof *heap);
    if (heap == NULL) return COX_ENOMEM;
    timers->heap = heap;
    timers->capacity = capacity;
  }
  size_t i = timers->count++;
  for (; i > 0 && timers->heap[(i - 1) / 2].at_us > at_us; i = (i - 1) / 2) timers->heap[i] = timers->heap[(i - 1) / 2];
  timers->heap[i] = (struct cox_timer){.at_us = at_us, .registration = registration, .kind = kind};
  return 0;
}

int64_t cox_timers_next(const struct cox_timers *timers) { return timers->count == 0 ? INT64_MAX : timers->heap[0].at_us; }

struct cox_timer cox_timers_pop(struct cox_timers *timers) {
  assert(timers->count > 0);
  const struct cox_timer first = timers->heap[0];
  const struct cox_timer last = timers->heap[--timers->count];
  size_t i = 0;
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= timers->count) break;
    if (child + 1 < timers->count && timers->heap[child + 1].at_us < timers->heap[child].at_us) child++;
    if (timers->heap[child].at_us >= last.at_us) break;
    timers->heap[i] = timers->heap[child];
    i = child;
  }
  if (timers->count > 0) timers->heap[i] = last;
  return first;
}
