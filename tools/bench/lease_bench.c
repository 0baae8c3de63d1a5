/* What a lease costs in the process: acquire and release, with few nodes and many, on one thread and on four, with waiters
 * present, and the bytes that it takes. Usage: lease_bench [SECONDS per run]. Prints one JSON object per figure.            */
#include <jansson.h>
#include <malloc.h>
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
#include "core/txn.h"
#include "report.h"

enum { THREADS_MAX = 4, WAITERS = 10000, LEASES = 100000, HELD = 32, RUNS = 9, PICKS = 20000 };

static struct cox_broker *broker;

/* ---- a policy with just what makes nodes serve ---- */

static int lookup(void *ctx, const char *name, enum cox_priority *priority) {
  (void)ctx;
  (void)name;
  *priority = COX_PRIORITY_HIGH;
  return 0;
}

static double limit_s(void *ctx, const char *kind, enum cox_status status) {
  (void)ctx;
  (void)kind;
  (void)status;
  return 100;
}

static uint64_t generation(void *ctx) {
  (void)ctx;
  return 1;
}

static void run(void *ctx, const char *name, json_t *args, struct cox_txn *txn, struct cox_answer *answer) {
  (void)ctx;
  (void)answer;
  struct cox_err err;
  if (strcmp(name, "block") == 0) {
    cox_txn_set_world(txn, args);
    cox_txn_issue(txn, "due");
  } else if (strcmp(name, "register") == 0) {
    const int slot = cox_txn_register(txn, args, &err);
    const char *const model = json_object_iter_key(json_object_iter(json_object_get(args, "models")));
    cox_txn_intend(txn, slot, cox_target_create(json_pack("{ss, ss}", "status", "INFERENCE", "model", model), NULL, &err), &err);
  }
}

static void start(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  cox_broker_complete(broker, attempt); /* it succeeded */
}

static void cancel(void *ctx, unsigned worker, uint64_t attempt) {
  (void)ctx;
  (void)worker;
  (void)attempt;
}

static void send(const char *name, json_t *args) {
  if (cox_broker_submit(broker, name, args, NULL, NULL, NULL) != 0) abort();
  json_decref(args);
  while (cox_broker_step_commands(broker) + cox_broker_step_reconcile(broker, NULL) > 0) {}
}

static void add_node(int number, int max_concurrent, const char *model) {
  send("register", json_pack("{so, ss, si, si, si, s{s{s[]}}}", "id", json_sprintf("node%d", number), "host", "10.0.0.1", "inference_port",
                             1 + number, "poc_port", 20001 + number, "max_concurrent", max_concurrent, "models", model, "args"));
}

static void begin(int nodes) {
  static const struct cox_policy policy = {.lookup = lookup, .limit_s = limit_s, .run = run, .generation = generation};
  static const struct cox_transport transport = {.workers = 1, .start = start, .cancel = cancel};
  const struct cox_broker_options options = {.clock = cox_clock_system(), .seed = 1, .policy = &policy, .transport = &transport,
                                             .probe_interval_s = -1, .leases = {.slow_start_s = -1}};
  broker = cox_broker_create(&options, NULL);
  send("block", json_pack("{si, ss, sb}", "height", 1, "hash", "A", "synced", 1));
  for (int i = 0; i < nodes; i++) add_node(i, 100, "m");
}

/* ---- figures ---- */

struct runner {
  struct cox_thread thread;
  atomic_bool *is_over;
  unsigned held; /* leases at any time */
  uint64_t pairs;
};

/* Some leases are held at any time, so that the least load is not always none: as many by one thread as by four together. */
static void pair_up(void *arg) {
  struct runner *const runner = arg;
  const struct cox_lease_ask ask = {.model = "m"};
  struct cox_lease_grant held[HELD];
  for (unsigned i = 0; i < runner->held; i++) {
    if (cox_lease_acquire(broker, &ask, 0, NULL, &held[i], NULL) != 0) abort();
  }
  for (; !atomic_load_explicit(runner->is_over, memory_order_relaxed); runner->pairs++) {
    struct cox_lease_grant *const grant = &held[runner->pairs % runner->held];
    cox_lease_grant_fini(grant);
    if (cox_lease_release(broker, grant->id, COX_LEASE_UNSAID, NULL) != 0) abort();
    if (cox_lease_acquire(broker, &ask, 0, NULL, grant, NULL) != 0) abort();
  }
  for (unsigned i = 0; i < runner->held; i++) {
    cox_lease_grant_fini(&held[i]);
    cox_lease_release(broker, held[i].id, COX_LEASE_UNSAID, NULL);
  }
}

static double cpu_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* `per_cpu_s`: the same by processor time, which others on the machine do not take away. */
static double pairs_per_second(int threads, double seconds, double *per_cpu_s) {
  struct runner runner[THREADS_MAX] = {0};
  atomic_bool is_over = false;
  const int64_t began_us = cox_clock_mono_us(cox_clock_system());
  const double began_cpu_s = cpu_s();
  for (int i = 0; i < threads; i++) {
    runner[i].is_over = &is_over;
    runner[i].held = HELD / (unsigned)threads;
    if (cox_thread_start(&runner[i].thread, "runner", pair_up, &runner[i], NULL) != 0) abort();
  }
  usleep((useconds_t)(seconds * 1e6));
  atomic_store(&is_over, true);
  uint64_t pairs = 0;
  for (int i = 0; i < threads; i++) {
    cox_thread_join(&runner[i].thread);
    pairs += runner[i].pairs;
  }
  *per_cpu_s = (double)pairs / (cpu_s() - began_cpu_s);
  return (double)pairs * 1e6 / (double)(cox_clock_mono_us(cox_clock_system()) - began_us);
}

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void report_pairs(const char *where, const char *how, double *values, const char *unit) {
  char figure[96];
  snprintf(figure, sizeof figure, "acquire and release, %s, %s", where, how);
  bench_report(figure, values, RUNS, unit);
}

static void measure_pairs(const char *where, double seconds) {
  double wall[RUNS], cpu[RUNS];
  for (int i = 0; i < RUNS; i++) wall[i] = pairs_per_second(1, seconds, &cpu[i]);
  report_pairs(where, "1 thread", wall, "pairs/s");
}

/* By turns, so that what else the machine does is the same for both. */
static void measure_threads(const char *where, double seconds) {
  double one[RUNS], cpu[RUNS], four[RUNS], ratio[RUNS], unused;
  for (int i = 0; i < RUNS; i++) {
    one[i] = pairs_per_second(1, seconds, &cpu[i]);
    four[i] = pairs_per_second(THREADS_MAX, seconds, &unused); /* those that nap use no processor */
    ratio[i] = four[i] / one[i];
  }
  report_pairs(where, "1 thread", one, "pairs/s");
  report_pairs(where, "by processor time", cpu, "pairs/s");
  report_pairs(where, "4 threads", four, "pairs/s");
  report_pairs(where, "4 threads by 1", ratio, "1");
}

static void measure_pick(const char *where) {
  static double took[PICKS];
  const struct cox_lease_ask ask = {.model = "m"};
  for (int i = 0; i < PICKS; i++) {
    struct cox_lease_grant grant;
    const double began = now_us();
    if (cox_lease_acquire(broker, &ask, 0, NULL, &grant, NULL) != 0) abort();
    took[i] = now_us() - began;
    cox_lease_grant_fini(&grant);
    cox_lease_release(broker, grant.id, COX_LEASE_UNSAID, NULL);
  }
  bench_report(where, took, PICKS, "us");
}

static struct {
  struct cox_lease_id last;
  double at_us;
  size_t granted;
} handed;

static void granted(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  (void)wait;
  if (rc != 0) return;
  handed.last = grant->id;
  handed.at_us = now_us();
  handed.granted++;
  struct cox_lease_grant mine = *grant;
  cox_lease_grant_fini(&mine);
}

/* 10 000 waiters for a model whose one slot is taken; then the slot goes from one to the next. */
static void measure_waiters(double seconds) {
  static struct cox_lease_wait waits[WAITERS];
  static struct cox_lease_ask ask = {.model = "busy"};
  static double took[WAITERS];
  add_node(10, 1, "busy");
  measure_pick("a pick");
  struct cox_lease_grant first;
  if (cox_lease_acquire(broker, &ask, 0, NULL, &first, NULL) != 0) abort();
  cox_lease_grant_fini(&first);
  for (int i = 0; i < WAITERS; i++) {
    waits[i].done = granted;
    if (cox_lease_acquire(broker, &ask, 600000, &waits[i], NULL, NULL) != COX_LEASE_WAITS) abort();
  }
  measure_pick("a pick beside 10 000 waiters");
  measure_pairs("11 nodes beside 10 000 waiters", seconds);
  struct cox_lease_id last = first.id;
  for (int i = 0; i < WAITERS; i++) {
    const double began = now_us();
    if (cox_lease_release(broker, last, COX_LEASE_UNSAID, NULL) != 0 || handed.granted != (size_t)i + 1) abort();
    took[i] = handed.at_us - began;
    last = handed.last;
  }
  bench_report("release to the next of 10 000 waiters", took, WAITERS, "us");
  cox_lease_release(broker, last, COX_LEASE_UNSAID, NULL);
}

static void measure_bytes(void) {
  static struct cox_lease_id ids[LEASES];
  const struct cox_lease_ask ask = {.model = "m"};
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (int i = 0; i < LEASES; i++) {
    struct cox_lease_grant grant;
    if (cox_lease_acquire(broker, &ask, 0, NULL, &grant, NULL) != 0) abort();
    ids[i] = grant.id;
    cox_lease_grant_fini(&grant);
  }
  const double bytes = (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) / LEASES;
  for (int i = 0; i < LEASES; i++) cox_lease_release(broker, ids[i], COX_LEASE_UNSAID, NULL);
  bench_report_one("memory per lease", bytes, "bytes");
}

int main(int argc, char **argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 0.5;
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  static const int fleets[] = {10, 10000};
  for (int i = 0; i < 2; i++) {
    char where[32];
    snprintf(where, sizeof where, "%d nodes", fleets[i]);
    begin(fleets[i]);
    measure_threads(where, seconds);
    if (i == 0) measure_waiters(seconds);
    else measure_bytes();
    cox_broker_destroy(broker);
  }
  return 0;
}
