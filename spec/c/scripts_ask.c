#include "scripts_ask.h"

#include "base/lock.h"

struct asked {
  struct cox_scripts_request request;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  bool is_answered;
  enum cox_scripts_status status;
};

static void answered(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  struct asked *const asked = (struct asked *)(void *)request;
  cox_mutex_lock(&asked->mutex);
  asked->status = outcome->status;
  asked->is_answered = true;
  cox_cond_signal(&asked->cond);
  cox_mutex_unlock(&asked->mutex);
}

enum cox_scripts_status scripts_ask(const struct cox_scripts *scripts, bool is_rollback) {
  struct asked asked = {.request = {.caller = "a spec", .done = answered}};
  cox_mutex_init(&asked.mutex);
  cox_cond_init(&asked.cond);
  (is_rollback ? scripts->rollback : scripts->reload)(scripts->ctx, &asked.request);
  cox_mutex_lock(&asked.mutex);
  while (!asked.is_answered) cox_cond_wait(&asked.cond, &asked.mutex);
  cox_mutex_unlock(&asked.mutex);
  cox_cond_fini(&asked.cond);
  cox_mutex_fini(&asked.mutex);
  return asked.status;
}
