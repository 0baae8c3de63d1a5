/* A disable with an end: it ends by itself, on time, once, and is told. */
#include "store_rig.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/engine.h"

static struct fake *f;

static int setup(void **state) {
  (void)state;
  cox_log_setup((enum cox_log_level)(COX_LOG_ERROR + 1), false, 2);
  f = fake_create(0);
  fake_register(f, "node1", 5000);
  fake_register(f, "node2", 5001);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(f);
  return 0;
}

static void disable(const char *id, int64_t seconds) {
  const json_int_t ends_ms = seconds != 0 ? cox_clock_wall_ms(&f->clock) + seconds * 1000 : 0;
  assert_int_equal(fake_send(f, "admin", json_pack("{ss, sb, sI}", "node_id", id, "enabled", 0, "expires_ms", ends_ms)), COX_ANSWER_DONE);
}

static json_t *admin_in(struct fake *fake, const char *id) {
  json_t *const node = cox_broker_node_json(fake->broker, id);
  json_t *const admin = json_incref(json_object_get(json_object_get(node, "state"), "admin_state"));
  json_decref(node);
  return admin;
}

static json_t *admin_of(const char *id) { return admin_in(f, id); }

static bool is_enabled(const char *id) {
  json_t *const admin = admin_of(id);
  const bool is_so = json_is_true(json_object_get(admin, "enabled"));
  json_decref(admin);
  return is_so;
}

static size_t expired(void) {
  size_t count = 0, i;
  json_t *name;
  json_array_foreach(f->served, i, name) count += strcmp(json_string_value(name), "expire_admin_state") == 0;
  return count;
}

static void it_ends_at_its_moment_without_a_command(void **state) {
  (void)state;
  disable("node1", 7200);
  fake_pass_time(f, 7199);
  assert_false(is_enabled("node1"));
  fake_pass_time(f, 1);
  assert_true(is_enabled("node1"));
  assert_int_equal(expired(), 1);
  fake_pass_time(f, 100000);
  assert_int_equal(expired(), 1);
}

static void moments_that_do_not_hold_any_more_are_forgotten(void **state) {
  (void)state;
  for (int i = 0; i < 1000; i++) {
    disable("node1", 7200 + i);
    assert_in_range(f->broker->expiry.timers.count, 1, 70);
  }
  fake_pass_time(f, 8198);
  assert_false(is_enabled("node1"));
  fake_pass_time(f, 1);
  assert_true(is_enabled("node1"));
}

/* The loop of commands sleeps on its queue. */
static void the_reconciler_wakes_who_ends_it(void **state) {
  (void)state;
  int64_t next_us;
  disable("node1", 7);
  const int64_t ends_us = f->now_us + 7000000;
  f->broker->commands.is_woken = false;
  for (cox_broker_step_reconcile(f->broker, &next_us); next_us < ends_us; cox_broker_step_reconcile(f->broker, &next_us)) f->now_us = next_us;
  assert_false(f->broker->commands.is_woken);
  assert_int_equal(next_us, ends_us);
  f->now_us = next_us;
  cox_broker_step_reconcile(f->broker, &next_us);
  assert_true(f->broker->commands.is_woken);
  fake_run(f);
  assert_true(is_enabled("node1"));
}

static void what_is_said_later_counts(void **state) {
  (void)state;
  disable("node1", 60);
  disable("node1", 0); /* for good */
  disable("node2", 60);
  disable("node2", 6000); /* for longer */
  fake_pass_time(f, 600);
  assert_false(is_enabled("node1"));
  assert_false(is_enabled("node2"));
  fake_pass_time(f, 6000);
  assert_false(is_enabled("node1"));
  assert_true(is_enabled("node2"));
}

static void a_node_that_is_gone_or_came_back_is_left_alone(void **state) {
  (void)state;
  disable("node1", 60);
  assert_int_equal(fake_send(f, "remove", json_pack("{ss}", "node_id", "node1")), COX_ANSWER_DONE);
  fake_register(f, "node1", 5000);
  disable("node1", 0);
  fake_pass_time(f, 600);
  assert_int_equal(expired(), 0);
  assert_false(is_enabled("node1"));
}

static void nothing(void *arg, const struct cox_answer *answer) {
  (void)arg;
  assert_int_equal(answer->outcome, COX_ANSWER_DONE);
}

static void the_actor_is_who_sent_the_command_and_the_journal_tells(void **state) {
  (void)state;
  json_t *const args = json_pack("{ss, sb, sI}", "node_id", "node1", "enabled", 0, "expires_ms", (json_int_t)cox_clock_wall_ms(&f->clock) + 1500);
  json_object_set_new(args, "actor", json_string("somebody else"));
  assert_int_equal(cox_broker_submit_as(f->broker, "http alice", "admin", args, NULL, nothing, NULL, NULL), 0);
  json_decref(args);
  fake_run(f);
  json_t *const admin = admin_of("node1");
  assert_string_equal(json_string_value(json_object_get(admin, "actor")), "http alice");
  assert_string_equal(json_string_value(json_object_get(admin, "expires_at")) + 19, ".500Z");
  json_decref(admin);
  fake_pass_time(f, 1.5);
  uint64_t next, first;
  json_t *const events = cox_journal_read(&f->broker->ledger.journal, 0, 1000, NULL, &next, &first);
  json_t *const last = json_array_get(events, json_array_size(events) - 1), *const state_record = json_array_get(events, json_array_size(events) - 2);
  assert_string_equal(json_string_value(json_object_get(last, "name")), "expire_admin_state");
  assert_string_equal(json_string_value(json_object_get(last, "caller")), "expiry");
  assert_string_equal(json_string_value(json_object_get(state_record, "kind")), "admin");
  assert_string_equal(json_string_value(json_object_get(state_record, "actor")), "expiry");
  assert_null(json_object_get(state_record, "expires_at"));
  json_decref(events);
}

static void many_end_at_once_and_commands_go_on_in_between(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    char id[16];
    snprintf(id, sizeof id, "more%d", i);
    fake_register(f, id, 6000 + i);
    disable(id, 60);
  }
  fake_pass_time(f, 61);
  assert_int_equal(expired(), 200);
}

/* ---- on a real store ---- */

static void run_sql(const char *sql) {
  sqlite3 *db;
  assert_int_equal(sqlite3_open(store_rig_path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
}

static int schema_of_file(void) {
  sqlite3 *db;
  sqlite3_stmt *statement;
  assert_int_equal(sqlite3_open(store_rig_path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  const int schema = sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return schema;
}

static void disable_for_an_hour(struct store_rig *rig) {
  const json_int_t ends_ms = cox_clock_wall_ms(&rig->fake->clock) + 3600000;
  assert_int_equal(store_rig_ask(rig, "admin", json_pack("{ss, sb, sI}", "node_id", "node1", "enabled", 0, "expires_ms", ends_ms)), COX_ANSWER_DONE);
}

static void a_disable_ends_on_time_also_when_the_program_was_ended_meanwhile(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  assert_int_equal(store_rig_ask(&rig, "register", json_pack("{so}", "node", fake_node("node1", 5000))), COX_ANSWER_DONE);
  disable_for_an_hour(&rig);
  assert_true(store_rig_recover(&rig));
  json_t *const before = admin_in(rig.fake, "node1");
  assert_non_null(json_object_get(before, "actor"));
  assert_non_null(json_object_get(before, "expires_at"));
  const int64_t now_us = rig.fake->now_us;
  store_rig_close(&rig);
  store_rig_must_open(&rig);
  rig.fake->now_us = now_us; /* its clock began anew */
  json_t *after = admin_in(rig.fake, "node1");
  assert_true(json_equal(before, after));
  json_decref(before);
  json_decref(after);
  store_rig_close(&rig);
  store_rig_must_open(&rig);
  rig.fake->now_us = now_us;
  fake_pass_time(rig.fake, 3600);
  assert_true(store_rig_recover(&rig));
  after = admin_in(rig.fake, "node1");
  assert_true(json_is_true(json_object_get(after, "enabled")));
  assert_null(json_object_get(after, "expires_at"));
  assert_string_equal(json_string_value(json_object_get(after, "actor")), "expiry");
  json_decref(after);
  store_rig_end(&rig);
}

/* As a program of before wrote it: schema 1, an admin state without actor and end. */
static void a_store_of_an_older_program_is_taken_over(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  assert_int_equal(store_rig_ask(&rig, "register", json_pack("{so}", "node", fake_node("node1", 5000))), COX_ANSWER_DONE);
  store_rig_close(&rig);
  run_sql("UPDATE state SET value = '{\"enabled\":false,\"epoch\":3,\"reason\":\"fan\"}' WHERE tbl = 'admin'; PRAGMA user_version = 1");
  store_rig_must_open(&rig);
  json_t *const admin = admin_in(rig.fake, "node1"), *const expected = json_pack("{sb, si, ss}", "enabled", 0, "epoch", 3, "reason", "fan");
  assert_true(json_equal(admin, expected));
  json_decref(admin);
  json_decref(expected);
  disable_for_an_hour(&rig); /* and the new fields find their place in it */
  assert_true(store_rig_recover(&rig));
  store_rig_close(&rig);
  assert_int_equal(schema_of_file(), 2);
  json_t *const tables = store_rig_tables(store_rig_path, NULL);
  assert_non_null(json_object_get(json_object_get(json_object_get(tables, "admin"), "node1"), "expires_at"));
  json_decref(tables);
  store_rig_must_open(&rig);
  store_rig_end(&rig);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(it_ends_at_its_moment_without_a_command),
      TEST(moments_that_do_not_hold_any_more_are_forgotten),
      TEST(the_reconciler_wakes_who_ends_it),
      TEST(what_is_said_later_counts),
      TEST(a_node_that_is_gone_or_came_back_is_left_alone),
      TEST(the_actor_is_who_sent_the_command_and_the_journal_tells),
      TEST(many_end_at_once_and_commands_go_on_in_between),
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)
      STORE_TEST(a_disable_ends_on_time_also_when_the_program_was_ended_meanwhile),
      STORE_TEST(a_store_of_an_older_program_is_taken_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
