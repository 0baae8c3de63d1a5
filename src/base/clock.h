/* Time as an interface: the core never asks the system, so that a simulator can own time. */
#ifndef COX_BASE_CLOCK_H
#define COX_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* One start of the machine: moments of mono_us can be compared only within one. */
struct cox_clock_era {
  uint64_t id;      /* the same for all processes of it; below 2^53, which every reader of JSON keeps */
  int64_t began_us; /* mono_us when this process took it up: whatever another era says is older */
};

struct cox_clock {
  int64_t (*mono_us)(void *ctx); /* microseconds, never goes back; for deadlines and ages */
  int64_t (*wall_ms)(void *ctx); /* milliseconds since 1970 UTC; for showing to people, and for what others say of time */
  struct cox_clock_era (*era)(void *ctx); /* NULL: there is only one */
  void *ctx;
};

/* A moment that may be kept longer than the process lives. */
struct cox_mark {
  uint64_t era;
  int64_t at_us;
};

/* The machine's own clocks. */
const struct cox_clock *cox_clock_system(void);

static inline int64_t cox_clock_mono_us(const struct cox_clock *clock) { return clock->mono_us(clock->ctx); }
static inline int64_t cox_clock_wall_ms(const struct cox_clock *clock) { return clock->wall_ms(clock->ctx); }

struct cox_mark cox_clock_mark(const struct cox_clock *clock);
/* How long ago that was, whatever the wall clock was set to meanwhile. Of a mark of another era, or one that never was, it is only
 * known that it is older than this process: then so much has passed at least.                                                    */
int64_t cox_clock_since_us(const struct cox_clock *clock, struct cox_mark mark);

/* Processor time that the calling thread has used, in microseconds. For showing to people; no simulator owns it. */
int64_t cox_clock_busy_us(void);

#define COX_CLOCK_TEXT 32
/* RFC 3339 UTC with milliseconds, "2026-01-02T03:04:05.678Z"; `out` holds COX_CLOCK_TEXT bytes. */
void cox_clock_format(int64_t wall_ms, char out[COX_CLOCK_TEXT]);
/* Such a text back, milliseconds since 1970; 0: it is none (NULL is none). */
int64_t cox_clock_parse(const char *text);

#endif
