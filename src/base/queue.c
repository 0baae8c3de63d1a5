#include "base/queue.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int cox_queue_init(struct cox_queue *queue, bool with_event, struct cox_err *err) {
  atomic_init(&queue->head, NULL);
  queue->event_fd = -1;
  if (!with_event) return 0;
  queue->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (queue->event_fd < 0) return cox_err_set(err, COX_ESYS, "making an eventfd for a queue failed: %s", strerror(errno));
  return 0;
}

void cox_queue_fini(struct cox_queue *queue) {
  if (queue->event_fd >= 0) close(queue->event_fd);
  queue->event_fd = -1;
}

void cox_queue_wake(struct cox_queue *queue) {
  if (queue->event_fd < 0) return;
  const uint64_t one = 1;
  ssize_t rc;
  do {
    rc = write(queue->event_fd, &one, sizeof one);
  } while (rc < 0 && errno == EINTR); /* EAGAIN: the counter is full, so the reader is awake anyway */
}

bool cox_queue_push(struct cox_queue *queue, struct cox_queue_link *link) {
  struct cox_queue_link *head = atomic_load_explicit(&queue->head, memory_order_relaxed);
  do {
    link->next = head;
  } while (!atomic_compare_exchange_weak_explicit(&queue->head, &head, link, memory_order_release, memory_order_relaxed));
  if (head == NULL) cox_queue_wake(queue);
  return head == NULL;
}

struct cox_queue_link *cox_queue_take(struct cox_queue *queue) {
  if (queue->event_fd >= 0) {
    uint64_t count;
    const ssize_t rc = read(queue->event_fd, &count, sizeof count);
    (void)rc; /* EAGAIN: nobody woke us, look all the same */
  }
  struct cox_queue_link *link = atomic_exchange_explicit(&queue->head, NULL, memory_order_acquire);
  struct cox_queue_link *oldest = NULL;
  while (link != NULL) {
    struct cox_queue_link *const next = link->next;
    link->next = oldest;
    oldest = link;
    link = next;
  }
  return oldest;
}
