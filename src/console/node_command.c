/* `coxswain node …`: one node at a time. */
#include <stdio.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/explain.h"
#include "console/moment.h"
#include "console/node_input.h"
#include "console/node_view.h"
#include "console/request.h"
#include "console/text.h"

static const char nodes_path[] = "/admin/v1/nodes", batch_path[] = "/admin/v1/nodes/batch";

static int run_show(void *ctx, int argc, char **argv);
static int run_add(void *ctx, int argc, char **argv);
static int run_update(void *ctx, int argc, char **argv);
static int run_rm(void *ctx, int argc, char **argv);
static int run_enable(void *ctx, int argc, char **argv);
static int run_disable(void *ctx, int argc, char **argv);

static const struct cox_cli_option json_options[] = {{"json", 0, NULL, "prints JSON"}, {0}};
static const struct cox_cli_option switch_options[] = {
    {"reason", 0, "TEXT", "why; it is shown with the node and kept with its state"},
    {"json", 0, NULL, "prints JSON"},
    {0},
};
static const struct cox_cli_option disable_options[] = {
    {"for", 0, "DURATION", "ends by itself after that: 30m, 2h, 1h30m, 7d; counted from now on, not from when the node stops"},
    {"until", 0, "TIME", "ends by itself then: 2026-01-31T12:00:00Z"},
    {"reason", 0, "TEXT", "why; it is shown with the node and kept with its state"},
    {"json", 0, NULL, "prints JSON"},
    {0},
};
static const struct cox_cli_option input_options[] = {
    {"file", 'f', "FILE", "a JSON file with a node object or a list of them, as node-config.json; - is the standard input"},
    {"json", 0, "OBJ", "a node object; key=value pairs are added to it"},
    {0},
};

#define FIELDS                                                                                                          \
  "Fields: id, host, inference_port, poc_port, max_concurrent, models; optional inference_segment, poc_segment,\n"     \
  "hardware, version, kind. `model=ID` stands for a model without arguments and may be repeated.\n"

#define UNKNOWN_NODE "there is no node %s: `coxswain nodes` lists them"

enum { UPDATE_TRIES = 5 };
enum verb { SHOW, ADD, UPDATE, RM, ENABLE, DISABLE, VERBS };

static const struct cox_cli_entry verbs[VERBS] = {
    [SHOW] =
        {
            .name = "show",
            .synopsis = "ID [--json]",
            .summary = "Explains one node: what it should be and why, what it is, what was tried, what comes next",
            .options = json_options,
            .is_client = true,
            .run = run_show,
        },
    [ADD] =
        {
            .name = "add",
            .synopsis = "-f FILE | id=ID host=HOST key=value… [--json OBJ]",
            .summary = "Registers nodes; one that is registered already gets the new configuration",
            .detail = FIELDS "For example:\n"
                      "  coxswain node add -f node-config.json\n"
                      "  coxswain node add id=node1 host=10.0.0.21 inference_port=5050 poc_port=8080 max_concurrent=500 model=Qwen/QwQ-32B",
            .options = input_options,
            .is_client = true,
            .run = run_add,
        },
    [UPDATE] =
        {
            .name = "update",
            .synopsis = "ID key=value… [--json OBJ]",
            .summary = "Changes fields of a registered node; the others keep their values",
            .detail = FIELDS,
            .options = input_options + 1, /* no file: its objects are whole */
            .is_client = true,
            .run = run_update,
        },
    [RM] =
        {
            .name = "rm",
            .synopsis = "ID… [--json]",
            .summary = "Unregisters nodes; what they run, they go on running: to stop one first, disable it",
            .options = json_options,
            .is_client = true,
            .run = run_rm,
        },
    [ENABLE] =
        {
            .name = "enable",
            .synopsis = "ID… [--reason TEXT] [--json]",
            .summary = "Lets nodes take part again, from the next epoch or Inference phase on",
            .options = switch_options,
            .is_client = true,
            .run = run_enable,
        },
    [DISABLE] =
        {
            .name = "disable",
            .synopsis = "ID… [--for DURATION|--until TIME] [--reason TEXT] [--json]",
            .summary = "Takes nodes out of service once the running epoch is over",
            .options = disable_options,
            .is_client = true,
            .run = run_disable,
        },
};

const struct cox_cli_entry cox_cli_node = {
    .name = "node",
    .synopsis = "show|add|update|rm|enable|disable …",
    .summary = "Shows and changes single nodes",
    .children = verbs,
    .child_count = VERBS,
};

/* "/admin/v1/nodes/ID", and `tail` behind it. False: an empty id would name all nodes. */
static bool make_path(struct cox_buf *path, const char *id, const char *tail) {
  if (*id == '\0' || !cox_buf_addf(path, "%s/", nodes_path)) return false;
  cox_cli_add_segment(path, id);
  return cox_buf_addf(path, "%s", tail);
}

/* "node ID did": done, for people. */
static void print_done(const char *id, const char *did) {
  struct cox_buf line = {0};
  if (cox_buf_addf(&line, "node ") && cox_text_clean(&line, id)) fprintf(stdout, "%s %s\n", line.data, did);
  cox_buf_fini(&line);
}

/* One request about one node; NULL: `*exit_code` says why. */
static json_t *ask(struct cox_cli_session *session, const char *method, const char *id, const char *tail, const json_t *body, int *exit_code) {
  struct cox_buf path = {0};
  json_t *answer = NULL;
  if (!make_path(&path, id, tail)) {
    *exit_code = cox_cli_misuse(session->args.program, "the node's id is empty");
    return NULL;
  }
  const int status = cox_cli_request_any(session, method, path.data, body, &answer, exit_code);
  const bool is_good = status >= 200 && status < 300;
  if (status == 404) *exit_code = cox_cli_fail(session->args.program, UNKNOWN_NODE, id); /* the API's words name a route */
  else if (status != 0 && !is_good) *exit_code = cox_cli_report_refusal(session, status, answer);
  else if (is_good && answer == NULL) {
    *exit_code = cox_cli_fail(session->args.program, "the daemon answered about node %s without a body: is it a coxswain?", id);
  }
  cox_buf_fini(&path);
  if (is_good) return answer;
  json_decref(answer);
  return NULL;
}

/* ---- show ---- */

static void print_node(const struct cox_cli_session *session, const json_t *object) {
  struct cox_term term;
  struct cox_buf out = {0};
  cox_term_look(fileno(stdout), &term);
  cox_explain_node(object, cox_cli_session_now_ms(session), &term, &out);
  if (out.data != NULL) fputs(out.data, stdout);
  cox_buf_fini(&out);
}

static int run_show(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &verbs[SHOW], 1, 1, ctx, argc, argv, &exit_code)) return exit_code;
  json_t *const object = ask(&session, "GET", session.args.rest[0], "", NULL, &exit_code);
  if (object != NULL && cox_cli_args_has(&session.args, "json")) cox_cli_print_json(object, false);
  else if (object != NULL) print_node(&session, object);
  json_decref(object);
  cox_cli_session_end(&session);
  return exit_code;
}

/* ---- add and update ---- */

static void print_set(const json_t *node) { print_done(cox_node_view_text(node, "id"), "is set"); }

static int send_one(struct cox_cli_session *session, const json_t *node) {
  json_t *answer;
  int exit_code;
  if (cox_cli_request(session, "POST", nodes_path, node, &answer, &exit_code) != 0) print_set(answer);
  json_decref(answer);
  return exit_code;
}

/* The items of {"nodes","errors"} that were refused. */
static void report_errors(const struct cox_cli_session *session, const json_t *errors) {
  size_t i;
  json_t *item;
  json_array_foreach(errors, i, item) {
    const char *const id = cox_node_view_text(item, "id"), *const words = cox_node_view_text(item, "error");
    const long long index = (long long)json_integer_value(json_object_get(item, "index"));
    if (*id != '\0') cox_cli_fail(session->args.program, "node %s was refused: %s", id, words);
    else cox_cli_fail(session->args.program, "node number %lld of the list was refused: %s", index + 1, words);
  }
}

static int send_batch(struct cox_cli_session *session, const json_t *nodes) {
  json_t *answer;
  int exit_code;
  const int status = cox_cli_request_any(session, "POST", batch_path, nodes, &answer, &exit_code);
  if (status == 0) return exit_code;
  const json_t *const errors = json_object_get(answer, "errors");
  const json_t *const set = json_is_array(answer) ? answer : json_object_get(answer, "nodes");
  size_t i;
  json_t *node;
  json_array_foreach(set, i, node) print_set(node);
  report_errors(session, errors);
  if (json_array_size(errors) > 0) exit_code = COX_EXIT_FAILED;
  else if (status >= 300) exit_code = cox_cli_report_refusal(session, status, answer);
  json_decref(answer);
  return exit_code;
}

static int add_file(struct cox_cli_session *session, const char *path) {
  json_t *const value = cox_cli_read_json(session->args.program, path);
  int exit_code = COX_EXIT_FAILED;
  if (json_is_object(value)) exit_code = send_one(session, value);
  else if (json_array_size(value) > 0) exit_code = send_batch(session, value);
  else if (value != NULL) cox_cli_fail(session->args.program, "%s holds no node: it must be a node object or a list of them", path);
  json_decref(value);
  return exit_code;
}

static int add_typed(struct cox_cli_session *session) {
  struct cox_err err = {0};
  const struct cox_cli_args *const args = &session->args;
  json_t *const node = cox_node_input(cox_cli_args_value(args, "json"), args->rest, args->rest_count, &err);
  const int exit_code = node != NULL ? send_one(session, node) : cox_cli_misuse(args->program, "%s", err.text);
  json_decref(node);
  return exit_code;
}

static int run_add(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &verbs[ADD], 0, -1, ctx, argc, argv, &exit_code)) return exit_code;
  const char *const file = cox_cli_args_value(&session.args, "file");
  const bool has_typed = session.args.rest_count > 0 || cox_cli_args_has(&session.args, "json");
  if (file == NULL && !has_typed) exit_code = cox_cli_misuse(argv[0], "which node? Give -f FILE, key=value pairs or --json OBJ");
  else if (file != NULL && has_typed) exit_code = cox_cli_misuse(argv[0], "-f FILE goes without key=value pairs and --json");
  else exit_code = file != NULL ? add_file(&session, file) : add_typed(&session);
  cox_cli_session_end(&session);
  return exit_code;
}

/* The present configuration with the changes in it: PUT replaces the whole. Returns the HTTP status, 0: reported. */
static int change_once(struct cox_cli_session *session, const char *id, json_t *changes, json_t **answer, int *exit_code) {
  struct cox_client *const client = &session->target.client;
  char etag[COX_CLIENT_ETAG_MAX] = "";
  struct cox_buf path = {0};
  int status = 0;
  client->etag = etag;
  json_t *const object = ask(session, "GET", id, "", NULL, exit_code);
  client->etag = NULL;
  json_t *const node = json_object_get(object, "node");
  if (object != NULL) {
    json_object_del(node, "node_num"); /* shown, but no part of the configuration */
    json_object_update(node, changes);
    client->if_match = etag[0] != '\0' ? etag : NULL;
    if (make_path(&path, id, "")) status = cox_cli_request_any(session, "PUT", path.data, node, answer, exit_code);
    client->if_match = NULL;
  }
  cox_buf_fini(&path);
  json_decref(object);
  return status;
}

/* When somebody else changed the node in between (412), the changes are put into what it is now: what both set is the later
 * one's, and nothing else is lost.                                                                                         */
static int change(struct cox_cli_session *session, const char *id, json_t *changes) {
  json_t *answer = NULL;
  int exit_code, status = 412;
  for (int tries = 0; tries < UPDATE_TRIES && status == 412; tries++) {
    json_decref(answer);
    answer = NULL;
    status = change_once(session, id, changes, &answer, &exit_code);
  }
  if (status >= 200 && status < 300 && answer != NULL) print_set(answer);
  else if (status != 0) exit_code = cox_cli_report_refusal(session, status, answer);
  json_decref(answer);
  return exit_code;
}

static int run_update(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  struct cox_err err = {0};
  int exit_code;
  if (!cox_cli_session_begin(&session, &verbs[UPDATE], 1, -1, ctx, argc, argv, &exit_code)) return exit_code;
  const struct cox_cli_args *const args = &session.args;
  json_t *const changes = cox_node_input(cox_cli_args_value(args, "json"), args->rest + 1, args->rest_count - 1, &err);
  if (changes == NULL) exit_code = cox_cli_misuse(argv[0], "%s", err.text);
  else if (json_object_size(changes) == 0) exit_code = cox_cli_misuse(argv[0], "nothing to change: give key=value pairs or --json OBJ");
  else exit_code = change(&session, args->rest[0], changes);
  json_decref(changes);
  cox_cli_session_end(&session);
  return exit_code;
}

/* ---- rm, enable, disable ---- */

/* An unknown id is answered with false. */
static int remove_one(struct cox_cli_session *session, const char *id) {
  int exit_code;
  json_t *const answer = ask(session, "DELETE", id, "", NULL, &exit_code);
  if (answer != NULL && cox_cli_args_has(&session->args, "json")) cox_cli_print_json(answer, false);
  else if (json_is_true(answer)) print_done(id, "was removed");
  if (json_is_false(answer)) exit_code = cox_cli_fail(session->args.program, UNKNOWN_NODE, id);
  json_decref(answer);
  return exit_code;
}

/* {"reason"?, "expires_s"?, "expires_at"?} of the options; NULL: `exit_code` says what is wrong with them. */
static json_t *switch_body(const struct cox_cli_args *args, bool is_disable, int *exit_code) {
  const char *const reason = cox_cli_args_value(args, "reason");
  const char *const length = is_disable ? cox_cli_args_value(args, "for") : NULL, *const until = is_disable ? cox_cli_args_value(args, "until") : NULL;
  const int64_t ms = length != NULL ? cox_moment_duration(length) : 0;
  json_t *const body = json_object();
  const bool has_reason = reason == NULL || json_object_set_new(body, "reason", json_string(reason)) == 0;
  const bool has_until = until == NULL || json_object_set_new(body, "expires_at", json_string(until)) == 0;
  if (length != NULL) json_object_set_new(body, "expires_s", json_real((double)ms / 1000));
  *exit_code = COX_EXIT_DONE;
  if (!has_reason || !has_until) *exit_code = cox_cli_misuse(args->program, "the %s is no UTF-8 text", has_reason ? "time" : "reason");
  else if (length != NULL && until != NULL) *exit_code = cox_cli_misuse(args->program, "give either --for or --until");
  else if (length != NULL && ms == 0) *exit_code = cox_cli_misuse(args->program, "--for %s is no duration: say 30m, 2h, 1h30m or 7d", length);
  if (*exit_code == COX_EXIT_DONE) return body;
  json_decref(body);
  return NULL;
}

static void print_switched(const struct cox_cli_args *args, const char *id, bool is_disable) {
  if (!is_disable) {
    print_done(id, "is enabled");
    return;
  }
  const char *const length = cox_cli_args_value(args, "for"), *const until = cox_cli_args_value(args, "until");
  char did[256];
  snprintf(did, sizeof did, "is disabled%s%.100s: it stops once the running epoch is over", length != NULL ? " for " : until != NULL ? " until " : "",
           length != NULL ? length : until != NULL ? until : "");
  print_done(id, did);
}

static int set_admin(struct cox_cli_session *session, const char *id, const char *verb) {
  int exit_code;
  char tail[16];
  const bool is_disable = strcmp(verb, "disable") == 0;
  snprintf(tail, sizeof tail, "/%s", verb);
  json_t *const body = switch_body(&session->args, is_disable, &exit_code);
  if (body == NULL) return exit_code;
  json_t *const answer = ask(session, "POST", id, tail, json_object_size(body) > 0 ? body : NULL, &exit_code);
  if (answer != NULL && cox_cli_args_has(&session->args, "json")) cox_cli_print_json(answer, false);
  else if (answer != NULL) print_switched(&session->args, id, is_disable);
  json_decref(answer);
  json_decref(body);
  return exit_code;
}

static int enable_one(struct cox_cli_session *session, const char *id) { return set_admin(session, id, "enable"); }
static int disable_one(struct cox_cli_session *session, const char *id) { return set_admin(session, id, "disable"); }

/* All ids are tried; one failure makes the whole a failure. Without a daemon the first says it all. */
static int run_each(const struct cox_cli_entry *entry, int (*one)(struct cox_cli_session *session, const char *id), void *ctx, int argc,
                    char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, entry, 1, -1, ctx, argc, argv, &exit_code)) return exit_code;
  int worst = COX_EXIT_DONE;
  for (int i = 0; i < session.args.rest_count && worst != COX_EXIT_NO_DAEMON; i++) {
    exit_code = one(&session, session.args.rest[i]);
    if (exit_code != COX_EXIT_DONE) worst = exit_code;
  }
  cox_cli_session_end(&session);
  return worst;
}

static int run_rm(void *ctx, int argc, char **argv) { return run_each(&verbs[RM], remove_one, ctx, argc, argv); }
static int run_enable(void *ctx, int argc, char **argv) { return run_each(&verbs[ENABLE], enable_one, ctx, argc, argv); }
static int run_disable(void *ctx, int argc, char **argv) { return run_each(&verbs[DISABLE], disable_one, ctx, argc, argv); }
