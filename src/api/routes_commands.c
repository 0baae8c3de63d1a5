/* Any command, by its name. */
#include "api/routes.h"

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

void cox_post_command(struct cox_request *request) {
  json_t *const args = cox_request_object(request);
  if (args != NULL) cox_request_call(request, request->match.param[0], args, answered);
}
