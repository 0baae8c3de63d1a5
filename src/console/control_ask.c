#include "console/control_ask.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { COMMAND_MS = 5000, SCRIPTS_MS = 60000, LOOK_MS = 5 };

/* Lives until the verb and whoever answers let go of it. */
struct question {
  atomic_uint references;
  atomic_bool is_answered; /* then the next two may be read */
  struct cox_answer answer;
  struct cox_scripts_outcome outcome; /* its result is held */
  struct cox_scripts_request request;
  char *dir;
};

static struct question *create(const struct cox_verb_call *call, const char *dir) {
  struct question *const question = calloc(1, sizeof *question);
  if (question == NULL) return NULL;
  atomic_init(&question->references, 2);
  if (dir != NULL && (question->dir = strdup(dir)) == NULL) {
    free(question);
    return NULL;
  }
  question->request.dir = question->dir;
  cox_verb_caller(call->caller, question->request.caller);
  return question;
}

static void release(struct question *question) {
  if (atomic_fetch_sub(&question->references, 1) != 1) return;
  cox_answer_fini(&question->answer);
  json_decref(question->outcome.result);
  free(question->dir);
  free(question);
}

/* On cox-command, the store's thread or a worker. */
static void answered(void *arg, const struct cox_answer *answer) {
  struct question *const question = arg;
  cox_answer_copy(&question->answer, answer);
  atomic_store(&question->is_answered, true);
  release(question);
}

/* Any thread. */
static void done(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  struct question *const question = COX_CONTAINER(request, struct question, request);
  question->outcome = *outcome;
  json_incref(question->outcome.result);
  atomic_store(&question->is_answered, true);
  release(question);
}

static int wait_for(const struct cox_verb_call *call, struct question *question, const char *what, int64_t timeout_ms, struct cox_err *err) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + timeout_ms * 1000;
  while (!atomic_load(&question->is_answered)) {
    const bool goes_on = call->pause(call->arg, LOOK_MS);
    const bool is_late = cox_clock_mono_us(cox_clock_system()) > end_us;
    if (goes_on && !is_late) continue;
    return cox_err_set(err, COX_ETIME, "%s was asked for and not answered %s; it may still be carried out", what,
                       goes_on ? "in time" : "before this was cancelled");
  }
  return 0;
}

int cox_ask_command(const struct cox_verb_call *call, const char *name, json_t *args, struct cox_answer *answer, struct cox_err *err) {
  struct question *const question = create(call, NULL);
  if (question == NULL) return cox_err_set(err, COX_ENOMEM, "command %s was not sent: out of memory", name);
  int rc = cox_broker_submit_as(call->broker, question->request.caller, name, args, NULL, answered, question, err);
  if (rc != 0) release(question);
  else rc = wait_for(call, question, name, COMMAND_MS, err);
  if (rc == 0) {
    *answer = question->answer;
    question->answer = (struct cox_answer){0};
  }
  release(question);
  return rc;
}

static void ask(const struct cox_scripts *scripts, enum cox_asked what, struct cox_scripts_request *request) {
  switch (what) {
    case COX_ASKED_RELOAD: scripts->reload(scripts->ctx, request); break;
    case COX_ASKED_ROLLBACK: scripts->rollback(scripts->ctx, request); break;
    case COX_ASKED_PLAN: scripts->plan(scripts->ctx, request); break;
  }
}

int cox_ask_scripts(const struct cox_verb_call *call, enum cox_asked what, const char *dir, struct cox_scripts_outcome *outcome,
                    struct cox_err *err) {
  static const char *const names[] = {"a reload", "a rollback", "a plan"};
  if (call->scripts == NULL) return cox_err_set(err, COX_ENOENT, "%s is not possible: this daemon does not load scripts while it runs", names[what]);
  struct question *const question = create(call, dir);
  if (question == NULL) return cox_err_set(err, COX_ENOMEM, "%s was not asked for: out of memory", names[what]);
  question->request.done = done;
  ask(call->scripts, what, &question->request);
  const int rc = wait_for(call, question, names[what], SCRIPTS_MS, err);
  if (rc == 0) {
    *outcome = question->outcome;
    question->outcome.result = NULL;
  }
  release(question);
  return rc;
}
