/* `coxswain test`: the operator's own cases for scripts, on virtual time. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "paths.h"
#include "script/trial.h"
#include "subcommands.h"

struct tally {
  size_t count, failed, pending;
  json_t *results; /* for --json; NULL: each is printed as it comes */
};

/* As the test-anything protocol has it: what follows a line belongs to it when it begins with #. */
static void print_message(const char *file, json_int_t line, const char *text) {
  printf("# %s:%lld: ", file, (long long)line);
  for (; *text != '\0'; text++) {
    putchar(*text);
    if (*text == '\n') printf("#   ");
  }
  putchar('\n');
}

static void report(void *arg, const json_t *result) {
  struct tally *const tally = arg;
  const char *const outcome = json_string_value(json_object_get(result, "outcome"));
  const char *const message = json_string_value(json_object_get(result, "message"));
  const char *const file = json_string_value(json_object_get(result, "file"));
  const json_int_t line = json_integer_value(json_object_get(result, "line"));
  const bool has_failed = strcmp(outcome, "not ok") == 0, is_pending = strcmp(outcome, "pending") == 0;
  tally->count++;
  tally->failed += has_failed;
  tally->pending += is_pending;
  if (tally->results != NULL) {
    json_array_append_new(tally->results, json_deep_copy(result));
    return;
  }
  printf("%s %zu - %s%s\n", has_failed ? "not ok" : "ok", tally->count, json_string_value(json_object_get(result, "name")),
         is_pending ? " # TODO" : "");
  if (has_failed) print_message(file, line, message != NULL ? message : "it failed");
}

static void print_line(void *arg, const char *text) {
  FILE *const out = ((const struct tally *)arg)->results != NULL ? stderr : stdout; /* JSON alone goes to standard output */
  fprintf(out, "# %s\n", text);
}

static int finish(struct tally *tally, const char *dir, const struct cox_faults *faults) {
  cox_print_faults(faults);
  if (tally->results != NULL) {
    json_t *const object = json_pack("{sO, sI, sI, sI}", "cases", tally->results, "count", (json_int_t)tally->count, "failed",
                                     (json_int_t)tally->failed, "pending", (json_int_t)tally->pending);
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
  } else if (faults->count == 0) {
    printf("1..%zu\n", tally->count);
  }
  if (faults->count > 0) return COX_EXIT_FAILED;
  if (tally->count == 0) fprintf(stderr, "%s: no cases: they stand in spec/…_spec.lua beside the scripts\n", dir);
  else fprintf(stderr, "%zu of %zu cases hold%s\n", tally->count - tally->failed - tally->pending, tally->count, tally->pending > 0 ? "; some are pending" : "");
  return tally->failed == 0 && tally->count > 0 ? COX_EXIT_DONE : COX_EXIT_FAILED;
}

/* Takes `folders`; the cases of the first `own` of them are run (0: of all). */
static int test(json_t *folders, unsigned own, const struct cox_paths *paths, const struct cox_cli_args *args) {
  struct cox_faults faults = {0};
  struct tally tally = {.results = cox_cli_args_has(args, "json") ? json_array() : NULL};
  const struct cox_script_options scripts = {.folders = folders, .library_dir = paths->library, .clock = cox_clock_system()};
  const struct cox_trial_options options = {.scripts = &scripts, .folders_own = own, .only = cox_cli_args_value(args, "only"), .report = report, .print = print_line, .arg = &tally};
  cox_log_setup(cox_cli_args_has(args, "verbose") ? COX_LOG_DEBUG : COX_LOG_ERROR, false, STDERR_FILENO);
  cox_trial_run(&options, &faults);
  const int exit_code = finish(&tally, json_string_value(json_array_get(folders, 0)), &faults);
  json_decref(tally.results);
  cox_faults_fini(&faults);
  json_decref(folders);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  struct cox_paths paths;
  struct cox_err err;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_test_entry, 0, 1, argc, argv, &exit_code)) return exit_code;
  json_t *config = NULL, *folders = NULL;
  const char *const path = cox_cli_args_value(&args, "config");
  if (cox_paths_find(&paths, &err) != 0) {
    exit_code = cox_cli_fail(args.program, "%s", err.text);
    goto out;
  }
  if (args.rest_count > 0) {
    folders = json_pack("[s, s]", args.rest[0], paths.scripts); /* what DIR does not have comes from the shipped ones */
  } else {
    config = path != NULL ? cox_load_config(path, NULL, &exit_code) : json_object();
    if (config == NULL) goto out;
    folders = cox_config_folders(config, paths.scripts);
  }
  exit_code = test(folders, args.rest_count > 0 ? 1 : 0, &paths, &args);
out:
  json_decref(config);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"config", 'c', "FILE", "the configuration whose scripts are tested"},
    {"only", 0, "TEXT", "only cases whose names contain it"},
    {"verbose", 'v', NULL, "show what the scripts log"},
    {"json", 0, NULL, "print the results as JSON"},
    {0},
};

const struct cox_cli_entry cox_test_entry = {
    .name = "test",
    .synopsis = "[DIR] [-c FILE] [--only TEXT] [--verbose] [--json]",
    .summary = "Runs the cases in spec/ beside the scripts, on simulated nodes and time",
    .run = run,
    .detail = "DIR is a folder of scripts, laid over the shipped ones; without it, the configuration's or the shipped ones are tested. Cases are written with describe, it and assert, and with "
              "the helpers of require \"coxswain.testing\". The scripts run as they do in the daemon; nothing is sent anywhere, and no time is waited "
              "for.\n\nPrints ok or not ok for each case, with file and line of what does not hold.",
    .options = options,
};
