/* `coxswain export` and `coxswain import`: the fleet as JSON, to carry it elsewhere or to look at it. */
#include <stdio.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/moment.h"
#include "console/request.h"

static const char nodes_path[] = "/admin/v1/nodes", batch_path[] = "/admin/v1/nodes/batch";

static int run_export(void *ctx, int argc, char **argv);
static int run_import(void *ctx, int argc, char **argv);

static const struct cox_cli_option export_options[] = {
    {"node-config", 0, NULL, "only the list of nodes, in the shape of the network's node-config.json"},
    {"json", 0, NULL, "prints JSON, as it does anyway"},
    {0},
};

const struct cox_cli_entry cox_cli_export = {
    .name = "export",
    .synopsis = "[--node-config]",
    .summary = "Prints nodes and admin states as JSON",
    .options = export_options,
    .is_client = true,
    .run = run_export,
};

const struct cox_cli_entry cox_cli_import = {
    .name = "import",
    .synopsis = "FILE",
    .summary = "Registers or updates the nodes of a file and sets their admin states",
    .detail = "FILE is what `coxswain export` printed, or a node-config.json; - is the standard input. Nodes that are not in it stay.",
    .is_client = true,
    .run = run_import,
};

/* ---- export ---- */

static json_t *config_of(const json_t *object) {
  json_t *const config = json_copy(json_object_get(object, "node"));
  const json_t *const kind = json_object_get(config, "kind");
  json_object_del(config, "node_num"); /* shown, but no part of the configuration */
  if (kind != NULL && strcmp(json_string_value(kind), "mlnode") == 0) json_object_del(config, "kind"); /* the default, unknown to others */
  return config;
}

static json_t *configs_of(const json_t *nodes) {
  json_t *const list = json_array();
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) json_array_append_new(list, config_of(object));
  return list;
}

static json_t *admin_states_of(const json_t *nodes) {
  json_t *const states = json_object();
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    const char *const id = json_string_value(json_object_get(json_object_get(object, "node"), "id"));
    json_t *const state = json_object_get(json_object_get(object, "state"), "admin_state");
    if (id != NULL && state != NULL) json_object_set(states, id, state);
  }
  return states;
}

static int run_export(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_export, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  json_t *nodes = NULL;
  if (cox_cli_request(&session, "GET", nodes_path, NULL, &nodes, &exit_code) != 0) {
    json_t *const shown = cox_cli_args_has(&session.args, "node-config")
                              ? configs_of(nodes)
                              : json_pack("{ss, si, so, so}", "format", "coxswain-export", "version", 1, "nodes", configs_of(nodes),
                                          "admin_states", admin_states_of(nodes));
    cox_cli_print_json(shown, false);
    json_decref(shown);
  }
  json_decref(nodes);
  cox_cli_session_end(&session);
  return exit_code;
}

/* ---- import ---- */

/* `*taken`: how many of them are registered now. */
static int send_nodes(struct cox_cli_session *session, const json_t *nodes, size_t *taken) {
  json_t *answer = NULL;
  int exit_code;
  const int status = cox_cli_request_any(session, "POST", batch_path, nodes, &answer, &exit_code);
  size_t i;
  json_t *error;
  json_array_foreach(json_object_get(answer, "errors"), i, error) {
    const char *const id = json_string_value(json_object_get(error, "id")), *const why = json_string_value(json_object_get(error, "error"));
    exit_code = cox_cli_fail(session->args.program, "node %s: %s", id != NULL ? id : "?", why != NULL ? why : "refused without a reason");
  }
  if (status >= 300 && json_object_get(answer, "errors") == NULL) exit_code = cox_cli_report_refusal(session, status, answer);
  *taken = json_array_size(json_is_array(answer) ? answer : json_object_get(answer, "nodes"));
  json_decref(answer);
  return exit_code;
}

/* What set_admin_state takes. A disable whose time is over since it was exported is none. */
static json_t *state_args(const struct cox_cli_session *session, const char *id, const json_t *state) {
  static const char *const keys[] = {"enabled", "epoch", "reason", "expires_at"};
  json_t *const args = json_pack("{ss}", "node_id", id);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    json_t *const value = json_object_get(state, keys[i]);
    if (value != NULL) json_object_set(args, keys[i], value);
  }
  const int64_t expires_ms = cox_moment_parse(json_string_value(json_object_get(state, "expires_at")));
  if (expires_ms == 0 || expires_ms > cox_cli_session_now_ms(session)) return args;
  json_object_set_new(args, "enabled", json_true());
  json_object_del(args, "expires_at");
  return args;
}

static int send_state(struct cox_cli_session *session, const char *id, json_t *state) {
  json_t *const args = state_args(session, id, state);
  json_t *answer = NULL;
  int exit_code;
  cox_cli_request(session, "POST", "/v1/commands/set_admin_state", args, &answer, &exit_code);
  json_decref(answer);
  json_decref(args);
  return exit_code;
}

/* Whoever brings a state back is the one who sets it. */
static bool is_same_state(const json_t *left, const json_t *right) {
  json_t *const one = json_copy((json_t *)(uintptr_t)left), *const other = json_copy((json_t *)(uintptr_t)right);
  json_object_del(one, "actor");
  json_object_del(other, "actor");
  const bool is_same = one != NULL && json_equal(one, other);
  json_decref(one);
  json_decref(other);
  return is_same;
}

/* Only those that differ: with their epochs, or what was disabled for an epoch that is over would count from the present one. */
static int send_states(struct cox_cli_session *session, json_t *states) {
  int worst = COX_EXIT_DONE;
  json_t *nodes = NULL;
  if (json_object_size(states) == 0 || cox_cli_request(session, "GET", nodes_path, NULL, &nodes, &worst) == 0) return worst;
  json_t *const present = admin_states_of(nodes);
  const char *id;
  json_t *state;
  json_object_foreach(states, id, state) {
    if (is_same_state(state, json_object_get(present, id))) continue;
    const int exit_code = send_state(session, id, state);
    if (exit_code != COX_EXIT_DONE) worst = exit_code;
  }
  json_decref(present);
  json_decref(nodes);
  return worst;
}

static int import(struct cox_cli_session *session, json_t *value) {
  const char *const program = session->args.program, *const path = session->args.rest[0];
  const char *const name = strcmp(path, "-") == 0 ? "standard input" : path;
  const char *const format = json_string_value(json_object_get(value, "format"));
  json_t *const nodes = json_is_array(value) ? value : json_object_get(value, "nodes");
  if (json_is_object(value) && (format == NULL || strcmp(format, "coxswain-export") != 0 || json_integer_value(json_object_get(value, "version")) != 1)) {
    return cox_cli_fail(program, "%s is no export of this version and no node-config.json; nothing was changed", name);
  }
  if (!json_is_array(nodes)) return cox_cli_fail(program, "%s holds no list of nodes; nothing was changed", name);
  size_t taken = 0;
  int exit_code = json_array_size(nodes) > 0 ? send_nodes(session, nodes, &taken) : COX_EXIT_DONE;
  const int states_code = exit_code == COX_EXIT_NO_DAEMON ? exit_code : send_states(session, json_object_get(value, "admin_states"));
  if (exit_code == COX_EXIT_DONE) exit_code = states_code;
  if (exit_code == COX_EXIT_DONE) printf("%zu node%s imported\n", taken, taken == 1 ? " was" : "s were");
  else if (exit_code == COX_EXIT_FAILED) cox_cli_fail(program, "%zu of %zu nodes were imported", taken, json_array_size(nodes));
  return exit_code;
}

static int run_import(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_import, 1, 1, ctx, argc, argv, &exit_code)) return exit_code;
  json_t *const value = cox_cli_read_json(argv[0], session.args.rest[0]);
  exit_code = value != NULL ? import(&session, value) : COX_EXIT_FAILED;
  json_decref(value);
  cox_cli_session_end(&session);
  return exit_code;
}
