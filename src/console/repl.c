/* `coxswain repl`: the console of a daemon. Everything is read and run over there; this end has the terminal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console/client_commands.h"
#include "console/live.h"
#include "console/repl_edit.h"
#include "console/repl_link.h"
#include "console/request.h"
#include "console/term.h"

enum { WATCH_MS = 1000 };

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {
    {"execute", 'e', "CODE", "runs CODE and ends, with 1 when it fails; may be repeated"},
    {"standalone", 0, NULL, "runs the daemon of -c FILE inside of this process"},
    {"log-file", 0, "FILE", "with --standalone: where its log goes (coxswain-standalone.log)"},
    {0},
};

const struct cox_cli_entry cox_cli_repl = {
    .name = "repl",
    .synopsis = "[--socket PATH] [-c FILE] [-e CODE]… [--standalone]",
    .summary = "Opens the console of a running daemon: Lua on a snapshot of the fleet, commands, explanations",
    .detail = "A line is Lua, or one of the words that `help` lists. Expressions show their value. Everything is read from a snapshot\n"
              "and changed by commands only: no line can stop the daemon. Ctrl-C cuts a line that runs, Ctrl-D leaves. Without a\n"
              "terminal, lines are read from standard input. For example:\n"
              "  coxswain repl -e '#nodes' -e 'nodes.node1.current_status'",
    .options = options,
    .is_client = true,
    .run = run,
};

struct repl {
  struct cox_cli_session session;
  struct cox_repl_link *link;
  const char *path; /* of its socket */
  struct cox_repl_edit *edit; /* NULL: no terminal */
  struct cox_term term;
  bool is_over, has_failed;
  bool is_lost; /* the connection is of no more use; at a terminal, the next line makes a new one */
};

/* ---- finding the socket ---- */

static char *socket_of(json_t *config) {
  const char *const path = json_string_value(json_object_get(json_object_get(config, "admin"), "socket"));
  return path != NULL && *path != '\0' ? strdup(path) : NULL;
}

/* Named, or that of the configuration, or the one that the daemon at the admin address tells. NULL: `*exit_code`. */
static char *find_socket(struct cox_cli_session *session, int *exit_code) {
  const struct cox_cli_target *const target = &session->target;
  json_t *config = NULL;
  if (target->unix_socket != NULL) return strdup(target->unix_socket);
  if (target->config != NULL) {
    struct cox_faults faults = {0};
    config = session->env->load_config(target->config, &faults);
    cox_faults_fini(&faults); /* it was read a moment ago, without faults */
  } else if (cox_cli_request(session, "GET", "/admin/v1/config", NULL, &config, exit_code) == 0) {
    return NULL;
  }
  char *const path = socket_of(config);
  json_decref(config);
  if (path == NULL) {
    *exit_code = cox_cli_fail(session->args.program, "the daemon at %s has no control socket: set admin.socket in its configuration, or name it with --socket",
                              cox_cli_target_place(target));
  }
  return path;
}

/* The daemon may have been given another socket than the configuration says (-D, as a unit of systemd does): then it tells itself.
 * NULL: nobody answers at its admin address, or it is the same one, or `*exit_code` is not 0 and it was said.                     */
static char *ask_for_socket(struct cox_cli_session *session, const char *path, int *exit_code) {
  json_t *config = NULL;
  session->is_patient = true; /* what is said then is about the socket */
  const int status = cox_cli_request(session, "GET", "/admin/v1/config", NULL, &config, exit_code);
  session->is_patient = false;
  if (*exit_code == COX_EXIT_NO_DAEMON) *exit_code = COX_EXIT_DONE;
  char *other = status != 0 ? socket_of(config) : NULL;
  json_decref(config);
  if (other == NULL || strcmp(other, path) != 0) return other;
  free(other);
  return NULL;
}

static int report_no_link(const struct repl *repl, const char *path, const struct cox_err *err) {
  const char *const program = repl->session.args.program, *const config = repl->session.target.config;
  if (err->code != COX_ENOENT) return cox_cli_fail(program, "%s", err->text);
  cox_cli_fail(program, "no daemon at %s: start one with `coxswain run -c %s`", path, config != NULL ? config : "FILE");
  return COX_EXIT_NO_DAEMON;
}

/* ---- one line ---- */

static void print_part(void *arg, const char *text) {
  (void)arg;
  fputs(text, stdout);
  fflush(stdout);
}

static json_t *ask(struct repl *repl, json_t *request) {
  struct cox_err err;
  json_t *const answer = cox_repl_link_ask(repl->link, request, print_part, NULL, &err);
  if (repl->edit != NULL && cox_repl_link_was_interrupted(repl->link)) fputc('\n', stdout);
  if (answer != NULL) return answer;
  cox_cli_fail(repl->session.args.program, "%s%s", err.text, repl->edit != NULL ? "; the next line tries to reach it again, Ctrl-D leaves" : "");
  repl->has_failed = repl->is_lost = true;
  repl->is_over = repl->edit == NULL; /* a script must not go on with a session that has forgotten its first half */
  return NULL;
}

static void show(struct repl *repl, json_t *answer) {
  const char *const outcome = json_string_value(json_object_get(answer, "outcome")), *text = json_string_value(json_object_get(answer, "text"));
  const char *const error = json_string_value(json_object_get(answer, "error"));
  const bool is_bad = error != NULL || outcome == NULL || strcmp(outcome, "error") == 0;
  if (error != NULL) text = error;
  if (json_is_true(json_object_get(answer, "quit"))) repl->is_over = true;
  if (is_bad) repl->has_failed = true;
  if (text == NULL || *text == '\0') return;
  struct cox_buf line = {0};
  if (is_bad) cox_term_begin(&repl->term, COX_STYLE_BAD, &line);
  cox_buf_addf(&line, "%s", text);
  if (is_bad) cox_term_end(&repl->term, COX_STYLE_BAD, &line);
  fprintf(is_bad && repl->edit == NULL ? stderr : stdout, "%s\n", line.data != NULL ? line.data : "");
  cox_buf_fini(&line);
}

/* True: the chunk is not whole. */
static bool send_line(struct repl *repl, const char *code) {
  json_t *const text = json_string(code);
  if (text == NULL) {
    cox_cli_fail(repl->session.args.program, "a line must be text in UTF-8");
    repl->has_failed = true;
    return false;
  }
  cox_term_look(STDOUT_FILENO, &repl->term); /* the window may have changed */
  json_t *const answer =
      ask(repl, json_pack("{ss, so, si, sb}", "op", "line", "text", text, "width", repl->term.width, "colour", (int)repl->term.has_colour));
  if (answer == NULL) return false;
  const char *const outcome = json_string_value(json_object_get(answer, "outcome"));
  const bool is_incomplete = outcome != NULL && strcmp(outcome, "incomplete") == 0;
  if (!is_incomplete) show(repl, answer);
  json_decref(answer);
  return is_incomplete;
}

/* ---- watch ---- */

static json_t *ask_value(struct repl *repl, const char *op) {
  json_t *const answer = ask(repl, json_pack("{ss}", "op", op));
  json_t *const value = json_incref(json_object_get(answer, "value"));
  json_decref(answer);
  return value;
}

static void watch(struct repl *repl) {
  struct cox_live *const live = cox_live_create(STDOUT_FILENO);
  bool goes_on = live != NULL;
  while (goes_on) {
    json_t *const nodes = ask_value(repl, "nodes"), *const world = nodes != NULL ? ask_value(repl, "world") : NULL;
    goes_on = nodes != NULL && cox_live_update(live, nodes, world, cox_cli_session_now_ms(&repl->session));
    json_decref(nodes);
    json_decref(world);
    goes_on = goes_on && !cox_repl_link_is_interrupted(repl->link, WATCH_MS);
  }
  cox_live_destroy(live);
}

static bool is_watch(const char *line) {
  while (*line == ' ') line++;
  return strncmp(line, "watch", 5) == 0 && strspn(line + 5, " ") == strlen(line + 5);
}

/* ---- the loop at a terminal ---- */

static json_t *complete(void *arg, const char *line) {
  struct repl *const repl = arg;
  json_t *const text = repl->is_lost ? NULL : json_string(line);
  return text != NULL ? ask(repl, json_pack("{ss, so}", "op", "complete", "text", text)) : NULL;
}

static void greet(struct repl *repl) {
  json_t *const value = ask_value(repl, "hello");
  if (value == NULL) return;
  fprintf(stdout, "coxswain %s, process %lld, %lld nodes. `help` tells what there is; Ctrl-D leaves.\n", json_string_value(json_object_get(value, "version")),
          (long long)json_integer_value(json_object_get(value, "pid")), (long long)json_integer_value(json_object_get(value, "nodes")));
  json_decref(value);
}

/* A daemon may be started again while somebody sits at the prompt. */
static bool is_reachable(struct repl *repl) {
  struct cox_err err = {0};
  if (!repl->is_lost) return true;
  if (cox_repl_link_reopen(repl->link, repl->path, &err) != 0) {
    report_no_link(repl, repl->path, &err);
    return false;
  }
  repl->is_lost = false;
  fputs("connected again, with a new session: what was defined in the old one is gone\n", stdout);
  greet(repl);
  return !repl->is_lost;
}

static void talk(struct repl *repl) {
  struct cox_buf chunk = {0};
  greet(repl);
  while (!repl->is_over) {
    bool is_abandoned;
    const bool is_continued = chunk.len > 0;
    const char *const line = cox_repl_edit_read(repl->edit, is_continued ? "       >> " : "coxswain> ", is_continued, &is_abandoned);
    if (line == NULL) break;
    if (is_abandoned) {
      cox_buf_clear(&chunk);
      continue;
    }
    cox_buf_addf(&chunk, "%s%s", is_continued ? "\n" : "", line);
    if (chunk.len == 0) continue;
    if (!is_reachable(repl)) cox_buf_clear(&chunk);
    else if (!is_continued && is_watch(line)) watch(repl);
    else if (send_line(repl, chunk.data)) continue;
    cox_buf_clear(&chunk);
  }
  if (!repl->is_over) fputc('\n', stdout);
  cox_buf_fini(&chunk);
}

/* ---- without a terminal ---- */

static void read_lines(struct repl *repl) {
  struct cox_buf chunk = {0};
  char *line = NULL;
  size_t capacity = 0;
  bool is_incomplete = false;
  while (!repl->is_over) {
    const ssize_t len = getline(&line, &capacity, stdin);
    if (len < 0) break;
    line[strcspn(line, "\n")] = '\0';
    if (!is_incomplete) cox_buf_clear(&chunk);
    cox_buf_addf(&chunk, "%s%s", chunk.len > 0 ? "\n" : "", line);
    if (chunk.len > 0) is_incomplete = send_line(repl, chunk.data);
  }
  if (is_incomplete && !repl->is_over) {
    cox_cli_fail(repl->session.args.program, "the last chunk is not whole");
    repl->has_failed = true;
  }
  free(line);
  cox_buf_fini(&chunk);
}

static void execute(struct repl *repl) {
  size_t cursor = 0;
  for (const char *code; !repl->has_failed && (code = cox_cli_args_next(&repl->session.args, "execute", &cursor)) != NULL;) {
    if (!send_line(repl, code)) continue;
    cox_cli_fail(repl->session.args.program, "the code is not whole: %s", code);
    repl->has_failed = true;
  }
}

/* ---- the history's file ---- */

/* Makes the folders of a path. */
static void make_folders(char *path) {
  for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(path, 0700);
    *slash = '/';
  }
}

/* $XDG_STATE_HOME/coxswain/history, by default below ~/.local/state; NULL: there is no home. To be freed. */
static char *history_path(void) {
  const char *const state = getenv("XDG_STATE_HOME"), *const home = getenv("HOME");
  struct cox_buf path = {0};
  if (state != NULL && *state == '/') cox_buf_addf(&path, "%s/coxswain/history", state);
  else if (home != NULL && *home == '/') cox_buf_addf(&path, "%s/.local/state/coxswain/history", home);
  if (path.data != NULL) make_folders(path.data);
  return path.data;
}

/* ---- the whole ---- */

static int run_link(struct repl *repl) {
  if (cox_cli_args_has(&repl->session.args, "execute")) {
    execute(repl);
    return repl->has_failed ? COX_EXIT_FAILED : COX_EXIT_DONE;
  }
  char *const path = history_path();
  repl->edit = cox_repl_edit_create(path, complete, repl);
  free(path);
  if (repl->edit == NULL) {
    read_lines(repl);
    return repl->has_failed ? COX_EXIT_FAILED : COX_EXIT_DONE;
  }
  talk(repl);
  cox_repl_edit_destroy(repl->edit);
  return repl->is_lost ? COX_EXIT_FAILED : COX_EXIT_DONE; /* a person has seen what failed */
}

static int connect_and_run(struct repl *repl, const char *path) {
  struct cox_err err = {0};
  char *other = NULL;
  int exit_code = COX_EXIT_DONE;
  repl->path = path;
  repl->link = cox_repl_link_open(path, &err);
  const bool is_of_config = repl->session.target.unix_socket == NULL && repl->session.target.config != NULL;
  if (repl->link == NULL && is_of_config && (other = ask_for_socket(&repl->session, path, &exit_code)) != NULL) {
    repl->path = other;
    repl->link = cox_repl_link_open(other, &err);
  }
  if (repl->link != NULL) exit_code = run_link(repl);
  else if (exit_code == COX_EXIT_DONE) exit_code = report_no_link(repl, repl->path, &err);
  cox_repl_link_close(repl->link);
  free(other);
  return exit_code;
}

/* The daemon of a configuration in this very process, as long as the console is open. */
static int run_standalone(struct repl *repl) {
  const struct cox_cli_args *const args = &repl->session.args;
  const struct cox_cli_env *const env = repl->session.env;
  const char *const config = cox_cli_args_value(args, "config");
  if (config == NULL) return cox_cli_misuse(args->program, "--standalone needs -c FILE: the configuration to run");
  if (env->start_inside == NULL) return cox_cli_fail(args->program, "--standalone is not possible here");
  char *socket = NULL;
  struct cox_daemon *const daemon = env->start_inside(config, cox_cli_args_value(args, "log-file"), &socket);
  if (daemon == NULL) return COX_EXIT_FAILED; /* it said why */
  const int exit_code = connect_and_run(repl, socket);
  env->stop_inside(daemon);
  free(socket);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  struct repl repl = {0};
  int exit_code;
  if (!cox_cli_session_begin(&repl.session, &cox_cli_repl, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  cox_term_look(STDOUT_FILENO, &repl.term);
  if (cox_cli_args_has(&repl.session.args, "standalone")) {
    exit_code = run_standalone(&repl);
  } else {
    char *const path = find_socket(&repl.session, &exit_code);
    if (path != NULL) exit_code = connect_and_run(&repl, path);
    free(path);
  }
  cox_cli_session_end(&repl.session);
  return exit_code;
}
