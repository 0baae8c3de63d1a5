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

#define NUMBER '\x01' /* stands before a number, which JSON has without quotes */

const char *cox_log_int(int64_t value, struct cox_log_number *buffer) {
  snprintf(buffer->text, sizeof buffer->text, "%c%lld", NUMBER, (long long)value);
  return buffer->text;
}

enum { LINE_MAX_BYTES = 4096, LINE_TAIL = 16 };

/* What does not fit is left out whole, a character or an escape, and so is all that follows: then the line is cut. */
struct line {
  char text[LINE_MAX_BYTES];
  size_t len;
  size_t pair; /* where the last pair began */
  bool is_cut;
  bool is_quoted; /* the end is inside of a value's quotes */
};

static void put(struct line *line, const char *text, size_t count) {
  if (line->is_cut || count > LINE_MAX_BYTES - LINE_TAIL - line->len) {
    line->is_cut = true;
    return;
  }
  memcpy(line->text + line->len, text, count);
  line->len += count;
}

static void put_text(struct line *line, const char *text) { put(line, text, strlen(text)); }

/* Bytes of the character at `text`; 0: it is not UTF-8. */
static size_t char_length(const char *text) {
  const unsigned char first = (unsigned char)*text, second = first != '\0' ? (unsigned char)text[1] : 0;
  const bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool is_none = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90); /* a surrogate, or beyond the last one */
  if (is_overlong || is_none) return 0;
  const size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  for (size_t i = 1; i < length; i++) {
    if (((unsigned char)text[i] & 0xc0) != 0x80) return 0;
  }
  return length;
}

/* The same escapes are right for logfmt and JSON. */
static void put_escaped(struct line *line, const char *text) {
  while (*text != '\0' && !line->is_cut) {
    const unsigned char byte = (unsigned char)*text;
    const size_t length = char_length(text);
    char escape[8];
    if (byte == '"' || byte == '\\') snprintf(escape, sizeof escape, "\\%c", byte);
    else if (byte == '\n') snprintf(escape, sizeof escape, "\\n");
    else if (length == 0) snprintf(escape, sizeof escape, "\\ufffd");
    else if (byte < 0x20 || byte == 0x7f) snprintf(escape, sizeof escape, "\\u%04x", byte);
    else {
      put(line, text, length);
      text += length;
      continue;
    }
    put_text(line, escape);
    text++;
  }
}

/* A cut one is closed with the line. */
static void put_quoted(struct line *line, const char *text) {
  put(line, "\"", 1);
  line->is_quoted = !line->is_cut;
  put_escaped(line, text);
  if (line->is_cut) return;
  put(line, "\"", 1);
  line->is_quoted = line->is_cut;
}

/* NULL: it is none. What others say may begin with that mark, too: only digits go without quotes. */
static const char *number_of(const char *value) {
  const size_t sign = value[0] == NUMBER && value[1] == '-';
  if (value[0] != NUMBER || value[1 + sign] == '\0') return NULL;
  return value[1 + sign + strspn(value + 1 + sign, "0123456789")] == '\0' ? value + 1 : NULL;
}

static void put_json(struct line *line, const char *key, const char *value) {
  const char *const number = number_of(value);
  put_text(line, line->len > 1 ? "," : "");
  put_quoted(line, key);
  line->is_quoted = false; /* a key that is cut takes its pair with it */
  put(line, ":", 1);
  if (number != NULL) put_text(line, number);
  else put_quoted(line, value);
}

static void put_pair(struct line *line, const char *key, const char *value) {
  if (line->is_cut) return;
  if (value == NULL) value = "";
  line->pair = line->len;
  if (use_json) {
    put_json(line, key, value);
    return;
  }
  const char *const number = number_of(value);
  const bool is_plain = number != NULL || (*value != '\0' && strpbrk(value, " =\"\\\n\t\r") == NULL);
  if (line->len > 0) put(line, " ", 1);
  put_text(line, key);
  put(line, "=", 1);
  if (is_plain && number == NULL) put_escaped(line, value);
  else if (number != NULL) put_text(line, number);
  else put_quoted(line, value);
}

static void begin(struct line *line, enum cox_log_level level, const char *subsystem, const char *message) {
  char now[COX_CLOCK_TEXT];
  cox_clock_format(cox_clock_wall_ms(cox_clock_system()), now);
  line->len = line->pair = 0;
  line->is_cut = line->is_quoted = false;
  if (use_json) put(line, "{", 1);
  put_pair(line, "ts", now);
  put_pair(line, "level", level_names[level]);
  put_pair(line, "thread", cox_thread_name());
  put_pair(line, "subsystem", subsystem);
  put_pair(line, "msg", message);
}

/* Whatever is cut, a line of JSON stays one: a value ends early, a pair that was only begun is left out. */
static void end(struct line *line) {
  if (line->is_cut && !line->is_quoted && use_json) line->len = line->pair;
  const char *const mark = line->is_cut && (line->is_quoted || !use_json) ? "…" : "", *const quote = line->is_quoted ? "\"" : "";
  line->len += (size_t)snprintf(line->text + line->len, LINE_TAIL, "%s%s%s\n", mark, quote, use_json ? "}" : "");
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
