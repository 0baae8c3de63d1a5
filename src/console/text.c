#include "console/text.h"

#include <assert.h>
#include <string.h>

#define ELLIPSIS "…"

/* Length of a sequence by its first byte, 0: none begins so. */
static int sequence_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

bool cox_text_next(const char **at, uint32_t *code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *const bytes = (const unsigned char *)*at;
  const int length = sequence_length(bytes[0]);
  uint32_t value = length <= 1 ? bytes[0] : bytes[0] & (0xFFu >> (length + 1));
  for (int i = 1; i < length; i++) {
    if ((bytes[i] & 0xC0) != 0x80) goto wrong; /* the NUL at the end, too */
    value = value << 6 | (bytes[i] & 0x3F);
  }
  if (length == 0 || value < least[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) goto wrong;
  *code = value;
  *at += length;
  return true;
wrong:
  *code = bytes[0];
  *at += 1;
  return false;
}

int cox_text_width(const char *text) {
  int width = 0;
  while (*text != '\0') {
    uint32_t code;
    width += cox_text_next(&text, &code) ? cox_text_char_width(code) : 1;
  }
  return width;
}

bool cox_text_is_harmful(uint32_t code) {
  if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return true;
  if (code == 0x2028 || code == 0x2029 || code == 0xFEFF) return true;
  return code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

static bool add_escaped(struct cox_buf *out, uint32_t code) {
  switch (code) {
    case '\n': return cox_buf_add(out, "\\n", 2);
    case '\r': return cox_buf_add(out, "\\r", 2);
    case '\t': return cox_buf_add(out, "\\t", 2);
    default: return code < 0x80 ? cox_buf_addf(out, "\\x%02x", (unsigned)code) : cox_buf_addf(out, "\\u%04x", (unsigned)code);
  }
}

bool cox_text_clean(struct cox_buf *out, const char *text) {
  bool is_good = cox_buf_add(out, "", 0);
  while (text != NULL && *text != '\0') {
    const char *const start = text;
    uint32_t code;
    if (!cox_text_next(&text, &code)) is_good = cox_buf_addf(out, "\\x%02x", (unsigned)code) && is_good;
    else if (cox_text_is_harmful(code)) is_good = add_escaped(out, code) && is_good;
    else is_good = cox_buf_add(out, start, (size_t)(text - start)) && is_good;
  }
  return is_good;
}

/* Bytes of the longest beginning of `text` that takes at most `columns`; what follows without a width belongs to it. */
static size_t fitting(const char *text, int columns, int *taken) {
  const char *at = text;
  *taken = 0;
  while (*at != '\0') {
    const char *next = at;
    uint32_t code;
    const int width = cox_text_next(&next, &code) ? cox_text_char_width(code) : 1;
    if (*taken + width > columns) break;
    *taken += width;
    at = next;
  }
  return (size_t)(at - text);
}

int cox_text_cut(struct cox_buf *out, const char *text, int columns) {
  if (columns <= 0) return 0;
  int taken;
  const size_t whole = fitting(text, columns, &taken);
  if (text[whole] == '\0') {
    cox_buf_add(out, text, whole);
    return taken;
  }
  cox_buf_add(out, text, fitting(text, columns - 1, &taken));
  cox_buf_add(out, ELLIPSIS, sizeof ELLIPSIS - 1);
  return taken + 1;
}

void cox_text_pad(struct cox_buf *out, int columns) {
  if (columns > 0) cox_buf_addf(out, "%*s", columns, "");
}

/* Bytes of the next line: to the last space that fits, or as much as fits when there is none. */
static size_t line_length(const char *text, int columns) {
  int taken;
  const size_t fits = fitting(text, columns, &taken);
  if (text[fits] == '\0' || text[fits] == ' ') return fits;
  for (size_t i = fits; i > 0; i--) {
    if (text[i - 1] == ' ') return i - 1;
  }
  if (fits > 0) return fits;
  uint32_t code; /* a wide character on a line of one column: it must go somewhere */
  const char *next = text;
  cox_text_next(&next, &code);
  return (size_t)(next - text);
}

void cox_text_wrap(struct cox_buf *out, const char *text, int indent, int width) {
  assert(indent >= 0);
  if (width == 0) {
    cox_buf_add(out, text, strlen(text));
    return;
  }
  const int columns = width - indent >= 1 ? width - indent : 1;
  for (bool is_first = true; *text != '\0'; is_first = false) {
    if (!is_first) cox_buf_addf(out, "\n%*s", indent, "");
    const size_t length = line_length(text, columns);
    cox_buf_add(out, text, length);
    text += length;
    while (*text == ' ') text++;
  }
}
