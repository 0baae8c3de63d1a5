#include "subcommands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paths.h"
#include "script/script.h"

void cox_print_faults(const struct cox_faults *faults) {
  for (size_t i = 0; i < faults->count; i++) {
    const struct cox_err *const fault = &faults->list[i];
    if (fault->file[0] == '\0') fprintf(stderr, "%s\n", fault->text);
    else if (fault->line == 0) fprintf(stderr, "%s: %s\n", fault->file, fault->text);
    else fprintf(stderr, "%s:%d: %s\n", fault->file, fault->line, fault->text);
  }
}

const char **cox_overrides(const struct cox_cli_args *args) {
  size_t count = 0, cursor = 0;
  while (cox_cli_args_next(args, "define", &cursor) != NULL) count++;
  const char **const list = calloc(count + 1, sizeof *list);
  if (list == NULL) abort(); /* at start-up, before anything lives */
  cursor = 0;
  for (size_t i = 0; i < count; i++) list[i] = cox_cli_args_next(args, "define", &cursor);
  return list;
}

json_t *cox_load_config_quietly(const char *path, const char *const *overrides, int *exit_code, struct cox_faults *faults) {
  struct cox_paths paths;
  struct cox_err err;
  json_t *config = NULL;
  *exit_code = COX_EXIT_FAILED;
  if (cox_paths_find(&paths, &err) != 0) cox_faults_add(faults, NULL, 0, "%s", err.text);
  else config = cox_config_load(path, overrides, paths.scripts, faults);
  for (size_t i = 0; i < faults->count; i++) {
    if (strcmp(faults->list[i].file, "-D") == 0) *exit_code = COX_EXIT_USAGE;
  }
  return config;
}

json_t *cox_load_config(const char *path, const char *const *overrides, int *exit_code) {
  struct cox_faults faults = {0};
  json_t *const config = cox_load_config_quietly(path, overrides, exit_code, &faults);
  cox_print_faults(&faults);
  cox_faults_fini(&faults);
  return config;
}
