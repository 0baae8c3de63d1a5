/* `coxswain run`: the daemon in the foreground. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon.h"
#include "notify.h"
#include "subcommands.h"

static void set_log(const json_t *config) {
  const json_t *const log = json_object_get(config, "log");
  enum cox_log_level level = COX_LOG_INFO;
  cox_log_level_parse(json_string_value(json_object_get(log, "level")), &level);
  const char *const format = json_string_value(json_object_get(log, "format"));
  cox_log_setup(level, format != NULL && strcmp(format, "json") == 0, STDERR_FILENO);
}

/* Blocked before any thread starts, so that only the signalfd sees them. */
static int open_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC);
}

/* SIGHUP: the nodes file. A configuration that is broken now changes nothing. */
static void reload(struct cox_daemon *daemon, const char *path, const char *const *overrides) {
  cox_notify("RELOADING=1");
  int exit_code;
  json_t *const config = cox_load_config(path, overrides, &exit_code);
  if (config != NULL) cox_daemon_declare(daemon, config);
  else cox_log(COX_LOG_ERROR, "main", "the configuration is broken now: nothing was changed", "file", path, NULL);
  json_decref(config);
  cox_notify("READY=1");
}

static void serve(struct cox_daemon *daemon, int signals, const char *path, const char *const *overrides) {
  for (;;) {
    struct signalfd_siginfo info;
    const ssize_t len = read(signals, &info, sizeof info);
    if (len < 0 && errno == EINTR) continue;
    if (len != (ssize_t)sizeof info) return;
    if (info.ssi_signo != SIGHUP) {
      cox_log(COX_LOG_INFO, "main", "stopping", "signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM", NULL);
      return;
    }
    reload(daemon, path, overrides);
  }
}

static int run_daemon(json_t *config, const char *path, const char *const *overrides) {
  set_log(config);
  const int signals = open_signals();
  if (signals < 0) {
    fprintf(stderr, "starting failed: %s\n", strerror(errno));
    return COX_EXIT_FAILED;
  }
  struct cox_faults faults = {0};
  struct cox_daemon *const daemon = cox_daemon_start(config, &faults);
  cox_print_faults(&faults);
  cox_faults_fini(&faults);
  if (daemon != NULL) {
    cox_notify("READY=1");
    serve(daemon, signals, path, overrides);
    cox_notify("STOPPING=1");
    cox_daemon_stop(daemon);
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

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_run_entry, 0, 0, argc, argv, &exit_code)) return exit_code;
  const char *const path = cox_cli_args_value(&args, "config");
  const char **const overrides = with_store(&args);
  if (path == NULL) {
    exit_code = cox_cli_misuse(args.program, "-c FILE is missing: the configuration to run");
  } else {
    json_t *const config = cox_load_config(path, overrides, &exit_code);
    if (config != NULL) exit_code = run_daemon(config, path, overrides);
    json_decref(config);
  }
  free(overrides);
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"config", 'c', "FILE", "the configuration, a Lua file that returns a table"},
    {"define", 'D', "KEY=VALUE", "override one key of it, as in -D admin.listen=127.0.0.1:9300; may be repeated"},
    {"store", 0, "FILE", "keep the state in that file, or in none with :memory:; the same as -D store=FILE"},
    {0},
};

const struct cox_cli_entry cox_run_entry = {
    .name = "run",
    .synopsis = "-c FILE [-D key=value]… [--store FILE]",
    .summary = "Runs the daemon in the foreground",
    .run = run,
    .detail = "The log goes to standard error. SIGTERM and SIGINT stop it within 5 s; SIGHUP reads the nodes file again.",
    .options = options,
};
