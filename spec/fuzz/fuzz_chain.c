/* What a chain answers, given to the shipped feed jobs, whose commands go to a real broker. Input: answers with a line "--" between them,
 * in the order in which they are asked for: "STATUS body" to a question over HTTP, a message of the websocket as it stands. An empty one is
 * a time-out, "!" a reset. Whatever the chain says, a job goes on.                                                                    */
#include <stdlib.h>
#include <string.h>

#include "fake_core.h"
#include "input.h"
#include "script/script.h"

enum { RESUMES_MAX = 400, JOBS = 2 };

static struct fake *fake;
static struct cox_script *script;
static const struct cox_fiber_ops *ops;
static json_t *config;

struct job {
  struct cox_fiber *fiber;
  struct cox_io_request request;
  int64_t wake_us; /* it sleeps until then */
};

static struct input input;
static char *answer; /* that the reply borrows */
static json_t *told; /* the answer to a command */

static void set_up(void) {
  struct cox_faults faults = {0};
  input_quiet();
  fake = fake_create(-1);
  config = json_pack("{s{ss, ss, ss}, s{ss, ss}, ss}", "feed", "kind", "cometbft", "rpc", "http://rpc", "rest", "http://rest", "participant",
                     "address", "gonka1spec", "pubkey", "Aspec", "callback_url", "http://127.0.0.1:9100");
  const struct cox_script_options options = {.scripts_dir = "scripts", .library_dir = "lua", .clock = &fake->clock, .config = config, .seed = 1,
                                             .command_budget_s = 10, .resume_budget_s = 10 /* under sanitizers */};
  script = cox_script_create(&options, &faults);
  if (script == NULL) print_error("%s\n", faults.list[0].text);
  input_must(script != NULL, "the shipped scripts load");
  ops = cox_script_fiber_ops(script);
}

static struct cox_io_reply bad(enum cox_class class_, const char *why) { return (struct cox_io_reply){.class_ = class_, .error = why}; }

static struct cox_io_reply next_answer(bool is_http) {
  size_t size = 0;
  free(answer);
  answer = input_piece(&input, "\n--\n", &size);
  if (answer == NULL || size == 0) return bad(COX_CLASS_TIMEOUT, "timeout");
  if (*answer == '!') return bad(COX_CLASS_RESET, "the connection was reset");
  char *body = answer;
  const long status = is_http ? strtol(answer, &body, 10) : 0;
  if (is_http && *body == ' ') body++;
  return (struct cox_io_reply){.http_status = status > 0 && status < 1000 ? (int)status : 200, .body = body, .body_len = size - (size_t)(body - answer)};
}

static void keep_answer(void *arg, const struct cox_answer *kept) {
  (void)arg;
  json_decref(told);
  told = cox_answer_json(kept);
}

static struct cox_io_reply run_command(const struct cox_io_request *request) {
  struct cox_err err;
  input_must(strcmp(request->command, "new_block") == 0, "a feed gives no other command than new_block");
  json_decref(told);
  told = NULL;
  if (cox_broker_submit(fake->broker, request->command, request->args, keep_answer, NULL, &err) != 0) return bad(COX_CLASS_SCRIPT, "refused");
  fake_run(fake);
  input_must(told != NULL, "a command is answered");
  const char *const error = json_string_value(json_object_get(told, "error"));
  input_must(error == NULL || strstr(error, "changed nothing") == NULL, "a handler does not fail, whatever the chain says");
  return (struct cox_io_reply){.answer = told};
}

static struct cox_io_reply reply_to(const struct cox_io_request *request) {
  switch (request->kind) {
    case COX_IO_HTTP: return next_answer(true);
    case COX_IO_SOCKET_RECEIVE: return next_answer(false);
    case COX_IO_SOCKET_OPEN: return (struct cox_io_reply){.socket = 1, .body = ""};
    case COX_IO_COMMAND: return run_command(request);
    default: return (struct cox_io_reply){.body = ""};
  }
}

static void check_ended(struct job *job, const char *name) {
  struct cox_err err = {0};
  ops->finish(job->fiber, COX_END_DONE, &err);
  job->fiber = NULL;
  print_error("the job %s ended: %s:%d: %s\n", name, err.file, err.line, err.text);
  input_must(false, "no answer of the chain ends a job");
}

static void turn(struct job *job, const char *name, bool is_first) {
  struct cox_io_reply reply = {0};
  if (!is_first) reply = reply_to(&job->request);
  if (ops->resume(job->fiber, is_first ? NULL : &reply, &job->request) == COX_FIBER_DONE) check_ended(job, name);
  job->wake_us = job->request.kind == COX_IO_SLEEP ? fake->now_us + job->request.sleep_ms * 1000 : 0;
}

/* The one whose turn it is: jobs that ask go on before jobs that sleep. */
static size_t next_job(const struct job *jobs) {
  size_t next = 0;
  for (size_t i = 1; i < JOBS; i++) {
    if (jobs[i].wake_us < jobs[next].wake_us) next = i;
  }
  if (jobs[next].wake_us > fake->now_us) fake->now_us = jobs[next].wake_us;
  return next;
}

static void live(void *vm) {
  static const char *const names[JOBS] = {"cometbft", "cometbft_facts"};
  struct job jobs[JOBS] = {0};
  struct cox_err err = {0};
  for (size_t i = 0; i < JOBS; i++) {
    jobs[i].fiber = ops->start_job(vm, names[i], &err);
    input_must(jobs[i].fiber != NULL, "a job starts");
    turn(&jobs[i], names[i], true);
  }
  for (int i = 0; i < RESUMES_MAX && input.left > 0; i++) {
    const size_t next = next_job(jobs);
    turn(&jobs[next], names[next], false);
    if (i % JOBS == 1) fake->now_us += 10000;
  }
  for (size_t i = 0; i < JOBS; i++) ops->finish(jobs[i].fiber, COX_END_CANCELLED, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (script == NULL) set_up();
  fake->now_us = 1000000;
  fake_use_policy(fake, cox_script_policy(script), json_object_get(config, "participant"), "http://127.0.0.1:9100");
  cox_script_set_broker(script, fake->broker);
  fake_send(fake, "register_node", json_pack("{so}", "node", fake_node("node1", 5000)));
  input = (struct input){(const char *)data, size};
  struct cox_err err = {0};
  void *const vm = ops->vm_create(ops->ctx, &err);
  input_must(vm != NULL, "a worker's script machine can be made");
  live(vm);
  ops->vm_destroy(vm);
  json_decref(told);
  free(answer);
  told = NULL;
  answer = NULL;
  for (; fake->opens > 0; fake->opens--) cox_attempt_destroy(fake->open[fake->opens - 1]);
  return 0;
}
