/* `coxswain doctor`: what is wrong with a set-up, in words, whether a daemon runs or not. Changes nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console/checkup.h"
#include "console/client_commands.h"
#include "console/request.h"

enum { LAG_BLOCKS = 5, METRICS_MAX = 8 << 20 };

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {
    {"json", 0, NULL, "prints the findings as JSON"},
    {0},
};

const struct cox_cli_entry cox_cli_doctor = {
    .name = "doctor",
    .synopsis = "[-c FILE] [--json]",
    .summary = "Looks for what is wrong: clock, port, permissions, disk, chain, nodes, callback, scripts, store",
    .detail = "Examines the running daemon when there is one, its configuration anyway, and changes nothing. Exit code 1 when something is "
              "BAD; what says `look` may be meant so.",
    .options = options,
    .is_client = true,
    .run = run,
};

struct doctor {
  struct cox_checkup checkup;
  struct cox_cli_session session;
  bool has_session;
  const char *path; /* the configuration; NULL: none */
  json_t *config;   /* owned; NULL: none that can be used */
  bool has_daemon;
};

/* ---- the configuration ---- */

/* Of a daemon that is named otherwise, no configuration is known. */
static void find_path(struct doctor *doctor, const struct cox_cli_args *args) {
  const bool is_elsewhere = cox_cli_args_has(args, "admin") || cox_cli_args_has(args, "socket");
  if (!is_elsewhere || cox_cli_args_has(args, "config")) doctor->path = cox_cli_config_find(doctor->checkup.env, args);
}

static void add_faults(struct cox_checkup *checkup, const char *check, const struct cox_faults *faults) {
  for (size_t i = 0; i < faults->count; i++) {
    const struct cox_err *const fault = &faults->list[i];
    char place[sizeof fault->file + 16] = "";
    if (fault->line > 0) snprintf(place, sizeof place, "%s:%d", fault->file, fault->line);
    else snprintf(place, sizeof place, "%s", fault->file);
    cox_checkup_add(checkup, check, *place != '\0' ? place : NULL, COX_HEALTH_BAD, "%s", fault->text);
  }
}

static void read_config(struct doctor *doctor) {
  struct cox_faults faults = {0};
  if (doctor->path == NULL) return;
  doctor->config = doctor->checkup.env->load_config(doctor->path, &faults);
  if (doctor->config != NULL) cox_checkup_add(&doctor->checkup, "configuration", doctor->path, COX_HEALTH_GOOD, "no faults");
  add_faults(&doctor->checkup, "configuration", &faults);
  cox_faults_fini(&faults);
}

static void check_scripts(struct doctor *doctor) {
  const struct cox_cli_env *const env = doctor->checkup.env;
  struct cox_faults faults = {0};
  if (doctor->path == NULL || doctor->config == NULL || env->check_scripts == NULL) return;
  env->check_scripts(doctor->config, &faults);
  if (faults.count == 0) cox_checkup_add(&doctor->checkup, "scripts", NULL, COX_HEALTH_GOOD, "they load, and their cases hold");
  add_faults(&doctor->checkup, "scripts", &faults);
  cox_faults_fini(&faults);
}

/* ---- the running daemon ---- */

/* Value of a metric without labels; false: there is none. */
static bool metric_of(const char *text, const char *name, double *value) {
  const size_t len = strlen(name);
  for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n') != NULL ? strchr(at, '\n') + 1 : NULL) {
    if (strncmp(at, name, len) != 0 || at[len] != ' ') continue;
    *value = strtod(at + len, NULL);
    return true;
  }
  return false;
}

static void judge_metrics(struct doctor *doctor, const char *text, int64_t chain_height) {
  struct cox_checkup *const checkup = &doctor->checkup;
  double value;
  if (metric_of(text, "coxswain_store_degraded", &value)) {
    if (value != 0) cox_checkup_add(checkup, "store", NULL, COX_HEALTH_BAD, "the daemon cannot write its store and refuses changes: its log says why (disk full?)");
    else cox_checkup_add(checkup, "store", NULL, COX_HEALTH_GOOD, "the daemon writes it");
  }
  if (metric_of(text, "coxswain_scripts_unstored", &value) && value != 0) {
    cox_checkup_add(checkup, "store", NULL, COX_HEALTH_BAD, "it does not have the choice of scripts: a start would run others; `coxswain scripts` says why");
  }
  if (chain_height > 0 && metric_of(text, "coxswain_block_height", &value)) {
    const int64_t lag = chain_height - (int64_t)value;
    if (lag > LAG_BLOCKS) cox_checkup_add(checkup, "chain", NULL, COX_HEALTH_BAD, "the daemon is %" PRId64 " blocks behind its chain: its log (subsystem script) says what the feed met", lag);
    else cox_checkup_add(checkup, "chain", NULL, COX_HEALTH_GOOD, "the daemon follows it, at block %.0f", value);
  }
}

static int get_text(struct doctor *doctor, const char *path, struct cox_buf *out) {
  struct cox_client client = doctor->session.target.client;
  struct cox_err err;
  client.timeout_ms = COX_ASK_MS;
  return client.call(&client, "GET", path, NULL, out, &err);
}

static void check_metrics(struct doctor *doctor, int64_t chain_height) {
  struct cox_buf text = {.limit = METRICS_MAX};
  if (get_text(doctor, "/metrics", &text) == 200) judge_metrics(doctor, text.data != NULL ? text.data : "", chain_height);
  cox_buf_fini(&text);
}

static void count_nodes(struct doctor *doctor, const json_t *nodes) {
  struct cox_checkup *const checkup = &doctor->checkup;
  size_t i, failed = 0;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    const char *const id = json_string_value(json_object_get(json_object_get(object, "node"), "id"));
    const json_t *const state = json_object_get(object, "state");
    const char *const status = json_string_value(json_object_get(state, "current_status"));
    if (status == NULL || strcmp(status, "FAILED") != 0) continue;
    const char *const reason = json_string_value(json_object_get(state, "failure_reason"));
    failed++;
    cox_checkup_add(checkup, "daemon", id, COX_HEALTH_BAD, "FAILED: %s", reason != NULL ? reason : "no reason is known");
  }
  if (failed == 0) cox_checkup_add(checkup, "daemon", NULL, COX_HEALTH_GOOD, "ready, %zu nodes, none FAILED", json_array_size(nodes));
}

static json_t *fetch(struct doctor *doctor, const char *path) {
  struct cox_buf text = {.limit = 256 << 20};
  json_t *value = NULL;
  if (get_text(doctor, path, &text) == 200) value = json_loadb(text.data != NULL ? text.data : "", text.len, 0, NULL);
  cox_buf_fini(&text);
  return value;
}

static bool is_same_place(const char *one, const char *other) {
  struct stat left, right;
  if (strcmp(one, other) == 0) return true;
  return stat(one, &left) == 0 && stat(other, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/* `-D` and a unit of systemd lay their own over the file: clients, and a restore, would look where the daemon is not. The daemon's is
 * looked at from here on.                                                                                                            */
static void compare_place(struct doctor *doctor, json_t *own, const json_t *running, const char *key, const char *name) {
  const char *const said = json_string_value(json_object_get(own, key)), *const is = json_string_value(json_object_get(running, key));
  if (said == NULL || is == NULL || is_same_place(said, is)) return;
  cox_checkup_add(&doctor->checkup, "configuration", doctor->path, COX_HEALTH_DOUBT,
                  "says %s %s, but the daemon runs with %s: another configuration, or -D, or a variable; write the daemon's into this one, or clients and restore miss it",
                  name, said, is);
  json_object_set_new(own, key, json_string(is));
}

static void compare_places(struct doctor *doctor) {
  json_t *const running = doctor->path != NULL ? fetch(doctor, "/admin/v1/config") : NULL;
  compare_place(doctor, doctor->config, running, "store", "store");
  compare_place(doctor, json_object_get(doctor->config, "admin"), json_object_get(running, "admin"), "socket", "admin.socket");
  json_decref(running);
}

/* What the daemon knows is better than the file: nodes of the API are in it. */
static void take_running(struct doctor *doctor) {
  json_t *const nodes = fetch(doctor, "/admin/v1/nodes");
  if (doctor->config != NULL) compare_places(doctor);
  if (doctor->config == NULL) doctor->config = fetch(doctor, "/admin/v1/config");
  if (nodes == NULL || doctor->config == NULL) {
    cox_checkup_add(&doctor->checkup, "daemon", NULL, COX_HEALTH_BAD, "it answers, but does not tell its nodes: a token is needed (--token-file, -c FILE, COXSWAIN_TOKEN)");
  } else {
    json_t *const list = json_array();
    size_t i;
    json_t *object;
    json_array_foreach(nodes, i, object) json_array_append(list, json_object_get(object, "node"));
    json_object_set_new(doctor->config, "nodes", list);
    count_nodes(doctor, nodes);
  }
  json_decref(nodes);
}

/* An exit code when the doctor cannot go on. */
static int meet_daemon(struct doctor *doctor) {
  const char *const place = cox_cli_target_place(&doctor->session.target);
  struct cox_buf text = {.limit = METRICS_MAX};
  const int status = get_text(doctor, "/readyz", &text);
  cox_buf_fini(&text);
  doctor->has_daemon = status == 200 || status == 503;
  if (status == 200) {
    take_running(doctor);
  } else if (status > 0) {
    cox_checkup_add(&doctor->checkup, "daemon", place, COX_HEALTH_BAD, "answers %d to /readyz: it is not ready, or it is another program", status);
  } else if (doctor->path == NULL) {
    cox_cli_fail(doctor->session.args.program, "no daemon at %s and no configuration: name one with -c FILE", place);
    return COX_EXIT_NO_DAEMON;
  } else {
    cox_checkup_add(&doctor->checkup, "daemon", place, COX_HEALTH_DOUBT, "none runs: the configuration is examined alone");
  }
  return COX_EXIT_DONE;
}

/* ---- all of it ---- */

static int report(struct doctor *doctor, bool is_json) {
  const size_t bad = cox_checkup_count(&doctor->checkup, COX_HEALTH_BAD), doubts = cox_checkup_count(&doctor->checkup, COX_HEALTH_DOUBT);
  if (is_json) {
    json_t *const out = json_pack("{sb, sO}", "healthy", bad == 0, "findings", doctor->checkup.findings);
    cox_cli_print_json(out, false);
    json_decref(out);
  } else {
    cox_checkup_print(&doctor->checkup);
    printf("%zu good, %zu to look at, %zu bad\n", cox_checkup_count(&doctor->checkup, COX_HEALTH_GOOD), doubts, bad);
  }
  return bad == 0 ? COX_EXIT_DONE : COX_EXIT_FAILED;
}

static int examine(struct doctor *doctor, int argc, char **argv) {
  struct cox_checkup *const checkup = &doctor->checkup;
  int exit_code = COX_EXIT_DONE;
  read_config(doctor);
  /* A broken configuration does not say where its daemon is. */
  if (doctor->path == NULL || doctor->config != NULL) {
    doctor->has_session = cox_cli_session_begin(&doctor->session, &cox_cli_doctor, 0, 0, (void *)(uintptr_t)checkup->env, argc, argv, &exit_code);
    if (doctor->has_session) exit_code = meet_daemon(doctor);
    if (exit_code != COX_EXIT_DONE) return exit_code;
  }
  check_scripts(doctor);
  cox_checkup_host(checkup, doctor->config, doctor->path, doctor->has_daemon);
  if (doctor->config == NULL) return COX_EXIT_DONE;
  const int64_t height = cox_checkup_chain(checkup, doctor->config);
  if (doctor->has_daemon) check_metrics(doctor, height);
  cox_checkup_callback(checkup, doctor->config);
  cox_checkup_nodes(checkup, json_object_get(doctor->config, "nodes"));
  return COX_EXIT_DONE;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_args args;
  struct doctor doctor = {0};
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_cli_doctor, 0, 0, argc, argv, &exit_code)) return exit_code;
  cox_checkup_init(&doctor.checkup, ctx);
  find_path(&doctor, &args);
  exit_code = examine(&doctor, argc, argv);
  if (exit_code == COX_EXIT_DONE) exit_code = report(&doctor, cox_cli_args_has(&args, "json"));
  if (doctor.has_session) cox_cli_session_end(&doctor.session);
  json_decref(doctor.config);
  cox_checkup_fini(&doctor.checkup);
  cox_cli_args_fini(&args);
  return exit_code;
}
