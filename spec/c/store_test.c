/* The store in its file: what survives, what is refused, copies, bounds. */
#include "store_rig.h"

#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "core/packed.h"
#include "core/durable.h"
#include "core/engine.h"

static json_t *explain(struct fake *fake, const char *id) {
  json_t *const node = cox_broker_node_json(fake->broker, id);
  json_t *const value = json_incref(json_object_get(json_object_get(node, "state"), "explain"));
  json_decref(node);
  return value;
}

static void leases_carry_the_number_of_the_start_and_are_taken_over_after_it(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  store_rig_serve(&rig);
  const struct cox_lease_ask ask = {.model = "m"};
  struct cox_lease_grant grant;
  struct cox_err err = {0};
  if (cox_lease_acquire(rig.fake->broker, &ask, 0, NULL, &grant, &err) != 0) fail_msg("%s", err.text);
  const struct cox_lease_id id = grant.id;
  cox_lease_grant_fini(&grant);
  assert_int_equal(cox_lease_id_start(id), 1);
  assert_true(store_rig_recover(&rig));
  store_rig_close(&rig);
  store_rig_must_open(&rig);
  assert_int_equal(cox_lease_renew(rig.fake->broker, id, 1000, NULL, NULL, NULL, NULL), COX_ENOENT); /* unknown until its node is said */
  assert_int_equal(cox_lease_renew(rig.fake->broker, id, 1000, "node1", NULL, NULL, NULL), 0);
  assert_true(cox_lease_is_live(rig.fake->broker, id));
  store_rig_end(&rig);
}

static void a_restart_keeps_what_is_durable_and_believes_no_status(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  assert_int_equal(cox_broker_start_number(rig.fake->broker), 1);
  store_rig_serve(&rig);
  assert_int_equal(store_rig_ask(&rig, "admin", json_pack("{ss, sb}", "node_id", "node1", "enabled", 0)), COX_ANSWER_DONE);
  assert_true(store_rig_recover(&rig));
  json_t *const before = cox_broker_node_json(rig.fake->broker, "node1");
  store_rig_close(&rig);
  store_rig_must_open(&rig);
  struct fake *const f = rig.fake;
  json_t *const after = cox_broker_node_json(f->broker, "node1");
  assert_true(json_equal(json_object_get(before, "node"), json_object_get(after, "node")));
  static const char *const kept[] = {"intended_status", "admin_state", "generation", "registration"};
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    assert_true(json_equal(json_object_get(json_object_get(before, "state"), kept[i]), json_object_get(json_object_get(after, "state"), kept[i])));
  }
  assert_int_equal(cox_broker_start_number(f->broker), 2);
  assert_string_equal(fake_state(f, "node1", "current_status"), "UNKNOWN");
  json_t *const told = explain(f, "node1");
  assert_string_equal(json_string_value(json_object_get(told, "reason")), "it serves");
  assert_true(json_is_false(json_object_get(told, "settled")));
  assert_non_null(json_object_get(told, "applied"));
  assert_string_equal(json_string_value(json_object_get(told, "unanswered")), "POST /api/v1/stop");
  fake_pass_time(f, 100);
  assert_int_equal(f->opens, 0); /* nothing before the first synced block */
  fake_arm(f);
  struct cox_attempt *const attempt = fake_open(f, "node1");
  assert_non_null(attempt); /* verified, though nothing seems to have changed */
  json_t *const memory = cox_unpacked(attempt->memory);
  assert_string_equal(json_string_value(json_object_get(memory, "seen")), "before");
  json_decref(memory);
  assert_non_null(attempt->applied);
  assert_int_equal(attempt->unanswered.mark.era, 99);
  assert_int_equal(attempt->unanswered.mark.at_us, 5678);
  json_decref(told);
  json_decref(before);
  json_decref(after);
  store_rig_end(&rig);
}

static void the_episode_and_its_numbers_outlive_a_restart(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  for (int i = 0; i < 3; i++) {
    char id[8];
    snprintf(id, sizeof id, "n%d", i);
    assert_int_equal(store_rig_ask(&rig, "register", json_pack("{so}", "node", fake_node(id, 5000 + i))), COX_ANSWER_DONE);
  }
  assert_int_equal(store_rig_ask(&rig, "intend", json_pack("{ss, so}", "node_id", "n1", "target", fake_target("POC", "GENERATING"))), COX_ANSWER_DONE);
  assert_int_equal(store_rig_ask(&rig, "remove", json_pack("{ss}", "node_id", "n2")), COX_ANSWER_DONE);
  store_rig_close(&rig);
  store_rig_must_open(&rig);
  assert_int_equal(store_rig_ask(&rig, "register", json_pack("{so}", "node", fake_node("n3", 5003))), COX_ANSWER_DONE);
  json_t *const node = cox_broker_node_json(rig.fake->broker, "n3");
  assert_int_equal(json_integer_value(json_object_get(json_object_get(node, "node"), "node_num")), 3); /* 2 is held back */
  assert_int_equal(json_integer_value(json_object_get(json_object_get(node, "state"), "registration")), 4);
  assert_true(rig.fake->broker->registry.episode.is_set);
  assert_int_equal(rig.fake->broker->registry.episode.node_count, 3);
  json_decref(node);
  store_rig_end(&rig);
}

/* ---- the journal ---- */

struct page {
  struct cox_store_read read;
  atomic_bool is_there;
  json_t *records;
  struct cox_err err;
};

static void page_came(struct cox_store_read *read, json_t *records, const struct cox_err *err) {
  struct page *const page = (struct page *)(void *)read;
  page->records = json_incref(records);
  if (err != NULL) page->err = *err;
  atomic_store(&page->is_there, true);
}

/* A new reference. */
static json_t *stored(struct store_rig *rig, uint64_t since, size_t max, const char *kind, const char *node_id) {
  struct page page = {.read = {.since = since, .until = UINT64_MAX / 4, .max = max, .done = page_came}};
  snprintf(page.read.kind, sizeof page.read.kind, "%s", kind);
  snprintf(page.read.node_id, sizeof page.read.node_id, "%s", node_id);
  assert_int_equal(cox_broker_events_stored(rig->fake->broker, &page.read, NULL), 0);
  while (!atomic_load(&page.is_there)) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
  assert_non_null(page.records);
  return page.records;
}

static void the_journal_folded_is_the_state_byte_for_byte(void **state) {
  (void)state;
  struct store_rig rig = {0};
  struct cox_rng rng;
  cox_rng_init(&rng, 77);
  store_rig_must_open(&rig);
  store_rig_serve(&rig);
  assert_int_equal(store_rig_ask(&rig, "remove", json_pack("{ss}", "node_id", "node1")), COX_ANSWER_DONE);
  for (int i = 0; i < 300; i++) store_rig_change(&rig, &rng);
  assert_true(store_rig_recover(&rig));
  json_t *const records = stored(&rig, 0, 100000, "", ""), *const replayed = json_object(), *const memory = store_rig_memory(&rig);
  size_t i;
  json_t *record;
  int64_t seq = 0;
  json_array_foreach(records, i, record) {
    assert_true(json_integer_value(json_object_get(record, "seq")) > seq);
    seq = json_integer_value(json_object_get(record, "seq"));
    cox_durable_fold_into(replayed, record);
  }
  store_rig_close(&rig);
  json_t *const tables = store_rig_tables(store_rig_path, NULL);
  assert_true(store_rig_same(tables, memory));
  char *const left = json_dumps(tables, JSON_SORT_KEYS), *const right = json_dumps(replayed, JSON_SORT_KEYS);
  assert_string_equal(left, right);
  free(left);
  free(right);
  json_decref(tables);
  json_decref(memory);
  json_decref(replayed);
  json_decref(records);
  json_decref(rig.model);
}

static void the_journal_tells_who_did_what_and_what_came_of_it(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  store_rig_serve(&rig);
  struct cox_err err;
  assert_int_equal(cox_broker_submit_as(rig.fake->broker, "http 10.0.0.7", "fail", NULL, NULL, NULL, NULL, &err), 0);
  assert_int_equal(cox_broker_note(rig.fake->broker, "reload", NULL, json_pack("{si}", "generation", 2), NULL), 0);
  assert_int_equal(cox_broker_note(rig.fake->broker, "gossip", NULL, json_object(), &err), COX_EINVAL);
  assert_true(store_rig_recover(&rig));
  json_t *const commands = stored(&rig, 0, 1000, "command", ""), *const reloads = stored(&rig, 0, 1000, "reload", "");
  json_t *const failed = json_array_get(commands, json_array_size(commands) - 1);
  assert_string_equal(json_string_value(json_object_get(failed, "caller")), "http 10.0.0.7");
  assert_string_equal(json_string_value(json_object_get(failed, "outcome")), "error");
  assert_non_null(strstr(json_string_value(json_object_get(failed, "error")), "fail.lua:1"));
  assert_int_equal(json_array_size(reloads), 1);
  json_t *const attempts = stored(&rig, 0, 1000, "attempt", "node1"), *const moves = stored(&rig, 0, 1000, "status", "node1");
  json_t *const attempt = json_array_get(attempts, 0), *const move = json_array_get(moves, 0);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(attempt, "fence"), "generation")), 2);
  assert_string_equal(json_string_value(json_object_get(attempt, "outcome")), "succeeded");
  assert_string_equal(json_string_value(json_object_get(move, "from")), "UNKNOWN");
  assert_string_equal(json_string_value(json_object_get(move, "to")), "INFERENCE");
  json_decref(commands);
  json_decref(reloads);
  json_decref(attempts);
  json_decref(moves);
  store_rig_end(&rig);
}

static void memory_and_file_tell_the_same_and_numbers_go_on_over_a_restart(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  store_rig_serve(&rig);
  assert_true(store_rig_recover(&rig));
  json_t *const page = cox_broker_events_json(rig.fake->broker, 0, 1000, NULL), *const file = stored(&rig, 0, 1000, "", "");
  assert_true(json_equal(json_object_get(page, "events"), file));
  const uint64_t last = cox_broker_events_last(rig.fake->broker);
  json_decref(page);
  json_decref(file);
  store_rig_close(&rig);
  store_rig_must_open(&rig);
  assert_true(store_rig_recover(&rig));
  json_t *const next = cox_broker_events_json(rig.fake->broker, last, 1000, NULL);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(next, "events"), 0), "seq")), last + 1);
  assert_int_equal(json_integer_value(json_object_get(next, "oldest")), last + 1); /* what was before is the file's */
  json_decref(next);
  store_rig_end(&rig);
}

/* ---- bounds ---- */

static void the_journal_is_bounded_by_number_and_age(void **state) {
  (void)state;
  struct cox_err err = {0};
  struct fake *const fake = fake_create(0); /* lends its clock: 2023 */
  fake->now_us = 0;
  const struct cox_sqlite_options options = {.path = store_rig_path, .records_max = 3000, .age_max_s = 100 * 365 * 86400LL};
  struct cox_sqlite *const sqlite = cox_sqlite_create(&options, &err);
  assert_non_null(sqlite);
  assert_int_equal(fake_use_store(fake, cox_sqlite_store(sqlite), &err), 0);
  struct store_rig rig = {.fake = fake, .sqlite = sqlite, .model = json_object()};
  for (int i = 0; i < 9000; i++) {
    assert_int_equal(cox_broker_note(fake->broker, "note", NULL, json_pack("{si}", "n", i), NULL), 0);
    if (i % 500 == 0) assert_true(store_rig_recover(&rig));
  }
  assert_true(store_rig_recover(&rig));
  json_t *const kept = stored(&rig, 0, 100000, "", "");
  assert_in_range(json_array_size(kept), 3000, 3000 + 2000 + 500);
  json_decref(kept);
  cox_sqlite_store(sqlite)->compact(cox_sqlite_store(sqlite)->ctx, 0, 1); /* all of it is older than a second */
  for (int i = 0; i < 6000; i++) {
    assert_int_equal(cox_broker_note(fake->broker, "note", NULL, json_pack("{si}", "n", i), NULL), 0);
    if (i % 500 == 0) assert_true(store_rig_recover(&rig));
  }
  assert_true(store_rig_recover(&rig));
  json_t *const young = stored(&rig, 0, 100000, "", "");
  assert_in_range(json_array_size(young), 0, 2999); /* by number alone 3000 would have stayed */
  json_decref(young);
  store_rig_end(&rig);
}

static void what_the_store_has_in_memory_does_not_grow_with_its_file(void **state) {
  (void)state;
  enum { TEXT = 10000, RECORDS = 1000, MOST = 3 * 1024 * 1024 };
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  for (int i = 0; i < RECORDS; i++) {
    assert_int_equal(cox_broker_note(rig.fake->broker, "note", NULL, json_pack("{so}", "text", json_sprintf("%*d", TEXT, i)), NULL), 0);
    if (i % 500 == 0) assert_true(store_rig_recover(&rig));
  }
  assert_true(store_rig_recover(&rig));
  assert_in_range(sqlite3_memory_used(), 1, MOST);
  store_rig_end(&rig);
  struct stat file;
  assert_int_equal(stat(store_rig_path, &file), 0);
  assert_true(file.st_size > RECORDS * (off_t)TEXT);
}

/* ---- tables of others ---- */

static void kept(void *arg, const struct cox_err *err) { atomic_store((atomic_int *)arg, err == NULL ? 1 : err->code); }

static int keep(struct store_rig *rig, const char *name, json_t *value) {
  atomic_int outcome = 0;
  struct cox_err err;
  const int rc = cox_broker_keep(rig->fake->broker, "jobs", name, value, kept, &outcome, &err);
  if (rc != 0) return rc;
  while (atomic_load(&outcome) == 0) {
    if (cox_broker_step_commands(rig->fake->broker) == 0) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
  }
  return outcome;
}

static void what_others_keep_is_there_after_a_restart(void **state) {
  (void)state;
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  assert_int_equal(keep(&rig, "feed", json_pack("{si}", "height", 7)), 1);
  assert_int_equal(keep(&rig, "gone", json_string("soon")), 1);
  assert_int_equal(keep(&rig, "gone", NULL), 1);
  assert_int_equal(keep(&rig, "", json_true()), COX_EINVAL);
  char *const long_text = calloc(1, COX_KEEP_VALUE_MAX + 8);
  memset(long_text, 'x', COX_KEEP_VALUE_MAX + 1);
  assert_int_equal(keep(&rig, "big", json_string(long_text)), COX_EINVAL);
  free(long_text);
  store_rig_close(&rig);
  store_rig_must_open(&rig);
  json_t *const all = cox_broker_kept_all(rig.fake->broker, "jobs"), *const one = cox_broker_kept(rig.fake->broker, "jobs", "feed");
  assert_int_equal(json_object_size(all), 1);
  assert_int_equal(json_integer_value(json_object_get(one, "height")), 7);
  assert_null(cox_broker_kept(rig.fake->broker, "jobs", "gone"));
  json_decref(all);
  json_decref(one);
  store_rig_end(&rig);
}

/* ---- copies ---- */

static char copy_error[1024];

static void copied(void *arg, const struct cox_err *err) {
  if (err != NULL) snprintf(copy_error, sizeof copy_error, "%s", err->text);
  atomic_store((atomic_int *)arg, err == NULL ? 1 : -1);
}

static int copy_to(struct store_rig *rig, const char *to) {
  atomic_int outcome = 0;
  assert_int_equal(cox_broker_backup(rig->fake->broker, to, copied, &outcome, NULL), 0);
  struct cox_rng rng;
  cox_rng_init(&rng, 5);
  for (int i = 0; atomic_load(&outcome) == 0; i++) { /* the work goes on meanwhile */
    if (i < 500) store_rig_change(rig, &rng);
    else nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return outcome;
}

static void a_copy_is_made_while_the_work_goes_on_and_can_be_put_back(void **state) {
  (void)state;
  struct store_rig rig = {0};
  struct cox_err err = {0};
  char copy[160], kept_as[PATH_MAX];
  snprintf(copy, sizeof copy, "%s/copy.db", store_rig_folder);
  store_rig_must_open(&rig);
  store_rig_serve(&rig);
  assert_int_equal(copy_to(&rig, copy), 1);
  assert_int_equal(copy_to(&rig, copy), -1); /* never over another file */
  assert_non_null(strstr(copy_error, "already"));
  assert_int_equal(cox_sqlite_check(copy, &err), 0);
  assert_int_equal(cox_sqlite_restore(copy, store_rig_path, kept_as, &err), 0); /* this process's own lock is not seen; see the next spec */
  store_rig_close(&rig);
  json_decref(rig.model);
  rig.model = NULL;
  assert_string_not_equal(kept_as, "");
  assert_int_equal(access(kept_as, F_OK), 0);
  store_rig_must_open(&rig);
  json_t *const node = cox_broker_node_json(rig.fake->broker, "node1");
  assert_non_null(node);
  json_decref(node);
  store_rig_end(&rig);
}

static void a_copy_that_is_put_back_belongs_to_who_owned_the_store(void **state) {
  (void)state;
  enum { OWNER = 65534 };
  struct stat info;
  struct cox_err err = {0};
  char copy[160], place[160], path[200], kept_as[PATH_MAX];
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  snprintf(copy, sizeof copy, "%s/copy.db", store_rig_folder);
  snprintf(place, sizeof place, "%s/place", store_rig_folder);
  snprintf(path, sizeof path, "%s/s.db", place);
  assert_int_equal(copy_to(&rig, copy), 1);
  store_rig_end(&rig);
  assert_int_equal(mkdir(place, 0755), 0);
  if (chown(place, OWNER, OWNER) != 0) skip(); /* only root puts back what is another's */
  assert_int_equal(cox_sqlite_restore(copy, path, kept_as, &err), 0); /* as its folder */
  assert_int_equal(stat(path, &info), 0);
  assert_int_equal(info.st_uid, OWNER);
  assert_int_equal(info.st_mode & 0777, 0600);
  assert_int_equal(chown(place, 0, 0), 0);
  assert_int_equal(cox_sqlite_restore(copy, path, kept_as, &err), 0); /* as the one before */
  assert_true(stat(path, &info) == 0 && info.st_uid == OWNER);
  store_rig_write(copy, "no store at all", 15);
  assert_int_equal(cox_sqlite_restore(copy, path, kept_as, &err), COX_EINVAL);
  if (strstr(err.text, "the copy ") != err.text || strstr(err.text, "put another one back") == NULL) fail_msg("it said: %s", err.text);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)
  const struct CMUnitTest tests[] = {
      TEST(leases_carry_the_number_of_the_start_and_are_taken_over_after_it),
      TEST(a_restart_keeps_what_is_durable_and_believes_no_status),
      TEST(the_episode_and_its_numbers_outlive_a_restart),
      TEST(the_journal_folded_is_the_state_byte_for_byte),
      TEST(the_journal_tells_who_did_what_and_what_came_of_it),
      TEST(memory_and_file_tell_the_same_and_numbers_go_on_over_a_restart),
      TEST(the_journal_is_bounded_by_number_and_age),
      TEST(what_the_store_has_in_memory_does_not_grow_with_its_file),
      TEST(what_others_keep_is_there_after_a_restart),
      TEST(a_copy_is_made_while_the_work_goes_on_and_can_be_put_back),
      TEST(a_copy_that_is_put_back_belongs_to_who_owned_the_store),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
