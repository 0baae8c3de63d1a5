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

struct cox_script;

struct cox_script_options {
  const char *scripts_dir;  /* policy/, commands/, drivers/, jobs/ */
  const char *library_dir;  /* trusted library: the folder that holds coxswain/ */
  const struct cox_clock *clock;
  json_t *config;           /* effective configuration, for jobs; borrowed, held */
  double command_budget_s;  /* 0: 0.1 */
  double resume_budget_s;   /* drivers and jobs, 0: 0.05 */
  size_t memory_max;        /* bytes per VM, 0: 64 MiB */
  uint64_t seed;            /* of math.random in drivers and jobs, 0: of the system */
};

/* Loads, validates and runs the smoke cases; NULL with every fault in `faults`. */
struct cox_script *cox_script_create(const struct cox_script_options *options, struct cox_faults *faults);
void cox_script_destroy(struct cox_script *script);
const struct cox_policy *cox_script_policy(struct cox_script *script);       /* valid until destroy */
const struct cox_fiber_ops *cox_script_fiber_ops(struct cox_script *script); /* valid until destroy */
const struct cox_console *cox_script_console(struct cox_script *script);     /* valid until destroy; after set_broker */
/* Drivers push deadlines out through it (node:extend); set before workers start. */
void cox_script_set_broker(struct cox_script *script, struct cox_broker *broker);
/* Names of the jobs to run for this configuration: those without `feed`, and those whose `feed` is config.feed.kind.
 * New reference to an array of strings.                                                                              */
json_t *cox_script_jobs(struct cox_script *script);
/* [{"name","help","priority"}] of all commands; a new reference. */
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

/* What a configuration may hold, for manual pages and commented examples, in the order of the schema: a list of { path, is_group,
 * accepted, default? (JSON text), only_kind?, help }. A new reference.                                                            */
json_t *cox_config_describe(void);

/* A copy for people to read: tokens, and user and password inside of URLs, are "***". A new reference. */
json_t *cox_config_masked(const json_t *config);

#endif
