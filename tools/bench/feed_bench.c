/* The feed of a chain, over real websockets and HTTP on loopback. Usage: feed_bench [NODES] [EPOCHS] [SECONDS]. Prints one JSON object
 * per figure: from a block's announcement to the first request at each node when the phase changes; and, with a thousand blocks a
 * second of 30 KB each from another process, how far the world lags behind and what that costs in memory of this process, which is
 * the daemon with its store in a file, once all that it keeps up to a bound is full (half a minute passes before).                */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon.h"
#include "script/script.h"
#include "sim/sim.h"
#include "lack.h"
#include "report.h"

enum { EPOCH = 40, STAGE = 10, DELAY = 2, VALIDATION = 10, WAIT_MS = 20000 };

static int64_t wall_ms(void) { return cox_clock_wall_ms(cox_clock_system()); }

static void pause_us(long us) { nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL); }

static void print(const char *name, double *values, size_t count, const char *unit) {
  if (count > 0) bench_report(name, values, count, unit);
}

static json_t *params(void) {
  return json_pack("{si, si, si, si, si}", "epoch_length", EPOCH, "poc_stage_duration", STAGE, "poc_validation_delay", DELAY,
                   "poc_validation_duration", VALIDATION, "set_new_validators_delay", 1);
}

/* `store`: ":memory:" or a file. */
static struct cox_daemon *start_daemon(json_t *nodes, unsigned port, const char *store) {
  json_t *const feed = json_pack("{ss, so, so}", "kind", "cometbft", "rpc", json_sprintf("http://127.0.0.1:%u", port), "rest",
                                 json_sprintf("http://127.0.0.1:%u", port));
  char *const nodes_text = json_dumps(nodes, JSON_COMPACT), *const feed_text = json_dumps(feed, JSON_COMPACT);
  json_decref(feed);
  char *declared = NULL, *fed = NULL, *stored = NULL;
  if (asprintf(&declared, "nodes=%s", nodes_text) < 0 || asprintf(&fed, "feed=%s", feed_text) < 0 || asprintf(&stored, "store=%s", store) < 0) exit(1);
  const char *const overrides[] = {declared, fed, stored, "admin.listen=127.0.0.1:0", "callback_url=http://127.0.0.1:9100",
                                   "probe.interval_s=3600", "participant={\"address\":\"gonka1bench\",\"pubkey\":\"Abench\"}", NULL};
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(NULL, overrides, "scripts", &faults);
  struct cox_daemon *const daemon = config != NULL ? cox_daemon_start(config, &faults) : NULL;
  for (size_t i = 0; i < faults.count; i++) fprintf(stderr, "%s\n", faults.list[i].text);
  if (daemon == NULL) exit(1);
  json_decref(config);
  free(declared);
  free(fed);
  free(stored);
  free(nodes_text);
  free(feed_text);
  return daemon;
}

static void wait_converged(struct cox_daemon *daemon, int64_t height) {
  struct cox_stats stats;
  for (int64_t until = wall_ms() + WAIT_MS; wall_ms() < until; pause_us(2000)) {
    json_t *const world = cox_broker_world_json(cox_daemon_broker(daemon));
    const bool is_there = json_integer_value(json_object_get(world, "height")) >= height;
    json_decref(world);
    cox_broker_stats(cox_daemon_broker(daemon), &stats);
    if (is_there && stats.converged == stats.nodes) return;
  }
  fprintf(stderr, "the fleet did not get to block %lld in time\n", (long long)height);
}

/* Makes the block at which a phase begins, and notes for each node when its first request came. */
static size_t change_phase(struct cox_sim_chain *chain, struct cox_sim_fleet *fleet, struct cox_daemon *daemon, int64_t height, double *out) {
  cox_sim_fleet_reset(fleet);
  const int64_t made_ms = wall_ms();
  cox_sim_chain_advance(chain, 1, NULL);
  size_t count = 0, nodes = 1;
  for (const int64_t until = made_ms + WAIT_MS; count < nodes && wall_ms() < until; pause_us(5000)) {
    json_t *const report = cox_sim_fleet_report(fleet), *const list = json_object_get(report, "nodes");
    size_t i;
    json_t *node;
    count = 0;
    nodes = json_array_size(list);
    json_array_foreach(list, i, node) {
      const json_t *const first = json_object_get(node, "first_call_ms");
      if (json_is_integer(first)) out[count++] = (double)(json_integer_value(first) - made_ms);
    }
    json_decref(report);
  }
  wait_converged(daemon, height);
  return count;
}

static void measure_phases(unsigned node_count, int epochs) {
  struct cox_err err;
  struct cox_sim_fleet *const fleet = cox_sim_fleet_create(&(struct cox_sim_fleet_options){.count = node_count}, &err);
  if (fleet == NULL) exit(1);
  json_t *const nodes = cox_sim_fleet_nodes(fleet), *const epoch = params();
  struct cox_sim_chain *const chain = cox_sim_chain_create(
      &(struct cox_sim_chain_options){.epoch_params = epoch, .nodes = nodes, .participant = "gonka1bench", .block_bytes = 30000}, &err);
  if (chain == NULL) exit(1);
  struct cox_daemon *const daemon = start_daemon(nodes, cox_sim_chain_port(chain), ":memory:");
  double *const all = calloc((size_t)epochs * 3 * node_count, sizeof *all);
  size_t count = 0;
  int64_t height = 1;
  wait_converged(daemon, 1);
  for (int i = 0; i < epochs; i++) {
    const int64_t start = 1 + EPOCH / 2 + i * EPOCH;
    const int64_t boundaries[] = {start, start + STAGE, start + STAGE + DELAY + VALIDATION};
    for (size_t k = 0; k < 3; k++) {
      for (; height < boundaries[k] - 1; height++) {
        cox_sim_chain_advance(chain, 1, NULL);
        pause_us(20000);
      }
      wait_converged(daemon, height);
      count += change_phase(chain, fleet, daemon, ++height, all + count);
    }
  }
  print("block event to the first request at a node, phase change", all, count, "ms");
  free(all);
  cox_daemon_stop(daemon);
  cox_sim_chain_destroy(chain);
  cox_sim_fleet_destroy(fleet);
  json_decref(nodes);
  json_decref(epoch);
}

/* A chain in a process of its own; its port comes through a pipe. */
static pid_t start_fast_chain(unsigned *port) {
  int fds[2];
  if (pipe(fds) != 0) exit(1);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the benchmark */
    struct cox_err err;
    json_t *const epoch = json_pack("{si, si}", "epoch_length", 4000, "poc_stage_duration", 1000);
    struct cox_sim_chain *const chain = cox_sim_chain_create(
        &(struct cox_sim_chain_options){.block_ms = 1, .epoch_params = epoch, .participant = "gonka1bench", .block_bytes = 30000}, &err);
    const unsigned own = chain != NULL ? cox_sim_chain_port(chain) : 0;
    if (write(fds[1], &own, sizeof own) != (ssize_t)sizeof own) exit(1);
    for (;;) pause();
  }
  if (read(fds[0], port, sizeof *port) != (ssize_t)sizeof *port || *port == 0) exit(1);
  return child;
}

static double resident_mib(void) {
  long pages = 0, resident = 0;
  FILE *const file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
  if (file != NULL) fclose(file);
  return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

/* The least of several looks within a second: blocks that wait to be read come and go. */
static double held_mib(void) {
  double least = 1e9;
  for (int i = 0; i < 10; i++, pause_us(100000)) {
    cox_daemon_tidy_process(); /* as `coxswain run` does once a minute */
    const double now = resident_mib();
    if (now < least) least = now;
  }
  return least;
}

/* Milliseconds of the day of "…T12:34:56.789012345Z". */
static double day_ms(const char *text) {
  int hours, minutes;
  double seconds;
  const char *const at = text != NULL ? strchr(text, 'T') : NULL;
  return at != NULL && sscanf(at, "T%d:%d:%lf", &hours, &minutes, &seconds) == 3 ? ((hours * 60 + minutes) * 60 + seconds) * 1000 : -1;
}

/* Until all that is kept of the past up to a bound has reached it: the journal's ring (2 048 lines) and the pages of the store's file. */
static void fill_up(struct cox_broker *broker) {
  enum { LINES = 6000, MOST_MS = 90000 };
  for (const int64_t until = wall_ms() + MOST_MS; wall_ms() < until && cox_broker_events_last(broker) < LINES;) pause_us(50000);
}

struct ages {
  double *age_ms, *at_ms, *lack_ms; /* of each sample: of the world, when, and how long threads had lacked a processor by then */
  size_t count, room;
};

/* Looks at the world every 2 ms. */
static void sample_ages(struct ages *ages, struct cox_broker *broker, const struct bench_lack *lack, int seconds) {
  enum { SAMPLE_US = 2000 };
  ages->room = (size_t)seconds * 1000000 / SAMPLE_US + 1;
  ages->age_ms = calloc(3 * ages->room, sizeof *ages->age_ms);
  ages->at_ms = ages->age_ms + ages->room;
  ages->lack_ms = ages->at_ms + ages->room;
  for (int64_t until = wall_ms() + seconds * 1000; wall_ms() < until && ages->count < ages->room; pause_us(SAMPLE_US)) {
    json_t *const world = cox_broker_world_json(broker);
    const double at = day_ms(json_string_value(json_object_get(world, "time")));
    json_decref(world);
    if (at < 0) continue;
    ages->age_ms[ages->count] = (double)(wall_ms() % 86400000) - at;
    ages->at_ms[ages->count] = bench_now_us() / 1000;
    ages->lack_ms[ages->count++] = bench_lack_ms(lack);
  }
}

/* All ages, and those in whose time no thread of daemon or chain lacked a processor for long: what is late then is late by its own fault. */
static void print_ages(struct ages *ages) {
  const double lack_most_ms = 2;
  double *const own = calloc(ages->count + 1, sizeof *own);
  size_t count = 0;
  for (size_t i = 1; i + 1 < ages->count; i++) {
    size_t from = i - 1, to = i + 1;
    while (from > 0 && ages->at_ms[from] > ages->at_ms[i] - ages->age_ms[i]) from--; /* when the block was made */
    while (to + 1 < ages->count && ages->age_ms[to] > ages->age_ms[to - 1]) to++; /* when the next one was told: a wait counts at its end */
    if (ages->lack_ms[to] - ages->lack_ms[from] < lack_most_ms) own[count++] = ages->age_ms[i];
  }
  print("age of the world at 1000 blocks a second, no thread lacking a processor", own, count, "ms");
  print("age of the world at 1000 blocks a second", ages->age_ms, ages->count, "ms");
  free(own);
}

static void measure_catch_up(int seconds) {
  char folder[] = "/tmp/coxswain-bench-XXXXXX", store[sizeof folder + 16], command[sizeof folder + 16];
  if (mkdtemp(folder) == NULL) exit(1);
  snprintf(store, sizeof store, "%s/coxswain.db", folder);
  snprintf(command, sizeof command, "rm -r %s", folder);
  unsigned port;
  const pid_t chain = start_fast_chain(&port);
  json_t *const nodes = json_array();
  struct cox_daemon *const daemon = start_daemon(nodes, port, store); /* as when it is deployed */
  struct bench_lack lack = {.count = 0};
  struct ages ages = {.count = 0};
  fill_up(cox_daemon_broker(daemon));
  const double before = held_mib();
  json_t *first = cox_broker_world_json(cox_daemon_broker(daemon));
  bench_lack_watch(&lack, getpid());
  bench_lack_watch(&lack, chain);
  sample_ages(&ages, cox_daemon_broker(daemon), &lack, seconds);
  bench_lack_fini(&lack);
  json_t *const last = cox_broker_world_json(cox_daemon_broker(daemon));
  const json_int_t blocks = json_integer_value(json_object_get(last, "height")) - json_integer_value(json_object_get(first, "height"));
  print_ages(&ages);
  free(ages.age_ms); /* ours, and not the daemon's */
  bench_report_one("blocks a second that were told at 1000 blocks a second", (double)blocks / seconds, "1/s");
  bench_report_one("memory that grew meanwhile, all bounded stores of the past being full", held_mib() - before, "MiB");
  json_decref(first);
  json_decref(last);
  cox_daemon_stop(daemon);
  json_decref(nodes);
  kill(chain, SIGKILL);
  waitpid(chain, NULL, 0);
  if (system(command) != 0) fprintf(stderr, "%s was not removed\n", folder);
}

int main(int argc, char **argv) {
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  cox_daemon_tune_process(); /* as `coxswain run` does */
  measure_catch_up(argc > 3 ? atoi(argv[3]) : 20);
  measure_phases(argc > 1 ? (unsigned)atoi(argv[1]) : 100, argc > 2 ? atoi(argv[2]) : 3);
  return 0;
}
