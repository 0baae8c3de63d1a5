/* `coxswain restore`: puts a copy of the store in its place, without a daemon. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/sqlite.h"
#include "subcommands.h"

static int restore(const char *program, const char *copy, const char *store) {
  char kept[PATH_MAX];
  struct cox_err err = {0};
  if (store == NULL || strcmp(store, ":memory:") == 0) return cox_cli_fail(program, "the configuration keeps no store in a file: name one with --to FILE");
  if (cox_sqlite_restore(copy, store, kept, &err) != 0) return cox_cli_fail(program, "%s; nothing was changed", err.text);
  printf("%s is what %s holds now\n", store, copy);
  if (kept[0] != '\0') printf("what was there is kept as %s\n", kept);
  return COX_EXIT_DONE;
}

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_restore_entry, 1, 1, argc, argv, &exit_code)) return exit_code;
  const char *const to = cox_cli_args_value(&args, "to"), *const path = cox_cli_args_value(&args, "config");
  const char **const overrides = cox_overrides(&args);
  if (to != NULL) {
    exit_code = restore(args.program, args.rest[0], to);
  } else if (path == NULL) {
    exit_code = cox_cli_misuse(args.program, "which store? Give -c FILE, the configuration that names it, or --to FILE");
  } else {
    json_t *const config = cox_load_config(path, overrides, &exit_code);
    if (config != NULL) exit_code = restore(args.program, args.rest[0], json_string_value(json_object_get(config, "store")));
    json_decref(config);
  }
  free(overrides);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"config", 'c', "FILE", "the configuration that names the store"},
    {"define", 'D', "KEY=VALUE", "override one key of it; may be repeated"},
    {"to", 0, "FILE", "the store itself, without a configuration"},
    {0},
};

const struct cox_cli_entry cox_restore_entry = {
    .name = "restore",
    .synopsis = "COPY -c FILE | --to FILE",
    .summary = "Puts a copy that `coxswain backup` made in the place of the store; the daemon must be stopped",
    .run = run,
    .detail = "The copy is checked first. What was in its place, damaged or not, is kept beside it under another name.",
    .options = options,
};
