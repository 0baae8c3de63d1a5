/* What probes may and may not change. */
#include "fake_core.h"

#include <string.h>

static struct fake *f;

static int setup(void **state) {
  (void)state;
  f = fake_create(10);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(f);
  return 0;
}

struct seen {
  enum cox_class class_;
  enum cox_status status;
  bool is_ready;
  const char *model;
  const char *poc; /* NULL: it could not be told */
};

static const struct seen good = {COX_CLASS_NONE, COX_STATUS_INFERENCE, true, "m", NULL};
static const struct seen unreachable = {COX_CLASS_REFUSED, COX_STATUS_UNKNOWN, false, NULL, NULL};

static void end_probe(struct seen seen) {
  assert_int_equal(f->opens, 1);
  struct cox_attempt *const probe = f->open[0];
  assert_int_equal(probe->kind, COX_ATTEMPT_PROBE);
  probe->result.seen = seen.status;
  probe->result.has_seen_poc = seen.poc != NULL && cox_poc_parse(seen.poc, &probe->result.seen_poc);
  probe->result.is_ready = seen.is_ready;
  probe->result.seen_model = seen.model != NULL ? strdup(seen.model) : NULL;
  probe->result.has_answered = seen.class_ == COX_CLASS_NONE;
  fake_give_back(f, 0, seen.class_, seen.class_ != COX_CLASS_NONE ? "connection refused" : NULL);
  fake_run(f);
}

static void probe(struct seen seen) {
  if (f->opens == 0) fake_pass_time(f, 11.1);
  end_probe(seen);
}

static void every_node_is_probed_within_one_interval_even_before_the_first_block(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) {
    char id[16];
    snprintf(id, sizeof id, "n%d", i);
    fake_register(f, id, 5000 + i);
  }
  fake_pass_time(f, 1.01);
  assert_int_equal(f->started_probes, 5);
  assert_int_equal(f->started, 0);
  while (f->opens > 1) fake_give_back(f, 1, COX_CLASS_NONE, NULL); /* the first one hangs */
  fake_pass_time(f, 11.1);
  assert_int_equal(f->started_probes, 9);
}

static void a_node_that_cannot_be_reached_three_times_is_failed_until_one_good_probe(void **state) {
  (void)state;
  fake_serving(f);
  probe(unreachable);
  probe(unreachable);
  assert_string_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
  probe(unreachable);
  assert_string_equal(fake_state(f, "node1", "current_status"), "FAILED");
  assert_string_equal(fake_state(f, "node1", "failure_reason"), "probe: connection refused (3 in a row)");
  probe(unreachable);
  assert_int_equal(f->started, 1);
  probe(good);
  assert_string_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
  assert_string_equal(fake_state(f, "node1", "failure_reason"), "");
  assert_int_equal(f->started, 1);
}

static void a_node_found_in_another_state_is_brought_back(void **state) {
  (void)state;
  fake_serving(f);
  probe((struct seen){COX_CLASS_NONE, COX_STATUS_STOPPED, false, NULL, NULL});
  assert_string_equal(fake_state(f, "node1", "current_status"), "STOPPED");
  assert_int_equal(f->started, 2);
}

static void a_node_that_serves_another_model_is_brought_back(void **state) {
  (void)state;
  fake_serving(f);
  probe((struct seen){COX_CLASS_NONE, COX_STATUS_INFERENCE, true, "other", NULL});
  assert_int_equal(f->started, 2);
}

static void a_node_that_says_inference_but_does_not_serve_is_failed(void **state) {
  (void)state;
  fake_serving(f);
  for (int i = 0; i < 3; i++) probe((struct seen){COX_CLASS_NONE, COX_STATUS_INFERENCE, false, "m", NULL});
  assert_string_equal(fake_state(f, "node1", "current_status"), "FAILED");
}

static void a_probe_that_began_before_a_change_is_dropped(void **state) {
  (void)state;
  fake_serving(f);
  fake_pass_time(f, 11.1);
  assert_int_equal(f->opens, 1);
  fake_intend(f, "node1", fake_target("STOPPED", NULL));
  struct cox_attempt *const reach = f->open[1];
  assert_int_equal(reach->kind, COX_ATTEMPT_REACH);
  fake_give_back(f, 1, COX_CLASS_NONE, NULL);
  fake_run(f);
  assert_string_equal(fake_state(f, "node1", "current_status"), "STOPPED");
  end_probe(good); /* it saw the node before it was stopped */
  assert_string_equal(fake_state(f, "node1", "current_status"), "STOPPED");
  assert_int_equal(f->started, 2);
}

static void an_answer_ends_the_backoff_of_a_node_that_was_away(void **state) {
  (void)state;
  fake_register(f, "node1", 5000);
  fake_pass_time(f, 1.01);
  end_probe(unreachable);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("INFERENCE", NULL));
  for (int i = 0; i < 20 && f->opens > 0; i++) {
    assert_int_equal(f->open[0]->kind, COX_ATTEMPT_REACH);
    fake_give_back(f, 0, COX_CLASS_REFUSED, "connection refused");
    fake_run(f);
    while (f->opens == 0 && strcmp(fake_state(f, "node1", "next_attempt_at"), "absent") == 0) fake_pass_time(f, 1);
  }
  const size_t started = f->started;
  fake_send(f, "probe", json_pack("{ss}", "node_id", "node1"));
  while (f->opens > 0 && f->open[0]->kind == COX_ATTEMPT_REACH) fake_finish(f, "node1", COX_CLASS_REFUSED, "no");
  fake_send(f, "probe", json_pack("{ss}", "node_id", "node1"));
  if (f->opens > 0 && f->open[0]->kind == COX_ATTEMPT_PROBE) {
    end_probe(good);
    assert_true(f->started > started);
    assert_int_equal(f->open[0]->kind, COX_ATTEMPT_REACH);
  }
}

static void a_failed_attempt_is_not_cleared_by_probes(void **state) {
  (void)state;
  fake_serving(f);
  fake_intend(f, "node1", json_pack("{ss, ss}", "status", "INFERENCE", "model", "other"));
  fake_finish(f, "node1", COX_CLASS_CLIENT, "400");
  fake_send(f, "probe", json_pack("{ss}", "node_id", "node1"));
  if (f->opens > 0 && f->open[0]->kind == COX_ATTEMPT_PROBE) end_probe(good);
  assert_string_equal(fake_state(f, "node1", "current_status"), "FAILED");
}

static void a_poc_target_is_never_settled_by_a_probe(void **state) {
  (void)state;
  fake_serving(f);
  fake_intend(f, "node1", fake_target("POC", "GENERATING"));
  fake_finish(f, "node1", COX_CLASS_SERVER, "500");
  fake_send(f, "probe", NULL);
  if (f->opens > 0 && f->open[0]->kind == COX_ATTEMPT_PROBE) {
    end_probe((struct seen){COX_CLASS_NONE, COX_STATUS_POC, false, NULL, NULL});
  }
  assert_string_not_equal(fake_state(f, "node1", "poc_current_status"), "GENERATING");
}

/* A node that says it idles proves nothing: its PoC would be missed. What it says that cannot be read is no reason to disturb it. */
static void a_node_that_idles_in_a_poc_is_asked_for_it_again(void **state) {
  (void)state;
  static const char *const told[] = {NULL, "GENERATING", "IDLE", "VALIDATING"};
  fake_serving(f);
  fake_intend(f, "node1", fake_target("POC", "GENERATING"));
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
    const size_t started = f->started;
    fake_send(f, "probe", json_pack("{ss}", "node_id", "node1"));
    end_probe((struct seen){.status = COX_STATUS_POC, .poc = told[i]});
    assert_int_equal(f->started - started, i >= 2);
    if (i >= 2) fake_finish(f, "node1", COX_CLASS_NONE, NULL);
    assert_string_equal(fake_state(f, "node1", "poc_current_status"), "GENERATING");
  }
}

static void the_time_of_the_last_check_is_not_the_time_of_the_last_change(void **state) {
  (void)state;
  fake_serving(f);
  char before[64];
  strcpy(before, fake_state(f, "node1", "status_timestamp"));
  probe(good);
  assert_string_equal(fake_state(f, "node1", "status_timestamp"), before);
  assert_string_not_equal(fake_state(f, "node1", "checked_at"), before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(every_node_is_probed_within_one_interval_even_before_the_first_block),
      TEST(a_node_that_cannot_be_reached_three_times_is_failed_until_one_good_probe),
      TEST(a_node_found_in_another_state_is_brought_back),
      TEST(a_node_that_serves_another_model_is_brought_back),
      TEST(a_node_that_says_inference_but_does_not_serve_is_failed),
      TEST(a_probe_that_began_before_a_change_is_dropped),
      TEST(an_answer_ends_the_backoff_of_a_node_that_was_away),
      TEST(a_failed_attempt_is_not_cleared_by_probes),
      TEST(a_poc_target_is_never_settled_by_a_probe),
      TEST(a_node_that_idles_in_a_poc_is_asked_for_it_again),
      TEST(the_time_of_the_last_check_is_not_the_time_of_the_last_change),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
