#include <assert.h>
#include <stdlib.h>

#include "sim/world_private.h"

static bool is_before(const struct cox_world_event *left, const struct cox_world_event *right) {
  return left->at_us < right->at_us || (left->at_us == right->at_us && left->order < right->order);
}

static void grow(struct cox_world_events *events) {
  events->capacity = events->capacity == 0 ? 256 : events->capacity * 2;
  events->heap = realloc(events->heap, events->capacity * sizeof *events->heap);
  if (events->heap == NULL) abort();
}

void cox_world_plan(struct cox_world *world, int64_t at_us, enum cox_world_event_kind kind, uint64_t id, uint64_t token) {
  struct cox_world_events *const events = &world->events;
  if (events->count == events->capacity) grow(events);
  const struct cox_world_event event = {.at_us = at_us < world->now_us ? world->now_us : at_us, .order = events->order++, .id = id,
                                        .token = token, .kind = kind};
  size_t i = events->count++;
  for (; i > 0 && is_before(&event, &events->heap[(i - 1) / 2]); i = (i - 1) / 2) events->heap[i] = events->heap[(i - 1) / 2];
  events->heap[i] = event;
}

bool cox_world_next(struct cox_world *world, struct cox_world_event *out) {
  struct cox_world_events *const events = &world->events;
  if (events->count == 0) return false;
  *out = events->heap[0];
  const struct cox_world_event last = events->heap[--events->count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < events->count; i = child) {
    if (child + 1 < events->count && is_before(&events->heap[child + 1], &events->heap[child])) child++;
    if (is_before(&last, &events->heap[child])) break;
    events->heap[i] = events->heap[child];
  }
  if (events->count > 0) events->heap[i] = last;
  return true;
}
