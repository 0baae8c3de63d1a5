/* argv → subcommand. Only here do the command line and the rooms that it is made of meet. */
#include "console/client_commands.h"
#include "net/net.h"
#include "script/script.h"
#include "sim/sim.h"
#include "subcommands.h"

static int run_sim(void *ctx, int argc, char **argv) {
  (void)ctx;
  return cox_sim_main(argc, argv);
}

/* A client looks only for the daemon's address in it. */
static json_t *load_config(const char *path, struct cox_faults *faults) { return cox_config_load(path, NULL, NULL, faults); }

int main(int argc, char **argv) {
  struct cox_client client;
  cox_net_client(&client);
  struct cox_cli_env env = {.call = client.call, .load_config = load_config};
  const struct cox_cli_entry sim = {
      .name = "sim",
      .synopsis = "mlnodes|chain [options]",
      .summary = "Runs the simulated ML nodes or the simulated chain alone",
      .run = run_sim,
  };
  const struct cox_cli_entry entries[] = {
      cox_run_entry, cox_demo_entry, cox_check_entry, cox_cli_nodes, cox_cli_node, cox_cli_command,
      cox_cli_events, cox_cli_backup, cox_restore_entry, cox_cli_export, cox_cli_import, sim,
  };
  return cox_cli_main(entries, sizeof entries / sizeof *entries, &env, argc, argv);
}
