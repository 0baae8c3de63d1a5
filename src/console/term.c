#include "console/term.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 80, HEIGHT_DEFAULT = 24, SIZE_MAX_CELLS = 4096 };

static const char *const codes[COX_STYLE_COUNT] = {"", "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[1m"};

static int size_of(unsigned short told, const char *variable, int fallback) {
  const char *const text = getenv(variable);
  const long said = told == 0 && text != NULL ? strtol(text, NULL, 10) : told;
  return said >= 1 && said <= SIZE_MAX_CELLS ? (int)said : fallback;
}

static bool is_set(const char *variable) {
  const char *const value = getenv(variable);
  return value != NULL && *value != '\0';
}

void cox_term_look(int fd, struct cox_term *out) {
  *out = (struct cox_term){0};
  const char *const kind = getenv("TERM");
  struct winsize size = {0};
  if (!isatty(fd)) return;
  (void)ioctl(fd, TIOCGWINSZ, &size); /* a terminal that does not know leaves it at 0 */
  out->width = size_of(size.ws_col, "COLUMNS", WIDTH_DEFAULT);
  if (kind != NULL && strcmp(kind, "dumb") == 0) return;
  out->is_terminal = true;
  out->height = size_of(size.ws_row, "LINES", HEIGHT_DEFAULT);
  out->has_colour = !is_set("NO_COLOR");
}

void cox_term_begin(const struct cox_term *term, enum cox_style style, struct cox_buf *out) {
  assert(style < COX_STYLE_COUNT);
  if (term->has_colour) cox_buf_add(out, codes[style], strlen(codes[style]));
}

void cox_term_end(const struct cox_term *term, enum cox_style style, struct cox_buf *out) {
  if (term->has_colour && style != COX_STYLE_PLAIN) cox_buf_add(out, "\x1b[0m", 4);
}

bool cox_term_write(int fd, const struct cox_buf *text) {
  for (size_t done = 0; done < text->len;) {
    const ssize_t count = write(fd, text->data + done, text->len - done);
    if (count >= 0) {
      done += (size_t)count;
    } else if (errno == EAGAIN) {
      struct pollfd ready = {.fd = fd, .events = POLLOUT};
      if (poll(&ready, 1, -1) < 0 && errno != EINTR) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}
