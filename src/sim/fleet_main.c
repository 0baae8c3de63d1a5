#include "sim/fleet_main.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "sim/sim.h"

enum { EXIT_USAGE = 2, FAULTS_MAX = 256 };

static const char help[] =
    "Usage: coxswain sim mlnodes --count N --port P [options]\n"
    "Simulates ML nodes (management API v1) on loopback until it is interrupted.\n"
    "\n"
    "  --count N           how many nodes, 1 to 10000 (1)\n"
    "  --port P            node i, from 0, answers at P+i; 0: any free ports (20000)\n"
    "  --split             the inference API has a port of its own: P+N+i\n"
    "  --listen ADDRESS    IPv4 address (127.0.0.1)\n"
    "  --release old|new   of 2025-08 or of 2026-06 (new)\n"
    "  --old NODES         only these are old: node7, 1-50, 20%\n"
    "  --latency-ms MS     before every answer (0)\n"
    "  --load-ms MS        how long inference/up takes (0)\n"
    "  --stop-ms MS        how long a stop takes (0)\n"
    "  --init-ms MS        until pow/init is answered (0)\n"
    "  --pow-load-ms MS    until the model of the proof of compute is initialised (0)\n"
    "  --health-lag-ms MS  health follows inference/up so much later (0)\n"
    "  --restart-ms MS     how long a process that ended is away (10000)\n"
    "  --model NAME        the model in the nodes file\n"
    "  --max-concurrent N  in the nodes file (100)\n"
    "  --threads N         1 to 4 (1)\n"
    "  --fault SPEC        may be given several times\n"
    "  --seed N            which nodes \"5%\" means (1)\n"
    "  --control PORT      GET /sim/nodes, GET /sim/config, POST /sim/faults {\"faults\": [SPEC]}, POST /sim/reset; 0: any free port\n"
    "  --nodes-file FILE   writes a node-config.json of these nodes\n"
    "  -h, --help\n"
    "\n";

struct arguments {
  struct cox_sim_fleet_options options;
  const char *faults[FAULTS_MAX + 1];
  size_t fault_count;
  const char *nodes_file;
  bool is_help;
};

static int usage_error(const char *format, const char *name, const char *value) {
  fprintf(stderr, "coxswain sim mlnodes: ");
  fprintf(stderr, format, name, value);
  fprintf(stderr, "; see --help\n");
  return EXIT_USAGE;
}

static int read_number(const char *name, const char *text, int64_t most, int64_t *out) {
  char *end;
  errno = 0;
  const long long number = strtoll(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || number < 0 || number > most) {
    return usage_error("--%s must be a number that is not too large, not \"%s\"", name, text);
  }
  *out = number;
  return 0;
}

static int read_unsigned(const char *name, const char *text, unsigned *out) {
  int64_t number;
  const int rc = read_number(name, text, 1000000, &number);
  if (rc == 0) *out = (unsigned)number;
  return rc;
}

enum flag { COUNT = 256, PORT, SPLIT, LISTEN, RELEASE, OLD, LATENCY, LOAD, STOP, INIT, POW_LOAD, HEALTH_LAG, RESTART, MODEL, CONCURRENT,
              THREADS, FAULT, SEED, CONTROL, NODES_FILE };

static const struct option known[] = {
    {"count", required_argument, NULL, COUNT},
    {"port", required_argument, NULL, PORT},
    {"split", no_argument, NULL, SPLIT},
    {"listen", required_argument, NULL, LISTEN},
    {"release", required_argument, NULL, RELEASE},
    {"old", required_argument, NULL, OLD},
    {"latency-ms", required_argument, NULL, LATENCY},
    {"load-ms", required_argument, NULL, LOAD},
    {"stop-ms", required_argument, NULL, STOP},
    {"init-ms", required_argument, NULL, INIT},
    {"pow-load-ms", required_argument, NULL, POW_LOAD},
    {"health-lag-ms", required_argument, NULL, HEALTH_LAG},
    {"restart-ms", required_argument, NULL, RESTART},
    {"model", required_argument, NULL, MODEL},
    {"max-concurrent", required_argument, NULL, CONCURRENT},
    {"threads", required_argument, NULL, THREADS},
    {"fault", required_argument, NULL, FAULT},
    {"seed", required_argument, NULL, SEED},
    {"control", required_argument, NULL, CONTROL},
    {"nodes-file", required_argument, NULL, NODES_FILE},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int read_release(const char *text, struct cox_sim_fleet_options *options) {
  options->is_old = strcmp(text, "old") == 0;
  if (options->is_old || strcmp(text, "new") == 0) return 0;
  return usage_error("--%s must be old or new, not \"%s\"", "release", text);
}

static int read_option(struct arguments *arguments, int option, const char *name, const char *value) {
  struct cox_sim_fleet_options *const options = &arguments->options;
  int64_t number = 0;
  int rc = 0;
  switch (option) {
  case 'h': arguments->is_help = true; return 0;
  case COUNT: return read_unsigned(name, value, &options->count);
  case PORT: return read_unsigned(name, value, &options->port);
  case SPLIT: options->is_split = true; return 0;
  case LISTEN: options->listen = value; return 0;
  case RELEASE: return read_release(value, options);
  case OLD: options->old_nodes = value; return 0;
  case LATENCY: return read_number(name, value, INT_MAX, &options->latency_ms);
  case LOAD: return read_number(name, value, INT_MAX, &options->load_ms);
  case STOP: return read_number(name, value, INT_MAX, &options->stop_ms);
  case INIT: return read_number(name, value, INT_MAX, &options->init_ms);
  case POW_LOAD: return read_number(name, value, INT_MAX, &options->pow_load_ms);
  case HEALTH_LAG: return read_number(name, value, INT_MAX, &options->health_lag_ms);
  case RESTART: return read_number(name, value, INT_MAX, &options->restart_ms);
  case MODEL: options->model = value; return 0;
  case CONCURRENT: return read_unsigned(name, value, &options->max_concurrent);
  case THREADS: return read_unsigned(name, value, &options->threads);
  case FAULT:
    if (arguments->fault_count == FAULTS_MAX) return usage_error("too many faults at --%s %s", name, value);
    arguments->faults[arguments->fault_count++] = value;
    return 0;
  case SEED:
    rc = read_number(name, value, INT64_MAX, &number);
    options->seed = (uint64_t)number;
    return rc;
  case CONTROL: options->has_control = true; return read_unsigned(name, value, &options->control_port);
  case NODES_FILE: arguments->nodes_file = value; return 0;
  default: fprintf(stderr, "See --help.\n"); return EXIT_USAGE; /* getopt has said what is wrong */
  }
}

static int read_arguments(int argc, char **argv, struct arguments *arguments) {
  arguments->options = (struct cox_sim_fleet_options){.count = 1, .port = 20000, .seed = 1, .faults = arguments->faults};
  optind = 0; /* starts getopt anew: the caller has used it */
  for (;;) {
    int index = -1;
    const int option = getopt_long(argc, argv, "h", known, &index);
    if (option == -1) break;
    const int rc = read_option(arguments, option, index >= 0 ? known[index].name : "", optarg);
    if (rc != 0) return rc;
  }
  return optind < argc ? usage_error("%s%s is not an option", "", argv[optind]) : 0;
}

static void raise_open_files(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= files.rlim_max) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

static int write_nodes(const struct cox_sim_fleet *fleet, const char *path) {
  json_t *const nodes = cox_sim_fleet_nodes(fleet);
  const int rc = json_dump_file(nodes, path, JSON_INDENT(2));
  if (rc != 0) fprintf(stderr, "coxswain sim mlnodes: writing the nodes to %s failed: %s\n", path, strerror(errno));
  json_decref(nodes);
  return rc;
}

static void print_ports(const struct cox_sim_fleet *fleet, const struct cox_sim_fleet_options *options) {
  const unsigned last = options->count - 1;
  printf("%u ML nodes ready: management", options->count);
  for (int is_inference = 0; is_inference <= (options->is_split ? 1 : 0); is_inference++) {
    const unsigned from = cox_sim_fleet_node_port(fleet, 0, is_inference), to = cox_sim_fleet_node_port(fleet, last, is_inference);
    if (options->port != 0 || last == 0) printf("%s %u-%u", is_inference ? ", inference" : "", from, to);
    else printf("%s from %u (free ports, see --nodes-file)", is_inference ? ", inference" : "", from);
  }
  if (options->has_control) printf(", control %u", cox_sim_fleet_control_port(fleet));
  printf("\n");
  fflush(stdout);
}

static int run(const struct arguments *arguments) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL); /* before the threads, which inherit it */
  raise_open_files();
  struct cox_err err = {0};
  struct cox_sim_fleet *const fleet = cox_sim_fleet_create(&arguments->options, &err);
  if (fleet == NULL) {
    fprintf(stderr, "coxswain sim mlnodes: %s\n", err.text);
    return err.code == COX_EINVAL ? EXIT_USAGE : EXIT_FAILURE;
  }
  int rc = EXIT_FAILURE;
  if (arguments->nodes_file != NULL && write_nodes(fleet, arguments->nodes_file) != 0) goto out;
  print_ports(fleet, &arguments->options);
  while (sigwaitinfo(&ends, NULL) < 0 && errno == EINTR) continue;
  rc = EXIT_SUCCESS;
out:
  cox_sim_fleet_destroy(fleet);
  return rc;
}

int cox_sim_fleet_main(int argc, char **argv) {
  struct arguments *const arguments = calloc(1, sizeof *arguments);
  if (arguments == NULL) return EXIT_FAILURE;
  int rc = read_arguments(argc, argv, arguments);
  if (rc == 0 && arguments->is_help) {
    printf("%s%s", help, cox_sim_fleet_usage());
  } else if (rc == 0) {
    rc = run(arguments);
  }
  free(arguments);
  return rc;
}
