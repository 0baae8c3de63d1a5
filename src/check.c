/* `coxswain check`: configuration and scripts, without starting anything. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "paths.h"
#include "script/script.h"
#include "subcommands.h"

void cox_check_scripts(json_t *config, struct cox_faults *faults) {
  struct cox_paths paths;
  struct cox_err err;
  if (cox_paths_find(&paths, &err) != 0) {
    cox_faults_add(faults, NULL, 0, "%s", err.text);
    return;
  }
  json_t *const folders = cox_config_folders(config, paths.scripts);
  const struct cox_script_options options = {.folders = folders, .library_dir = paths.library, .clock = cox_clock_system(),
                                             .config = config /* for the files that it names: keys, certificates */};
  cox_script_destroy(cox_script_create(&options, faults));
  json_decref(folders);
}

static int check_all(const char *path, const char *const *overrides, bool is_json) {
  struct cox_faults faults = {0};
  struct cox_paths paths;
  struct cox_err err;
  json_t *config = NULL;
  if (cox_paths_find(&paths, &err) != 0) {
    cox_faults_add(&faults, NULL, 0, "%s", err.text);
  } else {
    config = cox_config_load_partial(path, overrides, paths.scripts, &faults);
    if (config != NULL) cox_check_scripts(config, &faults);
  }
  if (is_json) {
    json_t *const list = json_array();
    for (size_t i = 0; i < faults.count; i++) {
      json_array_append_new(list, json_pack("{ss, si, ss}", "file", faults.list[i].file, "line", faults.list[i].line, "message",
                                            faults.list[i].text));
    }
    json_t *const object = json_pack("{so}", "faults", list);
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
  } else {
    cox_print_faults(&faults);
    if (faults.count == 0) printf("%s: good; the scripts and their cases too\n", path != NULL ? path : "the shipped scripts");
  }
  const int exit_code = faults.count == 0 ? COX_EXIT_DONE : COX_EXIT_FAILED;
  cox_faults_fini(&faults);
  json_decref(config);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_check_entry, 0, 0, argc, argv, &exit_code)) return exit_code;
  const char **const overrides = cox_overrides(&args);
  exit_code = check_all(cox_cli_args_value(&args, "config"), overrides, cox_cli_args_has(&args, "json"));
  free(overrides);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"config", 'c', "FILE", "the configuration; without it, the shipped scripts alone are checked"},
    {"define", 'D', "KEY=VALUE", "override one key of it; may be repeated"},
    {"json", 0, NULL, "print the faults as JSON"},
    {0},
};

const struct cox_cli_entry cox_check_entry = {
    .name = "check",
    .synopsis = "[-c FILE] [-D key=value]… [--json]",
    .summary = "Checks configuration, nodes file and scripts, and runs the scripts' cases",
    .run = run,
    .detail = "Prints FILE:LINE: message for each fault. Starts nothing.",
    .options = options,
};
