/* Named threads, each started in one place and joined by the one who started it. */
#ifndef COX_BASE_THREAD_H
#define COX_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"

struct cox_thread {
  pthread_t native;
  bool is_started;
  void (*run)(void *arg);
  void *arg;
  char name[16];
};

/* Starts `run(arg)` in a thread of that name (at most 15 bytes) with all signals blocked.
 * `thread` must outlive the thread. Returns 0 or COX_ESYS.                                 */
int cox_thread_start(struct cox_thread *thread, const char *name, void (*run)(void *), void *arg, struct cox_err *err);
/* Waits for its end; nothing happens if it was never started. */
void cox_thread_join(struct cox_thread *thread);
/* Name of the calling thread; "cox-main" for the first one. */
const char *cox_thread_name(void);

#endif
