#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

/* Process-wide on purpose: a log line must be possible from anywhere. Written once, before the threads. */
static enum cox_log_level least_level = COX_LOG_INFO;
static bool use_json = false;
static int log_fd = STDERR_FILENO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void cox_log_setup(enum cox_log_level least, bool is_json, int fd) {
  least_level = least;
  use_json = is_json;
  log_fd = fd;
}

bool cox_log_enabled(enum cox_log_level level) { return level >= least_level; }

bool cox_log_level_parse(const char *text, enum cox_log_level *out) {
  for (int i = 0; i < 4; i++) {
    if (text != NULL && strcmp(text, level_names[i]) == 0) {
      *out = (enum cox_log_level)i;
      return true;
    }
  }
  return false;
}

const char *cox_log_int(int64_t value, struct cox_log_number *buffer) {
  snprintf(buffer->text, sizeof buffer->text, "%lld", (long long)value);
  return buffer->text;
}

enum { LINE_MAX_BYTES = 4096, LINE_TAIL = 16 };

struct line {
  char text[LINE_MAX_BYTES];
  size_t len;
};

static void put(struct line *line, const char *text, size_t count) {
  const size_t room = LINE_MAX_BYTES - LINE_TAIL - line->len;
  if (count > room) count = room;
  memcpy(line->text + line->len, text, count);
  line->len += count;
}

static void put_text(struct line *line, const char *text) { put(line, text, strlen(text)); }

/* A quoted string; the same escapes are right for logfmt and JSON. */
static void put_quoted(struct line *line, const char *text) {
  put(line, "\"", 1);
  for (const char *p = text; *p != '\0'; p++) {
    const unsigned char byte = (unsigned char)*p;
    char escape[8];
    if (byte == '"' || byte == '\\') {
      snprintf(escape, sizeof escape, "\\%c", byte);
    } else if (byte == '\n') {
      snprintf(escape, sizeof escape, "\\n");
    } else if (byte < 0x20 || byte == 0x7f) {
      snprintf(escape, sizeof escape, "\\u%04x", byte);
    } else {
      put(line, p, 1);
      continue;
    }
    put_text(line, escape);
  }
  put(line, "\"", 1);
}

static void put_pair(struct line *line, const char *key, const char *value) {
  if (value == NULL) value = "";
  if (use_json) {
    put_text(line, line->len > 1 ? "," : "");
    put_quoted(line, key);
    put(line, ":", 1);
    put_quoted(line, value);
    return;
  }
  if (line->len > 0) put(line, " ", 1);
  put_text(line, key);
  put(line, "=", 1);
  const bool is_plain = *value != '\0' && strpbrk(value, " =\"\\\n\t\r") == NULL;
  if (is_plain) put_text(line, value);
  else put_quoted(line, value);
}

static void begin(struct line *line, enum cox_log_level level, const char *subsystem, const char *message) {
  char now[COX_CLOCK_TEXT];
  cox_clock_format(cox_clock_wall_ms(cox_clock_system()), now);
  line->len = 0;
  if (use_json) put(line, "{", 1);
  put_pair(line, "ts", now);
  put_pair(line, "level", level_names[level]);
  put_pair(line, "thread", cox_thread_name());
  put_pair(line, "subsystem", subsystem);
  put_pair(line, "msg", message);
}

static void end(struct line *line) {
  const bool is_cut = line->len == LINE_MAX_BYTES - LINE_TAIL;
  const char *const tail = use_json ? (is_cut ? "…\"}\n" : "}\n") : (is_cut ? "…\n" : "\n");
  memcpy(line->text + line->len, tail, strlen(tail));
  line->len += strlen(tail);
  const ssize_t rc = write(log_fd, line->text, line->len);
  (void)rc; /* there is nobody left to tell */
}

void cox_log(enum cox_log_level level, const char *subsystem, const char *message, ...) {
  if (!cox_log_enabled(level)) return;
  struct line line;
  begin(&line, level, subsystem, message);
  va_list args;
  va_start(args, message);
  for (const char *key = va_arg(args, const char *); key != NULL; key = va_arg(args, const char *)) {
    put_pair(&line, key, va_arg(args, const char *));
  }
  va_end(args);
  end(&line);
}

void cox_log_pairs(enum cox_log_level level, const char *subsystem, const char *message, const char *const *pairs) {
  if (!cox_log_enabled(level)) return;
  struct line line;
  begin(&line, level, subsystem, message);
  for (; *pairs != NULL; pairs += 2) put_pair(&line, pairs[0], pairs[1]);
  end(&line);
}
