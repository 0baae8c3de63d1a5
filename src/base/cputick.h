/* A tick for each few milliseconds of processor time that one thread burns, delivered to that thread by a signal: how a
 * runaway script is noticed without any cost while scripts behave. A thread that sleeps or waits gets none.           */
#ifndef COX_BASE_CPUTICK_H
#define COX_BASE_CPUTICK_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "base/err.h"

struct cox_cputick {
  timer_t timer;
  bool is_running;
  pthread_t owner;
  /* In a signal handler of the owner: only what is async-signal-safe. `place` is the instruction that it interrupted, NULL where
   * that is not known. It may leave by siglongjmp to a point that was set without the signal mask; cox_cputick_left comes next.  */
  void (*tick)(void *arg, const void *place);
  void *arg;
};

/* Ticks for the calling thread from now on; a tick that ran for another thread is moved. Takes SIGRTMIN. 0 or COX_ESYS. */
int cox_cputick_start(struct cox_cputick *cputick, long interval_ms, void (*tick)(void *arg, const void *place), void *arg,
                      struct cox_err *err);
/* Does it run for the calling thread? */
bool cox_cputick_is_mine(const struct cox_cputick *cputick);
/* A tick was left by siglongjmp: lets ticks through again. */
void cox_cputick_left(void);
/* From the owner, or once the owner has ended. */
void cox_cputick_stop(struct cox_cputick *cputick);

#endif
