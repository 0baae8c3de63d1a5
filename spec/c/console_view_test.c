/* The console's reading of a node against the broker itself: the same field names, the same rule of convergence. */
#include "console_fake.h"
#include "fake_core.h"

#include <string.h>

#include "console/node_view.h"

static struct fake *f;

static int setup(void **state) {
  (void)state;
  f = fake_create(-1);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fake_destroy(f);
  return 0;
}

static struct cox_stats seen(void) {
  struct cox_stats stats = {0};
  json_t *const nodes = cox_broker_nodes_json(f->broker);
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct cox_node_view view;
    cox_node_view_read(object, &view);
    stats.nodes++;
    stats.converged += view.is_converged;
    stats.in_flight += view.attempt != 0;
  }
  json_decref(nodes);
  return stats;
}

static void assert_agrees(void) {
  struct cox_stats stats;
  cox_broker_stats(f->broker, &stats);
  const struct cox_stats view = seen();
  assert_int_equal(view.nodes, stats.nodes);
  assert_int_equal(view.converged, stats.converged);
  assert_int_equal(view.in_flight, stats.in_flight);
}

static void the_view_counts_as_the_broker_does(void **state) {
  (void)state;
  static const char *const ids[] = {"node1", "node2", "node3"};
  static const enum cox_class ends[] = {COX_CLASS_NONE, COX_CLASS_NONE, COX_CLASS_SERVER, COX_CLASS_CANCELLED};
  uint64_t random = 88172645463325252u;
  for (int i = 0; i < 3; i++) fake_register(f, ids[i], 5000 + i);
  assert_agrees();
  fake_arm(f);
  for (int round = 0; round < 500; round++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    const char *const id = ids[random % 3];
    if (random & 8) fake_intend(f, id, random & 16 ? fake_target("INFERENCE", NULL) : fake_target("POC", random & 32 ? "GENERATING" : "VALIDATING"));
    else if (fake_open(f, id) != NULL) fake_finish(f, id, ends[random >> 6 & 3], "reason");
    else fake_pass_time(f, 61);
    assert_agrees();
  }
}

static void the_view_reads_what_the_broker_shows(void **state) {
  (void)state;
  struct cox_node_view view;
  fake_register(f, "node1", 5000);
  fake_arm(f);
  fake_intend(f, "node1", fake_target("POC", "GENERATING"));
  json_t *object = cox_broker_node_json(f->broker, "node1");
  cox_node_view_read(object, &view);
  assert_string_equal(view.id, "node1");
  assert_string_equal(view.intended, "POC/GENERATING");
  assert_string_equal(view.attempt_to, "POC/GENERATING");
  assert_string_equal(view.current, "UNKNOWN");
  assert_true(view.has_target && view.attempt > 0 && view.attempt_at_ms > 0 && view.is_enabled && !view.is_failed);
  json_decref(object);
  fake_finish(f, "node1", COX_CLASS_SERVER, "POST /stop: 500");
  object = cox_broker_node_json(f->broker, "node1");
  cox_node_view_read(object, &view);
  assert_true(view.is_failed && view.next_at_ms > 0 && view.status_at_ms > 0);
  assert_string_equal(view.failure, "POST /stop: 500");
  assert_true(*view.doing != '\0');
  json_decref(object);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(the_view_counts_as_the_broker_does),
      TEST(the_view_reads_what_the_broker_shows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
