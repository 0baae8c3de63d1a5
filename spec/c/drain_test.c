/* A node that lets its leases end first, while the store fails: lease_test.c has the rest of drains. */
#include "ledger_rig.h"

#include "core/engine.h"
#include "manual_store.h"

static void ignore(void *arg, const struct cox_answer *answer) { (void)arg, (void)answer; }

static void send(const char *name, json_t *args) {
  assert_int_equal(cox_broker_submit(ledger_fake->broker, name, args, ignore, NULL, NULL), 0);
  json_decref(args);
  fake_run(ledger_fake);
}

/* node1 serves, and somebody has leased it. */
static struct cox_lease_id serve(void) {
  struct cox_lease_grant grant;
  const struct cox_lease_ask ask = {.model = "m"};
  send("register", json_pack("{so}", "node", fake_node("node1", 5000)));
  send("block", json_pack("{si, ss, sb, ss}", "height", 10, "hash", "AA", "synced", 1, "command", "due"));
  send("intend", json_pack("{ss, so}", "node_id", "node1", "target", fake_target("INFERENCE", NULL)));
  fake_give_back(ledger_fake, 0, COX_CLASS_NONE, NULL);
  manual_commit_all(ledger_fake);
  assert_int_equal(cox_lease_acquire(ledger_fake->broker, &ask, 0, NULL, &grant, NULL), 0);
  cox_lease_grant_fini(&grant);
  return grant.id;
}

/* A training is an operator's change, which is undone when it cannot be stored. */
static void intend(const char *status, double drain_s) {
  send("intend", json_pack("{ss, s{ss, sf}}", "node_id", "node1", "target", "status", status, "drain_s", drain_s));
}

static int64_t drain_until_us(void) { return cox_registry_find(&ledger_fake->broker->registry, "node1")->drain_until_us; }

static void a_drain_goes_with_the_target_that_could_not_be_stored(void **state) {
  (void)state;
  serve();
  intend("TRAINING", 60);
  assert_true(drain_until_us() > 0);
  manual_burn(ledger_fake, false);
  assert_int_equal(drain_until_us(), 0);
}

static void a_target_that_comes_back_brings_its_drain_back(void **state) {
  (void)state;
  const struct cox_lease_id lease = serve();
  intend("STOPPED", 60);
  manual_commit_all(ledger_fake);
  assert_null(fake_open(ledger_fake, "node1"));
  intend("TRAINING", 0);
  assert_non_null(fake_open(ledger_fake, "node1")); /* it waits for nobody, … */
  manual_burn(ledger_fake, false);
  fake_give_back(ledger_fake, 0, COX_CLASS_CANCELLED, NULL);
  fake_run(ledger_fake);
  assert_null(fake_open(ledger_fake, "node1")); /* … and then is to be stopped again, when its lease has ended */
  assert_int_equal(cox_lease_release(ledger_fake->broker, lease, COX_LEASE_SUCCESS, NULL), 0);
  fake_run(ledger_fake);
  assert_non_null(fake_open(ledger_fake, "node1"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_drain_goes_with_the_target_that_could_not_be_stored, ledger_setup, ledger_teardown),
      cmocka_unit_test_setup_teardown(a_target_that_comes_back_brings_its_drain_back, ledger_setup, ledger_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
