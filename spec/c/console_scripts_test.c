/* The command line's reload, rollback, scripts and plan, against a fake daemon. */
#include "console_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct console_run run;
static struct cox_cli_env env;
static const char *scripts_json; /* of the configuration */
static char folder[64], real[512];

static json_t *load_config(const char *path, struct cox_faults *faults) {
  json_t *const config = json_pack("{s{ss}}", "admin", "listen", "127.0.0.1:9300");
  if (scripts_json != NULL) json_object_set_new(config, "scripts", json_loads(scripts_json, JSON_DECODE_ANY, NULL));
  if (config == NULL) cox_faults_add(faults, path, 3, "out of memory");
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
  console_daemon_reset();
  env = (struct cox_cli_env){.call = console_daemon_call, .load_config = load_config, .clock = &clock, .config_places = no_places};
  scripts_json = NULL;
  snprintf(folder, sizeof folder, "/tmp/cox-scripts-XXXXXX");
  return mkdtemp(folder) != NULL && realpath(folder, real) != NULL ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  console_daemon_reset();
  return rmdir(folder);
}

static int go(const char *line) {
  console_run(&run, &env, line);
  return run.rc;
}

static void answer(size_t i, int status, const char *body) {
  console_daemon.answers[i].status = status;
  console_daemon.answers[i].body = body;
}

#define assert_has(text, part)                                                                  \
  do {                                                                                          \
    if (strstr((text), (part)) == NULL) fail_msg("\"%s\" does not hold \"%s\"", (text), (part)); \
  } while (0)

static void reload_says_which_generation_is_live(void **state) {
  (void)state;
  answer(0, 200, "{\"status\":\"done\",\"generation\":3}");
  assert_int_equal(go("coxswain reload"), 0);
  assert_string_equal(run.out, "generation 3 is live\n");
  assert_string_equal(run.err, "");
  assert_string_equal(console_daemon.asked[0].method, "POST");
  assert_string_equal(console_daemon.asked[0].path, "/v1/scripts/reload");
  answer(1, 200, "{\"status\":\"unchanged\",\"generation\":3}");
  assert_int_equal(go("coxswain reload"), 0);
  assert_string_equal(run.out, "unchanged: nothing was loaded; generation 3 is live\n");
  answer(2, 200, "{\"status\":\"done\",\"generation\":3}");
  assert_int_equal(go("coxswain reload --json"), 0);
  assert_string_equal(run.out, "{\n  \"status\": \"done\",\n  \"generation\": 3\n}\n");
  answer(3, 200, "{\"status\":\"done\",\"generation\":4,\"changes\":[{\"node_id\":\"node1\",\"from\":{\"status\":\"INFERENCE\",\"model\":\"m\"},"
                 "\"to\":{\"status\":\"STOPPED\"},\"reason\":\"a spare\"}]}");
  assert_int_equal(go("coxswain rollback"), 0);
  assert_string_equal(console_daemon.asked[3].path, "/v1/scripts/rollback");
  assert_string_equal(run.out, "generation 4 is live; 1 node gets another target:\n"
                               "NODE   FROM            TO       REASON\n"
                               "node1  INFERENCE of m  STOPPED  a spare\n");
}

static void faults_go_to_stderr_with_file_and_line_and_the_exit_is_1(void **state) {
  (void)state;
  static const char *const lines[] = {"coxswain reload", "coxswain rollback", "coxswain plan", "coxswain plan --json"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    answer(i, 422, "{\"error\":\"nothing was loaded: 3 faults\",\"faults\":[{\"file\":\"/s/policy/phases.lua\",\"line\":3,\"message\":\"unexpected "
                   "symbol\\u001b[31m\"},{\"file\":\"/s\",\"message\":\"there is no driver\"},{\"message\":\"out of memory\"}]}");
    assert_int_equal(go(lines[i]), 1);
    assert_string_equal(run.out, "");
    assert_has(run.err, "/s/policy/phases.lua:3: unexpected symbol\\x1b[31m\n/s: there is no driver\nout of memory\n");
    assert_has(run.err, "nothing was loaded: 3 faults");
  }
}

static void other_refusals_are_told_in_the_daemons_words(void **state) {
  (void)state;
  answer(0, 400, "{\"error\":\"there is nothing to go back to\"}");
  assert_int_equal(go("coxswain rollback"), 1);
  assert_string_equal(run.err, "coxswain rollback: there is nothing to go back to\n");
  answer(1, COX_ENOENT, "no daemon at http://127.0.0.1:9200: start one with `coxswain run -c FILE`");
  assert_int_equal(go("coxswain reload"), 3);
  answer(2, 200, "no json");
  assert_int_equal(go("coxswain scripts"), 1);
  answer(3, 503, "{\"error\":\"not now\"}");
  assert_int_equal(go("coxswain scripts"), 1);
  assert_int_equal(go("coxswain reload now"), 2);
  assert_int_equal(go("coxswain plan --folder x"), 2);
  assert_int_equal(console_daemon.calls, 4);
}

static void scripts_shows_files_where_they_are_from_and_what_they_shadow(void **state) {
  (void)state;
  static const char shown[] =
      "{\"generation\":2,\"hash\":\"2222222222222222\",\"loaded_at\":\"2026-01-02T03:03:05.000Z\",\"can_roll_back\":true,\"previous\":{\"generation\":1,"
      "\"hash\":\"1111111111111111\"},\"rejected\":{\"hash\":\"3333\",\"reason\":\"rolled back by ann\"},\"files\":[{\"path\":\"policy/phases.lua\","
      "\"from\":\"/etc/own\",\"shadows\":[\"/usr/scripts\",\"/opt\"]},{\"path\":\"drivers/mlnode.lua\",\"from\":\"/usr/scripts\",\"shadows\":[]}]}";
  answer(0, 200, shown);
  assert_int_equal(go("coxswain scripts"), 0);
  assert_string_equal(run.out, "generation  2, hash 222222222222, loaded at 2026-01-02T03:03:05.000Z, 1m00s ago\n"
                               "rollback    to generation 1, hash 111111111111\n"
                               "rejected    hash 3333: rolled back by ann\n"
                               "\n"
                               "FILE                FROM          SHADOWS\n"
                               "policy/phases.lua   /etc/own      /usr/scripts, /opt\n"
                               "drivers/mlnode.lua  /usr/scripts\n");
  answer(1, 200, shown);
  assert_int_equal(go("coxswain scripts --json"), 0);
  assert_has(run.out, "\"can_roll_back\": true");
  answer(2, 200, "[1, {\"files\": 5}]"); /* something else: no crash */
  assert_int_equal(go("coxswain scripts"), 0);
}

static void what_was_rejected_is_shown_with_its_faults_each_once(void **state) {
  (void)state;
  answer(0, 200, "{\"generation\":2,\"hash\":\"22\",\"rejected\":{\"hash\":\"3333\",\"reason\":\"the scripts were not loaded: a.lua:7: case\",\"faults\":["
                 "{\"file\":\"a.lua\",\"line\":7,\"message\":\"case \\\"b\\\":\\n    x: expected 1,\\tgot 2\\n    y: gone\"},{\"file\":\"c.lua\",\"message\":\"d\"}]}}");
  assert_int_equal(go("coxswain scripts"), 0);
  assert_has(run.out, "rejected    hash 3333: 2 faults, the present ones go on\n"
                      "a.lua:7: case \"b\":\n    x: expected 1,\\tgot 2\n    y: gone\n"
                      "c.lua: d\n");
}

static void plan_shows_each_change_and_says_that_nothing_was_done(void **state) {
  (void)state;
  answer(0, 200, "{\"changes\":[{\"node_id\":\"node1\",\"from\":{\"status\":\"POC\",\"poc\":\"GENERATING\"},\"to\":{\"status\":\"INFERENCE\",\"model\":"
                 "\"m\"},\"reason\":\"preserved\"},{\"node_id\":\"node2\",\"from\":null,\"to\":{\"status\":\"STOPPED\"}},{\"node_id\":\"node3\",\"from\":"
                 "{\"status\":\"INFERENCE\",\"model\":\"m\",\"args\":[]},\"to\":{\"status\":\"INFERENCE\",\"model\":\"m\",\"args\":[\"--x\"],\"drain_s\":5}}]}");
  assert_int_equal(go("coxswain plan"), 0);
  assert_string_equal(run.out, "NODE   FROM            TO                                       REASON\n"
                               "node1  POC/GENERATING  INFERENCE of m                           preserved\n"
                               "node2  -               STOPPED\n"
                               "node3  INFERENCE of m  INFERENCE of m with other args, drain_s\n"
                               "\n3 nodes would get another target; this was a plan: nothing was changed and no node was called\n");
  assert_null(console_daemon.asked[0].body);
  answer(1, 200, "{\"changes\":[]}");
  assert_int_equal(go("coxswain plan"), 0);
  assert_string_equal(run.out, "no node would get another target; this was a plan: nothing was changed and no node was called\n");
  answer(2, 200, "{\"changes\":[]}");
  assert_int_equal(go("coxswain plan --json"), 0);
  assert_string_equal(run.out, "{\n  \"changes\": []\n}\n");
}

static void plan_sends_the_folder_as_an_absolute_path(void **state) {
  (void)state;
  char line[256], body[768];
  snprintf(body, sizeof body, "{\"scripts\":\"%s\"}", real);
  answer(0, 200, "{\"changes\":[]}");
  answer(1, 200, "{\"folders\":[\"/other\"]}");
  answer(2, 200, "{\"changes\":[]}");
  answer(3, 200, "{\"changes\":[]}");
  snprintf(line, sizeof line, "coxswain plan --scripts %s/../%s", folder, strrchr(folder, '/') + 1);
  assert_int_equal(go(line), 0);
  assert_string_equal(console_daemon.asked[0].body, body);
  assert_int_equal(go("coxswain plan --scripts /nowhere/at/all"), 1);
  assert_has(run.err, "/nowhere/at/all cannot be read: No such file");
  assert_int_equal(console_daemon.calls, 1);
  char config[128];
  snprintf(config, sizeof config, "\"%s\"", folder);
  scripts_json = config;
  assert_int_equal(go("coxswain plan -c some.lua"), 0);
  assert_string_equal(console_daemon.asked[2].base_url, "http://127.0.0.1:9300");
  assert_string_equal(console_daemon.asked[2].body, body);
  scripts_json = NULL; /* the daemon's own */
  assert_int_equal(go("coxswain plan -c some.lua"), 0);
  assert_null(console_daemon.asked[3].body);
}

static void several_folders_must_be_the_daemons_own(void **state) {
  (void)state;
  scripts_json = "[\"/a\", \"/b\"]";
  answer(0, 200, "{\"folders\":[\"/a\",\"/b\"]}");
  answer(1, 200, "{\"changes\":[]}");
  assert_int_equal(go("coxswain plan -c some.lua"), 0);
  assert_null(console_daemon.asked[1].body);
  answer(2, 200, "{\"folders\":[\"/a\"]}");
  assert_int_equal(go("coxswain plan -c some.lua"), 1);
  assert_has(run.err, "some.lua names other folders of scripts than the daemon runs with");
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(reload_says_which_generation_is_live),
      TEST(faults_go_to_stderr_with_file_and_line_and_the_exit_is_1),
      TEST(other_refusals_are_told_in_the_daemons_words),
      TEST(scripts_shows_files_where_they_are_from_and_what_they_shadow),
      TEST(what_was_rejected_is_shown_with_its_faults_each_once),
      TEST(plan_shows_each_change_and_says_that_nothing_was_done),
      TEST(plan_sends_the_folder_as_an_absolute_path),
      TEST(several_folders_must_be_the_daemons_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
