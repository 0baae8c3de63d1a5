/* The command line from one table: dispatch, help, options, and "did you mean". Everything that a user can type is data
 * (names, arguments, words of help), so that completions and manual pages can be made from the same table.              */
#ifndef COX_CONSOLE_CLI_H
#define COX_CONSOLE_CLI_H

#include <stdbool.h>
#include <stddef.h>

enum cox_exit { COX_EXIT_DONE, COX_EXIT_FAILED, COX_EXIT_USAGE, COX_EXIT_NO_DAEMON };

struct cox_cli_option {
  const char *name; /* "config" for --config; NULL ends a list */
  char letter;      /* 'c' for -c; 0: none */
  const char *arg;  /* "FILE"; NULL: it is a flag */
  const char *help; /* one line, no full stop */
};

struct cox_cli_entry {
  const char *name;     /* "show" */
  const char *synopsis; /* what follows the name: "ID [--json]" */
  const char *summary;  /* one line, no full stop */
  /* Gets the ctx of cox_cli_main. argv[0] is the whole name ("coxswain node show"), for messages; what follows is parsed
   * with cox_cli_args_parse, which also serves --help. Returns the exit code. NULL: an entry that only has children.        */
  int (*run)(void *ctx, int argc, char **argv);
  const char *detail;                   /* paragraphs for --help; NULL: none */
  const struct cox_cli_option *options; /* ended by one without a name; NULL: none. -h and --help are understood anyway */
  bool is_client;                       /* takes the options that find the daemon, too */
  const struct cox_cli_entry *children; /* "node" has show, add, …; NULL: none */
  size_t child_count;
};

/* The options of every client subcommand: --socket, --admin, -c, --token-file. */
extern const struct cox_cli_option cox_cli_client_options[];

/* The whole program: finds the entry and runs it. Returns the exit code; a standard output that could not be written
 * (a full disk) is a failure.                                                                                         */
int cox_cli_main(const struct cox_cli_entry *entries, size_t count, void *ctx, int argc, char **argv);

/* ---- the options of one call ---- */

struct cox_cli_args {
  const char *program; /* argv[0] */
  char **rest;         /* what is not an option, in order; ended by NULL; part of argv */
  int rest_count;
  struct cox_cli_given *given; /* owned */
  size_t given_count;
};

/* Reads the options that `entry` has, anywhere between the other arguments. `least` and `most` are the numbers of other
 * arguments (most < 0: any). False: the call ends with `*exit_code`, for help was asked for or the usage is wrong, and that
 * was printed; then there is nothing to end with cox_cli_args_fini.                                                          */
bool cox_cli_args_parse(struct cox_cli_args *args, const struct cox_cli_entry *entry, int least, int most, int argc, char **argv,
                        int *exit_code);
void cox_cli_args_fini(struct cox_cli_args *args);
bool cox_cli_args_has(const struct cox_cli_args *args, const char *name);
/* The value given last, NULL: none. */
const char *cox_cli_args_value(const struct cox_cli_args *args, const char *name);
/* All values of an option that may be repeated, in order: start with *cursor 0; NULL: no more. */
const char *cox_cli_args_next(const struct cox_cli_args *args, const char *name, size_t *cursor);
/* "PROGRAM: message" and where help is, on stderr. Returns COX_EXIT_USAGE. */
int cox_cli_misuse(const char *program, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "PROGRAM: message" on stderr, cleaned of control characters. Returns COX_EXIT_FAILED. */
int cox_cli_fail(const char *program, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
