/* What the core costs without any network: an idle pass, a full dispatch, a phase command over the whole fleet, memory per node.
 * Usage: core_bench [NODES] [ROUNDS], from the root of the source tree. Prints one JSON object per figure.                    */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"
#include "core/broker.h"
#include "report.h"
#include "script/script.h"

static struct cox_broker *broker;

/* ---- how long the registry is held by a writer: these stand in for those of base/lock.c (CMakeLists.txt) ---- */

void __real_cox_rwlock_write(struct cox_rwlock *lock);
void __real_cox_rwlock_write_unlock(struct cox_rwlock *lock);
void __wrap_cox_rwlock_write(struct cox_rwlock *lock) COX_NO_ANALYSIS;
void __wrap_cox_rwlock_write_unlock(struct cox_rwlock *lock) COX_NO_ANALYSIS;

static double held_since_us, longest_held_us;

void __wrap_cox_rwlock_write(struct cox_rwlock *lock) {
  __real_cox_rwlock_write(lock);
  held_since_us = bench_now_us();
}

void __wrap_cox_rwlock_write_unlock(struct cox_rwlock *lock) {
  const double held_us = bench_now_us() - held_since_us;
  if (held_us > longest_held_us) longest_held_us = held_us;
  __real_cox_rwlock_write_unlock(lock);
}

/* ---- the rest ---- */

static struct cox_attempt **open_attempts;
static size_t opens;

static void start(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  open_attempts[opens++] = attempt;
}

static void cancel(void *ctx, unsigned worker, uint64_t attempt) {
  (void)ctx;
  (void)worker;
  (void)attempt;
}

static void run_all(void) {
  while (cox_broker_step_commands(broker) + cox_broker_step_reconcile(broker, NULL) > 0) {}
}

static long rss_kib(void) {
  long pages = 0, resident = 0;
  FILE *const file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
  if (file != NULL) fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void send(const char *name, json_t *args) {
  struct cox_err err;
  if (cox_broker_submit(broker, name, args, NULL, NULL, &err) != 0) {
    fprintf(stderr, "%s\n", err.text);
    exit(1);
  }
  json_decref(args);
}

static void send_block(int height, int start) {
  send("new_block", json_pack("{si, so, s{si, si}, s{si, si, si, si}}", "height", height, "hash", json_sprintf("H%d", height), "epoch",
                              "index", start / 100, "poc_start_block_height", start, "params", "epoch_length", 100, "poc_stage_duration", 20,
                              "poc_validation_delay", 2, "poc_validation_duration", 10));
}

static void register_nodes(int count) {
  for (int i = 0; i < count; i++) {
    send("register_node", json_pack("{s{so, ss, si, si, si, s{s{s[ss]}}}}", "node", "id", json_sprintf("node%d", i), "host", "10.0.0.1",
                                    "inference_port", 1 + i, "poc_port", 20001 + i, "max_concurrent", 100, "models", "Qwen/QwQ-32B", "args",
                                    "--quantization", "fp8"));
    run_all();
  }
}

static void give_all_back(void) {
  for (size_t i = 0; i < opens; i++) cox_broker_complete(broker, open_attempts[i]);
  opens = 0;
  run_all();
}

/* One epoch: each phase command over all nodes, dispatched to a transport that only collects, and all results. */
static void measure_epoch(int start, double *commands_ms, double *dispatch_ms, double *results_ms) {
  send_block(start, start);
  const double began = bench_now_us();
  cox_broker_step_commands(broker);
  const double decided = bench_now_us();
  cox_broker_step_reconcile(broker, NULL);
  const double dispatched = bench_now_us();
  const size_t count = opens;
  give_all_back();
  const double ended = bench_now_us();
  if (count == 0) fprintf(stderr, "nothing was dispatched at height %d\n", start);
  *commands_ms = (decided - began) / 1000;
  *dispatch_ms = (dispatched - decided) / 1000;
  *results_ms = (ended - dispatched) / 1000;
  send_block(start + 50, start);
  run_all();
  give_all_back();
}

/* Apart, so that a profiler can be told to look at nothing else (callgrind: --toggle-collect=visit_all_us). */
static __attribute__((noinline)) double visit_all_us(int tag) {
  send("visit_all", json_pack("{ss, so}", "model", "Qwen/QwQ-32B", "tag", json_sprintf("%d", tag)));
  longest_held_us = 0;
  const double began = bench_now_us();
  cox_broker_step_commands(broker);
  return bench_now_us() - began;
}

/* A handler that visits all nodes, sets the intent of each and decides nothing (scripts/commands/visit_all.lua). */
static void measure_visits(int rounds) {
  double *const visits = calloc((size_t)rounds, sizeof *visits), *const holds = calloc((size_t)rounds, sizeof *holds);
  for (int i = 0; i < rounds; i++) {
    visits[i] = visit_all_us(i) / 1000;
    holds[i] = longest_held_us / 1000;
    run_all();
    give_all_back();
  }
  bench_report("a handler that visits all nodes and sets their intents", visits, (size_t)rounds, "ms");
  bench_report("the registry's write lock meanwhile", holds, (size_t)rounds, "ms");
  free(visits);
  free(holds);
}

static void measure(int rounds, double reference_ms) {
  double *const commands = calloc((size_t)rounds, sizeof *commands), *const dispatch = calloc((size_t)rounds, sizeof *dispatch);
  double *const results = calloc((size_t)rounds, sizeof *results), *const idle = calloc((size_t)rounds * 100, sizeof *idle);
  for (int i = 0; i < rounds; i++) measure_epoch(100 * (i + 1), &commands[i], &dispatch[i], &results[i]);
  for (int i = 0; i < rounds * 100; i++) {
    const double began = bench_now_us();
    for (int k = 0; k < 10; k++) cox_broker_step_reconcile(broker, NULL);
    idle[i] = (bench_now_us() - began) / 10;
  }
  bench_report("phase command over all nodes", commands, (size_t)(rounds), "ms");
  bench_report("dispatch of all nodes", dispatch, (size_t)(rounds), "ms");
  bench_report_one("dispatch of all nodes, in such references", dispatch[rounds / 2] / reference_ms, "times");
  bench_report("all results handled", results, (size_t)(rounds), "ms");
  bench_report("pass with nothing to do", idle, (size_t)(rounds * 100), "us");
  free(commands);
  free(dispatch);
  free(results);
  free(idle);
}

/* What the same machine needs at the same time for as many items through a list under a mutex: in, and out again. */
static double measure_reference(int count, int rounds) {
  struct item {
    struct item *next;
  } *const items = calloc((size_t)count, sizeof *items), *first = NULL;
  struct cox_mutex mutex;
  double *const values = calloc((size_t)rounds, sizeof *values);
  cox_mutex_init(&mutex);
  for (int round = 0; round < rounds; round++) {
    const double began = bench_now_us();
    for (int i = 0; i < 2 * count; i++) {
      cox_mutex_lock(&mutex);
      struct item *const item = i < count ? &items[i] : first;
      if (i < count) item->next = first;
      first = i < count ? item : item->next;
      cox_mutex_unlock(&mutex);
    }
    values[round] = (bench_now_us() - began) / 1000;
  }
  bench_report("reference: as many items through a list under a mutex", values, (size_t)rounds, "ms");
  const double median_ms = values[rounds / 2];
  cox_mutex_fini(&mutex);
  free(values);
  free(items);
  return median_ms;
}

int main(int argc, char **argv) {
  const int nodes = argc > 1 ? atoi(argv[1]) : 10000, rounds = argc > 2 ? atoi(argv[2]) : 11;
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  struct cox_faults faults = {0};
  json_t *const folders = json_pack("[s, s]", "tools/bench/scripts", "scripts");
  const struct cox_script_options scripts = {.folders = folders, .library_dir = "lua", .clock = cox_clock_system(), .command_budget_s = 30};
  struct cox_script *const script = cox_script_create(&scripts, &faults);
  if (script == NULL) {
    for (size_t i = 0; i < faults.count; i++) fprintf(stderr, "%s:%d: %s\n", faults.list[i].file, faults.list[i].line, faults.list[i].text);
    return 1;
  }
  const struct cox_transport transport = {.workers = 2, .start = start, .cancel = cancel};
  json_t *const participant = json_pack("{ss, ss}", "address", "gonka1bench", "pubkey", "Abench");
  const struct cox_broker_options options = {.clock = cox_clock_system(), .seed = 1, .policy = cox_script_policy(script),
                                             .transport = &transport, .participant = participant,
                                             .callback_url = "http://10.0.0.5:9100", .probe_interval_s = -1};
  open_attempts = calloc((size_t)nodes + 1, sizeof *open_attempts);
  broker = cox_broker_create(&options, NULL);
  const long before_kib = rss_kib();
  register_nodes(nodes);
  bench_report_one("memory per registered node", (double)(rss_kib() - before_kib) / nodes, "KiB");
  send_block(99, 0);
  run_all();
  give_all_back();
  measure(rounds, measure_reference(nodes, rounds));
  measure_visits(rounds);
  bench_report_one("memory per node after all rounds", (double)(rss_kib() - before_kib) / nodes, "KiB");
  cox_broker_destroy(broker);
  cox_script_destroy(script);
  json_decref(participant);
  json_decref(folders);
  free(open_attempts);
  return 0;
}
