/* The file of the store and its place: moved or removed while it is in use, opened twice, a copy put back that did not get to its end. */
#include "store_rig.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

static struct store_rig rig;

static int setup(void **state) {
  cox_log_setup((enum cox_log_level)(COX_LOG_ERROR + 1), false, 2);
  rig = (struct store_rig){0};
  return store_rig_setup(state);
}

static int teardown(void **state) {
  store_rig_end(&rig);
  return store_rig_teardown(state);
}

static enum cox_outcome add(const char *id) { return store_rig_ask(&rig, "register", json_pack("{so}", "node", fake_node(id, 5000 + id[0]))); }

static char *beside(const char *tail) {
  static char path[256];
  snprintf(path, sizeof path, "%s%s", store_rig_path, tail);
  return path;
}

static bool is_there(const char *tail) { return access(beside(tail), F_OK) == 0; }

/* What a start finds. */
static bool finds(const char *id) {
  json_t *const tables = store_rig_tables(store_rig_path, NULL);
  const bool is_so = json_object_get(json_object_get(tables, "node"), id) != NULL;
  json_decref(tables);
  return is_so;
}

/* ---- moved, removed ---- */

static void a_file_that_was_moved_is_missed_at_the_next_change_and_taken_again_when_it_is_back(void **state) {
  (void)state;
  char moved[256];
  store_rig_must_open(&rig);
  assert_int_equal(add("a"), COX_ANSWER_DONE);
  snprintf(moved, sizeof moved, "%s", beside(".moved"));
  assert_int_equal(rename(store_rig_path, moved), 0);
  assert_int_equal(add("b"), COX_ANSWER_ERROR); /* else it would be acknowledged, and no start would find it */
  if (strstr(store_rig_error, "moved or removed") == NULL) fail_msg("the answer does not say it: %s", store_rig_error);
  struct cox_err err;
  assert_true(cox_broker_is_degraded(rig.fake->broker, &err));
  assert_int_equal(rename(moved, store_rig_path), 0);
  assert_true(store_rig_recover(&rig));
  assert_int_equal(add("c"), COX_ANSWER_DONE);
  store_rig_end(&rig);
  assert_true(finds("a") && finds("c"));
  assert_false(finds("b"));
}

/* An empty one in its place would hide that something is wrong, when a disk is not mounted any more, say. */
static void a_file_that_was_removed_is_not_begun_anew(void **state) {
  (void)state;
  store_rig_must_open(&rig);
  assert_int_equal(add("a"), COX_ANSWER_DONE);
  unlink(beside("-wal"));
  unlink(store_rig_path);
  assert_int_equal(add("b"), COX_ANSWER_ERROR);
  assert_true(cox_broker_is_degraded(rig.fake->broker, NULL));
  assert_int_equal(add("c"), COX_ANSWER_ERROR);
  store_rig_end(&rig);
  assert_false(is_there(""));
}

static void a_log_that_was_removed_takes_nothing_with_it(void **state) {
  (void)state;
  store_rig_must_open(&rig);
  assert_int_equal(add("a"), COX_ANSWER_DONE);
  assert_int_equal(unlink(beside("-wal")), 0);
  assert_int_equal(add("b"), COX_ANSWER_ERROR);
  assert_true(store_rig_recover(&rig));
  assert_int_equal(add("c"), COX_ANSWER_DONE);
  json_t *const memory = store_rig_memory(&rig);
  store_rig_end(&rig);
  json_t *const tables = store_rig_tables(store_rig_path, NULL);
  store_rig_only_registry(tables);
  assert_true(store_rig_same(tables, memory));
  json_decref(tables);
  json_decref(memory);
}

/* ---- opened twice ---- */

/* POSIX takes all locks of a process on a file away when it closes any of its descriptors for it. */
static void a_second_store_of_one_process_is_refused_and_the_first_stays_locked(void **state) {
  (void)state;
  int go[2];
  char byte = 0;
  store_rig_must_open(&rig);
  store_rig_close(&rig);
  assert_int_equal(pipe(go), 0);
  const pid_t child = fork(); /* before anything is open: it is to know nothing of it */
  if (child == 0) {
    const struct cox_sqlite_options options = {.path = store_rig_path};
    if (read(go[0], &byte, 1) != 1) _exit(2);
    _exit(cox_sqlite_create(&options, NULL) == NULL ? 0 : 1);
  }
  store_rig_must_open(&rig);
  struct cox_err err = {0};
  const struct cox_sqlite_options options = {.path = store_rig_path};
  assert_null(cox_sqlite_create(&options, &err));
  assert_int_equal(err.code, COX_EBUSY);
  assert_non_null(strstr(err.text, "this process"));
  assert_int_equal(write(go[1], &byte, 1), 1);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  close(go[0]);
  close(go[1]);
  assert_int_equal(status, 0);
}

/* ---- a copy put back ---- */

static void make_with(const char *id) {
  store_rig_must_open(&rig);
  assert_int_equal(add(id), COX_ANSWER_DONE);
  store_rig_end(&rig);
}

/* The store has b, and `copy` a. */
static void make_both(char copy[256]) {
  make_with("a");
  snprintf(copy, 256, "%s/copy.db", store_rig_folder);
  assert_int_equal(rename(store_rig_path, copy), 0);
  make_with("b");
}

static void two_copies_put_back_in_one_second_keep_both_that_were_there(void **state) {
  (void)state;
  char copy[256], first[PATH_MAX], second[PATH_MAX];
  struct cox_err err = {0};
  make_both(copy);
  assert_int_equal(cox_sqlite_restore(copy, store_rig_path, first, &err), 0);
  assert_true(finds("a"));
  assert_int_equal(cox_sqlite_restore(copy, store_rig_path, second, &err), 0);
  assert_string_not_equal(first, second);
  assert_int_equal(access(first, F_OK), 0);
  assert_int_equal(access(second, F_OK), 0);
  assert_int_equal(rename(first, store_rig_path), 0);
  assert_true(finds("b"));
}

/* The program was killed when what was there had been set aside, and the copy was not in its place: an empty store would be begun. */
static void a_copy_that_did_not_get_into_its_place_keeps_a_start_from_beginning_anew(void **state) {
  (void)state;
  char copy[256], set_aside[256], kept[PATH_MAX];
  struct cox_err err = {0};
  const struct cox_sqlite_options options = {.path = store_rig_path};
  make_both(copy);
  snprintf(set_aside, sizeof set_aside, "%s", beside(".before-1"));
  assert_int_equal(rename(store_rig_path, set_aside), 0);
  assert_int_equal(rename(copy, beside(".restored")), 0);
  assert_null(cox_sqlite_create(&options, &err));
  if (strstr(err.text, "coxswain restore") == NULL) fail_msg("no way out in: %s", err.text);
  assert_false(is_there(""));
  snprintf(copy, sizeof copy, "%s", beside(".restored"));
  assert_int_equal(cox_sqlite_restore(copy, store_rig_path, kept, &err), 0);
  assert_string_equal(kept, "");
  assert_false(is_there(".restored"));
  assert_true(finds("a"));
}

static void a_failed_exchange_leaves_everything_as_it_was(void **state) {
  (void)state;
  char copy[256], kept[PATH_MAX];
  struct cox_err err = {0};
  make_both(copy);
  assert_int_equal(mkdir(beside(".restored"), 0700), 0); /* so that the copy cannot get its second name */
  assert_true(cox_sqlite_restore(copy, store_rig_path, kept, &err) < 0);
  assert_int_equal(rmdir(beside(".restored")), 0);
  assert_false(is_there(".part"));
  assert_true(finds("b"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_file_that_was_moved_is_missed_at_the_next_change_and_taken_again_when_it_is_back),
      TEST(a_file_that_was_removed_is_not_begun_anew),
      TEST(a_log_that_was_removed_takes_nothing_with_it),
      TEST(two_copies_put_back_in_one_second_keep_both_that_were_there),
      TEST(a_copy_that_did_not_get_into_its_place_keeps_a_start_from_beginning_anew),
      TEST(a_failed_exchange_leaves_everything_as_it_was),
      TEST(a_second_store_of_one_process_is_refused_and_the_first_stays_locked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
