/* What was acknowledged is there, whatever the disk does: power cuts at every moment, full disks, writes and syncs that fail. */
#include "store_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"
#include "fault_vfs.h"

enum { CUTS = 500, CHANGES = 12 };

static const char path[] = "store.db";

static void must_open(struct store_rig *rig) {
  struct cox_err err = {0};
  if (!store_rig_open(rig, path, FAULT_VFS, &err)) fail_msg("%s", err.text);
}

/* The file holds what some moment was, not before the last acknowledged one, and nothing half. */
static void check_moment(struct store_rig *rig, const struct tap *tap, size_t acked) {
  json_t *const tables = store_rig_tables(path, FAULT_VFS);
  (void)rig;
  size_t found = tap->count;
  for (size_t i = acked; i < tap->count && found == tap->count; i++) {
    if (json_equal(tables, tap->states[i])) found = i;
  }
  if (found == tap->count) {
    store_rig_same(tables, tap->states[acked]);
    fail_msg("the file (left) holds no moment from %zu to %zu; the first is right", acked, tap->count - 1);
  }
  json_decref(tables);
}

static void one_cut(uint64_t seed) {
  struct store_rig rig = {0};
  struct cox_rng rng;
  cox_rng_init(&rng, seed);
  fault_vfs_clear(seed);
  must_open(&rig);
  fault_vfs_plan(FAULT_DEAD, 1 + cox_rng_below(&rng, 8 * CHANGES), 0);
  bool goes_on = true;
  for (int i = 0; i < CHANGES && goes_on; i++) goes_on = store_rig_change(&rig, &rng) && !fault_vfs_has_struck();
  const size_t acked = rig.acked;
  struct tap tap = rig.tap; /* its states outlive the rig */
  rig.tap.count = 0;
  rig.tap.tables = NULL;
  cox_sqlite_store(rig.sqlite)->close(rig.sqlite);
  fake_destroy(rig.fake);
  cox_sqlite_destroy(rig.sqlite);
  fault_vfs_cut();
  check_moment(&rig, &tap, acked);
  for (size_t i = 0; i < tap.count; i++) json_decref(tap.states[i]);
  json_decref(tap.tables);
  json_decref(rig.model);
}

static void five_hundred_power_cuts_lose_nothing_acknowledged_and_leave_nothing_half(void **state) {
  (void)state;
  const uint64_t first = 20260801;
  printf("seeds from %llu\n", (unsigned long long)first);
  for (uint64_t i = 0; i < CUTS; i++) one_cut(first + i);
}

/* One life with a fault at the k-th write (or sync). Returns false when the life was over before. */
static bool one_fault(enum fault_kind kind, uint64_t at, uint64_t more) {
  struct store_rig rig = {0};
  struct cox_rng rng;
  cox_rng_init(&rng, at);
  fault_vfs_clear(at);
  must_open(&rig);
  fault_vfs_plan(kind, at, more);
  for (int i = 0; i < CHANGES; i++) {
    store_rig_change(&rig, &rng);
    store_rig_check_model(&rig); /* an error means that nothing has changed */
  }
  const bool has_struck = fault_vfs_has_struck();
  if (!has_struck) fault_vfs_plan(FAULT_NONE, 0, 0);
  assert_true(store_rig_recover(&rig));
  store_rig_check_model(&rig);
  assert_true(store_rig_change(&rig, &rng)); /* changes are accepted again */
  assert_true(store_rig_recover(&rig));
  json_t *const memory = store_rig_memory(&rig), *const model = json_incref(rig.model);
  fault_vfs_plan(FAULT_DEAD, 1, 0); /* the end writes nothing more: whatever failed before, what counts is on the disk now */
  store_rig_close(&rig);
  fault_vfs_cut();
  json_t *const tables = store_rig_tables(path, FAULT_VFS);
  if (!store_rig_same(tables, memory)) fail_msg("fault %d at %llu: file (left) and memory differ", (int)kind, (unsigned long long)at);
  json_decref(tables);
  json_decref(memory);
  must_open(&rig);
  store_rig_check_model(&rig);
  store_rig_close(&rig);
  json_decref(rig.model);
  json_decref(model);
  return has_struck;
}

static void every(enum fault_kind kind, uint64_t more) {
  uint64_t at = 1;
  while (one_fault(kind, at, more)) at++;
  assert_true(at > CHANGES); /* there was something to fail */
}

static void a_full_disk_at_any_write_is_an_error_and_no_half_change(void **state) {
  (void)state;
  every(FAULT_FULL, 0);
}

static void a_failing_write_at_any_place_is_an_error_and_no_half_change(void **state) {
  (void)state;
  every(FAULT_WRITE, 0);
}

static void a_disk_that_fails_for_a_while_is_waited_for(void **state) {
  (void)state;
  for (uint64_t at = 1; at < 40; at += 3) one_fault(FAULT_WRITE, at, 7);
  for (uint64_t at = 1; at < 40; at += 3) one_fault(FAULT_FULL, at, 7);
}

static void a_failing_sync_is_fatal_for_what_it_was_to_make_durable_and_for_nothing_else(void **state) {
  (void)state;
  every(FAULT_SYNC, 0);
  for (uint64_t at = 1; at < 12; at += 2) one_fault(FAULT_SYNC, at, 3);
}

static void a_disk_that_is_full_at_the_start_does_not_keep_the_fleet_from_starting(void **state) {
  (void)state;
  struct store_rig rig = {0};
  struct cox_rng rng;
  struct cox_err err;
  cox_rng_init(&rng, 9);
  fault_vfs_clear(9);
  must_open(&rig);
  for (int i = 0; i < 30; i++) assert_true(store_rig_change(&rig, &rng));
  store_rig_close(&rig);
  fault_vfs_plan(FAULT_FULL, 1, 50);
  must_open(&rig);
  assert_true(cox_broker_is_degraded(rig.fake->broker, &err));
  assert_non_null(strstr(err.text, "full"));
  store_rig_check_model(&rig);
  assert_int_equal(cox_broker_start_number(rig.fake->broker), 2);
  assert_true(store_rig_recover(&rig));
  assert_true(store_rig_change(&rig, &rng));
  store_rig_close(&rig);
  must_open(&rig);
  assert_int_equal(cox_broker_start_number(rig.fake->broker), 3); /* the second was written once that could be done */
  store_rig_check_model(&rig);
  store_rig_close(&rig);
  json_decref(rig.model);
}

static int setup(void **state) {
  (void)state;
  cox_log_setup((enum cox_log_level)(COX_LOG_ERROR + 1), false, 2); /* what fails here fails on purpose */
  fault_vfs_install();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(five_hundred_power_cuts_lose_nothing_acknowledged_and_leave_nothing_half),
      cmocka_unit_test(a_full_disk_at_any_write_is_an_error_and_no_half_change),
      cmocka_unit_test(a_failing_write_at_any_place_is_an_error_and_no_half_change),
      cmocka_unit_test(a_disk_that_fails_for_a_while_is_waited_for),
      cmocka_unit_test(a_disk_that_is_full_at_the_start_does_not_keep_the_fleet_from_starting),
      cmocka_unit_test(a_failing_sync_is_fatal_for_what_it_was_to_make_durable_and_for_nothing_else),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
