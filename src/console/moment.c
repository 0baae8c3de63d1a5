#include "console/moment.h"

#include <stdio.h>
#include <time.h>

int64_t cox_moment_parse(const char *text) {
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

const char *cox_moment_age(int64_t age_ms, char out[COX_MOMENT_AGE]) {
  enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };
  const long long ms = age_ms < 0 ? 0 : age_ms, s = ms / 1000;
  if (s < 10) snprintf(out, COX_MOMENT_AGE, "%lld.%llds", s, ms % 1000 / 100);
  else if (s < MINUTE) snprintf(out, COX_MOMENT_AGE, "%llds", s);
  else if (s < HOUR) snprintf(out, COX_MOMENT_AGE, "%lldm%02llds", s / MINUTE, s % MINUTE);
  else if (s < DAY) snprintf(out, COX_MOMENT_AGE, "%lldh%02lldm", s / HOUR, s % HOUR / MINUTE);
  else snprintf(out, COX_MOMENT_AGE, "%lldd%02lldh", s / DAY, s % DAY / HOUR);
  return out;
}
