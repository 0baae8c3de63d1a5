/* The wiring: store, scripts, broker, workers and API put together from one configuration, started and stopped in order. */
#ifndef COX_DAEMON_H
#define COX_DAEMON_H

#include <jansson.h>

#include "api/api.h"
#include "base/err.h"
#include "core/broker.h"
#include "core/scripts.h"

struct cox_daemon;

/* Who may reach the API, as that configuration says; borrows from it, and the rest is empty. */
struct cox_api_options cox_daemon_access(const json_t *config);
/* For programs that are nothing but the daemon, before any thread: takes all the open files the system allows, and keeps the
 * allocator from spreading each thread's memory over an arena of its own.                                                   */
void cox_daemon_tune_process(void);
/* For the same, now and then: returns to the system what lies free within the allocator's arenas. Else the highest of all peaks (two sets
 * of scripts, blocks that came while the machine had no time for us) stays resident for ever.                                          */
void cox_daemon_tidy_process(void);
/* Starts everything: store → scripts → broker → workers → API (not ready) → nodes → jobs → ready. `config` is an effective
 * configuration (cox_config_load). NULL with every reason in `faults`; then nothing runs any more.                    */
struct cox_daemon *cox_daemon_start(json_t *config, struct cox_faults *faults);
/* Stops leasing and commands, cancels attempts, stops the workers and the API: within 5 s. */
void cox_daemon_stop(struct cox_daemon *daemon);
/* SIGHUP: the certificate again, and the nodes of a configuration that was read anew. Reports what changed and what was refused to the log. */
void cox_daemon_declare(struct cox_daemon *daemon, json_t *config);
/* The thread that declares, now and then: declares what the store refused for a while, as soon as it can be written. True: that is still to
 * come, so call again in a second.                                                                                                     */
bool cox_daemon_settle(struct cox_daemon *daemon);
/* From now on a reload that is asked for takes the folders of scripts that `folders` names then: a new reference to the list, on another
 * thread; NULL: they are as they were, or, with faults, the configuration is broken. `ctx` is not touched any more after the stop.      */
void cox_daemon_follow(struct cox_daemon *daemon, json_t *(*folders)(void *ctx, struct cox_faults *faults), void *ctx);
/* The scripts may be others now: they are loaded beside the present ones, as by an edit. Never waits. */
void cox_daemon_look_at_scripts(struct cox_daemon *daemon, const char *caller);
const struct cox_scripts *cox_daemon_scripts(struct cox_daemon *daemon);
struct cox_broker *cox_daemon_broker(struct cox_daemon *daemon);
/* Of the admin API. */
unsigned cox_daemon_port(const struct cox_daemon *daemon);

#endif
