/* The broker's process: its two loops, woken exactly when its threads would be, each a little late. A wake-up that is lost here is
 * lost in the daemon too.                                                                                                   */
#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "core/serve.h"
#include "sim/world_private.h"

enum { QUEUE_MAX = 64 };

/* ---- start and end ---- */

/* The secrets behind lease ids come from the seed too. */
static void random_bytes(void *ctx, void *bytes, size_t count) {
  struct cox_world *const world = ctx;
  for (size_t i = 0; i < count; i++) ((unsigned char *)bytes)[i] = (unsigned char)cox_rng_next(&world->shape);
}

static struct cox_broker_options options_of(struct cox_world *world) {
  const bool is_quick = cox_rng_below(&world->shape, 3) == 0;
  return (struct cox_broker_options){
      .clock = &world->clock,
      .seed = cox_rng_next(&world->shape),
      .policy = world->scripts.policy,
      .transport = &world->transport,
      .store = &world->disk.store,
      .participant = world->participant,
      .callback_url = "http://10.1.0.1:9100",
      .queue_max = QUEUE_MAX,
      .interval_s = is_quick ? 5 : 30,
      .resync_s = is_quick ? 60 : 300,
      .backoff_s = {is_quick ? 0.2 : 1, is_quick ? 10 : 60},
      .probe_interval_s = is_quick ? 5 : 15,
      .probe_timeout_s = 5,
      /* Without what only chooses among the nodes that may be given: the book knows that choice exactly. */
      .leases = {.slow_start_s = -1, .eject_share = -1, .random = random_bytes, .random_ctx = world},
  };
}

int cox_world_daemon_start(struct cox_world *world) {
  struct cox_err err = {0};
  cox_world_store_begin(world);
  cox_world_worker_init(world);
  if (world->scripts.begin(world->scripts.ctx, &world->scripts, &err) != 0) {
    cox_world_break(world, "scripts load", NULL, "%s", err.text);
    return err.code;
  }
  const struct cox_broker_options options = options_of(world);
  world->broker = cox_broker_create(&options, &err);
  if (world->broker == NULL) abort(); /* out of memory */
  world->lives++;
  world->has_block = false;
  cox_world_leases_start(world);
  if (cox_broker_load(world->broker, &err) != 0) {
    cox_world_break(world, "a start finds what was committed", NULL, "the start failed: %s", err.text);
    return err.code;
  }
  cox_world_store_found(world);
  cox_world_find_episode(world);
  cox_world_leases_start(world);
  world->scripts.set_broker(world->scripts.ctx, world->broker);
  const int rc = cox_world_scripts_load(world);
  if (rc != 0) return rc;
  for (unsigned i = 0; i < world->transport.workers; i++) {
    world->vms[i] = world->scripts.ops->vm_create(world->scripts.ops->ctx, &err);
    if (world->vms[i] == NULL) cox_world_break(world, "scripts load", NULL, "a worker's script machine: %s", err.text);
    if (world->vms[i] == NULL) return COX_ESCRIPT;
  }
  world->is_command_planned = world->is_reconcile_planned = world->is_reload_planned = false;
  cox_broker_trigger(world->broker); /* a thread that starts makes a pass at once */
  cox_world_journal_follow(world); /* whoever did is there again at once */
  world->tally = 0;
  if (world->has[COX_WORLD_SCRIPTS] && !world->is_calm && cox_world_start_job(world, world->scripts.job) != 0) return COX_ESCRIPT;
  return world->is_clock_job ? cox_world_start_job(world, "clock") : 0;
}

static void close_questions(struct cox_world *world) {
  while (world->questions != NULL) {
    struct cox_world_question *const question = world->questions;
    world->questions = question->next;
    if (question->answers != 1) {
      cox_world_break(world, "each command is answered once", NULL, "%s was answered %u times before the end of the process",
                      question->name, question->answers);
    }
    free(question);
  }
  world->open_questions = 0;
}

static void add_stats(struct cox_world *world) {
  struct cox_stats stats;
  cox_broker_stats(world->broker, &stats);
  world->outcome.failures += stats.attempts_failed;
  world->outcome.cancels += stats.cancels;
  world->outcome.stale += stats.stale_results;
  world->outcome.processes++;
}

/* An end as by a signal that cannot be caught, but that memory is given back: nobody outside can tell the difference. */
void cox_world_daemon_stop(struct cox_world *world) {
  if (world->broker == NULL) return;
  add_stats(world);
  cox_world_store_die(world);
  cox_world_leases_stop(world);
  cox_commands_close(&world->broker->commands);
  cox_world_end_runs(world);
  cox_broker_step_commands(world->broker);
  cox_world_forget_results(world);
  close_questions(world);
  cox_world_forget_seen(world);
  /* One that was not committed may begin otherwise, and the job `clock` tells its story anew. */
  if (world->is_clock_job || !world->disk.is_whole) cox_world_forget_episodes(world);
  world->scripts.set_broker(world->scripts.ctx, NULL);
  cox_broker_destroy(world->broker);
  world->broker = NULL;
  for (unsigned i = 0; i < COX_WORLD_WORKERS_MAX; i++) {
    if (world->vms[i] != NULL) world->scripts.ops->vm_destroy(world->vms[i]);
    world->vms[i] = NULL;
  }
}

/* ---- the loops ---- */

static int64_t delay_us(struct cox_world *world) {
  const int64_t usual_us = cox_world_span(world, COX_WORLD_PACE, 0.00001, 0.0001);
  const int64_t late_us = cox_world_span(world, COX_WORLD_PACE, 0.001, 0.05);
  return cox_world_roll(world, COX_WORLD_PACE, 0.1) ? late_us : usual_us;
}

static bool has_commands(const struct cox_commands *commands) {
  return commands->is_woken || commands->queue[COX_PRIORITY_HIGH].count > 0 || commands->queue[COX_PRIORITY_LOW].count > 0;
}

void cox_world_pump(struct cox_world *world) {
  struct cox_broker *const broker = world->broker;
  if (broker == NULL) return;
  if (!world->is_command_planned && has_commands(&broker->commands)) {
    world->is_command_planned = true;
    cox_world_plan(world, world->now_us + delay_us(world), COX_EVENT_COMMANDS, world->lives, 0);
  }
  if (!world->is_reconcile_planned && broker->reconciler.is_triggered) {
    world->is_reconcile_planned = true;
    cox_world_plan(world, world->now_us + delay_us(world), COX_EVENT_RECONCILE, world->lives, 0);
  }
  const int64_t due_us = world->scripts.due_us(world->scripts.ctx);
  if (world->is_reload_planned || due_us == INT64_MAX || world->exchange.is_open) return; /* the thread is at an exchange */
  world->is_reload_planned = true;
  cox_world_plan(world, due_us > world->now_us ? due_us : world->now_us, COX_EVENT_RELOAD, world->lives, 0);
}

void cox_world_reload(struct cox_world *world) {
  world->is_reload_planned = false;
  if (!world->exchange.is_open) world->scripts.turn(world->scripts.ctx);
}

void cox_world_commands(struct cox_world *world) {
  world->is_command_planned = false;
  world->is_touched = true;
  world->broker->commands.is_woken = false;
  const size_t settled = cox_ledger_handle(world->broker); /* in its own order: the oracle wants the results for itself */
  cox_world_handle_results(world);
  const size_t count = cox_broker_step_commands(world->broker);
  world->outcome.commands += count;
  cox_world_check_commands(world, count + settled);
}

void cox_world_reconcile(struct cox_world *world, uint64_t token) {
  if (token != 0 && token != world->plan) return; /* it woke earlier, and planned anew */
  if (token == 0) world->is_reconcile_planned = false;
  if (token == 0) world->broker->reconciler.is_triggered = false;
  int64_t next_us;
  cox_world_leases_begin_pass(world);
  cox_broker_step_reconcile(world->broker, &next_us);
  cox_world_leases_end_pass(world);
  cox_world_check_pass(world);
  cox_world_plan(world, next_us, COX_EVENT_RECONCILE, world->lives, ++world->plan);
}

/* ---- from outside ---- */

static void on_answer(void *arg, const struct cox_answer *answer) {
  struct cox_world_question *const question = arg;
  struct cox_world *const world = question->world;
  if (question->answers++ > 0) {
    cox_world_break(world, "each command is answered once", NULL, "%s is answered for the second time", question->name);
    return;
  }
  world->open_questions--;
  json_t *const json = cox_answer_json(answer);
  char what[48];
  snprintf(what, sizeof what, "answer %s:", question->name);
  cox_world_trace_json(world, what, json);
  if (answer->outcome == COX_ANSWER_DONE) cox_world_store_answered(world, question->name);
  if (answer->outcome == COX_ANSWER_ERROR) world->is_blind = true;
  const bool is_news = strcmp(question->name, "new_block") == 0 && question->undos == world->undos;
  if (answer->outcome == COX_ANSWER_DONE && is_news) world->is_unsteady = false;
  if (answer->outcome == COX_ANSWER_ERROR && (answer->err.code == COX_ESCRIPT || answer->err.code == COX_ETIME)) {
    cox_world_break(world, "handlers do not fail", NULL, "%s", answer->err.text);
  }
  for (struct cox_world_run *run = world->runs; run != NULL; run = run->next) {
    if (run->id != question->run || question->run == 0) continue;
    run->answer = json_incref(json);
    cox_world_plan(world, world->now_us, COX_EVENT_REPLY, run->id, 0);
  }
  json_decref(json);
}

bool cox_world_ask(struct cox_world *world, const char *name, json_t *args, uint64_t run, struct cox_err *err) {
  struct cox_world_question *const question = calloc(1, sizeof *question);
  if (question == NULL) abort();
  question->world = world;
  question->run = run;
  question->undos = world->undos;
  snprintf(question->name, sizeof question->name, "%s", name);
  if (strcmp(name, world->scripts.job) == 0) cox_world_check_tally(world, args);
  if (strcmp(name, "new_block") == 0 && !json_is_false(json_object_get(args, "synced"))) world->has_block = true;
  const int rc = cox_broker_submit(world->broker, name, args, on_answer, question, err);
  if (rc != 0) {
    cox_world_trace(world, "refused %s: %s", name, err->text);
    free(question);
    return false;
  }
  question->next = world->questions;
  world->questions = question;
  world->open_questions++;
  return true;
}

void cox_world_read(struct cox_world *world) {
  struct cox_stats stats;
  json_t *const nodes = cox_broker_nodes_json(world->broker);
  if (cox_lock_held() == 0) { /* else the next lock would never be had: world_checks.c says so */
    json_decref(cox_broker_world_json(world->broker));
    cox_broker_stats(world->broker, &stats);
    cox_world_trace(world, "nodes %zu of %zu converged, %zu in flight, %llu stale", stats.converged, stats.nodes, stats.in_flight,
                    (unsigned long long)stats.stale_results);
  }
  json_decref(nodes);
  if (cox_lock_held() == 0) cox_world_journal_follow(world);
  cox_world_check_lease_times(world);
  if (!world->is_patient && cox_lock_held() == 0 && cox_world_is_settled(world)) world->is_over = true;
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_PACE, 2, 10), COX_EVENT_READER, 0, 0);
}
