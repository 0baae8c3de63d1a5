#include "api/wait.h"

#include <assert.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>

#include "api/key.h"
#include "api/request.h"
#include "api/server.h"

struct cox_waker *cox_waker_create(struct cox_err *err) {
  struct cox_waker *const waker = calloc(1, sizeof *waker);
  if (waker == NULL) {
    cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
    return NULL;
  }
  atomic_init(&waker->references, 1);
  if (cox_queue_init(&waker->ended, true, err) == 0) return waker;
  free(waker);
  return NULL;
}

void cox_waker_release(struct cox_waker *waker) {
  if (waker == NULL || atomic_fetch_sub_explicit(&waker->references, 1, memory_order_acq_rel) > 1) return;
  assert(cox_queue_take(&waker->ended) == NULL);
  cox_queue_fini(&waker->ended);
  free(waker);
}

void cox_waker_turn(struct cox_waker *waker, int hangup_fd, int timeout_ms) {
  struct pollfd events[] = {{.fd = waker->ended.event_fd, .events = POLLIN}, {.fd = hangup_fd, .events = POLLIN}};
  poll(events, 2, timeout_ms);
  atomic_store(&waker->busy, 1);
  for (struct cox_queue_link *link = cox_queue_take(&waker->ended); link != NULL;) {
    struct cox_wait *const wait = COX_CONTAINER(link, struct cox_wait, link);
    link = link->next;
    if (wait->job != NULL) cox_job_turn(wait->job);
    else MHD_resume_connection(wait->native);
    cox_wait_release(wait);
  }
  atomic_store(&waker->busy, 0);
}

void cox_wait_begin(struct cox_wait *wait, struct cox_request *request, int64_t deadline_us) {
  struct cox_api *const api = request->api;
  assert(wait->destroy != NULL && request->wait == NULL);
  atomic_init(&wait->references, 1);
  atomic_init(&wait->end, COX_WAIT_OPEN);
  wait->native = request->native;
  wait->waker = api->waker;
  atomic_fetch_add_explicit(&api->waker->references, 1, memory_order_relaxed);
  request->wait = wait;
  wait->job = request->job;
  if (request->job != NULL) {
    cox_job_wait(request->job, wait, deadline_us);
    return;
  }
  atomic_fetch_add(&api->suspended, 1);
  MHD_suspend_connection(request->native); /* before anybody can end the wait */
  cox_connection_wait(request->connection, wait, deadline_us);
}

bool cox_wait_finish(struct cox_wait *wait, enum cox_wait_end end) {
  int open = COX_WAIT_OPEN;
  if (!atomic_compare_exchange_strong(&wait->end, &open, (int)end)) return false;
  cox_wait_hold(wait);
  cox_queue_push(&wait->waker->ended, &wait->link);
  return true;
}

enum cox_wait_end cox_wait_end(struct cox_wait *wait) { return (enum cox_wait_end)atomic_load(&wait->end); }

struct cox_wait *cox_wait_hold(struct cox_wait *wait) {
  atomic_fetch_add_explicit(&wait->references, 1, memory_order_relaxed);
  return wait;
}

void cox_wait_release(struct cox_wait *wait) {
  if (wait == NULL || atomic_fetch_sub_explicit(&wait->references, 1, memory_order_acq_rel) > 1) return;
  struct cox_waker *const waker = wait->waker;
  wait->destroy(wait);
  cox_waker_release(waker);
}
