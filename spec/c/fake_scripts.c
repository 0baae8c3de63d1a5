#include "fake_scripts.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { LIMIT_MS = 60000 };

/* Answers with what is next: outside of the lock, as the real one does. */
static void finish(struct fake_scripts *fake, struct cox_scripts_request *request) {
  cox_mutex_lock(&fake->mutex);
  struct cox_scripts_outcome outcome = fake->next;
  json_incref(outcome.result);
  cox_mutex_unlock(&fake->mutex);
  request->done(request, &outcome);
  json_decref(outcome.result);
}

static void take(struct fake_scripts *fake, struct cox_scripts_request *request, const char *what) {
  cox_mutex_lock(&fake->mutex);
  fake->asked++;
  snprintf(fake->what, sizeof fake->what, "%s", what);
  snprintf(fake->caller, sizeof fake->caller, "%s", request->caller);
  snprintf(fake->dir, sizeof fake->dir, "%s", request->dir != NULL ? request->dir : "");
  const bool is_held = fake->is_holding;
  if (is_held) {
    request->next = fake->waiting;
    fake->waiting = request;
  }
  cox_mutex_unlock(&fake->mutex);
  if (!is_held) finish(fake, request);
}

static void reload(void *ctx, struct cox_scripts_request *request) { take(ctx, request, "reload"); }
static void rollback(void *ctx, struct cox_scripts_request *request) { take(ctx, request, "rollback"); }
static void plan(void *ctx, struct cox_scripts_request *request) { take(ctx, request, "plan"); }

static json_t *show(void *ctx) {
  (void)ctx;
  return json_pack("{si, ss, ss, sb, s{si, ss}, s{ss, ss, s[{ss, si, ss}]}, s[ss], s[{ss, ss, ss, si, s[s]}, {ss, ss, ss, si, s[]}], s[s], s[s], s[s]}",
                   "generation", 2, "hash", "2222222222222222", "loaded_at", "2026-01-02T03:04:05.000Z", "can_roll_back", 1, "previous",
                   "generation", 1, "hash", "1111111111111111", "rejected", "hash", "3333333333333333", "reason", "rolled back by ann",
                   "faults", "file", "policy/phases.lua", "line", 3, "message", "unexpected symbol", "folders", "/etc/own", "/usr/scripts",
                   "files", "path", "policy/phases.lua", "from", "/etc/own", "hash", "aaaa", "size", 100, "shadows", "/usr/scripts", "path",
                   "drivers/mlnode.lua", "from", "/usr/scripts", "hash", "bbbb", "size", 2000, "shadows", "commands", "new_block", "drivers",
                   "mlnode", "jobs", "clock");
}

static json_t *difference(void *ctx) {
  (void)ctx;
  return json_pack("{s{s{ss, ss}}}", "files", "policy/phases.lua", "live", "return 2\n", "previous", "return 1\n");
}

void fake_scripts_init(struct fake_scripts *fake) {
  *fake = (struct fake_scripts){.scripts = {.ctx = fake, .reload = reload, .rollback = rollback, .plan = plan, .show = show, .difference = difference}};
  cox_mutex_init(&fake->mutex);
  fake_scripts_answer(fake, COX_SCRIPTS_DONE, json_pack("{ss, si}", "status", "done", "generation", 2), 0, "");
}

void fake_scripts_fini(struct fake_scripts *fake) {
  fake_scripts_let_go(fake);
  json_decref(fake->next.result);
  cox_mutex_fini(&fake->mutex);
}

void fake_scripts_answer(struct fake_scripts *fake, enum cox_scripts_status status, json_t *result, int code, const char *why) {
  cox_mutex_lock(&fake->mutex);
  json_decref(fake->next.result);
  fake->next = (struct cox_scripts_outcome){.status = status, .result = result};
  if (code != 0) cox_err_set(&fake->next.err, code, "%s", why);
  cox_mutex_unlock(&fake->mutex);
}

void fake_scripts_refuse(struct fake_scripts *fake) {
  json_t *const faults = json_pack("[{ss, si, ss}, {ss}]", "file", "/etc/own/policy/phases.lua", "line", 3, "message", "unexpected symbol near 'x'",
                                   "message", "there is no driver");
  fake_scripts_answer(fake, COX_SCRIPTS_REFUSED, faults, COX_ESCRIPT, "the scripts were not loaded: 2 faults; the live set goes on");
}

void fake_scripts_hold(struct fake_scripts *fake) {
  cox_mutex_lock(&fake->mutex);
  fake->is_holding = true;
  cox_mutex_unlock(&fake->mutex);
}

void fake_scripts_let_go(struct fake_scripts *fake) {
  cox_mutex_lock(&fake->mutex);
  fake->is_holding = false;
  struct cox_scripts_request *request = fake->waiting;
  fake->waiting = NULL;
  cox_mutex_unlock(&fake->mutex);
  while (request != NULL) {
    struct cox_scripts_request *const next = request->next;
    finish(fake, request);
    request = next;
  }
}

bool fake_scripts_wait(struct fake_scripts *fake, size_t asked) {
  for (int i = 0; i < LIMIT_MS; i++) {
    cox_mutex_lock(&fake->mutex);
    const bool is_there = fake->asked >= asked;
    cox_mutex_unlock(&fake->mutex);
    if (is_there) return true;
    poll(NULL, 0, 1);
  }
  return false;
}
