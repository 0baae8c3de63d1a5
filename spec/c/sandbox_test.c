/* Hostile scripts in every place where scripts run. Each ends with an error of its kind, and what runs beside or after it goes on.
 * Times are printed, not judged: a slow machine fails no spec.                                                                    */
#include "fake_core.h"

#include <fcntl.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "core/fiber.h"
#include "hostile.h"
#include "script/sandbox.h"
#include "script/script.h"
#include "script/vm.h"

#if defined(__SANITIZE_THREAD__)
enum { HAS_TICK = 0 };
#else
enum { HAS_TICK = 1 };
#endif

enum { MIB = 1024 * 1024, TEXT_BYTES = 1200, GIVEN_UP_MAX = 8 /* three cases need it, a slow machine may add some */ };

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
    [HOSTILE_ERROR] = {.budget_s = 60, .memory_max = 256 * MIB}, /* room for a stack of a million slots */
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
              "  assert(tostring and pcall and require and string.find)\n"
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
  attempt->target = cox_target_create(json_pack("{ss}", "status", "STOPPED"), NULL, &err);
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

/* Failures are counted, so that one run shows all of them. */
static size_t failures;

static void must(bool is_true, const char *what, const struct outcome *outcome) {
  if (is_true) return;
  failures++;
  print_error("%s: %s\n  code %d, line %d: %.300s\n", under_way->name, what, outcome->code, outcome->line, outcome->text);
}
#define MUST(condition) must(condition, #condition, outcome)

/* `name`: of the file that must be named. */
static void judge(const struct outcome *outcome, const char *name) {
  static const int codes[] = {COX_ETIME, COX_ENOMEM, COX_ESCRIPT, 0};
  MUST(outcome->code == codes[under_way->kind]);
  MUST(strstr(outcome->text, under_way->expected) != NULL);
  if (under_way->kind == HOSTILE_TIME) MUST(strstr(outcome->text, "time budget of 100 ms") != NULL);
  if (under_way->kind == HOSTILE_MEMORY) MUST(strstr(outcome->text, "memory") != NULL || strstr(outcome->text, "longer than 16 MiB") != NULL);
  if (under_way->kind != HOSTILE_TIME && under_way->kind != HOSTILE_MEMORY) return;
  if (strstr(outcome->text, "given up") != NULL) return; /* jumped out of: no place can be told */
  MUST(outcome->line > 0);
  MUST(strstr(outcome->text, name) != NULL || strstr(outcome->text, ".lua") != NULL);
}

static void conclude(const char *where) {
  static const char *const names[] = {"time", "memory", "error", "fine"};
  print_message("%zu cases %s; slowest:", ran, where);
  for (int i = 0; i < HOSTILE_KINDS; i++) print_message(" %s %.0f ms (%s)", names[i], slowest_ms[i], slowest[i] != NULL ? slowest[i] : "none");
  print_message("\n");
  const size_t bad = failures;
  failures = 0;
  memset(slowest_ms, 0, sizeof slowest_ms);
  memset(slowest, 0, sizeof slowest);
  ran = 0;
  assert_int_equal(bad, 0);
}

/* Handlers meet all cases; the other places a third each of those that are for all, to keep the run short. */
static bool is_run(const struct hostile *hostile, char context) {
  if (strchr(hostile->contexts, context) == NULL || (!HAS_TICK && hostile->needs_tick)) return false;
  if (!HAS_TICK && (hostile - cases) / 3 % 4 != 0) return false; /* TSan is slow, and there is one thread here */
  const bool is_for_all = strlen(hostile->contexts) == 4 && !hostile->needs_tick;
  return context == 'p' || !is_for_all || (hostile - cases) % 3 == (context == 'd' ? 0 : context == 'l' ? 1 : 2);
}

static void a_good_command_works(struct host *host) {
  const enum cox_outcome outcome = fake_send(host->f, "good", json_object());
  if (outcome != COX_ANSWER_DONE) fail_msg("after %s: %s", under_way->name, host->f->last.err.text);
  assert_string_equal(json_string_value(json_object_get(host->f->last.result, "text")), "one,three,two");
  assert_int_equal(json_integer_value(json_object_get(host->f->last.result, "wrapped")), 7);
}

static size_t given_up; /* VMs of drivers */

/* The attempt that waited beside the case goes on. Where the VM had to be given up, a new attempt does. */
static void the_bystander_goes_on(struct host *host, const struct outcome *attack) {
  struct cox_io_request request;
  const struct cox_io_reply reply = {.class_ = COX_CLASS_NONE, .body = ""};
  enum cox_fiber_state state = host->ops->resume(host->bystander, &reply, &request);
  if (state == COX_FIBER_DONE && strstr(attack->text, "given up") != NULL) {
    given_up++;
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
  conclude("in handlers");
}

static void hostile_modules_end_while_they_are_loaded(void **state) {
  (void)state;
  run_command("load", 'l');
  conclude("while loaded");
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
    the_bystander_goes_on(host, &outcome);
  }
}

static void hostile_drivers_end_and_other_attempts_of_their_vm_go_on(void **state) {
  (void)state;
  run_driver(COX_ATTEMPT_REACH, 1);
  assert_true(given_up <= GIVEN_UP_MAX);
  conclude("in drivers");
}

static void hostile_probes_end_too(void **state) {
  (void)state;
  run_driver(COX_ATTEMPT_PROBE, 7);
  conclude("in probes");
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
  conclude("in jobs");
}

/* ---- files that are hostile before they run ---- */

/* Loads the shipped scripts and one more file; its fault must name the file and say `expected`. */
static void refuses(const char *name, const char *bytes, size_t len, const char *expected) {
  char *const place = hostile_folder();
  hostile_write(place, name, bytes, len);
  struct cox_faults faults = {0};
  const struct cox_script_options options = {.scripts_dir = place, .library_dir = "lua", .clock = cox_clock_system(), .memory_max = 16 * MIB};
  struct cox_script *const loaded = cox_script_create(&options, &faults);
  assert_null(loaded);
  assert_true(faults.count > 0);
  const bool is_named = strstr(faults.list[0].file, name) != NULL;
  const bool is_told = strstr(faults.list[0].text, expected) != NULL;
  if (!is_named || !is_told) fail_msg("%s (\"%s\"): %s:%d: %s", name, expected, faults.list[0].file, faults.list[0].line, faults.list[0].text);
  cox_faults_fini(&faults);
  hostile_remove(place);
}

static void refuses_text(const char *name, const char *text, const char *expected) { refuses(name, text, strlen(text), expected); }

static void refuses_repeated(const char *text, size_t times, const char *expected) {
  const size_t len = strlen(text);
  char *const bytes = malloc(len * times + 1);
  for (size_t i = 0; i < times; i++) memcpy(bytes + i * len, text, len);
  refuses("commands/bad.lua", bytes, len * times, expected);
  free(bytes);
}

static void files_that_are_no_scripts_are_refused_by_name(void **state) {
  (void)state;
  refuses("commands/bad.lua", "\x1bLua\x54\x00\x19\x93\r\n", 10, "UTF-8");
  refuses("commands/bad.lua", "\x1bLua", 4, "binary chunk");
  refuses("commands/bad.lua", "# first\n\x1bLua", 12, "unexpected symbol");
  refuses("commands/bad.lua", "return '\xff\xfe'", 11, "UTF-8");
  refuses("commands/bad.lua", "re\0turn {}", 10, "zero byte");
  refuses_text("commands/bad.lua", "", "must return a table");
  refuses_text("commands/bad.lua", "return 1", "must return a table");
  refuses_text("commands/bad.lua", "return function() end", "must return a table");
  refuses_text("commands/bad.lua", "return {", "unexpected symbol");
  refuses_text("commands/bad.lua", "x = 1", "cannot be set");
  refuses_text("commands/bad.lua", "error 'while loading'", "while loading");
  refuses_text("commands/bad.lua", "error {}", "table value");
  refuses_text("commands/bad.lua", "goto nowhere", "no visible label");
  refuses_text("commands/bad.lua", "return setmetatable({}, { __index = function() error 'looked at' end })", "looked at");
  refuses_text("commands/bad.lua", "local t = {} while true do t[#t + 1] = { t } end", "MiB of memory");
  refuses_text("commands/bad.lua", "while true do end", "time budget of 1000 ms");
  refuses_text("policy/bad.lua", "while true do pcall(function() while true do end end) end", "time budget of 1000 ms");
  refuses_text("policy/bad.lua", "return require 'policy.bad'", "requires itself");
  refuses_text("drivers/bad.lua", "return { help = 'x', reach = {} }", "deadline must be");
  refuses_text("drivers/bad.lua", "coroutine.yield()", "outside a coroutine");
  refuses_text("jobs/bad.lua", "time.sleep(1)", "not while a script is loaded");
  refuses_text("jobs/bad.lua", "broker.command 'x'", "not while a script is loaded");
  refuses_repeated("(", 100000, "nested too deeply");
  refuses_repeated("local x\n", 300, "too many local variables");
  refuses_repeated("-- a long comment\n", 70000, "larger than");
}

static void a_link_that_leads_out_is_refused(void **state) {
  (void)state;
  char *const place = hostile_folder();
  char path[200];
  snprintf(path, sizeof path, "%s/commands/bad.lua", place);
  assert_int_equal(symlink("/etc/hostname", path), 0);
  struct cox_faults faults = {0};
  const struct cox_script_options options = {.scripts_dir = place, .library_dir = "lua", .clock = cox_clock_system()};
  assert_null(cox_script_create(&options, &faults));
  assert_non_null(strstr(faults.list[0].text, "leads out"));
  cox_faults_fini(&faults);
  hostile_remove(place);
}

/* ---- limits and places ---- */

static void a_node_that_is_kept_is_refused_by_the_next_command(void **state) {
  (void)state;
  struct host *const host = &hosts[HOSTILE_ERROR];
  hostile_put(folder, "commands/keep.lua",
              "local kept\nreturn { help = 'x', run = function(broker)\n  local id = kept and kept.id\n"
              "  for node in broker:nodes() do kept = node end\n  return { id = id } end }\n");
  close_host(host);
  open_host(host);
  assert_int_equal(fake_send(host->f, "register_node", json_pack("{so}", "node", fake_node("node1", 5000))), COX_ANSWER_DONE);
  assert_int_equal(fake_send(host->f, "keep", json_object()), COX_ANSWER_DONE);
  assert_int_equal(fake_send(host->f, "keep", json_object()), COX_ANSWER_ERROR);
  assert_non_null(strstr(host->f->last.err.text, "a command that has ended"));
  assert_int_equal(host->f->last.err.line, 3);
}

struct trial {
  const char *module;
  struct cox_vm *vm;
  struct cox_sources *sources;
  struct cox_err err;
};

/* A VM of its own on the folder of cases. */
static void open_trial(struct trial *trial, enum cox_context context, uint64_t chance) {
  struct cox_faults faults = {0};
  trial->sources = cox_sources_read(folder, "lua", &faults);
  trial->vm = cox_vm_create(&(struct cox_vm_options){.context = context, .memory_max = 8 * MIB, .sources = trial->sources, .clock = cox_clock_system(), .seed = chance}, &trial->err);
  assert_non_null(trial->vm);
}

static void close_trial(struct trial *trial) {
  cox_vm_destroy(trial->vm);
  cox_sources_release(trial->sources);
}

static int require_module(lua_State *L) {
  cox_sandbox_require(L, ((const struct trial *)lua_touserdata(L, 1))->module);
  lua_call(L, 0, 1);
  ((struct trial *)lua_touserdata(L, 1))->err.line = (int)lua_tointeger(L, -1);
  return 0;
}

static void errors_carry_place_and_traceback(void **state) {
  (void)state;
  hostile_put(folder, "hostile/traced.lua", "local function inner()\n  while true do end\nend\n"
              "return function()\n  coroutine.wrap(function()\n    inner()\n  end)()\nend\n");
  hostile_put(folder, "hostile/full.lua", "local function inner(t)\n  while true do t[#t + 1] = {} end\nend\nreturn function()\n  inner({})\n  return 1\nend\n");
  struct trial trial = {.module = "hostile.traced"};
  open_trial(&trial, COX_CONTEXT_POLICY, 0);
  struct cox_err err;
  assert_int_equal(cox_vm_call(trial.vm, require_module, &trial, 0.02, &err), COX_ETIME);
  assert_int_equal(err.line, 2);
  assert_non_null(strstr(err.file, "hostile/traced.lua"));
  assert_non_null(strstr(err.text, "time budget of 20 ms"));
  assert_non_null(strstr(trial.vm->trace, "traced.lua:2: in upvalue inner"));
  assert_non_null(strstr(trial.vm->trace, "traced.lua:6:"));
  trial.module = "hostile.full";
  assert_int_equal(cox_vm_call(trial.vm, require_module, &trial, 60, &err), COX_ENOMEM);
  assert_int_equal(err.line, 2);
  assert_non_null(strstr(err.text, "8 MiB of memory"));
  assert_non_null(strstr(trial.vm->trace, "full.lua:5:"));
  close_trial(&trial);
}

static int random_of(uint64_t chance) {
  struct trial trial = {.module = "hostile.random"};
  struct cox_err err;
  open_trial(&trial, COX_CONTEXT_JOBS, chance);
  assert_int_equal(cox_vm_call(trial.vm, require_module, &trial, 60, &err), 0);
  close_trial(&trial);
  return trial.err.line;
}

static void chance_follows_from_the_seed_of_the_machine(void **state) {
  (void)state;
  hostile_put(folder, "hostile/random.lua", "return function() return math.random(1, 1 << 30) end\n");
  assert_int_equal(random_of(7), random_of(7));
  assert_int_not_equal(random_of(7), random_of(8));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_carry_place_and_traceback),
      cmocka_unit_test(chance_follows_from_the_seed_of_the_machine),
      cmocka_unit_test(a_link_that_leads_out_is_refused),
      cmocka_unit_test(files_that_are_no_scripts_are_refused_by_name),
      cmocka_unit_test(hostile_handlers_end_and_the_next_command_works),
      cmocka_unit_test(hostile_modules_end_while_they_are_loaded),
      cmocka_unit_test(hostile_drivers_end_and_other_attempts_of_their_vm_go_on),
      cmocka_unit_test(hostile_probes_end_too),
      cmocka_unit_test(hostile_jobs_end_and_the_next_job_starts),
      cmocka_unit_test(a_node_that_is_kept_is_refused_by_the_next_command),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
