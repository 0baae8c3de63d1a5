/* `coxswain reload`, `rollback`, `scripts`, `plan`: the sets of scripts. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/request.h"
#include "console/scripts_view.h"

static int run_reload(void *ctx, int argc, char **argv);
static int run_rollback(void *ctx, int argc, char **argv);
static int run_scripts(void *ctx, int argc, char **argv);
static int run_plan(void *ctx, int argc, char **argv);

static const struct cox_cli_option json_option[] = {{"json", 0, NULL, "prints JSON"}, {0}};
static const struct cox_cli_option plan_options[] = {
    {"scripts", 0, "DIR", "the folder with the scripts to try, instead of the configured ones"},
    {"json", 0, NULL, "prints JSON"},
    {0},
};

const struct cox_cli_entry cox_cli_reload = {
    .name = "reload",
    .synopsis = "[--json]",
    .summary = "Loads the scripts anew; broken ones are refused with all their faults",
    .detail = "Nothing changes unless every file loads and every case holds; the live scripts go on until then. Faults are printed as\n"
              "FILE:LINE: message on stderr, and the exit code is 1. `coxswain plan` shows beforehand what would change.",
    .options = json_option,
    .is_client = true,
    .run = run_reload,
};

const struct cox_cli_entry cox_cli_rollback = {
    .name = "rollback",
    .synopsis = "[--json]",
    .summary = "Goes back to the scripts before the last reload",
    .detail = "The scripts that were live are rejected: they are loaded again only by `coxswain reload`.",
    .options = json_option,
    .is_client = true,
    .run = run_rollback,
};

const struct cox_cli_entry cox_cli_scripts = {
    .name = "scripts",
    .synopsis = "[--json]",
    .summary = "Shows the live scripts: where each file came from and what it shadows",
    .options = json_option,
    .is_client = true,
    .run = run_scripts,
};

const struct cox_cli_entry cox_cli_plan = {
    .name = "plan",
    .synopsis = "[-c FILE | --scripts DIR] [--json]",
    .summary = "Shows what changed scripts would change, node by node, and why; changes nothing",
    .detail = "Asks a running daemon. Without --scripts, what stands in its folders now is tried; with -c FILE the scripts that FILE names.",
    .options = plan_options,
    .is_client = true,
    .run = run_plan,
};

/* The daemon's refusal, with its faults for editors and CI to read. */
static int report(const struct cox_cli_session *session, int status, const json_t *answer) {
  struct cox_buf text = {0};
  cox_scripts_view_faults(json_object_get(answer, "faults"), &text);
  if (text.data != NULL) fputs(text.data, stderr);
  cox_buf_fini(&text);
  return cox_cli_report_refusal(session, status, answer);
}

static void print(const struct cox_cli_session *session, const json_t *answer,
                  void (*view)(const json_t *answer, const struct cox_term *term, struct cox_buf *out)) {
  struct cox_term term;
  struct cox_buf text = {0};
  if (cox_cli_args_has(&session->args, "json")) {
    cox_cli_print_json(answer, false);
    return;
  }
  cox_term_look(fileno(stdout), &term);
  view(answer, &term, &text);
  if (text.data != NULL) fputs(text.data, stdout);
  cox_buf_fini(&text);
}

static int send(struct cox_cli_session *session, const char *path, const json_t *body,
                void (*view)(const json_t *answer, const struct cox_term *term, struct cox_buf *out)) {
  json_t *answer;
  int exit_code;
  const int status = cox_cli_request_any(session, "POST", path, body, &answer, &exit_code);
  if (status >= 200 && status < 300) print(session, answer, view);
  else if (status != 0) exit_code = report(session, status, answer);
  json_decref(answer);
  return exit_code;
}

static int run_reload(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_reload, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  exit_code = send(&session, "/v1/scripts/reload", NULL, cox_scripts_view_loaded);
  cox_cli_session_end(&session);
  return exit_code;
}

static int run_rollback(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_rollback, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  exit_code = send(&session, "/v1/scripts/rollback", NULL, cox_scripts_view_loaded);
  cox_cli_session_end(&session);
  return exit_code;
}

static int run_scripts(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  struct cox_term term;
  struct cox_buf text = {0};
  json_t *shown;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_scripts, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  if (cox_cli_request(&session, "GET", "/v1/scripts", NULL, &shown, &exit_code) != 0) {
    cox_term_look(fileno(stdout), &term);
    if (cox_cli_args_has(&session.args, "json")) cox_cli_print_json(shown, false);
    else cox_scripts_view_show(shown, cox_cli_session_now_ms(&session), &term, &text);
    if (text.data != NULL) fputs(text.data, stdout);
  }
  json_decref(shown);
  cox_buf_fini(&text);
  cox_cli_session_end(&session);
  return exit_code;
}

/* ---- plan: which folder ---- */

/* Takes a folder of the command line, seen from the working directory. */
static int take_folder(const struct cox_cli_session *session, const char *dir, json_t **body) {
  char path[PATH_MAX];
  if (realpath(dir, path) == NULL) return cox_cli_fail(session->args.program, "the scripts in %s cannot be read: %s", dir, strerror(errno));
  *body = json_pack("{ss}", "scripts", path);
  return *body != NULL ? COX_EXIT_DONE : cox_cli_fail(session->args.program, "the path %s is no UTF-8", path);
}

/* Those that the daemon runs with need no word; several others it cannot be told. */
static int take_folders(struct cox_cli_session *session, json_t *folders, json_t **body) {
  json_t *shown;
  int exit_code;
  if (cox_cli_request(session, "GET", "/v1/scripts", NULL, &shown, &exit_code) == 0) return exit_code;
  const bool is_own = json_equal(json_object_get(shown, "folders"), folders);
  json_decref(shown);
  if (is_own) return COX_EXIT_DONE;
  const char *const only = json_array_size(folders) == 1 ? json_string_value(json_array_get(folders, 0)) : NULL;
  if (only != NULL) return take_folder(session, only, body);
  return cox_cli_fail(session->args.program, "%s names other folders of scripts than the daemon runs with: give one with --scripts DIR",
                      session->target.config);
}

static int take_config(struct cox_cli_session *session, json_t **body) {
  struct cox_faults faults = {0};
  json_t *const config = session->env->load_config(session->target.config, &faults);
  json_t *const scripts = json_object_get(config, "scripts");
  json_t *const folders = json_is_array(scripts) ? json_incref(scripts) : json_pack("[O*]", scripts);
  int exit_code = COX_EXIT_DONE;
  if (config == NULL) exit_code = cox_cli_fail(session->args.program, "%s cannot be read any more", session->target.config);
  else if (json_array_size(folders) > 0) exit_code = take_folders(session, folders, body);
  json_decref(folders);
  json_decref(config);
  cox_faults_fini(&faults);
  return exit_code;
}

static int run_plan(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  json_t *body = NULL;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_plan, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  const char *const dir = cox_cli_args_value(&session.args, "scripts");
  if (dir != NULL) exit_code = take_folder(&session, dir, &body);
  else if (cox_cli_args_has(&session.args, "config")) exit_code = take_config(&session, &body);
  if (exit_code == COX_EXIT_DONE) exit_code = send(&session, "/v1/scripts/plan", body, cox_scripts_view_plan);
  json_decref(body);
  cox_cli_session_end(&session);
  return exit_code;
}
