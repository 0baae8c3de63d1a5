/* argv → subcommand. Only here do the command line and the rooms that it is made of meet. */
#include <stdio.h>

#include "console/client_commands.h"
#include "inside.h"
#include "net/net.h"
#include "paths.h"
#include "script/script.h"
#include "sim/sim.h"
#include "subcommands.h"

static int run_sim(void *ctx, int argc, char **argv) {
  (void)ctx;
  return cox_sim_main(argc, argv);
}

/* A client looks only for the daemon's address in it, and for the folders of scripts. */
static json_t *load_config(const char *path, struct cox_faults *faults) {
  struct cox_paths paths;
  return cox_config_load(path, NULL, cox_paths_find(&paths, NULL) == 0 ? paths.scripts : NULL, faults);
}

static int find_scripts(char *out, size_t size, struct cox_err *err) {
  struct cox_paths paths;
  const int rc = cox_paths_find(&paths, err);
  if (rc == 0) snprintf(out, size, "%s", paths.scripts);
  return rc;
}

int main(int argc, char **argv) {
  struct cox_client client;
  cox_net_client(&client);
  struct cox_cli_env env = {
      .call = client.call, .load_config = load_config, .start_inside = cox_inside_start, .stop_inside = cox_inside_stop,
      .describe_config = cox_config_describe, .find_scripts = find_scripts, .check_scripts = cox_check_scripts};
  const struct cox_cli_entry sim = {
      .name = "sim",
      .synopsis = "mlnodes|chain [options]",
      .summary = "Runs the simulated ML nodes or the simulated chain alone",
      .run = run_sim,
  };
  const struct cox_cli_entry entries[] = {
      cox_run_entry, cox_demo_entry, cox_check_entry, cox_test_entry, cox_new_entry, cox_meta_entry, cox_cli_nodes, cox_cli_node, cox_cli_command,
      cox_cli_commands, cox_cli_events, cox_cli_plan, cox_cli_reload, cox_cli_rollback,
      cox_cli_scripts, cox_cli_backup, cox_restore_entry, cox_cli_export, cox_cli_import, cox_cli_report, cox_cli_repl, sim,
      cox_cli_init, cox_cli_doctor, cox_cli_completion, cox_cli_man,
  };
  env.entries = entries;
  env.entry_count = sizeof entries / sizeof *entries;
  return cox_cli_main(entries, sizeof entries / sizeof *entries, &env, argc, argv);
}
