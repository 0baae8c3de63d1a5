/* Look-ups of names cost a thread of libcurl each, which outlives its request: how many may be under way. And the heap of alarms. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "net/alarm.h"
#include "net/transfer.h"

static int64_t fake_us;
static int64_t mono_us(void *ctx) { return (void)ctx, fake_us; }
static const struct cox_clock fake_clock = {.mono_us = mono_us};

static struct cox_transfers transfers;
static int epoll_fd;
static const struct cox_io_request by_name = {.kind = COX_IO_HTTP, .method = "GET", .url = "http://node1.invalid/", .timeout_ms = 1000};

static int setup(void **state) {
  (void)state;
  fake_us = 1000000000;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  return cox_transfers_init(&transfers, epoll_fd, &fake_clock, 1000, NULL);
}

static int teardown(void **state) {
  (void)state;
  cox_transfers_fini(&transfers);
  close(epoll_fd);
  return 0;
}

static void addresses_are_never_held_up_by_names_that_are_looked_up(void **state) {
  (void)state;
  struct cox_transfer *looking[COX_TRANSFER_LOOKUPS_MAX];
  for (int i = 0; i < COX_TRANSFER_LOOKUPS_MAX; i++) {
    assert_int_equal(cox_transfers_room(&transfers, by_name.url), COX_ROOM_FREE);
    looking[i] = cox_transfer_start(&transfers, &by_name, NULL);
  }
  const char *const names[] = {"http://node2/x",
                               "https://user:pw@node2.example.org:8080/x", "node3", "http://1a.example/", "http://localhosts/"};
  const char *const addresses[] = {"http://127.0.0.1/x", "https://user:pw@10.0.0.1:8080/x", "http://[::1]:80/", "http://localhost:1/",
                                   "http://LOCALHOST", "10.1.2.3:80", "http://a@b@10.0.0.1/"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    assert_int_equal(cox_transfers_room(&transfers, names[i]), COX_ROOM_NO_LOOKUP);
  for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
    assert_int_equal(cox_transfers_room(&transfers, addresses[i]), COX_ROOM_FREE);
  for (int i = 0; i < COX_TRANSFER_LOOKUPS_MAX; i++) cox_transfer_stop(looking[i]);
  assert_int_equal(cox_transfers_room(&transfers, by_name.url), COX_ROOM_FREE);
}

static void look_ups_that_are_given_up_again_and_again_do_not_pile_up_threads(void **state) {
  (void)state;
  for (int i = 0; i < COX_TRANSFER_ABANDONED_MAX; i++) {
    assert_int_equal(cox_transfers_room(&transfers, by_name.url), COX_ROOM_FREE);
    struct cox_transfer *const transfer = cox_transfer_start(&transfers, &by_name, NULL);
    if (i % 2) cox_transfer_expire(transfer);
    cox_transfer_stop(transfer);
    fake_us += 1000;
  }
  assert_int_equal(transfers.lookups, 0);
  assert_int_equal(cox_transfers_room(&transfers, by_name.url), COX_ROOM_NO_LOOKUP);
  assert_int_equal(cox_transfers_room(&transfers, "http://127.0.0.1/x"), COX_ROOM_FREE);
  fake_us += 30000000 - COX_TRANSFER_ABANDONED_MAX * 1000; /* the first of them must have ended, the second may not */
  assert_int_equal(cox_transfers_room(&transfers, by_name.url), COX_ROOM_FREE);
  cox_transfer_stop(cox_transfer_start(&transfers, &by_name, NULL));
  assert_int_equal(cox_transfers_room(&transfers, by_name.url), COX_ROOM_NO_LOOKUP);
}

static void a_request_whose_time_is_over_while_its_name_is_looked_up_says_so(void **state) {
  (void)state;
  struct cox_transfer *const transfer = cox_transfer_start(&transfers, &by_name, NULL);
  cox_transfer_expire(transfer);
  cox_transfer_expire(transfer);
  const struct cox_io_reply reply = cox_transfer_reply(transfer);
  assert_int_equal(reply.class_, COX_CLASS_TIMEOUT);
  assert_string_equal(reply.error, "GET http://node1.invalid/: the name was not resolved within 1000 ms");
  cox_transfer_stop(transfer);
}

static void alarms_go_off_in_order_however_they_are_moved(void **state) {
  (void)state;
  enum { COUNT = 300 };
  struct cox_alarms alarms = {0};
  struct cox_alarm list[COUNT] = {{0}};
  struct cox_rng rng;
  const uint64_t seed = cox_rng_system_seed();
  printf("seed %llu\n", (unsigned long long)seed);
  cox_rng_init(&rng, seed);
  assert_int_equal(cox_alarms_reserve(&alarms, COUNT), 0);
  for (int i = 0; i < 20000; i++) {
    struct cox_alarm *const alarm = &list[cox_rng_below(&rng, COUNT)];
    cox_alarm_set(&alarms, alarm, cox_rng_below(&rng, 4) ? (int64_t)cox_rng_below(&rng, 1000) : INT64_MAX);
    if (cox_rng_below(&rng, 100) == 0) cox_alarms_take_due(&alarms, 500);
  }
  size_t set = 0;
  for (int i = 0; i < COUNT; i++) set += list[i].place != 0;
  int64_t last_us = -1;
  for (struct cox_alarm *alarm; (alarm = cox_alarms_take_due(&alarms, 1000)) != NULL; set--) {
    assert_true(alarm->at_us >= last_us);
    last_us = alarm->at_us;
    assert_int_equal(alarm->place, 0);
  }
  assert_int_equal(set, 0);
  assert_int_equal(cox_alarms_next(&alarms), INT64_MAX);
  cox_alarms_fini(&alarms);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(addresses_are_never_held_up_by_names_that_are_looked_up),
      TEST(look_ups_that_are_given_up_again_and_again_do_not_pile_up_threads),
      TEST(a_request_whose_time_is_over_while_its_name_is_looked_up_says_so),
      TEST(alarms_go_off_in_order_however_they_are_moved),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
