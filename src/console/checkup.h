/* What `init` and `doctor` find: a list of findings, each in words. Nothing here changes anything anywhere. */
#ifndef COX_CONSOLE_CHECKUP_H
#define COX_CONSOLE_CHECKUP_H

#include <jansson.h>

#include "base/lock.h"
#include "console/target.h"

enum cox_health { COX_HEALTH_GOOD, COX_HEALTH_DOUBT, COX_HEALTH_BAD };

/* Any thread may add. */
struct cox_checkup {
  const struct cox_cli_env *env;
  struct cox_mutex mutex; /* guards the list */
  json_t *findings;       /* [{ check, on, health: good, look or bad, words, … }] */
};

void cox_checkup_init(struct cox_checkup *checkup, const struct cox_cli_env *env);
void cox_checkup_fini(struct cox_checkup *checkup);
/* `check` is the kind ("node"), `on` the thing ("node1"). Returns the finding, borrowed, for further fields. */
json_t *cox_checkup_add(struct cox_checkup *checkup, const char *check, const char *on, enum cox_health health, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Lines for people; what is good in the order in which it was found, the rest behind it, so that it is seen. */
void cox_checkup_print(struct cox_checkup *checkup);
size_t cox_checkup_count(struct cox_checkup *checkup, enum cox_health health);

/* ---- asking others ---- */

struct cox_asked {
  int status;     /* of HTTP; 0: no exchange, and `err` says why */
  json_t *answer; /* owned; NULL: no JSON */
  int latency_ms;
  struct cox_err err;
};

enum { COX_ASK_MS = 5000 };
/* GET url + path. Any thread. */
void cox_ask(const struct cox_cli_env *env, const char *url, const char *path, struct cox_asked *out);
void cox_asked_fini(struct cox_asked *asked);

/* ---- checks ---- */

/* Every node of a list of node objects: reachable, state, release, latency. Asks 16 at a time. */
void cox_checkup_nodes(struct cox_checkup *checkup, const json_t *nodes);
/* The endpoints of `feed`, when it follows a chain. Returns the best height, 0: none is known. */
int64_t cox_checkup_chain(struct cox_checkup *checkup, const json_t *config);
/* This machine, for that configuration: clock, limits, permissions, disk, ports, the store's file. */
void cox_checkup_host(struct cox_checkup *checkup, const json_t *config, const char *path, bool has_daemon);
/* Do nodes that post to callback_url find somebody? */
void cox_checkup_callback(struct cox_checkup *checkup, const json_t *config);

/* Is the host of a URL (or a bare host) this machine alone? */
bool cox_is_loopback(const char *url);

#endif
