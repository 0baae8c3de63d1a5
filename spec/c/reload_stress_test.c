/* Reloads, half of them broken, under a load of commands and leases on a broker with its own threads: no command fails, nothing that
 * could be leased is refused, and no memory is left behind. Run under the sanitizers.
 *
 * COX_RELOADS=n (default 60) and COX_NODES=n (default 100); with COX_TIMES the figures are printed, among them how memory grows over the
 * second half. COX_STORE=sqlite keeps journal and scripts in a file, as a daemon does. The whole promise, which takes some minutes:
 *
 *   COX_TIMES=1 COX_RELOADS=10000 COX_STORE=sqlite build/spec/reload_stress_test                                                    */
#include "fake_core.h"
#include "scripts_ask.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"
#include "script/script.h"
#include "store/sqlite.h"

enum { CALL_MS = 120000, LEFT_KIB_MAX = 16 * 1024, SAMPLES_MAX = 200 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MEASURES_MEMORY = 0 };
#else
enum { MEASURES_MEMORY = 1 };
#endif

static char folder[64];
static struct cox_script *script;
static struct cox_broker *broker;
static struct cox_sqlite *sqlite; /* NULL: no store */
static atomic_bool is_over;
static atomic_uint failed_commands, refused_leases;
static unsigned long commands, leases;

static int setting(const char *name, int fallback) {
  const char *const text = getenv(name);
  return text != NULL ? atoi(text) : fallback;
}

/* Every node does at once what it is told. */
static void start(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  attempt->result.class_ = COX_CLASS_NONE;
  cox_broker_complete(broker, attempt);
}

static void cancel(void *ctx, unsigned worker, uint64_t attempt) { (void)ctx, (void)worker, (void)attempt; }

static const struct cox_transport transport = {.workers = 1, .start = start, .cancel = cancel};

static json_t *block(int height) {
  return json_pack("{si, so, s{si, si}, s{si, si, si, si}}", "height", height, "hash", json_sprintf("H%d", height), "epoch", "index", 0,
                   "poc_start_block_height", 0, "params", "epoch_length", 1000000, "poc_stage_duration", 20, "poc_validation_delay", 2,
                   "poc_validation_duration", 10);
}

/* Takes `args`. */
static void call(const char *name, json_t *args) {
  struct cox_answer answer;
  struct cox_err err = {0};
  const int rc = cox_broker_call(broker, name, args, CALL_MS, &answer, &err);
  if (rc != 0 || answer.outcome == COX_ANSWER_ERROR) {
    atomic_fetch_add(&failed_commands, 1);
    fprintf(stderr, "%s failed: %s\n", name, rc != 0 ? err.text : answer.err.text);
  }
  if (rc == 0) cox_answer_fini(&answer);
  json_decref(args);
}

static void send_commands(void *arg) {
  (void)arg;
  for (int height = 2; !atomic_load(&is_over); height++) {
    call("new_block", block(height));
    call("inference_up_all", json_object());
    commands += 2;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
}

static void lease(void *arg) {
  (void)arg;
  const struct cox_lease_ask ask = {.model = "m"};
  for (; !atomic_load(&is_over); leases++) {
    struct cox_lease_grant grant;
    struct cox_err err;
    if (cox_lease_acquire(broker, &ask, 0, NULL, &grant, &err) != 0) {
      atomic_fetch_add(&refused_leases, 1);
      fprintf(stderr, "no lease: %s\n", err.text);
    } else {
      cox_lease_release(broker, grant.id, COX_LEASE_SUCCESS, NULL);
      cox_lease_grant_fini(&grant);
    }
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
  }
}

/* ---- reloads ---- */

static enum cox_scripts_status ask(bool is_rollback) { return scripts_ask(cox_script_scripts(script), is_rollback); }

static void write_note(const char *text, int number) {
  char path[128];
  snprintf(path, sizeof path, "%s/policy/note.lua", folder);
  FILE *const file = fopen(path, "w");
  assert_non_null(file);
  fprintf(file, text, number);
  fclose(file);
}

/* Broken in turn at its syntax, at its cases, and on the fleet. */
static void write_broken(int i) {
  static const char *const ways[] = {
      "return { -- %d\n", "return { cases = { { \"%d must hold\", node = {}, world = {}, expect = 1 } }, intent = function() return 2 end }\n",
      "while true do return %d .. nil end\n"};
  write_note(ways[i % 3], i);
}

static long resident_kib(void) {
  long pages = 0, all = 0;
  FILE *const file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%ld %ld", &all, &pages) != 2) pages = 0;
  if (file != NULL) fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Memory over the reloads of the second half. */
struct growth {
  double at[SAMPLES_MAX], kib[SAMPLES_MAX];
  int count;
};

static void note_growth(struct growth *growth, int i, int count) {
  const int step = count / 2 > SAMPLES_MAX ? count / 2 / SAMPLES_MAX + 1 : 1;
  if (i < count / 2 || (i - count / 2) % step != 0 || growth->count == SAMPLES_MAX) return;
  growth->at[growth->count] = i;
  growth->kib[growth->count++] = (double)resident_kib();
}

/* The line of least squares: KiB for each thousand reloads, and twice its standard error. */
static void print_growth(const struct growth *growth) {
  double at = 0, kib = 0, squares = 0, products = 0, rest = 0;
  const int n = growth->count;
  for (int i = 0; i < n; i++) at += growth->at[i] / n, kib += growth->kib[i] / n;
  for (int i = 0; i < n; i++) {
    squares += (growth->at[i] - at) * (growth->at[i] - at);
    products += (growth->at[i] - at) * (growth->kib[i] - kib);
  }
  if (n < 3 || squares <= 0) return;
  const double slope = products / squares;
  for (int i = 0; i < n; i++) rest += pow(growth->kib[i] - kib - slope * (growth->at[i] - at), 2);
  print_message("memory over the second half: %.0f KiB, %+.2f ± %.2f KiB for each thousand reloads\n", kib, slope * 1000,
                2000 * sqrt(rest / (n - 2) / squares));
}

static double now_ms(void) { return (double)cox_clock_mono_us(cox_clock_system()) / 1000; }

static void reload_all(int count) {
  double slowest_ms = 0, whole_ms = 0;
  long begin_kib = 0;
  struct growth growth = {.count = 0};
  for (int i = 0; i < count; i++) {
    const bool is_broken = i % 2 == 1;
    if (is_broken) write_broken(i);
    else write_note("return {} -- %d\n", i);
    const double before_ms = now_ms();
    assert_int_equal(ask(false), is_broken ? COX_SCRIPTS_REFUSED : COX_SCRIPTS_DONE);
    const double took_ms = now_ms() - before_ms;
    if (!is_broken) whole_ms += took_ms;
    if (took_ms > slowest_ms) slowest_ms = took_ms;
    if (i % 10 == 8) assert_int_equal(ask(true), COX_SCRIPTS_DONE);
    if (i == count / 2) begin_kib = resident_kib();
    note_growth(&growth, i, count);
    assert_in_range(cox_script_alive(script), 1, 3);
  }
  const long left_kib = resident_kib() - begin_kib;
  if (getenv("COX_TIMES") != NULL) {
    print_message("%d reloads: %.1f ms each, the slowest %.1f ms; %ld KiB more after the second half; %lu commands, %lu leases\n", count,
                  whole_ms / (count - count / 2), slowest_ms, left_kib, commands, leases);
    print_growth(&growth);
  }
  if (MEASURES_MEMORY) assert_in_range(left_kib + LEFT_KIB_MAX, 0, 2 * LEFT_KIB_MAX);
}

/* With nothing else going on: from the request to the end of the command that the flip runs on all nodes. */
static void measure_one(void) {
  write_note("return {} -- the first, %d\n", 0);
  const double before_ms = now_ms();
  assert_int_equal(ask(false), COX_SCRIPTS_DONE);
  if (getenv("COX_TIMES") != NULL) print_message("one reload in quiet: %.1f ms\n", now_ms() - before_ms);
}

static const struct cox_store *open_store(void) {
  char path[128];
  struct cox_err err;
  const char *const kind = getenv("COX_STORE");
  if (kind == NULL || strcmp(kind, "sqlite") != 0) return NULL;
  snprintf(path, sizeof path, "%s/coxswain.db", folder);
  sqlite = cox_sqlite_create(&(struct cox_sqlite_options){.path = path}, &err);
  if (sqlite == NULL) fail_msg("%s", err.text);
  return cox_sqlite_store(sqlite);
}

static void open_all(void) {
  struct cox_faults faults = {0};
  struct cox_err err = {0};
  char text[128];
  snprintf(folder, sizeof folder, "/tmp/coxswain-reloads-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(text, sizeof text, "cp -r scripts/. %s", folder);
  assert_int_equal(system(text), 0);
  const struct cox_script_options options = {.scripts_dir = folder, .library_dir = "lua", .clock = cox_clock_system(), .command_budget_s = 30};
  script = cox_script_create(&options, &faults);
  assert_non_null(script);
  const struct cox_broker_options wanted = {
      .clock = cox_clock_system(), .seed = 1, .policy = cox_script_policy(script), .probe_interval_s = -1, .transport = &transport, .store = open_store(),
      .leases = {.slow_start_s = -1}};
  broker = cox_broker_create(&wanted, &err);
  assert_non_null(broker);
  assert_int_equal(cox_broker_load(broker, &err), 0);
  cox_script_set_broker(script, broker);
  assert_int_equal(cox_broker_start(broker, &err), 0);
  assert_int_equal(cox_script_start(script, NULL, NULL, &err), 0);
}

static void close_all(void) {
  char text[128];
  cox_script_stop(script);
  cox_broker_stop(broker, 10000);
  if (sqlite != NULL) cox_sqlite_store(sqlite)->close(cox_sqlite_store(sqlite)->ctx);
  cox_broker_destroy(broker);
  cox_script_destroy(script);
  cox_sqlite_destroy(sqlite);
  snprintf(text, sizeof text, "rm -r %s", folder);
  assert_int_equal(system(text), 0);
}

static void fill_fleet(int nodes) {
  for (int i = 0; i < nodes; i++) {
    char id[16];
    snprintf(id, sizeof id, "node%d", i);
    call("register_node", json_pack("{so}", "node", fake_node(id, 1000 + i)));
  }
  call("new_block", block(1));
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + CALL_MS * INT64_C(1000);
  for (struct cox_stats stats = {0}; stats.converged < (size_t)nodes;) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cox_broker_stats(broker, &stats);
    if (cox_clock_mono_us(cox_clock_system()) > end_us) fail_msg("%zu of %d nodes serve", stats.converged, nodes);
  }
}

static void reloads_under_load_fail_no_command_and_leave_nothing_behind(void **state) {
  (void)state;
  struct cox_thread sender = {0}, lessee = {0};
  cox_log_setup(COX_LOG_ERROR, false, open("/dev/null", O_WRONLY | O_CLOEXEC));
  open_all();
  fill_fleet(setting("COX_NODES", 100));
  measure_one();
  assert_int_equal(cox_thread_start(&sender, "sender", send_commands, NULL, NULL), 0);
  assert_int_equal(cox_thread_start(&lessee, "lessee", lease, NULL, NULL), 0);
  reload_all(setting("COX_RELOADS", 60));
  atomic_store(&is_over, true);
  cox_thread_join(&sender);
  cox_thread_join(&lessee);
  assert_int_equal(atomic_load(&failed_commands), 0);
  assert_int_equal(atomic_load(&refused_leases), 0);
  assert_true(commands > 0 && leases > 0);
  close_all();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(reloads_under_load_fail_no_command_and_leave_nothing_behind)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
