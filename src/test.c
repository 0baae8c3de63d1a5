/* `coxswain test`: the operator's own cases for scripts, on virtual time. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "console/target.h"
#include "paths.h"
#include "script/trial.h"
#include "subcommands.h"

struct tally {
  size_t count, failed, pending;
  uint64_t seed;
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

/* A case has one line, whatever is in its name. */
static void print_name(const char *name) {
  for (; *name != '\0'; name++) putchar((unsigned char)*name < ' ' ? ' ' : *name);
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
  printf("%s %zu - ", has_failed ? "not ok" : "ok", tally->count);
  print_name(json_string_value(json_object_get(result, "name")));
  puts(is_pending ? " # TODO" : "");
  if (has_failed) print_message(file, line, message != NULL ? message : "it failed");
}

static void print_line(void *arg, const char *text) {
  FILE *const out = ((const struct tally *)arg)->results != NULL ? stderr : stdout; /* JSON alone goes to standard output */
  fprintf(out, "# %s\n", text);
}

static int finish(struct tally *tally, const char *dir, const struct cox_faults *faults) {
  cox_print_faults(faults);
  if (tally->results != NULL) {
    json_t *const object = json_pack("{sO, sI, sI, sI, sI}", "cases", tally->results, "count", (json_int_t)tally->count, "failed",
                                     (json_int_t)tally->failed, "pending", (json_int_t)tally->pending, "seed", (json_int_t)tally->seed);
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
  } else if (faults->count == 0) {
    printf("1..%zu\n", tally->count);
  }
  if (faults->count > 0) return COX_EXIT_FAILED;
  if (tally->count == 0) fprintf(stderr, "%s: no cases: they stand in spec/…_spec.lua beside the scripts\n", dir);
  else fprintf(stderr, "%zu of %zu cases hold%s\n", tally->count - tally->failed - tally->pending, tally->count, tally->pending > 0 ? "; some are pending" : "");
  if (tally->failed > 0) fprintf(stderr, "chance was that of --seed %llu\n", (unsigned long long)tally->seed);
  return tally->failed == 0 && tally->count > 0 ? COX_EXIT_DONE : COX_EXIT_FAILED;
}

/* ---- what is tested ---- */

/* The cases that were asked for. */
struct wanted {
  char *path;       /* of the one file; NULL: a folder's */
  const char *file; /* "spec/…_spec.lua" in it */
  bool is_apart;    /* from all scripts: they are those of the configuration, or the shipped ones */
  unsigned own;     /* the cases of so many of the first folders are run; 0: of all */
  json_t *folders;
};

static bool is_folder(const char *dir, const char *name) {
  char path[PATH_MAX];
  struct stat info;
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool has_scripts(const char *dir) {
  return is_folder(dir, "policy") || is_folder(dir, "commands") || is_folder(dir, "drivers") || is_folder(dir, "jobs");
}

/* Splits the path of a file of cases at the folder spec that it is in. */
static bool take_file(struct wanted *wanted, const char *given) {
  static const char folder[] = "/spec/", ending[] = "_spec.lua";
  const size_t len = strlen(given);
  wanted->path = realpath(given, NULL);
  if (wanted->path == NULL || len < sizeof ending || strcmp(given + len - (sizeof ending - 1), ending) != 0) return false;
  char *at = NULL;
  for (char *next = wanted->path; (next = strstr(next, folder)) != NULL; next++) at = next;
  if (at == NULL) return false;
  *at = '\0';
  wanted->file = at + 1;
  wanted->is_apart = !has_scripts(wanted->path);
  return true;
}

static int test(const struct wanted *wanted, const struct cox_paths *paths, const struct cox_cli_args *args, uint64_t seed) {
  struct cox_faults faults = {0};
  struct tally tally = {.seed = seed, .results = cox_cli_args_has(args, "json") ? json_array() : NULL};
  const struct cox_script_options scripts = {.folders = wanted->folders, .library_dir = paths->library, .clock = cox_clock_system()};
  const struct cox_trial_options options = {
      .scripts = &scripts,
      .folders_own = wanted->own,
      .file = wanted->file,
      .beside = wanted->is_apart ? wanted->path : NULL,
      .seed = seed,
      .only = cox_cli_args_value(args, "only"),
      .report = report,
      .print = print_line,
      .arg = &tally,
  };
  cox_log_setup(cox_cli_args_has(args, "verbose") ? COX_LOG_DEBUG : COX_LOG_ERROR, false, STDERR_FILENO);
  cox_trial_run(&options, &faults);
  const int exit_code = finish(&tally, json_string_value(json_array_get(wanted->folders, 0)), &faults);
  json_decref(tally.results);
  cox_faults_fini(&faults);
  return exit_code;
}

/* False with the exit code: said. */
static bool choose(struct wanted *wanted, const struct cox_paths *paths, const struct cox_cli_env *env, const struct cox_cli_args *args, int *exit_code) {
  const char *const config_path = cox_cli_config_find(env, args), *const given = args->rest_count > 0 ? args->rest[0] : NULL;
  struct stat info;
  const bool is_file = given != NULL && stat(given, &info) == 0 && S_ISREG(info.st_mode);
  if (is_file && !take_file(wanted, given)) {
    *exit_code = cox_cli_fail(args->program, "%s is no file of cases: those are called …_spec.lua, and stand in a folder spec beside the scripts",
                              given);
    return false;
  }
  if (given != NULL && !wanted->is_apart) {
    /* What DIR does not have comes from the shipped ones. */
    wanted->folders = json_pack("[s, s]", is_file ? wanted->path : given, paths->scripts);
    wanted->own = 1;
    return true;
  }
  json_t *const config = config_path != NULL ? cox_load_config(config_path, NULL, exit_code) : json_object();
  if (config == NULL) return false;
  wanted->folders = cox_config_folders(config, paths->scripts);
  json_decref(config);
  return true;
}

/* Another one each time unless it is given. */
static bool take_seed(const struct cox_cli_args *args, uint64_t *seed, int *exit_code) {
  const char *const text = cox_cli_args_value(args, "seed");
  char *end;
  *seed = (uint64_t)cox_clock_wall_ms(cox_clock_system());
  if (text == NULL) return true;
  errno = 0;
  *seed = strtoull(text, &end, 10);
  if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *seed <= INT64_MAX) return true;
  *exit_code = cox_cli_fail(args->program, "--seed %s is no whole number from 0 to 2^63 - 1: give the one that a failed run has printed", text);
  return false;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_args args;
  struct cox_paths paths;
  struct cox_err err;
  struct wanted wanted = {0};
  uint64_t seed;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_test_entry, 0, 1, argc, argv, &exit_code)) return exit_code;
  if (cox_paths_find(&paths, &err) != 0) exit_code = cox_cli_fail(args.program, "%s", err.text);
  else if (take_seed(&args, &seed, &exit_code) && choose(&wanted, &paths, ctx, &args, &exit_code)) exit_code = test(&wanted, &paths, &args, seed);
  json_decref(wanted.folders);
  free(wanted.path);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"config", 'c', "FILE", "the configuration whose scripts are tested; without it, COXSWAIN_CONFIG, ./coxswain.lua or /etc/coxswain/coxswain.lua"},
    {"only", 0, "TEXT", "only cases whose names contain it"},
    {"seed", 0, "N", "of what math.random gives to cases; default: another one each time, printed when a case fails"},
    {"verbose", 'v', NULL, "show what the scripts log"},
    {"json", 0, NULL, "print the results as JSON"},
    {0},
};

const struct cox_cli_entry cox_test_entry = {
    .name = "test",
    .synopsis = "[DIR|CASES] [-c FILE] [--only TEXT] [--seed N] [--verbose] [--json]",
    .summary = "Runs the cases in spec/ beside the scripts, on simulated nodes and time",
    .run = run,
    .detail = "DIR is a folder of scripts, laid over the shipped ones; without it, the configuration's or the shipped ones are tested. CASES is one file spec/…_spec.lua: "
              "its cases alone are run, on the scripts that its folder spec stands beside, else on the configuration's or the shipped ones. Cases are written with describe, it and assert, and with "
              "the helpers of require \"coxswain.testing\". The scripts run as they do in the daemon; nothing is sent anywhere, and no time is waited "
              "for.\n\nPrints ok or not ok for each case, with file and line of what does not hold.",
    .options = options,
};
