/* What leases promise, one test each: the pick, its limits, life and end, eligibility, health, drain. */
#include "lease_rig.h"

#include <string.h>

#include "core/breaker.h"
#include "core/version.h"

static struct fake *f;

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

static void the_least_loaded_relative_to_its_limit_is_given(void **state) {
  (void)state;
  lease_serve(f, "small", 5000, 2, "m", "");
  lease_serve(f, "large", 5001, 8, "m", "");
  struct cox_lease_grant grant[10];
  int small = 0;
  for (int i = 0; i < 10; i++) {
    assert_int_equal(lease_take(f, "m", &grant[i]), 0);
    small += strcmp(grant[i].place->node_id, "small") == 0;
    if (i == 4) assert_int_equal(small, 1); /* half of both */
  }
  assert_int_equal(small, 2);
  struct cox_lease_grant none;
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  assert_string_equal(lease_reason(f, &(struct cox_lease_ask){.model = "m"}, "small"), "full: 2 of 2 leases");
  assert_int_equal(lease_count(f, "large"), 8);
  for (int i = 0; i < 10; i++) assert_int_equal(lease_give_back(f, &grant[i], COX_LEASE_SUCCESS), 0);
  assert_int_equal(lease_count(f, "large"), 0);
}

static void equals_are_drawn_at_random(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 10, "m", "");
  lease_serve(f, "b", 5001, 10, "m", "");
  lease_serve(f, "c", 5002, 10, "m", "");
  int count[3] = {0};
  for (int i = 0; i < 3000; i++) {
    struct cox_lease_grant grant;
    assert_int_equal(lease_take(f, "m", &grant), 0);
    count[grant.place->node_id[0] - 'a']++;
    lease_give_back(f, &grant, COX_LEASE_UNSAID);
  }
  for (int i = 0; i < 3; i++) assert_in_range(count[i], 850, 1150); /* 3 sigma is 77 */
}

static void a_grant_says_where_to_go_and_until_when(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 1, "m", "");
  struct cox_lease_grant grant;
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .ttl_ms = 5000}, &grant), 0);
  assert_string_equal(grant.place->inference_url, "http://10.0.0.1:5000");
  assert_string_equal(grant.place->poc_url, "http://10.0.0.1:15000");
  assert_int_equal(grant.expires_ms, 1700000000000 + f->now_us / 1000 + 5000);
  char text[COX_LEASE_ID_TEXT];
  struct cox_lease_id id;
  cox_lease_id_format(grant.id, text);
  assert_memory_equal(text, "00000007", 8);
  assert_true(cox_lease_id_parse(text, &id) && cox_lease_id_equal(id, grant.id));
  lease_give_back(f, &grant, COX_LEASE_UNSAID);
}

static void a_second_release_is_told_from_an_unknown_one(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 1, "m", "");
  struct cox_lease_grant grant;
  assert_int_equal(lease_take(f, "m", &grant), 0);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_SUCCESS), 0);
  assert_int_equal(cox_lease_release(f->broker, grant.id, COX_LEASE_SUCCESS, NULL), COX_EGONE);
  assert_int_equal(cox_lease_renew(f->broker, grant.id, 1000, NULL, NULL, NULL, NULL), COX_EGONE);
  assert_int_equal(cox_lease_renew(f->broker, grant.id, 1000, "a", NULL, NULL, NULL), COX_EGONE);
  struct cox_lease_id made_up = {grant.id.high, grant.id.low ^ 1};
  assert_int_equal(cox_lease_release(f->broker, made_up, COX_LEASE_SUCCESS, NULL), COX_ENOENT);
  assert_int_equal(lease_count(f, "a"), 0);
}

static void a_lease_ends_within_half_a_second_after_its_time(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 1, "m", "");
  struct cox_lease_grant grant;
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .ttl_ms = 2000}, &grant), 0);
  fake_pass_time(f, 1.9);
  assert_int_equal(lease_count(f, "a"), 1);
  assert_int_equal(cox_lease_renew(f->broker, grant.id, 2000, NULL, NULL, NULL, NULL), 0);
  fake_pass_time(f, 1.9);
  assert_int_equal(lease_count(f, "a"), 1);
  fake_pass_time(f, 0.2);
  assert_int_equal(lease_count(f, "a"), 0);
  assert_int_equal(cox_lease_release(f->broker, grant.id, COX_LEASE_SUCCESS, NULL), COX_EGONE);
  cox_lease_grant_fini(&grant);
}

static void a_clock_that_jumps_ahead_ends_them_all_at_once(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 100, "m", "");
  for (int i = 0; i < 100; i++) {
    struct cox_lease_grant grant;
    assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .ttl_ms = 1 + i * 800000}, &grant), 0);
    cox_lease_grant_fini(&grant);
  }
  fake_pass_time(f, 10);
  assert_int_equal(lease_count(f, "a"), 99);
  fake_pass_time(f, 30.0 * 24 * 3600);
  assert_int_equal(lease_count(f, "a"), 0);
  assert_int_equal(lease_active(f), 0);
}

static void bad_times_are_refused(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 1, "m", "");
  struct cox_lease_grant grant;
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .ttl_ms = -1}, &grant), COX_EINVAL);
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .ttl_ms = 365LL * 86400000}, &grant), COX_EINVAL);
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = ""}, &grant), COX_EINVAL);
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .ttl_ms = 86400000}, &grant), 0);
  assert_int_equal(cox_lease_renew(f->broker, grant.id, 86400001, NULL, NULL, NULL, NULL), COX_EINVAL);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
}

static void an_unknown_model_is_told_from_one_that_nobody_serves_now(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  assert_int_equal(lease_take(f, "m", &grant), COX_ENOENT);
  fake_register(f, "node1", 5000);
  assert_int_equal(lease_take(f, "m", &grant), COX_EBUSY);
  assert_int_equal(lease_take(f, "other", &grant), COX_ENOENT);
  fake_send(f, "block", json_pack("{si, sb, s{s[{ss}]}}", "height", 9, "synced", 1, "epoch_models", "node1", "id", "other"));
  assert_int_equal(lease_take(f, "other", &grant), COX_EBUSY);
  assert_string_equal(lease_reason(f, &(struct cox_lease_ask){.model = "other"}, "node1"), "nothing is intended for it yet");
}

static void only_settled_inference_without_an_attempt_is_given(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  fake_serving(f);
  assert_int_equal(lease_take(f, "m", &grant), 0);
  fake_intend(f, "node1", fake_target("POC", "GENERATING"));
  assert_int_equal(lease_count(f, "node1"), 1);
  struct cox_lease_grant none;
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  assert_string_equal(lease_reason(f, &(struct cox_lease_ask){.model = "m"}, "node1"),
                      "an attempt is under way: it is being brought to its target or verified");
  fake_finish(f, "node1", COX_CLASS_TIMEOUT, "slow");
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  fake_pass_time(f, 100);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_int_equal(lease_take(f, "m", &none), 0);
  assert_int_equal(lease_count(f, "node1"), 2);
  assert_int_equal(lease_give_back(f, &none, COX_LEASE_UNSAID), 0);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
}

static void probe(bool is_ready, const char *model) {
  fake_send(f, "probe", json_pack("{ss}", "node_id", "node1"));
  struct cox_attempt *const attempt = fake_open(f, "node1");
  assert_non_null(attempt);
  attempt->result.seen = COX_STATUS_INFERENCE;
  attempt->result.is_ready = is_ready;
  attempt->result.has_answered = true;
  attempt->result.seen_model = model != NULL ? strdup(model) : NULL;
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
}

static void after_a_start_a_stored_intent_is_believed_when_a_probe_sees_it(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  const struct cox_lease_ask ask = {.model = "m"};
  fake_register(f, "node1", 5000);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL)); /* as if it came from the store: no block yet */
  assert_int_equal(lease_take(f, "m", &grant), COX_EBUSY);
  assert_string_equal(lease_reason(f, &ask, "node1"), "since the start no probe has found it serving");
  probe(true, "other");
  assert_int_equal(lease_take(f, "m", &grant), COX_EBUSY);
  probe(false, "m");
  assert_int_equal(lease_take(f, "m", &grant), COX_EBUSY);
  probe(true, "m");
  assert_int_equal(lease_take(f, "m", &grant), 0);
  fake_send(f, "admin", json_pack("{ss, sb}", "node_id", "node1", "enabled", 0));
  struct cox_lease_grant none;
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  fake_send(f, "admin", json_pack("{ss, sb}", "node_id", "node1", "enabled", 1));
  fake_arm(f); /* from now on only an attempt settles it */
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  assert_int_equal(lease_count(f, "node1"), 1);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_int_equal(lease_take(f, "m", &none), 0);
  lease_give_back(f, &none, COX_LEASE_UNSAID);
  lease_give_back(f, &grant, COX_LEASE_UNSAID);
}

static void another_model_is_served_only_when_it_is_settled(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  lease_serve(f, "a", 5000, 5, "m", "");
  fake_intend(f, "a", json_pack("{ss, ss}", "status", "INFERENCE", "model", "n"));
  assert_int_equal(lease_take(f, "m", &grant), COX_EBUSY);
  assert_int_equal(lease_take(f, "n", &grant), COX_ENOENT);
  fake_finish(f, "a", COX_CLASS_NONE, NULL);
  assert_int_equal(lease_take(f, "n", &grant), 0);
  struct cox_lease_grant none;
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  assert_string_equal(lease_reason(f, &(struct cox_lease_ask){.model = "m"}, "a"), "it serves n");
  lease_give_back(f, &grant, COX_LEASE_UNSAID);
}

static void versions_match_by_their_order(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  lease_serve(f, "old", 5000, 5, "m", "1.2.0");
  lease_serve(f, "new", 5001, 5, "m", "1.10.0");
  lease_serve(f, "none", 5002, 5, "m", "");
  for (int i = 0; i < 5; i++) {
    assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .version = "v1.10"}, &grant), 0);
    assert_string_equal(grant.place->node_id, "new");
    cox_lease_grant_fini(&grant);
  }
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .version = "1.10.0"}, &grant), COX_EBUSY);
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .version = "1.10.0", .accepts_earlier = true}, &grant), 0);
  assert_string_equal(grant.place->node_id, "old");
  cox_lease_grant_fini(&grant);
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .version = "1.1.9", .accepts_earlier = true}, &grant), COX_EBUSY);
  assert_string_equal(lease_reason(f, &(struct cox_lease_ask){.model = "m", .version = "1.1.9"}, "none"), "its version is not said");
}

static void versions_are_ordered_as_semver_says(void **state) {
  (void)state;
  static const char *const rising[] = {"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
                                       "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2", "1.10.0", "2"};
  const int count = sizeof rising / sizeof *rising;
  for (int i = 0; i < count; i++) {
    for (int k = 0; k < count; k++) {
      const int order = cox_version_compare(rising[i], rising[k]);
      assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
    }
  }
  assert_int_equal(cox_version_compare("1.0.0+a", "v1.0.0+b"), 0);
  static const char *const bad[] = {"", "x", "1.", "1.2.3.4", "1.0.0-", "1.0.0+", "1..2", "99999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(cox_version_is_good(bad[i]));
  assert_true(cox_version_serves("nightly", "nightly", false));
  assert_false(cox_version_serves("nightly", "1.0.0", true));
}

static void skipped_nodes_are_not_given(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 9, "m", "");
  lease_serve(f, "b", 5001, 9, "m", "");
  const char *const skip[] = {"a", "unheard-of", "a"};
  struct cox_lease_grant grant;
  for (int i = 0; i < 9; i++) {
    assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .skip = skip, .skips = 3}, &grant), 0);
    assert_string_equal(grant.place->node_id, "b");
    cox_lease_grant_fini(&grant);
  }
  assert_int_equal(lease_ask_for(f, &(struct cox_lease_ask){.model = "m", .skip = skip, .skips = 3}, &grant), COX_EBUSY);
  assert_string_equal(lease_reason(f, &(struct cox_lease_ask){.model = "m", .skip = skip, .skips = 3}, "a"), "the request skips it");
  assert_int_equal(lease_take(f, "m", &grant), 0);
  assert_string_equal(grant.place->node_id, "a");
  cox_lease_grant_fini(&grant);
}

static void an_affinity_key_stays_with_its_node_until_that_is_too_busy(void **state) {
  (void)state;
  char id[16];
  for (int i = 0; i < 8; i++) {
    snprintf(id, sizeof id, "n%d", i);
    lease_serve(f, id, 5000 + i, 100, "m", "");
  }
  const struct cox_lease_ask ask = {.model = "m", .affinity = "conversation 1"};
  struct cox_lease_grant grant;
  assert_int_equal(lease_ask_for(f, &ask, &grant), 0);
  char home[16];
  snprintf(home, sizeof home, "%s", grant.place->node_id);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(lease_ask_for(f, &ask, &grant), 0);
    assert_string_equal(grant.place->node_id, home);
    assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
  }
  for (int i = 0; i < 80; i++) { /* all with one key: bounded by 125 % of the mean, rounded up */
    assert_int_equal(lease_ask_for(f, &ask, &grant), 0);
    cox_lease_grant_fini(&grant);
  }
  for (int i = 0; i < 8; i++) {
    snprintf(id, sizeof id, "n%d", i);
    assert_in_range(lease_count(f, id), 0, 13);
  }
  assert_int_equal(lease_active(f), 80);
}

static void a_limit_that_was_lowered_is_kept_from_then_on(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 3, "m", "");
  struct cox_lease_grant grant[3], none;
  for (int i = 0; i < 3; i++) assert_int_equal(lease_take(f, "m", &grant[i]), 0);
  fake_send(f, "update", json_pack("{so}", "node", lease_node("a", 5000, 1, "m", "")));
  assert_int_equal(lease_count(f, "a"), 3);
  assert_int_equal(lease_give_back(f, &grant[0], COX_LEASE_UNSAID), 0);
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  assert_int_equal(lease_give_back(f, &grant[1], COX_LEASE_UNSAID), 0);
  assert_int_equal(lease_take(f, "m", &none), COX_EBUSY);
  assert_int_equal(lease_give_back(f, &grant[2], COX_LEASE_UNSAID), 0);
  assert_int_equal(lease_take(f, "m", &none), 0);
  assert_int_equal(lease_give_back(f, &none, COX_LEASE_UNSAID), 0);
}

static void a_removed_node_takes_its_leases_along(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 3, "m", "");
  struct cox_lease_grant grant[2];
  assert_int_equal(lease_take(f, "m", &grant[0]), 0);
  assert_int_equal(lease_take(f, "m", &grant[1]), 0);
  fake_send(f, "remove", json_pack("{ss}", "node_id", "a"));
  assert_int_equal(lease_active(f), 0);
  assert_int_equal(lease_give_back(f, &grant[0], COX_LEASE_SUCCESS), COX_EGONE);
  lease_serve(f, "a", 5000, 3, "m", "");
  assert_int_equal(lease_count(f, "a"), 0);
  assert_int_equal(cox_lease_renew(f->broker, grant[1].id, 1000, "a", NULL, NULL, NULL), COX_EGONE);
  assert_int_equal(lease_give_back(f, &grant[1], COX_LEASE_SUCCESS), COX_EGONE);
  assert_int_equal(lease_count(f, "a"), 0);
}

static void a_lease_of_an_earlier_start_is_taken_over(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 1, "m", "");
  const struct cox_lease_id earlier = {(uint64_t)6 << 32 | 0xabcdef, 0x1234567890}, later = {(uint64_t)8 << 32, 1};
  struct cox_lease_grant grant;
  assert_int_equal(lease_take(f, "m", &grant), 0);
  assert_int_equal(cox_lease_renew(f->broker, earlier, 1000, NULL, NULL, NULL, NULL), COX_ENOENT);
  assert_int_equal(cox_lease_renew(f->broker, earlier, 1000, "b", NULL, NULL, NULL), COX_ENOENT);
  assert_int_equal(cox_lease_renew(f->broker, later, 1000, "a", NULL, NULL, NULL), COX_ENOENT);
  assert_int_equal(cox_lease_renew(f->broker, earlier, 60000, "a", NULL, NULL, NULL), 0);
  assert_int_equal(lease_count(f, "a"), 2); /* above its limit: the request runs already */
  assert_int_equal(cox_lease_renew(f->broker, earlier, 60000, "a", NULL, NULL, NULL), 0);
  assert_int_equal(cox_lease_renew(f->broker, earlier, 60000, "b", NULL, NULL, NULL), COX_EBUSY);
  assert_int_equal(lease_count(f, "a"), 2);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_UNSAID), 0);
  assert_int_equal(lease_take(f, "m", &grant), COX_EBUSY);
  assert_int_equal(cox_lease_release(f->broker, earlier, COX_LEASE_SUCCESS, NULL), 0);
  assert_int_equal(cox_lease_release(f->broker, earlier, COX_LEASE_SUCCESS, NULL), COX_EGONE);
  assert_int_equal(cox_lease_renew(f->broker, earlier, 60000, "a", NULL, NULL, NULL), COX_EGONE);
  fake_pass_time(f, 59);
  assert_int_equal(cox_lease_release(f->broker, earlier, COX_LEASE_SUCCESS, NULL), COX_EGONE);
  assert_int_equal(lease_take(f, "m", &grant), 0);
  lease_give_back(f, &grant, COX_LEASE_UNSAID);
  const struct cox_lease_id other = {(uint64_t)6 << 32 | 2, 3};
  fake_pass_time(f, 24.0 * 3600);
  assert_int_equal(cox_lease_renew(f->broker, other, 60000, "a", NULL, NULL, NULL), COX_ENOENT);
}

static void too_many_leases_are_refused(void **state) {
  (void)state;
  fake_destroy(f);
  f = lease_fake(&(struct cox_lease_options){.max = 2});
  lease_serve(f, "a", 5000, 9, "m", "");
  struct cox_lease_grant grant[2], none;
  for (int i = 0; i < 2; i++) assert_int_equal(lease_take(f, "m", &grant[i]), 0);
  assert_int_equal(lease_take(f, "m", &none), COX_EFULL);
  for (int i = 0; i < 2; i++) assert_int_equal(lease_give_back(f, &grant[i], COX_LEASE_UNSAID), 0);
}

static void a_node_that_just_became_ready_gets_less_but_is_never_refused(void **state) {
  (void)state;
  fake_destroy(f);
  f = lease_fake(&(struct cox_lease_options){.slow_start_s = 10});
  lease_serve(f, "old", 5000, 100, "m", "");
  fake_pass_time(f, 11);
  struct cox_lease_grant grant;
  for (int i = 0; i < 50; i++) assert_int_equal(lease_take(f, "m", &grant), 0), cox_lease_grant_fini(&grant);
  lease_serve(f, "new", 5001, 100, "m", "");
  for (int i = 0; i < 20; i++) assert_int_equal(lease_take(f, "m", &grant), 0), cox_lease_grant_fini(&grant);
  assert_in_range(lease_count(f, "new"), 5, 8);
  fake_pass_time(f, 11);
  for (int i = 0; i < 20; i++) assert_int_equal(lease_take(f, "m", &grant), 0), cox_lease_grant_fini(&grant);
  assert_in_range(lease_count(f, "new"), 25, 28);
  for (int i = 0; i < 110; i++) assert_int_equal(lease_take(f, "m", &grant), 0), cox_lease_grant_fini(&grant);
  assert_int_equal(lease_take(f, "m", &grant), COX_EBUSY);
}

/* Fails requests of one node until it is ejected; returns how many it took, 0: it was not. */
static int fail_until_ejected(const char *only, int most) {
  const char *const skip[] = {"a", "b", "c"};
  const char *skips[3];
  size_t count = 0;
  for (int i = 0; i < 3; i++) {
    if (strcmp(skip[i], only) != 0) skips[count++] = skip[i];
  }
  const struct cox_lease_ask ask = {.model = "m", .skip = skips, .skips = count};
  for (int i = 1; i <= most; i++) {
    struct cox_lease_grant grant;
    if (lease_ask_for(f, &ask, &grant) != 0) return i - 1;
    assert_int_equal(lease_give_back(f, &grant, i % 2 ? COX_LEASE_TRANSPORT_ERROR : COX_LEASE_TIMEOUT), 0);
  }
  return 0;
}

static size_t ejections(void) {
  json_t *const events = cox_broker_events_json(f->broker, 0, 1000, NULL);
  size_t count = 0, i;
  json_t *record;
  json_array_foreach(json_object_get(events, "events"), i, record) {
    const char *const op = json_string_value(json_object_get(record, "op"));
    count += op != NULL && strcmp(op, "eject") == 0;
  }
  json_decref(events);
  return count;
}

static void a_node_whose_requests_fail_is_ejected_and_tried_once(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 10, "m", "");
  lease_serve(f, "b", 5001, 10, "m", "");
  assert_int_equal(fail_until_ejected("a", 100), 5);
  fake_run(f);
  assert_int_equal(ejections(), 1);
  const char *const skip[] = {"b"};
  const struct cox_lease_ask only_a = {.model = "m", .skip = skip, .skips = 1};
  assert_string_equal(lease_reason(f, &only_a, "a"), "ejected after failed requests, for another 10.0 s");
  fake_pass_time(f, 10.2);
  struct cox_lease_grant trial, none;
  assert_int_equal(lease_ask_for(f, &only_a, &trial), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY);
  assert_string_equal(lease_reason(f, &only_a, "a"), "ejected after failed requests: one trial request is under way");
  assert_int_equal(lease_give_back(f, &trial, COX_LEASE_TIMEOUT), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY);
  fake_pass_time(f, 10.2);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY); /* twice as long */
  fake_pass_time(f, 10.2);
  assert_int_equal(lease_ask_for(f, &only_a, &trial), 0);
  assert_int_equal(lease_give_back(f, &trial, COX_LEASE_APPLICATION_ERROR), 0); /* neutral: the next trial */
  assert_int_equal(lease_ask_for(f, &only_a, &trial), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &none), COX_EBUSY);
  assert_int_equal(lease_give_back(f, &trial, COX_LEASE_SUCCESS), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &trial), 0);
  assert_int_equal(lease_ask_for(f, &only_a, &none), 0);
  lease_give_back(f, &trial, COX_LEASE_UNSAID);
  lease_give_back(f, &none, COX_LEASE_UNSAID);
  fake_run(f);
  assert_int_equal(ejections(), 2);
}

static void at_most_a_share_is_ejected_and_none_when_too_few_are_left(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 10, "m", "");
  assert_int_equal(fail_until_ejected("a", 50), 0); /* alone: never */
  lease_serve(f, "b", 5001, 10, "m", "");
  assert_int_equal(fail_until_ejected("b", 50), 5);
  assert_int_equal(fail_until_ejected("a", 50), 0); /* half of two is out already */
  struct cox_lease_stats stats;
  cox_lease_stats(f->broker, &stats);
  assert_int_equal(stats.ejected, 1);
  fake_send(f, "remove", json_pack("{ss}", "node_id", "a"));
  cox_lease_stats(f->broker, &stats);
  assert_int_equal(stats.ejected, 0);
  struct cox_lease_grant grant;
  assert_int_equal(lease_take(f, "m", &grant), 0);
  lease_give_back(f, &grant, COX_LEASE_UNSAID);
}

static void answers_of_the_application_are_no_fault_of_the_node(void **state) {
  (void)state;
  lease_serve(f, "a", 5000, 10, "m", "");
  lease_serve(f, "b", 5001, 10, "m", "");
  for (int i = 0; i < 100; i++) {
    struct cox_lease_grant grant;
    assert_int_equal(lease_take(f, "m", &grant), 0);
    assert_int_equal(lease_give_back(f, &grant, i % 3 == 2 ? COX_LEASE_UNSAID : COX_LEASE_APPLICATION_ERROR), 0);
  }
  struct cox_lease_stats stats;
  cox_lease_stats(f->broker, &stats);
  assert_int_equal(stats.ejected, 0);
}

static void a_drain_waits_for_the_last_lease(void **state) {
  (void)state;
  fake_serving(f);
  struct cox_lease_grant grant;
  assert_int_equal(lease_take(f, "m", &grant), 0);
  fake_intend(f, "node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 60.0));
  assert_null(fake_open(f, "node1"));
  fake_pass_time(f, 30);
  assert_null(fake_open(f, "node1"));
  json_t *const node = cox_broker_node_json(f->broker, "node1");
  json_t *const explain = json_object_get(json_object_get(node, "state"), "explain");
  assert_non_null(strstr(json_string_value(json_object_get(explain, "doing")), "draining: 1 leases"));
  assert_true(json_is_true(json_object_get(json_object_get(explain, "lease"), "draining")));
  json_decref(node);
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_SUCCESS), 0);
  fake_run(f);
  assert_non_null(fake_open(f, "node1"));
}

static void a_drain_ends_with_its_time(void **state) {
  (void)state;
  fake_serving(f);
  struct cox_lease_grant grant;
  assert_int_equal(lease_take(f, "m", &grant), 0);
  fake_intend(f, "node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 5.0));
  fake_pass_time(f, 4.9);
  assert_null(fake_open(f, "node1"));
  fake_pass_time(f, 0.2);
  assert_non_null(fake_open(f, "node1"));
  assert_int_equal(lease_count(f, "node1"), 1); /* its leases stay until they are released */
  assert_int_equal(lease_give_back(f, &grant, COX_LEASE_SUCCESS), 0);
}

static void a_drain_that_comes_late_in_the_epoch_is_none(void **state) {
  (void)state;
  fake_serving(f);
  struct cox_lease_grant grant;
  assert_int_equal(lease_take(f, "m", &grant), 0);
  const char *const world = "{si, sb, si, si, s{si}}";
  fake_send(f, "block", json_pack(world, "height", 189, "synced", 1, "epoch", 3, "poc_start_height", 100, "params", "epoch_length", 100));
  fake_intend(f, "node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 500.0));
  assert_null(fake_open(f, "node1"));
  fake_send(f, "block", json_pack(world, "height", 190, "synced", 1, "epoch", 3, "poc_start_height", 100, "params", "epoch_length", 100));
  fake_pass_time(f, 1.1);
  assert_non_null(fake_open(f, "node1"));
  lease_give_back(f, &grant, COX_LEASE_SUCCESS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_least_loaded_relative_to_its_limit_is_given, setup, teardown),
      cmocka_unit_test_setup_teardown(equals_are_drawn_at_random, setup, teardown),
      cmocka_unit_test_setup_teardown(a_grant_says_where_to_go_and_until_when, setup, teardown),
      cmocka_unit_test_setup_teardown(a_second_release_is_told_from_an_unknown_one, setup, teardown),
      cmocka_unit_test_setup_teardown(a_lease_ends_within_half_a_second_after_its_time, setup, teardown),
      cmocka_unit_test_setup_teardown(a_clock_that_jumps_ahead_ends_them_all_at_once, setup, teardown),
      cmocka_unit_test_setup_teardown(bad_times_are_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(an_unknown_model_is_told_from_one_that_nobody_serves_now, setup, teardown),
      cmocka_unit_test_setup_teardown(only_settled_inference_without_an_attempt_is_given, setup, teardown),
      cmocka_unit_test_setup_teardown(after_a_start_a_stored_intent_is_believed_when_a_probe_sees_it, setup, teardown),
      cmocka_unit_test_setup_teardown(another_model_is_served_only_when_it_is_settled, setup, teardown),
      cmocka_unit_test_setup_teardown(versions_match_by_their_order, setup, teardown),
      cmocka_unit_test(versions_are_ordered_as_semver_says),
      cmocka_unit_test_setup_teardown(skipped_nodes_are_not_given, setup, teardown),
      cmocka_unit_test_setup_teardown(an_affinity_key_stays_with_its_node_until_that_is_too_busy, setup, teardown),
      cmocka_unit_test_setup_teardown(a_limit_that_was_lowered_is_kept_from_then_on, setup, teardown),
      cmocka_unit_test_setup_teardown(a_removed_node_takes_its_leases_along, setup, teardown),
      cmocka_unit_test_setup_teardown(a_lease_of_an_earlier_start_is_taken_over, setup, teardown),
      cmocka_unit_test_setup_teardown(too_many_leases_are_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_node_that_just_became_ready_gets_less_but_is_never_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_node_whose_requests_fail_is_ejected_and_tried_once, setup, teardown),
      cmocka_unit_test_setup_teardown(at_most_a_share_is_ejected_and_none_when_too_few_are_left, setup, teardown),
      cmocka_unit_test_setup_teardown(answers_of_the_application_are_no_fault_of_the_node, setup, teardown),
      cmocka_unit_test_setup_teardown(a_drain_waits_for_the_last_lease, setup, teardown),
      cmocka_unit_test_setup_teardown(a_drain_ends_with_its_time, setup, teardown),
      cmocka_unit_test_setup_teardown(a_drain_that_comes_late_in_the_epoch_is_none, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
