/* Scripts on trial: the real core, policy and fibers on virtual time, driven step by step by cases of an operator's (trial.c,
 * lua/coxswain/testing.lua). There is no network: what a fiber asks for is handed to the case, which answers it.              */
#ifndef COX_SCRIPT_RIG_H
#define COX_SCRIPT_RIG_H

#include <jansson.h>

#include "base/clock.h"
#include "script/script.h"

struct cox_rig;

/* NULL with every fault of the scripts in `faults`. `options`' clock and configuration are the rig's own. */
struct cox_rig *cox_rig_create(const struct cox_script_options *options, struct cox_faults *faults);
void cox_rig_destroy(struct cox_rig *rig);
/* Its virtual time; stands still but for the operation "pass". */
const struct cox_clock *cox_rig_clock(struct cox_rig *rig);

/* One operation; `args` is borrowed. A new reference to its answer, or NULL with the reason in `err`.
 *   reset   { participant?, callback_url?, now_s? }   a new, empty broker; everything that runs is dropped
 *   pass    { seconds }           time passes; → { now_s }
 *   set_clock { seconds }         the wall clock is set on or back; no time passes
 *   begin_era {}                  the broker's machine starts anew, as far as time.since is concerned
 *   next    {}                    → { in_s? }: when the reconciler has something to do by itself
 *   command { name, args }        → the answer, or { fiber } of one that waits
 *   nodes, node { id }, world     → as the API shows them; { } when there is none
 *   poll    {}                    → { attempts: [{ attempt, node_id, kind, target? }] not started yet, cancelled: [fiber] }
 *   start   { attempt } of those, or { kind = "reach"|"probe", node, target?, memory?, applied?, unanswered? }, or
 *           { kind = "job", name, config? }             → { fiber }
 *   resume  { fiber, reply? }     → { request, deadline_s? } while it waits, {} when it is done
 *   finish  { fiber, why = "done"|"cancelled"|"deadline" } → what came of it                                                      */
json_t *cox_rig_do(struct cox_rig *rig, const char *operation, json_t *args, struct cox_err *err);

#endif
