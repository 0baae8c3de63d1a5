/* The script room's face to the wiring: load a policy set, check it, hand out the core's interfaces. */
#ifndef COX_SCRIPT_SCRIPT_H
#define COX_SCRIPT_SCRIPT_H

#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/broker.h"
#include "core/console.h"
#include "core/fiber.h"
#include "core/policy.h"
#include "core/scripts.h"

struct cox_script;

struct cox_reload_drive;

struct cox_script_options {
  const char *scripts_dir;  /* the only folder when `folders` is NULL: policy/, commands/, drivers/, jobs/ */
  json_t *folders;          /* several of them, the first one wins: a list of paths, borrowed */
  const char *library_dir;  /* trusted library: the folder that holds coxswain/ */
  const struct cox_clock *clock;
  json_t *config;           /* effective configuration, for jobs; borrowed, held */
  double command_budget_s;  /* 0: 0.1 */
  double resume_budget_s;   /* drivers and jobs, 0: 0.05 */
  size_t memory_max;        /* bytes per VM, 0: 64 MiB */
  uint64_t seed;            /* of math.random in drivers and jobs, 0: of the system */
  bool is_deferred;         /* create loads nothing: cox_script_load does, once the broker is known */
  bool is_watching;         /* edits of the files are noticed */
  unsigned failures_max;    /* so many first calls of a generation, all failed, bring the one before back; 0: 3 */
};

/* Loads, validates and runs the smoke cases; NULL with every fault in `faults`. */
struct cox_script *cox_script_create(const struct cox_script_options *options, struct cox_faults *faults);
void cox_script_destroy(struct cox_script *script);
const struct cox_policy *cox_script_policy(struct cox_script *script);       /* valid until destroy */
const struct cox_fiber_ops *cox_script_fiber_ops(struct cox_script *script); /* valid until destroy */
const struct cox_console *cox_script_console(struct cox_script *script);     /* valid until destroy; after set_broker */
/* Drivers push deadlines out through it (node:extend); set before workers start. */
void cox_script_set_broker(struct cox_script *script, struct cox_broker *broker);
/* After set_broker and before the broker starts: loads the scripts when that was deferred, those that the broker's store says were chosen.
 * 0, or a code with every fault in `faults`.                                                                                          */
int cox_script_load(struct cox_script *script, struct cox_faults *faults);
/* The exchange of scripts, seen from the outside; valid until destroy. Without a start every request is refused. */
const struct cox_scripts *cox_script_scripts(struct cox_script *script);
/* After set_broker: cox-reload. `exchanged` (may be NULL) is called on it after each flip, before the asker is answered. */
int cox_script_start(struct cox_script *script, void (*exchanged)(void *ctx), void *ctx, struct cox_err *err);
/* Instead, for a world with one thread, after each set_broker: requests are carried out before they return (reload.h). */
void cox_script_drive(struct cox_script *script, const struct cox_reload_drive *drive);
/* As cox_reload_due_us and cox_reload_turn, for such a world. */
int64_t cox_script_due_us(struct cox_script *script);
void cox_script_turn(struct cox_script *script);
/* While the broker still runs: ends cox-reload. Nothing happens when it was never started. */
void cox_script_stop(struct cox_script *script);
/* Any thread: what the configuration names as folders of scripts, whenever somebody asks for a reload (reload.h). */
void cox_script_follow(struct cox_script *script, json_t *(*folders)(void *ctx, struct cox_faults *faults), void *ctx);
/* Any thread; never blocks: the files may be others now (SIGHUP). */
void cox_script_look(struct cox_script *script, const char *caller);
/* Sets of sources that somebody holds: the live one, the one before, those of attempts in flight and of consoles. */
size_t cox_script_alive(struct cox_script *script);
/* Names of the jobs to run for this configuration: those without `feed`, and those whose `feed` is config.feed.kind.
 * New reference to an array of strings.                                                                              */
json_t *cox_script_jobs(struct cox_script *script);
/* [{"name","help","priority","scope"}] of all commands; a new reference. */
json_t *cox_script_commands(struct cox_script *script);

/* Runs the configuration file in a sandbox with a budget of 1 s and checks it against the schema; COXSWAIN_… environment
 * variables are laid over it, and overrides ("key.path=value" of -D, NULL-terminated, may be NULL) over these. Defaults
 * are filled in. Paths (nodes, scripts, store, socket, tls) become absolute: seen from the file's folder, those of -D and
 * the environment from the working directory. A path of a nodes file is read and checked too: `.nodes` of the result is
 * always the list of node objects, and `.nodes_file` the path when there is one. NULL with every fault in `faults`, in
 * which `file` is the file, the variable's name, or "-D" (wrong usage: exit code 2). `path` NULL: no file. Reads files and
 * may take seconds: not for the loops.                                                                                  */
json_t *cox_config_load(const char *path, const char *const *overrides, const char *default_scripts, struct cox_faults *faults);

/* The same, but with what could be found when there are faults too, so that a check can go on to the scripts: `.scripts`
 * is right then, no other key is to be trusted. NULL only when out of memory.                                           */
json_t *cox_config_load_partial(const char *path, const char *const *overrides, const char *default_scripts,
                                struct cox_faults *faults);

/* The folders of scripts of such a configuration, in order of precedence: a new reference to a list of paths. `default_scripts` when it
 * names none.                                                                                                                        */
json_t *cox_config_folders(const json_t *config, const char *default_scripts);

/* What a configuration may hold, for manual pages and commented examples, in the order of the schema: a list of { path, is_group,
 * accepted, default? (JSON text), only_kind?, help }. A new reference.                                                            */
json_t *cox_config_describe(void);

/* A copy for people to read: tokens, and user and password inside of URLs, are "***"; without the nodes, which are shown as they are
 * and not as they were declared. A new reference.                                                                                 */
json_t *cox_config_masked(const json_t *config);

#endif
