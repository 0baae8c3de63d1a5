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

/* What may be done to nodes by their own routes only by administrators, others may not do by a command either, whatever its file
 * says.                                                                                                                        */
static bool is_like_a_route(const char *name) {
  static const char *const admins[] = {"register_node", "update_node", "remove_node"};
  size_t i = 0;
  while (i < sizeof admins / sizeof *admins && strcmp(admins[i], name) != 0) i++;
  return i < sizeof admins / sizeof *admins;
}

/* Does its file ask for administrators? */
static bool is_for_admins(const struct cox_api_options *options, const char *name) {
  json_t *const list = options->commands_json != NULL ? options->commands_json(options->commands_ctx) : NULL;
  bool is = false;
  size_t i;
  json_t *command;
  json_array_foreach(list, i, command) {
    const char *const own = json_string_value(json_object_get(command, "name"));
    const char *const scope = json_string_value(json_object_get(command, "scope"));
    if (own != NULL && strcmp(own, name) == 0) is = scope != NULL && strcmp(scope, "admin") == 0;
  }
  json_decref(list);
  return is;
}

static bool may_run(struct cox_request *request, const char *name) {
  const struct cox_caller *const caller = request->caller;
  if (caller->scope >= COX_SCOPE_ADMIN || !(is_like_a_route(name) || is_for_admins(&request->api->options, name))) return true;
  cox_request_fail(request, 403, "the command %.200s needs a token with the scope admin, and that of %s has only %s: use another token",
                   name, caller->name, cox_scope_name(caller->scope));
  return false;
}

void cox_post_command(struct cox_request *request) {
  if (!may_run(request, request->match.param[0])) return;
  json_t *const args = cox_request_object(request);
  if (args != NULL) cox_request_call(request, request->match.param[0], args, answered);
}
