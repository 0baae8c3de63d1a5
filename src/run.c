/* `coxswain run`: the daemon, in the foreground or detached. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon.h"
#include "detach.h"
#include "follow.h"
#include "logging.h"
#include "notify.h"
#include "pidfile.h"
#include "subcommands.h"

/* What was asked for. */
struct plan {
  const char *program;
  char *config;                 /* path, absolute */
  const char *const *overrides; /* of -D */
  const char *log_file, *pidfile;
  bool is_detached;
};

/* Blocked before any thread starts, so that only the signalfd sees them. */
static int open_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error of the store, and not the end */
  return signalfd(-1, &set, SFD_CLOEXEC);
}

/* SIGHUP: the log's file, the nodes file and the scripts. A configuration that is broken now changes nothing but what stands in the
 * folders of scripts that are there already.                                                                                     */
static void reload(struct cox_daemon *daemon, const struct plan *plan) {
  cox_notify_reloading();
  cox_logging_reopen();
  int exit_code;
  struct cox_faults faults = {0};
  json_t *const config = cox_load_config_quietly(plan->config, plan->overrides, &exit_code, &faults);
  if (config != NULL) cox_daemon_declare(daemon, config);
  else cox_log(COX_LOG_ERROR, "main", "the configuration is broken now: nothing was changed", "file", plan->config, NULL);
  for (size_t i = 0; config == NULL && i < faults.count; i++) {
    cox_log(COX_LOG_ERROR, "main", "a fault in the configuration", "file", faults.list[i].file, "line", COX_LOG_INT(faults.list[i].line), "reason",
            faults.list[i].text, NULL);
  }
  cox_daemon_look_at_scripts(daemon, "SIGHUP");
  cox_faults_fini(&faults);
  json_decref(config);
  cox_notify("READY=1\nSTATUS=Serving");
}

/* The manager's watchdog is fed only while both loops turn: a main thread that lives proves nothing. */
static void feed_watchdog(struct cox_daemon *daemon, int64_t watchdog_ms, bool *was_alive) {
  if (watchdog_ms == 0) return;
  const bool is_alive = cox_broker_is_alive(cox_daemon_broker(daemon), watchdog_ms / 2);
  if (is_alive) cox_notify("WATCHDOG=1");
  else if (*was_alive) cox_log(COX_LOG_ERROR, "main", "a loop does not turn: the watchdog is not fed any more", NULL);
  *was_alive = is_alive;
}

enum { TIDY_MS = 60000, SETTLE_MS = 1000 };

static void tidy(int64_t *at_ms) {
  const int64_t now_ms = cox_clock_mono_us(cox_clock_system()) / 1000;
  if (now_ms < *at_ms + TIDY_MS) return;
  cox_daemon_tidy_process();
  *at_ms = now_ms;
}

/* Until the next look at what is done without being asked for. */
static int nap_ms(struct cox_daemon *daemon, int64_t watchdog_ms) {
  const int settle_ms = cox_daemon_settle(daemon) ? SETTLE_MS : TIDY_MS;
  return watchdog_ms > 0 && watchdog_ms / 4 < settle_ms ? (int)(watchdog_ms / 4 + 1) : settle_ms;
}

/* Until a signal ends it. */
static void serve(struct cox_daemon *daemon, int signals, const struct plan *plan) {
  const int64_t watchdog_ms = cox_notify_watchdog_ms();
  int64_t tidied_ms = 0; /* at once: what the start needed */
  struct pollfd ready = {.fd = signals, .events = POLLIN};
  bool was_alive = true;
  for (;;) {
    struct signalfd_siginfo info;
    feed_watchdog(daemon, watchdog_ms, &was_alive);
    tidy(&tidied_ms);
    const int count = poll(&ready, 1, nap_ms(daemon, watchdog_ms));
    if (count == 0 || (count < 0 && errno == EINTR)) continue;
    if (count < 0 || read(signals, &info, sizeof info) != (ssize_t)sizeof info) return;
    if (info.ssi_signo != SIGHUP) {
      cox_log(COX_LOG_INFO, "main", "stopping", "signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM", NULL);
      return;
    }
    reload(daemon, plan);
  }
}

/* In the process that stays. */
static int run_here(json_t *config, const struct plan *plan, struct cox_pidfile *pidfile) {
  struct cox_err err;
  struct cox_faults faults = {0};
  cox_daemon_tune_process();
  struct cox_follow follow = {.path = plan->config, .overrides = plan->overrides};
  const int signals = open_signals();
  if (signals < 0) return cox_cli_fail(plan->program, "starting failed: %s", strerror(errno));
  if (!cox_logging_start(config, plan->log_file)) return COX_EXIT_FAILED;
  if (cox_pidfile_write(pidfile, &err) != 0) return cox_cli_fail(plan->program, "%s", err.text);
  struct cox_daemon *const daemon = cox_daemon_start(config, &faults);
  cox_print_faults(&faults);
  cox_faults_fini(&faults);
  json_object_del(config, "nodes"); /* they are declared */
  if (daemon != NULL) {
    cox_daemon_follow(daemon, cox_follow_folders, &follow);
    if (plan->is_detached) cox_detach_ready();
    cox_notify("READY=1\nSTATUS=Serving");
    serve(daemon, signals, plan);
    cox_notify("STOPPING=1\nSTATUS=Stopping");
    cox_daemon_stop(daemon);
    cox_log(COX_LOG_INFO, "main", "stopped", NULL);
  }
  close(signals);
  return daemon != NULL ? COX_EXIT_DONE : COX_EXIT_FAILED;
}

/* The overrides, with --store as the last. free() it: its text stands behind the list. */
static const char **with_store(const struct cox_cli_args *args) {
  static const char key[] = "store=";
  const char **const given = cox_overrides(args);
  const char *const store = cox_cli_args_value(args, "store");
  size_t count = 0;
  while (given[count] != NULL) count++;
  if (store == NULL) return given;
  const size_t size = sizeof key + strlen(store);
  const char **const list = malloc((count + 2) * sizeof *list + size);
  if (list == NULL) abort(); /* at start-up, before anything lives */
  char *const text = (char *)(void *)(list + count + 2);
  memcpy(list, given, count * sizeof *list);
  snprintf(text, size, "%s%s", key, store);
  list[count] = text;
  list[count + 1] = NULL;
  free(given);
  return list;
}

static int run_plan(json_t *config, const struct plan *plan) {
  struct cox_err err;
  struct cox_pidfile pidfile;
  bool is_ready = false;
  if (cox_pidfile_open(&pidfile, plan->pidfile, &err) != 0) return cox_cli_fail(plan->program, "%s", err.text);
  const enum cox_detach_side side = plan->is_detached ? cox_detach(&is_ready, &err) : COX_DETACH_CHILD;
  if (side == COX_DETACH_PARENT) {
    cox_pidfile_leave(&pidfile);
    return is_ready ? COX_EXIT_DONE : COX_EXIT_FAILED;
  }
  const int exit_code = side == COX_DETACH_CHILD ? run_here(config, plan, &pidfile) : cox_cli_fail(plan->program, "%s", err.text);
  cox_pidfile_close(&pidfile);
  return exit_code;
}

static int run_parsed(const struct cox_cli_args *args) {
  struct plan plan = {
      .program = args->program,
      .log_file = cox_cli_args_value(args, "log-file"),
      .pidfile = cox_cli_args_value(args, "pidfile"),
      .is_detached = cox_cli_args_has(args, "daemon"),
  };
  const char *const path = cox_cli_args_value(args, "config");
  if (path == NULL) return cox_cli_misuse(args->program, "-c FILE is missing: the configuration to run");
  if (plan.is_detached && plan.log_file == NULL) return cox_cli_misuse(args->program, "--daemon needs --log-file L: a detached daemon has no other place to say anything");
  const char **const overrides = with_store(args);
  int exit_code;
  json_t *const config = cox_load_config(path, overrides, &exit_code);
  plan.overrides = overrides;
  plan.config = config != NULL ? realpath(path, NULL) : NULL;
  if (config != NULL) exit_code = run_plan(config, &plan);
  free(plan.config);
  json_decref(config);
  free(overrides);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_run_entry, 0, 0, argc, argv, &exit_code)) return exit_code;
  exit_code = run_parsed(&args);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"config", 'c', "FILE", "the configuration, a Lua file that returns a table"},
    {"define", 'D', "KEY=VALUE", "override one key of it, as in -D admin.listen=127.0.0.1:9300; may be repeated"},
    {"daemon", 0, NULL, "detach: returns 0 once the daemon is ready, 1 with the reason when it does not get there"},
    {"pidfile", 0, "P", "write the process's number there, locked while it runs, removed when it stops"},
    {"log-file", 0, "L", "the log goes there instead of standard error; opened anew at SIGHUP"},
    {"store", 0, "FILE", "keep the state in that file, or in none with :memory:; the same as -D store=FILE"},
    {0},
};

const struct cox_cli_entry cox_run_entry = {
    .name = "run",
    .synopsis = "-c FILE [-D key=value]… [--store FILE] [--daemon --log-file L] [--pidfile P]",
    .summary = "Runs the daemon, in the foreground or detached",
    .run = run,
    .detail = "In the foreground the log goes to standard error. SIGTERM and SIGINT stop it within 5 s; SIGHUP reads the scripts,\n"
              "from the folders that FILE names now, and the nodes file again and opens the log file anew. A service manager is told of each step (sd_notify), and its watchdog is fed.",
    .options = options,
};
