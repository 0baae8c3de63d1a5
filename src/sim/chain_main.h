/* `coxswain sim chain …`: the made-up chain in the foreground. */
#ifndef COX_SIM_CHAIN_MAIN_H
#define COX_SIM_CHAIN_MAIN_H

/* Runs until SIGINT or SIGTERM. argv[0] is "chain". An exit code of the command line: 0 done, 1 failed, 2 wrong usage. */
int cox_sim_chain_main(int argc, char **argv);

#endif
