#include "console/control_verbs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "console/commands_view.h"
#include "console/control_ask.h"
#include "console/explain.h"
#include "console/node_view.h"
#include "console/pairs.h"
#include "console/scripts_view.h"
#include "console/suggest.h"
#include "console/table.h"
#include "console/text.h"
#include "console/trace.h"

enum { WORDS_MAX = 32, WORD_MAX = 512, TRACE_MS = 100, MATCHES_MAX = 200, HELP_COLUMN = 26 };

struct words {
  char *list[WORDS_MAX]; /* inside of `text`; the first one is the verb */
  int count;
  char *text; /* owned */
};

enum argument { NOTHING, NODE, COMMAND, FOLDER };

struct verb {
  const char *name, *synopsis, *help;
  enum argument argument; /* what its first argument names, for completion */
  int least, most;        /* arguments */
  enum cox_verb_outcome (*run)(const struct cox_verb_call *call, const struct words *words);
};

static enum cox_verb_outcome run_help(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_nodes(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_why(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_trace(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_commands(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_command(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_plan(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_reload(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_rollback(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_scripts(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_watch(const struct cox_verb_call *call, const struct words *words);
static enum cox_verb_outcome run_quit(const struct cox_verb_call *call, const struct words *words);

static const struct verb verbs[] = {
    {"help", "[NAME]", "What there is, or one thing in detail", COMMAND, 0, 1, run_help},
    {"nodes", "", "The fleet as a table", NOTHING, 0, 0, run_nodes},
    {"why", "NODE", "Explains one node: target, reason, attempts, what comes next", NODE, 1, 1, run_why},
    {"trace", "NODE", "Follows the attempts of one node until Ctrl-C", NODE, 1, 1, run_trace},
    {"watch", "", "The fleet, drawn anew each second until Ctrl-C", NOTHING, 0, 0, run_watch},
    {"commands", "", "The commands of the broker", NOTHING, 0, 0, run_commands},
    {"command", "NAME [key=value…]", "Sends a command and shows its answer", COMMAND, 1, WORDS_MAX, run_command},
    {"scripts", "", "The live scripts: where each file came from and what it shadows", NOTHING, 0, 0, run_scripts},
    {"plan", "[DIR]", "What the changed scripts, or those in DIR, would change; nothing is done", FOLDER, 0, 1, run_plan},
    {"reload", "", "Loads the scripts anew; broken ones are refused with their faults", NOTHING, 0, 0, run_reload},
    {"rollback", "", "Goes back to the scripts before", NOTHING, 0, 0, run_rollback},
    {"quit", "", "Leaves the console", NOTHING, 0, 0, run_quit},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

/* ---- reading a line ---- */

static bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }

/* Words are separated by blanks; quotes hold one together and are left out, but inside of a word (a='b c', a="b c") only single
 * ones: a value in double quotes is a text to cox_pairs_value. False: too many words, or a quote that does not end.             */
static bool split(const char *line, struct words *words) {
  char *to = words->text = malloc(strlen(line) + 1);
  if (to == NULL) return false;
  for (words->count = 0;;) {
    while (is_blank(*line)) line++;
    if (*line == '\0') return true;
    if (words->count == WORDS_MAX) return false;
    char *const start = words->list[words->count++] = to;
    *to = '\0'; /* it is looked through while it grows */
    char quote = '\0';
    for (; *line != '\0' && (quote != '\0' || !is_blank(*line)); line++) {
      const bool is_dropped = *line == '\'' || (*line == '"' && (to == start || quote == '"') && strchr(start, '=') == NULL);
      if (*line == '\'' || *line == '"') quote = quote == '\0' ? *line : quote == *line ? '\0' : quote;
      *to = *line;
      to[1] = '\0';
      if (!is_dropped) to++;
      *to = is_dropped ? '\0' : *to;
    }
    if (quote != '\0') return false;
    *to++ = '\0';
  }
}

static const struct verb *find_verb(const char *name, size_t len) {
  for (size_t i = 0; i < VERBS; i++) {
    if (strlen(verbs[i].name) == len && strncmp(verbs[i].name, name, len) == 0) return &verbs[i];
  }
  return NULL;
}

/* A word and then the end, or a blank and something that no operator begins: nothing of the kind is Lua. But "plan /a/b" divides
 * nothing.                                                                                                                      */
static const struct verb *verb_of(const char *line) {
  while (is_blank(*line)) line++;
  size_t len = 0;
  while (isalpha((unsigned char)line[len])) len++;
  const char *rest = line + len;
  if (*rest != '\0' && !is_blank(*rest)) return NULL;
  while (is_blank(*rest)) rest++;
  const struct verb *const verb = find_verb(line, len);
  if (verb != NULL && verb->argument == FOLDER && *rest == '/' && !is_blank(rest[1])) return verb;
  return *rest == '\0' || strchr("=([{.:,;+-*/%^<>~&|#)]}", *rest) == NULL ? verb : NULL;
}

static enum cox_verb_outcome misuse(const struct cox_verb_call *call, const struct verb *verb) {
  cox_buf_addf(call->out, "usage: %s %s", verb->name, verb->synopsis);
  return COX_VERB_FAILED;
}

static _Thread_local char help_word[WORD_MAX];

enum cox_verb_outcome cox_verbs_run(const struct cox_verb_call *call, const char *line, const char **about) {
  const struct verb *const verb = verb_of(line);
  struct words words = {0};
  if (verb == NULL) return COX_VERB_NONE;
  const bool is_good = split(line, &words) && words.count - 1 >= verb->least && words.count - 1 <= verb->most;
  const enum cox_verb_outcome outcome = is_good ? verb->run(call, &words) : misuse(call, verb);
  free(words.text);
  *about = help_word;
  return outcome;
}

/* ---- help ---- */

static void add_verb(struct cox_buf *out, const struct verb *verb) {
  char left[64];
  snprintf(left, sizeof left, "%s %s", verb->name, verb->synopsis);
  cox_buf_addf(out, "  %s", left);
  cox_text_pad(out, HELP_COLUMN - cox_text_width(left));
  cox_buf_addf(out, "%s\n", verb->help);
}

void cox_verbs_help(struct cox_buf *out) {
  cox_buf_addf(out, "A line is one of these, or Lua:\n");
  for (size_t i = 0; i < VERBS; i++) add_verb(out, &verbs[i]);
  cox_buf_addf(out, "\n");
}

static enum cox_verb_outcome run_help(const struct cox_verb_call *call, const struct words *words) {
  const char *const about = words->count > 1 ? words->list[1] : "";
  for (size_t i = 0; i < VERBS; i++) {
    if (strcmp(verbs[i].name, about) != 0) continue;
    cox_buf_addf(call->out, "%s %s\n  %s.", verbs[i].name, verbs[i].synopsis, verbs[i].help);
    return COX_VERB_DONE;
  }
  snprintf(help_word, sizeof help_word, "%.*s", (int)strspn(about, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"), about);
  return COX_VERB_HELP;
}

static enum cox_verb_outcome run_quit(const struct cox_verb_call *call, const struct words *words) {
  (void)call;
  (void)words;
  return COX_VERB_QUIT;
}

/* The client draws it; it never sends this line. */
static enum cox_verb_outcome run_watch(const struct cox_verb_call *call, const struct words *words) {
  (void)words;
  cox_buf_addf(call->out, "watch needs a terminal of its own: use it in `coxswain repl`, or `coxswain nodes --watch`");
  return COX_VERB_FAILED;
}

/* ---- nodes ---- */

static struct cox_term term_of(const struct cox_verb_call *call) {
  return (struct cox_term){.is_terminal = call->width > 0, .has_colour = call->has_colour, .width = call->width > 0 ? call->width : 0};
}

static int64_t now_ms(void) { return cox_clock_wall_ms(cox_clock_system()); }

static void drop_last_newline(struct cox_buf *out) {
  if (out->len > 0 && out->data[out->len - 1] == '\n') out->data[--out->len] = '\0';
}

static enum cox_verb_outcome run_nodes(const struct cox_verb_call *call, const struct words *words) {
  (void)words;
  const struct cox_term term = term_of(call);
  json_t *const nodes = cox_broker_nodes_json(call->broker);
  struct cox_table *const table = cox_table_create(cox_node_columns, COX_NODE_COLUMNS);
  const bool is_good = table != NULL;
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct cox_node_view view;
    cox_node_view_read(object, &view);
    if (is_good) cox_node_view_add_row(&view, now_ms(), table);
  }
  if (!is_good) cox_buf_addf(call->out, "out of memory");
  else if (i == 0) cox_buf_addf(call->out, "no nodes: add one with `coxswain node add -f node-config.json`");
  else cox_table_render(table, &term, call->out);
  drop_last_newline(call->out);
  cox_table_destroy(table);
  json_decref(nodes);
  return is_good ? COX_VERB_DONE : COX_VERB_FAILED;
}

static enum cox_verb_outcome refuse_node(const struct cox_verb_call *call, const char *id) {
  json_t *const ids = cox_broker_ids_json(call->broker);
  struct cox_suggestion near = {.word = id};
  size_t i;
  json_t *known;
  json_array_foreach(ids, i, known) cox_suggest_offer(&near, json_string_value(known));
  cox_buf_addf(call->out, "there is no node ");
  cox_text_clean(call->out, id);
  if (near.best != NULL) cox_buf_addf(call->out, ": did you mean %s?", near.best);
  else cox_buf_addf(call->out, ": `nodes` lists them");
  json_decref(ids);
  return COX_VERB_FAILED;
}

static enum cox_verb_outcome run_why(const struct cox_verb_call *call, const struct words *words) {
  const struct cox_term term = term_of(call);
  json_t *const object = cox_broker_node_json(call->broker, words->list[1]);
  if (object == NULL) return refuse_node(call, words->list[1]);
  cox_explain_node(object, now_ms(), &term, call->out);
  drop_last_newline(call->out);
  json_decref(object);
  return COX_VERB_DONE;
}

static enum cox_verb_outcome run_trace(const struct cox_verb_call *call, const struct words *words) {
  struct cox_trace trace = {0};
  do {
    json_t *const object = cox_broker_node_json(call->broker, words->list[1]);
    if (object == NULL && !trace.has_seen) return refuse_node(call, words->list[1]);
    cox_trace_look(&trace, object, now_ms(), call->out);
    if (call->out->len > 0) call->send(call->arg, call->out);
    json_decref(object);
    if (object == NULL) return COX_VERB_DONE;
  } while (call->pause(call->arg, TRACE_MS));
  return COX_VERB_DONE;
}

/* ---- commands ---- */

static enum cox_verb_outcome run_commands(const struct cox_verb_call *call, const struct words *words) {
  (void)words;
  const struct cox_term term = term_of(call);
  json_t *const list = call->commands(call->commands_ctx);
  const bool is_good = cox_commands_view(list, &term, call->out);
  if (!is_good) cox_buf_addf(call->out, "out of memory");
  drop_last_newline(call->out);
  json_decref(list);
  return is_good ? COX_VERB_DONE : COX_VERB_FAILED;
}

static enum cox_verb_outcome show_answer(const struct cox_verb_call *call, const struct cox_answer *answer) {
  if (answer->outcome == COX_ANSWER_ERROR) {
    cox_text_clean(call->out, answer->err.text);
    return COX_VERB_FAILED;
  }
  if (answer->outcome == COX_ANSWER_SKIPPED) {
    cox_buf_addf(call->out, "skipped: ");
    cox_text_clean(call->out, answer->reason);
    return COX_VERB_DONE;
  }
  char *const text = answer->result != NULL ? json_dumps(answer->result, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
  cox_buf_addf(call->out, "%s", text != NULL ? text : "done");
  free(text);
  return COX_VERB_DONE;
}

/* The API's words for it name a route. True: there is no such command, and that was said. */
static bool refuse_command(const struct cox_verb_call *call, const char *name) {
  json_t *const list = call->commands(call->commands_ctx);
  struct cox_suggestion near = {.word = name};
  bool is_known = json_array_size(list) == 0; /* they are not known here */
  size_t i;
  json_t *command;
  json_array_foreach(list, i, command) {
    cox_suggest_offer(&near, cox_node_view_text(command, "name"));
    is_known = is_known || strcmp(cox_node_view_text(command, "name"), name) == 0;
  }
  if (!is_known) {
    cox_buf_addf(call->out, "there is no command ");
    cox_text_clean(call->out, name);
    if (near.best != NULL) cox_buf_addf(call->out, ": did you mean %s?", near.best);
    else cox_buf_addf(call->out, ": `commands` lists them");
  }
  json_decref(list);
  return !is_known;
}

static enum cox_verb_outcome run_command(const struct cox_verb_call *call, const struct words *words) {
  struct cox_err err = {0};
  struct cox_answer answer;
  if (refuse_command(call, words->list[1])) return COX_VERB_FAILED;
  json_t *const args = cox_pairs_object(NULL, (char *const *)&words->list[2], words->count - 2, &err);
  enum cox_verb_outcome outcome = COX_VERB_FAILED;
  if (args != NULL && cox_ask_command(call, words->list[1], args, &answer, &err) == 0) {
    outcome = show_answer(call, &answer);
    cox_answer_fini(&answer);
  } else {
    cox_text_clean(call->out, err.text);
  }
  json_decref(args);
  return outcome;
}

void cox_verb_caller(const struct cox_console_caller *caller, char out[64]) { snprintf(out, 64, "console %.50s", caller->name); }

/* ---- scripts ---- */

static enum cox_verb_outcome show_outcome(const struct cox_verb_call *call, const struct cox_scripts_outcome *outcome,
                                          void (*view)(const json_t *result, const struct cox_term *term, struct cox_buf *out)) {
  const struct cox_term term = term_of(call);
  const bool is_good = outcome->status == COX_SCRIPTS_DONE || outcome->status == COX_SCRIPTS_UNCHANGED;
  if (is_good) view(outcome->result, &term, call->out);
  if (outcome->status == COX_SCRIPTS_REFUSED) cox_scripts_view_faults(outcome->result, call->out);
  if (!is_good) cox_text_clean(call->out, outcome->err.text);
  drop_last_newline(call->out);
  return is_good ? COX_VERB_DONE : COX_VERB_FAILED;
}

static enum cox_verb_outcome ask_scripts(const struct cox_verb_call *call, enum cox_asked what, const char *dir,
                                         void (*view)(const json_t *result, const struct cox_term *term, struct cox_buf *out)) {
  struct cox_scripts_outcome outcome;
  struct cox_err err = {0};
  if (cox_ask_scripts(call, what, dir, &outcome, &err) != 0) {
    cox_text_clean(call->out, err.text);
    return COX_VERB_FAILED;
  }
  const enum cox_verb_outcome shown = show_outcome(call, &outcome, view);
  json_decref(outcome.result);
  return shown;
}

static enum cox_verb_outcome run_reload(const struct cox_verb_call *call, const struct words *words) {
  (void)words;
  return ask_scripts(call, COX_ASKED_RELOAD, NULL, cox_scripts_view_loaded);
}

static enum cox_verb_outcome run_rollback(const struct cox_verb_call *call, const struct words *words) {
  (void)words;
  return ask_scripts(call, COX_ASKED_ROLLBACK, NULL, cox_scripts_view_loaded);
}

/* The daemon does not know where its client stands. */
static enum cox_verb_outcome run_plan(const struct cox_verb_call *call, const struct words *words) {
  const char *const dir = words->count > 1 ? words->list[1] : NULL;
  if (dir == NULL || *dir == '/') return ask_scripts(call, COX_ASKED_PLAN, dir, cox_scripts_view_plan);
  cox_buf_addf(call->out, "plan needs an absolute path here: `coxswain plan --scripts DIR` takes any");
  return COX_VERB_FAILED;
}

static enum cox_verb_outcome run_scripts(const struct cox_verb_call *call, const struct words *words) {
  (void)words;
  const struct cox_term term = term_of(call);
  if (call->scripts == NULL) {
    cox_buf_addf(call->out, "this daemon does not load scripts while it runs");
    return COX_VERB_FAILED;
  }
  json_t *const shown = call->scripts->show(call->scripts->ctx);
  cox_scripts_view_show(shown, now_ms(), &term, call->out);
  drop_last_newline(call->out);
  json_decref(shown);
  return COX_VERB_DONE;
}

/* ---- completion ---- */

static void add_matches(json_t *words, json_t *known, const char *key, const char *beginning) {
  size_t i;
  json_t *item;
  json_array_foreach(known, i, item) {
    const char *const word = json_string_value(key != NULL ? json_object_get(item, key) : item);
    if (word == NULL || strncmp(word, beginning, strlen(beginning)) != 0) continue;
    if (json_array_size(words) < MATCHES_MAX) json_array_append_new(words, json_string(word));
  }
}

json_t *cox_verbs_complete(struct cox_broker *broker, const struct cox_console *console, const char *line) {
  const struct verb *const verb = verb_of(line);
  const char *at = line;
  while (is_blank(*at)) at++;
  while (isalpha((unsigned char)*at)) at++;
  if (verb == NULL || *at == '\0') return NULL;
  while (is_blank(*at)) at++;
  json_t *const words = json_array();
  if (strpbrk(at, " \t") == NULL) { /* the first argument */
    json_t *const known = verb->argument == NODE ? cox_broker_ids_json(broker) : verb->argument == COMMAND ? console->commands(console->ctx) : NULL;
    add_matches(words, known, verb->argument == NODE ? NULL : "name", at);
    json_decref(known);
  }
  return json_pack("{si, so}", "start", (int)(at - line), "words", words);
}

static int compare_texts(const void *left, const void *right) {
  return strcmp(json_string_value(*(json_t *const *)left), json_string_value(*(json_t *const *)right));
}

/* Sorted, each once. */
static void tidy(json_t *words) {
  json_t *sorted[MATCHES_MAX + VERBS];
  const size_t all = json_array_size(words), count = all < MATCHES_MAX + VERBS ? all : MATCHES_MAX + VERBS;
  for (size_t i = 0; i < count; i++) sorted[i] = json_incref(json_array_get(words, i));
  qsort(sorted, count, sizeof *sorted, compare_texts);
  json_array_clear(words);
  for (size_t i = 0; i < count; i++) {
    const bool is_again = i > 0 && json_equal(sorted[i - 1], sorted[i]) != 0;
    if (!is_again) json_array_append(words, sorted[i]);
  }
  for (size_t i = 0; i < count; i++) json_decref(sorted[i]);
}

void cox_verbs_add_words(const char *line, json_t *found) {
  const char *at = line;
  while (is_blank(*at)) at++;
  json_t *const words = json_object_get(found, "words");
  for (const char *rest = at; *rest != '\0'; rest++) {
    if (!isalpha((unsigned char)*rest)) return;
  }
  for (size_t i = 0; i < VERBS; i++) {
    if (strncmp(verbs[i].name, at, strlen(at)) == 0) json_array_append_new(words, json_string(verbs[i].name));
  }
  tidy(words);
}
