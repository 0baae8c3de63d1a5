#include "script/rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/broker.h"
#include "script/rig_fiber.h"

#define NOW_S 1700000000.0
#define SLOW_BUDGET_S 10.0
#define PASS_MAX_S (366 * 86400.0)
#define SET_MAX_S (100 * 366 * 86400.0)

enum { TURNS_MAX = 10000, PASSES_MAX = 200000 };

/* ---- time ---- */

static int64_t mono_us(void *ctx) { return ((struct cox_rig *)ctx)->now_us; }
static int64_t wall_ms(void *ctx) {
  const struct cox_rig *const rig = ctx;
  return rig->base_ms + rig->now_us / 1000;
}

static struct cox_clock_era era(void *ctx) { return ((struct cox_rig *)ctx)->era; }

const struct cox_clock *cox_rig_clock(struct cox_rig *rig) { return &rig->clock; }

/* ---- what the core is given ---- */

static void start(void *ctx, struct cox_attempt *attempt) { cox_rig_fibers_take(&((struct cox_rig *)ctx)->fibers, attempt); }

static void cancel(void *ctx, unsigned worker, uint64_t number) {
  (void)worker;
  cox_rig_fibers_cancel(&((struct cox_rig *)ctx)->fibers, number);
}

static int chore(void *ctx, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  return cox_rig_fibers_chore(&((struct cox_rig *)ctx)->fibers, name, args, reply, arg, err);
}

/* Everything is stored at once, nowhere. */
static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  (void)ctx, (void)err;
  batch->done(batch, NULL);
  return 0;
}

static void settle(void *ctx) { (void)ctx; }

/* ---- the broker ---- */

static void drop_broker(struct cox_rig *rig) {
  if (rig->broker == NULL) return;
  cox_rig_fibers_drop(&rig->fibers);
  cox_script_set_broker(rig->script, NULL);
  cox_broker_destroy(rig->broker);
  rig->broker = NULL;
}

static json_t *reset(struct cox_rig *rig, json_t *args, struct cox_err *err) {
  drop_broker(rig);
  const json_t *const now = json_object_get(args, "now_s");
  rig->base_ms = (int64_t)((json_is_number(now) ? json_number_value(now) : NOW_S) * 1000);
  rig->now_us = 0;
  rig->era = (struct cox_clock_era){.id = 1};
  if (!cox_rig_fibers_renew(&rig->fibers, err)) return NULL; /* nothing that scripts keep gets into the next case */
  const struct cox_broker_options options = {
      .clock = &rig->clock,
      .seed = 1,
      .policy = cox_script_policy(rig->script),
      .transport = &rig->transport,
      .store = &rig->store,
      .participant = json_object_get(args, "participant"),
      .callback_url = json_string_value(json_object_get(args, "callback_url")),
      .probe_interval_s = -1,
  };
  rig->broker = cox_broker_create(&options, err);
  if (rig->broker == NULL) return NULL;
  cox_script_set_broker(rig->script, rig->broker);
  return json_object();
}

/* Until nothing is left to do at this moment. False: it never ends. */
static bool run(struct cox_rig *rig) {
  for (int i = 0; i < TURNS_MAX; i++) {
    if (cox_broker_step_commands(rig->broker) + cox_broker_step_reconcile(rig->broker, &rig->next_us) == 0) return true;
  }
  return false;
}

static json_t *pass(struct cox_rig *rig, json_t *args, struct cox_err *err) {
  const double seconds = json_number_value(json_object_get(args, "seconds"));
  if (!(seconds >= 0 && seconds <= PASS_MAX_S)) {
    cox_err_set(err, COX_EINVAL, "seconds to pass must be from 0 to a year, not %g", seconds);
    return NULL;
  }
  const int64_t end_us = rig->now_us + (int64_t)(seconds * 1e6 + 0.5);
  for (int i = 0; i < PASSES_MAX && run(rig) && rig->now_us < end_us; i++) {
    const bool is_sooner = rig->next_us > rig->now_us && rig->next_us < end_us;
    rig->now_us = is_sooner ? rig->next_us : end_us;
  }
  if (rig->now_us == end_us) return json_pack("{sf}", "now_s", (double)wall_ms(rig) / 1000);
  cox_err_set(err, COX_ETIME, "the broker does not come to rest: commands or attempts follow each other without end");
  return NULL;
}

static json_t *set_clock(struct cox_rig *rig, const json_t *args, struct cox_err *err) {
  const double seconds = json_number_value(json_object_get(args, "seconds"));
  if (!(fabs(seconds) <= SET_MAX_S)) {
    cox_err_set(err, COX_EINVAL, "seconds to set the clock by must be a century at most, not %g", seconds);
    return NULL;
  }
  rig->base_ms += (int64_t)(seconds * 1000);
  return json_object();
}

static json_t *begin_era(struct cox_rig *rig) {
  rig->era = (struct cox_clock_era){.id = rig->era.id + 1, .began_us = rig->now_us};
  return json_object();
}

static json_t *next(struct cox_rig *rig) {
  if (!run(rig) || rig->next_us == INT64_MAX) return json_object();
  const int64_t in_us = rig->next_us > rig->now_us ? rig->next_us - rig->now_us : 0;
  return json_pack("{sf}", "in_s", (double)in_us / 1e6);
}

/* ---- commands ---- */

static void keep_answer(void *arg, const struct cox_answer *answer) {
  struct cox_rig *const rig = arg;
  json_decref(rig->answer);
  rig->answer = cox_answer_json(answer);
}

static json_t *take_answer(struct cox_rig *rig) {
  json_t *const answer = rig->answer;
  rig->answer = NULL;
  return answer;
}

static json_t *command(struct cox_rig *rig, json_t *args, struct cox_err *err) {
  const char *const name = json_string_value(json_object_get(args, "name"));
  json_t *const given = json_object_get(args, "args");
  if (name == NULL || (given != NULL && !json_is_object(given))) {
    cox_err_set(err, COX_EINVAL, "a command has a name, and its arguments are a table of names");
    return NULL;
  }
  json_decref(take_answer(rig));
  struct cox_err refusal = {0};
  rig->fibers.last_chore = 0;
  if (cox_broker_submit_as(rig->broker, "test", name, given, NULL, keep_answer, rig, &refusal) != 0) {
    return json_pack("{ss, ss}", "status", "error", "error", refusal.text);
  }
  if (rig->fibers.last_chore != 0) return json_pack("{sI}", "fiber", (json_int_t)rig->fibers.last_chore);
  run(rig);
  return take_answer(rig);
}

/* ---- fibers ---- */

static json_t *finish(struct cox_rig *rig, json_t *args, struct cox_err *err) {
  struct cox_attempt *attempt = NULL; /* of the broker's own ones */
  json_t *const outcome = cox_rig_fibers_finish(&rig->fibers, args, &attempt, err);
  if (attempt != NULL) cox_broker_complete(rig->broker, attempt);
  run(rig);
  json_t *const answer = take_answer(rig); /* of a chore */
  if (answer != NULL && outcome != NULL) json_object_set_new(outcome, "answer", answer);
  else json_decref(answer);
  return outcome;
}

static json_t *one_node(struct cox_rig *rig, const json_t *args) {
  const char *const id = json_string_value(json_object_get(args, "id"));
  json_t *const node = id != NULL ? cox_broker_node_json(rig->broker, id) : NULL;
  return node != NULL ? node : json_object();
}

/* Everything but reset needs a broker; cases get one before each. */
json_t *cox_rig_do(struct cox_rig *rig, const char *operation, json_t *args, struct cox_err *err) {
  if (strcmp(operation, "reset") == 0) return reset(rig, args, err);
  if (rig->broker == NULL) {
    cox_err_set(err, COX_EINVAL, "a case's helpers are there inside of it(…), before_each and after_each, not while its file is loaded");
    return NULL;
  }
  if (strcmp(operation, "pass") == 0) return pass(rig, args, err);
  if (strcmp(operation, "set_clock") == 0) return set_clock(rig, args, err);
  if (strcmp(operation, "begin_era") == 0) return begin_era(rig);
  if (strcmp(operation, "next") == 0) return next(rig);
  if (strcmp(operation, "command") == 0) return command(rig, args, err);
  if (strcmp(operation, "nodes") == 0) return cox_broker_nodes_json(rig->broker);
  if (strcmp(operation, "node") == 0) return one_node(rig, args);
  if (strcmp(operation, "world") == 0) return cox_broker_world_json(rig->broker);
  if (strcmp(operation, "finish") == 0) return finish(rig, args, err);
  if (strcmp(operation, "poll") == 0) {
    run(rig);
    return cox_rig_fibers_poll(&rig->fibers);
  }
  if (strcmp(operation, "start") == 0) return cox_rig_fibers_start(&rig->fibers, args, err);
  if (strcmp(operation, "resume") == 0) return cox_rig_fibers_resume(&rig->fibers, args, err);
  cox_err_set(err, COX_EINVAL, "there is no operation %s", operation);
  return NULL;
}

/* ---- life ---- */

struct cox_rig *cox_rig_create(const struct cox_script_options *options, struct cox_faults *faults) {
  struct cox_rig *const rig = calloc(1, sizeof *rig);
  struct cox_err err;
  if (rig == NULL) {
    cox_faults_add(faults, NULL, 0, "trying the scripts failed: out of memory");
    return NULL;
  }
  rig->clock = (struct cox_clock){.mono_us = mono_us, .wall_ms = wall_ms, .era = era, .ctx = rig};
  rig->base_ms = (int64_t)(NOW_S * 1000);
  rig->transport = (struct cox_transport){.ctx = rig, .workers = 1, .start = start, .cancel = cancel, .chore = chore};
  rig->store = (struct cox_store){.ctx = rig, .append = append, .settle = settle};
  rig->config = json_object();
  struct cox_script_options own = *options;
  own.clock = &rig->clock;
  own.config = rig->config; /* held, and filled anew for each job */
  own.seed = 1;
#if defined(__SANITIZE_THREAD__) /* there everything takes ten times as long */
  own.command_budget_s = own.resume_budget_s = SLOW_BUDGET_S;
#endif
  rig->script = cox_script_create(&own, faults);
  if (rig->script != NULL && cox_rig_fibers_init(&rig->fibers, rig, &err)) return rig;
  if (rig->script != NULL) cox_faults_add(faults, NULL, 0, "%s", err.text);
  cox_rig_destroy(rig);
  return NULL;
}

void cox_rig_destroy(struct cox_rig *rig) {
  if (rig == NULL) return;
  drop_broker(rig);
  cox_rig_fibers_fini(&rig->fibers);
  cox_script_destroy(rig->script);
  json_decref(rig->config);
  json_decref(rig->answer);
  free(rig);
}
