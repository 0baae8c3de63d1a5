/* Nodes read in slices: each once, in the order of their numbers, whatever is removed in between. And commands that wait, seen from
 * the broker.                                                                                                                     */
#include "fake_core.h"

#include <string.h>

static struct fake *fake;

static int setup(void **state) {
  (void)state;
  fake = fake_create(0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(fake);
  return 0;
}

static const char *id_of(const json_t *slice, size_t i) {
  const char *const id = json_string_value(json_object_get(json_object_get(json_array_get(slice, i), "node"), "id"));
  return id != NULL ? id : "(none)";
}

static void slices_hold_each_node_once(void **state) {
  (void)state;
  char id[16];
  for (int i = 0; i < 10; i++) {
    snprintf(id, sizeof id, "n%d", i);
    fake_register(fake, id, 5000 + 10 * i);
  }
  int next = 0;
  size_t seen = 0;
  for (size_t got = 1; got > 0;) {
    json_t *const slice = cox_broker_nodes_slice_json(fake->broker, &next, 3);
    got = json_array_size(slice);
    for (size_t i = 0; i < json_array_size(slice); i++) {
      snprintf(id, sizeof id, "n%zu", seen++);
      assert_string_equal(id_of(slice, i), id);
      assert_true(json_is_integer(json_object_get(json_object_get(json_array_get(slice, i), "state"), "lock_count")));
    }
    if (seen == 3) assert_int_equal(next, 3);
    json_decref(slice);
  }
  assert_int_equal(seen, 10);
  next = 0;
  json_t *const empty = cox_broker_nodes_slice_json(fake->broker, &next, 64);
  assert_int_equal(json_array_size(empty), 10);
  json_decref(empty);
  next = -5; /* from the beginning */
  json_t *const first = cox_broker_nodes_slice_json(fake->broker, &next, 1);
  assert_string_equal(id_of(first, 0), "n0");
  json_decref(first);
}

static void an_empty_fleet_has_no_slices(void **state) {
  (void)state;
  int next = 0;
  json_t *const slice = cox_broker_nodes_slice_json(fake->broker, &next, 64);
  assert_int_equal(json_array_size(slice), 0);
  json_decref(slice);
}

/* ---- commands that wait ---- */

static int chores;

static bool waits(void *ctx, const char *name) {
  (void)ctx;
  return strcmp(name, "reconcile") == 0;
}

static int chore(void *ctx, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  (void)ctx, (void)args, (void)err;
  assert_string_equal(name, "reconcile");
  const struct cox_answer answer = {.outcome = COX_ANSWER_DONE};
  chores++;
  reply(arg, &answer);
  return 0;
}

static void note(void *arg, const struct cox_answer *answer) { *(enum cox_outcome *)arg = answer->outcome; }

static void a_command_that_waits_goes_to_the_workers(void **state) {
  (void)state;
  struct cox_err err = {0};
  enum cox_outcome outcome = COX_ANSWER_ERROR;
  fake->policy.waits = waits;
  assert_int_equal(cox_broker_submit(fake->broker, "reconcile", NULL, note, &outcome, &err), COX_EREFUSED);
  assert_non_null(strstr(err.text, "workers"));
  fake->transport.chore = chore;
  assert_int_equal(cox_broker_submit(fake->broker, "reconcile", NULL, note, &outcome, &err), 0);
  assert_int_equal(outcome, COX_ANSWER_DONE);
  assert_int_equal(chores, 1);
}

static int no_room(void *ctx, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  (void)ctx, (void)args, (void)reply, (void)arg;
  return cox_err_set(err, COX_EFULL, "%s was not accepted", name);
}

static void assert_metric(const char *line) {
  struct cox_buf text = {0};
  assert_int_equal(cox_broker_metrics_text(fake->broker, &text), 0);
  if (strstr(text.data, line) == NULL) fail_msg("%s is not there", line);
  cox_buf_fini(&text);
}

static void a_command_that_waits_is_counted_and_journaled_as_any_other(void **state) {
  (void)state;
  struct cox_err err = {0};
  enum cox_outcome outcome;
  fake->policy.waits = waits;
  fake->transport.chore = chore;
  json_t *const args = json_pack("{ss}", "node_id", "node7");
  assert_int_equal(cox_broker_submit_as(fake->broker, "a spec", "reconcile", args, NULL, note, &outcome, &err), 0);
  json_decref(args);
  fake->transport.chore = no_room;
  assert_int_equal(cox_broker_submit(fake->broker, "reconcile", NULL, note, &outcome, &err), COX_EFULL);
  fake_run(fake);
  assert_metric("coxswain_commands_total{name=\"reconcile\",outcome=\"done\"} 1\n");
  assert_metric("coxswain_commands_total{name=\"reconcile\",outcome=\"refused\"} 1\n");
  const struct cox_event_filter filter = {.kind = "command", .node_id = "node7"};
  json_t *const page = cox_broker_events_json(fake->broker, 0, 10, &filter), *const events = json_object_get(page, "events");
  assert_int_equal(json_array_size(events), 1);
  assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "caller")), "a spec");
  assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "outcome")), "done");
  json_decref(page);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(slices_hold_each_node_once, setup, teardown),
      cmocka_unit_test_setup_teardown(an_empty_fleet_has_no_slices, setup, teardown),
      cmocka_unit_test_setup_teardown(a_command_that_waits_goes_to_the_workers, setup, teardown),
      cmocka_unit_test_setup_teardown(a_command_that_waits_is_counted_and_journaled_as_any_other, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
