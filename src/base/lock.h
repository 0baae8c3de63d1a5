/* Locks with clang's thread-safety attributes. A failure of a lock call is a bug of ours: it asserts. */
#ifndef COX_BASE_LOCK_H
#define COX_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define COX_TSA(x) __attribute__((x))
#else
#define COX_TSA(x)
#endif
#define COX_CAPABILITY(name) COX_TSA(capability(name))
#define COX_REQUIRES(...) COX_TSA(requires_capability(__VA_ARGS__))
#define COX_REQUIRES_SHARED(...) COX_TSA(requires_shared_capability(__VA_ARGS__))
#define COX_ACQUIRE(...) COX_TSA(acquire_capability(__VA_ARGS__))
#define COX_ACQUIRE_SHARED(...) COX_TSA(acquire_shared_capability(__VA_ARGS__))
#define COX_RELEASE(...) COX_TSA(release_capability(__VA_ARGS__))
#define COX_RELEASE_SHARED(...) COX_TSA(release_shared_capability(__VA_ARGS__))
#define COX_EXCLUDES(...) COX_TSA(locks_excluded(__VA_ARGS__))
#define COX_NO_ANALYSIS COX_TSA(no_thread_safety_analysis)

struct COX_CAPABILITY("mutex") cox_mutex {
  pthread_mutex_t native;
};
struct cox_cond {
  pthread_cond_t native; /* waits on the monotonic clock */
};
/* Prefers writers: with glibc's default, polling readers starve a writer. Never taken twice by one thread. */
struct COX_CAPABILITY("rwlock") cox_rwlock {
  pthread_rwlock_t native;
};

/* Locks that the calling thread holds: specs ask after every step. Always 0 in builds without them. */
#ifdef COX_TESTS
int cox_lock_held(void);
#else
static inline int cox_lock_held(void) { return 0; }
#endif

void cox_mutex_init(struct cox_mutex *mutex);
void cox_mutex_fini(struct cox_mutex *mutex);
void cox_mutex_lock(struct cox_mutex *mutex) COX_ACQUIRE(mutex);
/* For mutexes that are only ever held for a fraction of a microsecond and taken very often. Who finds one taken spins for about that
 * long, then naps for some tens of microseconds a few times (for close to a millisecond when that happens to it again and again), then
 * sleeps as usual. Napping lets the other thread work on with warm caches: handing such a lock back and forth between processors costs
 * more than what is done under it. Not by a thread that holds another lock, whose waiters would wait for the naps, too: that asserts in
 * builds with specs.                                                                                                                */
void cox_mutex_lock_brief(struct cox_mutex *mutex) COX_ACQUIRE(mutex);
void cox_mutex_unlock(struct cox_mutex *mutex) COX_RELEASE(mutex);

void cox_cond_init(struct cox_cond *cond);
void cox_cond_fini(struct cox_cond *cond);
/* Best after the mutex was given up: who is woken while it is held goes to sleep on it again. */
void cox_cond_signal(struct cox_cond *cond);
void cox_cond_broadcast(struct cox_cond *cond);
void cox_cond_wait(struct cox_cond *cond, struct cox_mutex *mutex) COX_REQUIRES(mutex);
/* Waits at most `timeout_us`; false on time-out. Spurious wake-ups happen: loop on the condition. */
bool cox_cond_wait_us(struct cox_cond *cond, struct cox_mutex *mutex, int64_t timeout_us) COX_REQUIRES(mutex);

void cox_rwlock_init(struct cox_rwlock *lock);
void cox_rwlock_fini(struct cox_rwlock *lock);
void cox_rwlock_read(struct cox_rwlock *lock) COX_ACQUIRE_SHARED(lock);
void cox_rwlock_read_unlock(struct cox_rwlock *lock) COX_RELEASE_SHARED(lock);
void cox_rwlock_write(struct cox_rwlock *lock) COX_ACQUIRE(lock);
void cox_rwlock_write_unlock(struct cox_rwlock *lock) COX_RELEASE(lock);

#endif
