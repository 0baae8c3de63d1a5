#include "console_fake.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/client_commands.h"
#include "console/demo_stretch.h"

struct console_daemon console_daemon;

void console_daemon_reset(void) {
  for (size_t i = 0; i < CONSOLE_CALLS; i++) free(console_daemon.asked[i].body);
  memset(&console_daemon, 0, sizeof console_daemon);
}

static void copy(char *to, size_t size, const char *text) { snprintf(to, size, "%s", text != NULL ? text : ""); }

int console_daemon_call(const struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out,
                        struct cox_err *err) {
  const size_t i = console_daemon.calls++;
  if (i >= CONSOLE_CALLS) abort();
  copy(console_daemon.asked[i].method, sizeof console_daemon.asked[i].method, method);
  copy(console_daemon.asked[i].path, sizeof console_daemon.asked[i].path, path);
  copy(console_daemon.asked[i].base_url, sizeof console_daemon.asked[i].base_url, client->base_url);
  copy(console_daemon.asked[i].unix_socket, sizeof console_daemon.asked[i].unix_socket, client->unix_socket);
  copy(console_daemon.asked[i].token, sizeof console_daemon.asked[i].token, client->token);
  copy(console_daemon.asked[i].ca, sizeof console_daemon.asked[i].ca, client->ca_file);
  copy(console_daemon.asked[i].if_match, sizeof console_daemon.asked[i].if_match, client->if_match);
  if (client->etag != NULL) copy(client->etag, COX_CLIENT_ETAG_MAX, console_daemon.answers[i].etag);
  console_daemon.asked[i].body = body != NULL ? strdup(body) : NULL;
  const int status = console_daemon.answers[i].status;
  const char *const answer = console_daemon.answers[i].body;
  if (status < 0) return cox_err_set(err, status, "%s", answer != NULL ? answer : "");
  if (answer != NULL) cox_buf_add(out, answer, strlen(answer));
  return status;
}

/* ---- output ---- */

static int split(char *text, char **argv, int most) {
  int argc = 0;
  for (char *at = text; *at != '\0';) {
    while (*at == ' ') at++;
    if (*at == '\0') break;
    const char end = *at == '\'' ? '\'' : ' ';
    if (end == '\'') at++;
    if (argc == most - 1) abort();
    argv[argc++] = at;
    while (*at != '\0' && *at != end) at++;
    if (*at != '\0') *at++ = '\0';
  }
  argv[argc] = NULL;
  return argc;
}

static void read_back(FILE *file, char *to, size_t size) {
  rewind(file);
  to[fread(to, 1, size - 1, file)] = '\0';
  fclose(file);
}

void console_run(struct console_run *run, struct cox_cli_env *env, const char *line) {
  const struct cox_cli_entry entries[] = {cox_cli_nodes, cox_cli_node, cox_cli_command, cox_cli_commands, cox_cli_plan, cox_cli_reload, cox_cli_rollback, cox_cli_scripts,
                                          cox_cli_events};
  char *argv[64], *const text = strdup(line);
  const int argc = split(text, argv, 64);
  FILE *const files[] = {tmpfile(), tmpfile()};
  int saved[2];
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    saved[i] = dup(i + 1);
    dup2(fileno(files[i]), i + 1);
  }
  run->rc = cox_cli_main(entries, sizeof entries / sizeof *entries, env, argc, argv);
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    dup2(saved[i], i + 1);
    close(saved[i]);
  }
  read_back(files[0], run->out, sizeof run->out);
  read_back(files[1], run->err, sizeof run->err);
  free(text);
}

/* ---- objects ---- */

/* "POC/GENERATING" → "POC" and "GENERATING"; without the second, "IDLE". */
static void split_state(const char *state, char status[32], char poc[32]) {
  const char *const slash = strchr(state, '/');
  snprintf(status, 32, "%.*s", slash != NULL ? (int)(slash - state) : (int)strlen(state), state);
  snprintf(poc, 32, "%s", slash != NULL ? slash + 1 : "IDLE");
}

json_t *console_node(const char *id, const char *intended, const char *current) {
  char status[32], poc[32], current_status[32], current_poc[32];
  split_state(intended, status, poc);
  split_state(current, current_status, current_poc);
  const bool is_settled = strcmp(intended, current) == 0;
  json_t *const target = json_pack("{ss, ss}", "status", status, "poc", poc);
  json_t *const node = json_pack(
      "{s{ss, ss, si, si, si, s{s{s[]}}, ss, si}, s{ss, ss, ss, ss, ss, s{sb, si}, s[], s{sO, sb, ss, ss}, si, si}}", "node", "id", id,
      "host", "10.0.0.21", "inference_port", 5050, "poc_port", 8080, "max_concurrent", 500, "models", "m", "args", "kind", "mlnode",
      "node_num", 3, "state", "intended_status", status, "poc_intended_status", poc, "current_status", current_status,
      "poc_current_status", current_poc, "failure_reason", "", "admin_state", "enabled", 1, "epoch", 0, "attempts", "explain", "target",
      target, "settled", (int)is_settled, "reason", "start_poc: generate proofs", "doing", is_settled ? "nothing to do" : "an attempt starts at once",
      "generation", 12, "registration", 4);
  if (is_settled) console_explain(node, "applied", json_incref(target));
  json_decref(target);
  return node;
}

void console_state(json_t *node, const char *key, json_t *value) { json_object_set_new(json_object_get(node, "state"), key, value); }

void console_explain(json_t *node, const char *key, json_t *value) {
  json_object_set_new(json_object_get(json_object_get(node, "state"), "explain"), key, value);
}

static json_t *stages_of(int64_t epoch, int64_t start) {
  const json_int_t at = (json_int_t)start;
  if (epoch == 0) return json_pack("{sI}", "next_poc_start", at + 100);
  return json_pack("{sI, sI, sI, sI, sI, sI, sI, s{sI, sI}}", "poc_start", at, "poc_generation_wind_down", at + 16, "poc_generation_end", at + 20,
                   "poc_validation_start", at + 22, "poc_validation_wind_down", at + 30, "poc_validation_end", at + 32, "next_poc_start",
                   at + 100, "poc_exchange", "first", at + 1, "last", at + 25);
}

json_t *console_world(int64_t epoch, int64_t start, int64_t height) {
  static const struct {
    int64_t end; /* blocks since the PoC start */
    const char *phase, *command;
  } windows[] = {{0, "Inference", "inference_up_all"},
                 {16, "PoCGenerate", "start_poc"},
                 {20, "PoCGenerateWindDown", NULL},
                 {22, "PoCGenerateWindDown", "init_validate"},
                 {30, "PoCValidate", "init_validate"},
                 {32, "PoCValidateWindDown", NULL},
                 {INT64_MAX, "Inference", "inference_up_all"}};
  const int64_t since = epoch > 0 ? height - start : -1;
  size_t i = 0;
  while (since >= windows[i].end) i++;
  return json_pack("{sI, sI, ss, ss*, sb, so}", "epoch", (json_int_t)epoch, "height", (json_int_t)height, "phase", windows[i].phase, "command",
                   windows[i].command, "synced", 1, "stages", stages_of(epoch, start));
}
