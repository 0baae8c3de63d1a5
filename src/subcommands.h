/* The subcommands that run something in this process; those of a client are in src/console. */
#ifndef COX_SUBCOMMANDS_H
#define COX_SUBCOMMANDS_H

#include <jansson.h>

#include "base/err.h"
#include "console/cli.h"

extern const struct cox_cli_entry cox_run_entry, cox_demo_entry, cox_check_entry, cox_restore_entry, cox_test_entry, cox_new_entry, cox_meta_entry;

/* Prints `FILE:LINE: message` for each fault on stderr. */
void cox_print_faults(const struct cox_faults *faults);
/* Loads the scripts of a configuration and runs their cases. */
void cox_check_scripts(json_t *config, struct cox_faults *faults);
/* The values of -D, as cox_config_load takes them; free() it. */
const char **cox_overrides(const struct cox_cli_args *args);
/* The effective configuration, or NULL: the faults are printed and `*exit_code` is set. */
json_t *cox_load_config(const char *path, const char *const *overrides, int *exit_code);
/* The same without printing: the faults are added. */
json_t *cox_load_config_quietly(const char *path, const char *const *overrides, int *exit_code, struct cox_faults *faults);

#endif
