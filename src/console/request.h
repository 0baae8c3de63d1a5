/* One request to the daemon and what the user is told about its outcome. */
#ifndef COX_CONSOLE_REQUEST_H
#define COX_CONSOLE_REQUEST_H

#include <jansson.h>

#include "console/target.h"

/* What a client subcommand works with: its options and the daemon. */
struct cox_cli_session {
  const struct cox_cli_env *env;
  struct cox_cli_args args;
  struct cox_cli_target target;
  bool is_patient; /* that no daemon can be reached is no news: the caller tries again */
};

/* Parses the options and finds the daemon. False: the call ends with `*exit_code`. */
bool cox_cli_session_begin(struct cox_cli_session *session, const struct cox_cli_entry *entry, int least, int most, void *ctx,
                           int argc, char **argv, int *exit_code);
void cox_cli_session_end(struct cox_cli_session *session);
int64_t cox_cli_session_now_ms(const struct cox_cli_session *session);

/* Sends `body` (NULL: none; borrowed). `*answer` becomes the answer as JSON, a new reference, NULL when there is none.
 * Returns the HTTP status when it is below 400; otherwise 0 with `*exit_code` set, and the daemon's words are on stderr.   */
int cox_cli_request(struct cox_cli_session *session, const char *method, const char *path, const json_t *body, json_t **answer,
                    int *exit_code);
/* Same, for callers that handle refusals themselves: the HTTP status (any), or 0 when there was no exchange (reported). */
int cox_cli_request_any(struct cox_cli_session *session, const char *method, const char *path, const json_t *body, json_t **answer,
                        int *exit_code);
/* A list from GET `path`, a new reference; NULL: `*exit_code`, reported. */
json_t *cox_cli_fetch_list(struct cox_cli_session *session, const char *path, int *exit_code);
/* Prints the words of an answer with a status of 400 or more. Returns COX_EXIT_FAILED. */
int cox_cli_report_refusal(const struct cox_cli_session *session, int status, const json_t *answer);

/* Appends a path with `id` made safe: whatever it holds stays one segment. */
void cox_cli_add_segment(struct cox_buf *path, const char *id);
/* Prints JSON on stdout, indented (or in one line), with nothing in it that could act on a terminal. */
void cox_cli_print_json(const json_t *value, bool is_one_line);
/* A JSON file, a new reference; NULL: reported. "-" is the standard input. */
json_t *cox_cli_read_json(const char *program, const char *path);

#endif
