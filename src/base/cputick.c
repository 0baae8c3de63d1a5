#include "base/cputick.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static const void *place_of(const void *context) {
#if defined(__x86_64__)
  return (const void *)(uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return (const void *)(uintptr_t)((const ucontext_t *)context)->uc_mcontext.pc;
#else
  (void)context;
  return NULL;
#endif
}

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number;
  if (info->si_code != SI_TIMER) return; /* somebody's kill(2): it carries no pointer of ours */
  const int before = errno;
  const struct cox_cputick *const cputick = info->si_value.sival_ptr;
  cputick->tick(cputick->arg, place_of(context));
  errno = before;
}

static void install(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGRTMIN, &action, NULL);
}

static void unblock(void) {
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGRTMIN);
  pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

int cox_cputick_start(struct cox_cputick *cputick, long interval_ms, void (*tick)(void *arg, const void *place), void *arg,
                      struct cox_err *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  cox_cputick_stop(cputick);
  cputick->tick = tick;
  cputick->arg = arg;
  cputick->owner = pthread_self();
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN, .sigev_value.sival_ptr = cputick};
  event._sigev_un._tid = gettid();
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &cputick->timer) != 0) {
    return cox_err_set(err, COX_ESYS, "making a timer of processor time failed: %s", strerror(errno));
  }
  cputick->is_running = true;
  unblock();
  const struct timespec interval = {.tv_sec = interval_ms / 1000, .tv_nsec = interval_ms % 1000 * 1000000};
  const struct itimerspec both = {.it_interval = interval, .it_value = interval};
  if (timer_settime(cputick->timer, 0, &both, NULL) == 0) return 0;
  const int reason = errno;
  cox_cputick_stop(cputick);
  return cox_err_set(err, COX_ESYS, "setting a timer of processor time failed: %s", strerror(reason));
}

void cox_cputick_left(void) { unblock(); }

bool cox_cputick_is_mine(const struct cox_cputick *cputick) {
  return cputick->is_running && pthread_equal(cputick->owner, pthread_self()) != 0;
}

void cox_cputick_stop(struct cox_cputick *cputick) {
  if (!cputick->is_running) return;
  timer_delete(cputick->timer);
  cputick->is_running = false;
}
