/* `coxswain demo`: the whole main job in one process. A simulated chain and simulated ML nodes speak the real wire protocols on
 * loopback, and everything between them is the real daemon.                                                               */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "console/demo_report.h"
#include "console/live.h"
#include "daemon.h"
#include "sim/sim.h"
#include "subcommands.h"

enum {
  NODES = 6,
  NODES_MAX = 1000,
  FAULTY_NODES_LEAST = 3,
  BLOCK_MS = 200,
  BLOCK_MS_LEAST = 20,
  LOAD_BLOCKS = 3, /* a simulated load takes that many blocks */
  TICK_MS = 100,
  FRAME_TICKS = 2,
};

struct demo {
  unsigned nodes;
  int64_t block_ms;
  size_t epochs; /* 0: until it is interrupted */
  bool has_faults;
  const char *listen;
};

/* What --faults makes go wrong: all of it heals, so that a good daemon still follows every phase. */
static const char *const faults[] = {"node1:slow=2", "node2:restart=1", NULL};

static const char *const chain_faults[] = {"drop=5", "double=2", "epoch_info:502=3", "status:truncated=3", NULL};

static const char participant[] = "gonka1demo";

static struct cox_sim_fleet *start_fleet(const struct demo *demo, struct cox_err *err) {
  const struct cox_sim_fleet_options options = {
      .count = demo->nodes,
      .load_ms = demo->block_ms * LOAD_BLOCKS,
      .stop_ms = demo->block_ms / 4,
      .restart_ms = demo->block_ms * 2,
      .old_nodes = demo->has_faults ? "node3" : NULL,
      .faults = demo->has_faults ? faults : NULL,
      .seed = 1,
  };
  return cox_sim_fleet_create(&options, err);
}

/* 40 blocks an epoch, of which the PoC takes 22. */
static struct cox_sim_chain *start_chain(const struct demo *demo, const struct cox_sim_fleet *fleet, struct cox_err *err) {
  json_t *const nodes = cox_sim_fleet_nodes(fleet);
  json_t *const params = json_pack("{si, si, si, si, si}", "epoch_length", 40, "poc_stage_duration", 10, "poc_validation_delay", 2,
                                   "poc_validation_duration", 10, "set_new_validators_delay", 1);
  const struct cox_sim_chain_options options = {
      .block_ms = demo->block_ms,
      .epoch_params = params,
      .nodes = nodes,
      .participant = participant,
      .faults = demo->has_faults ? chain_faults : NULL,
  };
  struct cox_sim_chain *const chain = cox_sim_chain_create(&options, err);
  json_decref(nodes);
  json_decref(params);
  return chain;
}

static void add_override(struct cox_buf *buf, const char *key, const json_t *value) {
  char *const text = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT);
  cox_buf_addf(buf, "%s=%s", key, text != NULL ? text : json_string_value(value));
  free(text);
}

/* The embedded default. */
static json_t *make_config(const struct demo *demo, const struct cox_sim_fleet *fleet, const struct cox_sim_chain *chain, int *exit_code) {
  json_t *const address = json_sprintf("http://127.0.0.1:%u", cox_sim_chain_port(chain));
  json_t *const values[] = {
      cox_sim_fleet_nodes(fleet),
      json_pack("{ss, sO, so, sf, sf}", "kind", "cometbft", "rpc", address, "rest", address, "silence_s", 2.0, "timeout_s", 2.0),
      json_pack("{ss, ss}", "address", participant, "pubkey", "Ademo"),
      json_string("http://127.0.0.1:9100"),
      json_string(":memory:"),
      json_pack("{sf, sf, sf}", "interval_s", 1.0, "resync_s", 30.0, "backoff_s", 0.0),
      json_pack("{sf, sf}", "interval_s", 2.0, "timeout_s", 1.0),
  };
  static const char *const keys[] = {"nodes", "feed", "participant", "callback_url", "store", "reconcile", "probe"};
  json_object_set_new(values[5], "backoff_s", json_pack("[f, f]", 0.1, 2.0));
  struct cox_buf texts[sizeof keys / sizeof *keys + 2] = {0};
  const char *overrides[sizeof keys / sizeof *keys + 3] = {0};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    add_override(&texts[i], keys[i], values[i]);
    overrides[i] = texts[i].data;
    json_decref(values[i]);
  }
  struct cox_buf *const listen = &texts[sizeof keys / sizeof *keys];
  cox_buf_addf(listen, "admin.listen=%s", demo->listen);
  overrides[sizeof keys / sizeof *keys] = listen->data;
  struct cox_buf *const console = &texts[sizeof keys / sizeof *keys + 1]; /* not in the working directory: two demos may share one */
  const char *const folder = getenv("TMPDIR");
  cox_buf_addf(console, "admin.socket=%s/coxswain-demo-%ld.sock", folder != NULL && *folder == '/' ? folder : "/tmp", (long)getpid());
  overrides[sizeof keys / sizeof *keys + 1] = console->data;
  json_t *const config = cox_load_config(NULL, overrides, exit_code);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cox_buf_fini(&texts[i]);
  return config;
}

/* True once the demo is over. */
static bool tick(const struct demo *demo, struct cox_broker *broker, struct cox_live *live, struct cox_demo_report *report, bool draws) {
  json_t *const nodes = cox_broker_nodes_json(broker), *const world = cox_broker_world_json(broker);
  const int64_t now_ms = cox_clock_wall_ms(cox_clock_system());
  cox_demo_report_feed(report, nodes, world, now_ms);
  const bool is_read = !draws || cox_live_update(live, nodes, world, now_ms);
  json_decref(nodes);
  json_decref(world);
  return !is_read || (demo->epochs > 0 && cox_demo_report_epochs(report) >= demo->epochs);
}

/* A signal ends it. */
static bool is_interrupted(int signals) {
  struct pollfd fd = {.fd = signals, .events = POLLIN};
  return poll(&fd, 1, TICK_MS) > 0;
}

static void print_summary(const struct cox_demo_report *report) {
  struct cox_term term;
  cox_term_look(STDOUT_FILENO, &term);
  struct cox_buf text = {0};
  cox_demo_report_render(report, &term, &text);
  cox_term_write(STDOUT_FILENO, &text);
  cox_buf_fini(&text);
}

static int watch(const struct demo *demo, struct cox_daemon *daemon, int signals) {
  struct cox_live *const live = cox_live_create(STDOUT_FILENO);
  struct cox_demo_report *const report = cox_demo_report_create();
  int exit_code = COX_EXIT_FAILED;
  if (live != NULL && report != NULL) {
    bool is_over = false;
    for (unsigned ticks = 0; !is_over && !is_interrupted(signals); ticks++) {
      is_over = tick(demo, cox_daemon_broker(daemon), live, report, ticks % FRAME_TICKS == 0);
    }
    cox_live_destroy(live);
    print_summary(report);
    const bool was_asked = demo->epochs == 0; /* ended by hand: that is how it ends */
    exit_code = cox_demo_report_is_good(report) || was_asked ? COX_EXIT_DONE : COX_EXIT_FAILED;
  } else {
    cox_live_destroy(live);
  }
  cox_demo_report_destroy(report);
  return exit_code;
}

static int run_with_chain(const struct demo *demo, struct cox_sim_fleet *fleet, struct cox_sim_chain *chain, int signals) {
  int exit_code;
  json_t *const config = make_config(demo, fleet, chain, &exit_code);
  if (config == NULL) return exit_code;
  struct cox_faults found = {0};
  struct cox_daemon *const daemon = cox_daemon_start(config, &found);
  json_decref(config);
  cox_print_faults(&found);
  cox_faults_fini(&found);
  if (daemon == NULL) return COX_EXIT_FAILED;
  printf("A simulated chain and %u nodes, a block each %lld ms; dashboard and API: http://127.0.0.1:%u\n", demo->nodes,
         (long long)demo->block_ms, cox_daemon_port(daemon));
  fflush(stdout); /* the live view writes past stdio */
  exit_code = watch(demo, daemon, signals);
  cox_daemon_stop(daemon);
  return exit_code;
}

static int run_with_fleet(const struct demo *demo, struct cox_sim_fleet *fleet, int signals) {
  struct cox_err err;
  struct cox_sim_chain *const chain = start_chain(demo, fleet, &err);
  int exit_code = COX_EXIT_FAILED;
  if (chain == NULL) fprintf(stderr, "starting the simulated chain failed: %s\n", err.text);
  else exit_code = run_with_chain(demo, fleet, chain, signals);
  cox_sim_chain_destroy(chain);
  return exit_code;
}

static int open_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC);
}

static int run_demo(const struct demo *demo) {
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO); /* failures show in the table */
  cox_daemon_tune_process();
  const int signals = open_signals();
  struct cox_err err;
  struct cox_sim_fleet *const fleet = start_fleet(demo, &err);
  int exit_code = COX_EXIT_FAILED;
  if (fleet == NULL) fprintf(stderr, "starting the simulated nodes failed: %s\n", err.text);
  else exit_code = run_with_fleet(demo, fleet, signals);
  cox_sim_fleet_destroy(fleet);
  close(signals);
  return exit_code;
}

/* A whole number from `least` to `most`; false: usage is wrong, and that was said. */
static bool read_number(const struct cox_cli_args *args, const char *name, long least, long most, long *out, int *exit_code) {
  const char *const text = cox_cli_args_value(args, name);
  if (text == NULL) return true;
  char *end;
  errno = 0;
  *out = strtol(text, &end, 10);
  if (errno == 0 && end != text && *end == '\0' && *out >= least && *out <= most) return true;
  *exit_code = cox_cli_misuse(args->program, "--%s must be a whole number from %ld to %ld, not %s", name, least, most, text);
  return false;
}

static int run(void *ctx, int argc, char **argv) {
  (void)ctx;
  struct cox_cli_args args;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_demo_entry, 0, 0, argc, argv, &exit_code)) return exit_code;
  long nodes = NODES, block_ms = BLOCK_MS, epochs = 0;
  if (read_number(&args, "nodes", 1, NODES_MAX, &nodes, &exit_code) &&
      read_number(&args, "block-ms", BLOCK_MS_LEAST, 60000, &block_ms, &exit_code) &&
      read_number(&args, "epochs", 1, 1000000, &epochs, &exit_code)) {
    const char *const listen = cox_cli_args_value(&args, "listen");
    if (cox_cli_args_has(&args, "faults") && nodes < FAULTY_NODES_LEAST) nodes = FAULTY_NODES_LEAST; /* each kind of fault has its node */
    const struct demo demo = {
        .nodes = (unsigned)nodes,
        .block_ms = block_ms,
        .epochs = (size_t)epochs,
        .has_faults = cox_cli_args_has(&args, "faults"),
        .listen = listen != NULL ? listen : "127.0.0.1:9200",
    };
    exit_code = run_demo(&demo);
  }
  cox_cli_args_fini(&args);
  return exit_code;
}

static const struct cox_cli_option options[] = {
    {"nodes", 0, "N", "simulated ML nodes (6)"},
    {"block-ms", 0, "MS", "milliseconds from block to block (200)"},
    {"epochs", 0, "E", "end after so many epochs: 0 when every node followed every phase, else 1"},
    {"faults", 0, NULL, "let some nodes be slow, old or failing for a while, and the chain lose blocks and answer badly"},
    {"listen", 0, "ADDRESS", "of the admin API (127.0.0.1:9200)"},
    {0},
};

const struct cox_cli_entry cox_demo_entry = {
    .name = "demo",
    .synopsis = "[--nodes N] [--block-ms MS] [--epochs E] [--faults] [--listen ADDRESS]",
    .summary = "Shows the whole job in one process: a simulated chain, simulated nodes, the real daemon",
    .run = run,
    .detail = "A live table on a terminal, plain lines elsewhere. Without --epochs it goes on until Ctrl-C.",
    .options = options,
};
