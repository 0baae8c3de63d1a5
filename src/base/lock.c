#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

#include "base/clock.h"

static void must(int rc) { assert(rc == 0 && "a lock call failed: a bug of ours"); }

#ifdef COX_TESTS
static _Thread_local int held;
int cox_lock_held(void) { return held; }
static void count(int change) { held += change; }
#else
static void count(int change) { (void)change; }
#endif

void cox_mutex_init(struct cox_mutex *mutex) { must(pthread_mutex_init(&mutex->native, NULL)); }

void cox_mutex_fini(struct cox_mutex *mutex) { must(pthread_mutex_destroy(&mutex->native)); }

void cox_mutex_lock(struct cox_mutex *mutex) COX_NO_ANALYSIS {
  must(pthread_mutex_lock(&mutex->native));
  count(1);
}

void cox_mutex_unlock(struct cox_mutex *mutex) COX_NO_ANALYSIS {
  must(pthread_mutex_unlock(&mutex->native));
  count(-1);
}

static void pause_a_little(int times) {
  for (int i = 0; i < times; i++) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
  }
}

/* How long the calling thread naps next: twice as long as before when that was a moment ago, because then others want the lock all the
 * time, and each change of hands costs all of them their caches.                                                                 */
static _Thread_local struct {
  int doublings;
  int64_t woke_us;
} napper;

static void choose_nap(int doublings_max, int64_t recent_us) {
  const bool is_recent = cox_clock_mono_us(cox_clock_system()) - napper.woke_us < recent_us;
  if (!is_recent) napper.doublings = 0;
  else if (napper.doublings < doublings_max) napper.doublings++;
}

void cox_mutex_lock_brief(struct cox_mutex *mutex) COX_NO_ANALYSIS {
  enum { TRIES = 4, PAUSES = 16, NAPS = 8, NAP_NS = 50000, DOUBLINGS_MAX = 4, RECENT_US = 8000 };
  assert(cox_lock_held() == 0 && "a nap while another lock is held");
  count(1);
  for (int i = 0; i < TRIES; i++) {
    if (pthread_mutex_trylock(&mutex->native) == 0) return;
    pause_a_little(PAUSES);
  }
  choose_nap(DOUBLINGS_MAX, RECENT_US);
  bool is_mine = false;
  for (int i = 0; i < NAPS && !is_mine; i++) {
    const struct timespec nap = {.tv_nsec = (long)NAP_NS << napper.doublings};
    nanosleep(&nap, NULL);
    is_mine = pthread_mutex_trylock(&mutex->native) == 0;
  }
  if (!is_mine) must(pthread_mutex_lock(&mutex->native));
  napper.woke_us = cox_clock_mono_us(cox_clock_system());
}

void cox_cond_init(struct cox_cond *cond) {
  pthread_condattr_t attributes;
  must(pthread_condattr_init(&attributes));
  must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
  must(pthread_cond_init(&cond->native, &attributes));
  must(pthread_condattr_destroy(&attributes));
}

void cox_cond_fini(struct cox_cond *cond) { must(pthread_cond_destroy(&cond->native)); }
void cox_cond_signal(struct cox_cond *cond) { must(pthread_cond_signal(&cond->native)); }
void cox_cond_broadcast(struct cox_cond *cond) { must(pthread_cond_broadcast(&cond->native)); }

void cox_cond_wait(struct cox_cond *cond, struct cox_mutex *mutex) COX_NO_ANALYSIS {
  must(pthread_cond_wait(&cond->native, &mutex->native));
}

bool cox_cond_wait_us(struct cox_cond *cond, struct cox_mutex *mutex, int64_t timeout_us) COX_NO_ANALYSIS {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  if (timeout_us < 0) timeout_us = 0;
  until.tv_sec += (time_t)(timeout_us / 1000000);
  until.tv_nsec += (long)(timeout_us % 1000000) * 1000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  const int rc = pthread_cond_timedwait(&cond->native, &mutex->native, &until);
  assert(rc == 0 || rc == ETIMEDOUT);
  return rc == 0;
}

void cox_rwlock_init(struct cox_rwlock *lock) {
  pthread_rwlockattr_t attributes;
  must(pthread_rwlockattr_init(&attributes));
  must(pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
  must(pthread_rwlock_init(&lock->native, &attributes));
  must(pthread_rwlockattr_destroy(&attributes));
}

void cox_rwlock_fini(struct cox_rwlock *lock) { must(pthread_rwlock_destroy(&lock->native)); }

void cox_rwlock_read(struct cox_rwlock *lock) COX_NO_ANALYSIS {
  must(pthread_rwlock_rdlock(&lock->native));
  count(1);
}

void cox_rwlock_read_unlock(struct cox_rwlock *lock) COX_NO_ANALYSIS {
  must(pthread_rwlock_unlock(&lock->native));
  count(-1);
}

void cox_rwlock_write(struct cox_rwlock *lock) COX_NO_ANALYSIS {
  must(pthread_rwlock_wrlock(&lock->native));
  count(1);
}

void cox_rwlock_write_unlock(struct cox_rwlock *lock) COX_NO_ANALYSIS {
  must(pthread_rwlock_unlock(&lock->native));
  count(-1);
}
