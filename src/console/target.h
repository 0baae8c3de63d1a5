/* Finding the daemon, and what client subcommands get from outside of this room. */
#ifndef COX_CONSOLE_TARGET_H
#define COX_CONSOLE_TARGET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "console/cli.h"
#include "core/client.h"

/* The ctx of every client entry. Filled by main, which may enter the rooms that implement it. */
struct cox_daemon; /* of whoever wires */

struct cox_cli_env {
  /* As in core/client.h: one exchange with the daemon. */
  int (*call)(const struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out,
              struct cox_err *err);
  /* The effective configuration of a file (admin.listen, admin.token, admin.tls, …), secrets not masked; a new reference, or
   * NULL with its faults.                                                                                                        */
  json_t *(*load_config)(const char *path, struct cox_faults *faults);
  const struct cox_cli_entry *entries; /* the whole table, for completions and the manual */
  size_t entry_count;
  const struct cox_clock *clock; /* NULL: the machine's */
  /* Paths that are looked at when nobody says anything, ended by NULL. NULL: ./coxswain.lua, /etc/coxswain/coxswain.lua. */
  const char *const *config_places;
  /* For --watch: waits `ms`; false: it is over (a signal came). NULL: the real thing. */
  bool (*pause)(void *arg, int64_t ms);
  void *pause_arg;
  /* For `repl --standalone`: starts the daemon of a configuration inside of this process, with its log to a file (NULL: one that it
   * chooses and names); `*socket` becomes its control socket, to be freed. NULL: it said why on stderr.                            */
  struct cox_daemon *(*start_inside)(const char *config, const char *log_file, char **socket);
  void (*stop_inside)(struct cox_daemon *daemon);
  json_t *(*describe_config)(void); /* as cox_config_describe; a new reference */
  /* The folder of the shipped scripts, for the authors' guide in it. 0, or a code with the reason. */
  int (*find_scripts)(char *out, size_t size, struct cox_err *err);
  /* Loads the scripts of a configuration and runs their cases: the faults are added. */
  void (*check_scripts)(json_t *config, struct cox_faults *faults);
};

/* Where the daemon is. */
struct cox_cli_target {
  struct cox_client client; /* its texts are the ones below */
  char *base_url, *unix_socket, *token, *config, *ca; /* owned; NULL: none */
};

/* By the options of `args`, then the environment, then the usual configuration files, then the default, as CONTRACT says.
 * A token of a configuration is used only with the address of that configuration, or when the configuration was named by the
 * same means: it is never sent to an address that it was not made for. A configuration that exists but is broken is an error
 * even when nobody named it: another daemon must not be taken for ours. Returns an exit code; the reason is on stderr.         */
int cox_cli_target_find(struct cox_cli_target *target, const struct cox_cli_env *env, const struct cox_cli_args *args);
void cox_cli_target_fini(struct cox_cli_target *target);
/* The configuration that a subcommand without a daemon works on: -c, COXSWAIN_CONFIG, or the first of the usual files that is there.
 * NULL: none. Borrowed from the options, the environment or `env`.                                                                  */
const char *cox_cli_config_find(const struct cox_cli_env *env, const struct cox_cli_args *args);
/* "http://…" or the socket's path, for messages. */
const char *cox_cli_target_place(const struct cox_cli_target *target);

#endif
