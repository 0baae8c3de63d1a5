/* What the core counts is shown under the names of the contract: all of them from the start, and never too many. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fake_core.h"

static char *text_of(struct fake *fake) {
  struct cox_buf out = {0};
  assert_int_equal(cox_broker_metrics_text(fake->broker, &out), 0);
  return out.data;
}

/* The value of one series; fails when it is not there exactly once. */
static double value_in(const char *text, const char *series) {
  const size_t len = strlen(series);
  const char *found = NULL;
  for (const char *line = text; line != NULL; line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL) {
    if (strncmp(line, series, len) != 0 || line[len] != ' ') continue;
    if (found != NULL) fail_msg("%s is there twice", series);
    found = line + len;
  }
  if (found == NULL) fail_msg("%s is not there", series);
  return strtod(found, NULL);
}

static double value(struct fake *fake, const char *series) {
  char *const text = text_of(fake);
  const double number = value_in(text, series);
  free(text);
  return number;
}

#define assert_value(fake, series, expected) assert_true(value(fake, series) == (expected))

static void every_outcome_is_there_from_the_start_at_zero(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  char *const text = text_of(fake);
  static const char *const series[] = {
      "coxswain_nodes{status=\"POC\",poc_status=\"GENERATING\"}", "coxswain_nodes{status=\"FAILED\",poc_status=\"IDLE\"}",
      "coxswain_nodes_converged", "coxswain_attempts_total{kind=\"INFERENCE\",result=\"succeeded\"}",
      "coxswain_attempts_total{kind=\"POC\",result=\"cancelled\"}", "coxswain_attempts_total{kind=\"probe\",result=\"timeout\"}",
      "coxswain_attempts_total{kind=\"STOPPED\",result=\"stale\"}", "coxswain_attempt_duration_seconds_count{kind=\"TRAINING\"}",
      "coxswain_attempt_duration_seconds_bucket{kind=\"POC\",le=\"+Inf\"}", "coxswain_stale_results_total", "coxswain_cancels_total",
      "coxswain_cancel_latency_seconds_count", "coxswain_command_queue_depth{priority=\"low\"}", "coxswain_block_height",
      "coxswain_phase{phase=\"PoCValidateWindDown\"}", "coxswain_script_reloads_total{outcome=\"rolled_back\"}",
      "coxswain_loop_stall_seconds_count", "coxswain_loop_busy_seconds_count", "coxswain_leases_active", "coxswain_lease_waiters",
      "coxswain_lease_nodes_ejected", "coxswain_lease_ejections_total",
      "coxswain_lease_events_total{outcome=\"renewed\"}", "coxswain_lease_events_total{outcome=\"expired\"}", "coxswain_store_degraded", "coxswain_scripts_unstored",
      "coxswain_store_unstored_records_total", "coxswain_store_commit_seconds_count", "coxswain_world_stale_seconds",
      "coxswain_lease_acquire_total{outcome=\"granted\"}", "coxswain_lease_acquire_total{outcome=\"cancelled\"}", "workqueue_depth{name=\"reconcile\"}", "workqueue_adds_total{name=\"reconcile\"}",
      "workqueue_retries_total{name=\"reconcile\"}", "workqueue_queue_duration_seconds_sum{name=\"reconcile\"}",
      "workqueue_work_duration_seconds_count{name=\"reconcile\"}", "workqueue_unfinished_work_seconds{name=\"reconcile\"}",
      "workqueue_longest_running_processor_seconds{name=\"reconcile\"}"};
  for (size_t i = 0; i < sizeof series / sizeof *series; i++) assert_true(value_in(text, series[i]) == 0);
  assert_true(value_in(text, "coxswain_script_generation") == 1);
  free(text);
  fake_destroy(fake);
}

static void attempts_are_counted_by_what_they_wanted_and_how_they_ended(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  fake_serving(fake);
  assert_value(fake, "coxswain_nodes{status=\"INFERENCE\",poc_status=\"IDLE\"}", 1);
  assert_value(fake, "coxswain_nodes_converged", 1);
  assert_value(fake, "coxswain_attempts_total{kind=\"INFERENCE\",result=\"succeeded\"}", 1);
  fake_intend(fake, "node1", fake_target("POC", "GENERATING"));
  fake->now_us += 20 * 1000000;
  fake_finish(fake, "node1", COX_CLASS_CONFLICT, "409");
  assert_value(fake, "coxswain_attempts_total{kind=\"POC\",result=\"conflict\"}", 1);
  assert_value(fake, "coxswain_attempt_duration_seconds_bucket{kind=\"POC\",le=\"10\"}", 0);
  assert_value(fake, "coxswain_attempt_duration_seconds_bucket{kind=\"POC\",le=\"30\"}", 1);
  assert_value(fake, "coxswain_attempt_duration_seconds_sum{kind=\"POC\"}", 20);
  assert_value(fake, "workqueue_retries_total{name=\"reconcile\"}", 1);
  assert_true(value(fake, "workqueue_adds_total{name=\"reconcile\"}") >= 3);
  fake_destroy(fake);
}

static void a_cancel_is_measured_until_the_attempt_has_ended(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  fake_serving(fake);
  fake_intend(fake, "node1", fake_target("POC", "GENERATING"));
  fake_intend(fake, "node1", fake_target("INFERENCE", NULL));
  assert_value(fake, "coxswain_cancels_total", 1);
  assert_value(fake, "coxswain_cancel_latency_seconds_count", 0);
  fake->now_us += 30000;
  fake_finish(fake, "node1", COX_CLASS_CANCELLED, NULL);
  assert_value(fake, "coxswain_attempts_total{kind=\"POC\",result=\"cancelled\"}", 1);
  assert_value(fake, "coxswain_cancel_latency_seconds_bucket{le=\"0.02\"}", 0);
  assert_value(fake, "coxswain_cancel_latency_seconds_bucket{le=\"0.05\"}", 1);
  fake_destroy(fake);
}

static void commands_are_counted_by_name_and_outcome_and_unknown_names_are_not(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  fake_send(fake, "skip", NULL);
  fake_send(fake, "fail", NULL);
  fake_send(fake, "read", NULL);
  cox_broker_know_command(fake->broker, "low");
  assert_int_equal(cox_broker_submit(fake->broker, "nonsense\"\n", NULL, NULL, NULL, NULL), COX_ENOENT);
  assert_value(fake, "coxswain_commands_total{name=\"skip\",outcome=\"skipped\"}", 1);
  assert_value(fake, "coxswain_commands_total{name=\"skip\",outcome=\"done\"}", 0);
  assert_value(fake, "coxswain_commands_total{name=\"fail\",outcome=\"error\"}", 1);
  assert_value(fake, "coxswain_commands_total{name=\"read\",outcome=\"done\"}", 1);
  assert_value(fake, "coxswain_commands_total{name=\"low\",outcome=\"done\"}", 0);
  assert_value(fake, "coxswain_commands_total{name=\"other\",outcome=\"done\"}", 0);
  char *const text = text_of(fake);
  assert_null(strstr(text, "nonsense"));
  free(text);
  while (cox_broker_submit(fake->broker, "low", NULL, NULL, NULL, NULL) == 0) {}
  assert_value(fake, "coxswain_command_queue_depth{priority=\"low\"}", 64);
  assert_value(fake, "coxswain_commands_total{name=\"low\",outcome=\"refused\"}", 1);
  fake_run(fake);
  fake_destroy(fake);
}

static void names_beyond_the_limit_share_one_series(void **state) {
  (void)state;
  struct cox_metrics metrics;
  cox_metrics_init(&metrics);
  for (int i = 0; i < 2 * COX_NAMES_MAX; i++) {
    char name[16];
    snprintf(name, sizeof name, "command%d", i);
    cox_metrics_command(&metrics, name, (enum cox_command_outcome)COX_ANSWER_DONE);
  }
  assert_int_equal(atomic_load(&metrics.names), COX_NAMES_MAX - 1);
  assert_int_equal(atomic_load(&metrics.commands[COX_NAMES_MAX - 1].outcomes[COX_ANSWER_DONE]), COX_NAMES_MAX + 1);
  cox_metrics_fini(&metrics);
}

static void the_world_and_reloads_show(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  fake_send(fake, "block", json_pack("{si, ss, ss}", "height", 123, "hash", "AA", "phase", "PoCValidate"));
  cox_broker_count_reload(fake->broker, COX_RELOAD_REFUSED);
  assert_value(fake, "coxswain_block_height", 123);
  assert_value(fake, "coxswain_phase{phase=\"PoCValidate\"}", 1);
  assert_value(fake, "coxswain_phase{phase=\"Inference\"}", 0);
  assert_value(fake, "coxswain_script_reloads_total{outcome=\"refused\"}", 1);
  fake_destroy(fake);
}

static void the_world_grows_old_until_it_is_confirmed_again(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  fake_send(fake, "block", json_pack("{si, ss, sf}", "height", 1, "hash", "AA", "stale_s", 2.5));
  assert_value(fake, "coxswain_world_stale_seconds", 2.5);
  fake->now_us += 7500000;
  assert_value(fake, "coxswain_world_stale_seconds", 10);
  fake_send(fake, "block", json_pack("{si, ss}", "height", 2, "hash", "BB"));
  assert_value(fake, "coxswain_world_stale_seconds", 0);
  fake_destroy(fake);
}

static void the_text_is_well_formed(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  fake_serving(fake);
  char *const text = text_of(fake);
  assert_int_equal(text[strlen(text) - 1], '\n');
  char *rest = text;
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    if (strncmp(line, "# ", 2) == 0) continue;
    char name[128], *end;
    assert_int_equal(sscanf(line, "%127[a-z_]", name), 1);
    const char *const last = strrchr(line, ' ');
    assert_non_null(last);
    strtod(last + 1, &end);
    assert_int_equal(*end, '\0');
  }
  free(text);
  fake_destroy(fake);
}

int main(void) {
  cox_log_setup(COX_LOG_ERROR, false, 2); /* failures are meant here */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_outcome_is_there_from_the_start_at_zero),
      cmocka_unit_test(attempts_are_counted_by_what_they_wanted_and_how_they_ended),
      cmocka_unit_test(a_cancel_is_measured_until_the_attempt_has_ended),
      cmocka_unit_test(commands_are_counted_by_name_and_outcome_and_unknown_names_are_not),
      cmocka_unit_test(names_beyond_the_limit_share_one_series),
      cmocka_unit_test(the_world_and_reloads_show),
      cmocka_unit_test(the_world_grows_old_until_it_is_confirmed_again),
      cmocka_unit_test(the_text_is_well_formed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
