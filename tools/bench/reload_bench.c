/* Exchanging the shipped scripts with a thousand nodes: from the request to the flip, and from the save of a file of policy to changed
 * targets. The broker has all its threads, every node does at once what it is told, nothing else goes on.
 *
 *   reload_bench [NODES] [ROUNDS] [WAY]     1000, 15; WAY request, save or broken: only that one, as for a profiler;
 *                                           memory: what is in use after each tenth of the rounds, with a store in a file                */
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "core/broker.h"
#include "report.h"
#include "scripts_ask.h"
#include "script/script.h"
#include "store/sqlite.h"

enum { CALL_MS = 120000, LOOK_NS = 200000, LIMIT_MS = 60000 };

static char folder[64];
static struct cox_script *script;
static struct cox_broker *broker;
static struct cox_sqlite *store; /* NULL: none */

static void give_up(const char *why) {
  fprintf(stderr, "reload_bench: %s\n", why);
  exit(1);
}

/* ---- the fleet ---- */

static void start(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  attempt->result.class_ = COX_CLASS_NONE;
  cox_broker_complete(broker, attempt);
}

static void cancel(void *ctx, unsigned worker, uint64_t attempt) { (void)ctx, (void)worker, (void)attempt; }

static const struct cox_transport transport = {.workers = 1, .start = start, .cancel = cancel};

/* Takes `args`. */
static void call(const char *name, json_t *args) {
  struct cox_answer answer;
  struct cox_err err = {0};
  if (cox_broker_call(broker, name, args, CALL_MS, &answer, &err) != 0) give_up(err.text);
  if (answer.outcome == COX_ANSWER_ERROR) give_up(answer.err.text);
  cox_answer_fini(&answer);
  json_decref(args);
}

static json_t *node(int i) {
  return json_pack("{so, ss, si, si, si, s{s{s[]}}}", "id", json_sprintf("node%04d", i), "host", "127.0.0.1", "inference_port", 2 * i + 1000,
                   "poc_port", 2 * i + 1001, "max_concurrent", 4, "models", "m", "args");
}

static json_t *block(void) {
  return json_pack("{si, ss, s{si, si}, s{si, si, si, si}}", "height", 50, "hash", "H50", "epoch", "index", 0, "poc_start_block_height", 0,
                   "params", "epoch_length", 1000000, "poc_stage_duration", 20, "poc_validation_delay", 2, "poc_validation_duration", 10);
}

static void fill_fleet(int nodes) {
  for (int i = 0; i < nodes; i++) call("register_node", json_pack("{so}", "node", node(i)));
  call("new_block", block());
  const double end_us = bench_now_us() + LIMIT_MS * 1000.0;
  for (struct cox_stats stats = {0}; stats.converged < (size_t)nodes;) {
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    cox_broker_stats(broker, &stats);
    if (bench_now_us() > end_us) give_up("the fleet does not converge");
  }
}

static void run_shell(const char *format) {
  char text[256];
  snprintf(text, sizeof text, format, folder);
  if (system(text) != 0) give_up(text);
}

static void open_all(int nodes, bool is_watching) {
  struct cox_faults faults = {0};
  struct cox_err err = {0};
  snprintf(folder, sizeof folder, "/tmp/coxswain-bench-XXXXXX");
  if (mkdtemp(folder) == NULL) give_up("no folder in /tmp");
  run_shell("cp -r scripts/. %s");
  const struct cox_script_options options = {.scripts_dir = folder, .library_dir = "lua", .clock = cox_clock_system(), .is_watching = is_watching,
                                             .command_budget_s = 30 /* for profilers */};
  script = cox_script_create(&options, &faults);
  if (script == NULL) give_up(faults.list[0].text);
  const struct cox_broker_options wanted = {
      .clock = cox_clock_system(), .seed = 1, .policy = cox_script_policy(script), .probe_interval_s = -1, .transport = &transport,
                                             .store = store != NULL ? cox_sqlite_store(store) : NULL};
  broker = cox_broker_create(&wanted, &err);
  if (broker == NULL) give_up(err.text);
  cox_script_set_broker(script, broker);
  if (cox_broker_start(broker, &err) != 0 || cox_script_start(script, NULL, NULL, &err) != 0) give_up(err.text);
  fill_fleet(nodes);
}

static void close_all(void) {
  cox_script_stop(script);
  cox_broker_stop(broker, 10000);
  cox_broker_destroy(broker);
  cox_script_destroy(script);
  run_shell("rm -r %s");
}

/* ---- the request ---- */

static void reload(enum cox_scripts_status wanted) {
  if (scripts_ask(cox_script_scripts(script), false) != wanted) give_up("a reload ended in another way than it should");
}

static void write_script(const char *name, const char *format, int number) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *const file = fopen(path, "w");
  if (file == NULL) give_up(path);
  fprintf(file, format, number);
  fclose(file);
}

static double now_cpu_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void measure_requests(int nodes, int rounds, bool is_broken, const char *what) {
  double *const wall = calloc((size_t)rounds, sizeof *wall), *const cpu = calloc((size_t)rounds, sizeof *cpu);
  char figure[128];
  open_all(nodes, false);
  for (int i = 0; i < rounds; i++) {
    write_script("policy/note.lua", is_broken ? "return { -- %d" : "return {} -- %d", i);
    const double before_us = bench_now_us(), cpu_us = now_cpu_us();
    reload(is_broken ? COX_SCRIPTS_REFUSED : COX_SCRIPTS_DONE);
    wall[i] = (bench_now_us() - before_us) / 1000;
    cpu[i] = (now_cpu_us() - cpu_us) / 1000;
  }
  close_all();
  snprintf(figure, sizeof figure, "%s, %d nodes", what, nodes);
  bench_report(figure, wall, (size_t)rounds, "ms");
  snprintf(figure, sizeof figure, "%s, %d nodes, processor time", what, nodes);
  bench_report(figure, cpu, (size_t)rounds, "ms");
  free(wall);
  free(cpu);
}

/* ---- the save ---- */

#define RULE "if ask.status == \"INFERENCE\" then"
#define EDIT "if ask.status == \"INFERENCE\" and (node.id or \"\"):find(\"^node%d%d%d%d$\") then return { status = \"STOPPED\" } end\n  "

static char *read_script(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *const file = fopen(path, "r");
  char *const text = calloc(1, 256 * 1024);
  if (file == NULL || text == NULL || fread(text, 1, 256 * 1024 - 1, file) == 0) give_up(path);
  fclose(file);
  return text;
}

/* As an editor that writes in place. */
static void write_phases(const char *shipped, bool is_edited) {
  char path[128];
  const char *const rule = strstr(shipped, RULE);
  if (rule == NULL) give_up("policy/phases.lua has another rule for inference now: change this benchmark");
  snprintf(path, sizeof path, "%s/policy/phases.lua", folder);
  FILE *const file = fopen(path, "w");
  if (file == NULL) give_up(path);
  fprintf(file, "%.*s%s%s", (int)(rule - shipped), shipped, is_edited ? EDIT : "", rule);
  fclose(file);
}

static bool is_stopped(const char *id) {
  json_t *const shown = cox_broker_node_json(broker, id);
  const char *const status = json_string_value(json_object_get(json_object_get(shown, "state"), "intended_status"));
  const bool is = status != NULL && strcmp(status, "STOPPED") == 0;
  json_decref(shown);
  return is;
}

static void await_targets(int nodes, bool is_edited) {
  char last[16];
  snprintf(last, sizeof last, "node%04d", nodes - 1);
  const double end_us = bench_now_us() + LIMIT_MS * 1000.0;
  while (is_stopped("node0000") != is_edited || is_stopped(last) != is_edited) {
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    if (bench_now_us() > end_us) give_up("the targets do not change");
  }
}

static void measure_saves(int nodes, int rounds) {
  double *const wall = calloc((size_t)rounds, sizeof *wall);
  char figure[128];
  open_all(nodes, true);
  char *const shipped = read_script("policy/phases.lua");
  for (int i = 0; i < rounds; i++) {
    const bool is_edited = i % 2 == 0;
    const double before_us = bench_now_us();
    write_phases(shipped, is_edited);
    await_targets(nodes, is_edited);
    wall[i] = (bench_now_us() - before_us) / 1000;
  }
  close_all();
  snprintf(figure, sizeof figure, "save of policy/phases.lua to the changed targets of all %d nodes", nodes);
  bench_report(figure, wall, (size_t)rounds, "ms");
  free(shipped);
  free(wall);
}

/* ---- memory ---- */

/* Each round is another set of scripts: a line of the journal, a text that comes and one that goes, and the choice. */
static void measure_memory(int nodes, int rounds) {
  char path[] = "/tmp/coxswain-bench-store-XXXXXX", name[64];
  struct cox_err err = {0};
  const int fd = mkstemp(path);
  if (fd < 0 || close(fd) != 0 || unlink(path) != 0) give_up("no file in /tmp");
  store = cox_sqlite_create(&(struct cox_sqlite_options){.path = path, .clock = cox_clock_system()}, &err);
  if (store == NULL) give_up(err.text);
  open_all(nodes, false);
  for (int i = 0; i <= rounds; i++) {
    const int tenth = rounds >= 10 ? rounds / 10 : 1;
    if (i % tenth == 0) {
      const struct mallinfo2 info = mallinfo2();
      printf("%8d reloads: %.0f KiB in use\n", i, (double)(info.uordblks + info.hblkhd) / 1024);
      fflush(stdout);
    }
    write_script("policy/note.lua", "return {} -- %d", i);
    reload(COX_SCRIPTS_DONE);
  }
  close_all();
  cox_sqlite_destroy(store);
  store = NULL;
  const char *const ends[] = {"", "-wal", "-shm"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    unlink(name);
  }
}

int main(int argc, char **argv) {
  const int nodes = argc > 1 ? atoi(argv[1]) : 1000, rounds = argc > 2 ? atoi(argv[2]) : 15;
  const char *const way = argc > 3 ? argv[3] : "";
  if (nodes < 1 || rounds < 1) give_up("usage: reload_bench [NODES] [ROUNDS] [request|save|broken|memory]");
  cox_log_setup(COX_LOG_ERROR, false, open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (*way == '\0' || strcmp(way, "request") == 0) measure_requests(nodes, rounds, false, "reload from request to flip");
  if (*way == '\0' || strcmp(way, "broken") == 0) measure_requests(nodes, rounds, true, "reload refused for a syntax error");
  if (*way == '\0' || strcmp(way, "save") == 0) measure_saves(nodes, rounds);
  if (strcmp(way, "memory") == 0) measure_memory(nodes, rounds);
  return 0;
}
