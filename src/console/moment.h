/* Times and ages as people read them. */
#ifndef COX_CONSOLE_MOMENT_H
#define COX_CONSOLE_MOMENT_H

#include <stdint.h>

/* Milliseconds since 1970 of "2026-01-02T03:04:05.678Z"; 0: not such a time, or NULL. */
int64_t cox_moment_parse(const char *text);

/* Milliseconds of "90m", "7d" or "1h30m", at most 100 years; 0: no such duration. */
int64_t cox_moment_duration(const char *text);

/* The moment that "30m" (ago), "2026-01-02T03:04:05Z" or one with milliseconds names; 0: none of them. */
int64_t cox_moment_since(const char *text, int64_t now_ms);

enum { COX_MOMENT_AGE = 24 };
/* "0.4s", "42s", "12m03s", "3h12m", "4d02h"; a negative age (two clocks) is 0. */
const char *cox_moment_age(int64_t age_ms, char out[COX_MOMENT_AGE]);

#endif
