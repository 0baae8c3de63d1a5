/* Who has an answer and asks the journal at once finds the line that tells of it, or waits until it is durable. */
#include "ledger_rig.h"

#include <string.h>

#include "core/record.h"
#include "manual_store.h"

/* ---- one who asks ---- */

struct reader {
  int calls;
};

static void caught_up(void *arg, const struct cox_err *err) {
  (void)err;
  ((struct reader *)arg)->calls++;
}

static void ask(struct reader *reader) {
  *reader = (struct reader){0};
  assert_int_equal(cox_broker_events_catch_up(ledger_fake->broker, caught_up, reader, NULL), 0);
  fake_run(ledger_fake);
}

static bool is_behind(void) { return cox_broker_events_is_behind(ledger_fake->broker); }

/* Lines of commands of that name. */
static size_t lines(const char *kind, const char *name) {
  const struct cox_event_filter filter = {.kind = kind};
  json_t *const page = cox_broker_events_json(ledger_fake->broker, 0, 1000, &filter);
  size_t count = 0, i;
  json_t *record;
  json_array_foreach(json_object_get(page, "events"), i, record) {
    count += name == NULL || strcmp(json_string_value(json_object_get(record, "name")), name) == 0;
  }
  json_decref(page);
  return count;
}

static void answered(void *arg, const struct cox_answer *answer) {
  (void)answer;
  ++*(int *)arg;
}

/* Returns how often it is answered by the time all has run that can. */
static int send(const char *name, json_t *args, int *answers) {
  *answers = 0;
  assert_int_equal(cox_broker_submit(ledger_fake->broker, name, args, answered, answers, NULL), 0);
  json_decref(args);
  fake_run(ledger_fake);
  return *answers;
}

static int add_node(const char *id, int *answers) { return send("register", json_pack("{so}", "node", fake_node(id, 4000)), answers); }

/* ---- specs ---- */

static void a_line_of_what_is_answered_at_once_is_waited_for(void **state) {
  (void)state;
  int answers;
  struct reader reader;
  assert_false(is_behind());
  assert_int_equal(send("skip", NULL, &answers), 1);
  assert_true(is_behind()); /* its line waits for the disk */
  ask(&reader);
  assert_int_equal(reader.calls, 0);
  assert_int_equal(lines("command", "skip"), 0);
  manual_commit_all(ledger_fake);
  assert_int_equal(reader.calls, 1);
  assert_int_equal(lines("command", "skip"), 1);
  assert_false(is_behind());
}

static void a_line_that_is_stored_and_answered_is_waited_for_until_it_can_be_read(void **state) {
  (void)state;
  int answers;
  struct reader reader = {0};
  assert_int_equal(add_node("a", &answers), 0);
  manual_commit(manual.count); /* on the store's thread: the command loop has not come to it */
  assert_int_equal(answers, 1);
  assert_int_equal(lines("command", "register"), 0);
  assert_true(is_behind());
  assert_int_equal(cox_broker_events_catch_up(ledger_fake->broker, caught_up, &reader, NULL), 0);
  assert_int_equal(reader.calls, 0);
  fake_run(ledger_fake);
  assert_int_equal(reader.calls, 1);
  assert_int_equal(lines("command", "register"), 1);
  assert_false(is_behind());
}

static void nobody_waits_for_what_was_not_answered_yet(void **state) {
  (void)state;
  int first, second;
  struct reader reader;
  assert_int_equal(send("skip", NULL, &first), 1);
  ask(&reader);
  assert_int_equal(add_node("a", &second), 0); /* later: its commit may take as long as it likes */
  manual_commit(1);
  fake_run(ledger_fake);
  assert_int_equal(reader.calls, 1);
  assert_false(is_behind());
  assert_int_equal(second, 0);
  manual_commit_all(ledger_fake);
}

static void a_line_from_another_thread_is_waited_for_from_the_moment_it_is_sent(void **state) {
  (void)state;
  struct reader reader = {0};
  assert_int_equal(cox_broker_note(ledger_fake->broker, "note", NULL, json_object(), NULL), 0);
  assert_true(is_behind()); /* the command loop has not seen it */
  assert_int_equal(cox_broker_events_catch_up(ledger_fake->broker, caught_up, &reader, NULL), 0);
  fake_run(ledger_fake);
  assert_int_equal(reader.calls, 0);
  manual_commit_all(ledger_fake);
  assert_int_equal(reader.calls, 1);
  assert_int_equal(lines("note", NULL), 1);
  assert_false(is_behind());
}

static void a_store_that_fails_holds_nobody_up(void **state) {
  (void)state;
  int skipped, added;
  struct reader reader, other;
  assert_int_equal(send("skip", NULL, &skipped), 1);
  assert_int_equal(add_node("a", &added), 0);
  ask(&reader);
  manual_burn(ledger_fake, false);
  assert_int_equal(added, 1); /* with the error */
  assert_int_equal(reader.calls, 1);
  assert_int_equal(lines("command", "skip"), 1);
  assert_int_equal(lines("command", "register"), 1);
  assert_false(is_behind());
  assert_int_equal(send("skip", NULL, &skipped), 1);
  ask(&other);
  assert_int_equal(other.calls, 1);
  assert_int_equal(lines("command", "skip"), 2);
  manual_put_out(ledger_fake);
}

static void who_waits_is_let_go_at_the_end(void **state) {
  (void)state;
  int answers;
  struct reader taken, late = {0};
  send("skip", NULL, &answers);
  ask(&taken);
  assert_int_equal(cox_broker_events_catch_up(ledger_fake->broker, caught_up, &late, NULL), 0); /* the command loop has ended */
  manual.count = 0;
  fake_destroy(ledger_fake);
  ledger_fake = NULL;
  assert_int_equal(taken.calls, 1);
  assert_int_equal(late.calls, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, ledger_setup, ledger_teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_line_of_what_is_answered_at_once_is_waited_for),
      TEST(a_line_that_is_stored_and_answered_is_waited_for_until_it_can_be_read),
      TEST(nobody_waits_for_what_was_not_answered_yet),
      TEST(a_line_from_another_thread_is_waited_for_from_the_moment_it_is_sent),
      TEST(a_store_that_fails_holds_nobody_up),
      TEST(who_waits_is_let_go_at_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
