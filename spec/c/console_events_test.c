/* `coxswain events`: pages, following, and a daemon that goes and comes back. */
#include "console_fake.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "console/cli.h"

static struct console_run run;
static struct cox_cli_env env;
static const char *const no_places[] = {NULL};
static int pauses_left;

static bool pause_some(void *arg, int64_t ms) {
  (void)arg;
  (void)ms;
  return pauses_left-- > 0;
}

static int setup(void **state) {
  (void)state;
  static const char *const variables[] = {"COXSWAIN_SOCKET", "COXSWAIN_ADMIN", "COXSWAIN_CONFIG", "COXSWAIN_TOKEN"};
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
  console_daemon_reset();
  env = (struct cox_cli_env){.call = console_daemon_call, .config_places = no_places, .pause = pause_some};
  return 0;
}

static int teardown(void **state) {
  (void)state;
  console_daemon_reset();
  return 0;
}

static void answer(int status, const char *body) {
  size_t i = 0;
  while (console_daemon.answers[i].status != 0) i++;
  console_daemon.answers[i].status = status;
  console_daemon.answers[i].body = body;
}

static int go(const char *line, int pauses) {
  pauses_left = pauses;
  console_run(&run, &env, line);
  return run.rc;
}

static size_t times(const char *text, const char *part) {
  size_t count = 0;
  for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) count++;
  return count;
}

#define PAGE(events, next, last) "{\"events\":[" events "],\"next\":" next ",\"last\":" last "}"
#define EVENT(seq) "{\"seq\":" seq ",\"time\":\"2026-01-02T03:04:05.000Z\",\"kind\":\"note\"}"

static void following_goes_on_after_a_restart_where_it_was(void **state) {
  (void)state;
  answer(200, PAGE(EVENT("7"), "7", "7"));
  answer(COX_ENOENT, NULL);
  answer(503, "{\"error\":\"the daemon is stopping\"}");
  answer(COX_ENOENT, NULL);
  answer(200, PAGE(EVENT("8"), "8", "8"));
  assert_int_equal(go("coxswain events --follow --since 6", 4), 0);
  assert_int_equal(times(run.out, " note"), 2);
  assert_int_equal(times(run.err, "\n"), 2);
  assert_int_equal(times(run.err, "the daemon cannot be reached: waiting for it"), 1);
  assert_int_equal(times(run.err, "the daemon is back"), 1);
  assert_non_null(strstr(console_daemon.asked[4].path, "since=7&"));
}

static void a_daemon_that_was_never_there_is_not_waited_for(void **state) {
  (void)state;
  answer(COX_ENOENT, NULL);
  assert_int_equal(go("coxswain events --follow --since 6", 9), 3);
  assert_int_equal(console_daemon.calls, 1);
  assert_non_null(strstr(run.err, "no daemon at"));
}

/* Its database was removed, or is in memory only. */
static void a_journal_that_begins_anew_is_followed_from_its_beginning(void **state) {
  (void)state;
  answer(200, PAGE(EVENT("70"), "70", "70"));
  answer(200, PAGE("", "70", "2"));
  answer(200, PAGE(EVENT("1") "," EVENT("2"), "2", "2"));
  assert_int_equal(go("coxswain events --follow --since 69 --json", 1), 0);
  assert_int_equal(times(run.out, "\n"), 3);
  assert_int_equal(times(run.err, "the journal began anew, it ends at record 2"), 1);
  assert_non_null(strstr(console_daemon.asked[2].path, "since=0&"));
}

static void a_number_that_is_still_to_come_is_awaited_and_told_once(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) answer(200, PAGE("", "9", "4"));
  answer(200, PAGE(EVENT("10"), "10", "10"));
  assert_int_equal(go("coxswain events --follow --since 9", 3), 0);
  assert_int_equal(times(run.err, "there is no record 9 yet, the journal ends at 4"), 1);
  assert_int_equal(times(run.out, " note"), 1);
}

static void a_refusal_ends_it_with_the_daemons_words(void **state) {
  (void)state;
  answer(400, "{\"error\":\"there is no kind nots\"}");
  assert_int_equal(go("coxswain events --follow --since 0 --kind nots", 9), 1);
  assert_non_null(strstr(run.err, "there is no kind nots"));
  assert_non_null(strstr(console_daemon.asked[0].path, "&kind=nots"));
}

static json_t *journal; /* of [{"seq","time","kind","node_id"?}] */

/* GET /v1/events of `journal`. */
static int ask_journal(const struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out, struct cox_err *err) {
  (void)client;
  (void)method;
  (void)body;
  (void)err;
  const unsigned long long since = strtoull(strstr(path, "since=") + 6, NULL, 10), max = strtoull(strstr(path, "max=") + 4, NULL, 10);
  const bool is_of_node = strstr(path, "node=b") != NULL;
  json_t *const page = json_pack("{s[]}", "events"), *record;
  const size_t count = json_array_size(journal);
  unsigned long long next = since < count ? since : count;
  for (size_t i = next; i < count && json_array_size(json_object_get(page, "events")) < max; i++) {
    record = json_array_get(journal, i);
    next = i + 1;
    if (!is_of_node || json_object_get(record, "node_id") != NULL) json_array_append(json_object_get(page, "events"), record);
  }
  json_object_set_new(page, "next", json_integer((json_int_t)next));
  json_object_set_new(page, "last", json_integer((json_int_t)count));
  char *const text = json_dumps(page, 0);
  cox_buf_addf(out, "%s", text);
  free(text);
  json_decref(page);
  return 200;
}

/* A record each minute; each hundredth one is about node b. */
static void keep_journal(size_t count) {
  journal = json_array();
  for (size_t i = 0; i < count; i++) {
    char time[32];
    snprintf(time, sizeof time, "2026-01-%02zuT%02zu:%02zu:00.000Z", 1 + i / 1440, i / 60 % 24, i % 60);
    json_t *const record = json_pack("{sI, ss, ss}", "seq", (json_int_t)i + 1, "time", time, "kind", "note");
    if (i % 100 == 0) json_object_set_new(record, "node_id", json_string("b"));
    json_array_append_new(journal, record);
  }
  env.call = ask_journal;
}

static void begins_with(const char *line, size_t lines, const char *first) {
  assert_int_equal(go(line, 0), 0);
  if (times(run.out, "\n") != lines || strncmp(run.out, first, strlen(first)) != 0) fail_msg("%s: %zu lines, %.40s", line, times(run.out, "\n"), run.out);
}

static void it_begins_where_it_was_asked_to(void **state) {
  (void)state;
  keep_journal(20000);
  begins_with("coxswain events", 100, "19901 ");
  begins_with("coxswain events -n 7", 7, "19994 ");
  begins_with("coxswain events --since 19998", 2, "19999 ");
  begins_with("coxswain events --since 2026-01-14T21:18:00Z", 2, "19999 "); /* the last one is of 21:19 */
  begins_with("coxswain events --since 2026-01-14T21:17:30Z", 2, "19999 ");
  assert_int_equal(go("coxswain events --since 2027-01-01T00:00:00Z", 0), 0);
  assert_string_equal(run.out, "");
  json_decref(journal);
  keep_journal(500);
  begins_with("coxswain events --last 30000", 500, "1 ");
  begins_with("coxswain events --since 2025-01-01T00:00:00.000Z", 500, "1 ");
  begins_with("coxswain events --node b", 5, "1 ");
  json_decref(journal);
}

static void the_last_of_a_node_are_its_own(void **state) {
  (void)state;
  keep_journal(20000);
  begins_with("coxswain events --node b", 100, "10001 ");
  begins_with("coxswain events --node b -n 3", 3, "19701 ");
  begins_with("coxswain events --node b --since 2026-01-14T19:00:00Z", 1, "19901 ");
  json_decref(journal);
}

static void a_beginning_that_is_none_is_wrong_usage(void **state) {
  (void)state;
  static const char *const wrong[] = {"--since x", "--since -1", "--since 10x", "-n 0", "-n x", "-n -5", "-n 1e3", "-n 3 --since 4"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char line[64];
    snprintf(line, sizeof line, "coxswain events %s", wrong[i]);
    assert_int_equal(go(line, 0), 2);
  }
  assert_int_equal(console_daemon.calls, 0);
}

static void values_with_blanks_or_quotes_stand_in_quotes(void **state) {
  (void)state;
  answer(200, "{\"events\":[{\"seq\":1,\"time\":\"t\",\"kind\":\"command\",\"node_id\":\"a\",\"name\":\"x\",\"caller\":\"http ann 10.0.0.1\","
              "\"error\":\"no \\\"b\\\"\",\"empty\":\"\",\"list\":[1,2]}],\"next\":1,\"last\":1}");
  assert_int_equal(go("coxswain events --since 0", 0), 0);
  assert_string_equal(run.out, "1 t command a name=x caller=\"http ann 10.0.0.1\" error=\"no \\\"b\\\"\" empty=\"\" list=[1,2]\n");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(following_goes_on_after_a_restart_where_it_was),
      TEST(a_daemon_that_was_never_there_is_not_waited_for),
      TEST(a_journal_that_begins_anew_is_followed_from_its_beginning),
      TEST(a_number_that_is_still_to_come_is_awaited_and_told_once),
      TEST(a_refusal_ends_it_with_the_daemons_words),
      TEST(it_begins_where_it_was_asked_to),
      TEST(the_last_of_a_node_are_its_own),
      TEST(a_beginning_that_is_none_is_wrong_usage),
      TEST(values_with_blanks_or_quotes_stand_in_quotes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
