/* The queue between threads (base/queue.h) with many who push and one who takes: nothing is lost, doubled or out of its sender's order,
 * and who sleeps on the descriptor is always woken. Prints its seed.                                                                  */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/queue.h"
#include "base/rng.h"
#include "base/thread.h"

#if defined(__SANITIZE_THREAD__)
enum { ITEMS = 4000 };
#else
enum { ITEMS = 20000 };
#endif
enum { SENDERS = 4, PATIENCE_MS = 60000, PAUSE_NS_MAX = 20000 };

struct item {
  struct cox_queue_link link;
  unsigned sender, number;
};

struct sender {
  struct cox_thread thread;
  struct cox_queue *queue;
  struct item items[ITEMS];
  struct cox_rng rng;
  unsigned firsts; /* pushes onto an empty queue */
};

/* In bursts, with pauses in which the other side empties the queue and falls asleep. */
static void send_all(void *arg) {
  struct sender *const sender = arg;
  for (unsigned i = 0; i < ITEMS; i++) {
    sender->firsts += cox_queue_push(sender->queue, &sender->items[i].link);
    if (cox_rng_below(&sender->rng, 64) != 0) continue;
    nanosleep(&(const struct timespec){.tv_nsec = (long)cox_rng_below(&sender->rng, PAUSE_NS_MAX)}, NULL);
  }
}

static struct sender *start_senders(struct cox_queue *queue, uint64_t seed) {
  struct sender *const senders = calloc(SENDERS, sizeof *senders);
  assert_non_null(senders);
  for (unsigned s = 0; s < SENDERS; s++) {
    for (unsigned i = 0; i < ITEMS; i++) senders[s].items[i] = (struct item){.sender = s, .number = i};
    senders[s].queue = queue;
    cox_rng_init(&senders[s].rng, seed + s);
    assert_int_equal(cox_thread_start(&senders[s].thread, "sender", send_all, &senders[s], NULL), 0);
  }
  return senders;
}

static void what_many_push_is_taken_once_and_in_order_by_one_who_sleeps_between(void **state) {
  (void)state;
  const uint64_t seed = cox_rng_system_seed();
  print_message("seed %llu\n", (unsigned long long)seed);
  struct cox_queue queue;
  assert_int_equal(cox_queue_init(&queue, true, NULL), 0);
  struct sender *const senders = start_senders(&queue, seed);
  unsigned next[SENDERS] = {0}, taken = 0, lists = 0;
  bool is_woken = true, is_ordered = true;
  while (taken < SENDERS * ITEMS && is_woken) {
    struct pollfd event = {.fd = queue.event_fd, .events = POLLIN};
    is_woken = poll(&event, 1, PATIENCE_MS) == 1; /* only a wake-up that was lost makes it wait so long */
    struct cox_queue_link *link = cox_queue_take(&queue);
    lists += link != NULL;
    for (; link != NULL; link = link->next, taken++) {
      const struct item *const item = COX_CONTAINER(link, struct item, link);
      is_ordered = is_ordered && item->number == next[item->sender]++;
    }
  }
  unsigned firsts = 0;
  for (unsigned s = 0; s < SENDERS; s++) {
    cox_thread_join(&senders[s].thread);
    firsts += senders[s].firsts;
  }
  assert_true(is_woken);
  assert_true(is_ordered);
  assert_int_equal(taken, SENDERS * ITEMS);
  assert_int_equal(firsts, lists); /* one wake-up for each list that was taken */
  assert_null(cox_queue_take(&queue));
  cox_queue_fini(&queue);
  free(senders);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_many_push_is_taken_once_and_in_order_by_one_who_sleeps_between),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
