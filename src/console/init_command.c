/* `coxswain init`: from nothing to a configuration whose chain and nodes were looked at. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console/checkup.h"
#include "console/client_commands.h"
#include "console/init.h"
#include "console/request.h"
#include "core/node_config.h"

enum { LINE_BYTES = 1024, NODE_PARTS = 6 };

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {
    {"participant", 0, "ADDRESS", "the participant's account, gonka1…"},
    {"pubkey", 0, "KEY", "its public key in base64"},
    {"callback-url", 0, "URL", "where the nodes post their proofs, seen from the nodes"},
    {"rpc", 0, "URL", "the chain's RPC endpoint; may be repeated, the best first"},
    {"rest", 0, "URL", "the chain's REST gateway; may be repeated"},
    {"nodes", 0, "FILE", "the network's node-config.json, used where it is"},
    {"node", 0, "ID,HOST,POC_PORT,INFERENCE_PORT,MODEL[,MAX_CONCURRENT]", "one node; may be repeated"},
    {"listen", 0, "ADDRESS:PORT", "of the admin API (127.0.0.1:9200)"},
    {"ask", 0, NULL, "asks on standard input even when that is no terminal"},
    {"yes", 'y', NULL, "asks nothing: what no option says stays unset"},
    {"no-test", 0, NULL, "does not look at chain and nodes"},
    {"json", 0, NULL, "prints what was written and found as JSON"},
    {0},
};

const struct cox_cli_entry cox_cli_init = {
    .name = "init",
    .synopsis = "[DIR] [options]",
    .summary = "Writes a commented configuration and a nodes file, and looks at chain and nodes",
    .detail = "DIR (default: the working directory) gets coxswain.lua and, unless --nodes names one, node-config.json. Nothing that exists is "
              "overwritten. On a terminal it asks for what no option says. Chain and nodes are only asked, never changed. Exit code 1: something "
              "is wrong, and it says what.",
    .options = options,
    .run = run,
};

struct init {
  struct cox_checkup checkup;
  struct cox_cli_args args;
  char dir[PATH_MAX], config_path[PATH_MAX + 16], nodes_path[PATH_MAX + 20];
  json_t *values, *nodes, *written; /* owned */
  bool is_asking, has_nodes_file;   /* --nodes, or one is there */
};

/* ---- what is wanted ---- */

/* What the user types, without spaces around it; "" at the end of the input. */
static void ask(const char *question, char line[LINE_BYTES]) {
  fprintf(stderr, "%s: ", question);
  line[0] = '\0';
  if (fgets(line, LINE_BYTES, stdin) == NULL) line[0] = '\0';
  const size_t lead = strspn(line, " \t");
  memmove(line, line + lead, strlen(line + lead) + 1);
  for (size_t len = strlen(line); len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL; len--) line[len - 1] = '\0';
}

static void want(struct init *init, const char *option, const char *path, const char *question) {
  char line[LINE_BYTES];
  const char *value = cox_cli_args_value(&init->args, option);
  if (value == NULL && init->is_asking && question != NULL) {
    ask(question, line);
    value = line;
  }
  if (value != NULL && *value != '\0') json_object_set_new(init->values, path, json_string(value));
}

/* One URL as text, several as a list. */
static void want_urls(struct init *init, const char *option, const char *path, const char *question) {
  json_t *const list = json_array();
  size_t cursor = 0;
  for (const char *url; (url = cox_cli_args_next(&init->args, option, &cursor)) != NULL;) json_array_append_new(list, json_string(url));
  if (json_array_size(list) > 1) json_object_set(init->values, path, list);
  else want(init, option, path, question);
  json_decref(list);
}

/* "ID,HOST,POC_PORT,INFERENCE_PORT,MODEL[,MAX]"; the words are what is wrong with it. */
static bool add_node(struct init *init, const char *words, struct cox_err *err) {
  char text[LINE_BYTES], *parts[NODE_PARTS] = {0}, *rest = text;
  size_t count = 0;
  snprintf(text, sizeof text, "%s", words);
  while (count < NODE_PARTS && rest != NULL) parts[count++] = strsep(&rest, ",");
  if (count < NODE_PARTS - 1 || rest != NULL) {
    cox_err_set(err, COX_EINVAL, "a node is ID,HOST,POC_PORT,INFERENCE_PORT,MODEL[,MAX_CONCURRENT], not %s", words);
    return false;
  }
  json_t *const node = json_pack("{ss, ss, si, si, si, s{s{s[]}}}", "id", parts[0], "host", parts[1], "inference_port", atoi(parts[3]), "poc_port",
                                 atoi(parts[2]), "max_concurrent", parts[5] != NULL ? atoi(parts[5]) : 100, "models", parts[4], "args");
  json_t *const checked = node != NULL ? cox_node_config_create(node, err) : NULL;
  if (node == NULL) cox_err_set(err, COX_EINVAL, "a node must be plain UTF-8 text, not %s", words);
  if (checked != NULL) json_array_append(init->nodes, node);
  json_decref(checked);
  json_decref(node);
  return checked != NULL;
}

static int take_nodes(struct init *init) {
  char line[LINE_BYTES];
  struct cox_err err;
  size_t cursor = 0;
  for (const char *words; (words = cox_cli_args_next(&init->args, "node", &cursor)) != NULL;) {
    if (!add_node(init, words, &err)) return cox_cli_misuse(init->args.program, "%s", err.text);
  }
  while (init->is_asking && !init->has_nodes_file && !cox_cli_args_has(&init->args, "node")) {
    ask("A node, as ID,HOST,POC_PORT,INFERENCE_PORT,MODEL (empty: no more)", line);
    if (*line == '\0') break;
    if (!add_node(init, line, &err)) fprintf(stderr, "%s\n", err.text);
  }
  return COX_EXIT_DONE;
}

static int take_nodes_file(struct init *init) {
  char line[LINE_BYTES] = "", real[PATH_MAX];
  const char *named = cox_cli_args_value(&init->args, "nodes");
  const bool is_there = access(init->nodes_path, F_OK) == 0;
  if (named == NULL && !is_there && init->is_asking && !cox_cli_args_has(&init->args, "node")) {
    ask("The network's node-config.json, if there is one (empty: none)", line);
    if (*line != '\0') named = line;
  }
  init->has_nodes_file = named != NULL || is_there;
  if (named != NULL && cox_cli_args_has(&init->args, "node")) return cox_cli_misuse(init->args.program, "--nodes and --node exclude each other");
  if (is_there && cox_cli_args_has(&init->args, "node")) {
    return cox_cli_fail(init->args.program, "%s exists and is not changed: add the nodes there, or leave --node out; nothing was written", init->nodes_path);
  }
  if (named == NULL) {
    json_object_set_new(init->values, "nodes", json_string("node-config.json"));
    return COX_EXIT_DONE;
  }
  if (realpath(named, real) == NULL) return cox_cli_fail(init->args.program, "the nodes file %s cannot be used: %s; nothing was written", named, strerror(errno));
  json_object_set_new(init->values, "nodes", json_string(real));
  return COX_EXIT_DONE;
}

static int take_wishes(struct init *init) {
  int exit_code = take_nodes_file(init);
  if (exit_code != COX_EXIT_DONE) return exit_code;
  want(init, "participant", "participant.address", "The participant's account (gonka1…)");
  want(init, "pubkey", "participant.pubkey", "Its public key in base64");
  want(init, "callback-url", "callback_url", "Where nodes post their proofs, seen from them (http://10.0.0.5:9100)");
  want_urls(init, "rpc", "feed.rpc", "The chain's RPC endpoint (http://127.0.0.1:26657; empty: follow no chain)");
  const bool has_chain = json_object_get(init->values, "feed.rpc") != NULL || cox_cli_args_has(&init->args, "rest");
  if (has_chain) want_urls(init, "rest", "feed.rest", "The chain's REST gateway (http://127.0.0.1:1317)");
  json_object_set_new(init->values, "feed.kind", json_string(has_chain ? "cometbft" : "none"));
  want(init, "listen", "admin.listen", NULL);
  cox_init_places(init->dir, init->values);
  return take_nodes(init);
}

/* ---- writing ---- */

/* A file that is there is never touched, a file that could not be written whole is removed. */
static int write_new(struct init *init, const char *path, const char *text) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return cox_cli_fail(init->args.program, "writing %s failed: %s", path, errno == EEXIST ? "it exists, and nothing is overwritten" : strerror(errno));
  const size_t len = strlen(text);
  const bool is_written = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
  const int why = errno;
  if (close(fd) == 0 && is_written) {
    json_array_append_new(init->written, json_string(path));
    return COX_EXIT_DONE;
  }
  unlink(path);
  return cox_cli_fail(init->args.program, "writing %s failed: %s", path, strerror(why));
}

static int write_nodes(struct init *init) {
  if (init->has_nodes_file) return COX_EXIT_DONE;
  char *const text = json_dumps(init->nodes, JSON_INDENT(2));
  struct cox_buf line = {0};
  const bool is_whole = text != NULL && cox_buf_addf(&line, "%s\n", text);
  const int exit_code = is_whole ? write_new(init, init->nodes_path, line.data) : cox_cli_fail(init->args.program, "out of memory");
  cox_buf_fini(&line);
  free(text);
  return exit_code;
}

static int write_all(struct init *init) {
  const struct cox_cli_env *const env = init->checkup.env;
  json_t *const keys = env->describe_config != NULL ? env->describe_config() : NULL;
  struct cox_buf text = {0};
  int exit_code = COX_EXIT_FAILED;
  if (keys == NULL || !cox_init_config(&text, keys, init->values)) cox_cli_fail(init->args.program, "out of memory");
  else if ((exit_code = write_new(init, init->config_path, text.data)) == COX_EXIT_DONE) exit_code = write_nodes(init);
  cox_buf_fini(&text);
  json_decref(keys);
  return exit_code;
}

static int find_places(struct init *init) {
  const char *const named = init->args.rest_count > 0 ? init->args.rest[0] : ".";
  if (mkdir(named, 0755) != 0 && errno != EEXIST) return cox_cli_fail(init->args.program, "making the folder %s failed: %s", named, strerror(errno));
  if (realpath(named, init->dir) == NULL) return cox_cli_fail(init->args.program, "the folder %s cannot be used: %s", named, strerror(errno));
  snprintf(init->config_path, sizeof init->config_path, "%s/coxswain.lua", init->dir);
  snprintf(init->nodes_path, sizeof init->nodes_path, "%s/node-config.json", init->dir);
  if (access(init->config_path, F_OK) != 0) return COX_EXIT_DONE;
  return cox_cli_fail(init->args.program, "%s exists, and nothing is overwritten. To examine it: coxswain doctor -c %s", init->config_path, init->config_path);
}

/* ---- looking ---- */

static void look(struct init *init) {
  struct cox_faults faults = {0};
  struct cox_checkup *const checkup = &init->checkup;
  json_t *const config = checkup->env->load_config(init->config_path, &faults);
  for (size_t i = 0; i < faults.count; i++) {
    const struct cox_err *const fault = &faults.list[i];
    cox_checkup_add(checkup, "configuration", fault->file[0] != '\0' ? fault->file : NULL, COX_HEALTH_BAD, "%s%s%.0d%s", fault->text, fault->line > 0 ? " (line " : "",
                    fault->line, fault->line > 0 ? ")" : "");
  }
  if (config != NULL && !cox_cli_args_has(&init->args, "no-test")) {
    cox_checkup_chain(checkup, config);
    cox_checkup_nodes(checkup, json_object_get(config, "nodes"));
  }
  json_decref(config);
  cox_faults_fini(&faults);
}

static int report(struct init *init) {
  const size_t bad = cox_checkup_count(&init->checkup, COX_HEALTH_BAD);
  size_t i;
  json_t *path;
  if (cox_cli_args_has(&init->args, "json")) {
    json_t *const out = json_pack("{sb, sO, sO}", "healthy", bad == 0, "written", init->written, "findings", init->checkup.findings);
    cox_cli_print_json(out, false);
    json_decref(out);
  } else {
    json_array_foreach(init->written, i, path) printf("wrote %s\n", json_string_value(path));
    cox_checkup_print(&init->checkup);
    if (bad > 0) {
      printf("%zu %s wrong; put %s right, then: coxswain doctor -c %s\n", bad, bad == 1 ? "thing is" : "things are",
             bad == 1 ? "it" : "them", init->config_path);
    } else if (cox_init_is_service(init->dir)) {
      puts("next: systemctl enable --now coxswain");
    } else {
      printf("next: coxswain run -c %s\n", init->config_path);
    }
  }
  return bad == 0 ? COX_EXIT_DONE : COX_EXIT_FAILED;
}

static int run(void *ctx, int argc, char **argv) {
  struct init init = {.values = json_object(), .nodes = json_array(), .written = json_array()};
  int exit_code;
  cox_checkup_init(&init.checkup, ctx);
  if (!cox_cli_args_parse(&init.args, &cox_cli_init, 0, 1, argc, argv, &exit_code)) goto out;
  init.is_asking = !cox_cli_args_has(&init.args, "yes") && (cox_cli_args_has(&init.args, "ask") || (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)));
  exit_code = find_places(&init);
  if (exit_code == COX_EXIT_DONE) exit_code = take_wishes(&init);
  if (exit_code == COX_EXIT_DONE) exit_code = write_all(&init);
  if (exit_code == COX_EXIT_DONE) {
    look(&init);
    exit_code = report(&init);
  }
  cox_cli_args_fini(&init.args);
out:
  cox_checkup_fini(&init.checkup);
  json_decref(init.values);
  json_decref(init.nodes);
  json_decref(init.written);
  return exit_code;
}
