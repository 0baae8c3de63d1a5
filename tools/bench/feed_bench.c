/* The feed of a chain, over real websockets and HTTP on loopback. Usage: feed_bench [NODES] [EPOCHS] [SECONDS]. Prints one JSON object
 * per figure: from a block's announcement to the first request at each node when the phase changes; and, with a thousand blocks a
 * second of 30 KB each from another process, how far the world lags behind and what that costs in memory.                         */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon.h"
#include "script/script.h"
#include "sim/sim.h"
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

static struct cox_daemon *start_daemon(json_t *nodes, unsigned port) {
  json_t *const feed = json_pack("{ss, so, so}", "kind", "cometbft", "rpc", json_sprintf("http://127.0.0.1:%u", port), "rest",
                                 json_sprintf("http://127.0.0.1:%u", port));
  char *const nodes_text = json_dumps(nodes, JSON_COMPACT), *const feed_text = json_dumps(feed, JSON_COMPACT);
  json_decref(feed);
  char *declared = NULL, *fed = NULL;
  if (asprintf(&declared, "nodes=%s", nodes_text) < 0 || asprintf(&fed, "feed=%s", feed_text) < 0) exit(1);
  const char *const overrides[] = {declared, fed, "store=:memory:", "admin.listen=127.0.0.1:0", "callback_url=http://127.0.0.1:9100",
                                   "probe.interval_s=3600", "participant={\"address\":\"gonka1bench\",\"pubkey\":\"Abench\"}", NULL};
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(NULL, overrides, "scripts", &faults);
  struct cox_daemon *const daemon = config != NULL ? cox_daemon_start(config, &faults) : NULL;
  for (size_t i = 0; i < faults.count; i++) fprintf(stderr, "%s\n", faults.list[i].text);
  if (daemon == NULL) exit(1);
  json_decref(config);
  free(declared);
  free(fed);
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
  struct cox_daemon *const daemon = start_daemon(nodes, cox_sim_chain_port(chain));
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

/* Milliseconds of the day of "…T12:34:56.789012345Z". */
static double day_ms(const char *text) {
  int hours, minutes;
  double seconds;
  const char *const at = text != NULL ? strchr(text, 'T') : NULL;
  return at != NULL && sscanf(at, "T%d:%d:%lf", &hours, &minutes, &seconds) == 3 ? ((hours * 60 + minutes) * 60 + seconds) * 1000 : -1;
}

static void measure_catch_up(int seconds) {
  enum { SAMPLE_US = 2000 };
  unsigned port;
  const pid_t chain = start_fast_chain(&port);
  json_t *const nodes = json_array();
  struct cox_daemon *const daemon = start_daemon(nodes, port);
  const size_t room = (size_t)seconds * 1000000 / SAMPLE_US + 1;
  double *const lags = calloc(room, sizeof *lags);
  size_t count = 0;
  sleep(2); /* what is allocated once is allocated */
  const double before = resident_mib();
  json_t *first = cox_broker_world_json(cox_daemon_broker(daemon));
  for (int64_t until = wall_ms() + seconds * 1000; wall_ms() < until && count < room; pause_us(SAMPLE_US)) {
    json_t *const world = cox_broker_world_json(cox_daemon_broker(daemon));
    const double at = day_ms(json_string_value(json_object_get(world, "time")));
    if (at >= 0) lags[count++] = (double)(wall_ms() % 86400000) - at;
    json_decref(world);
  }
  json_t *const last = cox_broker_world_json(cox_daemon_broker(daemon));
  const json_int_t blocks = json_integer_value(json_object_get(last, "height")) - json_integer_value(json_object_get(first, "height"));
  print("age of the world at 1000 blocks a second", lags, count, "ms");
  bench_report_one("blocks a second that were told at 1000 blocks a second", (double)blocks / seconds, "1/s");
  bench_report_one("memory that grew meanwhile", resident_mib() - before, "MiB");
  json_decref(first);
  json_decref(last);
  free(lags);
  cox_daemon_stop(daemon);
  json_decref(nodes);
  kill(chain, SIGKILL);
  waitpid(chain, NULL, 0);
}

int main(int argc, char **argv) {
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  measure_catch_up(argc > 3 ? atoi(argv[3]) : 20);
  cox_daemon_tune_process();
  measure_phases(argc > 1 ? (unsigned)atoi(argv[1]) : 100, argc > 2 ? atoi(argv[2]) : 3);
  return 0;
}
