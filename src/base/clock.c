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

void cox_clock_format(int64_t wall_ms, char out[COX_CLOCK_TEXT]) {
  const time_t seconds = (time_t)(wall_ms / 1000);
  const int millis = (int)(wall_ms % 1000);
  struct tm parts;
  gmtime_r(&seconds, &parts);
  char date[20]; /* "2026-01-02T03:04:05" */
  if (strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0) date[0] = '\0';
  snprintf(out, COX_CLOCK_TEXT, "%s.%03dZ", date, millis < 0 ? 0 : millis);
}
