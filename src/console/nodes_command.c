/* `coxswain nodes`: the fleet as a table, as JSON, or live. */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "console/client_commands.h"
#include "console/live.h"
#include "console/node_view.h"
#include "console/request.h"
#include "console/table.h"

enum { WATCH_MS = 1000, STOPPING = 503 };

static const char nodes_path[] = "/admin/v1/nodes", world_path[] = "/v1/world";

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {
    {"json", 0, NULL, "prints JSON; with --watch one line each second"},
    {"watch", 'w', NULL, "goes on until Ctrl-C, also when the daemon is started anew: redrawn in place, or a line for each change when it is not a terminal"},
    {0},
};

const struct cox_cli_entry cox_cli_nodes = {
    .name = "nodes",
    .synopsis = "[--json] [--watch]",
    .summary = "Shows the fleet: what each node should be, what it is, and what is done about it",
    .options = options,
    .is_client = true,
    .run = run,
};

/* An answer that is no list is none of a coxswain. One that stops is as good as gone to who waits for the next. */
static json_t *fetch(struct cox_cli_session *session, int *exit_code) {
  json_t *nodes;
  const int status = cox_cli_request_any(session, "GET", nodes_path, NULL, &nodes, exit_code);
  const bool is_good = status >= 200 && status < 300;
  if (is_good && json_is_array(nodes)) return nodes;
  if (status == STOPPING && session->is_patient) {
    *exit_code = COX_EXIT_NO_DAEMON;
  } else if (is_good) {
    *exit_code = cox_cli_fail(session->args.program, "%s answered something else than a list of nodes: is it a coxswain?",
                              cox_cli_target_place(&session->target));
  } else if (status > 0) {
    *exit_code = cox_cli_report_refusal(session, status, nodes);
  }
  json_decref(nodes);
  return NULL;
}

static int print_table(struct cox_cli_session *session, json_t *nodes) {
  struct cox_term term;
  struct cox_buf out = {0};
  struct cox_table *const table = cox_table_create(cox_node_columns, COX_NODE_COLUMNS);
  if (table == NULL) return cox_cli_fail(session->args.program, "out of memory");
  const int64_t now_ms = cox_cli_session_now_ms(session);
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct cox_node_view view;
    cox_node_view_read(object, &view);
    cox_node_view_add_row(&view, now_ms, table);
  }
  cox_term_look(fileno(stdout), &term);
  cox_table_render(table, &term, &out);
  if (out.data != NULL) fputs(out.data, stdout);
  cox_buf_fini(&out);
  cox_table_destroy(table);
  return COX_EXIT_DONE;
}

static int show_once(struct cox_cli_session *session, bool is_json) {
  int exit_code;
  json_t *const nodes = fetch(session, &exit_code);
  if (nodes == NULL) return exit_code;
  if (is_json) cox_cli_print_json(nodes, false);
  else if (json_array_size(nodes) == 0) fputs("no nodes: add one with `coxswain node add -f node-config.json`\n", stderr);
  else exit_code = print_table(session, nodes);
  json_decref(nodes);
  return exit_code;
}

/* ---- watching ---- */

static volatile sig_atomic_t is_stopped;

static void on_signal(int number) {
  (void)number;
  is_stopped = 1;
}

static bool pause_really(void *arg, int64_t ms) {
  (void)arg;
  const struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  if (is_stopped == 0) nanosleep(&wait, NULL); /* a signal ends it */
  return is_stopped == 0;
}

static bool pause_between(const struct cox_cli_env *env) {
  return env->pause != NULL ? env->pause(env->pause_arg, WATCH_MS) : pause_really(NULL, WATCH_MS);
}

/* The world, NULL when this daemon does not tell it (then it is not asked again) or not now. */
static json_t *fetch_world(struct cox_cli_session *session, bool *has_world) {
  json_t *world;
  int exit_code;
  if (!*has_world) return NULL;
  const int status = cox_cli_request_any(session, "GET", world_path, NULL, &world, &exit_code);
  if (status == 200 && json_is_object(world)) return world;
  *has_world = status == 0 || status == STOPPING;
  json_decref(world);
  return NULL;
}

/* What is said goes below what was drawn, which stays. */
static void tell_presence(const struct cox_cli_session *session, struct cox_live *live, bool is_away) {
  cox_live_leave(live);
  fprintf(stderr, "%s: %s\n", session->args.program, is_away ? "the daemon cannot be reached: waiting for it, Ctrl-C ends this" : "the daemon is back");
}

/* One that was there once is waited for when it goes. */
static int watch(struct cox_cli_session *session, bool is_json, struct cox_live *live) {
  bool has_world = !is_json, is_read = true, is_away = false;
  int exit_code;
  do {
    json_t *const nodes = fetch(session, &exit_code);
    if (nodes == NULL && (exit_code != COX_EXIT_NO_DAEMON || !session->is_patient)) return is_stopped != 0 ? COX_EXIT_DONE : exit_code;
    if (is_away != (nodes == NULL)) tell_presence(session, live, nodes == NULL);
    is_away = nodes == NULL;
    session->is_patient = true;
    if (is_away) continue;
    json_t *const world = fetch_world(session, &has_world);
    if (is_json) cox_cli_print_json(nodes, true);
    if (is_json) is_read = fflush(stdout) == 0;
    else is_read = cox_live_update(live, nodes, world, cox_cli_session_now_ms(session));
    json_decref(world);
    json_decref(nodes);
  } while (is_read && pause_between(session->env));
  return COX_EXIT_DONE;
}

/* The cursor must come back whatever ends us, so signals only ask for the end; a reader that left is seen in write(2). */
static int watch_with_signals(struct cox_cli_session *session, bool is_json) {
  struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN}, before[3];
  struct cox_live *const live = cox_live_create(fileno(stdout));
  if (live == NULL) return cox_cli_fail(session->args.program, "out of memory");
  is_stopped = 0;
  sigaction(SIGINT, &stop, &before[0]);
  sigaction(SIGTERM, &stop, &before[1]);
  sigaction(SIGPIPE, &ignore, &before[2]);
  const int exit_code = watch(session, is_json, live);
  cox_live_destroy(live);
  sigaction(SIGINT, &before[0], NULL);
  sigaction(SIGTERM, &before[1], NULL);
  sigaction(SIGPIPE, &before[2], NULL);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_nodes, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  const bool is_json = cox_cli_args_has(&session.args, "json");
  exit_code = cox_cli_args_has(&session.args, "watch") ? watch_with_signals(&session, is_json) : show_once(&session, is_json);
  cox_cli_session_end(&session);
  return exit_code;
}
