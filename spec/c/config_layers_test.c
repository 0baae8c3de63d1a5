/* What is laid over a configuration: environment and -D; what paths mean; what others may see of it. */
#include "load_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "script/config_schema.h"
#include "script/script.h"

static void an_option_is_laid_over_the_environment_over_the_file_over_the_default(void **state) {
  (void)state;
  const char *const path = load_file("return { workers = 3, probe = { fall = 4, rise = 5 }, admin = { token = 'x' } }");
  setenv("COXSWAIN_WORKERS", "6", 1);
  setenv("COXSWAIN_Probe__FALL", "7", 1);
  const char *const overrides[] = {"workers=8", "workers=9", NULL};
  json_t *const config = load_good(path, overrides);
  unsetenv("COXSWAIN_WORKERS");
  unsetenv("COXSWAIN_Probe__FALL");
  assert_float_equal(load_number(config, "workers"), 9, 0);
  assert_float_equal(load_number(config, "probe.fall"), 7, 0);
  assert_float_equal(load_number(config, "probe.rise"), 5, 0);
  assert_float_equal(load_number(config, "probe.timeout_s"), 5, 0);
  json_decref(config);
}

static void values_of_options_are_numbers_truths_tables_or_text(void **state) {
  (void)state;
  const char *const overrides[] = {"admin.insecure=true", "reconcile.backoff_s=[0.5, 20]", "probe.timeout_s=2.5",
                                   "admin.token=0042",    "log={\"level\":\"debug\"}",     "store=:memory:",
                                   "prune=false",         "feed.rpc=http://h/?a=b=c",      NULL};
  json_t *const config = load_good(load_file("return { log = { format = 'json' } }"), overrides);
  assert_true(json_is_true(cox_config_get(config, "admin.insecure")));
  assert_true(json_is_false(cox_config_get(config, "prune")));
  assert_float_equal(json_number_value(json_array_get(cox_config_get(config, "reconcile.backoff_s"), 0)), 0.5, 0);
  assert_float_equal(load_number(config, "probe.timeout_s"), 2.5, 0);
  assert_string_equal(load_text(config, "admin.token"), "0042");
  assert_string_equal(load_text(config, "log.level"), "debug");
  assert_string_equal(load_text(config, "log.format"), "json"); /* a table is laid key by key */
  assert_string_equal(load_text(config, "store"), ":memory:");
  assert_string_equal(load_text(config, "feed.rpc"), "http://h/?a=b=c");
  json_decref(config);
}

static void a_wrong_option_can_be_told_from_a_wrong_file(void **state) {
  (void)state;
  const struct {
    const char *option, *part;
  } cases[] = {
      {"workers", "must be key=value"},
      {"=3", "must be key=value"},
      {"", "must be key=value"},
      {"wokers=3", "wokers: unknown key; accepted here: participant"},
      {"admin.lisen=3", "admin.lisen: unknown key; accepted here: listen"},
      {"workers.deep=3", "workers: must be an integer"},
      {"workers=many", "workers: must be an integer from 1 to 64, not \"many\""},
      {"workers=", "workers: must be an integer"},
      {"feed={\"kind\":\"x\"}", "feed.kind: must be one of"},
      {"feed={\"knd\":\"x\"}", "feed.knd: unknown key"},
      {"feed={\"epoch.epoch_length\":1}", "cannot be the name of a key"},
      {"feed={kind", "feed: must be a table"},
      {"store=\xff", "store: must be text in UTF-8"},
      {"\xff=x", "unknown key"},
      {"probe.=1", "probe"},
      {"nodes=[{\"id\":\"a\"}]", "nodes[0]: host is required (node a)"},
      {"admin.tls={\"cert\":\"x\"}", "admin.tls: key is missing"},
      {"admin.tls={\"key\":\"x\"}", "admin.tls: cert is missing"},
      {"admin.tokens=[{\"token\":\"t\",\"scope\":\"root\",\"name\":\"n\"}]", "admin.tokens[1].scope: must be one of \"read\""},
      {"admin.tokens=[{\"token\":\"t\",\"scope\":\"read\"}]", "admin.tokens[1].name: is missing"},
      {"admin.tokens=[{\"scope\":\"read\",\"name\":\"n\"}]", "admin.tokens[1]: needs either token or token_file"},
      {"admin.tokens=[{\"token\":\"t\",\"scope\":\"read\",\"name\":\"n\",\"x\":1}]", "admin.tokens[1].x: unknown key"},
      {"admin.tokens=[{\"token\":3,\"scope\":\"read\",\"name\":\"n\"}]", "admin.tokens[1].token: must be a text"},
      {"admin.tokens=[3]", "admin.tokens[1]: must be a table"},
      {"admin.tokens=3", "admin.tokens: must be a list of"},
  };
  const char *const path = load_file("return {}");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *const overrides[] = {cases[i].option, NULL};
    struct cox_faults faults = load_bad(path, overrides);
    assert_true(load_count_faults(&faults, "-D", 0, cases[i].part) >= 1);
    cox_faults_fini(&faults);
  }
}

static void a_right_option_mends_a_wrong_file(void **state) {
  (void)state;
  const char *const overrides[] = {"workers=4", NULL};
  json_t *const config = load_good(load_file("return { workers = 'four' }"), overrides);
  assert_float_equal(load_number(config, "workers"), 4, 0);
  json_decref(config);
}

static void a_wrong_variable_is_a_fault_that_names_it(void **state) {
  (void)state;
  setenv("COXSWAIN_LOG__LEVEL", "loud", 1);
  struct cox_faults faults = load_bad(load_file("return { workers = 0 }"), NULL);
  unsetenv("COXSWAIN_LOG__LEVEL");
  load_assert_fault(&faults, "COXSWAIN_LOG__LEVEL", 0, "log.level: must be one of");
  load_assert_fault(&faults, "coxswain.lua", 1, "workers");
  cox_faults_fini(&faults);
}

/* What is logged while a good configuration is read. */
static void log_of_a_load(char *log, size_t size) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  cox_log_setup(COX_LOG_INFO, false, ends[1]);
  json_t *const config = load_good(NULL, NULL);
  cox_log_setup(COX_LOG_INFO, false, STDERR_FILENO);
  close(ends[1]);
  const ssize_t len = read(ends[0], log, size - 1);
  assert_true(len >= 0);
  log[len] = '\0';
  close(ends[0]);
  assert_string_equal(load_text(config, "admin.listen"), "127.0.0.1:9200");
  json_decref(config);
}

static void an_unknown_variable_is_a_warning_and_those_of_clients_are_not(void **state) {
  (void)state;
  const char *const quiet[] = {"COXSWAIN_SOCKET", "COXSWAIN_ADMIN", "COXSWAIN_CONFIG",
                               "COXSWAIN_TOKEN",  "COXSWAIN_BIN",   "COXSWAIN_SOURCE", "COXSWAIN_SIM"};
  char log[4096];
  for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) setenv(quiet[i], "{}", 1);
  log_of_a_load(log, sizeof log);
  assert_string_equal(log, "");
  setenv("COXSWAIN_ADMIN__LISEN", "secret", 1);
  log_of_a_load(log, sizeof log);
  unsetenv("COXSWAIN_ADMIN__LISEN");
  for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) unsetenv(quiet[i]);
  assert_non_null(strstr(log, "level=warn"));
  assert_non_null(strstr(log, "variable=COXSWAIN_ADMIN__LISEN"));
  assert_null(strstr(log, "secret"));
}

static void paths_are_seen_from_who_says_them(void **state) {
  (void)state;
  char expected[256], here[200];
  assert_non_null(getcwd(here, sizeof here));
  setenv("COXSWAIN_SCRIPTS", "policies", 1);
  const char *const overrides[] = {"admin.socket=run/s.sock", NULL};
  json_t *const config = load_good(load_file("return { store = 'db/c.db', scripts = 'mine', admin = { socket = 'x' } }"), overrides);
  unsetenv("COXSWAIN_SCRIPTS");
  snprintf(expected, sizeof expected, "%s/db/c.db", load_folder);
  assert_string_equal(load_text(config, "store"), expected);
  snprintf(expected, sizeof expected, "%s/policies", here);
  assert_string_equal(load_text(config, "scripts"), expected);
  snprintf(expected, sizeof expected, "%s/run/s.sock", here);
  assert_string_equal(load_text(config, "admin.socket"), expected);
  json_decref(config);
}

static void paths_of_a_file_named_by_a_relative_path_become_absolute(void **state) {
  (void)state;
  char expected[256], here[200];
  assert_non_null(getcwd(here, sizeof here));
  json_t *const config = load_good(LOAD_FIXTURES "contract.lua", NULL);
  snprintf(expected, sizeof expected, "%s/" LOAD_FIXTURES "coxswain.db", here);
  assert_string_equal(load_text(config, "store"), expected);
  json_decref(config);
  assert_int_equal(chdir(load_folder), 0);
  json_t *const near = load_good(load_file("return { store = '/abs.db' }") + strlen(load_folder) + 1, NULL);
  assert_int_equal(chdir(here), 0);
  assert_string_equal(load_text(near, "store"), "/abs.db");
  snprintf(expected, sizeof expected, "%s/coxswain.sock", load_folder);
  assert_string_equal(load_text(near, "admin.socket"), expected);
  json_decref(near);
}

static void a_partial_configuration_still_says_where_the_scripts_are(void **state) {
  (void)state;
  char expected[256];
  struct cox_faults faults = {0};
  json_t *config = cox_config_load_partial(load_file("return { scripts = 'mine', workers = 0 }"), NULL, "/default", &faults);
  assert_int_equal(faults.count, 1);
  snprintf(expected, sizeof expected, "%s/mine", load_folder);
  assert_string_equal(load_text(config, "scripts"), expected);
  json_decref(config);
  config = cox_config_load_partial(load_file("syntax error"), NULL, "/default", &faults);
  assert_int_equal(faults.count, 2);
  assert_string_equal(load_text(config, "scripts"), "/default");
  json_decref(config);
  cox_faults_fini(&faults);
}

static void secrets_are_masked_in_a_copy_without_the_nodes(void **state) {
  (void)state;
  json_t *const config =
      load_good(load_file("return { admin = { token = 'hunter2' }, callback_url = 'http://u:p@h:1/x@y',\n"
                          "  feed = { kind = 'cometbft', rpc = 'https://key@rpc', rest = 'http://rest/a@b' } }"),
                NULL);
  json_t *const masked = cox_config_masked(config);
  assert_string_equal(load_text(masked, "admin.token"), "***");
  assert_string_equal(load_text(masked, "callback_url"), "http://***@h:1/x@y");
  assert_string_equal(load_text(masked, "feed.rpc"), "https://***@rpc");
  assert_string_equal(load_text(masked, "feed.rest"), "http://rest/a@b");
  assert_string_equal(load_text(config, "admin.token"), "hunter2");
  json_decref(masked);
  json_decref(config);
  json_t *const plain = load_good(NULL, NULL);
  json_t *const same = cox_config_masked(plain);
  json_object_del(plain, "nodes"); /* shown as they are, by whoever shows them */
  assert_true(json_equal(plain, same));
  json_decref(same);
  json_decref(plain);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_option_is_laid_over_the_environment_over_the_file_over_the_default),
      cmocka_unit_test(values_of_options_are_numbers_truths_tables_or_text),
      cmocka_unit_test(a_wrong_option_can_be_told_from_a_wrong_file),
      cmocka_unit_test(a_right_option_mends_a_wrong_file),
      cmocka_unit_test(a_wrong_variable_is_a_fault_that_names_it),
      cmocka_unit_test(an_unknown_variable_is_a_warning_and_those_of_clients_are_not),
      cmocka_unit_test(paths_are_seen_from_who_says_them),
      cmocka_unit_test(paths_of_a_file_named_by_a_relative_path_become_absolute),
      cmocka_unit_test(a_partial_configuration_still_says_where_the_scripts_are),
      cmocka_unit_test(secrets_are_masked_in_a_copy_without_the_nodes),
  };
  return cmocka_run_group_tests(tests, load_make_folder, load_remove_folder);
}
