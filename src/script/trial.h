/* Runs an operator's own cases (spec/…_spec.lua beside the scripts, with describe, it and assert) against the real scripts on virtual
 * time: what passes here passes live.                                                                                            */
#ifndef COX_SCRIPT_TRIAL_H
#define COX_SCRIPT_TRIAL_H

#include <jansson.h>

#include "script/script.h"

struct cox_trial_options {
  const struct cox_script_options *scripts;
  unsigned folders_own; /* only the cases of so many of the first folders are run; 0: of all */
  const char *file; /* the only file of cases that is run, "spec/…_spec.lua"; NULL: all */
  const char *beside; /* the folder below which that stands, when it is none of the scripts'; NULL: it is */
  uint64_t seed; /* of the cases' math.random; the broker on trial has always the same */
  const char *only; /* part of the names of the cases to run; NULL: all */
  /* After each case: {"name", "file", "line", "outcome": "ok"|"not ok"|"pending", "message"?}; borrowed. A file that does not
   * load is a case of its own.                                                                                                     */
  void (*report)(void *arg, const json_t *result);
  /* A line that a case prints. */
  void (*print)(void *arg, const char *text);
  void *arg;
};

/* Runs all of them. False: the scripts could not be loaded, with every fault in `faults`. Takes as long as the cases do. */
bool cox_trial_run(const struct cox_trial_options *options, struct cox_faults *faults);

#endif
