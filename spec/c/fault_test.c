/* Fault points and the count of held locks: what the simulator and the torture specs stand on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/lock.h"

static int teardown(void **state) {
  (void)state;
  cox_fault_disarm();
  return 0;
}

static void a_point_that_is_not_armed_is_never_hit(void **state) {
  (void)state;
  assert_false(cox_fault("spec.point"));
  assert_int_equal(cox_fault_arm("spec.other", 0, 0), 0);
  assert_false(cox_fault("spec.point"));
  assert_int_equal(cox_fault_visits("spec.point"), 0);
}

static void visits_are_skipped_hit_and_counted(void **state) {
  (void)state;
  assert_int_equal(cox_fault_arm("spec.point", 2, 1), 0);
  const bool expected[] = {false, false, true, false, false};
  for (size_t i = 0; i < 5; i++) assert_int_equal(cox_fault("spec.point"), expected[i]);
  assert_int_equal(cox_fault_visits("spec.point"), 5);
  assert_int_equal(cox_fault_arm("spec.point", 0, 0), 0); /* begins anew */
  for (int i = 0; i < 3; i++) assert_true(cox_fault("spec.point"));
  cox_fault_disarm();
  assert_false(cox_fault("spec.point"));
}

static void too_many_points_are_refused(void **state) {
  (void)state;
  static char names[COX_FAULTS_ARMED_MAX + 1][2];
  for (int i = 0; i <= COX_FAULTS_ARMED_MAX; i++) names[i][0] = (char)('A' + i);
  for (int i = 0; i < COX_FAULTS_ARMED_MAX; i++) assert_int_equal(cox_fault_arm(names[i], 0, 0), 0);
  assert_int_equal(cox_fault_arm(names[COX_FAULTS_ARMED_MAX], 0, 0), COX_EFULL);
  assert_int_equal(cox_fault_arm(names[0], 1, 1), 0); /* known already */
}

static void held_locks_are_counted(void **state) {
  (void)state;
  struct cox_mutex mutex;
  struct cox_rwlock lock;
  cox_mutex_init(&mutex);
  cox_rwlock_init(&lock);
  assert_int_equal(cox_lock_held(), 0);
  cox_mutex_lock(&mutex);
  cox_rwlock_read(&lock);
  assert_int_equal(cox_lock_held(), 2);
  cox_rwlock_read_unlock(&lock);
  cox_rwlock_write(&lock);
  assert_int_equal(cox_lock_held(), 2);
  cox_rwlock_write_unlock(&lock);
  cox_mutex_unlock(&mutex);
  assert_int_equal(cox_lock_held(), 0);
  cox_rwlock_fini(&lock);
  cox_mutex_fini(&mutex);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_point_that_is_not_armed_is_never_hit),
      TEST(visits_are_skipped_hit_and_counted),
      TEST(too_many_points_are_refused),
      TEST(held_locks_are_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
