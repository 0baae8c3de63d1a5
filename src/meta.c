/* `coxswain meta`: what editors and readers are told about the API of scripts, from the bindings' own descriptions. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "paths.h"
#include "script/manual.h"
#include "subcommands.h"

static int write_files(const char *program, const json_t *files, const char *dir) {
  const char *name;
  json_t *text;
  if (mkdir(dir, 0777) != 0 && errno != EEXIST) return cox_cli_fail(program, "making the folder %s failed: %s", dir, strerror(errno));
  json_object_foreach((json_t *)(uintptr_t)files, name, text) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *const file = fopen(path, "w");
    const bool is_written = file != NULL && fputs(json_string_value(text), file) != EOF;
    const int error = errno;
    if (file == NULL || fclose(file) != 0 || !is_written) return cox_cli_fail(program, "writing %s failed: %s", path, strerror(error));
    printf("%s\n", path);
  }
  return COX_EXIT_DONE;
}

static int show(const struct cox_cli_args *args, const json_t *made) {
  if (args->rest_count > 0) return write_files(args->program, json_object_get(made, "files"), args->rest[0]);
  if (cox_cli_args_has(args, "json")) {
    json_dumpf(made, stdout, JSON_INDENT(1) | JSON_SORT_KEYS);
    putchar('\n');
  } else {
    fputs(json_string_value(json_object_get(made, "reference")), stdout);
  }
  return COX_EXIT_DONE;
}

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  struct cox_paths paths;
  struct cox_err err = {0};
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_meta_entry, 0, 1, argc, argv, &exit_code)) return exit_code;
  json_t *const made =
      cox_paths_find(&paths, &err) == 0 ? cox_manual_make(paths.scripts, paths.library, cox_clock_system(), &err) : NULL;
  exit_code = made != NULL ? show(&args, made) : cox_cli_fail(args.program, "%s", err.text);
  json_decref(made);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"json", 0, NULL, "print all of it as JSON"},
    {0},
};

const struct cox_cli_entry cox_meta_entry = {
    .name = "meta",
    .synopsis = "[DIR] [--json]",
    .summary = "Prints the reference of what scripts can use, or writes type files for editors",
    .run = run,
    .detail = "With DIR it writes files of ---@meta annotations there, from which the Lua language server completes and checks scripts; the installed "
              "ones are in the folder lua/meta.",
    .options = options,
};
