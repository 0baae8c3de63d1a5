#include "base/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int64_t system_mono_us(void *ctx) {
  (void)ctx;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_wall_ms(void *ctx) {
  (void)ctx;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Written once. */
static struct cox_clock_era system_era_now;

/* Where the kernel does not tell which start this is, every process is an era of its own. */
static size_t read_start(char *text, size_t size) {
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  const ssize_t count = fd >= 0 ? read(fd, text, size) : -1;
  if (fd >= 0) close(fd);
  return count > 0 ? (size_t)count : (size_t)snprintf(text, size, "%ld %lld", (long)getpid(), (long long)system_wall_ms(NULL));
}

static void take_up_era(void) {
  char text[64];
  const size_t len = read_start(text, sizeof text);
  uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
  for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
  system_era_now = (struct cox_clock_era){.id = hash >> 11, .began_us = system_mono_us(NULL)};
}

static struct cox_clock_era system_era(void *ctx) {
  (void)ctx;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, take_up_era);
  return system_era_now;
}

const struct cox_clock *cox_clock_system(void) {
  static const struct cox_clock clock = {.mono_us = system_mono_us, .wall_ms = system_wall_ms, .era = system_era};
  return &clock;
}

static struct cox_clock_era era_of(const struct cox_clock *clock) {
  return clock->era != NULL ? clock->era(clock->ctx) : (struct cox_clock_era){0};
}

struct cox_mark cox_clock_mark(const struct cox_clock *clock) {
  return (struct cox_mark){.era = era_of(clock).id, .at_us = cox_clock_mono_us(clock)};
}

int64_t cox_clock_since_us(const struct cox_clock *clock, struct cox_mark mark) {
  const struct cox_clock_era era = era_of(clock);
  const int64_t now_us = cox_clock_mono_us(clock);
  const bool is_known = mark.era == era.id && mark.at_us <= now_us;
  return now_us - (is_known ? mark.at_us : era.began_us);
}

int64_t cox_clock_busy_us(void) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static char *put_digits(char *at, int value, int digits) {
  for (int i = digits - 1; i >= 0; i--, value /= 10) at[i] = (char)('0' + value % 10);
  return at + digits;
}

/* The date of that day since 1970 in the Gregorian calendar, with years that begin in March so that the leap day is their last
 * (Hinnant, "chrono-compatible low-level date algorithms": civil_from_days).                                                  */
static void date_of(int64_t day, int out[3]) {
  enum { TO_MARCH_0000 = 719468, ERA = 146097 /* days of 400 years */ };
  day += TO_MARCH_0000;
  const int64_t era = (day >= 0 ? day : day - (ERA - 1)) / ERA;
  const int in_era = (int)(day - era * ERA), year = (in_era - in_era / 1460 + in_era / 36524 - in_era / (ERA - 1)) / 365;
  const int in_year = in_era - (365 * year + year / 4 - year / 100), month = (5 * in_year + 2) / 153;
  out[2] = in_year - (153 * month + 2) / 5 + 1;
  out[1] = month < 10 ? month + 3 : month - 9;
  out[0] = year + (int)era * 400 + (out[1] <= 2);
}

/* By hand: lists of nodes have tens of thousands of times in them, strftime is ten times as slow, and gmtime_r takes a lock. */
void cox_clock_format(int64_t wall_ms, char out[COX_CLOCK_TEXT]) {
  enum { DAY_S = 86400 };
  const int64_t seconds = wall_ms / 1000, day = (seconds >= 0 ? seconds : seconds - (DAY_S - 1)) / DAY_S;
  const int millis = (int)(wall_ms % 1000), in_day = (int)(seconds - day * DAY_S);
  int values[6] = {0, 0, 0, in_day / 3600, in_day / 60 % 60, in_day % 60};
  date_of(day, values);
  static const char after[] = "--T::.";
  char *at = out;
  for (int i = 0; i < 6; i++) {
    at = put_digits(at, values[i], i == 0 ? 4 : 2);
    *at++ = after[i];
  }
  at = put_digits(at, millis < 0 ? 0 : millis, 3);
  *at++ = 'Z';
  *at = '\0';
}

int64_t cox_clock_parse(const char *text) {
  struct tm parts = {0};
  int millis = 0, end = 0;
  if (text == NULL) return 0;
  const int count = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
                           &parts.tm_min, &parts.tm_sec, &millis, &end);
  if (count != 7 || end == 0 || text[end] != '\0') return 0;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return (int64_t)timegm(&parts) * 1000 + millis;
}
