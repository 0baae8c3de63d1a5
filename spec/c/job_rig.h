/* Jobs written in Lua on real workers: each spec gives the body of one, and gets what it noted. */
#ifndef SPEC_JOB_RIG_H
#define SPEC_JOB_RIG_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/lock.h"
#include "net/worker.h"
#include "script/script.h"

enum { RIG_LIMIT_MS = 30000 };

struct job_rig {
  char folder[64];
  struct cox_script *script;
  struct cox_net *net;
  struct cox_net_sink sink;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  json_t *notes;  /* what was noted and not taken yet */
  size_t answers; /* of chores */
};

/* A folder of scripts: those of the tree, and `files` ({name, text} pairs ended by NULL) over them; then script room and workers
 * on the configuration (borrowed, NULL: none). Fails the test when that does not start.                                      */
void job_rig_start(struct job_rig *rig, const char *const *files, json_t *config);
void job_rig_stop(struct job_rig *rig);
/* Starts the job of that name. */
void job_rig_begin(struct job_rig *rig, const char *job);
/* The next thing that a job said by broker.command("note", value); a new reference. Fails the test when it does not come. */
json_t *job_rig_note(struct job_rig *rig);
/* Runs a job with that body to its note, with workers of its own: "local url = …; broker.command('note', { … })". */
json_t *job_rig_run(const char *body);
/* Calls a command that waits and returns its answer as JSON. */
json_t *job_rig_chore(struct job_rig *rig, const char *name, json_t *args);

#endif
