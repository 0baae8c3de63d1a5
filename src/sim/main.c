/* `coxswain sim`: which of the simulators. */
#include <stdio.h>
#include <string.h>

#include "sim/chain_main.h"
#include "sim/fleet_main.h"
#include "sim/sim.h"

static const char usage[] =
    "Usage: coxswain sim mlnodes|chain [options]\n"
    "  mlnodes  simulated ML nodes that speak the management API over HTTP\n"
    "  chain    a simulated chain that speaks RPC, REST and websocket\n"
    "Options of each: coxswain sim mlnodes --help, coxswain sim chain --help\n";

int cox_sim_main(int argc, char **argv) {
  const char *const which = argc > 1 ? argv[1] : "";
  if (strcmp(which, "mlnodes") == 0) return cox_sim_fleet_main(argc - 1, argv + 1);
  if (strcmp(which, "chain") == 0) return cox_sim_chain_main(argc - 1, argv + 1);
  const bool is_help = strcmp(which, "--help") == 0 || strcmp(which, "-h") == 0;
  if (*which != '\0' && !is_help) fprintf(stderr, "coxswain sim: there is no simulator %s\n", which);
  fputs(usage, is_help ? stdout : stderr);
  return is_help ? 0 : 2;
}
