/* The whole daemon against simulated nodes in another process, over loopback HTTP: how fast a phase reaches everybody, what it costs
 * in memory and descriptors. Usage: fleet_bench [NODES] [LATENCY_MS] [ROUNDS]. Prints one JSON object per figure.               */
#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon.h"
#include "report.h"
#include "script/script.h"
#include "sim/sim.h"

static struct cox_daemon *daemon_;

static double now_ms(void) { return bench_now_us() / 1000; }

static void pause_us(long us) { nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL); }

static int open_files(void) {
  DIR *const dir = opendir("/proc/self/fd");
  int count = 0;
  while (dir != NULL && readdir(dir) != NULL) count++;
  if (dir != NULL) closedir(dir);
  return count;
}

/* The nodes in a process of their own; their configuration comes through a pipe. */
static pid_t start_fleet(unsigned nodes, int64_t latency_ms, json_t **config) {
  int fds[2];
  if (pipe(fds) != 0) exit(1);
  const pid_t child = fork();
  if (child == 0) {
    struct cox_err err;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct cox_sim_fleet *const fleet =
        cox_sim_fleet_create(&(struct cox_sim_fleet_options){.count = nodes, .latency_ms = latency_ms}, &err);
    if (fleet == NULL) fprintf(stderr, "%s\n", err.text);
    if (fleet != NULL) json_dumpfd(cox_sim_fleet_nodes(fleet), fds[1], JSON_COMPACT);
    close(fds[1]);
    for (;;) pause();
  }
  close(fds[1]);
  *config = json_loadfd(fds[0], 0, NULL);
  close(fds[0]);
  if (*config == NULL) exit(1);
  return child;
}

static void start_daemon(json_t *nodes) {
  char *const text = json_dumps(nodes, JSON_COMPACT);
  const size_t size = strlen(text) + 16;
  char *const declared = malloc(size);
  snprintf(declared, size, "nodes=%s", text);
  const char *const overrides[] = {declared, "store=:memory:", "admin.listen=127.0.0.1:0", "callback_url=http://127.0.0.1:9100",
                                   "participant={\"address\":\"gonka1bench\",\"pubkey\":\"Abench\"}", NULL};
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(NULL, overrides, "scripts", &faults);
  const double began = now_ms();
  if (config != NULL) daemon_ = cox_daemon_start(config, &faults);
  for (size_t i = 0; i < faults.count; i++) fprintf(stderr, "%s\n", faults.list[i].text);
  if (daemon_ == NULL) exit(1);
  double took = now_ms() - began;
  bench_report("start to ready", &took, 1, "ms");
  json_decref(config);
  free(declared);
  free(text);
}

static void send_block(int height, int start) {
  struct cox_answer answer;
  struct cox_err err;
  json_t *const args = json_pack("{si, so, s{si, si, so}, s{si, si, si, si}}", "height", height, "hash", json_sprintf("H%d", height), "epoch",
                                 "index", start / 100, "poc_start_block_height", start, "poc_start_block_hash", json_sprintf("H%d", start),
                                 "params", "epoch_length", 100, "poc_stage_duration", 20, "poc_validation_delay", 2,
                                 "poc_validation_duration", 10);
  if (cox_broker_call(cox_daemon_broker(daemon_), "new_block", args, 10000, &answer, &err) != 0) fprintf(stderr, "%s\n", err.text);
  cox_answer_fini(&answer);
  json_decref(args);
}

static double converge_ms(int height, int start) {
  const double began = now_ms();
  send_block(height, start);
  struct cox_stats stats;
  do {
    pause_us(1000);
    cox_broker_stats(cox_daemon_broker(daemon_), &stats);
  } while (stats.converged < stats.nodes && now_ms() - began < 60000);
  return now_ms() - began;
}

static double processor_s(const struct rusage *usage) {
  return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) + (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  const unsigned nodes = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
  const int64_t latency_ms = argc > 2 ? atoi(argv[2]) : 0;
  const int rounds = argc > 3 ? atoi(argv[3]) : 5;
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  json_t *config;
  const pid_t fleet = start_fleet(nodes, latency_ms, &config);
  cox_daemon_tune_process();
  const int files_before = open_files();
  start_daemon(config);
  json_decref(config);
  converge_ms(50, 0);
  double *const generate = calloc((size_t)rounds, sizeof *generate), *const validate = calloc((size_t)rounds, sizeof *validate);
  double *const serve = calloc((size_t)rounds, sizeof *serve);
  for (int i = 0; i < rounds; i++) {
    const int start = 100 * (i + 1);
    generate[i] = converge_ms(start, start);
    validate[i] = converge_ms(start + 20, start);
    serve[i] = converge_ms(start + 40, start);
  }
  bench_report("all nodes to POC/GENERATING (state, stop, init)", generate, (size_t)(rounds), "ms");
  bench_report("all nodes to POC/VALIDATING (state, init)", validate, (size_t)(rounds), "ms");
  bench_report("all nodes to INFERENCE (state, stop, up, state, health)", serve, (size_t)(rounds), "ms");
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double peak_mib = (double)usage.ru_maxrss / 1024, cpu_s = processor_s(&usage);
  bench_report("peak memory of the daemon", &peak_mib, 1, "MiB");
  bench_report("processor time of the daemon", &cpu_s, 1, "s");
  cox_daemon_stop(daemon_);
  double left = open_files() - files_before;
  bench_report("file descriptors left over", &left, 1, "");
  kill(fleet, SIGTERM);
  waitpid(fleet, NULL, 0);
  getrusage(RUSAGE_CHILDREN, &usage);
  cpu_s = processor_s(&usage);
  bench_report("processor time of the nodes", &cpu_s, 1, "s");
  free(generate);
  free(validate);
  free(serve);
  return 0;
}
