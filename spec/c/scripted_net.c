#include "scripted_net.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "core/answer.h"

/* ---- fibers ---- */

struct vm {
  struct scripted *scripted;
  const char *thread; /* whose it is */
  size_t fibers;
  bool is_inside;
};

struct cox_fiber {
  struct vm *vm;
  struct script *script;
  struct cox_attempt *attempt;
  bool has_failed;
};

static void enter(struct vm *vm) {
  assert_ptr_equal(vm->thread, cox_thread_name());
  assert_false(vm->is_inside);
  vm->is_inside = true;
}

static void leave(struct vm *vm) { vm->is_inside = false; }

static void *vm_create(void *ctx, struct cox_err *err) {
  struct scripted *const scripted = ctx;
  if (scripted->refuses_vms && atomic_load(&scripted->vms) > 0) {
    cox_err_set(err, COX_ESCRIPT, "no machine today");
    return NULL;
  }
  struct vm *const vm = calloc(1, sizeof *vm);
  assert_non_null(vm);
  *vm = (struct vm){.scripted = scripted, .thread = cox_thread_name()};
  atomic_fetch_add(&scripted->vms, 1);
  return vm;
}

static void vm_destroy(void *arg) {
  struct vm *const vm = arg;
  assert_int_equal(vm->fibers, 0);
  enter(vm);
  atomic_fetch_sub(&vm->scripted->vms, 1);
  free(vm);
}

static struct cox_fiber *begin(struct vm *vm, struct script *script, struct cox_attempt *attempt) {
  struct cox_fiber *const fiber = calloc(1, sizeof *fiber);
  assert_non_null(fiber);
  *fiber = (struct cox_fiber){.vm = vm, .script = script, .attempt = attempt};
  script->at = 0;
  vm->fibers++;
  atomic_fetch_add(&script->starts, 1);
  leave(vm);
  return fiber;
}

static struct cox_fiber *start(void *arg, struct cox_attempt *attempt) {
  struct vm *const vm = arg;
  enter(vm);
  return begin(vm, (struct script *)(intptr_t)json_integer_value(attempt->node), attempt);
}

static struct cox_fiber *start_job(void *arg, const char *name, struct cox_err *err) {
  struct vm *const vm = arg;
  enter(vm);
  for (size_t i = 0; i < vm->scripted->job_count; i++) {
    if (strcmp(vm->scripted->jobs[i]->job, name) == 0) return begin(vm, vm->scripted->jobs[i], NULL);
  }
  leave(vm);
  cox_err_set(err, COX_ENOENT, "there is no job %s", name);
  return NULL;
}

static void forget(struct script_seen *seen) {
  free(seen->body);
  json_decref(seen->answer);
  *seen = (struct script_seen){0};
}

static void remember(struct script_seen *seen, const struct cox_io_reply *reply) {
  forget(seen);
  seen->class_ = reply->class_;
  if (reply->error != NULL) snprintf(seen->error, sizeof seen->error, "%s", reply->error);
  assert_true((reply->class_ == COX_CLASS_NONE) == (reply->error == NULL));
  seen->status = reply->http_status;
  if (reply->body != NULL) {
    assert_int_equal(reply->body[reply->body_len], '\0');
    seen->body = malloc(reply->body_len + 1);
    memcpy(seen->body, reply->body, reply->body_len + 1);
  }
  seen->body_len = reply->body_len;
  seen->answer = json_incref(reply->answer);
}

static void ask_http(const struct script_step *step, struct cox_io_request *request) {
  *request = (struct cox_io_request){
      .kind = COX_IO_HTTP,
      .method = step->what == SCRIPT_GET ? "GET" : "POST",
      .url = step->text,
      .body = step->body,
      .body_len = step->body != NULL ? strlen(step->body) : 0,
      .timeout_ms = step->ms > 0 ? step->ms : SCRIPT_WAIT_US / 1000,
      .is_mutating = step->what == SCRIPT_MUTATE || step->what == SCRIPT_MUTATE_FRESH,
      .is_fresh = step->what == SCRIPT_MUTATE_FRESH,
      .response_max = step->response_max,
  };
}

static enum cox_fiber_state next(struct cox_fiber *fiber, struct cox_io_request *request) {
  const struct script_step *step = &fiber->script->steps[fiber->script->at];
  for (; step->what == SCRIPT_EXTEND; step = &fiber->script->steps[++fiber->script->at])
    fiber->attempt->deadline_us = cox_clock_mono_us(cox_clock_system()) + step->ms * 1000;
  switch (step->what) {
    case SCRIPT_EXTEND:
    case SCRIPT_RETURN: return COX_FIBER_DONE;
    case SCRIPT_FAIL: fiber->has_failed = true; return COX_FIBER_DONE;
    case SCRIPT_SLEEP: *request = (struct cox_io_request){.kind = COX_IO_SLEEP, .sleep_ms = step->ms}; break;
    case SCRIPT_COMMAND:
      *request = (struct cox_io_request){.kind = COX_IO_COMMAND, .command = step->text, .args = fiber->script->args};
      break;
    default: ask_http(step, request); break;
  }
  return COX_FIBER_WAITS;
}

static enum cox_fiber_state resume(struct cox_fiber *fiber, const struct cox_io_reply *reply, struct cox_io_request *request) {
  enter(fiber->vm);
  assert_int_equal(fiber->script->at == 0 || fiber->script->steps[fiber->script->at - 1].what == SCRIPT_EXTEND || reply != NULL, true);
  if (reply != NULL) remember(&fiber->script->seen[fiber->script->at++], reply);
  atomic_fetch_add(&fiber->script->resumes, 1);
  const enum cox_fiber_state state = next(fiber, request);
  leave(fiber->vm);
  return state;
}

static void fill(struct script *script, struct cox_attempt *attempt, enum cox_fiber_end why) {
  struct cox_result *const result = &attempt->result;
  if (why == COX_END_CANCELLED) result->class_ = COX_CLASS_CANCELLED;
  else if (why == COX_END_DEADLINE) result->class_ = COX_CLASS_TIMEOUT;
  else if (script->at > 0) result->class_ = script->seen[script->at - 1].class_;
  if (why == COX_END_DONE && result->class_ != COX_CLASS_NONE) result->error = strdup(script->seen[script->at - 1].error);
}

static void finish(struct cox_fiber *fiber, enum cox_fiber_end why, struct cox_err *err) {
  struct vm *const vm = fiber->vm;
  struct script *const script = fiber->script;
  enter(vm);
  assert_true((fiber->attempt == NULL) == (err != NULL));
  if (fiber->attempt != NULL) fill(script, fiber->attempt, why);
  if (fiber->has_failed) cox_err_set(err, COX_ESCRIPT, "the job broke");
  script->why = why;
  vm->fibers--;
  free(fiber);
  leave(vm);
  atomic_fetch_add(&script->finishes, 1);
}

/* ---- scripts ---- */

struct script *script_create(const struct script_step *steps) {
  static atomic_uint_least64_t numbers;
  struct script *const script = calloc(1, sizeof *script);
  assert_non_null(script);
  for (size_t i = 0; steps[i].what != SCRIPT_RETURN; i++) {
    assert_true(i + 1 < SCRIPT_STEPS_MAX);
    script->steps[i] = steps[i];
    if (steps[i].what == SCRIPT_FAIL) break;
  }
  script->number = atomic_fetch_add(&numbers, 1) + 1;
  return script;
}

void script_destroy(struct script *script) {
  for (size_t i = 0; i < SCRIPT_STEPS_MAX; i++) forget(&script->seen[i]);
  json_decref(script->args);
  free(script);
}

struct cox_attempt *script_attempt(struct script *script, int64_t deadline_us) {
  struct cox_attempt *const attempt = cox_attempt_create(COX_ATTEMPT_REACH);
  assert_non_null(attempt);
  attempt->node = json_integer((json_int_t)(intptr_t)script);
  attempt->fence.attempt = script->number;
  attempt->worker = script->worker;
  attempt->deadline_us = cox_clock_mono_us(cox_clock_system()) + (deadline_us != 0 ? deadline_us : SCRIPT_FAR_US);
  return attempt;
}

/* ---- sink ---- */

struct script_errand {
  struct script_errand *next;
  cox_reply_fn *reply;
  void *arg;
  bool is_held; /* answered only at the end */
};

static void complete(void *ctx, struct cox_attempt *attempt) {
  struct scripted *const scripted = ctx;
  struct script *const script = (struct script *)(intptr_t)json_integer_value(attempt->node);
  script->class_ = attempt->result.class_;
  snprintf(script->error, sizeof script->error, "%s", attempt->result.error != NULL ? attempt->result.error : "");
  cox_attempt_destroy(attempt);
  script->completed_us = cox_clock_mono_us(cox_clock_system());
  struct script *const next = script->next;
  atomic_fetch_add(&script->completions, 1);
  cox_mutex_lock(&scripted->mutex);
  scripted->completions++;
  cox_cond_broadcast(&scripted->cond);
  cox_mutex_unlock(&scripted->mutex);
  if (next != NULL) scripted_post(scripted, next, 0);
}

static int submit(void *ctx, const char *caller, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  (void)args;
  (void)caller;
  struct scripted *const scripted = ctx;
  struct script_errand *const errand = calloc(1, sizeof *errand);
  assert_non_null(errand);
  *errand = (struct script_errand){.reply = reply, .arg = arg};
  cox_mutex_lock(&scripted->mutex);
  const bool is_refused = scripted->answers == SCRIPT_ANSWER_REFUSE;
  errand->is_held = scripted->answers == SCRIPT_ANSWER_NEVER;
  scripted->commands++;
  if (!is_refused) {
    errand->next = scripted->errands;
    scripted->errands = errand;
  }
  cox_cond_broadcast(&scripted->cond);
  cox_mutex_unlock(&scripted->mutex);
  if (!is_refused) return 0;
  free(errand);
  return cox_err_set(err, COX_EFULL, "command %s was not accepted: too many wait", name);
}

static void answer(struct script_errand *errand, enum script_answer how) {
  struct cox_answer answer = {.outcome = how == SCRIPT_ANSWER_ERROR ? COX_ANSWER_ERROR : COX_ANSWER_DONE};
  if (how == SCRIPT_ANSWER_ERROR) cox_err_set(&answer.err, COX_EINVAL, "such a command makes no sense");
  else answer.result = json_pack("{si}", "changed", 3);
  errand->reply(errand->arg, &answer);
  cox_answer_fini(&answer);
  free(errand);
}

/* The first errand to answer now, taken out. */
static struct script_errand *take_errand(struct scripted *scripted, bool with_held) {
  struct script_errand **place = &scripted->errands;
  while (*place != NULL && (*place)->is_held && !with_held) place = &(*place)->next;
  struct script_errand *const errand = *place;
  if (errand != NULL) *place = errand->next;
  return errand;
}

static void answer_commands(void *arg) {
  struct scripted *const scripted = arg;
  cox_mutex_lock(&scripted->mutex);
  for (;;) {
    struct script_errand *const errand = take_errand(scripted, scripted->is_ended);
    if (errand != NULL) {
      const enum script_answer how = scripted->answers;
      cox_mutex_unlock(&scripted->mutex);
      answer(errand, how);
      cox_mutex_lock(&scripted->mutex);
      continue;
    }
    if (scripted->is_ended) break;
    cox_cond_wait(&scripted->cond, &scripted->mutex);
  }
  cox_mutex_unlock(&scripted->mutex);
}

/* ---- the whole ---- */

void scripted_init(struct scripted *scripted) {
  memset(scripted, 0, sizeof *scripted);
  cox_log_setup(COX_LOG_ERROR, false, 2);
  cox_mutex_init(&scripted->mutex);
  cox_cond_init(&scripted->cond);
  scripted->ops = (struct cox_fiber_ops){.ctx = scripted, .vm_create = vm_create, .vm_destroy = vm_destroy, .start = start,
                                         .start_job = start_job, .resume = resume, .finish = finish};
  scripted->sink = (struct cox_net_sink){scripted, complete, submit};
  assert_int_equal(cox_thread_start(&scripted->answerer, "answerer", answer_commands, scripted, NULL), 0);
}

void scripted_start(struct scripted *scripted, unsigned workers) {
  scripted_init(scripted);
  struct cox_err err = {0};
  const struct cox_net_options options = {.workers = workers, .clock = cox_clock_system(), .ops = &scripted->ops};
  scripted->net = cox_net_create_with(&options, &scripted->sink, &err);
  if (scripted->net == NULL) fail_msg("%s", err.text);
  scripted->transport = cox_net_transport(scripted->net);
}

void scripted_stop(struct scripted *scripted) {
  cox_net_destroy(scripted->net);
  scripted->net = NULL;
  cox_mutex_lock(&scripted->mutex);
  scripted->is_ended = true;
  cox_cond_broadcast(&scripted->cond);
  cox_mutex_unlock(&scripted->mutex);
  cox_thread_join(&scripted->answerer);
  assert_int_equal(atomic_load(&scripted->vms), 0);
  cox_cond_fini(&scripted->cond);
  cox_mutex_fini(&scripted->mutex);
}

void scripted_post(struct scripted *scripted, struct script *script, int64_t deadline_us) {
  scripted->transport->start(scripted->transport->ctx, script_attempt(script, deadline_us));
}

void scripted_cancel(struct scripted *scripted, const struct script *script) {
  scripted->transport->cancel(scripted->transport->ctx, script->worker, script->number);
}

static void wait_count(struct scripted *scripted, const size_t *counter, size_t least, const char *what) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + SCRIPT_WAIT_US;
  cox_mutex_lock(&scripted->mutex);
  while (*counter < least) {
    const int64_t left_us = end_us - cox_clock_mono_us(cox_clock_system());
    if (left_us <= 0) break;
    cox_cond_wait_us(&scripted->cond, &scripted->mutex, left_us);
  }
  const size_t count = *counter;
  cox_mutex_unlock(&scripted->mutex);
  if (count < least) fail_msg("%zu of %zu %s after 20 s", count, least, what);
}

void scripted_wait_completions(struct scripted *scripted, size_t completions) {
  wait_count(scripted, &scripted->completions, completions, "completions");
}

void scripted_wait_commands(struct scripted *scripted, size_t commands) {
  wait_count(scripted, &scripted->commands, commands, "commands");
}

static void doze(void) { nanosleep(&(const struct timespec){.tv_nsec = 1000000}, NULL); }

void scripted_wait_for(atomic_uint *counter, unsigned least) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + SCRIPT_WAIT_US;
  while (atomic_load(counter) < least && cox_clock_mono_us(cox_clock_system()) < end_us) doze();
  assert_true(atomic_load(counter) >= least);
}

void scripted_wait(struct scripted *scripted, struct script *script) {
  (void)scripted;
  scripted_wait_for(&script->completions, 1);
  assert_int_equal(atomic_load(&script->completions), 1);
  assert_int_equal(atomic_load(&script->finishes), atomic_load(&script->starts));
}

void scripted_run(struct scripted *scripted, struct script *script) {
  scripted_post(scripted, script, 0);
  scripted_wait(scripted, script);
}

void scripted_set_answers(struct scripted *scripted, enum script_answer answers) {
  cox_mutex_lock(&scripted->mutex);
  scripted->answers = answers;
  cox_cond_broadcast(&scripted->cond);
  cox_mutex_unlock(&scripted->mutex);
}

size_t open_files(void) {
  DIR *const folder = opendir("/proc/self/fd");
  assert_non_null(folder);
  size_t count = 0;
  while (readdir(folder) != NULL) count++;
  closedir(folder);
  return count;
}

void wait_open_files(size_t most) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + SCRIPT_WAIT_US;
  while (open_files() > most && cox_clock_mono_us(cox_clock_system()) < end_us) doze();
  assert_true(open_files() <= most);
}

void wait_more_open_files(size_t than) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + SCRIPT_WAIT_US;
  while (open_files() <= than && cox_clock_mono_us(cox_clock_system()) < end_us) doze();
  assert_true(open_files() > than);
}
