/* The classic bugs that can be planted (base/fault.h), and how many seeds it takes to find each. */
#ifndef SPEC_SIM_PLANTS_H
#define SPEC_SIM_PLANTS_H

#include <stdbool.h>
#include <stdint.h>

/* Arms one by the name of its point; false: there is none of that name. */
bool plants_arm(const char *point);
/* Looks for each of them with the seeds 1 … most, in a process of its own, and prints the table of spec/sim/README.md. Returns
 * how many were not found.                                                                                                */
int plants_table(uint64_t most);

#endif
