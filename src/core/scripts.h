/* The sets of scripts ("generations") seen from the outside: load them anew, go back, see what others would change. Made by the
 * room that runs scripts, used by the admin API and the control socket.                                                        */
#ifndef COX_CORE_SCRIPTS_H
#define COX_CORE_SCRIPTS_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

enum cox_scripts_status {
  COX_SCRIPTS_DONE,
  COX_SCRIPTS_UNCHANGED, /* the content that was tried last: nothing was loaded */
  COX_SCRIPTS_REFUSED,   /* faults in the scripts; the live set goes on */
  COX_SCRIPTS_FAILED,    /* another reason: nothing to go back to, too many requests wait, out of memory, … */
};

struct cox_scripts_outcome {
  enum cox_scripts_status status;
  json_t *result; /* DONE, UNCHANGED: {"status","generation","changes"?,"unstored"?: why a start would not know of it} of a reload or
                   * rollback, {"changes":[{"node_id","from","to",
                   * "reason"}]} of a plan, {} of a check. REFUSED: the faults, [{"file","line"?,"message"}]. Borrowed.          */
  struct cox_err err; /* REFUSED, FAILED: what was tried, why it failed, what next */
};

/* One question. Belongs to the asker until `done`, which is called exactly once, from any thread, also before the call returns. */
struct cox_scripts_request {
  struct cox_scripts_request *next;
  char caller[64]; /* who asks, for the journal: as in cox_broker_submit_as */
  const char *dir; /* plan only: a folder to plan with instead of the configured ones; NULL: these. Borrowed until `done` */
  void (*done)(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome);
};

struct cox_scripts {
  void *ctx;
  /* Any thread; none blocks: the work is done on cox-reload, one request after the other. */
  void (*reload)(void *ctx, struct cox_scripts_request *request); /* asked for by somebody: a content that was rejected once is tried again */
  void (*rollback)(void *ctx, struct cox_scripts_request *request);
  void (*plan)(void *ctx, struct cox_scripts_request *request);
  /* Any thread: {"generation", "hash", "loaded_at", "can_roll_back", "previous"?: {"generation","hash"}, "rejected"?: {"hash","reason",
   * "faults"?} of what the folders held when they were last read, "unstored"?: why the store does not have this choice, "folders": [in order of precedence], "files": [{"path",
   * "from": folder,"hash","size","shadows"?: [folders]}], "commands": […], "drivers": […], "jobs": […]}. A new reference.      */
  json_t *(*show)(void *ctx);
  /* Any thread: {"files": {path: {"live": text, "previous": text}}} of those that differ between the live set and the one before;
   * either may be missing. A new reference.                                                                                      */
  json_t *(*difference)(void *ctx);
};

#endif
