/* `coxswain commands`: what the broker can be told. */
#include <stdio.h>

#include "console/client_commands.h"
#include "console/commands_view.h"
#include "console/request.h"

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {{"json", 0, NULL, "prints JSON"}, {0}};

const struct cox_cli_entry cox_cli_commands = {
    .name = "commands",
    .synopsis = "[--json]",
    .summary = "Lists the commands of the broker, those that its scripts add too",
    .detail = "`coxswain command NAME` sends one.",
    .options = options,
    .is_client = true,
    .run = run,
};

static int print_table(const struct cox_cli_session *session, const json_t *list) {
  struct cox_term term;
  struct cox_buf out = {0};
  cox_term_look(fileno(stdout), &term);
  const bool is_good = cox_commands_view(list, &term, &out);
  if (out.data != NULL) fputs(out.data, stdout);
  cox_buf_fini(&out);
  return is_good ? COX_EXIT_DONE : cox_cli_fail(session->args.program, "out of memory");
}

json_t *cox_cli_fetch_list(struct cox_cli_session *session, const char *path, int *exit_code) {
  json_t *list;
  if (cox_cli_request(session, "GET", path, NULL, &list, exit_code) == 0) return NULL;
  if (json_is_array(list)) return list;
  *exit_code = cox_cli_fail(session->args.program, "%s answered something else than a list: is it a coxswain?",
                            cox_cli_target_place(&session->target));
  json_decref(list);
  return NULL;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_commands, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  json_t *const list = cox_cli_fetch_list(&session, "/v1/commands", &exit_code);
  if (list != NULL && cox_cli_args_has(&session.args, "json")) cox_cli_print_json(list, false);
  else if (list != NULL) exit_code = print_table(&session, list);
  json_decref(list);
  cox_cli_session_end(&session);
  return exit_code;
}
