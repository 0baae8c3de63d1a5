/* The command line: help, wrong usage, finding the daemon, the client subcommands against a fake daemon. */
#include "console_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/cli.h"
#include "console/init.h"
#include "console/node_input.h"
#include "console/pairs.h"
#include "console/suggest.h"

static struct console_run run;
static struct cox_cli_env env;
static const char *config_text; /* what load_config returns */
static char config_asked[64];   /* the path it was asked for */
static char folder[64], here[512];

static json_t *load_config(const char *path, struct cox_faults *faults) {
  snprintf(config_asked, sizeof config_asked, "%s", path);
  json_t *const config = config_text != NULL ? json_loads(config_text, 0, NULL) : NULL;
  if (config == NULL) cox_faults_add(faults, path, 3, "admin.listen must be a text, not 5");
  return config;
}

static int64_t wall_ms(void *ctx) {
  (void)ctx;
  return CONSOLE_NOW_MS;
}

static const struct cox_clock clock = {.wall_ms = wall_ms};
static const char *const no_places[] = {NULL};

static int setup(void **state) {
  (void)state;
  static const char *const variables[] = {"COXSWAIN_SOCKET", "COXSWAIN_ADMIN", "COXSWAIN_CONFIG", "COXSWAIN_TOKEN"};
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
  console_daemon_reset();
  env = (struct cox_cli_env){.call = console_daemon_call, .load_config = load_config, .clock = &clock, .config_places = no_places};
  config_text = NULL;
  snprintf(folder, sizeof folder, "/tmp/cox-console-XXXXXX");
  return mkdtemp(folder) != NULL && getcwd(here, sizeof here) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  console_daemon_reset();
  static const char *const files[] = {"token", "nodes.json", "coxswain.lua"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(files[i]);
  return chdir(here) == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static int go(const char *line) {
  console_run(&run, &env, line);
  return run.rc;
}

static void answer(int status, const char *body) {
  size_t i = 0;
  while (console_daemon.answers[i].status != 0) i++;
  console_daemon.answers[i].status = status;
  console_daemon.answers[i].body = body;
}

static void write_file(const char *name, const char *text) {
  FILE *const file = fopen(name, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

#define assert_has(text, part)                                                                  \
  do {                                                                                          \
    if (strstr((text), (part)) == NULL) fail_msg("\"%s\" does not hold \"%s\"", (text), (part)); \
  } while (0)

/* ---- the table ---- */

static void without_a_subcommand_help_goes_to_stderr_and_the_exit_is_2(void **state) {
  (void)state;
  assert_int_equal(go("coxswain"), 2);
  assert_string_equal(run.out, "");
  assert_has(run.err, "Usage: coxswain SUBCOMMAND");
  assert_int_equal(go("coxswain node"), 2);
  assert_has(run.err, "Usage: coxswain node SUBCOMMAND");
}

static void help_and_version_go_to_stdout_and_the_exit_is_0(void **state) {
  (void)state;
  static const struct {
    const char *line, *part;
  } cases[] = {
      {"coxswain --help", "  nodes     Shows the fleet"},
      {"coxswain -h", "3 no daemon reachable"},
      {"coxswain help", "Usage: coxswain SUBCOMMAND"},
      {"coxswain help nodes", "Usage: coxswain nodes [--json] [--watch]"},
      {"coxswain nodes --help", "    --json             prints JSON"},
      {"coxswain nodes -h", "-c, --config FILE"},
      {"coxswain node --help", "  disable  Takes nodes out of service"},
      {"coxswain help node", "  disable  Takes nodes out of service"},
      {"coxswain node add -h", "-f, --file FILE"},
      {"coxswain node show node1 --help", "Usage: coxswain node show ID [--json]"},
      {"coxswain command -h", "coxswain command reconcile node_id=node1"},
      {"coxswain --version", "coxswain " COX_VERSION "\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(go(cases[i].line), 0);
    assert_string_equal(run.err, "");
    assert_has(run.out, cases[i].part);
  }
  assert_int_equal(console_daemon.calls, 0);
}

static void wrong_usage_is_named_and_the_exit_is_2(void **state) {
  (void)state;
  static const struct {
    const char *line, *part;
  } cases[] = {
      {"coxswain ndoes", "coxswain: unknown subcommand ndoes: did you mean nodes?"},
      {"coxswain comm", "did you mean command?"},
      {"coxswain xyzzy", "unknown subcommand xyzzy\n`coxswain --help` tells more."},
      {"coxswain --json nodes", "unknown option --json: options stand behind the subcommand"},
      {"coxswain node remove x", "coxswain node: unknown subcommand remove"},
      {"coxswain node shw x", "did you mean show?"},
      {"coxswain node show", "coxswain node show: an argument is missing: coxswain node show ID [--json]"},
      {"coxswain node show a b", "unexpected argument b"},
      {"coxswain nodes extra", "unexpected argument extra"},
      {"coxswain nodes --jsn", "unknown option --jsn: did you mean --json?"},
      {"coxswain nodes --frobnicate=1", "unknown option --frobnicate\n"},
      {"coxswain nodes --json=yes", "option --json takes no value"},
      {"coxswain nodes -x", "unknown option -x"},
      {"coxswain nodes -c", "option --config needs a value: --config FILE"},
      {"coxswain nodes --admin", "option --admin needs a value: --admin URL"},
      {"coxswain nodes --admin ftp://x", "must begin with http:// or https://"},
      {"coxswain nodes --admin ''", "is empty"},
      {"coxswain nodes --admin 'http://a b'", "spaces or control characters"},
      {"coxswain command", "an argument is missing"},
      {"coxswain command ''", "name is empty"},
      {"coxswain command x height", "height is not key=value"},
      {"coxswain command x =5", "=5 is not key=value"},
      {"coxswain command x a=1 a=2", "a is given twice"},
      {"coxswain command x --json [1]", "--json must be an object"},
      {"coxswain command x --json {", "--json is not JSON"},
      {"coxswain command x --json {\"a\":1,\"a\":2}", "--json is not JSON"},
      {"coxswain node add", "which node?"},
      {"coxswain node add -f x id=1", "goes without"},
      {"coxswain node update node1", "nothing to change"},
      {"coxswain node show ''", "id is empty"},
      {"coxswain \x1b[2J", "unknown subcommand \\x1b[2J"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (go(cases[i].line) != 2) fail_msg("%s: exit %d", cases[i].line, run.rc);
    assert_string_equal(run.out, "");
    assert_has(run.err, cases[i].part);
  }
  assert_int_equal(console_daemon.calls, 0);
}

static void the_nearest_word_is_suggested_only_when_it_is_near(void **state) {
  (void)state;
  assert_int_equal(cox_suggest_distance("nodes", "nodes"), 0);
  assert_int_equal(cox_suggest_distance("ndoes", "nodes"), 1);
  assert_int_equal(cox_suggest_distance("", "abc"), 3);
  assert_int_equal(cox_suggest_distance("kitten", "sitting"), 3);
  struct cox_suggestion near = {.word = "x"};
  cox_suggest_offer(&near, "y");
  assert_null(near.best);
  near.word = "a-word-that-is-much-longer-than-any-name-we-have";
  cox_suggest_offer(&near, "a-word-that-is-much-longer-than-any-name-we-had");
  assert_null(near.best);
}

static int rest_count;
static char last_value[64], all_values[64];

static int run_probe(void *ctx, int argc, char **argv) {
  static const struct cox_cli_option options[] = {{"set", 'D', "K=V", "sets"}, {"quiet", 'q', NULL, "says less"}, {0}};
  static const struct cox_cli_entry entry = {.name = "probe", .synopsis = "", .summary = "", .options = options};
  struct cox_cli_args args;
  int exit_code;
  (void)ctx;
  if (!cox_cli_args_parse(&args, &entry, 0, -1, argc, argv, &exit_code)) return exit_code;
  rest_count = args.rest_count;
  const char *const last = cox_cli_args_value(&args, "set");
  snprintf(last_value, sizeof last_value, "%s", last != NULL ? last : "none");
  size_t cursor = 0, length = 0;
  for (const char *value; (value = cox_cli_args_next(&args, "set", &cursor)) != NULL;) {
    length += (size_t)snprintf(all_values + length, sizeof all_values - length, "%s;", value);
  }
  exit_code = cox_cli_args_has(&args, "quiet") ? 1 : 0;
  cox_cli_args_fini(&args);
  return exit_code;
}

static void options_may_stand_anywhere_be_repeated_and_be_joined(void **state) {
  (void)state;
  const struct cox_cli_entry entries[] = {{.name = "probe", .synopsis = "", .summary = "", .run = run_probe}};
  char *argv[] = {(char[]){"coxswain"}, (char[]){"probe"}, (char[]){"a"}, (char[]){"-qqqqqqqqqqqqDx=1"}, (char[]){"b"}, (char[]){"--set=y=2"}, (char[]){"--"}, (char[]){"--set"}, NULL};
  assert_int_equal(cox_cli_main(entries, 1, NULL, 8, argv), 1);
  assert_int_equal(rest_count, 3);
  assert_string_equal(last_value, "y=2");
  assert_string_equal(all_values, "x=1;y=2;");
  assert_string_equal(argv[1], "probe");
}

/* ---- finding the daemon ---- */

static void asked(const char *base_url, const char *unix_socket, const char *token) {
  assert_int_equal(console_daemon.calls, 1);
  assert_string_equal(console_daemon.asked[0].base_url, base_url);
  assert_string_equal(console_daemon.asked[0].unix_socket, unix_socket);
  assert_string_equal(console_daemon.asked[0].token, token);
  console_daemon_reset();
}

static void ask(const char *line) {
  answer(200, "[]");
  assert_int_equal(go(line), 0);
}

static void the_daemon_is_found_in_the_documented_order(void **state) {
  (void)state;
  static const char *const places[] = {"./coxswain.lua", "./other.lua", NULL};
  env.config_places = places;
  config_text = "{\"admin\":{\"listen\":\"0.0.0.0:7000\",\"token\":\"of-config\"}}";
  ask("coxswain nodes");
  asked("http://127.0.0.1:9200", "", "");
  write_file("coxswain.lua", "return {}");
  ask("coxswain nodes");
  asked("http://127.0.0.1:7000", "", "of-config");
  setenv("COXSWAIN_CONFIG", "from-env.lua", 1);
  ask("coxswain nodes");
  assert_string_equal(config_asked, "from-env.lua");
  asked("http://127.0.0.1:7000", "", "of-config");
  setenv("COXSWAIN_ADMIN", "http://10.0.0.1:9200/", 1);
  ask("coxswain nodes");
  asked("http://10.0.0.1:9200", "", "of-config"); /* both were named by the same means */
  setenv("COXSWAIN_SOCKET", "/run/a.sock", 1);
  setenv("COXSWAIN_TOKEN", "of-env", 1);
  ask("coxswain nodes");
  asked("http://10.0.0.1:9200", "/run/a.sock", "of-env");
  ask("coxswain nodes -c mine.lua");
  assert_string_equal(config_asked, "mine.lua");
  asked("http://127.0.0.1:7000", "", "of-config");
  ask("coxswain nodes --admin 10.1.1.1:80");
  asked("http://10.1.1.1:80", "", "of-env");
  ask("coxswain nodes --socket b.sock");
  asked("http://localhost", "b.sock", "of-env");
  write_file("token", "of-file\n");
  ask("coxswain nodes --socket b.sock --admin https://h:1// -c mine.lua --token-file token");
  asked("https://h:1", "b.sock", "of-file");
}

static void a_token_is_never_sent_to_an_address_that_it_was_not_made_for(void **state) {
  (void)state;
  static const char *const places[] = {"./coxswain.lua", NULL};
  env.config_places = places;
  write_file("coxswain.lua", "return {}");
  config_text = "{\"admin\":{\"listen\":\"127.0.0.1:7000\",\"token\":\"secret\"}}";
  ask("coxswain nodes --admin http://elsewhere");
  asked("http://elsewhere", "", "");
  setenv("COXSWAIN_ADMIN", "http://elsewhere", 1);
  ask("coxswain nodes");
  asked("http://elsewhere", "", "");
}

static void of_several_tokens_in_a_configuration_the_widest_is_used(void **state) {
  (void)state;
  static const char *const places[] = {NULL};
  env.config_places = places;
  config_text = "{\"admin\":{\"listen\":\"h:1\",\"tokens\":[{\"token\":\"r\",\"scope\":\"read\"},{\"token_file\":\"token\",\"scope\":\"admin\"},"
                "{\"token\":\"o\",\"scope\":\"operate\"}]}}";
  write_file("token", "of-file\n");
  ask("coxswain nodes -c x.lua");
  asked("http://h:1", "", "of-file");
  assert_int_equal(unlink("token"), 0); /* as one that this user may not read */
  ask("coxswain nodes -c x.lua");
  asked("http://h:1", "", "o");
  setenv("COXSWAIN_TOKEN", "of-env", 1);
  ask("coxswain nodes -c x.lua");
  asked("http://h:1", "", "o"); /* its own source goes before */
  config_text = "{\"admin\":{\"listen\":\"h:1\",\"token\":\"one\",\"tokens\":[{\"token\":\"a\",\"scope\":\"admin\"}]}}";
  ask("coxswain nodes -c x.lua");
  asked("http://h:1", "", "one");
}

static void listeners_are_called_where_they_answer(void **state) {
  (void)state;
  static const struct {
    const char *config, *url;
  } cases[] = {
      {"{\"admin\":{\"listen\":\"127.0.0.1:9200\"}}", "http://127.0.0.1:9200"}, {"{\"admin\":{\"listen\":\":8000\"}}", "http://127.0.0.1:8000"},
      {"{\"admin\":{\"listen\":\"[::]:8000\"}}", "http://[::1]:8000"},           {"{\"admin\":{\"listen\":\"[::1]:8\"}}", "http://[::1]:8"},
      {"{\"admin\":{\"listen\":\"h:1\",\"tls\":{}}}", "https://h:1"},            {"{}", "http://127.0.0.1:9200"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    config_text = cases[i].config;
    ask("coxswain nodes -c x.lua");
    asked(cases[i].url, "", "");
  }
}

static void a_broken_configuration_is_an_error_with_file_and_line(void **state) {
  (void)state;
  static const char *const places[] = {"./coxswain.lua", NULL};
  env.config_places = places;
  assert_int_equal(go("coxswain nodes -c bad.lua"), 1);
  assert_has(run.err, "bad.lua:3: admin.listen must be a text, not 5\n");
  write_file("coxswain.lua", "");
  assert_int_equal(go("coxswain nodes"), 1);
  assert_has(run.err, "name the daemon with --admin URL");
  assert_int_equal(console_daemon.calls, 0);
}

static void beside_the_service_state_and_socket_are_where_its_unit_keeps_them(void **state) {
  (void)state;
  json_t *const values = json_object();
  cox_init_places("/home/me/coxswain", values);
  assert_int_equal(json_object_size(values), 0);
  cox_init_places("/etc/coxswain", values);
  assert_string_equal(json_string_value(json_object_get(values, "store")), "/var/lib/coxswain/coxswain.db");
  assert_string_equal(json_string_value(json_object_get(values, "admin.socket")), "/run/coxswain/coxswain.sock");
  json_decref(values);
}

static void bad_tokens_are_refused_before_anything_is_sent(void **state) {
  (void)state;
  assert_int_equal(go("coxswain nodes --token-file absent"), 1);
  assert_has(run.err, "reading the token file absent failed: No such file");
  write_file("token", " \n");
  assert_int_equal(go("coxswain nodes --token-file token"), 1);
  assert_has(run.err, "is empty");
  write_file("token", "a\nX-Evil: 1\n");
  assert_int_equal(go("coxswain nodes --token-file token"), 1);
  assert_has(run.err, "control characters");
  assert_int_equal(go("coxswain nodes --token-file ."), 1);
  setenv("COXSWAIN_TOKEN", "a b", 1);
  assert_int_equal(go("coxswain nodes"), 1);
  assert_int_equal(console_daemon.calls, 0);
}

static void no_daemon_is_exit_3_and_says_how_to_start_one(void **state) {
  (void)state;
  static const char *const lines[] = {"coxswain nodes",        "coxswain nodes --watch",  "coxswain node show a", "coxswain node rm a b",
                                      "coxswain node enable a", "coxswain node add id=a", "coxswain command probe", "coxswain node update a host=b"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    answer(COX_ENOENT, "connection refused");
    assert_int_equal(go(lines[i]), 3);
    assert_string_equal(run.out, "");
    assert_has(run.err, "no daemon at http://127.0.0.1:9200: start one with `coxswain run -c FILE`\n");
    assert_int_equal(console_daemon.calls, 1);
    console_daemon_reset();
  }
  config_text = "{}";
  answer(COX_ENOENT, "no daemon at x");
  assert_int_equal(go("coxswain nodes -c my.lua"), 3);
  assert_has(run.err, "`coxswain run -c my.lua`");
}

static void other_failures_of_the_exchange_are_exit_1(void **state) {
  (void)state;
  answer(COX_ETIME, "GET /admin/v1/nodes: no whole answer in time");
  assert_int_equal(go("coxswain nodes"), 1);
  assert_has(run.err, "coxswain nodes: GET /admin/v1/nodes: no whole answer in time\n");
  answer(200, "<html>\x1b[2J");
  assert_int_equal(go("coxswain nodes"), 1);
  assert_has(run.err, "not JSON, is it a coxswain? It said: <html>\\x1b[2J");
  answer(200, "{}");
  assert_int_equal(go("coxswain nodes"), 1);
  answer(200, NULL);
  assert_int_equal(go("coxswain node show a"), 1);
  answer(500, NULL);
  assert_int_equal(go("coxswain nodes"), 1);
  assert_has(run.err, "answered 500 without a reason");
  answer(302, "{}");
  assert_int_equal(go("coxswain nodes"), 1);
}

/* ---- nodes ---- */

static char *fleet(void) {
  json_t *const node = console_node("node\x1b[31m1", "POC/GENERATING", "INFERENCE");
  console_state(node, "failure_reason", json_string("tab\there \xc2\x9b"));
  json_t *const list = json_pack("[o]", node);
  char *const text = json_dumps(list, 0);
  json_decref(list);
  return text;
}

static void nodes_are_a_plain_table_on_a_pipe(void **state) {
  (void)state;
  char *const text = fleet();
  answer(200, text);
  assert_int_equal(go("coxswain nodes"), 0);
  assert_string_equal(run.out,
                      "NODE           INTENDED        CURRENT    SINCE  ATTEMPT  ADMIN  FAILURE\n"
                      "node\\x1b[31m1  POC/GENERATING  INFERENCE                         tab\\there \\u009b\n");
  assert_string_equal(console_daemon.asked[0].method, "GET");
  assert_string_equal(console_daemon.asked[0].path, "/admin/v1/nodes");
  free(text);
}

static void nodes_as_json_hold_the_same_values_and_no_control_characters(void **state) {
  (void)state;
  char *const text = fleet();
  answer(200, text);
  assert_int_equal(go("coxswain nodes --json"), 0);
  json_t *const printed = json_loads(run.out, 0, NULL), *const sent = json_loads(text, 0, NULL);
  assert_non_null(printed);
  assert_true(json_equal(printed, sent));
  for (const char *at = run.out; *at != '\0'; at++) assert_true(*at == '\n' || (unsigned char)*at >= ' ');
  assert_null(strstr(run.out, "\xc2\x9b"));
  json_decref(printed);
  json_decref(sent);
  free(text);
}

static void an_empty_fleet_says_how_to_fill_it(void **state) {
  (void)state;
  answer(200, "[]");
  assert_int_equal(go("coxswain nodes"), 0);
  assert_string_equal(run.out, "");
  assert_has(run.err, "coxswain node add");
  answer(200, "[]");
  assert_int_equal(go("coxswain nodes --json"), 0);
  assert_string_equal(run.out, "[]\n");
}

static bool pause_twice(void *arg, int64_t ms) {
  (void)ms;
  return --*(int *)arg > 0;
}

static void watching_goes_on_until_it_is_stopped_and_asks_for_the_world_only_while_it_is_told(void **state) {
  (void)state;
  int left = 3;
  env.pause = pause_twice;
  env.pause_arg = &left;
  char *const text = fleet();
  answer(200, text);
  answer(404, "{\"error\":\"no such route\"}");
  answer(200, text);
  answer(200, "[]");
  assert_int_equal(go("coxswain nodes --watch"), 0);
  assert_int_equal(console_daemon.calls, 4);
  assert_string_equal(console_daemon.asked[1].path, "/v1/world");
  assert_string_equal(console_daemon.asked[2].path, "/admin/v1/nodes");
  assert_string_equal(run.err, "");
  assert_string_equal(run.out,
                      "2026-01-02T03:04:05.000Z node node\\x1b[31m1 INFERENCE\n"
                      "2026-01-02T03:04:05.000Z fleet 0 of 1 converged · 0 attempts in flight · 0 failed\n"
                      "2026-01-02T03:04:05.000Z node node\\x1b[31m1 was removed\n");
  free(text);
}

static void watching_waits_for_a_daemon_that_went_away(void **state) {
  (void)state;
  answer(200, "[]");
  answer(COX_ENOENT, "no daemon at x");
  answer(503, "{\"error\":\"the daemon is stopping\"}");
  answer(200, "[]");
  int left = 4;
  env.pause = pause_twice;
  env.pause_arg = &left;
  assert_int_equal(go("coxswain nodes --watch --json"), 0);
  assert_string_equal(run.out, "[]\n[]\n");
  assert_string_equal(run.err, "coxswain nodes: the daemon cannot be reached: waiting for it, Ctrl-C ends this\n"
                               "coxswain nodes: the daemon is back\n");
}

static void watching_as_json_is_one_line_for_each_look(void **state) {
  (void)state;
  int left = 2;
  env.pause = pause_twice;
  env.pause_arg = &left;
  answer(200, "[ ]");
  answer(200, "[ {} ]");
  assert_int_equal(go("coxswain nodes --watch --json"), 0);
  assert_string_equal(run.out, "[]\n[{}]\n");
}

/* ---- node ---- */

static void show_explains_a_node_in_words(void **state) {
  (void)state;
  json_t *const node = console_node("node1", "POC/GENERATING", "FAILED");
  console_state(node, "failure_reason", json_string("POST /api/v1/stop: 500"));
  console_state(node, "status_timestamp", json_string("2026-01-02T03:03:05.000Z"));
  console_state(node, "checked_at", json_string("2026-01-02T03:04:01.000Z"));
  console_state(node, "next_attempt_at", json_string("2026-01-02T03:04:17.000Z"));
  console_state(node, "attempts", json_pack("[{si, ss, ss, ss, ss, ss, si}]", "attempt", 14, "status", "POC", "poc_status", "GENERATING",
                                            "outcome", "server", "error", "POST /api/v1/stop: 500", "started_at", "2026-01-02T03:03:03.500Z",
                                            "duration_ms", 1500));
  console_explain(node, "doing", json_string("waiting 12.0 s after 2 failed attempts"));
  console_explain(node, "target", json_pack("{ss, ss, si, ss, si, si}", "status", "POC", "poc", "GENERATING", "block_height", 700, "block_hash",
                                            "AB01CD23EF456789", "node_id", 3, "node_count", 8));
  char *const text = json_dumps(node, 0);
  answer(200, text);
  assert_int_equal(go("coxswain node show node1"), 0);
  assert_string_equal(console_daemon.asked[0].path, "/admin/v1/nodes/node1");
  assert_string_equal(run.out,
                      "node1\n"
                      "node          number 3, registration 4, driver mlnode\n"
                      "management    http://10.0.0.21:8080\n"
                      "inference     http://10.0.0.21:5050\n"
                      "models        m\n"
                      "load          0 of 500 requests at once\n"
                      "admin         enabled in epoch 0\n"
                      "target        POC/GENERATING, episode of block 700 (AB01CD23EF45), part 3 of 8 (generation 12)\n"
                      "why           start_poc: generate proofs\n"
                      "current       FAILED for 1m00s (since 2026-01-02T03:03:05.000Z); not settled: no attempt to its target has succeeded since\n"
                      "doing         waiting 12.0 s after 2 failed attempts\n"
                      "next try      in 12s (2026-01-02T03:04:17.000Z); `coxswain command reconcile` ends the wait\n"
                      "failure       POST /api/v1/stop: 500\n"
                      "last check    4.0s ago\n"
                      "\n"
                      "ATTEMPT  TO              OUTCOME  TOOK      BEGAN  ERROR\n"
                      "     14  POC/GENERATING  server   1.5s  1m01s ago  POST /api/v1/stop: 500\n");
  free(text);
  json_decref(node);
}

static void show_tells_of_an_attempt_under_way(void **state) {
  (void)state;
  json_t *const node = console_node("a\nb", "INFERENCE", "STOPPED");
  console_state(node, "reconcile_info", json_pack("{ss, ss, si, ss, ss, ss, sb}", "status", "INFERENCE", "poc_status", "IDLE", "attempt", 9,
                                                  "started_at", "2026-01-02T03:04:02.000Z", "deadline_at", "2026-01-02T03:29:02.000Z", "note",
                                                  "the node is \x1bloading", "cancelled", 1));
  console_explain(node, "unanswered", json_string("POST /api/v1/stop"));
  console_explain(node, "unanswered_at", json_string("2026-01-02T03:04:00.000Z"));
  console_explain(node, "last_failure", json_string("refused"));
  console_state(node, "admin_state", json_pack("{sb, si, ss}", "enabled", 0, "epoch", 6, "reason", "new fans"));
  char *const text = json_dumps(node, 0);
  answer(200, text);
  assert_int_equal(go("coxswain node show 'a\nb'"), 0);
  assert_string_equal(console_daemon.asked[0].path, "/admin/v1/nodes/a%0Ab");
  assert_has(run.out, "a\\nb\n");
  assert_has(run.out, "doing         attempt 9 to INFERENCE, for 3.0s, ended at the latest in 24m57s; it is cancelled and about to end; the node is \\x1bloading\n");
  assert_has(run.out, "admin         disabled in epoch 6: new fans\n");
  assert_has(run.out, "last failure  refused\n");
  assert_has(run.out, "unanswered    POST /api/v1/stop, sent 5.0s ago: what it did is not known\n");
  assert_has(run.out, "last check    never\n");
  assert_has(run.out, "attempts      none has ended yet\n");
  answer(200, text);
  assert_int_equal(go("coxswain node show x --json"), 0);
  json_t *const printed = json_loads(run.out, 0, NULL);
  assert_true(json_equal(printed, node));
  json_decref(printed);
  free(text);
  json_decref(node);
}

static void an_unknown_node_is_exit_1_and_told_how_to_find_those_there_are(void **state) {
  (void)state;
  answer(404, "{\"error\":\"node node9 is not registered: GET /admin/v1/nodes lists those that are\"}");
  assert_int_equal(go("coxswain node show node9"), 1);
  assert_string_equal(run.err, "coxswain node show: there is no node node9: `coxswain nodes` lists them\n");
  answer(404, "{\"error\":\"no node node9\"}");
  assert_int_equal(go("coxswain node disable node9"), 1);
  answer(404, "{\"error\":\"no node node9\"}");
  assert_int_equal(go("coxswain node update node9 host=x"), 1);
  answer(200, "false");
  assert_int_equal(go("coxswain node rm node9"), 1);
  assert_has(run.err, "there is no node node9");
  assert_int_equal(console_daemon.calls, 4);
}

static void ids_stay_one_segment_of_the_path(void **state) {
  (void)state;
  static const struct {
    const char *line, *path;
  } cases[] = {
      {"coxswain node rm a/../b?c#d%", "/admin/v1/nodes/a%2F..%2Fb%3Fc%23d%25"},
      {"coxswain node rm '节 点'", "/admin/v1/nodes/%E8%8A%82%20%E7%82%B9"},
      {"coxswain node rm ..", "/admin/v1/nodes/%2E%2E"},
      {"coxswain node rm -- -x", "/admin/v1/nodes/-x"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    answer(200, "true");
    assert_int_equal(go(cases[i].line), 0);
    assert_string_equal(console_daemon.asked[0].path, cases[i].path);
    assert_string_equal(console_daemon.asked[0].method, "DELETE");
    console_daemon_reset();
  }
}

static void several_nodes_are_all_tried(void **state) {
  (void)state;
  answer(200, "{\"message\":\"node disabled successfully\",\"node_id\":\"a\"}");
  answer(404, "{\"error\":\"no node b\"}");
  answer(200, "{\"message\":\"node disabled successfully\",\"node_id\":\"c\"}");
  assert_int_equal(go("coxswain node disable a b c"), 1);
  assert_has(run.out, "node a is disabled");
  assert_has(run.out, "node c is disabled");
  assert_string_equal(console_daemon.asked[2].path, "/admin/v1/nodes/c/disable");
  assert_string_equal(console_daemon.asked[2].method, "POST");
  console_daemon_reset();
  answer(200, "{\"message\":\"node enabled successfully\",\"node_id\":\"a\"}");
  assert_int_equal(go("coxswain node enable a --json"), 0);
  assert_has(run.out, "\"node enabled successfully\"");
  assert_null(console_daemon.asked[0].body);
}

static void body_is(size_t call, const char *json);

static void a_disable_may_end_by_itself(void **state) {
  (void)state;
  static const struct {
    const char *line, *body, *said;
  } cases[] = {
      {"coxswain node disable a --for 2h --reason fan", "{\"expires_s\": 7200.0, \"reason\": \"fan\"}", "a is disabled for 2h: it stops"},
      {"coxswain node disable a --for 1h30m", "{\"expires_s\": 5400.0}", "for 1h30m"},
      {"coxswain node disable a --for 0.5s", "{\"expires_s\": 0.5}", "for 0.5s"},
      {"coxswain node disable a --until 2026-02-01T00:00:00Z", "{\"expires_at\": \"2026-02-01T00:00:00Z\"}", "until 2026-02-01T00:00:00Z"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    answer(200, "{\"message\":\"node disabled successfully\",\"node_id\":\"a\"}");
    assert_int_equal(go(cases[i].line), 0);
    body_is(0, cases[i].body);
    assert_has(run.out, cases[i].said);
    console_daemon_reset();
  }
  static const char *const wrong[] = {"--for 2x", "--for h", "--for 30m1h", "--for 0s", "--for -1h", "--for 1h --until 2026-02-01T00:00:00Z"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char line[128];
    snprintf(line, sizeof line, "coxswain node disable a %s", wrong[i]);
    assert_int_equal(go(line), 2);
  }
  assert_int_equal(go("coxswain node enable a --for 1h"), 2);
}

static void body_is(size_t call, const char *json) {
  json_t *const sent = json_loads(console_daemon.asked[call].body, 0, NULL), *const wanted = json_loads(json, 0, NULL);
  assert_non_null(wanted);
  if (!json_equal(sent, wanted)) fail_msg("%s is not %s", console_daemon.asked[call].body, json);
  json_decref(sent);
  json_decref(wanted);
}

static void a_reason_goes_with_the_state_that_it_explains(void **state) {
  (void)state;
  answer(200, "{\"message\":\"node disabled successfully\",\"node_id\":\"a\"}");
  answer(200, "{\"message\":\"node disabled successfully\",\"node_id\":\"b\"}");
  assert_int_equal(go("coxswain node disable a b --reason=fan\xc2\xa0gone"), 0);
  body_is(0, "{\"reason\":\"fan\u00a0gone\"}");
  body_is(1, "{\"reason\":\"fan\u00a0gone\"}");
  assert_int_equal(go("coxswain node enable a --reason \xff"), 2);
  assert_has(run.err, "the reason is no UTF-8 text");
  assert_int_equal(console_daemon.calls, 2);
}

static void a_node_is_added_from_pairs(void **state) {
  (void)state;
  answer(200, "{\"id\":\"7\"}");
  assert_int_equal(go("coxswain node add id=7 host=10.0.0.7 inference_port=5050 poc_port=8080 max_concurrent=5 model=Qwen/Q-2.5 model=b --json {\"version\":\"v1\"}"), 0);
  assert_string_equal(run.out, "node 7 is set\n");
  assert_string_equal(console_daemon.asked[0].method, "POST");
  assert_string_equal(console_daemon.asked[0].path, "/admin/v1/nodes");
  body_is(0, "{\"id\":\"7\",\"host\":\"10.0.0.7\",\"inference_port\":5050,\"poc_port\":8080,\"max_concurrent\":5,\"version\":\"v1\","
             "\"models\":{\"Qwen/Q-2.5\":{\"args\":[]},\"b\":{\"args\":[]}}}");
  answer(400, "{\"error\":\"node 7: host is required\"}");
  assert_int_equal(go("coxswain node add id=7"), 1);
  assert_has(run.err, "node 7: host is required");
}

static void a_file_of_nodes_is_added_as_a_batch(void **state) {
  (void)state;
  write_file("nodes.json", "[{\"id\":\"a\"},{\"id\":\"b\"}]");
  answer(201, "[{\"id\":\"a\"},{\"id\":\"b\"}]");
  assert_int_equal(go("coxswain node add -f nodes.json"), 0);
  assert_string_equal(run.out, "node a is set\nnode b is set\n");
  assert_string_equal(console_daemon.asked[0].path, "/admin/v1/nodes/batch");
  body_is(0, "[{\"id\":\"a\"},{\"id\":\"b\"}]");
  answer(206, "{\"nodes\":[{\"id\":\"a\"}],\"errors\":[{\"index\":1,\"id\":\"b\",\"error\":\"host is required\"},{\"index\":2,\"error\":\"no object\"}]}");
  assert_int_equal(go("coxswain node add -f nodes.json"), 1);
  assert_string_equal(run.out, "node a is set\n");
  assert_has(run.err, "node b was refused: host is required\n");
  assert_has(run.err, "node number 3 of the list was refused: no object\n");
  answer(400, "{\"error\":\"no node is valid\"}");
  assert_int_equal(go("coxswain node add -f nodes.json"), 1);
  assert_has(run.err, "no node is valid");
}

static void a_file_of_one_node_is_added_alone_and_other_files_are_refused(void **state) {
  (void)state;
  write_file("nodes.json", "{\"id\":\"a\"}");
  answer(200, "{\"id\":\"a\"}");
  assert_int_equal(go("coxswain node add --file=nodes.json"), 0);
  assert_string_equal(console_daemon.asked[0].path, "/admin/v1/nodes");
  static const struct {
    const char *text, *part;
  } cases[] = {{"[]", "holds no node"}, {"5", "holds no node"}, {"", "not JSON"}, {"{\n\"id\":\"a\",\n}", "nodes.json:3: not JSON"}, {"[{\"id\":1,\"id\":2}]", "duplicate"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_file("nodes.json", cases[i].text);
    assert_int_equal(go("coxswain node add -f nodes.json"), 1);
    assert_has(run.err, cases[i].part);
  }
  assert_int_equal(go("coxswain node add -f absent.json"), 1);
  assert_has(run.err, "reading absent.json failed: No such file");
  assert_int_equal(console_daemon.calls, 1);
}

static void an_update_keeps_what_it_does_not_name(void **state) {
  (void)state;
  answer(200, "{\"node\":{\"id\":\"a\",\"host\":\"h\",\"poc_port\":1,\"models\":{\"m\":{\"args\":[\"-x\"]}},\"node_num\":4},\"state\":{}}");
  answer(200, "{\"id\":\"a\"}");
  assert_int_equal(go("coxswain node update a host=10 poc_port=2"), 0);
  assert_string_equal(run.out, "node a is set\n");
  assert_string_equal(console_daemon.asked[1].method, "PUT");
  assert_string_equal(console_daemon.asked[1].path, "/admin/v1/nodes/a");
  body_is(1, "{\"id\":\"a\",\"host\":\"10\",\"poc_port\":2,\"models\":{\"m\":{\"args\":[\"-x\"]}}}");
}

static const char seen_a[] = "{\"node\":{\"id\":\"a\",\"host\":\"h\",\"poc_port\":1},\"state\":{}}";

static void an_update_that_another_overtook_is_put_into_what_is_there_now(void **state) {
  (void)state;
  answer(200, seen_a);
  answer(412, "{\"error\":\"node a has changed\"}");
  answer(200, "{\"node\":{\"id\":\"a\",\"host\":\"of the other\",\"poc_port\":1},\"state\":{}}");
  answer(200, "{\"id\":\"a\"}");
  console_daemon.answers[0].etag = "\"one\"";
  console_daemon.answers[2].etag = "\"two\"";
  assert_int_equal(go("coxswain node update a poc_port=2"), 0);
  assert_string_equal(console_daemon.asked[1].if_match, "\"one\"");
  assert_string_equal(console_daemon.asked[2].if_match, "");
  assert_string_equal(console_daemon.asked[3].if_match, "\"two\"");
  body_is(3, "{\"id\":\"a\",\"host\":\"of the other\",\"poc_port\":2}");
}

static void an_update_that_is_refused_says_why(void **state) {
  (void)state;
  answer(200, seen_a);
  answer(400, "{\"error\":\"poc_port must be between 1 and 65535\"}");
  assert_int_equal(go("coxswain node update a poc_port=0"), 1);
  assert_has(run.err, "must be between");
  assert_int_equal(console_daemon.calls, 2);
}

static void the_certificates_to_trust_are_an_option_or_of_the_configuration(void **state) {
  (void)state;
  config_text = "{\"admin\":{\"listen\":\"h:1\",\"tls\":{\"ca\":\"/etc/ca.pem\"}}}";
  static const struct {
    const char *line, *ca;
  } cases[] = {{"coxswain nodes -c x.lua", "/etc/ca.pem"},
               {"coxswain nodes -c x.lua --ca own.pem", "own.pem"},
               {"coxswain nodes --admin https://h:1 --ca own.pem", "own.pem"},
               {"coxswain nodes --admin https://h:1", ""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ask(cases[i].line);
    assert_string_equal(console_daemon.asked[0].ca, cases[i].ca);
    asked("https://h:1", "", "");
  }
}

/* ---- command ---- */

static void pairs_are_added_to_the_object(void **state) {
  (void)state;
  answer(200, "{\"status\":\"done\",\"result\":{\"phase\":\"Inference\",\"height\":100}}");
  assert_int_equal(go("coxswain command new_block height=100 hash=AB synced=true --json {\"epoch\":{\"index\":1},\"height\":5}"), 0);
  assert_string_equal(console_daemon.asked[0].method, "POST");
  assert_string_equal(console_daemon.asked[0].path, "/v1/commands/new_block");
  body_is(0, "{\"epoch\":{\"index\":1},\"height\":100,\"hash\":\"AB\",\"synced\":true}");
  json_t *const printed = json_loads(run.out, 0, NULL);
  assert_int_equal(json_integer_value(json_object_get(printed, "height")), 100);
  json_decref(printed);
}

static void a_skipped_command_prints_the_reason_and_is_no_failure(void **state) {
  (void)state;
  answer(200, "{\"status\":\"skipped\",\"reason\":\"the phase is Inference\"}");
  assert_int_equal(go("coxswain command start_poc"), 0);
  assert_string_equal(run.out, "skipped: the phase is Inference\n");
  body_is(0, "{}");
  answer(200, "{\"status\":\"done\"}");
  assert_int_equal(go("coxswain command noop"), 0);
  assert_string_equal(run.out, "done\n");
}

static void a_refused_command_is_exit_1_with_the_daemons_words(void **state) {
  (void)state;
  static const int statuses[] = {400, 422, 429, 504};
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
    answer(statuses[i], "{\"error\":\"commands/x.lua:3: \\u001b[2Jno\"}");
    assert_int_equal(go("coxswain command x"), 1);
    assert_string_equal(run.out, "");
    assert_string_equal(run.err, "coxswain command: commands/x.lua:3: \\x1b[2Jno\n");
  }
}

static void a_refused_stranger_is_told_whether_a_token_was_given(void **state) {
  (void)state;
  answer(401, "{\"error\":\"send the header\"}");
  assert_int_equal(go("coxswain nodes --admin http://h:1"), 1);
  assert_string_equal(run.err, "coxswain nodes: the daemon at http://h:1 wants a token: give --token-file FILE, COXSWAIN_TOKEN, or the "
                               "daemon's configuration with -c FILE\n");
  write_file("token", "old\n");
  answer(401, "{\"error\":\"send the header\"}");
  assert_int_equal(go("coxswain nodes --admin http://h:1 --token-file token"), 1);
  assert_has(run.err, "the daemon at http://h:1 does not know the token it was given: give --token-file FILE");
}

static void commands_are_listed_with_their_arguments_the_needed_ones_first(void **state) {
  (void)state;
  answer(200, "[{\"name\":\"a\",\"priority\":\"low\",\"help\":\"Does a.\",\"args\":{\"why?\":\"string\",\"node_id\":\"string\",\"at?\":\"number\"}},"
              "{\"name\":\"b\",\"args\":5}]");
  assert_int_equal(go("coxswain commands"), 0);
  assert_string_equal(run.out, "COMMAND  PRIORITY  DOES     ARGUMENTS\n"
                               "a        low       Does a.  node_id at? why?\n"
                               "b\n");
}

static void an_unknown_command_is_told_with_the_nearest_there_is(void **state) {
  (void)state;
  static const char list[] = "[{\"name\":\"probe\"},{\"name\":\"reconcile\"}]";
  static const struct {
    const char *line, *list, *err;
  } cases[] = {
      {"coxswain command prob", list, "coxswain command: there is no command prob: did you mean probe? `coxswain commands` lists them\n"},
      {"coxswain command fly", list, "coxswain command: there is no command fly: `coxswain commands` lists them\n"},
      {"coxswain command probe node_id=x", list, "coxswain command: no such thing\n"}, /* the command is there, its node is not */
      {"coxswain command fly", "{}", "coxswain command: no such thing\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    answer(404, "{\"error\":\"no such thing\"}");
    answer(200, cases[i].list);
    assert_int_equal(go(cases[i].line), 1);
    assert_string_equal(run.out, "");
    assert_string_equal(run.err, cases[i].err);
    assert_string_equal(console_daemon.asked[1].path, "/v1/commands");
    console_daemon_reset();
  }
}

static void values_are_read_as_numbers_and_truths_only_when_they_are_written_so(void **state) {
  (void)state;
  static const struct {
    const char *text, *json;
  } cases[] = {
      {"12", "12"}, {"-3", "-3"}, {"0", "0"}, {"1.50", "1.5"}, {"true", "true"}, {"false", "false"}, {"", "\"\""}, {"007", "\"007\""},
      {"12E4", "\"12E4\""}, {"1.", "\"1.\""}, {"-", "\"-\""}, {"+1", "\"+1\""}, {"True", "\"True\""}, {"null", "\"null\""},
      {"9223372036854775807", "9223372036854775807"}, {"9223372036854775808", "\"9223372036854775808\""}, {"\"12\"", "\"12\""}, {"\"", "\"\\\"\""},
      {"0x10", "\"0x10\""}, {"{}", "\"{}\""}, {"a=b", "\"a=b\""}, {" 1", "\" 1\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *const value = cox_pairs_value(cases[i].text), *const wanted = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
    if (!json_equal(value, wanted)) fail_msg("%s is not read as %s", cases[i].text, cases[i].json);
    json_decref(value);
    json_decref(wanted);
  }
  assert_null(cox_pairs_value("\xff"));
  char huge[400];
  memset(huge, '9', sizeof huge - 1);
  huge[sizeof huge - 1] = '\0';
  huge[390] = '.';
  json_t *const value = cox_pairs_value(huge);
  assert_non_null(value);
  json_decref(value);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(without_a_subcommand_help_goes_to_stderr_and_the_exit_is_2),
      TEST(help_and_version_go_to_stdout_and_the_exit_is_0),
      TEST(wrong_usage_is_named_and_the_exit_is_2),
      TEST(the_nearest_word_is_suggested_only_when_it_is_near),
      TEST(options_may_stand_anywhere_be_repeated_and_be_joined),
      TEST(the_daemon_is_found_in_the_documented_order),
      TEST(a_token_is_never_sent_to_an_address_that_it_was_not_made_for),
      TEST(of_several_tokens_in_a_configuration_the_widest_is_used),
      TEST(listeners_are_called_where_they_answer),
      TEST(a_broken_configuration_is_an_error_with_file_and_line),
      TEST(bad_tokens_are_refused_before_anything_is_sent),
      TEST(beside_the_service_state_and_socket_are_where_its_unit_keeps_them),
      TEST(no_daemon_is_exit_3_and_says_how_to_start_one),
      TEST(other_failures_of_the_exchange_are_exit_1),
      TEST(nodes_are_a_plain_table_on_a_pipe),
      TEST(nodes_as_json_hold_the_same_values_and_no_control_characters),
      TEST(an_empty_fleet_says_how_to_fill_it),
      TEST(watching_goes_on_until_it_is_stopped_and_asks_for_the_world_only_while_it_is_told),
      TEST(watching_waits_for_a_daemon_that_went_away),
      TEST(watching_as_json_is_one_line_for_each_look),
      TEST(show_explains_a_node_in_words),
      TEST(show_tells_of_an_attempt_under_way),
      TEST(an_unknown_node_is_exit_1_and_told_how_to_find_those_there_are),
      TEST(ids_stay_one_segment_of_the_path),
      TEST(a_reason_goes_with_the_state_that_it_explains),
      TEST(several_nodes_are_all_tried),
      TEST(a_disable_may_end_by_itself),
      TEST(a_node_is_added_from_pairs),
      TEST(a_file_of_nodes_is_added_as_a_batch),
      TEST(a_file_of_one_node_is_added_alone_and_other_files_are_refused),
      TEST(an_update_keeps_what_it_does_not_name),
      TEST(an_update_that_another_overtook_is_put_into_what_is_there_now),
      TEST(an_update_that_is_refused_says_why),
      TEST(the_certificates_to_trust_are_an_option_or_of_the_configuration),
      TEST(pairs_are_added_to_the_object),
      TEST(a_skipped_command_prints_the_reason_and_is_no_failure),
      TEST(a_refused_command_is_exit_1_with_the_daemons_words),
      TEST(a_refused_stranger_is_told_whether_a_token_was_given),
      TEST(commands_are_listed_with_their_arguments_the_needed_ones_first),
      TEST(an_unknown_command_is_told_with_the_nearest_there_is),
      TEST(values_are_read_as_numbers_and_truths_only_when_they_are_written_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
