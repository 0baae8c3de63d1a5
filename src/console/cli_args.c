/* The options of one call, read by getopt_long from the entry's table. */
#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/cli.h"
#include "console/cli_help.h"
#include "console/suggest.h"

enum { OPTIONS_MAX = 32, LONG_FIRST = 256, HELP = 'h' };

struct cox_cli_given {
  const struct cox_cli_option *option;
  const char *value; /* NULL: a flag */
};

/* The entry's options and the client's in one list, in getopt_long's terms. */
struct table {
  const struct cox_cli_option *options[OPTIONS_MAX];
  size_t count;
  struct option longs[OPTIONS_MAX + 2];
  char shorts[2 * OPTIONS_MAX + 4];
};

static void add_options(struct table *table, const struct cox_cli_option *options) {
  for (; options != NULL && options->name != NULL; options++) {
    assert(table->count < OPTIONS_MAX && options->letter != HELP);
    const int value = LONG_FIRST + (int)table->count;
    const int has_arg = options->arg != NULL ? required_argument : no_argument;
    table->longs[table->count] = (struct option){.name = options->name, .has_arg = has_arg, .val = value};
    table->options[table->count++] = options;
    if (options->letter == '\0') continue;
    const size_t length = strlen(table->shorts);
    snprintf(table->shorts + length, sizeof table->shorts - length, "%c%s", options->letter, options->arg != NULL ? ":" : "");
  }
}

static void fill_table(struct table *table, const struct cox_cli_entry *entry) {
  *table = (struct table){.shorts = ":h"};
  add_options(table, entry->options);
  if (entry->is_client) add_options(table, cox_cli_client_options);
  table->longs[table->count] = (struct option){.name = "help", .has_arg = no_argument, .val = HELP};
}

static const struct cox_cli_option *option_of(const struct table *table, int value) {
  if (value >= LONG_FIRST) return table->options[value - LONG_FIRST];
  for (size_t i = 0; value != 0 && i < table->count; i++) {
    if (table->options[i]->letter == value) return table->options[i];
  }
  return NULL;
}

static int print_help(const char *program, const struct cox_cli_entry *entry) {
  struct cox_buf text = {0};
  cox_cli_help_entry(&text, program, entry);
  fputs(text.data, stdout);
  cox_buf_fini(&text);
  return COX_EXIT_DONE;
}

/* `word` is what was typed ("--jsn=x"). */
static int refuse_unknown(const struct table *table, const char *program, const char *word) {
  char name[64];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
  struct cox_suggestion near = {.word = name};
  for (size_t i = 0; i < table->count; i++) cox_suggest_offer(&near, table->options[i]->name);
  if (near.best == NULL) return cox_cli_misuse(program, "unknown option --%s", name);
  return cox_cli_misuse(program, "unknown option --%s: did you mean --%s?", name, near.best);
}

static int refuse(const struct table *table, int code, const char *program, char **argv) {
  const struct cox_cli_option *const option = option_of(table, optopt);
  if (code == ':') return cox_cli_misuse(program, "option --%s needs a value: --%s %s", option->name, option->name, option->arg);
  if (optopt >= LONG_FIRST || optopt == HELP) {
    return cox_cli_misuse(program, "option --%s takes no value", option != NULL ? option->name : "help");
  }
  if (optopt != 0) return cox_cli_misuse(program, "unknown option -%c", optopt);
  return refuse_unknown(table, program, argv[optind - 1]);
}

static bool read_options(struct cox_cli_args *args, const struct cox_cli_entry *entry, int argc, char **argv, int *exit_code) {
  struct table table;
  fill_table(&table, entry);
  opterr = 0;
  optind = 0; /* glibc: begin anew, whatever an earlier call left */
  for (;;) {
    const int code = getopt_long(argc, argv, table.shorts, table.longs, NULL);
    if (code == -1) return true;
    if (code == HELP || code == ':' || code == '?') {
      *exit_code = code == HELP ? print_help(args->program, entry) : refuse(&table, code, args->program, argv);
      return false;
    }
    const struct cox_cli_option *const option = option_of(&table, code);
    args->given[args->given_count++] = (struct cox_cli_given){.option = option, .value = option->arg != NULL ? optarg : NULL};
  }
}

static bool has_good_count(const struct cox_cli_args *args, const struct cox_cli_entry *entry, int least, int most, int *exit_code) {
  if (args->rest_count < least) {
    *exit_code = cox_cli_misuse(args->program, "an argument is missing: %s %s", args->program, entry->synopsis);
    return false;
  }
  if (most >= 0 && args->rest_count > most) {
    *exit_code = cox_cli_misuse(args->program, "unexpected argument %s: %s %s", args->rest[most], args->program, entry->synopsis);
    return false;
  }
  return true;
}

/* At most one option for each letter that was typed: "-abc" may be three. */
static size_t letters(int argc, char **argv) {
  size_t sum = 1;
  for (int i = 1; i < argc; i++) sum += strlen(argv[i]);
  return sum;
}

bool cox_cli_args_parse(struct cox_cli_args *args, const struct cox_cli_entry *entry, int least, int most, int argc, char **argv,
                        int *exit_code) {
  assert(argc >= 1);
  *args = (struct cox_cli_args){.program = argv[0], .given = calloc(letters(argc, argv), sizeof *args->given)};
  if (args->given == NULL) {
    *exit_code = cox_cli_fail(argv[0], "out of memory");
    return false;
  }
  bool is_good = read_options(args, entry, argc, argv, exit_code);
  if (is_good) {
    args->rest = argv + optind;
    args->rest_count = argc - optind;
    is_good = has_good_count(args, entry, least, most, exit_code);
  }
  if (!is_good) cox_cli_args_fini(args);
  return is_good;
}

void cox_cli_args_fini(struct cox_cli_args *args) {
  free(args->given);
  args->given = NULL;
  args->given_count = 0;
}

bool cox_cli_args_has(const struct cox_cli_args *args, const char *name) {
  for (size_t i = 0; i < args->given_count; i++) {
    if (strcmp(args->given[i].option->name, name) == 0) return true;
  }
  return false;
}

const char *cox_cli_args_value(const struct cox_cli_args *args, const char *name) {
  const char *last = NULL;
  size_t cursor = 0;
  for (const char *value; (value = cox_cli_args_next(args, name, &cursor)) != NULL;) last = value;
  return last;
}

const char *cox_cli_args_next(const struct cox_cli_args *args, const char *name, size_t *cursor) {
  while (*cursor < args->given_count) {
    const struct cox_cli_given *const given = &args->given[(*cursor)++];
    if (strcmp(given->option->name, name) == 0) return given->value;
  }
  return NULL;
}
