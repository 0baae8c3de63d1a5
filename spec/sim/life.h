/* One life of a simulated world with the real scripts, wired here because rooms do not know each other. */
#ifndef SPEC_SIM_LIFE_H
#define SPEC_SIM_LIFE_H

#include "sim/world.h"

/* Lives it to its end. A world or scripts that cannot be made are a failure too. The scripts are those of the source tree. */
void life_run(const struct cox_world_options *options, struct cox_world_outcome *outcome);

/* The options as arguments of coxswain-sim, for the command to replay. */
void life_arguments(const struct cox_world_options *options, char *out, size_t size);

/* From now on, when the process dies in a life of a failed assertion or a sanitizer's word, it says in which, on `stderr`. */
void life_watch(void);

/* A smaller life that breaks the same invariant: fewer machines, families of faults and seconds. `options` broke it. */
struct cox_world_options life_shrink(const struct cox_world_options *options, const struct cox_world_outcome *outcome);

#endif
