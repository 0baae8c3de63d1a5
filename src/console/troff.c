#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "console/manual.h"
#include "console/text.h"

static void add_char(struct cox_buf *out, const char *bytes, size_t len, uint32_t code) {
  if (code == '-') cox_buf_addf(out, "\\-");
  else if (code == '\\') cox_buf_addf(out, "\\e");
  else if (code >= 0x80) cox_buf_addf(out, "\\[u%04X]", (unsigned)code);
  else cox_buf_add(out, bytes, len);
}

void cox_troff_text(struct cox_buf *out, const char *text) {
  bool is_line_start = true;
  while (*text != '\0') {
    const char *const start = text;
    uint32_t code;
    cox_text_next(&text, &code);
    if (is_line_start && (code == '.' || code == '\'')) cox_buf_addf(out, "\\&");
    add_char(out, start, (size_t)(text - start), code);
    is_line_start = code == '\n';
  }
}

void cox_troff_line(struct cox_buf *out, const char *request, const char *text) {
  if (request != NULL) cox_buf_addf(out, "%s ", request);
  cox_troff_text(out, text);
  cox_buf_addf(out, "\n");
}

/* ---- markdown: as much of it as our own pages use ---- */

struct page {
  struct cox_buf *out;
  bool is_code, is_table;
  const char *titles; /* the table's first row */
  size_t titles_len;
};

/* `code` and **bold** are bold, *words* and [words](target) are the words. */
static void add_inline(struct cox_buf *out, const char *text, size_t len) {
  const char *const end = text + len;
  bool is_code = false, is_bold = false;
  while (text < end) {
    const char *const close = *text == '[' && !is_code ? memchr(text, ']', (size_t)(end - text)) : NULL;
    if (*text == '`') {
      is_code = !is_code;
      cox_buf_addf(out, is_code ? "\\fB" : "\\fR");
      text++;
    } else if (!is_code && text + 1 < end && text[0] == '*' && text[1] == '*') {
      is_bold = !is_bold;
      cox_buf_addf(out, is_bold ? "\\fB" : "\\fR");
      text += 2;
    } else if (!is_code && *text == '*') {
      text++;
    } else if (close != NULL && close + 1 < end && close[1] == '(' && memchr(close, ')', (size_t)(end - close)) != NULL) {
      add_inline(out, text + 1, (size_t)(close - text - 1));
      text = (const char *)memchr(close, ')', (size_t)(end - close)) + 1;
    } else {
      const char *const start = text;
      uint32_t code;
      cox_text_next(&text, &code);
      add_char(out, start, (size_t)(text - start), code);
    }
  }
}

/* A line that begins here, whatever it begins with, is no request. */
static void add_words(struct cox_buf *out, const char *text, size_t len) {
  if (len > 0 && strchr(".'[*`", *text) != NULL) cox_buf_addf(out, "\\&"); /* a mark may hide a dot */
  add_inline(out, text, len);
}

/* The next cell of a row, without the spaces around it; false: there is none. Bars inside of code are text. */
static bool next_cell(const char **at, const char *end, const char **cell, size_t *len) {
  bool is_code = false;
  const char *stop = *at, *start = *at;
  while (stop < end && (*stop != '|' || is_code)) is_code ^= *stop++ == '`';
  if (stop == end) return false;
  *at = stop + 1;
  while (start < stop && *start == ' ') start++;
  while (stop > start && stop[-1] == ' ') stop--;
  *cell = start;
  *len = (size_t)(stop - start);
  return true;
}

/* The first cell names, the others say what the titles ask. */
static void add_row(struct page *page, const char *line, size_t len) {
  const char *at = line + 1, *titles = page->titles + 1, *cell, *title;
  size_t cell_len, title_len;
  for (size_t column = 0; next_cell(&at, line + len, &cell, &cell_len); column++) {
    const bool has_title = next_cell(&titles, page->titles + page->titles_len, &title, &title_len) && title_len > 0;
    cox_buf_addf(page->out, column == 0 ? ".TP\n" : column > 1 ? ".br\n" : "");
    if (column > 0 && has_title) {
      add_words(page->out, title, title_len);
      cox_buf_addf(page->out, ": ");
    }
    add_words(page->out, cell, cell_len);
    cox_buf_addf(page->out, "\n");
  }
}

static bool is_ruler(const char *line, size_t len) { return strspn(line, "|-: ") >= len; }

static void add_heading(struct page *page, const char *line, size_t len) {
  size_t depth = 0;
  while (depth < len && line[depth] == '#') depth++;
  if (depth == 1) return; /* the page has a title already */
  cox_buf_addf(page->out, depth == 2 ? ".SH " : ".SS ");
  add_words(page->out, line + depth + 1, len > depth ? len - depth - 1 : 0);
  cox_buf_addf(page->out, "\n");
}

static void add_markdown_line(struct page *page, const char *line, size_t len) {
  struct cox_buf *const out = page->out;
  if (len >= 3 && strncmp(line, "```", 3) == 0) {
    page->is_code = !page->is_code;
    cox_buf_addf(out, page->is_code ? ".PP\n.RS\n.nf\n" : ".fi\n.RE\n.PP\n");
    return;
  }
  if (page->is_code) {
    char code[512];
    snprintf(code, sizeof code, "%.*s", (int)len, line);
    cox_troff_line(out, NULL, code);
    return;
  }
  const bool is_row = line[0] == '|';
  if (page->is_table && !is_row) cox_buf_addf(out, ".PP\n");
  if (is_row && !page->is_table) {
    page->titles = line;
    page->titles_len = len;
  } else if (is_row && !is_ruler(line, len)) {
    add_row(page, line, len);
  }
  page->is_table = is_row;
  if (is_row) return;
  if (line[0] == '#') {
    add_heading(page, line, len);
  } else if (len >= 2 && (strncmp(line, "- ", 2) == 0)) {
    cox_buf_addf(out, ".IP \\(bu 2\n");
    add_words(out, line + 2, len - 2);
    cox_buf_addf(out, "\n");
  } else if (len == 0) {
    cox_buf_addf(out, ".PP\n");
  } else {
    const size_t indent = strspn(line, " ");
    add_words(out, line + indent, len - indent);
    cox_buf_addf(out, "\n");
  }
}

void cox_troff_markdown(struct cox_buf *out, const char *text) {
  struct page page = {.out = out};
  while (*text != '\0') {
    const size_t len = strcspn(text, "\n");
    add_markdown_line(&page, text, len);
    text += len + (text[len] == '\n');
  }
}
