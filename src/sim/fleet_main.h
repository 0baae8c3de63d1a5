/* `coxswain sim mlnodes …`: the fleet alone, in the foreground. */
#ifndef COX_SIM_FLEET_MAIN_H
#define COX_SIM_FLEET_MAIN_H

/* argv[0] is "mlnodes". Runs until SIGINT or SIGTERM; an exit code: 0 done, 1 failed, 2 wrong usage. Call it before any
 * thread is started: it raises the limit of open files and blocks these two signals.                                 */
int cox_sim_fleet_main(int argc, char **argv);

#endif
