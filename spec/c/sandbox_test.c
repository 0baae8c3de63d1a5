/* Hostile scripts in every place where scripts run. Each ends with an error of its kind, and what runs beside or after it goes on.
 * Times are printed, not judged: a slow machine fails no spec.                                                                    */
#include "fake_core.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "core/fiber.h"
#include "hostile.h"
#include "script/script.h"
#include "script/vm.h"

#if defined(__SANITIZE_THREAD__)
enum { HAS_TICK = 0 };
#else
enum { HAS_TICK = 1 };
#endif

enum { MIB = 1024 * 1024, TEXT_BYTES = 1200 };

static char *folder;
static struct hostile *cases;
static size_t count;

/* One set of limits with all places in it. Time cases get the shipped limits. The others get so much time that only a bug or
 * their own end ends them, however slow the machine; memory cases little memory, so that they reach it soon.                */
struct host {
  double budget_s;
  size_t memory_max;
  struct fake *f;
  struct cox_script *script;
  const struct cox_fiber_ops *ops;
  void *vm;
  struct cox_fiber *bystander;
  struct cox_attempt *bystander_attempt;
  json_t *config;
};

static struct host hosts[HOSTILE_KINDS] = {
    [HOSTILE_TIME] = {.budget_s = 0.1, .memory_max = 64 * MIB},
    [HOSTILE_MEMORY] = {.budget_s = 60, .memory_max = 8 * MIB},
    [HOSTILE_ERROR] = {.budget_s = 60, .memory_max = 64 * MIB},
};

static struct host *host_of(const struct hostile *hostile) {
  return &hosts[hostile->kind == HOSTILE_FINE ? HOSTILE_ERROR : hostile->kind];
}

/* ---- folder and hosts ---- */

static void write_runners(void) {
  hostile_put(folder, "commands/attack.lua",
              "return { help = 'Runs a case.', args = { name = 'string' }, run = function(broker, args)\n"
              "  return require('hostile.' .. args.name)(broker, args)\nend }\n");
  hostile_put(folder, "commands/load.lua",
              "return { help = 'Loads a case.', args = { name = 'string' }, run = function(_, args) require('hostile.' .. args.name) end }\n");
  hostile_put(folder, "commands/good.lua",
              "return { help = 'Uses what a case may have broken.', run = function(broker)\n"
              "  local t = {}\n"
              "  for word in ('one two three'):gmatch('%%a+') do t[#t + 1] = word end\n"
              "  table.sort(t)\n"
              "  local n = 0\n"
              "  for _ in broker:nodes() do n = n + 1 end\n"
              "  for i = 1, 1000 do n = n + i end\n"
              "  return { text = table.concat(t, ','), n = n, wrapped = coroutine.wrap(function() return 7 end)() }\nend }\n");
  hostile_put(folder, "drivers/attack.lua",
              "local function reach(node, target) return require('hostile.' .. node.memory.name)(node, target) end\n"
              "return { help = 'Runs a case.', deadline = { STOPPED = 100 }, reach = { STOPPED = reach }, probe = reach }\n");
  hostile_put(folder, "jobs/attack.lua",
              "return { help = 'Runs a case.', feed = 'attack', run = function(job) return require('hostile.' .. job.config.case)(job) end }\n");
  hostile_put(folder, "hostile/bystander.lua",
              "return function(node) local n = 0 while true do n = n + 1 node.memory.n = n node:sleep(1) end end\n");
  hostile_put(folder, "hostile/fails.lua", "error('on purpose')\n");
  hostile_put(folder, "hostile/self.lua", "return require 'hostile.self'\n");
  hostile_put(folder, "hostile/left.lua", "return require 'hostile.right'\n");
  hostile_put(folder, "hostile/right.lua", "return require 'hostile.left'\n");
  hostile_put(folder, "hostile/bom.lua", "\xef\xbb\xbfreturn 'bom'\n");
  hostile_put(folder, "hostile/shebang.lua", "#!/usr/bin/env lua\nlocal _, e = pcall(error, 'x', 2) return 2\n");
}

static void write_cases(void) {
  for (size_t i = 0; i < count; i++) {
    for (const char *context = cases[i].contexts; *context != '\0'; context++) {
      static const char *const parameters[] = {['p'] = "broker, args", ['d'] = "node, target", ['j'] = "job"};
      char name[40];
      snprintf(name, sizeof name, "hostile/%c%zu.lua", *context, i);
      if (*context == 'l') hostile_put(folder, name, "local function attack()\n%s\nend attack() return {}\n", cases[i].code);
      else hostile_put(folder, name, "return function(%s)\n%s\nend\n", parameters[(int)*context], cases[i].code);
    }
  }
}

static void print_faults(struct cox_faults *faults) {
  for (size_t i = 0; i < faults->count; i++) print_error("%s:%d: %s\n", faults->list[i].file, faults->list[i].line, faults->list[i].text);
  cox_faults_fini(faults);
}

static struct cox_attempt *make_attempt(enum cox_attempt_kind kind, const char *name) {
  struct cox_err err;
  struct cox_attempt *const attempt = cox_attempt_create(kind);
  attempt->node = fake_node("node1", 5000);
  json_object_set_new(attempt->node, "kind", json_string("attack"));
  json_t *const target = json_pack("{ss}", "status", "STOPPED");
  attempt->target = cox_target_create(target, NULL, &err);
  json_decref(target);
  attempt->memory = json_pack("{ss}", "name", name);
  return attempt;
}

static void start_bystander(struct host *host) {
  struct cox_io_request request;
  host->bystander_attempt = make_attempt(COX_ATTEMPT_REACH, "bystander");
  host->bystander = host->ops->start(host->vm, host->bystander_attempt);
  assert_int_equal(host->ops->resume(host->bystander, NULL, &request), COX_FIBER_WAITS);
}

static void finish_bystander(struct host *host) {
  host->ops->finish(host->bystander, COX_END_CANCELLED, NULL);
  cox_attempt_destroy(host->bystander_attempt);
}

static void open_host(struct host *host) {
  struct cox_faults faults = {0};
  struct cox_err err;
  host->f = fake_create(-1);
  host->config = json_object();
  const struct cox_script_options options = {
      .scripts_dir = folder,
      .library_dir = "lua",
      .clock = &host->f->clock,
      .config = host->config,
      .command_budget_s = host->budget_s,
      .resume_budget_s = host->budget_s,
      .memory_max = host->memory_max,
      .seed = 1,
  };
  host->script = cox_script_create(&options, &faults);
  print_faults(&faults);
  assert_non_null(host->script);
  fake_use_policy(host->f, cox_script_policy(host->script), NULL, NULL);
  host->ops = cox_script_fiber_ops(host->script);
  host->vm = host->ops->vm_create(host->ops->ctx, &err);
  assert_non_null(host->vm);
  start_bystander(host);
}

static void close_host(struct host *host) {
  finish_bystander(host);
  host->ops->vm_destroy(host->vm);
  fake_destroy(host->f);
  cox_script_destroy(host->script);
  json_decref(host->config);
}

static int setup(void **state) {
  (void)state;
  cox_log_setup(COX_LOG_INFO, false, open("/dev/null", O_WRONLY | O_CLOEXEC));
  cases = hostile_read(&count);
  folder = hostile_folder();
  write_runners();
  write_cases();
  for (int i = 0; i < HOSTILE_FINE; i++) open_host(&hosts[i]);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  for (int i = 0; i < HOSTILE_FINE; i++) close_host(&hosts[i]);
  hostile_remove(folder);
  hostile_free(cases, count);
  return 0;
}

/* ---- what came of a case ---- */

struct outcome {
  int code; /* 0: none */
  int line;
  char text[TEXT_BYTES];
};

static const struct hostile *under_way;
static double slowest_ms[HOSTILE_KINDS];
static const char *slowest[HOSTILE_KINDS];
static size_t ran;

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void note_time(double took_ms) {
  ran++;
  if (getenv("COX_TIMES") != NULL && took_ms > 30) print_message("%7.1f ms  %s\n", took_ms, under_way->name);
  if (took_ms <= slowest_ms[under_way->kind]) return;
  slowest_ms[under_way->kind] = took_ms;
  slowest[under_way->kind] = under_way->name;
}

static void print_times(const char *where) {
  static const char *const names[] = {"time", "memory", "error", "fine"};
  print_message("%zu cases %s; slowest:", ran, where);
  for (int i = 0; i < HOSTILE_KINDS; i++) print_message(" %s %.0f ms (%s)", names[i], slowest_ms[i], slowest[i] != NULL ? slowest[i] : "none");
  print_message("\n");
  memset(slowest_ms, 0, sizeof slowest_ms);
  memset(slowest, 0, sizeof slowest);
  ran = 0;
}

#define MUST(condition) \
  if (!(condition)) fail_msg("%s\n  %s: code %d, line %d: %s", #condition, under_way->name, outcome->code, outcome->line, outcome->text)

/* `name`: of the file that must be named, NULL: no place is told for sure. */
static void judge(const struct outcome *outcome, const char *name) {
  static const int codes[] = {COX_ETIME, COX_ENOMEM, COX_ESCRIPT, 0};
  MUST(outcome->code == codes[under_way->kind]);
  MUST(strstr(outcome->text, under_way->expected) != NULL);
  if (under_way->kind == HOSTILE_TIME) MUST(strstr(outcome->text, "time budget of 100 ms") != NULL);
  if (under_way->kind == HOSTILE_MEMORY) MUST(strstr(outcome->text, "memory") != NULL || strstr(outcome->text, "longer than 16 MiB") != NULL);
  if (under_way->kind != HOSTILE_TIME && under_way->kind != HOSTILE_MEMORY) return;
  if (under_way->needs_tick || name == NULL) return;
  MUST(outcome->line > 0);
  MUST(strstr(outcome->text, name) != NULL || strstr(outcome->text, ".lua") != NULL);
}

static bool is_run(const struct hostile *hostile, char context) {
  return strchr(hostile->contexts, context) != NULL && (HAS_TICK || !hostile->needs_tick);
}

static void a_good_command_works(struct host *host) {
  const enum cox_outcome outcome = fake_send(host->f, "good", json_object());
  if (outcome != COX_ANSWER_DONE) fail_msg("after %s: %s", under_way->name, host->f->last.err.text);
  assert_string_equal(json_string_value(json_object_get(host->f->last.result, "text")), "one,three,two");
  assert_int_equal(json_integer_value(json_object_get(host->f->last.result, "wrapped")), 7);
}

/* The attempt that waited beside the case goes on. Where the VM may have been given up, a new attempt does. */
static void the_bystander_goes_on(struct host *host) {
  struct cox_io_request request;
  const struct cox_io_reply reply = {.class_ = COX_CLASS_NONE, .body = ""};
  enum cox_fiber_state state = host->ops->resume(host->bystander, &reply, &request);
  if (under_way->needs_tick && state == COX_FIBER_DONE) {
    assert_non_null(strstr(host->bystander_attempt->result.error, "given up"));
    finish_bystander(host);
    start_bystander(host);
    state = host->ops->resume(host->bystander, &reply, &request);
  }
  if (state != COX_FIBER_WAITS) fail_msg("after %s: %s", under_way->name, host->bystander_attempt->result.error);
  assert_int_equal(request.kind, COX_IO_SLEEP);
}

/* ---- places ---- */

static void run_command(const char *command, char context) {
  for (size_t i = 0; i < count; i++) {
    if (!is_run(&cases[i], context)) continue;
    under_way = &cases[i];
    struct host *const host = host_of(under_way);
    char name[24], file[40];
    snprintf(name, sizeof name, "%c%zu", context, i);
    snprintf(file, sizeof file, "hostile/%s.lua", name);
    const double begin_ms = now_ms();
    const bool is_done = fake_send(host->f, command, json_pack("{ss}", "name", name)) == COX_ANSWER_DONE;
    note_time(now_ms() - begin_ms);
    const struct cox_err *const err = &host->f->last.err;
    struct outcome outcome = {.code = is_done ? 0 : err->code, .line = is_done ? 0 : err->line};
    if (!is_done) snprintf(outcome.text, sizeof outcome.text, "%s (%s)", err->text, err->file);
    judge(&outcome, file);
    a_good_command_works(host);
  }
}

static void hostile_handlers_end_and_the_next_command_works(void **state) {
  (void)state;
  run_command("attack", 'p');
  print_times("in handlers");
}

static void hostile_modules_end_while_they_are_loaded(void **state) {
  (void)state;
  run_command("load", 'l');
  print_times("while loaded");
}

/* Runs a fiber to its end; any wait is a failure of the case. */
static void run_fiber(struct host *host, struct cox_fiber *fiber) {
  struct cox_io_request request;
  if (host->ops->resume(fiber, NULL, &request) != COX_FIBER_DONE) fail_msg("%s waits", under_way->name);
}

/* A driver's errors come as a class and words. */
static int code_of(const struct cox_result *result) {
  if (result->class_ == COX_CLASS_NONE) return 0;
  if (strstr(result->error, "time budget of") != NULL) return COX_ETIME;
  const bool is_memory = strstr(result->error, "MiB of memory") != NULL || strstr(result->error, "would be longer than 16 MiB;") != NULL;
  return is_memory ? COX_ENOMEM : COX_ESCRIPT;
}

static void run_driver(enum cox_attempt_kind kind, size_t step) {
  for (size_t i = 0; i < count; i += step) {
    if (!is_run(&cases[i], 'd')) continue;
    under_way = &cases[i];
    if (kind == COX_ATTEMPT_PROBE && under_way->kind == HOSTILE_FINE) continue; /* it returns no observation */
    struct host *const host = host_of(under_way);
    char name[24], file[40];
    snprintf(name, sizeof name, "d%zu", i);
    snprintf(file, sizeof file, "hostile/%s.lua:", name);
    struct cox_attempt *const attempt = make_attempt(kind, name);
    const double begin_ms = now_ms();
    struct cox_fiber *const fiber = host->ops->start(host->vm, attempt);
    run_fiber(host, fiber);
    host->ops->finish(fiber, COX_END_DONE, NULL);
    note_time(now_ms() - begin_ms);
    struct outcome outcome = {.code = code_of(&attempt->result), .line = 1};
    if (outcome.code != 0) snprintf(outcome.text, sizeof outcome.text, "%s", attempt->result.error);
    judge(&outcome, file);
    cox_attempt_destroy(attempt);
    the_bystander_goes_on(host);
  }
}

static void hostile_drivers_end_and_other_attempts_of_their_vm_go_on(void **state) {
  (void)state;
  run_driver(COX_ATTEMPT_REACH, 1);
  print_times("in drivers");
}

static void hostile_probes_end_too(void **state) {
  (void)state;
  run_driver(COX_ATTEMPT_PROBE, 5);
  print_times("in probes");
}

static void hostile_jobs_end_and_the_next_job_starts(void **state) {
  (void)state;
  for (size_t i = 0; i < count; i++) {
    if (!is_run(&cases[i], 'j')) continue;
    under_way = &cases[i];
    struct host *const host = host_of(under_way);
    char name[24];
    snprintf(name, sizeof name, "j%zu", i);
    json_object_set_new(host->config, "case", json_string(name));
    struct cox_err err = {0};
    const double begin_ms = now_ms();
    struct cox_fiber *const fiber = host->ops->start_job(host->vm, "attack", &err);
    if (fiber == NULL) fail_msg("before %s: %s", under_way->name, err.text);
    run_fiber(host, fiber);
    host->ops->finish(fiber, COX_END_DONE, &err);
    note_time(now_ms() - begin_ms);
    struct outcome outcome = {.code = err.code, .line = err.line};
    if (err.code != 0) snprintf(outcome.text, sizeof outcome.text, "%s (%s)", err.text, err.file);
    judge(&outcome, name);
  }
  print_times("in jobs");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hostile_handlers_end_and_the_next_command_works),
      cmocka_unit_test(hostile_modules_end_while_they_are_loaded),
      cmocka_unit_test(hostile_drivers_end_and_other_attempts_of_their_vm_go_on),
      cmocka_unit_test(hostile_probes_end_too),
      cmocka_unit_test(hostile_jobs_end_and_the_next_job_starts),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
