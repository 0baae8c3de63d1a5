#include "job_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/answer.h"

static void complete(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  cox_attempt_destroy(attempt);
}

static int submit(void *ctx, const char *caller, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  struct job_rig *const rig = ctx;
  if (strncmp(caller, "job ", 4) != 0 && strncmp(caller, "command ", 8) != 0) return cox_err_set(err, COX_EINVAL, "%s is no caller", caller);
  if (strcmp(name, "note") != 0) return cox_err_set(err, COX_ENOENT, "unknown command %s", name);
  cox_mutex_lock(&rig->mutex);
  json_array_append(rig->notes, args);
  cox_cond_broadcast(&rig->cond);
  cox_mutex_unlock(&rig->mutex);
  const struct cox_answer answer = {.outcome = COX_ANSWER_DONE};
  reply(arg, &answer);
  return 0;
}

static void run(const char *command) {
  if (system(command) != 0) fail_msg("%s failed", command);
}

static void make_folder(struct job_rig *rig, const char *const *files) {
  char text[256];
  snprintf(rig->folder, sizeof rig->folder, "/tmp/coxswain-jobs-XXXXXX");
  assert_non_null(mkdtemp(rig->folder));
  snprintf(text, sizeof text, "cp -r scripts/. %s", rig->folder);
  run(text);
  for (; files != NULL && files[0] != NULL; files += 2) {
    snprintf(text, sizeof text, "%s/%s", rig->folder, files[0]);
    FILE *const file = fopen(text, "w");
    assert_non_null(file);
    fputs(files[1], file);
    fclose(file);
  }
}

void job_rig_start(struct job_rig *rig, const char *const *files, json_t *config) {
  memset(rig, 0, sizeof *rig);
  cox_mutex_init(&rig->mutex);
  cox_cond_init(&rig->cond);
  rig->notes = json_array();
  make_folder(rig, files);
  struct cox_faults faults = {0};
  const struct cox_script_options options = {.scripts_dir = rig->folder, .library_dir = "lua", .clock = cox_clock_system(), .config = config};
  rig->script = cox_script_create(&options, &faults);
  if (rig->script == NULL) fail_msg("%s:%d: %s", faults.list[0].file, faults.list[0].line, faults.list[0].text);
  cox_faults_fini(&faults);
  rig->sink = (struct cox_net_sink){rig, complete, submit};
  const struct cox_net_options net = {.workers = 1, .clock = cox_clock_system(), .ops = cox_script_fiber_ops(rig->script)};
  struct cox_err err = {0};
  rig->net = cox_net_create_with(&net, &rig->sink, &err);
  if (rig->net == NULL) fail_msg("%s", err.text);
}

void job_rig_stop(struct job_rig *rig) {
  char text[256];
  cox_net_destroy(rig->net);
  cox_script_destroy(rig->script);
  json_decref(rig->notes);
  snprintf(text, sizeof text, "rm -r %s", rig->folder);
  run(text);
  cox_cond_fini(&rig->cond);
  cox_mutex_fini(&rig->mutex);
}

void job_rig_begin(struct job_rig *rig, const char *job) {
  struct cox_err err = {0};
  if (cox_net_start_job(rig->net, job, &err) != 0) fail_msg("%s", err.text);
}

json_t *job_rig_note(struct job_rig *rig) {
  const int64_t until_us = cox_clock_mono_us(cox_clock_system()) + RIG_LIMIT_MS * 1000LL;
  json_t *note = NULL;
  cox_mutex_lock(&rig->mutex);
  while (json_array_size(rig->notes) == 0 && cox_clock_mono_us(cox_clock_system()) < until_us)
    cox_cond_wait_us(&rig->cond, &rig->mutex, 100000);
  if (json_array_size(rig->notes) > 0) {
    note = json_incref(json_array_get(rig->notes, 0));
    json_array_remove(rig->notes, 0);
  }
  cox_mutex_unlock(&rig->mutex);
  if (note == NULL) fail_msg("no job noted anything");
  return note;
}

json_t *job_rig_run(const char *body) {
  struct job_rig rig;
  char *text = NULL;
  if (asprintf(&text, "local function run(job)\n%s\nend\nreturn { help = \"A spec's.\", run = run }\n", body) < 0) abort();
  job_rig_start(&rig, (const char *const[]){"jobs/spec.lua", text, NULL}, NULL);
  job_rig_begin(&rig, "spec");
  json_t *const note = job_rig_note(&rig);
  job_rig_stop(&rig);
  free(text);
  return note;
}

struct asked {
  struct job_rig *rig;
  json_t *answer;
};

static void answered(void *arg, const struct cox_answer *answer) {
  struct asked *const asked = arg;
  cox_mutex_lock(&asked->rig->mutex);
  asked->answer = cox_answer_json(answer);
  cox_cond_broadcast(&asked->rig->cond);
  cox_mutex_unlock(&asked->rig->mutex);
}

json_t *job_rig_chore(struct job_rig *rig, const char *name, json_t *args) {
  struct asked asked = {.rig = rig};
  const struct cox_transport *const transport = cox_net_transport(rig->net);
  struct cox_err err = {0};
  if (transport->chore(transport->ctx, name, args, answered, &asked, &err) != 0) fail_msg("%s", err.text);
  cox_mutex_lock(&rig->mutex);
  while (asked.answer == NULL) cox_cond_wait(&rig->cond, &rig->mutex);
  cox_mutex_unlock(&rig->mutex);
  return asked.answer;
}
