/* `coxswain command`: any command of the broker. */
#include <stdio.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/pairs.h"
#include "console/request.h"
#include "console/suggest.h"
#include "console/text.h"

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {
    {"json", 0, "ARGS", "the arguments as a JSON object; key=value pairs are added to it"},
    {0},
};

const struct cox_cli_entry cox_cli_command = {
    .name = "command",
    .synopsis = "NAME [key=value…] [--json ARGS]",
    .summary = "Sends a command to the broker and prints its answer as JSON",
    .detail = "Numbers and true/false are read as such; a value in double quotes is a text ('\"12\"'). A command that is skipped\n"
              "prints the reason and is no failure. For example:\n"
              "  coxswain command reconcile node_id=node1\n"
              "  coxswain command new_block height=100 hash=AB --json '{\"epoch\":{\"index\":1,\"poc_start_block_height\":90}}'",
    .options = options,
    .is_client = true,
    .run = run,
};

static void print_answer(const json_t *answer) {
  const char *const status = json_string_value(json_object_get(answer, "status"));
  const json_t *const result = json_object_get(answer, "result");
  struct cox_buf text = {0};
  if (status != NULL && strcmp(status, "skipped") == 0) {
    const char *const reason = json_string_value(json_object_get(answer, "reason"));
    if (cox_text_clean(&text, reason != NULL ? reason : "no reason was given")) fprintf(stdout, "skipped: %s\n", text.data);
    cox_buf_fini(&text);
  } else if (result != NULL && !json_is_null(result)) {
    cox_cli_print_json(result, false);
  } else {
    fputs("done\n", stdout);
  }
}

/* A command was not found, or a node that it is about: the daemon's list tells which. The API's words name a route. */
static void refuse_unknown(struct cox_cli_session *session, const char *name, const json_t *answer) {
  struct cox_suggestion near = {.word = name};
  json_t *list = NULL, *command;
  size_t i;
  int ignored;
  bool is_known = cox_cli_request_any(session, "GET", "/v1/commands", NULL, &list, &ignored) != 200 || !json_is_array(list);
  json_array_foreach(list, i, command) {
    const char *const known = json_string_value(json_object_get(command, "name"));
    if (known == NULL) continue;
    is_known = is_known || strcmp(known, name) == 0;
    cox_suggest_offer(&near, known);
  }
  const bool is_near = near.best != NULL;
  if (is_known) cox_cli_report_refusal(session, 404, answer);
  else cox_cli_fail(session->args.program, "there is no command %s%s%s%s `coxswain commands` lists them", name,
                    is_near ? ": did you mean " : ":", is_near ? near.best : "", is_near ? "?" : "");
  json_decref(list);
}

static int send(struct cox_cli_session *session, const json_t *args) {
  const char *const name = session->args.rest[0];
  struct cox_buf path = {0};
  json_t *answer = NULL;
  int exit_code;
  cox_buf_addf(&path, "/v1/commands/");
  cox_cli_add_segment(&path, name);
  const int status = cox_cli_request_any(session, "POST", path.data, args, &answer, &exit_code);
  if (status >= 200 && status < 300) {
    print_answer(answer);
  } else if (status != 0) {
    exit_code = COX_EXIT_FAILED;
    if (status == 404) refuse_unknown(session, name, answer);
    else cox_cli_report_refusal(session, status, answer);
  }
  json_decref(answer);
  cox_buf_fini(&path);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  struct cox_err err = {0};
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_command, 1, -1, ctx, argc, argv, &exit_code)) return exit_code;
  json_t *const args = cox_pairs_object(cox_cli_args_value(&session.args, "json"), session.args.rest + 1, session.args.rest_count - 1, &err);
  if (session.args.rest[0][0] == '\0') exit_code = cox_cli_misuse(argv[0], "the command's name is empty");
  else exit_code = args != NULL ? send(&session, args) : cox_cli_misuse(argv[0], "%s", err.text);
  json_decref(args);
  cox_cli_session_end(&session);
  return exit_code;
}
