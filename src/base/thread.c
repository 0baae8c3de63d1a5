#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static _Thread_local const char *own_name = "cox-main";

const char *cox_thread_name(void) { return own_name; }

static void *enter(void *arg) {
  struct cox_thread *const thread = arg;
  own_name = thread->name;
  pthread_setname_np(pthread_self(), thread->name);
  thread->run(thread->arg);
  return NULL;
}

int cox_thread_start(struct cox_thread *thread, const char *name, void (*run)(void *), void *arg, struct cox_err *err) {
  snprintf(thread->name, sizeof thread->name, "%s", name);
  thread->run = run;
  thread->arg = arg;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int rc = pthread_create(&thread->native, NULL, enter, thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc != 0) return cox_err_set(err, COX_ESYS, "starting the thread %s failed: %s", name, strerror(rc));
  thread->is_started = true;
  return 0;
}

void cox_thread_join(struct cox_thread *thread) {
  if (!thread->is_started) return;
  pthread_join(thread->native, NULL);
  thread->is_started = false;
}
