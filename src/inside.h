/* A daemon inside of a console's process (`repl --standalone`). */
#ifndef COX_INSIDE_H
#define COX_INSIDE_H

#include "daemon.h"

/* As struct cox_cli_env says. */
struct cox_daemon *cox_inside_start(const char *config, const char *log_file, char **socket);
void cox_inside_stop(struct cox_daemon *daemon);

#endif
