/* coxswain-sim: lives of the broker in virtual time, one per seed. */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "life.h"
#include "plants.h"

enum { TRACE_SHOWN = 40 };

static const char usage[] =
    "coxswain-sim [options]: the broker in a simulated world, one life per seed\n"
    "  --seed N            one life; prints its hash\n"
    "  --seeds A..B        many; stops at the first that fails\n"
    "  --fresh N           N seeds that nobody has seen yet\n"
    "  --at-most SECONDS   begins no further life after so much real time\n"
    "  --lines             a line for each of many\n"
    "  --until-failure     from --seed on (default 1), without an end\n"
    "  --kept FILE         the lives of a file: arguments of one on each line\n"
    "  --trace             prints every event to standard output\n"
    "  --trace-of TEXT     only lines that contain TEXT\n"
    "  --machines N        1 to 100; default: by the seed\n"
    "  --life SECONDS      virtual time until the faults stop; default: by the seed\n"
    "  --without FAMILY    leaves out network, machines, chain, operators, clock, restarts, pace, disk, clients or scripts; may be repeated\n"
    "  --plant POINT       plants a bug\n"
    "  --plants [MOST]     the table of planted bugs, with the seeds 1 to MOST (10000)\n"
    "  --invariants        the list of what is checked\n"
    "Exit code: 0 all is well, 1 a life failed, 2 wrong usage, 3 the process died in a life.\n";

struct request {
  struct cox_world_options options;
  uint64_t first, last;
  bool is_many, is_endless, has_lines;
  double most_s; /* of real time; 0: as long as it takes */
};

/* ---- failure ---- */

static const char *planted; /* NULL: nothing */

/* Of node1 are not the lines about node10. */
static bool is_about(const char *line, size_t length, const char *node) {
  const size_t name = strlen(node);
  for (const char *at = line; name > 0 && (at = memmem(at, length - (size_t)(at - line), node, name)) != NULL; at += name) {
    if (at + name == line + length || !isalnum((unsigned char)at[name])) return true;
  }
  return name == 0;
}

static void print_last_lines(const char *text, const char *node) {
  const char *shown[TRACE_SHOWN] = {NULL};
  size_t count = 0;
  for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
    if (is_about(text, (size_t)(end - text), node)) shown[count++ % TRACE_SHOWN] = text;
  }
  for (size_t i = count > TRACE_SHOWN ? count - TRACE_SHOWN : 0; i < count; i++) {
    const char *const line = shown[i % TRACE_SHOWN];
    printf("%.*s\n", (int)strcspn(line, "\n"), line);
  }
}

static void show_smallest(const struct cox_world_options *smallest) {
  char *text = NULL;
  size_t size = 0;
  FILE *const trace = open_memstream(&text, &size);
  if (trace == NULL) return;
  struct cox_world_options options = *smallest;
  options.trace = trace;
  struct cox_world_outcome outcome;
  life_run(&options, &outcome);
  fclose(trace);
  const char *const node = outcome.node; /* in fewer machines it may be another one that breaks it */
  printf("the smallest life found that breaks it; the last lines%s%s:\n", node[0] != '\0' ? " about " : "", node);
  print_last_lines(text, node);
  free(text);
  printf("broken after %.6f s of it: %s\n", outcome.at_s, outcome.text);
}

static void report(const struct cox_world_options *options, const struct cox_world_outcome *outcome) {
  char arguments[256];
  life_arguments(options, arguments, sizeof arguments);
  printf("seed %" PRIu64 " FAILED after %.6f s: %s: %s\n", options->seed, outcome->at_s, outcome->invariant, outcome->text);
  fflush(stdout);
  const struct cox_world_options smallest = life_shrink(options, outcome);
  show_smallest(&smallest);
  char plant[64] = "";
  if (planted != NULL) snprintf(plant, sizeof plant, "--plant %.50s ", planted);
  printf("replay: coxswain-sim %s%s --trace\n", plant, arguments);
  life_arguments(&smallest, arguments, sizeof arguments);
  printf("smallest: coxswain-sim %s%s --trace\n", plant, arguments);
}

/* ---- lives ---- */

static void print_line(const struct cox_world_options *options, const struct cox_world_outcome *outcome) {
  printf("seed %" PRIu64 " hash %016" PRIx64 " events %" PRIu64 " commands %" PRIu64 " attempts %" PRIu64 " probes %" PRIu64 " calls %" PRIu64
         " machines %u virtual_s %.1f\n", options->seed, outcome->hash, outcome->events, outcome->commands, outcome->attempts, outcome->probes,
         outcome->calls, outcome->machines, outcome->virtual_s);
}

static int live_one(const struct cox_world_options *options) {
  struct cox_world_outcome outcome;
  life_run(options, &outcome);
  print_line(options, &outcome);
  if (outcome.has_failed) report(options, &outcome);
  return outcome.has_failed ? 1 : 0;
}

static void add(struct cox_world_outcome *all, const struct cox_world_outcome *one) {
  all->hash = all->hash * 31 + one->hash;
  all->events += one->events;
  all->commands += one->commands;
  all->attempts += one->attempts;
  all->probes += one->probes;
  all->calls += one->calls;
  all->failures += one->failures;
  all->cancels += one->cancels;
  all->stale += one->stale;
  all->late_calls += one->late_calls;
  all->processes += one->processes;
  all->virtual_s += one->virtual_s;
}

static void print_all(const struct cox_world_outcome *all, uint64_t count, double real_s) {
  printf("%" PRIu64 " lives, all well: %.1f virtual hours, %" PRIu64 " processes, %" PRIu64 " events, %" PRIu64 " commands, %" PRIu64
         " attempts (%" PRIu64 " failed, %" PRIu64 " cancels, %" PRIu64 " stale results), %" PRIu64 " probes, %" PRIu64 " calls (%" PRIu64
         " late)\n", count, all->virtual_s / 3600, all->processes, all->events, all->commands, all->attempts, all->failures, all->cancels,
         all->stale, all->probes, all->calls, all->late_calls);
  const double burnt_s = (double)clock() / CLOCKS_PER_SEC;
  printf("%.1f s, of them %.1f of processor time: %.1f lives per second of it; hash %016" PRIx64 "\n", real_s, burnt_s,
         (double)count / burnt_s, all->hash);
}

static int live_many(const struct request *request) {
  const int64_t began_us = cox_clock_mono_us(cox_clock_system());
  struct cox_world_outcome all = {0};
  uint64_t count = 0;
  for (uint64_t seed = request->first; request->is_endless || seed <= request->last; seed++) {
    struct cox_world_options options = request->options;
    options.seed = seed;
    struct cox_world_outcome outcome;
    life_run(&options, &outcome);
    if (outcome.has_failed) {
      report(&options, &outcome);
      return 1;
    }
    if (request->has_lines) print_line(&options, &outcome);
    add(&all, &outcome);
    count++;
    if (request->most_s > 0 && cox_clock_mono_us(cox_clock_system()) - began_us > (int64_t)(request->most_s * 1e6)) break;
  }
  const double real_s = (double)(cox_clock_mono_us(cox_clock_system()) - began_us) / 1e6;
  print_all(&all, count, real_s);
  return 0;
}

/* ---- arguments ---- */

static bool set_family(struct request *request, const char *name) {
  for (unsigned i = 0; cox_world_family_name(i) != NULL; i++) {
    if (strcmp(cox_world_family_name(i), name) != 0) continue;
    request->options.without |= 1u << i;
    return true;
  }
  return false;
}

static bool set_range(struct request *request, const char *text) {
  request->is_many = true;
  return sscanf(text, "%" SCNu64 "..%" SCNu64, &request->first, &request->last) == 2 && request->first <= request->last;
}

/* Seeds that nobody has seen yet. */
static bool set_fresh(struct request *request, const char *text) {
  const unsigned long count = strtoul(text, NULL, 10);
  request->is_many = true;
  request->first = cox_rng_system_seed() >> 16;
  request->last = request->first + count - 1;
  printf("seeds %" PRIu64 "..%" PRIu64 "\n", request->first, request->last);
  return count > 0;
}

static int live_kept(const char *path);

static int list_invariants(void) {
  for (const char *const *name = cox_world_invariants(); *name != NULL; name++) printf("%s\n", *name);
  return 0;
}

/* 0: go on; else an exit code + 1. */
static int take(struct request *request, int option, const char *value) {
  bool is_good = true;
  switch (option) {
    case 's': request->options.seed = request->first = strtoull(value, NULL, 10); break;
    case 'S': is_good = set_range(request, value); break;
    case 'f': is_good = set_fresh(request, value); break;
    case 'a': request->most_s = strtod(value, NULL); break;
    case 'u': request->is_many = request->is_endless = true; break;
    case 'k': return live_kept(value) + 1;
    case 'L': request->has_lines = true; break;
    case 't': request->options.trace = stdout; break;
    case 'o': request->options.trace = stdout, request->options.trace_of = value; break;
    case 'm': request->options.machines = (unsigned)strtoul(value, NULL, 10); break;
    case 'l': request->options.life_s = strtod(value, NULL); break;
    case 'w': is_good = set_family(request, value); break;
    case 'p': is_good = plants_arm(planted = value); break;
    case 'P': return (plants_table(value != NULL ? strtoull(value, NULL, 10) : 10000) == 0 ? 0 : 1) + 1;
    case 'i': return list_invariants() + 1;
    case 'h': return fputs(usage, stdout) >= 0 ? 1 : 2;
    default: is_good = false;
  }
  if (!is_good) fputs(usage, stderr);
  return is_good ? 0 : 3;
}

static int run(int argc, char **argv) {
  static const struct option options[] = {
      {"seed", required_argument, NULL, 's'},     {"seeds", required_argument, NULL, 'S'},  {"until-failure", no_argument, NULL, 'u'},
      {"fresh", required_argument, NULL, 'f'},    {"at-most", required_argument, NULL, 'a'}, {"lines", no_argument, NULL, 'L'},
      {"kept", required_argument, NULL, 'k'},     {"trace", no_argument, NULL, 't'},        {"trace-of", required_argument, NULL, 'o'},
      {"machines", required_argument, NULL, 'm'}, {"life", required_argument, NULL, 'l'},   {"without", required_argument, NULL, 'w'},
      {"plant", required_argument, NULL, 'p'},    {"plants", optional_argument, NULL, 'P'}, {"invariants", no_argument, NULL, 'i'},
      {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
  };
  struct request request = {.options = {.seed = 1}, .first = 1};
  optind = 0;
  for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    const int ends = take(&request, option, optarg);
    if (ends != 0) return ends - 1;
  }
  if (request.options.machines > 100 || optind < argc) return fputs(usage, stderr) >= 0 ? 2 : 2;
  return request.is_many ? live_many(&request) : live_one(&request.options);
}

/* A line is arguments; # begins a comment. */
static int live_kept(const char *path) {
  FILE *const file = fopen(path, "r");
  if (file == NULL) {
    fprintf(stderr, "coxswain-sim: %s cannot be read\n", path);
    return 2;
  }
  char line[512];
  int worst = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "#\n")] = '\0';
    char *words[32] = {"coxswain-sim"}, *state = NULL;
    int count = 1;
    for (char *word = strtok_r(line, " ", &state); word != NULL && count < 31; word = strtok_r(NULL, " ", &state)) words[count++] = word;
    if (count == 1) continue;
    const int code = run(count, words);
    if (code > worst) worst = code;
  }
  fclose(file);
  return worst;
}

int main(int argc, char **argv) {
  json_object_seed(1); /* of hash tables; the first one counts */
  cox_log_setup((enum cox_log_level)(COX_LOG_ERROR + 1), false, 2); /* the trace says all */
  life_watch();
  return run(argc, argv);
}
