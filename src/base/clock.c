#include "base/clock.h"

#include <stdio.h>
#include <time.h>

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

const struct cox_clock *cox_clock_system(void) {
  static const struct cox_clock clock = {.mono_us = system_mono_us, .wall_ms = system_wall_ms};
  return &clock;
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
