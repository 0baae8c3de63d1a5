/* Edits that operators make to the shipped scripts, in memory: good ones, and broken ones. */
#ifndef SPEC_SIM_EDITS_H
#define SPEC_SIM_EDITS_H

#include "script/sources.h"

#define EDITS_JOB "tally" /* a job that all sets have: its n-th command of that name says n */

enum { EDITS_DRAINING = 5 /* its targets let leases end first */, EDITS_GOOD = 6, EDITS = 9 /* the first one is none at all */ };

/* The scripts of `scripts` after that edit, with the library; the files are read once per process. NULL with the reasons in `faults`. */
struct cox_sources *edits_read(unsigned which, const char *scripts, const char *library, struct cox_faults *faults);
/* Of its scripts, as people see it. */
bool edits_hash(unsigned which, const char *scripts, const char *library, char text[COX_SOURCES_HASH_TEXT]);

#endif
