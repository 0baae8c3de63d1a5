/* The whole daemon in this process against simulated nodes over real HTTP: what must hold under churn and changes of mind. */
#include "fake_core.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "daemon.h"
#include "script/script.h"
#include "sim/sim.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { FLIPS = 300, BUSY = 60 };
#else
enum { FLIPS = 1000, BUSY = 150 };
#endif
enum { FLIPPED = 8, LIMIT_MS = 60000, ANSWER_MS = 10000 };

static char folder[] = "/tmp/coxswain-whole-XXXXXX", scripts[64]; /* the shipped scripts and a command of our own */
static struct cox_sim_fleet *fleet;
static struct cox_daemon *daemon_;

static void pause_us(int64_t us) {
  const struct timespec wait = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
  nanosleep(&wait, NULL);
}

static void start(const struct cox_sim_fleet_options *options) {
  cox_log_setup(COX_LOG_ERROR, false, 2);
  struct cox_err err = {0};
  fleet = cox_sim_fleet_create(options, &err);
  assert_non_null(fleet);
  json_t *const nodes = cox_sim_fleet_nodes(fleet);
  char *const text = json_dumps(nodes, JSON_COMPACT);
  const size_t size = strlen(text) + 16;
  char *const declared = malloc(size);
  snprintf(declared, size, "nodes=%s", text);
  const char *const overrides[] = {declared,
                                   "store=:memory:",
                                   "admin.listen=127.0.0.1:0",
                                   "callback_url=http://127.0.0.1:9100",
                                   "participant={\"address\":\"gonka1spec\",\"pubkey\":\"Aspec\"}",
                                   "reconcile.backoff_s=[0.05,0.5]",
                                   scripts,
                                   NULL};
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(NULL, overrides, "scripts", &faults);
  if (config != NULL) daemon_ = cox_daemon_start(config, &faults);
  for (size_t i = 0; i < faults.count; i++) print_error("%s\n", faults.list[i].text);
  assert_non_null(daemon_);
  cox_faults_fini(&faults);
  json_decref(config);
  json_decref(nodes);
  free(declared);
  free(text);
}

static int group_setup(void **state) {
  (void)state;
  char command[256];
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(scripts, sizeof scripts, "scripts=%s", folder);
  snprintf(command, sizeof command, "cp -r scripts/. %s && cp spec/fixtures/commands/*.lua %s/commands/", folder, folder);
  return system(command);
}

static int group_teardown(void **state) {
  (void)state;
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

static int teardown(void **state) {
  (void)state;
  cox_daemon_stop(daemon_);
  cox_sim_fleet_destroy(fleet);
  daemon_ = NULL;
  fleet = NULL;
  return 0;
}

/* Sends and waits; the answer's outcome. Takes `args`. */
static enum cox_outcome send(const char *name, json_t *args) {
  struct cox_answer answer;
  struct cox_err err = {0};
  const int rc = cox_broker_call(cox_daemon_broker(daemon_), name, args, ANSWER_MS, &answer, &err);
  json_decref(args);
  if (rc != 0) print_error("%s: %s\n", name, err.text);
  assert_int_equal(rc, 0);
  const enum cox_outcome outcome = answer.outcome;
  cox_answer_fini(&answer);
  return outcome;
}

static void send_block(int height, int start) {
  const enum cox_outcome outcome =
      send("new_block", json_pack("{si, so, s{si, si, so}, s{si, si, si, si}}", "height", height, "hash", json_sprintf("H%d", height),
                                  "epoch", "index", start / 100, "poc_start_block_height", start, "poc_start_block_hash",
                                  json_sprintf("H%d", start), "params", "epoch_length", 100, "poc_stage_duration", 20,
                                  "poc_validation_delay", 2, "poc_validation_duration", 10));
  assert_int_equal(outcome, COX_ANSWER_DONE);
}

static void wait_converged(void) {
  struct cox_stats stats;
  for (int64_t waited_us = 0; waited_us < LIMIT_MS * 1000; waited_us += 5000) {
    cox_broker_stats(cox_daemon_broker(daemon_), &stats);
    if (stats.nodes > 0 && stats.converged == stats.nodes) return;
    pause_us(5000);
  }
  json_t *const nodes = cox_broker_nodes_json(cox_daemon_broker(daemon_));
  char *const text = json_dumps(nodes, JSON_INDENT(1));
  print_error("%s\n", text);
  free(text);
  json_decref(nodes);
  fail_msg("%zu of %zu nodes converged", stats.converged, stats.nodes);
}

static json_int_t report_number(const char *key) {
  json_t *const report = cox_sim_fleet_report(fleet);
  const json_int_t number = json_integer_value(json_object_get(report, key));
  json_decref(report);
  return number;
}

static void intend_all(const char *hash) {
  assert_int_equal(send("intend_all", json_pack("{s{ss, ss, si, ss, ss, si, ss}}", "target", "status", "POC", "poc", "GENERATING", "block_height",
                                                100, "block_hash", hash, "public_key", "Aspec", "node_count", FLIPPED, "url", "http://x/")),
                   COX_ANSWER_DONE);
}

/* Another block hash is another target: the attempts of the two meet in every state. No stop is sent, so none is ever in doubt. */
static void intents_that_go_to_and_fro_at_random_moments_end_in_the_last_one(void **state) {
  (void)state;
  const uint64_t seed = cox_rng_system_seed();
  struct cox_rng rng;
  cox_rng_init(&rng, seed);
  print_message("seed %llu\n", (unsigned long long)seed);
  start(&(struct cox_sim_fleet_options){.count = FLIPPED, .load_ms = 3, .init_ms = 2, .latency_ms = 1});
  send_block(50, 0);
  wait_converged();
  for (int i = 0; i < FLIPS; i++) {
    intend_all("A");
    pause_us((int64_t)cox_rng_below(&rng, 9000));
    intend_all("B");
    pause_us((int64_t)cox_rng_below(&rng, 9000));
    intend_all("A");
    if (i % 50 == 49) wait_converged();
  }
  wait_converged();
  json_t *const nodes = cox_broker_nodes_json(cox_daemon_broker(daemon_));
  json_t *const report = cox_sim_fleet_report(fleet);
  size_t i;
  json_t *node;
  json_array_foreach(nodes, i, node) {
    const json_t *const shown = json_object_get(node, "state");
    const json_t *const real = json_array_get(json_object_get(report, "nodes"), i);
    assert_string_equal(json_string_value(json_object_get(shown, "poc_current_status")), "GENERATING");
    assert_string_equal(json_string_value(json_object_get(json_object_get(real, "last_init"), "block_hash")), "A");
  }
  json_decref(report);
  json_decref(nodes);
  assert_true(report_number("mutating_open_max") <= 1);
}

struct chatter {
  struct cox_thread thread;
  atomic_bool is_ended;
  unsigned sent, slow;
  int64_t longest_us;
};

/* Twenty commands a second, all about nodes that do not exist. */
static void chat(void *arg) {
  struct chatter *const chatter = arg;
  while (!atomic_load(&chatter->is_ended)) {
    const int64_t began_us = cox_clock_mono_us(cox_clock_system());
    assert_int_equal(send("set_admin_state", json_pack("{ss, sb}", "node_id", "nobody", "enabled", 1)), COX_ANSWER_ERROR);
    const int64_t took_us = cox_clock_mono_us(cox_clock_system()) - began_us;
    if (took_us > chatter->longest_us) chatter->longest_us = took_us;
    chatter->slow += took_us > 100000;
    chatter->sent++;
    pause_us(50000);
  }
}

static size_t loading(void) {
  json_t *const report = cox_sim_fleet_report(fleet);
  size_t count = 0, i;
  json_t *node;
  json_array_foreach(json_object_get(report, "nodes"), i, node) count += json_is_true(json_object_get(node, "is_loading"));
  json_decref(report);
  return count;
}

static void busy_nodes_are_removed_while_others_ask(void **state) {
  (void)state;
  start(&(struct cox_sim_fleet_options){.count = BUSY, .load_ms = 600000});
  struct chatter chatter = {.longest_us = 0};
  assert_int_equal(cox_thread_start(&chatter.thread, "chatter", chat, &chatter, NULL), 0);
  send_block(50, 0);
  for (int64_t waited_us = 0; loading() < BUSY && waited_us < LIMIT_MS * 1000; waited_us += 50000) pause_us(50000);
  assert_int_equal(loading(), BUSY); /* all of them in the middle of a load that will not end */
  struct cox_stats stats;
  for (int i = 1; i <= BUSY; i++) {
    assert_int_equal(send("remove_node", json_pack("{so}", "node_id", json_sprintf("node%d", i))), COX_ANSWER_DONE);
  }
  cox_broker_stats(cox_daemon_broker(daemon_), &stats);
  assert_int_equal(stats.nodes, 0);
  for (int64_t waited_us = 0; stats.in_flight > 0 && waited_us < LIMIT_MS * 1000; waited_us += 5000) {
    pause_us(5000);
    cox_broker_stats(cox_daemon_broker(daemon_), &stats);
  }
  assert_int_equal(stats.in_flight, 0); /* every attempt came back */
  atomic_store(&chatter.is_ended, true);
  cox_thread_join(&chatter.thread);
  assert_true(chatter.sent > 0);
  print_message("%u commands meanwhile, the slowest in %.1f ms, %u over 100 ms\n", chatter.sent, (double)chatter.longest_us / 1000, chatter.slow);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(intents_that_go_to_and_fro_at_random_moments_end_in_the_last_one, teardown),
      cmocka_unit_test_teardown(busy_nodes_are_removed_while_others_ask, teardown),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
