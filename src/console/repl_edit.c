#include "console/repl_edit.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buf.h"
#include "console/text.h"

enum { HISTORY_LINES = 1000, LIST_WIDTH = 80 };

struct cox_repl_edit {
  EditLine *native;
  History *history;
  char *history_path;
  const char *prompt;
  struct cox_buf line;
  bool is_continued, is_abandoned;
  cox_repl_complete_fn *complete;
  void *arg;
};

static struct cox_repl_edit *edit_of(EditLine *native) {
  struct cox_repl_edit *edit = NULL;
  el_get(native, EL_CLIENTDATA, (void **)&edit);
  return edit;
}

static char *prompt_of(EditLine *native) { return (char *)(uintptr_t)edit_of(native)->prompt; }

/* Ctrl-C: the line goes, the prompt comes again. */
static unsigned char abandon(EditLine *native, int key) {
  (void)key;
  edit_of(native)->is_abandoned = true;
  return CC_NEWLINE;
}

/* ---- Tab ---- */

static int characters(const char *text, size_t len) {
  int count = 0;
  for (const char *at = text; at < text + len; count++) {
    uint32_t code;
    cox_text_next(&at, &code);
  }
  return count;
}

/* Bytes that all words begin with, in whole characters. */
static size_t common(const json_t *words) {
  const char *const first = json_string_value(json_array_get(words, 0));
  size_t len = strlen(first);
  for (size_t i = 1; i < json_array_size(words); i++) {
    const char *const word = json_string_value(json_array_get(words, i));
    size_t same = 0;
    while (same < len && word[same] == first[same]) same++;
    len = same;
  }
  while (len > 0 && ((unsigned char)first[len] & 0xC0) == 0x80) len--;
  return len;
}

static void list_words(const json_t *words) {
  int widest = 1;
  for (size_t i = 0; i < json_array_size(words); i++) {
    const int width = cox_text_width(json_string_value(json_array_get(words, i)));
    if (width > widest) widest = width;
  }
  const size_t per_line = widest + 2 < LIST_WIDTH ? (size_t)(LIST_WIDTH / (widest + 2)) : 1;
  fputc('\n', stdout);
  for (size_t i = 0; i < json_array_size(words); i++) {
    const char *const word = json_string_value(json_array_get(words, i));
    const bool ends_line = (i + 1) % per_line == 0 || i + 1 == json_array_size(words);
    fprintf(stdout, "%s%*s", word, ends_line ? 0 : widest + 2 - cox_text_width(word), "");
    if (ends_line) fputc('\n', stdout);
  }
  fflush(stdout);
}

/* Puts in what is certain; shows the choice where that is nothing. `before` is the line up to the cursor. */
static unsigned char put_in(EditLine *native, const char *before, const json_t *found) {
  const json_t *const words = json_object_get(found, "words");
  const size_t start = (size_t)json_integer_value(json_object_get(found, "start")), len = strlen(before);
  if (json_array_size(words) == 0 || start > len) return CC_REFRESH_BEEP;
  char *const text = strndup(json_string_value(json_array_get(words, 0)), common(words));
  const size_t typed = len - start;
  const bool is_new = text != NULL && strlen(text) > 0 && (strlen(text) != typed || strncmp(text, before + start, typed) != 0);
  unsigned char result = CC_REFRESH;
  /* A longer beginning only: what was typed is never shortened. */
  if (is_new && (json_array_size(words) == 1 || strlen(text) >= typed)) {
    if (typed > 0) el_deletestr(native, characters(before + start, typed));
    el_insertstr(native, text);
  } else if (json_array_size(words) > 1) {
    list_words(words);
    result = CC_REDISPLAY;
  }
  free(text);
  return result;
}

static unsigned char complete(EditLine *native, int key) {
  (void)key;
  struct cox_repl_edit *const edit = edit_of(native);
  const LineInfo *const info = el_line(native);
  char *const before = strndup(info->buffer, (size_t)(info->cursor - info->buffer));
  unsigned char result = CC_ERROR;
  if (before != NULL && edit->is_continued && strspn(before, " \t") == strlen(before)) {
    el_insertstr(native, "  ");
    result = CC_REFRESH;
  } else if (before != NULL) {
    json_t *const found = edit->complete(edit->arg, before);
    if (found != NULL) result = put_in(native, before, found);
    json_decref(found);
  }
  free(before);
  return result;
}

/* ---- history ---- */

static void load_history(struct cox_repl_edit *edit, const char *path) {
  HistEvent event;
  edit->history = history_init();
  if (edit->history == NULL) return;
  history(edit->history, &event, H_SETSIZE, HISTORY_LINES);
  history(edit->history, &event, H_SETUNIQUE, 1);
  el_set(edit->native, EL_HIST, history, edit->history);
  edit->history_path = path != NULL ? strdup(path) : NULL;
  if (edit->history_path != NULL) history(edit->history, &event, H_LOAD, edit->history_path);
}

static void save_history(struct cox_repl_edit *edit) {
  HistEvent event;
  if (edit->history == NULL) return;
  const mode_t before = umask(0077); /* lines may hold secrets */
  if (edit->history_path != NULL) history(edit->history, &event, H_SAVE, edit->history_path);
  umask(before);
  history_end(edit->history);
}

/* ---- lines ---- */

/* Words in other alphabets need a locale that knows UTF-8; the plain C one would show them as numbers. */
static void use_utf8(void) {
  if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

struct cox_repl_edit *cox_repl_edit_create(const char *history_path, cox_repl_complete_fn *complete_fn, void *arg) {
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return NULL;
  struct cox_repl_edit *const edit = calloc(1, sizeof *edit);
  if (edit == NULL) return NULL;
  use_utf8();
  edit->complete = complete_fn;
  edit->arg = arg;
  edit->prompt = "";
  edit->native = el_init("coxswain", stdin, stdout, stderr);
  if (edit->native == NULL) {
    free(edit);
    return NULL;
  }
  el_set(edit->native, EL_CLIENTDATA, edit);
  el_set(edit->native, EL_PROMPT, prompt_of);
  el_set(edit->native, EL_EDITOR, "emacs");
  load_history(edit, history_path);
  /* By the wide call: the other one keeps copies of its texts for ever. */
  el_wset(edit->native, EL_ADDFN, L"coxswain-complete", L"Ask the daemon what may follow", complete);
  el_wset(edit->native, EL_ADDFN, L"coxswain-abandon", L"Give the line up", abandon);
  el_set(edit->native, EL_BIND, "^I", "coxswain-complete", NULL);
  el_set(edit->native, EL_BIND, "^R", "em-inc-search-prev", NULL);
  el_source(edit->native, NULL);
  el_set(edit->native, EL_SETTY, "-d", "-isig", NULL); /* while a line is edited, Ctrl-C is a key */
  el_set(edit->native, EL_BIND, "^C", "coxswain-abandon", NULL);
  /* Between two lines the terminal reads lines: a Ctrl-D typed then would be its end of file, which is lost when the editing begins. */
  el_set(edit->native, EL_SETTY, "-x", "eof=", NULL);
  return edit;
}

void cox_repl_edit_destroy(struct cox_repl_edit *edit) {
  if (edit == NULL) return;
  save_history(edit);
  el_end(edit->native);
  cox_buf_fini(&edit->line);
  free(edit->history_path);
  free(edit);
}

const char *cox_repl_edit_read(struct cox_repl_edit *edit, const char *prompt, bool is_continued, bool *is_abandoned) {
  int count = 0;
  HistEvent event;
  edit->prompt = prompt;
  edit->is_continued = is_continued;
  edit->is_abandoned = false;
  el_resize(edit->native);
  const char *const text = el_gets(edit->native, &count);
  *is_abandoned = edit->is_abandoned;
  cox_buf_clear(&edit->line);
  if (edit->is_abandoned) {
    fputs("^C\n", stdout);
    return "";
  }
  if (text == NULL || count <= 0) return NULL;
  if (!cox_buf_add(&edit->line, text, strcspn(text, "\n"))) return NULL;
  const bool is_blank = strspn(edit->line.data, " \t") == edit->line.len;
  if (!is_blank && edit->history != NULL) history(edit->history, &event, H_ENTER, edit->line.data);
  return edit->line.data;
}
