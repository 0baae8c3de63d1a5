/* One line per fact, logfmt or JSON, to one file descriptor, whole lines by one write(2).
 *
 *   cox_log(COX_LOG_INFO, "reconcile", "attempt failed", "node", id, "class", "timeout", NULL);
 *
 * Keys and values are strings in pairs, ended by NULL; numbers go through COX_LOG_INT().
 * Any thread; never allocates; a line longer than 4 KiB is cut with "…".                        */
#ifndef COX_BASE_LOG_H
#define COX_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum cox_log_level { COX_LOG_DEBUG, COX_LOG_INFO, COX_LOG_WARN, COX_LOG_ERROR };

void cox_log(enum cox_log_level level, const char *subsystem, const char *message, ...) __attribute__((sentinel));
/* Same, with the pairs in a list that is ended by NULL. */
void cox_log_pairs(enum cox_log_level level, const char *subsystem, const char *message, const char *const *pairs);

struct cox_log_number {
  char text[24];
};
const char *cox_log_int(int64_t value, struct cox_log_number *buffer);
#define COX_LOG_INT(value) cox_log_int((int64_t)(value), &(struct cox_log_number){{0}})

/* Start-up only (before the threads). */
void cox_log_setup(enum cox_log_level least, bool is_json, int fd);
/* "debug", "info", "warn", "error" → level; false for anything else. */
bool cox_log_level_parse(const char *text, enum cox_log_level *out);
bool cox_log_enabled(enum cox_log_level level);

#endif
