#include "console/moment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

int64_t cox_moment_parse(const char *text) { return cox_clock_parse(text); }

int64_t cox_moment_duration(const char *text) {
  static const struct {
    char unit;
    double ms;
  } units[] = {{'d', 86400000}, {'h', 3600000}, {'m', 60000}, {'s', 1000}, {'\0', 0}};
  double total_ms = 0;
  size_t unit = 0;
  while (*text != '\0') { /* each unit once, the largest first */
    char *end;
    if ((*text < '0' || *text > '9') && *text != '.') return 0;
    const double number = strtod(text, &end);
    while (units[unit].unit != '\0' && units[unit].unit != *end) unit++;
    if (end == text || *end == '\0' || units[unit].unit == '\0') return 0;
    total_ms += number * units[unit++].ms;
    text = end + 1;
  }
  return total_ms >= 1 && total_ms <= 36500.0 * units[0].ms ? (int64_t)total_ms : 0;
}

int64_t cox_moment_since(const char *text, int64_t now_ms) {
  char whole[48];
  const int64_t back_ms = cox_moment_duration(text);
  if (back_ms > 0) return now_ms - back_ms;
  const size_t len = strlen(text);
  if (len != 20 || text[19] != 'Z') return cox_moment_parse(text);
  snprintf(whole, sizeof whole, "%.19s.000Z", text); /* seconds: the journal has milliseconds */
  return cox_moment_parse(whole);
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
