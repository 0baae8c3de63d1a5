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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(following_goes_on_after_a_restart_where_it_was),
      TEST(a_daemon_that_was_never_there_is_not_waited_for),
      TEST(a_journal_that_begins_anew_is_followed_from_its_beginning),
      TEST(a_number_that_is_still_to_come_is_awaited_and_told_once),
      TEST(a_refusal_ends_it_with_the_daemons_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
