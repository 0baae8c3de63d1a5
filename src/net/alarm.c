#include "net/alarm.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

void cox_alarms_fini(struct cox_alarms *alarms) {
  free(alarms->heap);
  *alarms = (struct cox_alarms){0};
}

int cox_alarms_reserve(struct cox_alarms *alarms, size_t count) {
  if (count <= alarms->capacity) return 0;
  size_t capacity = alarms->capacity == 0 ? 64 : alarms->capacity;
  while (capacity < count) capacity *= 2;
  struct cox_alarm **const heap = realloc(alarms->heap, capacity * sizeof(struct cox_alarm *));
  if (heap == NULL) return COX_ENOMEM;
  alarms->heap = heap;
  alarms->capacity = capacity;
  return 0;
}

static void put(struct cox_alarms *alarms, size_t place, struct cox_alarm *alarm) {
  alarms->heap[place - 1] = alarm;
  alarm->place = place;
}

static void rise(struct cox_alarms *alarms, struct cox_alarm *alarm) {
  size_t place = alarm->place;
  while (place > 1 && alarms->heap[place / 2 - 1]->at_us > alarm->at_us) {
    put(alarms, place, alarms->heap[place / 2 - 1]);
    place /= 2;
  }
  put(alarms, place, alarm);
}

static void sink(struct cox_alarms *alarms, struct cox_alarm *alarm) {
  size_t place = alarm->place;
  for (;;) {
    size_t child = place * 2;
    if (child > alarms->count) break;
    if (child < alarms->count && alarms->heap[child]->at_us < alarms->heap[child - 1]->at_us) child++;
    if (alarms->heap[child - 1]->at_us >= alarm->at_us) break;
    put(alarms, place, alarms->heap[child - 1]);
    place = child;
  }
  put(alarms, place, alarm);
}

static void clear(struct cox_alarms *alarms, struct cox_alarm *alarm) {
  if (alarm->place == 0) return;
  struct cox_alarm *const last = alarms->heap[--alarms->count];
  if (last != alarm) {
    put(alarms, alarm->place, last);
    rise(alarms, last);
    sink(alarms, last);
  }
  alarm->place = 0;
}

void cox_alarm_set(struct cox_alarms *alarms, struct cox_alarm *alarm, int64_t at_us) {
  if (at_us == INT64_MAX) {
    clear(alarms, alarm);
    return;
  }
  if (alarm->place == 0) {
    assert(alarms->count < alarms->capacity);
    put(alarms, ++alarms->count, alarm);
  } else if (alarm->at_us == at_us) {
    return;
  }
  alarm->at_us = at_us;
  rise(alarms, alarm);
  sink(alarms, alarm);
}

int64_t cox_alarms_next(const struct cox_alarms *alarms) {
  return alarms->count == 0 ? INT64_MAX : alarms->heap[0]->at_us;
}

struct cox_alarm *cox_alarms_take_due(struct cox_alarms *alarms, int64_t now_us) {
  if (cox_alarms_next(alarms) > now_us) return NULL;
  struct cox_alarm *const alarm = alarms->heap[0];
  clear(alarms, alarm);
  return alarm;
}
