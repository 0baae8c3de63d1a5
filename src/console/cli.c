#include "console/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/cli_help.h"
#include "console/suggest.h"
#include "console/text.h"

const struct cox_cli_option cox_cli_client_options[] = {
    {"socket", 0, "PATH", "the daemon's unix socket"},
    {"admin", 0, "URL", "the daemon's admin address, such as http://127.0.0.1:9200"},
    {"config", 'c', "FILE", "the daemon's configuration: its admin address and token are used"},
    {"token-file", 0, "FILE", "a file that holds the bearer token"},
    {"ca", 0, "FILE", "the certificates that vouch for a daemon at https://; default: the system's"},
    {0},
};

static void say(const char *program, const char *format, va_list words) {
  struct cox_buf raw = {0}, clean = {0};
  char text[2048];
  vsnprintf(text, sizeof text, format, words);
  if (cox_buf_addf(&raw, "%s: %s", program, text) && cox_text_clean(&clean, raw.data)) fprintf(stderr, "%s\n", clean.data);
  cox_buf_fini(&raw);
  cox_buf_fini(&clean);
}

int cox_cli_misuse(const char *program, const char *format, ...) {
  va_list words;
  va_start(words, format);
  say(program, format, words);
  va_end(words);
  fprintf(stderr, "`%s --help` tells more.\n", program);
  return COX_EXIT_USAGE;
}

int cox_cli_fail(const char *program, const char *format, ...) {
  va_list words;
  va_start(words, format);
  say(program, format, words);
  va_end(words);
  return COX_EXIT_FAILED;
}

/* One level of the table. */
struct level {
  const char *path; /* "coxswain", "coxswain node" */
  const struct cox_cli_entry *parent, *entries;
  size_t count;
};

static int print_help(const struct level *level, FILE *to) {
  struct cox_buf text = {0};
  cox_cli_help_group(&text, level->path, level->parent, level->entries, level->count);
  fputs(text.data, to);
  cox_buf_fini(&text);
  return to == stdout ? COX_EXIT_DONE : COX_EXIT_USAGE;
}

static const struct cox_cli_entry *find(const struct level *level, const char *name) {
  for (size_t i = 0; i < level->count; i++) {
    if (strcmp(level->entries[i].name, name) == 0) return &level->entries[i];
  }
  return NULL;
}

static int refuse(const struct level *level, const char *word) {
  if (word[0] == '-') return cox_cli_misuse(level->path, "unknown option %s: options stand behind the subcommand", word);
  struct cox_suggestion near = {.word = word};
  for (size_t i = 0; i < level->count; i++) cox_suggest_offer(&near, level->entries[i].name);
  if (near.best == NULL) return cox_cli_misuse(level->path, "unknown subcommand %s", word);
  return cox_cli_misuse(level->path, "unknown subcommand %s: did you mean %s?", word, near.best);
}

static int dispatch(const struct level *level, void *ctx, int argc, char **argv);

/* `argv[0]` is the entry's name; it gets the whole path instead, in a copy: the caller's argv stays as it is. */
static int enter(const struct level *level, const struct cox_cli_entry *entry, void *ctx, int argc, char **argv) {
  struct cox_buf path = {0};
  char **const copy = malloc(((size_t)argc + 1) * sizeof *copy);
  int rc = COX_EXIT_FAILED;
  if (copy == NULL || !cox_buf_addf(&path, "%s %s", level->path, entry->name)) {
    cox_cli_fail(level->path, "out of memory");
    goto out;
  }
  memcpy(copy, argv, (size_t)argc * sizeof *copy);
  copy[argc] = NULL;
  copy[0] = path.data;
  if (entry->children != NULL) {
    const struct level below = {.path = path.data, .parent = entry, .entries = entry->children, .count = entry->child_count};
    rc = dispatch(&below, ctx, argc, copy);
  } else {
    rc = entry->run(ctx, argc, copy);
  }
out:
  cox_buf_fini(&path);
  free(copy);
  return rc;
}

static int help_on(const struct level *level, void *ctx, char *name) {
  const struct cox_cli_entry *const entry = find(level, name);
  char flag[] = "--help";
  char *argv[] = {name, flag, NULL};
  return entry != NULL ? enter(level, entry, ctx, 2, argv) : refuse(level, name);
}

static int dispatch(const struct level *level, void *ctx, int argc, char **argv) {
  if (argc < 2) return print_help(level, stderr);
  const char *const word = argv[1];
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return print_help(level, stdout);
  if (level->parent == NULL && (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)) {
    fputs("coxswain " COX_VERSION "\n", stdout);
    return COX_EXIT_DONE;
  }
  const struct cox_cli_entry *const entry = find(level, word);
  if (entry != NULL) return enter(level, entry, ctx, argc - 1, argv + 1);
  if (strcmp(word, "help") == 0) return argc > 2 ? help_on(level, ctx, argv[2]) : print_help(level, stdout);
  return refuse(level, word);
}

int cox_cli_main(const struct cox_cli_entry *entries, size_t count, void *ctx, int argc, char **argv) {
  const struct level top = {.path = "coxswain", .entries = entries, .count = count};
  const int rc = dispatch(&top, ctx, argc, argv);
  errno = 0;
  if (fflush(stdout) == 0 && !ferror(stdout)) return rc;
  if (errno != EPIPE) cox_cli_fail("coxswain", "writing to standard output failed: %s", errno != 0 ? strerror(errno) : "an earlier write failed");
  return rc == COX_EXIT_DONE ? COX_EXIT_FAILED : rc;
}
