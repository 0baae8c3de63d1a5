/* The simulator's own parts: order of events, the shape that a seed makes, names. Whole lives: spec/sim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sim/world_private.h"

static struct cox_world *make(uint64_t seed, unsigned machines, unsigned without) {
  const struct cox_world_options options = {.seed = seed, .machines = machines, .without = without};
  struct cox_err err;
  struct cox_world *const world = cox_world_create(&options, &err);
  assert_non_null(world);
  return world;
}

static void events_come_by_time_and_then_in_the_order_in_which_they_were_planned(void **state) {
  (void)state;
  struct cox_world *const world = make(1, 2, 0);
  for (uint64_t i = 0; i < 1000; i++) cox_world_plan(world, 5000000 + (int64_t)(i * 7919 % 10), COX_EVENT_READER, i, 0);
  cox_world_plan(world, -5, COX_EVENT_READER, 1000, 0); /* the past is now */
  struct cox_world_event event, before = {0};
  for (size_t i = 0; i < 1001; i++) {
    assert_true(cox_world_next(world, &event));
    if (i == 0) assert_int_equal(event.id, 1000);
    assert_true(event.at_us > before.at_us || (event.at_us == before.at_us && event.order > before.order) || i == 0);
    before = event;
  }
  assert_false(cox_world_next(world, &event));
  cox_world_destroy(world);
}

static void a_seed_makes_the_same_world_whatever_is_left_out(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed < 30; seed++) {
    struct cox_world *const whole = make(seed, 0, 0), *const part = make(seed, 0, 1u << COX_WORLD_NETWORK | 1u << COX_WORLD_CHAIN);
    assert_int_equal(whole->machine_count, part->machine_count);
    assert_true(whole->machine_count >= 5 && whole->machine_count <= COX_WORLD_MACHINES_MAX);
    assert_int_equal(whole->block_us, part->block_us);
    for (unsigned i = 0; i < whole->machine_count; i++) {
      assert_memory_equal(&whole->machines[i].options, &part->machines[i].options, sizeof whole->machines[i].options);
    }
    cox_world_destroy(whole);
    cox_world_destroy(part);
  }
}

static void a_family_that_is_left_out_still_rolls_its_dice(void **state) {
  (void)state;
  struct cox_world *const whole = make(9, 3, 0), *const part = make(9, 3, 1u << COX_WORLD_NETWORK);
  whole->rate[COX_WORLD_NETWORK] = part->rate[COX_WORLD_NETWORK] = 1;
  bool has_hit = false;
  for (int i = 0; i < 100; i++) {
    has_hit = cox_world_roll(whole, COX_WORLD_NETWORK, 0.5) || has_hit;
    assert_false(cox_world_roll(part, COX_WORLD_NETWORK, 0.5));
  }
  assert_true(has_hit);
  assert_int_equal(cox_world_below(whole, COX_WORLD_NETWORK, 1u << 30), cox_world_below(part, COX_WORLD_NETWORK, 1u << 30));
  cox_world_destroy(whole);
  cox_world_destroy(part);
}

static void addresses_lead_to_machines(void **state) {
  (void)state;
  struct cox_world *const world = make(3, 3, 0);
  world->machines[1].options.is_split = true;
  world->machines[2].options.is_split = false;
  bool is_inference;
  const char *path;
  assert_int_equal(cox_world_find_machine(world, "http://10.0.0.1:8080/api/v1/state", &is_inference, &path), 1);
  assert_false(is_inference);
  assert_string_equal(path, "/api/v1/state");
  assert_int_equal(cox_world_find_machine(world, "http://10.0.0.1:5050/health", &is_inference, &path), 1);
  assert_true(is_inference);
  static const char *const nobody[] = {"http://10.0.0.2:5050/health", "http://10.0.0.3:8080/x", "http://10.0.0.1:81/x",
                                       "http://10.0.0.1:8080", "ftp://10.0.0.1:8080/x"};
  for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
    assert_int_equal(cox_world_find_machine(world, nobody[i], &is_inference, &path), -1);
  }
  cox_world_destroy(world);
}

static void too_many_machines_are_refused(void **state) {
  (void)state;
  struct cox_err err = {0};
  assert_null(cox_world_create(&(struct cox_world_options){.seed = 1, .machines = 101}, &err));
  assert_non_null(strstr(err.text, "at most 100"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(events_come_by_time_and_then_in_the_order_in_which_they_were_planned),
      cmocka_unit_test(a_seed_makes_the_same_world_whatever_is_left_out),
      cmocka_unit_test(a_family_that_is_left_out_still_rolls_its_dice),
      cmocka_unit_test(addresses_lead_to_machines),
      cmocka_unit_test(too_many_machines_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
