/* Any command, by its name. */
#include "api/routes.h"

#include <string.h>

#include "api/call.h"
#include "api/server.h"

void cox_get_commands(struct cox_request *request) {
  const struct cox_api_options *const options = &request->api->options;
  if (options->commands_json != NULL) cox_request_answer(request, 200, options->commands_json(options->commands_ctx));
  else cox_request_fail(request, 503, "the list of commands is not there: the scripts are not live");
}

static void answered(struct cox_request *request, struct cox_wait *wait) {
  const struct cox_answer *const answer = cox_calls_answer(wait, 0);
  if (answer->outcome == COX_ANSWER_ERROR) cox_request_fail_as(request, answer);
  else cox_request_answer(request, 200, cox_answer_json(answer));
}

/* What may be done to nodes by their own routes only by administrators, others may not do by a command either. */
static bool may_run(struct cox_request *request, const char *name) {
  static const char *const admins[] = {"register_node", "update_node", "remove_node"};
  for (size_t i = 0; i < sizeof admins / sizeof *admins && request->caller->scope < COX_SCOPE_ADMIN; i++) {
    if (strcmp(admins[i], name) != 0) continue;
    cox_request_fail(request, 403, "the command %s needs a token with the scope admin, and that of %s has only %s: use another token",
                     name, request->caller->name, cox_scope_name(request->caller->scope));
    return false;
  }
  return true;
}

void cox_post_command(struct cox_request *request) {
  if (!may_run(request, request->match.param[0])) return;
  json_t *const args = cox_request_object(request);
  if (args != NULL) cox_request_call(request, request->match.param[0], args, answered);
}
