#include "sim/chain_main.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/node_config.h"
#include "sim/chain_epoch.h"
#include "sim/chain_fleet.h"
#include "sim/sim.h"

enum {
  DONE = 0,
  FAILED = 1,
  USAGE = 2,
  FAULTS_MAX = 64,
  PRESERVED_MAX = 10000,
  PARAMS_MAX = 16,
  DEFAULT_PORT = 26657,
  DEFAULT_BLOCK_MS = 1000
};

/* Values of getopt_long beside the epoch parameters, which come after OPTION_PARAM in the order of their table. */
enum {
  OPTION_PORT = 256,
  OPTION_LISTEN,
  OPTION_BLOCK_MS,
  OPTION_NODES,
  OPTION_PRESERVED,
  OPTION_PARTICIPANT,
  OPTION_START_HEIGHT,
  OPTION_FAULT,
  OPTION_BLOCK_BYTES,
  OPTION_PING_MS,
  OPTION_ROTATE_MODELS,
  OPTION_PARAM
};

static const struct option fixed[] = {
    {"port", required_argument, NULL, OPTION_PORT},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"block-ms", required_argument, NULL, OPTION_BLOCK_MS},
    {"nodes", required_argument, NULL, OPTION_NODES},
    {"preserved", required_argument, NULL, OPTION_PRESERVED},
    {"participant", required_argument, NULL, OPTION_PARTICIPANT},
    {"start-height", required_argument, NULL, OPTION_START_HEIGHT},
    {"fault", required_argument, NULL, OPTION_FAULT},
    {"block-bytes", required_argument, NULL, OPTION_BLOCK_BYTES},
    {"ping-ms", required_argument, NULL, OPTION_PING_MS},
    {"rotate-models", no_argument, NULL, OPTION_ROTATE_MODELS},
    {"help", no_argument, NULL, 'h'},
};
enum { FIXED_COUNT = sizeof fixed / sizeof *fixed, NAME_BYTES = 48 };

struct settings {
  struct cox_sim_chain_options options;
  json_t *params;
  json_t *nodes;
  json_t *preserved_list; /* owns the texts of `preserved` */
  const char *preserved[PRESERVED_MAX + 1];
  const char *faults[FAULTS_MAX + 1];
  size_t fault_count;
  bool wants_help;
};

/* ---- usage ---- */

/* "poc_stage_duration" as an option: "poc-stage-duration". */
static void option_name(const char *param, char out[NAME_BYTES]) {
  snprintf(out, NAME_BYTES, "%s", param);
  for (char *at = out; *at != '\0'; at++) {
    if (*at == '_') *at = '-';
  }
}

static void print_help(FILE *out) {
  fprintf(out, "Usage: coxswain sim chain [options]\n"
               "A made-up chain: RPC, REST gateway and websocket on one port, until SIGINT or SIGTERM.\n\n"
               "  --port P               (%d; 0: any free port)\n"
               "  --listen ADDRESS       (127.0.0.1)\n"
               "  --block-ms MS          between two blocks (%d; 0: only by POST /sim/advance)\n"
               "  --start-height H       height of the first block (1)\n"
               "  --nodes FILE           node-config.json: nodes of group data and registered hardware\n"
               "  --preserved ID,ID      nodes that serve through PoC\n"
               "  --participant ADDRESS  owner of the nodes\n"
               "  --rotate-models        nodes with several models change theirs from epoch to epoch\n"
               "  --block-bytes N        least size of a NewBlock event (real ones: about 30000)\n"
               "  --ping-ms MS           websocket pings (27000)\n"
               "  --fault SPEC           may be given several times, see below\n"
               "  -h, --help\n\nIn blocks:\n",
          DEFAULT_PORT, DEFAULT_BLOCK_MS);
  for (size_t i = 0; cox_chain_param(i) != NULL; i++) {
    char name[NAME_BYTES];
    option_name(cox_chain_param(i)->name, name);
    fprintf(out, "  --%-30s (%" PRId64 ")\n", name, cox_chain_param(i)->fallback);
  }
  char *const usage = cox_sim_chain_usage();
  fprintf(out, "\n%s", usage != NULL ? usage : "");
  free(usage);
}

/* `what` may be NULL. */
static int refuse(const char *message, const char *what) {
  fprintf(stderr, "coxswain sim chain: %s%s%s; see coxswain sim chain --help\n", message, what != NULL ? ": " : "",
          what != NULL ? what : "");
  return USAGE;
}

/* ---- reading the command line ---- */

static int read_number(const char *option, const char *text, int64_t least, int64_t most, int64_t *out) {
  char *end = NULL;
  errno = 0;
  *out = strtoll(text, &end, 10);
  if (errno == 0 && end != text && *end == '\0' && *out >= least && *out <= most) return DONE;
  fprintf(stderr, "coxswain sim chain: --%s takes a whole number from %" PRId64 " to %" PRId64 ", not \"%s\"\n", option, least,
          most, text);
  return USAGE;
}

static int read_preserved(struct settings *settings, const char *text) {
  if (settings->preserved_list == NULL) settings->preserved_list = json_array();
  while (true) {
    const size_t length = strcspn(text, ",");
    const size_t count = json_array_size(settings->preserved_list);
    if (length == 0) return refuse("--preserved takes node ids with commas between them", NULL);
    if (count == PRESERVED_MAX) return refuse("--preserved takes at most 10000 nodes", NULL);
    json_array_append_new(settings->preserved_list, json_stringn(text, length));
    settings->preserved[count] = json_string_value(json_array_get(settings->preserved_list, count));
    if (settings->preserved[count] == NULL) return refuse("--preserved is not UTF-8", text);
    if (text[length] == '\0') return DONE;
    text += length + 1;
  }
}

/* What no single node shows: two of the same id. */
static int check_together(const char *path, const json_t *nodes) {
  struct cox_err err = {0};
  struct cox_chain_fleet *const fleet = cox_chain_fleet_create(nodes, "", false, &err);
  if (fleet == NULL) fprintf(stderr, "%s: %s\n", path, err.text);
  cox_chain_fleet_destroy(fleet);
  return fleet != NULL ? DONE : FAILED;
}

/* Reports every fault of the file at once, as `check` does. */
static int check_nodes(const char *path, const json_t *nodes) {
  struct cox_faults faults = {0};
  size_t i;
  json_t *node;
  json_array_foreach(nodes, i, node) {
    char where[32];
    snprintf(where, sizeof where, "nodes[%zu]", i);
    cox_node_config_check(node, path, where, &faults);
  }
  for (i = 0; i < faults.count; i++) fprintf(stderr, "%s: %s\n", faults.list[i].file, faults.list[i].text);
  const bool has_any = faults.count > 0;
  cox_faults_fini(&faults);
  return has_any ? FAILED : check_together(path, nodes);
}

static int read_nodes(struct settings *settings, const char *path) {
  json_error_t at;
  json_decref(settings->nodes);
  settings->nodes = json_load_file(path, JSON_REJECT_DUPLICATES, &at);
  if (settings->nodes == NULL) {
    if (at.line > 0) fprintf(stderr, "%s:%d: %s\n", path, at.line, at.text);
    else fprintf(stderr, "reading the nodes file %s failed: %s\n", path, at.text);
    return FAILED;
  }
  if (!json_is_array(settings->nodes)) {
    fprintf(stderr, "%s: must be a list of node objects\n", path);
    return FAILED;
  }
  return check_nodes(path, settings->nodes);
}

static int read_param(struct settings *settings, const struct cox_chain_param *param, const char *text) {
  char name[NAME_BYTES];
  option_name(param->name, name);
  int64_t blocks;
  const int rc = read_number(name, text, 0, INT64_C(1) << 53, &blocks);
  if (rc == DONE) json_object_set_new(settings->params, param->name, json_integer(blocks));
  return rc;
}

static int read_fault(struct settings *settings, const char *text) {
  if (settings->fault_count == FAULTS_MAX) return refuse("--fault may be given at most 64 times", NULL);
  settings->faults[settings->fault_count++] = text;
  return DONE;
}

static int read_option(struct settings *settings, int option, const char *text) {
  struct cox_sim_chain_options *const options = &settings->options;
  int64_t number = 0;
  int rc = DONE;
  switch (option) {
    case OPTION_PORT:
      rc = read_number("port", text, 0, 65535, &number);
      options->port = (unsigned)number;
      return rc;
    case OPTION_BLOCK_BYTES:
      rc = read_number("block-bytes", text, 0, 8 << 20, &number);
      options->block_bytes = (size_t)number;
      return rc;
    case OPTION_BLOCK_MS: return read_number("block-ms", text, 0, 86400000, &options->block_ms);
    case OPTION_START_HEIGHT: return read_number("start-height", text, 1, INT64_C(1) << 62, &options->start_height);
    case OPTION_PING_MS: return read_number("ping-ms", text, 1, 3600000, &options->ping_ms);
    case OPTION_NODES: return read_nodes(settings, text);
    case OPTION_PRESERVED: return read_preserved(settings, text);
    case OPTION_FAULT: return read_fault(settings, text);
    case OPTION_LISTEN: options->listen = text; return DONE;
    case OPTION_PARTICIPANT: options->participant = text; return DONE;
    case OPTION_ROTATE_MODELS: options->is_rotating = true; return DONE;
    case 'h': settings->wants_help = true; return DONE;
    default: break;
  }
  return option >= OPTION_PARAM ? read_param(settings, cox_chain_param((size_t)(option - OPTION_PARAM)), text) : USAGE;
}

static int read_arguments(struct settings *settings, int argc, char **argv) {
  static char names[PARAMS_MAX][NAME_BYTES];
  struct option all[FIXED_COUNT + PARAMS_MAX + 1] = {0};
  memcpy(all, fixed, sizeof fixed);
  for (size_t i = 0; i < PARAMS_MAX && cox_chain_param(i) != NULL; i++) {
    option_name(cox_chain_param(i)->name, names[i]);
    all[FIXED_COUNT + i] = (struct option){names[i], required_argument, NULL, OPTION_PARAM + (int)i};
  }
  opterr = 0;
  optind = 0; /* glibc: begin anew, whatever was parsed before */
  for (int option; (option = getopt_long(argc, argv, ":h", all, NULL)) != -1;) {
    if (option == '?') return refuse("unknown option, or a value where none belongs", argv[optind - 1]);
    if (option == ':') return refuse("this option needs a value", argv[optind - 1]);
    const int rc = read_option(settings, option, optarg);
    if (rc != DONE) return rc;
  }
  return optind < argc ? refuse("only options are taken", argv[optind]) : DONE;
}

/* ---- running ---- */

static void take_signals(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGTERM);
  sigprocmask(SIG_BLOCK, set, NULL); /* before the threads, which inherit it */
}

static int run(struct settings *settings) {
  sigset_t set;
  take_signals(&set);
  settings->options.epoch_params = settings->params;
  settings->options.nodes = settings->nodes;
  settings->options.preserved = settings->preserved;
  settings->options.faults = settings->faults;
  struct cox_err err = {0};
  struct cox_sim_chain *const chain = cox_sim_chain_create(&settings->options, &err);
  if (chain == NULL) {
    fprintf(stderr, "coxswain sim chain: %s\n", err.text);
    return err.code == COX_EINVAL ? USAGE : FAILED;
  }
  const char *const host = settings->options.listen != NULL ? settings->options.listen : "127.0.0.1";
  printf("chain ready: http://%s:%u (RPC, REST, /websocket, /sim/state), a block every %" PRId64 " ms\n", host, cox_sim_chain_port(chain),
         settings->options.block_ms);
  fflush(stdout);
  int got = 0;
  while (sigwait(&set, &got) != 0) {
  }
  cox_sim_chain_destroy(chain);
  return DONE;
}

int cox_sim_chain_main(int argc, char **argv) {
  struct settings *const settings = calloc(1, sizeof *settings);
  if (settings == NULL) return FAILED;
  settings->options.port = DEFAULT_PORT;
  settings->options.block_ms = DEFAULT_BLOCK_MS;
  settings->params = json_object();
  int rc = read_arguments(settings, argc, argv);
  if (rc == DONE && settings->wants_help) print_help(stdout);
  else if (rc == DONE) rc = run(settings);
  json_decref(settings->params);
  json_decref(settings->nodes);
  json_decref(settings->preserved_list);
  free(settings);
  return rc;
}
