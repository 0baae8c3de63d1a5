/* All that can be found wrong with a set of scripts without running a daemon: what keeps it from loading, and beyond that what only
 * shows when a rare line runs (lua/coxswain/review.lua).                                                                           */
#ifndef COX_SCRIPT_INSPECT_H
#define COX_SCRIPT_INSPECT_H

#include <jansson.h>

#include "script/script.h"
#include "script/sources.h"

struct cox_inspection {
  size_t files, commands, drivers, jobs, cases;
};

/* Adds every fault, sorted by file and line. `nodes` (may be NULL) are the configured ones: each must have a driver that reaches what
 * the policy asks of it. Reads files and may take seconds: not for the loops.                                                     */
void cox_inspect(const struct cox_script_options *options, const json_t *nodes, struct cox_inspection *found, struct cox_faults *faults);

/* Gives the faults that know their file but no line (a case that does not hold, a field of what a file returned) the line that they are
 * about; only the first 100, for each takes a look through its file. Quick, but for no loop either.                                */
void cox_inspect_locate(struct cox_sources *sources, const struct cox_clock *clock, struct cox_faults *faults);

/* The sources that these options name; as cox_sources_read. */
struct cox_sources *cox_inspect_read(const struct cox_script_options *options, struct cox_faults *faults);

#endif
