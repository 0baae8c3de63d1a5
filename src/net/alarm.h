/* When runs want to be looked at: a binary heap of embedded alarms, owned by one worker. */
#ifndef COX_NET_ALARM_H
#define COX_NET_ALARM_H

#include <stddef.h>
#include <stdint.h>

struct cox_alarm {
  int64_t at_us; /* monotonic */
  size_t place;  /* in the heap, counted from 1; 0: not set */
};

struct cox_alarms {
  struct cox_alarm **heap;
  size_t count, capacity;
};

void cox_alarms_fini(struct cox_alarms *alarms);
/* Makes room for that many alarms, so that setting one cannot fail. 0 or COX_ENOMEM. */
int cox_alarms_reserve(struct cox_alarms *alarms, size_t count);
/* Sets or moves it; INT64_MAX clears it. There must be room. */
void cox_alarm_set(struct cox_alarms *alarms, struct cox_alarm *alarm, int64_t at_us);
/* Earliest moment, INT64_MAX when none is set. */
int64_t cox_alarms_next(const struct cox_alarms *alarms);
/* Takes out the earliest one that is due at `now_us`; NULL: none is. */
struct cox_alarm *cox_alarms_take_due(struct cox_alarms *alarms, int64_t now_us);

#endif
