/* Leases in the public C interface, against simulated nodes: blocking and called back, renewed, released, and what the end does to those
 * who wait.                                                                                                                          */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"
#include "core/lease.h"
#include "coxswain/coxswain.h"
#include "embed.h"
#include "sim/sim.h"

enum { WAIT_MS = 60000, LONG_MS = 60000 /* so that who is not woken is only late */, THREADS = 4, SLOTS = 2 };

static struct cox_sim_fleet *fleet;
static struct coxswain *cox;
static char folder[64];
static const struct coxswain_request wanted = {.model = "m", .tenant = "spec"};

static int setup(void **state) {
  (void)state;
  char config[4096];
  struct cox_err err = {0};
  struct coxswain_error error;
  fleet = cox_sim_fleet_create(&(struct cox_sim_fleet_options){.count = 1, .model = "m", .max_concurrent = SLOTS}, &err);
  snprintf(folder, sizeof folder, "/tmp/coxswain-leases-XXXXXX");
  if (fleet == NULL || mkdtemp(folder) == NULL) return -1;
  json_t *const list = cox_sim_fleet_nodes(fleet);
  char *const nodes = json_dumps(list, JSON_COMPACT);
  snprintf(config, sizeof config,
           "{\"participant\": {\"address\": \"gonka1spec\", \"pubkey\": \"Aspec\"}, \"callback_url\": \"http://127.0.0.1:9100\","
           " \"store\": \":memory:\", \"scripts\": \"scripts\", \"admin\": {\"listen\": \"127.0.0.1:0\", \"socket\": \"%s/c.sock\"},"
           " \"log\": {\"level\": \"error\"}, \"feed\": {\"kind\": \"none\"}, \"nodes\": %s}", folder, nodes);
  free(nodes);
  json_decref(list);
  cox = coxswain_start(NULL, config, &error);
  if (cox == NULL) print_error("%s\n", error.text);
  if (cox == NULL) return -1;
  return coxswain_command(cox, "new_block",
                          "{\"height\": 50, \"hash\": \"AB\", \"epoch\": {\"index\": 1, \"poc_start_block_height\": 0},"
                          " \"params\": {\"epoch_length\": 1000, \"poc_stage_duration\": 10, \"poc_validation_delay\": 2,"
                          " \"poc_validation_duration\": 10}}", WAIT_MS, NULL, &error);
}

static int teardown(void **state) {
  (void)state;
  char text[128];
  coxswain_stop(cox);
  cox = NULL;
  cox_sim_fleet_destroy(fleet);
  snprintf(text, sizeof text, "rm -rf %s", folder);
  return system(text);
}

/* Waits until the node serves. */
static void take(struct coxswain_lease *lease) {
  struct coxswain_error error;
  if (coxswain_acquire(cox, &wanted, WAIT_MS, lease, &error) != COXSWAIN_OK) fail_msg("%s", error.text);
}

static int give_back(struct coxswain_lease *lease) {
  coxswain_lease_fini(lease);
  return coxswain_release(cox, lease->id, COXSWAIN_SUCCESS, NULL);
}

static int lock_count(void) {
  char *const text = coxswain_node_json(cox, "node1");
  json_t *const node = json_loads(text, 0, NULL);
  const int count = (int)json_integer_value(json_object_get(json_object_get(node, "state"), "lock_count"));
  json_decref(node);
  free(text);
  return count;
}

static void each_call_is_answered_as_the_header_says(void **state) {
  (void)state;
  struct coxswain_error error;
  struct coxswain_lease lease[SLOTS], none;
  for (int i = 0; i < SLOTS; i++) take(&lease[i]);
  assert_string_equal(lease[0].node_id, "node1");
  assert_int_equal(lock_count(), SLOTS);
  assert_int_equal(coxswain_acquire(cox, &wanted, 0, &none, &error), COXSWAIN_BUSY);
  assert_int_equal(error.code, COXSWAIN_BUSY);
  assert_int_equal(coxswain_acquire(cox, &wanted, 20, &none, &error), COXSWAIN_TIMEOUT);
  assert_int_equal(coxswain_acquire(cox, &wanted, -1, &none, &error), COXSWAIN_INVALID);
  assert_int_equal(coxswain_acquire(cox, &(struct coxswain_request){.model = "unheard-of"}, 0, &none, &error), COXSWAIN_UNKNOWN);
  assert_int_equal(coxswain_acquire(cox, &(struct coxswain_request){0}, 0, &none, &error), COXSWAIN_INVALID);
  assert_int_equal(coxswain_acquire(cox, &(struct coxswain_request){.model = "m", .ttl_ms = 86400001}, 0, &none, &error), COXSWAIN_INVALID);
  assert_int_equal(coxswain_renew(cox, lease[0].id, 1000000, NULL, NULL), COXSWAIN_OK);
  assert_int_equal(coxswain_renew(cox, lease[0].id, 1000000, "node2", NULL), COXSWAIN_BUSY);
  assert_int_equal(coxswain_renew(cox, lease[0].id, -1, NULL, NULL), COXSWAIN_INVALID);
  assert_int_equal(coxswain_renew(cox, "xyz", 1000, NULL, &error), COXSWAIN_INVALID);
  assert_int_equal(coxswain_release(cox, NULL, COXSWAIN_SUCCESS, &error), COXSWAIN_INVALID);
  assert_int_equal(coxswain_release(cox, "ffffffff000000000000000000000000", COXSWAIN_SUCCESS, &error), COXSWAIN_UNKNOWN);
  char *const reasons = coxswain_reasons_json(cox, &wanted);
  assert_non_null(strstr(reasons, "full: 2 of 2 leases"));
  free(reasons);
  for (int i = 0; i < SLOTS; i++) assert_int_equal(give_back(&lease[i]), COXSWAIN_OK);
  assert_int_equal(coxswain_release(cox, lease[0].id, COXSWAIN_SUCCESS, &error), COXSWAIN_GONE);
  assert_int_equal(coxswain_renew(cox, lease[0].id, 1000, NULL, &error), COXSWAIN_GONE);
  assert_int_equal(lock_count(), 0);
}

static void an_empty_text_asks_for_nothing(void **state) {
  (void)state;
  struct coxswain_lease lease;
  struct coxswain_error error;
  const struct coxswain_request request = {.model = "m", .version = "", .tenant = "", .affinity = ""};
  assert_int_equal(coxswain_acquire(cox, &request, WAIT_MS, &lease, &error), COXSWAIN_OK); /* the node says no version */
  assert_int_equal(give_back(&lease), COXSWAIN_OK);
}

/* ---- called back ---- */

struct call {
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  int count, code;
  char id[33];
};

static void granted(void *arg, int code, struct coxswain_lease *lease) {
  struct call *const call = arg;
  cox_mutex_lock(&call->mutex);
  call->count++;
  call->code = code;
  if (lease != NULL) memcpy(call->id, lease->id, sizeof call->id);
  cox_cond_signal(&call->cond);
  cox_mutex_unlock(&call->mutex);
  if (lease != NULL) coxswain_lease_fini(lease);
}

static void begin(struct call *call, int64_t wait_ms, struct coxswain_waiter **waiter) {
  struct coxswain_error error;
  char model[] = "m"; /* its own copy is kept */
  *call = (struct call){0};
  cox_mutex_init(&call->mutex);
  cox_cond_init(&call->cond);
  const struct coxswain_request request = {.model = model};
  assert_int_equal(coxswain_acquire_async(cox, &request, wait_ms, granted, call, waiter, &error), COXSWAIN_OK);
  model[0] = '?';
}

/* Its only answer. */
static int answer_of(struct call *call) {
  const int64_t until_us = cox_clock_mono_us(cox_clock_system()) + WAIT_MS * 1000;
  cox_mutex_lock(&call->mutex);
  while (call->count == 0 && cox_clock_mono_us(cox_clock_system()) < until_us) cox_cond_wait_us(&call->cond, &call->mutex, 100000);
  const int count = call->count, code = call->code;
  cox_mutex_unlock(&call->mutex);
  assert_int_equal(count, 1);
  return code;
}

static void a_callback_comes_once_or_never_when_it_is_cancelled(void **state) {
  (void)state;
  struct coxswain_lease lease[SLOTS];
  struct call first, second, late;
  struct coxswain_waiter *waiters[2];
  for (int i = 0; i < SLOTS; i++) take(&lease[i]);
  begin(&first, LONG_MS, &waiters[0]);
  begin(&second, LONG_MS, &waiters[1]);
  begin(&late, 20, NULL);
  assert_int_equal(answer_of(&late), COXSWAIN_TIMEOUT);
  assert_true(coxswain_waiter_cancel(waiters[0]));
  assert_false(coxswain_waiter_cancel(waiters[0]));
  assert_int_equal(give_back(&lease[0]), COXSWAIN_OK);
  assert_int_equal(answer_of(&second), COXSWAIN_OK);
  assert_false(coxswain_waiter_cancel(waiters[1]));
  assert_int_equal(first.count, 0);
  for (int i = 0; i < 2; i++) coxswain_waiter_release(waiters[i]);
  assert_int_equal(coxswain_release(cox, second.id, COXSWAIN_SUCCESS, NULL), COXSWAIN_OK);
  assert_int_equal(give_back(&lease[1]), COXSWAIN_OK);
  struct call at_once;
  begin(&at_once, 0, NULL);
  assert_int_equal(answer_of(&at_once), COXSWAIN_OK);
  assert_int_equal(coxswain_release(cox, at_once.id, COXSWAIN_SUCCESS, NULL), COXSWAIN_OK);
  assert_int_equal(lock_count(), 0);
}

static void answered(void *arg, const char *answer_json) {
  struct call *const call = arg;
  cox_mutex_lock(&call->mutex);
  call->count++;
  call->code = strstr(answer_json, "\"status\":\"done\"") != NULL ? 0 : strstr(answer_json, "\"status\":\"error\"") != NULL ? -1 : 1;
  cox_cond_signal(&call->cond);
  cox_mutex_unlock(&call->mutex);
}

static int command(const char *name, const char *args) {
  static struct call call; /* its callback may still be leaving */
  struct coxswain_error error;
  call = (struct call){0};
  cox_mutex_init(&call.mutex);
  cox_cond_init(&call.cond);
  const int rc = coxswain_command_async(cox, name, args, answered, &call, &error);
  return rc == COXSWAIN_OK ? answer_of(&call) : rc;
}

static void a_command_is_answered_to_its_callback_once(void **state) {
  (void)state;
  assert_int_equal(command("probe", "{\"node_id\": \"node1\"}"), 0);
  assert_int_equal(command("set_admin_state", "{\"node_id\": \"nobody\", \"enabled\": true}"), -1);
  assert_int_equal(command("unheard_of", NULL), COXSWAIN_UNKNOWN);
  assert_int_equal(command("probe", "[]"), COXSWAIN_INVALID);
  assert_int_equal(command("probe", "{"), COXSWAIN_INVALID);
}

/* ---- the end ---- */

static atomic_int stopped;

static bool wait_until_waiting(size_t count) {
  struct cox_lease_stats stats = {0};
  for (int i = 0; i < WAIT_MS && stats.waiters != count; i++) {
    usleep(1000);
    cox_lease_stats(cox->broker, &stats);
  }
  return stats.waiters == count;
}

static void wait_for_one(void *arg) {
  (void)arg;
  struct coxswain_lease none;
  struct coxswain_error error;
  if (coxswain_acquire(cox, &wanted, LONG_MS, &none, &error) == COXSWAIN_STOPPED && error.code == COXSWAIN_STOPPED) atomic_fetch_add(&stopped, 1);
}

static void wait_in_a_callback(void *arg, const char *event_json) {
  (void)event_json;
  if (!atomic_exchange((atomic_bool *)arg, true)) wait_for_one(NULL);
}

static void the_end_wakes_whoever_waits_for_a_lease(void **state) {
  (void)state;
  struct coxswain_lease lease[SLOTS];
  struct coxswain_subscription *subscription;
  struct cox_thread threads[THREADS];
  struct call call;
  static atomic_bool has_called;
  for (int i = 0; i < SLOTS; i++) take(&lease[i]);
  begin(&call, LONG_MS, NULL);
  for (int i = 0; i < THREADS; i++) assert_int_equal(cox_thread_start(&threads[i], "waits", wait_for_one, NULL, NULL), 0);
  assert_int_equal(coxswain_subscribe(cox, 0, NULL, wait_in_a_callback, &has_called, &subscription, NULL), COXSWAIN_OK);
  assert_true(wait_until_waiting(THREADS + 2));
  coxswain_stop(cox); /* would wait for the callback, and that one for a lease */
  cox = NULL;
  for (int i = 0; i < THREADS; i++) cox_thread_join(&threads[i]);
  assert_int_equal(atomic_load(&stopped), THREADS + 1);
  assert_int_equal(answer_of(&call), COXSWAIN_STOPPED);
  for (int i = 0; i < SLOTS; i++) {
    assert_int_equal(strcmp(lease[i].node_id, "node1"), 0); /* what a lease leads to outlives the broker */
    coxswain_lease_fini(&lease[i]);
  }
}

static atomic_bool has_stopped;

static void stop(void *arg) {
  coxswain_stop(arg);
  atomic_store(&has_stopped, true);
}

/* As one whose deadline passed at that very moment, and which still cancels. */
static void the_end_waits_for_an_acquire_that_has_not_left_yet(void **state) {
  (void)state;
  struct cox_thread thread;
  struct coxswain *const ours = cox;
  cox = NULL;
  atomic_fetch_add(&ours->acquirers, 1);
  assert_int_equal(cox_thread_start(&thread, "stops", stop, ours, NULL), 0);
  usleep(300000); /* too short a time finds nothing, and is not wrong */
  const bool was_early = atomic_load(&has_stopped);
  if (!was_early) atomic_fetch_sub(&ours->acquirers, 1);
  cox_thread_join(&thread);
  assert_false(was_early);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(each_call_is_answered_as_the_header_says),
      TEST(an_empty_text_asks_for_nothing),
      TEST(a_callback_comes_once_or_never_when_it_is_cancelled),
      TEST(a_command_is_answered_to_its_callback_once),
      TEST(the_end_wakes_whoever_waits_for_a_lease),
      TEST(the_end_waits_for_an_acquire_that_has_not_left_yet),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
