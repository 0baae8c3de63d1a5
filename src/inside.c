#include "inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logging.h"
#include "subcommands.h"

struct cox_daemon *cox_inside_start(const char *path, const char *log_file, char **socket) {
  int exit_code;
  struct cox_faults faults = {0};
  struct cox_daemon *daemon = NULL;
  json_t *const config = cox_load_config(path, NULL, &exit_code);
  const char *const place = json_string_value(json_object_get(json_object_get(config, "admin"), "socket"));
  if (config == NULL) return NULL;
  signal(SIGPIPE, SIG_IGN);
  if (place == NULL || *place == '\0') {
    fprintf(stderr, "%s: a console needs a control socket: set admin.socket\n", path);
  } else if (cox_logging_start(config, log_file != NULL ? log_file : "coxswain-standalone.log")) {
    fprintf(stderr, "the daemon runs in this process; its log goes to %s\n", log_file != NULL ? log_file : "coxswain-standalone.log");
    daemon = cox_daemon_start(config, &faults);
    cox_print_faults(&faults);
  }
  if (daemon != NULL) *socket = strdup(place);
  cox_faults_fini(&faults);
  json_decref(config);
  return daemon;
}

void cox_inside_stop(struct cox_daemon *daemon) { cox_daemon_stop(daemon); }
