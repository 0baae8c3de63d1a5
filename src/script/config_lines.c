/* A configuration is a program, so only running it tells what its keys hold, and that says nothing about lines. The plain
 * case is a table written out: there a name followed by = is the key. Each part of a path is searched in the braces
 * of the part before it, and counts only when it stands there once.                                                    */
#include "script/config_lines.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct span {
  const char *from, *to;
};

static void blank(char *from, const char *to) {
  for (; from < to; from++) {
    if (*from != '\n') *from = ' ';
  }
}

/* The end of a long bracket [[…]] or [=[…]=] that opens at `at`; NULL: none opens there. */
static char *long_end(char *at) {
  const size_t level = strspn(at + 1, "=");
  if (*at != '[' || at[1 + level] != '[') return NULL;
  for (char *p = strchr(at + level + 2, ']'); p != NULL; p = strchr(p + 1, ']')) {
    if (strspn(p + 1, "=") == level && p[1 + level] == ']') return p + level + 2;
  }
  return at + strlen(at);
}

static char *quoted_end(char *at) {
  char *p = at + 1;
  while (*p != '\0' && *p != '\n' && *p != *at) p += *p == '\\' && p[1] != '\0' ? 2 : 1;
  return *p == *at ? p + 1 : p;
}

static char *comment_end(char *at) {
  char *const end = at[2] == '[' ? long_end(at + 2) : NULL;
  return end != NULL ? end : at + strcspn(at, "\n");
}

void cox_config_lines_init(struct cox_config_lines *lines, const char *source, size_t len) {
  lines->code = strndup(source, len);
  for (char *p = lines->code; p != NULL && *p != '\0';) {
    char *end = NULL;
    if (*p == '-' && p[1] == '-') end = comment_end(p);
    else if (*p == '"' || *p == '\'') end = quoted_end(p);
    else if (*p == '[') end = long_end(p);
    if (end != NULL) blank(p, end);
    p = end != NULL ? end : p + 1;
  }
}

void cox_config_lines_fini(struct cox_config_lines *lines) {
  free(lines->code);
  lines->code = NULL;
}

static bool is_word(char byte) { return isalnum((unsigned char)byte) || byte == '_'; }

/* Behind `name =` at `at`, NULL: something else stands there. */
static const char *after_equals(const char *at, const struct span *span, const char *code, size_t len) {
  if ((at > code && is_word(at[-1])) || is_word(at[len])) return NULL;
  const char *const p = at + len + strspn(at + len, " \t\r\n");
  return p < span->to && *p == '=' && p[1] != '=' ? p + 1 : NULL;
}

/* The one place in `span` where that name is set; NULL: none, or several. `*value` is what follows the = sign. */
static const char *find_key(const struct span *span, const char *code, const char *name, size_t len, const char **value) {
  const char *found = NULL;
  for (const char *p = span->from; (p = memmem(p, (size_t)(span->to - p), name, len)) != NULL; p += len) {
    const char *const after = after_equals(p, span, code, len);
    if (after == NULL) continue;
    if (found != NULL) return NULL;
    found = p;
    *value = after;
  }
  return found;
}

/* What stands between the braces that open at `value`; all of `span` when none do. */
static struct span inside(const char *value, const struct span *span) {
  const char *const open = value + strspn(value, " \t\r\n");
  if (*open != '{') return *span;
  int depth = 0;
  for (const char *p = open; p < span->to; p++) {
    depth += *p == '{' ? 1 : *p == '}' ? -1 : 0;
    if (depth == 0) return (struct span){open + 1, p};
  }
  return *span;
}

int cox_config_lines_find(const struct cox_config_lines *lines, const char *path) {
  if (lines->code == NULL) return 0;
  struct span span = {lines->code, lines->code + strlen(lines->code)};
  const char *found = NULL;
  for (;; path++) {
    const size_t len = strcspn(path, ".");
    const char *value = NULL;
    found = len > 0 ? find_key(&span, lines->code, path, len, &value) : NULL;
    if (found != NULL) span = inside(value, &span);
    path += len;
    if (*path == '\0') break;
  }
  if (found == NULL) return 0;
  int line = 1;
  for (const char *p = lines->code; p < found; p++) line += *p == '\n';
  return line;
}
