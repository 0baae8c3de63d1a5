/* Who waits is served in order and in turns, and told why when it is not. */
#include "lease_rig.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1, LIGHT = 16, HEAVY = 160, SERVICES = 4000, MANY = 10000 };

static struct fake *f;

struct request {
  struct cox_lease_wait wait;
  struct cox_lease_ask ask;
  int rc;
  bool is_done;
  struct cox_lease_id id;
  int since; /* when it began to wait, in services */
};

static struct request requests[MANY];
static struct request *order[MANY]; /* as they were served */
static int orders;

static int setup(void **state) {
  (void)state;
  f = lease_fake(NULL);
  orders = 0;
  memset(requests, 0, sizeof requests);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  cox_lease_stop(f->broker); /* a failed test leaves some waiting */
  fake_destroy(f);
  return 0;
}

static void done(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  struct request *const request = (struct request *)(void *)wait;
  request->is_done = true;
  request->rc = rc;
  order[orders++ % MANY] = request;
  if (rc != 0) return;
  struct cox_lease_grant mine = *grant;
  request->id = grant->id;
  cox_lease_grant_fini(&mine);
}

/* False: it got a slot at once, or was refused: see rc. */
static bool begin(struct request *request, const char *tenant, int64_t wait_ms) {
  struct cox_lease_grant grant;
  *request = (struct request){.wait.done = done, .ask = {.model = "m", .tenant = tenant, .skip = request->ask.skip, .skips = request->ask.skips}};
  const int rc = cox_lease_acquire(f->broker, &request->ask, wait_ms, &request->wait, &grant, NULL);
  if (rc == COX_LEASE_WAITS) return true; /* it may have been served meanwhile */
  request->rc = rc;
  if (request->rc == 0) {
    request->id = grant.id;
    cox_lease_grant_fini(&grant);
  }
  return false;
}

static void end(const struct request *request) {
  assert_int_equal(cox_lease_release(f->broker, request->id, COX_LEASE_UNSAID, NULL), 0);
}

static void tenants_take_turns_and_each_is_served_in_its_order(void **state) {
  (void)state;
  static const char *const tenants[] = {"a", "a", "a", "b", "b", "c"};
  static const int expected[] = {1, 4, 6, 2, 5, 3};
  lease_serve(f, "node1", 5000, 1, "m", "");
  assert_false(begin(&requests[0], "x", 0));
  for (int i = 0; i < 6; i++) assert_true(begin(&requests[i + 1], tenants[i], 1000));
  const struct request *now = &requests[0];
  for (int i = 0; i < 6; i++) {
    end(now);
    assert_int_equal(orders, i + 1);
    assert_ptr_equal(order[i], &requests[expected[i]]);
    now = order[i];
  }
  end(now);
  assert_int_equal(lease_active(f), 0);
}

static void nobody_passes_those_who_wait(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 1, "m", "");
  static const char *const skip[] = {"b"};
  assert_false(begin(&requests[0], "x", 0));
  requests[1].ask.skip = skip;
  requests[1].ask.skips = 1;
  assert_true(begin(&requests[1], "x", 1000));
  lease_serve(f, "b", 5001, 1, "m", ""); /* free, but not for the one that waits */
  assert_false(begin(&requests[2], "x", 0));
  assert_int_equal(requests[2].rc, COX_EBUSY);
  assert_true(begin(&requests[3], "x", 1000));  /* behind it, of the same tenant */
  assert_false(requests[3].is_done);
  assert_true(begin(&requests[4], "y", 1000));  /* another tenant's turn: served at once */
  assert_true(requests[4].is_done && requests[4].rc == 0);
  assert_true(cox_lease_cancel(f->broker, &requests[1].wait));
  end(&requests[4]);
  fake_run(f);
  assert_true(requests[3].is_done && requests[3].rc == 0);
  assert_int_equal(lease_waiters(f), 0);
}

static void a_deadline_ends_the_wait_and_no_slot_comes_later(void **state) {
  (void)state;
  lease_serve(f, "node1", 5000, 1, "m", "");
  assert_false(begin(&requests[0], "x", 0));
  assert_true(begin(&requests[1], "x", 500));
  assert_true(begin(&requests[2], "x", 5000));
  fake_pass_time(f, 0.49);
  assert_false(requests[1].is_done);
  fake_pass_time(f, 0.03);
  assert_true(requests[1].is_done);
  assert_int_equal(requests[1].rc, COX_ETIME);
  assert_false(cox_lease_cancel(f->broker, &requests[1].wait));
  end(&requests[0]);
  assert_true(requests[2].is_done && requests[2].rc == 0);
}

static void too_many_who_wait_are_refused(void **state) {
  (void)state;
  fake_destroy(f);
  f = lease_fake(&(struct cox_lease_options){.waiters_max = 2});
  lease_serve(f, "node1", 5000, 1, "m", "");
  assert_false(begin(&requests[0], "x", 0));
  assert_true(begin(&requests[1], "x", 1000) && begin(&requests[2], "y", 1000));
  assert_false(begin(&requests[3], "z", 1000));
  assert_int_equal(requests[3].rc, COX_EFULL);
  assert_false(begin(&requests[3], "z", COX_LEASE_WAIT_MAX_MS + 1));
  assert_int_equal(requests[3].rc, COX_EINVAL);
  cox_lease_stop(f->broker);
  assert_int_equal(requests[1].rc, COX_ESTOPPED);
  assert_int_equal(requests[2].rc, COX_ESTOPPED);
}

static void a_node_that_becomes_ready_serves_all_that_it_can(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 1, "m", "");
  assert_false(begin(&requests[0], "x", 0));
  for (int i = 1; i <= 200; i++) assert_true(begin(&requests[i], i % 2 ? "x" : "y", 1000));
  lease_serve(f, "b", 5001, 150, "m", "");
  assert_int_equal(orders, 150);
  fake_send(f, "update", json_pack("{so}", "node", lease_node("b", 5001, 170, "m", "")));
  assert_int_equal(orders, 170);
  assert_int_equal(lease_waiters(f), 30);
  fake_send(f, "remove", json_pack("{ss}", "node_id", "b"));
  end(&requests[0]);
  assert_int_equal(orders, 171);
  fake_pass_time(f, 2);
  assert_int_equal(orders, 200);
}

static void ten_thousand_wait_and_are_served_one_by_one(void **state) {
  (void)state;
  lease_serve(f, "node1", 5000, 1, "m", "");
  assert_false(begin(&requests[0], "x", 0));
  char tenants[7][4];
  for (int i = 0; i < 7; i++) snprintf(tenants[i], sizeof tenants[i], "t%d", i);
  for (int i = 1; i < MANY; i++) assert_true(begin(&requests[i], tenants[i % 7], 600000));
  assert_int_equal(lease_waiters(f), MANY - 1);
  const struct request *now = &requests[0];
  for (int i = 0; i < MANY - 1; i++) {
    end(now);
    assert_int_equal(orders, i + 1);
    now = order[i];
  }
  end(now);
  assert_int_equal(lease_active(f), 0);
}

static int by_value(const void *left, const void *right) { return *(const int *)left - *(const int *)right; }

/* A closed loop: each tenant always has so many requests under way, and each service ends one step after it began. The p99 of the
 * light one's waits, in services.                                                                                               */
static int p99_of_light(int heavy) {
  static int waits[SERVICES];
  struct request *running[SLOTS] = {0};
  int count = 0, now = 0, runs = 0;
  const int all = LIGHT + heavy;
  orders = 0;
  for (int i = 0; i < all; i++) {
    requests[i].ask.skips = 0;
    if (!begin(&requests[i], i < LIGHT ? "light" : "heavy", 600000)) running[runs++] = &requests[i];
  }
  assert_int_equal(runs, SLOTS);
  for (; now < SERVICES; now++) {
    struct request *const ended = running[now % SLOTS];
    const int before = orders;
    end(ended);
    assert_int_equal(orders, before + 1);
    running[now % SLOTS] = order[before % MANY];
    if (running[now % SLOTS] < &requests[LIGHT] && now > SERVICES / 4) waits[count++] = now - running[now % SLOTS]->since;
    begin(ended, ended < &requests[LIGHT] ? "light" : "heavy", 600000);
    ended->since = now;
  }
  for (int i = 0; i < all; i++) cox_lease_cancel(f->broker, &requests[i].wait);
  for (int i = 0; i < SLOTS; i++) end(running[i]);
  qsort(waits, (size_t)count, sizeof *waits, by_value);
  return waits[count * 99 / 100];
}

static void a_tenant_with_ten_times_the_load_costs_the_other_at_most_half_of_the_node(void **state) {
  (void)state;
  lease_serve(f, "node1", 5000, SLOTS, "m", "");
  const int alone = p99_of_light(0), beside = p99_of_light(HEAVY);
  print_message("p99 wait of the light tenant: %d services alone, %d beside ten times its load\n", alone, beside);
  assert_true(alone > 0);
  assert_in_range(beside + 1, 0, 2 * (alone + 1)); /* with the service itself */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(tenants_take_turns_and_each_is_served_in_its_order, setup, teardown),
      cmocka_unit_test_setup_teardown(nobody_passes_those_who_wait, setup, teardown),
      cmocka_unit_test_setup_teardown(a_deadline_ends_the_wait_and_no_slot_comes_later, setup, teardown),
      cmocka_unit_test_setup_teardown(too_many_who_wait_are_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_node_that_becomes_ready_serves_all_that_it_can, setup, teardown),
      cmocka_unit_test_setup_teardown(ten_thousand_wait_and_are_served_one_by_one, setup, teardown),
      cmocka_unit_test_setup_teardown(a_tenant_with_ten_times_the_load_costs_the_other_at_most_half_of_the_node, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
