/* What durability costs: changes per second and their latency beside one fsync of the same disk, a full dispatch with and without
 * the journal, and the start. Usage: store_bench [FOLDER [PART]], from the root of the source tree; PART is changes, dispatch or start.
 * Prints one JSON object per figure.                                                                                              */
#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "core/broker.h"
#include "report.h"
#include "script/script.h"
#include "store/sqlite.h"

enum { SYNCS = 2000, SINGLES = 3000, CALLERS = 64, RUN_US = 3000000, NODES = 10000, ROUNDS = 11, FLEET = 64 };

static double sync_us, without_ms, without_own_ms; /* medians that others are measured against */
static char path[512];
static struct cox_script *script;
static struct cox_attempt **open_attempts;
static size_t opens;
static struct cox_broker *broker;
static struct cox_sqlite *sqlite;

static void start(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  open_attempts[opens++] = attempt;
}

static void cancel(void *ctx, unsigned worker, uint64_t attempt) {
  (void)ctx;
  (void)worker;
  (void)attempt;
}

static const struct cox_transport transport = {.workers = 2, .start = start, .cancel = cancel};

static double now_us(void) { return (double)cox_clock_mono_us(cox_clock_system()); }

/* Of this process, all threads: what a busy machine does not change. */
static double cpu_us(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
}

/* Of this thread: what others do beside it counts only as far as they share its caches. */
static double own_us(void) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
}

/* Returns the median. */
static double print(const char *name, double *values, int count, const char *unit) {
  bench_report(name, values, (size_t)count, unit);
  return values[count / 2];
}

static void die(const struct cox_err *err) {
  fprintf(stderr, "%s\n", err->text);
  exit(1);
}

static void remove_store(void) {
  static const char *const tails[] = {"", "-wal"};
  char name[600];
  for (size_t i = 0; i < 2; i++) {
    snprintf(name, sizeof name, "%s%s", path, tails[i]);
    unlink(name);
  }
}

static void open_broker(bool with_store) {
  struct cox_err err = {0};
  const struct cox_sqlite_options file = {.path = path};
  sqlite = with_store ? cox_sqlite_create(&file, &err) : NULL;
  if (with_store && sqlite == NULL) die(&err);
  json_t *const participant = json_pack("{ss, ss}", "address", "gonka1bench", "pubkey", "Abench");
  const struct cox_broker_options options = {.clock = cox_clock_system(), .seed = 1, .policy = cox_script_policy(script), .transport = &transport,
                                             .participant = participant, .callback_url = "http://10.0.0.5:9100",
                                             .store = sqlite != NULL ? cox_sqlite_store(sqlite) : NULL, .probe_interval_s = -1};
  broker = cox_broker_create(&options, &err);
  json_decref(participant);
  if (broker == NULL || cox_broker_load(broker, &err) != 0) die(&err);
}

static void close_broker(void) {
  if (sqlite != NULL) cox_sqlite_store(sqlite)->close(sqlite);
  cox_broker_destroy(broker);
  cox_sqlite_destroy(sqlite);
  sqlite = NULL;
}

static json_t *node_args(int i) {
  return json_pack("{s{so, ss, si, si, si, s{s{s[ss]}}}}", "node", "id", json_sprintf("node%d", i), "host", "10.0.0.1", "inference_port", 1 + i, "poc_port",
                   20001 + i, "max_concurrent", 100, "models", "Qwen/QwQ-32B", "args", "--quantization", "fp8");
}

static void call(const char *name, json_t *args) {
  struct cox_answer answer;
  struct cox_err err = {0};
  if (cox_broker_call(broker, name, args, 60000, &answer, &err) != 0) die(&err);
  if (answer.outcome == COX_ANSWER_ERROR) die(&answer.err);
  cox_answer_fini(&answer);
  json_decref(args);
}

/* ---- one fsync, one change, many changes ---- */

static void measure_syncs(void) {
  static double values[SYNCS];
  char name[600], page[4096] = {1};
  snprintf(name, sizeof name, "%s.raw", path);
  const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  for (int i = 0; i < SYNCS; i++) {
    const double began = now_us();
    if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) != 0) exit(1);
    values[i] = now_us() - began;
  }
  close(fd);
  unlink(name);
  sync_us = print("one append of 4 KiB and fdatasync", values, SYNCS, "us");
}

static void measure_singles(void) {
  static double values[SINGLES];
  for (int i = 0; i < SINGLES; i++) {
    json_t *const args = json_pack("{so, sb}", "node_id", json_sprintf("node%d", i % FLEET), "enabled", i / FLEET % 2);
    const double began = now_us();
    call("set_admin_state", args);
    values[i] = now_us() - began;
  }
  print("one durable admin change, one client", values, SINGLES, "us");
  bench_report_one("p99 of that, in medians of one fdatasync", values[SINGLES * 99 / 100] / sync_us, "times");
}

static atomic_ulong changes;
static atomic_bool is_over;

static void stand_by(void *arg) {
  (void)arg;
  pause();
}

static void run_caller(void *arg) {
  const int own = (int)(intptr_t)arg;
  for (int i = 0; !atomic_load(&is_over); i++) {
    call("set_admin_state", json_pack("{so, sb}", "node_id", json_sprintf("node%d", own), "enabled", i % 2));
    atomic_fetch_add(&changes, 1);
  }
}

static void measure_many(void) {
  static struct cox_thread callers[CALLERS];
  atomic_store(&is_over, false);
  const double began = now_us(), used = cpu_us();
  for (int i = 0; i < CALLERS; i++) cox_thread_start(&callers[i], "caller", run_caller, (void *)(intptr_t)i, NULL);
  usleep(RUN_US);
  const double count = (double)atomic_load(&changes), rate = count / ((now_us() - began) / 1e6), each = (cpu_us() - used) / count;
  atomic_store(&is_over, true);
  for (int i = 0; i < CALLERS; i++) cox_thread_join(&callers[i]);
  bench_report_one("durable admin changes of 64 clients", rate, "1/s");
  bench_report_one("processor time of such a change", each, "us");
}

static void measure_changes(void) {
  struct cox_err err;
  measure_syncs();
  open_broker(true);
  if (cox_broker_start(broker, &err) != 0) die(&err);
  for (int i = 0; i < FLEET; i++) call("register_node", node_args(i));
  measure_singles();
  measure_many();
  cox_broker_stop(broker, 1000);
  close_broker();
}

/* ---- a full dispatch ---- */

static void run_all(void) {
  while (cox_broker_step_commands(broker) + cox_broker_step_reconcile(broker, NULL) > 0) {}
}

static void send(const char *name, json_t *args) {
  struct cox_err err;
  while (cox_broker_submit(broker, name, args, NULL, NULL, &err) != 0) run_all();
  json_decref(args);
}

static void send_block(int height, int start_height) {
  send("new_block", json_pack("{si, so, s{si, si}, s{si, si, si, si}}", "height", height, "hash", json_sprintf("H%d", height), "epoch", "index",
                              start_height / 100, "poc_start_block_height", start_height, "params", "epoch_length", 100, "poc_stage_duration", 20,
                              "poc_validation_delay", 2, "poc_validation_duration", 10));
}

static void give_all_back(void) {
  for (size_t i = 0; i < opens; i++) cox_broker_complete(broker, open_attempts[i]);
  opens = 0;
  run_all();
}

static void measure_dispatch(bool with_store, int nodes) {
  static double commands[ROUNDS], dispatch[ROUNDS], own[ROUNDS], results[ROUNDS];
  char name[96];
  remove_store();
  open_broker(with_store);
  for (int i = 0; i < nodes; i++) send("register_node", node_args(i));
  run_all();
  send_block(99, 0);
  run_all();
  give_all_back();
  for (int i = 0; i < ROUNDS; i++) {
    send_block(100 * (i + 1), 100 * (i + 1));
    const double began = now_us();
    cox_broker_step_commands(broker);
    const double decided = now_us(), used = own_us();
    cox_broker_step_reconcile(broker, NULL);
    own[i] = (own_us() - used) / 1000;
    dispatch[i] = (now_us() - decided) / 1000;
    commands[i] = (decided - began) / 1000;
    const double landing = now_us();
    give_all_back();
    results[i] = (now_us() - landing) / 1000;
    send_block(100 * (i + 1) + 50, 100 * (i + 1));
    run_all();
    give_all_back();
  }
  const char *const how = with_store ? "with the journal in SQLite" : "without a store";
  snprintf(name, sizeof name, "phase command over %d nodes %s", nodes, how);
  print(name, commands, ROUNDS, "ms");
  snprintf(name, sizeof name, "dispatch of %d nodes %s", nodes, how);
  const double median_ms = print(name, dispatch, ROUNDS, "ms");
  snprintf(name, sizeof name, "processor time of that dispatch %s", how);
  const double own_ms = print(name, own, ROUNDS, "ms");
  if (with_store) {
    bench_report_one("dispatch with the journal, as a part of that without", median_ms / without_ms, "times");
    bench_report_one("the same, processor time", own_ms / without_own_ms, "times");
  } else {
    without_ms = median_ms;
    without_own_ms = own_ms;
  }
  snprintf(name, sizeof name, "all results of %d nodes %s", nodes, how);
  print(name, results, ROUNDS, "ms");
  close_broker();
}

static void measure_start(int nodes) {
  static double values[ROUNDS], processor[ROUNDS];
  char name[96];
  remove_store();
  open_broker(true);
  for (int i = 0; i < nodes; i++) send("register_node", node_args(i));
  run_all();
  send_block(99, 0);
  run_all();
  give_all_back();
  close_broker();
  for (int i = 0; i < ROUNDS; i++) {
    const double began = now_us(), used = cpu_us();
    open_broker(true);
    values[i] = (now_us() - began) / 1000;
    processor[i] = (cpu_us() - used) / 1000;
    struct cox_stats stats;
    cox_broker_stats(broker, &stats);
    if (stats.nodes != (size_t)nodes) fprintf(stderr, "%zu nodes were loaded, not %d\n", stats.nodes, nodes);
    close_broker();
  }
  snprintf(name, sizeof name, "store and registry of %d nodes loaded", nodes);
  print(name, values, ROUNDS, "ms");
  snprintf(name, sizeof name, "the same, processor time");
  print(name, processor, ROUNDS, "ms");
}

int main(int argc, char **argv) {
  snprintf(path, sizeof path, "%s/store_bench.db", argc > 1 ? argv[1] : ".");
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  struct cox_faults faults = {0};
  const struct cox_script_options scripts = {.scripts_dir = "scripts", .library_dir = "lua", .clock = cox_clock_system(), .command_budget_s = 30};
  script = cox_script_create(&scripts, &faults);
  if (script == NULL) die(&faults.list[0]);
  open_attempts = calloc(NODES + 1, sizeof *open_attempts);
  /* A process of one thread has cheaper locks and allocations, and no daemon is one: without a store it must not be, either. */
  struct cox_thread bystander;
  cox_thread_start(&bystander, "bystander", stand_by, NULL, NULL);
  const char *const part = argc > 2 ? argv[2] : NULL;
  remove_store();
  if (part == NULL || strcmp(part, "changes") == 0) measure_changes();
  if (part == NULL || strcmp(part, "dispatch") == 0) {
    measure_dispatch(false, NODES);
    measure_dispatch(true, NODES);
  }
  if (part != NULL && strcmp(part, "dispatch-0") == 0) measure_dispatch(false, NODES);
  if (part != NULL && strcmp(part, "dispatch-1") == 0) measure_dispatch(true, NODES);
  if (part == NULL || strcmp(part, "start") == 0) {
    measure_start(1000);
    measure_start(NODES);
  }
  remove_store();
  cox_script_destroy(script);
  free(open_attempts);
  return 0;
}
