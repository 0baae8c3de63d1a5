/* Intrusive queue for many producers and one consumer: atomic push, the consumer takes everything at once.
 * The eventfd is written only when the queue goes from empty to non-empty.
 * Unbounded by itself: use it only for items whose number another limit bounds.                            */
#ifndef COX_BASE_QUEUE_H
#define COX_BASE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"

struct cox_queue_link {
  struct cox_queue_link *next;
};

struct cox_queue {
  _Atomic(struct cox_queue_link *) head;
  int event_fd; /* readable when there may be items; -1: the owner is woken by other means */
};

/* `with_event` makes an eventfd. Returns 0 or COX_ESYS. */
int cox_queue_init(struct cox_queue *queue, bool with_event, struct cox_err *err);
void cox_queue_fini(struct cox_queue *queue);
/* Any thread. True when the queue was empty before. */
bool cox_queue_push(struct cox_queue *queue, struct cox_queue_link *link);
/* Consumer only: everything pushed so far, oldest first, NULL when empty. Clears the eventfd. */
struct cox_queue_link *cox_queue_take(struct cox_queue *queue);
/* Any thread: wake the consumer without an item. */
void cox_queue_wake(struct cox_queue *queue);

#define COX_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
