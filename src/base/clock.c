#include "base/clock.h"

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

static char *put_digits(char *at, int value, int digits) {
  for (int i = digits - 1; i >= 0; i--, value /= 10) at[i] = (char)('0' + value % 10);
  return at + digits;
}

/* By hand: lists of nodes have tens of thousands of times in them, and strftime is ten times as slow. */
void cox_clock_format(int64_t wall_ms, char out[COX_CLOCK_TEXT]) {
  const time_t seconds = (time_t)(wall_ms / 1000);
  const int millis = (int)(wall_ms % 1000);
  struct tm parts;
  gmtime_r(&seconds, &parts);
  const int values[] = {parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec};
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
