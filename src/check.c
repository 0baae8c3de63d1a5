/* `coxswain check`: configuration and scripts, without starting anything. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "console/target.h"
#include "daemon.h"
#include "paths.h"
#include "script/inspect.h"
#include "script/trust.h"
#include "script/wallet.h"
#include "subcommands.h"

static const char *plural(size_t count) { return count == 1 ? "" : "s"; }

/* Keys, certificates and tokens, which a start reads together with the scripts, and who could reach the API. */
static void check_named_files(const json_t *config, struct cox_faults *doubts, struct cox_faults *faults) {
  const struct cox_api_options access = cox_daemon_access(config);
  struct cox_wallet wallet;
  struct cox_err err;
  const bool is_sound = faults->count == 0; /* else the same would be told twice */
  if (is_sound && cox_api_check(&access, doubts, &err) != 0) {
    cox_faults_add(faults, err.file[0] != '\0' ? err.file : NULL, err.line, "%s", err.text);
  }
  cox_wallet_init(&wallet, config, faults);
  cox_wallet_fini(&wallet);
  cox_trust_check(config, faults);
}

static void check_scripts(const json_t *config, const struct cox_paths *paths, struct cox_inspection *found, struct cox_faults *doubts,
                          struct cox_faults *faults) {
  json_t *const folders = cox_config_folders(config, paths->scripts);
  const struct cox_script_options options = {.folders = folders, .library_dir = paths->library, .clock = cox_clock_system()};
  check_named_files(config, doubts, faults);
  cox_inspect(&options, json_object_get(config, "nodes"), found, faults);
  json_decref(folders);
}

static void print_json(const struct cox_inspection *found, const struct cox_faults *doubts, const struct cox_faults *faults) {
  json_t *const list = json_array(), *const warnings = json_array();
  for (size_t i = 0; i < doubts->count; i++) json_array_append_new(warnings, json_pack("{ss}", "message", doubts->list[i].text));
  for (size_t i = 0; i < faults->count; i++) {
    const struct cox_err *const fault = &faults->list[i];
    json_array_append_new(list, json_pack("{ss, si, ss}", "file", fault->file, "line", fault->line, "message", fault->text));
  }
  json_t *const object = json_pack("{so, so, sI, sI, sI, sI, sI}", "faults", list, "warnings", warnings, "files", (json_int_t)found->files, "commands",
                                   (json_int_t)found->commands, "drivers", (json_int_t)found->drivers, "jobs", (json_int_t)found->jobs, "cases",
                                   (json_int_t)found->cases);
  json_dumpf(object, stdout, JSON_INDENT(2));
  putchar('\n');
  json_decref(object);
}

static void print_warnings(const struct cox_faults *doubts) {
  for (size_t i = 0; i < doubts->count; i++) fprintf(stderr, "warning: %s\n", doubts->list[i].text);
}

static void print_summary(const char *what, const struct cox_inspection *found) {
  printf("%s: good: %zu command%s, %zu driver%s, %zu job%s; %zu case%s hold%s\n", what, found->commands, plural(found->commands), found->drivers,
         plural(found->drivers), found->jobs, plural(found->jobs), found->cases, plural(found->cases), found->cases == 1 ? "s" : "");
}

static const char *what_is_good(const char *path, const json_t *config, const struct cox_paths *paths) {
  const char *const own = json_string_value(json_object_get(config, "scripts"));
  if (path != NULL) return path;
  return own != NULL && strcmp(own, paths->scripts) != 0 ? own : "the shipped scripts";
}

void cox_check_scripts(json_t *config, struct cox_faults *faults) {
  struct cox_inspection found = {0};
  struct cox_paths paths;
  struct cox_err err;
  if (cox_paths_find(&paths, &err) == 0) check_scripts(config, &paths, &found, NULL, faults);
  else cox_faults_add(faults, NULL, 0, "%s", err.text);
}

static int check_all(const char *path, const char *const *overrides, bool is_json) {
  struct cox_faults faults = {0}, doubts = {0};
  struct cox_inspection found = {0};
  struct cox_paths paths;
  struct cox_err err;
  json_t *config = NULL;
  if (cox_paths_find(&paths, &err) != 0) {
    cox_faults_add(&faults, NULL, 0, "%s", err.text);
  } else {
    config = cox_config_load_partial(path, overrides, paths.scripts, &faults);
    if (config != NULL) check_scripts(config, &paths, &found, &doubts, &faults);
  }
  if (!is_json) print_warnings(&doubts);
  if (is_json) print_json(&found, &doubts, &faults);
  else if (faults.count > 0) cox_print_faults(&faults);
  else print_summary(what_is_good(path, config, &paths), &found);
  const int exit_code = faults.count == 0 ? COX_EXIT_DONE : COX_EXIT_FAILED;
  cox_faults_fini(&faults);
  cox_faults_fini(&doubts);
  json_decref(config);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_args args;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_check_entry, 0, 0, argc, argv, &exit_code)) return exit_code;
  const char **const overrides = cox_overrides(&args);
  exit_code = check_all(cox_cli_config_find(ctx, &args), overrides, cox_cli_args_has(&args, "json"));
  free(overrides);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"config", 'c', "FILE", "the configuration; without it, COXSWAIN_CONFIG, ./coxswain.lua or /etc/coxswain/coxswain.lua, and when there is none, the shipped scripts alone"},
    {"define", 'D', "KEY=VALUE", "override one key of it; may be repeated"},
    {"json", 0, NULL, "print the faults as JSON"},
    {0},
};

const struct cox_cli_entry cox_check_entry = {
    .name = "check",
    .synopsis = "[-c FILE] [-D key=value]… [--json]",
    .summary = "Checks configuration, nodes file and scripts, and runs the scripts' cases",
    .run = run,
    .detail = "Prints FILE:LINE: message for each fault, and a warning for token files that others may read. Starts nothing and connects to "
              "nothing.\n\nBeside what keeps scripts from loading it finds names that nothing declares and fields that nothing has, also in "
              "lines that no case runs; commands due that policy/phases.lua does not map; statuses that no driver reaches; and cases that do "
              "not hold, with what differs.",
    .options = options,
};
