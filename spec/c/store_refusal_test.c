/* Files that the store does not take: no store, damaged, in use, in a place that cannot be written. */
#include "store_rig.h"

#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_sql(const char *sql) {
  sqlite3 *db;
  assert_int_equal(sqlite3_open(store_rig_path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
}

static json_t *content(const char *name) {
  char *const bytes = calloc(1, 1 << 20);
  const int fd = open(name, O_RDONLY | O_CLOEXEC);
  const ssize_t count = fd >= 0 ? read(fd, bytes, 1 << 20) : -1;
  if (fd >= 0) close(fd);
  json_t *const list = json_array();
  for (ssize_t i = 0; i < count; i++) json_array_append_new(list, json_integer((unsigned char)bytes[i]));
  free(bytes);
  return list;
}

/* Opening fails, says the file and every word, and leaves the file alone. */
static void refused(const char *const *words) {
  struct store_rig rig = {0};
  struct cox_err err = {0};
  json_t *const before = content(store_rig_path);
  assert_false(store_rig_open(&rig, store_rig_path, NULL, &err));
  json_t *const after = content(store_rig_path);
  assert_true(json_equal(before, after));
  if (strstr(err.text, store_rig_path) == NULL) fail_msg("no name of the file in: %s", err.text);
  for (; *words != NULL; words++) {
    if (strstr(err.text, *words) == NULL) fail_msg("no \"%s\" in: %s", *words, err.text);
  }
  json_decref(before);
  json_decref(after);
  store_rig_end(&rig);
}

#define REFUSED(...) refused((const char *const[]){__VA_ARGS__, NULL})

static void make_store(void) {
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  store_rig_serve(&rig);
  store_rig_end(&rig);
}

static void files_that_are_no_store_are_refused_with_a_way_out(void **state) {
  (void)state;
  unsigned char noise[8192];
  struct cox_rng rng;
  cox_rng_init(&rng, 3);
  for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)cox_rng_next(&rng);
  store_rig_write(store_rig_path, noise, sizeof noise);
  REFUSED("no database", "coxswain restore", "--store :memory:");
  store_rig_write(store_rig_path, "", 0);
  REFUSED("empty (0 bytes)", "coxswain restore", "remove it");
  unlink(store_rig_path);
  mkdir(store_rig_path, 0700);
  REFUSED("is a folder");
  rmdir(store_rig_path);
  run_sql("CREATE TABLE other (x)");
  REFUSED("another program");
  unlink(store_rig_path);
  make_store();
  run_sql("PRAGMA user_version = 99");
  REFUSED("schema 99", "newer coxswain");
  run_sql("PRAGMA user_version = 1");
  struct store_rig rig = {0};
  store_rig_must_open(&rig); /* and it is still good */
  store_rig_end(&rig);
}

static void a_damaged_store_is_refused_and_never_replaced(void **state) {
  (void)state;
  make_store();
  struct stat info;
  assert_int_equal(stat(store_rig_path, &info), 0);
  assert_int_equal(truncate(store_rig_path, info.st_size - 4096), 0);
  REFUSED("damaged", "coxswain restore");
  assert_int_equal(truncate(store_rig_path, 100), 0);
  REFUSED("coxswain restore");
  unlink(store_rig_path);
  make_store();
  const int fd = open(store_rig_path, O_WRONLY | O_CLOEXEC);
  char zeros[4096] = {0};
  for (off_t at = 4096; at + 4096 <= info.st_size; at += 4096) assert_int_equal(pwrite(fd, zeros, sizeof zeros, at), sizeof zeros);
  close(fd);
  REFUSED("damaged", "coxswain restore");
}

/* A copy has no log of its own: taking it into use would write its first page. */
static void a_damaged_copy_is_not_written_before_it_is_refused(void **state) {
  (void)state;
  make_store();
  struct stat info;
  assert_int_equal(stat(store_rig_path, &info), 0);
  const int fd = open(store_rig_path, O_WRONLY | O_CLOEXEC);
  char damage[4096];
  memset(damage, 0xa5, sizeof damage);
  assert_int_equal(pwrite(fd, "\1\1", 2, 18), 2); /* the file format's versions of reading and writing: 1, a rollback journal */
  for (off_t at = 4096; at + 4096 <= info.st_size; at += 4096) assert_int_equal(pwrite(fd, damage, sizeof damage, at), sizeof damage);
  close(fd);
  REFUSED("damaged", "coxswain restore"); /* and the file is as it was, byte for byte */
}

static void a_missing_store_whose_log_is_there_is_not_begun_anew(void **state) {
  (void)state;
  char log[160];
  snprintf(log, sizeof log, "%s-wal", store_rig_path);
  store_rig_write(log, "something", 9);
  REFUSED("missing", "-wal");
}

static void a_place_that_cannot_be_written_is_refused(void **state) {
  (void)state;
  char deep[128];
  snprintf(deep, sizeof deep, "%s/none/cox.db", store_rig_folder);
  struct cox_err err = {0};
  const struct cox_sqlite_options options = {.path = deep};
  assert_null(cox_sqlite_create(&options, &err));
  assert_non_null(strstr(err.text, "folder is not there"));
  make_store();
  chmod(store_rig_folder, 0755);
  if (geteuid() == 0) assert_int_equal(seteuid(65534), 0);
  else chmod(store_rig_path, 0400);
  const struct cox_sqlite_options own = {.path = store_rig_path};
  assert_null(cox_sqlite_create(&own, &err));
  if (geteuid() == 65534 && getuid() == 0) assert_int_equal(seteuid(0), 0);
  assert_non_null(strstr(err.text, store_rig_path));
  assert_non_null(strstr(err.text, "right to write"));
}

static void a_store_that_another_process_has_open_is_refused_with_its_number(void **state) {
  (void)state;
  int ready[2], over[2];
  char byte = 0, copy[160], kept_as[PATH_MAX], number[32];
  make_store();
  assert_true(pipe(ready) == 0 && pipe(over) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const struct cox_sqlite_options options = {.path = store_rig_path};
    struct cox_sqlite *const sqlite = cox_sqlite_create(&options, NULL);
    if (sqlite == NULL || write(ready[1], &byte, 1) != 1 || read(over[0], &byte, 1) != 1) _exit(1);
    cox_sqlite_destroy(sqlite);
    _exit(0);
  }
  assert_int_equal(read(ready[0], &byte, 1), 1);
  snprintf(number, sizeof number, "process %ld", (long)child);
  struct cox_err err = {0};
  const struct cox_sqlite_options options = {.path = store_rig_path};
  assert_null(cox_sqlite_create(&options, &err));
  assert_int_equal(err.code, COX_EBUSY);
  assert_non_null(strstr(err.text, number));
  snprintf(copy, sizeof copy, "%s/copy.db", store_rig_folder);
  struct store_rig other = {0};
  assert_true(store_rig_open(&other, copy, NULL, &err));
  store_rig_end(&other);
  assert_int_equal(cox_sqlite_restore(copy, store_rig_path, kept_as, &err), COX_EBUSY);
  assert_int_equal(write(over[1], &byte, 1), 1);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  for (int i = 0; i < 2; i++) {
    close(ready[i]);
    close(over[i]);
  }
  struct store_rig rig = {0};
  store_rig_must_open(&rig);
  assert_null(cox_sqlite_create(&options, &err)); /* nor twice by one process */
  assert_int_equal(err.code, COX_EBUSY);
  store_rig_end(&rig);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_rig_setup, store_rig_teardown)
  const struct CMUnitTest tests[] = {
      TEST(files_that_are_no_store_are_refused_with_a_way_out),
      TEST(a_damaged_store_is_refused_and_never_replaced),
      TEST(a_damaged_copy_is_not_written_before_it_is_refused),
      TEST(a_missing_store_whose_log_is_there_is_not_begun_anew),
      TEST(a_place_that_cannot_be_written_is_refused),
      TEST(a_store_that_another_process_has_open_is_refused_with_its_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
