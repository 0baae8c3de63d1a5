/* The HTTP face of the broker, on libmicrohttpd. To read the room: server.h (the whole), request.h (one request), wait.h
 * (answers that come later), route.c (the table). */
#ifndef COX_API_API_H
#define COX_API_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/broker.h"
#include "core/scripts.h"

struct cox_api;

struct cox_key_record;

/* More for /metrics, from rooms that the core does not feed: the store has its place here. */
enum { COX_METRICS_STORE, COX_METRICS_MORE, COX_METRICS_SOURCES };
struct cox_metrics_source {
  /* On cox-api-render: appends text as in core/metrics.h; false: out of memory. NULL: there is nothing. */
  bool (*add)(void *ctx, struct cox_buf *out);
  void *ctx;
};

struct cox_api_options {
  const char *listen;     /* "127.0.0.1:9200", "[::1]:0"; port 0: any free one */
  const char *token;      /* the administrator's; NULL: none */
  const json_t *tokens;   /* of others: [{"token" or "token_file", "scope": "read"|"operate"|"admin", "name"}]; NULL: none */
  const char *tls_cert, *tls_key; /* PEM files; NULL: plain HTTP */
  bool is_insecure;       /* allows a public address without a token */
  struct cox_broker *broker;
  json_t *config;         /* effective configuration with secrets masked; borrowed, held */
  /* Any thread of the API: a new reference to the list of commands, [{"name","help","scope": "operate" or "admin",…}]. NULL: there is no list. */
  json_t *(*commands_json)(void *ctx);
  void *commands_ctx;
  const struct cox_scripts *scripts; /* outlives the API; NULL: scripts are not loaded anew */
  double scripts_s;       /* until a reload, rollback or plan is answered; 0: 25 */
  double request_s;       /* until a request is complete; 0: 10 */
  double command_s;       /* until a command is answered; 0: 10 */
  struct cox_metrics_source metrics[COX_METRICS_SOURCES];
  /* Any thread of the API; none may block. Outcomes of Idempotency-Keys for a store that lets them survive (api/key.h). NULL: they
   * are kept in memory only. `keep_outcome`: 0, then `done` comes once, from any thread, and only then the outcome is told to
   * anybody; else it could not be kept. `forget_outcome`: it is too old, or one too many.                                          */
  int (*keep_outcome)(void *ctx, const struct cox_key_record *record, void (*done)(void *arg, const struct cox_err *err), void *arg);
  void (*forget_outcome)(void *ctx, const char *caller, const char *key);
  /* From cox_api_create, before any request: calls cox_api_restore_outcome for each outcome that the store kept, oldest first. */
  void (*restore_outcomes)(void *ctx, struct cox_api *api);
  void *keep_ctx;
  double key_s;           /* an outcome is kept; 0: 24 h */
  size_t keys_max;        /* outcomes kept; 0: 10 000 */
  size_t connections_max; /* 0: from the limit of open files, at most 12 000 */
};

/* What would stop a start, without one: the address, tokens and their files, certificate and key. 0, or a code with the first of them; `doubts`
 * gets what would not stop it and should not be so.                                                                                     */
int cox_api_check(const struct cox_api_options *options, struct cox_faults *doubts, struct cox_err *err);
struct cox_api *cox_api_create(const struct cox_api_options *options, struct cox_err *err);
unsigned cox_api_port(const struct cox_api *api);
/* Any thread, until destroy: serves a connected stream socket (non-blocking, nothing read from it yet). Takes the descriptor. */
void cox_api_adopt(struct cox_api *api, int fd);
/* /readyz answers 200 from now on. */
void cox_api_set_ready(struct cox_api *api, bool is_ready);
/* An outcome that a store kept. 0 or COX_ENOMEM. */
int cox_api_restore_outcome(struct cox_api *api, const struct cox_key_record *record);
/* Reads certificate and key again: new connections get them. 0 (also without TLS), or a code with the file that is wrong; then
 * the old ones go on.                                                                                                          */
int cox_api_reload_tls(struct cox_api *api, struct cox_err *err);
/* Answers everything that waits (503), then stops; within a second. Commands it sent may be answered later: the broker
 * may be stopped before the API is destroyed or after it, and is destroyed last.                                       */
void cox_api_destroy(struct cox_api *api);

#endif
