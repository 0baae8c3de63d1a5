/* What a sceptic tries on leases: versions beside each other, trials that say nothing, nodes that go while their slot is handed out. */
#include "lease_rig.h"

#include <string.h>

#include "core/engine.h"
#include "core/lease_private.h"

enum { KEYS = 400, OLD = 7, CAP = 100 };

static struct fake *f;

static int setup(void **state) {
  (void)state;
  f = lease_fake(NULL);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  cox_lease_stop(f->broker);
  fake_destroy(f);
  return 0;
}

/* ---- affinity ---- */

static void serve_old_ones(void) {
  char id[16];
  for (int i = 0; i < OLD; i++) {
    snprintf(id, sizeof id, "n%d", i);
    lease_serve(f, id, 5000 + i, CAP, "m", "1.0.0");
  }
}

/* Where each key leads while nothing is held; returns how many lead to `counted`. */
static int find_homes(char homes[KEYS][16], const char *counted) {
  char key[16];
  int count = 0;
  for (int i = 0; i < KEYS; i++) {
    struct cox_lease_grant grant;
    snprintf(key, sizeof key, "key %d", i);
    assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .affinity = key}, &grant), 0);
    snprintf(homes[i], sizeof homes[i], "%s", grant.place->node_id);
    count += strcmp(homes[i], counted) == 0;
    assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
  }
  return count;
}

static void a_node_of_a_new_version_takes_its_share_of_the_keys_and_no_more(void **state) {
  (void)state;
  static char before[KEYS][16], after[KEYS][16];
  serve_old_ones();
  assert_int_equal(find_homes(before, "new"), 0);
  lease_serve(f, "new", 5100, CAP, "m", "2.0.0");
  assert_in_range(find_homes(after, "new"), KEYS / 24, KEYS / 4); /* an eighth of the fleet */
  int moved = 0;
  for (int i = 0; i < KEYS; i++) moved += strcmp(before[i], after[i]) != 0;
  assert_in_range(moved, 1, KEYS * 2 / 5);
}

static void affinity_loads_no_node_above_its_share_of_all_versions(void **state) {
  (void)state;
  char text[16];
  struct cox_lease_grant grant;
  serve_old_ones();
  lease_serve(f, "new", 5100, CAP, "m", "2.0.0");
  for (int i = 0; i < 160; i++) {
    snprintf(text, sizeof text, "key %d", i % 3);
    assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .affinity = text}, &grant), 0);
    cox_lease_grant_fini(&grant);
  }
  assert_in_range(lease_count(f, "new"), 0, 26); /* 125 % of the mean of 20, rounded up */
  for (int i = 0; i < OLD; i++) {
    snprintf(text, sizeof text, "n%d", i);
    assert_in_range(lease_count(f, text), 0, 26);
  }
}

static void affinity_keeps_to_the_version_that_is_asked_for(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  serve_old_ones();
  lease_serve(f, "new", 5100, 2, "m", "2.0.0");
  const struct cox_lease_ask ask = {.model = "m", .affinity = "k", .version = "2.0.0"};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(lease_ask_for(f, &ask, &grant), 0);
    assert_string_equal(grant.place->node_id, "new");
    cox_lease_grant_fini(&grant);
  }
  assert_int_equal(lease_ask_for(f, &ask, &grant), COX_EBUSY);
}

/* ---- the breaker ---- */

/* What the journal says of a node's ejections, in the order in which it was written. */
static json_t *notices(const char *op) {
  json_t *const events = cox_broker_events_json(f->broker, 0, 1000, NULL), *const found = json_array(), *record;
  size_t i;
  json_array_foreach(json_object_get(events, "events"), i, record) {
    const char *const name = json_string_value(json_object_get(record, "op"));
    if (name != NULL && strcmp(name, op) == 0) json_array_append(found, record);
  }
  json_decref(events);
  return found;
}

static const char *const only_a_skips[] = {"b"};
static const struct cox_lease_ask only_a = {.model = "m", .skip = only_a_skips, .skips = 1};

/* Leaves a in the state where one request decides. */
static void eject_a(void) {
  struct cox_lease_grant grant;
  lease_serve(f, "a", 5000, 10, "m", "");
  lease_serve(f, "b", 5001, 10, "m", "");
  for (int i = 0; i < 5; i++) {
    assert_int_equal(lease_ask_for(f, &only_a, &grant), 0);
    assert_int_equal(lease_give_back(f, &grant, COX_LEASE_TRANSPORT_ERROR), 0);
  }
  assert_int_equal(lease_ask_for(f, &only_a, &grant), COX_EBUSY);
  fake_pass_time(f, 10.2);
}

static void a_trial_that_never_says_how_it_went_is_not_waited_for_for_ever(void **state) {
  (void)state;
  struct cox_lease_grant silent, second, none;
  eject_a();
  struct cox_lease_ask long_lease = only_a;
  long_lease.ttl_ms = COX_LEASE_TTL_MAX_MS;
  assert_int_equal(lease_ask_for(f, &long_lease, &silent), 0);
  fake_pass_time(f, 299);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY);
  assert_string_equal(lease_reason(f, &only_a, "a"), "ejected after failed requests: one trial request is under way");
  fake_pass_time(f, 2);
  assert_int_equal(lease_ask_for(f, &only_a, &second), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY); /* one at a time all the same */
  assert_int_equal(lease_give_back(f, &silent, COX_LEASE_TIMEOUT), 0); /* it decides nothing any more */
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY);
  assert_int_equal(lease_give_back(f, &second, COX_LEASE_SUCCESS), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &second), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &none), 0);
  lease_give_back(f, &second, COX_LEASE_UNSAID);
  lease_give_back(f, &none, COX_LEASE_UNSAID);
}

static void a_trial_whose_lease_expires_makes_room_for_the_next(void **state) {
  (void)state;
  struct cox_lease_grant grant, none;
  eject_a();
  struct cox_lease_ask brief = only_a;
  brief.ttl_ms = 1000;
  assert_int_equal(lease_ask_for(f, &brief, &grant), 0);
  cox_lease_grant_fini(&grant);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY);
  fake_pass_time(f, 1.5);
  assert_int_equal(lease_ask_for(f, &only_a, &grant), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
}

static void each_ejection_and_its_end_are_told_with_their_reason(void **state) {
  (void)state;
  struct cox_lease_grant trial;
  eject_a();
  assert_int_equal(lease_ask_for(f, &only_a, &trial), 0);
  assert_int_equal(lease_give_back(f, &trial, COX_LEASE_TIMEOUT), 0);
  fake_pass_time(f, 20.2);
  assert_int_equal(lease_ask_for(f, &only_a, &trial), 0);
  assert_int_equal(lease_give_back(f, &trial, COX_LEASE_SUCCESS), 0);
  fake_run(f);
  json_t *const out = notices("eject"), *const back = notices("readmit");
  static const char *const why[] = {"5 failed requests in a row, the last one transport_error: not leased for 10 s",
                                    "its trial request failed (timeout): not leased for another 20 s"};
  assert_int_equal(json_array_size(out), 2);
  for (size_t i = 0; i < 2; i++) {
    assert_string_equal(json_string_value(json_object_get(json_array_get(out, i), "reason")), why[i]);
    assert_string_equal(json_string_value(json_object_get(json_array_get(out, i), "node_id")), "a");
  }
  assert_int_equal(json_array_size(back), 1);
  assert_string_equal(json_string_value(json_object_get(json_array_get(back, 0), "reason")), "its trial request succeeded");
  json_decref(out);
  json_decref(back);
}

static void no_more_are_ejected_than_the_share_that_was_set(void **state) {
  (void)state;
  static const char *const ids[] = {"a", "b", "c"};
  fake_destroy(f);
  f = lease_fake(&(struct cox_lease_options){.eject_share = 0.7, .eject_after = 2});
  for (int i = 0; i < 3; i++) lease_serve(f, ids[i], 5000 + i, 10, "m", "");
  for (int i = 0; i < 3; i++) {
    const char *const skip[] = {ids[(i + 1) % 3], ids[(i + 2) % 3]};
    const struct cox_lease_ask ask = {.model = "m", .skip = skip, .skips = 2};
    struct cox_lease_grant grant;
    for (int k = 0; k < 2; k++) {
      assert_int_equal(lease_ask_for(f, &ask, &grant), 0);
      assert_int_equal(lease_give_back(f, &grant, COX_LEASE_TIMEOUT), 0);
    }
    assert_int_equal(lease_ask_for(f, &ask, &grant), i < 2 ? COX_EBUSY : 0); /* seven tenths of three: two */
    if (i == 2) lease_give_back(f, &grant, COX_LEASE_UNSAID);
  }
  fake_intend(f, "c", json_pack("{ss}", "status", "STOPPED"));
  struct cox_lease_stats stats;
  cox_lease_stats(f->broker, &stats);
  assert_int_equal(stats.ejected, 0); /* seven tenths of two: one, and two were out */
}

/* ---- drain ---- */

static void a_drain_without_leases_begins_at_once(void **state) {
  (void)state;
  fake_serving(f);
  fake_intend(f, "node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 60.0));
  assert_non_null(fake_open(f, "node1"));
}

static void a_drain_that_is_called_off_leaves_the_node_serving(void **state) {
  (void)state;
  struct cox_lease_grant grant, second;
  fake_serving(f);
  assert_int_equal(lease_take(f, "m", &grant), 0);
  fake_intend(f, "node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 60.0));
  assert_int_equal(lease_take(f, "m", &second), COX_EBUSY);
  assert_string_equal(lease_reason(f, &(struct cox_lease_ask){.model = "m"}, "node1"), "it is to do something else than inference");
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  if (fake_open(f, "node1") != NULL) fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_int_equal(lease_take(f, "m", &second), 0);
  fake_pass_time(f, 100);
  assert_null(fake_open(f, "node1")); /* nothing is left of the drain */
  assert_int_equal(lease_give_back(f, &second, COX_LEASE_SUCCESS), 0);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_SUCCESS), 0);
  fake_run(f);
  assert_null(fake_open(f, "node1"));
}

static void see_block(int height) {
  fake_send(f, "block", json_pack("{si, sb, si, si, s{si, si, si, si}}", "height", height, "synced", 1, "epoch", 3, "poc_start_height", 100,
                                  "params", "epoch_length", 1000, "poc_stage_duration", 60, "poc_validation_delay", 5,
                                  "poc_validation_duration", 20));
  fake_pass_time(f, 1.1);
}

static void a_proof_that_runs_is_not_missed_for_a_lease(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  fake_serving(f);
  assert_int_equal(lease_take(f, "m", &grant), 0);
  see_block(100);
  json_t *const target = fake_target("POC", "GENERATING");
  json_object_set_new(target, "drain_s", json_real(500));
  fake_intend(f, "node1", target);
  see_block(106); /* a tenth of its first stage */
  assert_null(fake_open(f, "node1"));
  see_block(107);
  assert_non_null(fake_open(f, "node1"));
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_SUCCESS), 0);
}

static void a_stop_while_others_prove_lets_its_leases_end(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  fake_serving(f);
  assert_int_equal(lease_take(f, "m", &grant), 0);
  see_block(140);
  fake_intend(f, "node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 500.0));
  see_block(141);
  assert_null(fake_open(f, "node1"));
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_SUCCESS), 0);
  fake_run(f);
  assert_non_null(fake_open(f, "node1"));
}

static void a_removed_node_ends_its_drain_with_its_leases(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  fake_serving(f);
  assert_int_equal(lease_take(f, "m", &grant), 0);
  fake_intend(f, "node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 60.0));
  fake_send(f, "remove", json_pack("{ss}", "node_id", "node1"));
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_SUCCESS), COX_EGONE);
  fake_pass_time(f, 100);
  assert_null(fake_open(f, "node1"));
  assert_int_equal(lease_active(f), 0);
}

/* ---- who waits ---- */

struct waiter {
  struct cox_lease_wait wait;
  struct cox_lease_ask ask;
  int calls, rc;
  bool removes; /* the node, as soon as it is served */
};

static void served(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  struct waiter *const waiter = (struct waiter *)(void *)wait;
  waiter->calls++;
  waiter->rc = rc;
  if (rc != 0) return;
  struct cox_lease_grant mine = *grant;
  cox_lease_grant_fini(&mine);
  if (waiter->removes) fake_send(f, "remove", json_pack("{ss}", "node_id", "a"));
}

static void wait_for(struct waiter *waiter, const char *version) {
  struct cox_lease_grant grant;
  waiter->wait.done = served;
  waiter->ask = (struct cox_lease_ask){.model = "m", .version = version};
  assert_int_equal(cox_lease_acquire(f->broker, &waiter->ask, 60000, &waiter->wait, &grant, NULL), COX_LEASE_WAITS);
}

static void a_slot_that_is_handed_out_while_its_node_goes_is_counted_no_longer(void **state) {
  (void)state;
  fake_destroy(f);
  f = lease_fake(&(struct cox_lease_options){.max = 2});
  static struct waiter waiters[3];
  memset(waiters, 0, sizeof waiters);
  lease_serve(f, "a", 5000, 2, "m", "1.0.0");
  wait_for(&waiters[0], "9.9.9"); /* keeps the others waiting beside free slots */
  wait_for(&waiters[1], NULL);
  wait_for(&waiters[2], NULL);
  waiters[1].removes = true;
  assert_true(cox_lease_cancel(f->broker, &waiters[0].wait));
  int64_t next_us;
  cox_lease_turn(f->broker, &next_us); /* serves both: the first one's answer removes the node before the second is entered */
  assert_true(waiters[1].calls == 1 && waiters[1].rc == 0 && waiters[2].calls == 1);
  fake_run(f);
  fake_pass_time(f, 1);
  assert_int_equal(lease_active(f), 0);
  lease_serve(f, "b", 5001, 2, "m", "");
  struct cox_lease_grant grant[2];
  for (int i = 0; i < 2; i++) assert_int_equal(lease_take(f, "m", &grant[i]), 0); /* none of the two is lost */
  for (int i = 0; i < 2; i++) assert_int_equal(lease_give_back(f, &grant[i], COX_LEASE_UNSAID), 0);
}

static void who_waits_while_there_are_too_many_leases_is_served_when_there_are_fewer(void **state) {
  (void)state;
  fake_destroy(f);
  f = lease_fake(&(struct cox_lease_options){.max = 2});
  static struct waiter waiter;
  struct cox_lease_grant grant[2];
  memset(&waiter, 0, sizeof waiter);
  lease_serve(f, "b", 5001, 2, "n", "");
  assert_int_equal(fake_send(f, "register", json_pack("{so}", "node", lease_node("a", 5000, 1, "m", ""))), COX_ANSWER_DONE);
  wait_for(&waiter, NULL);
  for (int i = 0; i < 2; i++) assert_int_equal(lease_take(f, "n", &grant[i]), 0);
  fake_intend(f, "a", fake_target("INFERENCE", NULL));
  fake_finish(f, "a", COX_CLASS_NONE, NULL);
  assert_int_equal(waiter.calls, 0); /* its node is free, and there are as many leases as there may be */
  assert_int_equal(lease_give_back(f, &grant[0], COX_LEASE_SUCCESS), 0); /* of another model */
  fake_pass_time(f, 0.1);
  assert_int_equal(waiter.calls, 1);
  assert_int_equal(waiter.rc, 0);
  assert_int_equal(lease_active(f), 2);
  assert_int_equal(lease_give_back(f, &grant[1], COX_LEASE_SUCCESS), 0);
}

static void a_free_slot_that_others_wait_beside_is_said_to_be_kept_for_them(void **state) {
  (void)state;
  static struct waiter waiter;
  memset(&waiter, 0, sizeof waiter);
  lease_serve(f, "a", 5000, 2, "m", "1.0.0");
  wait_for(&waiter, "9.9.9");
  struct cox_lease_grant grant;
  const struct cox_lease_ask ask = {.model = "m"};
  assert_int_equal(lease_ask_for(f, &ask, &grant), COX_EBUSY);
  assert_string_equal(lease_reason(f, &ask, "a"), "free, but kept for the 1 requests that wait for its model: wait with them (wait_ms)");
  assert_true(cox_lease_cancel(f->broker, &waiter.wait));
  assert_int_equal(lease_ask_for(f, &ask, &grant), 0);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
}

/* ---- ids ---- */

static void an_id_that_no_start_gave_out_is_not_taken_over(void **state) {
  (void)state;
  struct cox_err err;
  lease_serve(f, "a", 5000, 1, "m", "");
  const struct cox_lease_id none = {0, 0}, zero = {0xabcdef, 0x123456789}, earlier = {(uint64_t)6 << 32 | 1, 2};
  assert_int_equal(cox_lease_renew(f->broker, none, 60000, "a", NULL, NULL, &err), COX_ENOENT);
  assert_int_equal(cox_lease_renew(f->broker, zero, 60000, "a", NULL, NULL, &err), COX_ENOENT);
  assert_non_null(strstr(err.text, "never gave it out"));
  assert_int_equal(lease_count(f, "a"), 0);
  assert_int_equal(cox_lease_renew(f->broker, earlier, 60000, NULL, NULL, NULL, &err), COX_ENOENT);
  assert_non_null(strstr(err.text, "renew it with the node_id"));
  assert_int_equal(cox_lease_release(f->broker, earlier, COX_LEASE_SUCCESS, &err), COX_ENOENT);
  assert_int_equal(lease_count(f, "a"), 0);
}

static void nodes_that_come_and_go_use_the_same_place_again(void **state) {
  (void)state;
  lease_serve(f, "stays", 5000, 1, "m", "");
  for (int i = 0; i < 100; i++) {
    lease_serve(f, "a", 5001, 1, "m", "");
    fake_send(f, "remove", json_pack("{ss}", "node_id", "a"));
  }
  struct cox_leases *const leases = f->broker->leases;
  cox_mutex_lock(&leases->mutex);
  const uint32_t used = cox_index_model_locked(leases, "m")->groups->tree.used;
  cox_mutex_unlock(&leases->mutex);
  assert_int_equal(used, 2);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_node_of_a_new_version_takes_its_share_of_the_keys_and_no_more),
      TEST(affinity_loads_no_node_above_its_share_of_all_versions),
      TEST(affinity_keeps_to_the_version_that_is_asked_for),
      TEST(a_trial_that_never_says_how_it_went_is_not_waited_for_for_ever),
      TEST(a_trial_whose_lease_expires_makes_room_for_the_next),
      TEST(each_ejection_and_its_end_are_told_with_their_reason),
      TEST(no_more_are_ejected_than_the_share_that_was_set),
      TEST(a_drain_without_leases_begins_at_once),
      TEST(a_drain_that_is_called_off_leaves_the_node_serving),
      TEST(a_proof_that_runs_is_not_missed_for_a_lease),
      TEST(a_stop_while_others_prove_lets_its_leases_end),
      TEST(a_removed_node_ends_its_drain_with_its_leases),
      TEST(a_slot_that_is_handed_out_while_its_node_goes_is_counted_no_longer),
      TEST(who_waits_while_there_are_too_many_leases_is_served_when_there_are_fewer),
      TEST(a_free_slot_that_others_wait_beside_is_said_to_be_kept_for_them),
      TEST(an_id_that_no_start_gave_out_is_not_taken_over),
      TEST(nodes_that_come_and_go_use_the_same_place_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
