#include "life.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edits.h"
#include "script/chunks.h"
#include "script/reload.h"
#include "script/script.h"

/* Real processor time must decide nothing: budgets that no good script can use up. */
#define BUDGET_S 30.0

static struct cox_world *living; /* for the last words */
static struct cox_world_options living_options;

/* What is wired together for one life. */
struct life {
  struct cox_world *world;
  struct cox_script *script;
  unsigned edit; /* what the files hold */
  bool is_leaky; /* a process held sets that nobody uses */
  char scripts[512], library[512];
};

enum { SETS_KEPT = 2 /* the live one, and the one before */ };

static bool attend(void *ctx) { return cox_world_attend(((struct life *)ctx)->world); }

static struct cox_sources *read_files(void *ctx, struct cox_faults *faults) {
  const struct life *const life = ctx;
  return edits_read(life->edit, life->scripts, life->library, faults);
}

static void edit(void *ctx, unsigned which) { ((struct life *)ctx)->edit = which; }

static int64_t due_us(void *ctx) { return cox_script_due_us(((struct life *)ctx)->script); }
static void turn(void *ctx) { cox_script_turn(((struct life *)ctx)->script); }

static void set_broker(void *ctx, struct cox_broker *broker) {
  struct life *const life = ctx;
  cox_script_set_broker(life->script, broker);
  cox_script_drive(life->script, &(struct cox_reload_drive){.attend = attend, .read = read_files, .ctx = life});
}

static void fail(struct cox_world_outcome *outcome, const char *invariant, const char *text) {
  outcome->has_failed = true;
  snprintf(outcome->invariant, sizeof outcome->invariant, "%s", invariant);
  snprintf(outcome->text, sizeof outcome->text, "%s", text);
}

/* ---- a process ---- */

static void note_leak(struct life *life) {
  if (life->script != NULL && cox_script_alive(life->script) > SETS_KEPT) life->is_leaky = true;
}

static int begin(void *ctx, struct cox_world_scripts *scripts, struct cox_err *err) {
  struct life *const life = ctx;
  const struct cox_script_options options = {.scripts_dir = life->scripts, .library_dir = life->library, .clock = cox_world_clock(life->world),
                                             .config = cox_world_config(life->world), .command_budget_s = BUDGET_S, .resume_budget_s = BUDGET_S,
                                             .is_deferred = true};
  struct cox_faults faults = {0};
  note_leak(life);
  cox_script_destroy(life->script);
  life->script = cox_script_create(&options, &faults);
  if (life->script == NULL) cox_err_set(err, COX_ESCRIPT, "%s", faults.count > 0 ? faults.list[0].text : "for no reason");
  cox_faults_fini(&faults);
  if (life->script == NULL) return COX_ESCRIPT;
  scripts->policy = cox_script_policy(life->script);
  scripts->ops = cox_script_fiber_ops(life->script);
  scripts->exchange = cox_script_scripts(life->script);
  return 0;
}

static int load(void *ctx, struct cox_err *err) {
  struct cox_faults faults = {0};
  const int rc = cox_script_load(((struct life *)ctx)->script, &faults);
  if (rc != 0) cox_err_set(err, rc, "%s", faults.count > 0 ? faults.list[0].text : "for no reason");
  cox_faults_fini(&faults);
  return rc;
}

static bool hash(void *ctx, unsigned which, char text[COX_WORLD_HASH]) {
  const struct life *const life = ctx;
  return edits_hash(which, life->scripts, life->library, text);
}

/* ---- a life ---- */

static void find_files(struct life *life) {
  const char *const source = getenv("COXSWAIN_SOURCE");
  snprintf(life->scripts, sizeof life->scripts, "%s/scripts", source != NULL ? source : SPEC_SOURCE);
  snprintf(life->library, sizeof life->library, "%s/lua", source != NULL ? source : SPEC_SOURCE);
}

static void live(struct life *life, struct cox_world_outcome *outcome) {
  const struct cox_world_scripts scripts = {
      .begin = begin, .load = load, .due_us = due_us, .turn = turn, .set_broker = set_broker, .ctx = life, .edit = edit, .good = EDITS_GOOD,
      .draining = EDITS_DRAINING, .edits = EDITS, .hash = hash,
      .job = EDITS_JOB};
  cox_world_live(life->world, &scripts, outcome);
  note_leak(life);
  if (!outcome->has_failed && life->is_leaky) fail(outcome, "scripts out of use are freed", "more sets than two are held after the end of a process");
}

void life_run(const struct cox_world_options *options, struct cox_world_outcome *outcome) {
  *outcome = (struct cox_world_outcome){0};
  struct cox_err err = {0};
  struct cox_world *const world = cox_world_create(options, &err);
  if (world == NULL) {
    fail(outcome, "scripts load", err.text);
    return;
  }
  living = world;
  living_options = *options;
  struct life life = {.world = world};
  find_files(&life);
  live(&life, outcome);
  living = NULL;
  cox_script_destroy(life.script);
  cox_world_destroy(world);
}

void life_arguments(const struct cox_world_options *options, char *out, size_t size) {
  int length = snprintf(out, size, "--seed %" PRIu64, options->seed);
  if (options->machines != 0) length += snprintf(out + length, size - (size_t)length, " --machines %u", options->machines);
  if (options->life_s > 0) length += snprintf(out + length, size - (size_t)length, " --life %.3f", options->life_s);
  for (unsigned i = 0; i < COX_WORLD_FAMILIES; i++) {
    if (options->without >> i & 1) length += snprintf(out + length, size - (size_t)length, " --without %s", cox_world_family_name(i));
  }
}

/* ---- death ---- */

static void say(void) {
  if (living == NULL) return;
  char arguments[256];
  life_arguments(&living_options, arguments, sizeof arguments);
  cox_world_last_words(living, stderr);
  fprintf(stderr, "coxswain-sim: the process died in this life; replay: coxswain-sim %s --trace\n", arguments);
  living = NULL;
}

static void on_abort(int number) {
  (void)number;
  say();
  _exit(3);
}

extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

void life_watch(void) {
  cox_chunks_keep(true);
  signal(SIGABRT, on_abort);
  if (__sanitizer_set_death_callback != NULL) __sanitizer_set_death_callback(say);
}

/* ---- a smaller one ---- */

static bool breaks_the_same(const struct cox_world_options *options, const struct cox_world_outcome *wanted) {
  struct cox_world_outcome outcome;
  life_run(options, &outcome);
  return outcome.has_failed && strcmp(outcome.invariant, wanted->invariant) == 0;
}

static void try(struct cox_world_options *best, struct cox_world_options candidate, const struct cox_world_outcome *wanted) {
  candidate.trace = NULL;
  if (breaks_the_same(&candidate, wanted)) *best = candidate;
}

struct cox_world_options life_shrink(const struct cox_world_options *options, const struct cox_world_outcome *outcome) {
  struct cox_world_options best = *options;
  best.trace = NULL;
  for (unsigned i = 0; i < COX_WORLD_FAMILIES; i++) {
    struct cox_world_options candidate = best;
    candidate.without |= 1u << i;
    if (candidate.without != best.without) try(&best, candidate, outcome);
  }
  static const unsigned counts[] = {40, 20, 10, 5, 3, 2, 1};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    if (outcome->machines <= counts[i]) continue;
    struct cox_world_options candidate = best;
    candidate.machines = counts[i];
    try(&best, candidate, outcome);
  }
  static const double lives_s[] = {120, 60, 30, 15, 8, 4};
  for (size_t i = 0; i < sizeof lives_s / sizeof *lives_s; i++) {
    struct cox_world_options candidate = best;
    candidate.life_s = lives_s[i];
    if (best.life_s == 0 || lives_s[i] < best.life_s) try(&best, candidate, outcome);
  }
  return best;
}
