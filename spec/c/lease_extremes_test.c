/* Leases at the ends of what may come: very many, odd names, clocks that are set, limits that change below what is held. */
#include "lease_rig.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { MANY = 100000 };
#else
enum { MANY = 1000000 };
#endif
enum { NODES = 100 };

static struct fake *f;
static int64_t wall_ms;

static int64_t set_wall_ms(void *ctx) {
  (void)ctx;
  return wall_ms;
}

static int setup(void **state) {
  (void)state;
  f = lease_fake(NULL);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(f);
  return 0;
}

static void where_a_lease_leads_is_ready_for_an_answer_whatever_its_name(void **state) {
  (void)state;
  lease_serve(f, "no\"de\\ ä/1", 5000, 1, "m", "");
  struct cox_lease_grant grant;
  char text[512];
  assert_int_equal(lease_take(f, "m", &grant), 0);
  assert_int_equal(strlen(grant.place->shown), grant.place->shown_len);
  snprintf(text, sizeof text, "{%s}", grant.place->shown);
  json_t *const object = json_loads(text, 0, NULL);
  assert_int_equal(json_object_size(object), 3);
  assert_string_equal(json_string_value(json_object_get(object, "node_id")), grant.place->node_id);
  assert_string_equal(json_string_value(json_object_get(object, "inference_url")), grant.place->inference_url);
  assert_string_equal(json_string_value(json_object_get(object, "poc_url")), grant.place->poc_url);
  json_decref(object);
  cox_lease_grant_fini(&grant);
  assert_int_equal(cox_lease_release(f->broker, grant.id, COX_LEASE_UNSAID, NULL), 0);
}

/* As many as the limit allows: none is lost, none too many, and they all end when their time is up. */
static void a_million_live_at_once_and_end_in_time(void **state) {
  (void)state;
  char id[16];
  for (int i = 0; i < NODES; i++) {
    snprintf(id, sizeof id, "node%d", i);
    lease_serve(f, id, 5000 + i, MANY / NODES + 1, "m", "");
  }
  const struct cox_lease_ask ask = {.model = "m", .ttl_ms = 60000};
  struct cox_lease_id *const ids = malloc(MANY * sizeof *ids);
  struct cox_lease_grant grant;
  for (int i = 0; i < MANY; i++) {
    if (cox_lease_acquire(f->broker, &ask, 0, NULL, &grant, NULL) != 0) fail_msg("lease %d was refused", i);
    ids[i] = grant.id;
    cox_lease_grant_fini(&grant);
  }
  assert_int_equal(lease_active(f), MANY);
  if ((int)MANY == (int)COX_LEASE_MAX) assert_int_equal(lease_take(f, "m", &grant), COX_EFULL);
  for (int i = 0; i < NODES; i++) {
    snprintf(id, sizeof id, "node%d", i);
    assert_int_equal(lease_count(f, id), MANY / NODES);
  }
  for (int i = 0; i < MANY; i += 2) assert_int_equal(cox_lease_release(f->broker, ids[i], COX_LEASE_SUCCESS, NULL), 0);
  assert_int_equal(lease_active(f), MANY / 2);
  fake_pass_time(f, 60.5);
  assert_int_equal(lease_active(f), 0);
  assert_int_equal(cox_lease_release(f->broker, ids[1], COX_LEASE_SUCCESS, NULL), COX_EGONE);
  free(ids);
}

/* Leases live by the clock that only goes forward; what is told to people follows the one that is set. */
static void a_wall_clock_that_is_set_moves_no_end(void **state) {
  (void)state;
  wall_ms = 1000000000000;
  f->clock.wall_ms = set_wall_ms;
  lease_serve(f, "a", 5000, 2, "m", "");
  struct cox_lease_grant first, second;
  fake_pass_time(f, 1);
  assert_int_equal(lease_take(f, "m", &first), 0);
  for (int i = 0; i < 2; i++) {
    wall_ms = i == 0 ? 1000 : 4000000000000;
    fake_pass_time(f, 400);
    assert_int_equal(lease_count(f, "a"), 1);
  }
  assert_int_equal(lease_take(f, "m", &second), 0);
  assert_true(second.expires_ms > 4000000000000 && second.expires_ms <= 4000000000000 + COX_LEASE_TTL_MS + 1000);
  fake_pass_time(f, COX_LEASE_TTL_MS / 1000 - 800 + 1);
  assert_int_equal(lease_count(f, "a"), 1); /* the first one's time is up, the other's is not */
  cox_lease_grant_fini(&first);
  cox_lease_grant_fini(&second);
}

/* Never negative, never above: whatever is done to the node meanwhile. */
static void a_limit_below_what_is_held_and_a_node_that_comes_again_keep_the_count_right(void **state) {
  (void)state;
  struct cox_lease_grant grant[8], one;
  lease_serve(f, "a", 5000, 8, "m", "");
  for (int i = 0; i < 8; i++) assert_int_equal(lease_take(f, "m", &grant[i]), 0);
  fake_send(f, "update", json_pack("{so}", "node", lease_node("a", 5000, 2, "m", "")));
  for (int left = 8; left > 2; left--) {
    assert_int_equal(lease_take(f, "m", &one), COX_EBUSY);
    assert_int_equal(lease_count(f, "a"), left);
    assert_int_equal(cox_lease_release(f->broker, grant[left - 1].id, COX_LEASE_SUCCESS, NULL), 0);
  }
  assert_int_equal(lease_take(f, "m", &one), COX_EBUSY);
  fake_send(f, "remove", json_pack("{ss}", "node_id", "a"));
  lease_serve(f, "a", 5000, 1, "m", "");
  for (int i = 0; i < 8; i++) {
    assert_int_equal(cox_lease_release(f->broker, grant[i].id, COX_LEASE_SUCCESS, NULL), COX_EGONE);
    cox_lease_grant_fini(&grant[i]);
  }
  assert_int_equal(lease_count(f, "a"), 0);
  assert_int_equal(lease_take(f, "m", &one), 0);
  assert_int_equal(lease_count(f, "a"), 1);
  cox_lease_grant_fini(&one);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(where_a_lease_leads_is_ready_for_an_answer_whatever_its_name),
      TEST(a_million_live_at_once_and_end_in_time),
      TEST(a_wall_clock_that_is_set_moves_no_end),
      TEST(a_limit_below_what_is_held_and_a_node_that_comes_again_keep_the_count_right),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
