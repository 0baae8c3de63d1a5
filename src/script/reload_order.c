/* What cox-reload is asked for: the requests that wait, the thread that carries them out one by one, and what every other thread may call. */
#include "script/reload_order.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* ---- the thread ---- */

/* Failures go first: a request may make them worse. */
static bool next_locked(struct cox_reload *reload, struct cox_reload_order *order) COX_REQUIRES(reload->mutex) {
  if (reload->failure[0] != '\0') {
    order->kind = COX_RELOAD_GIVE_UP;
    order->asked = COX_ORDER_ROLLBACK;
    order->failed_number = reload->failed_number;
    snprintf(order->caller, sizeof order->caller, "the broker itself");
    snprintf(order->why, sizeof order->why, "%s", reload->failure);
    reload->failure[0] = '\0';
  } else if (reload->count > 0) {
    order->kind = COX_RELOAD_ASKED;
    order->follows = true;
    order->asked = reload->orders[reload->first].kind;
    order->request = reload->orders[reload->first].request;
    reload->first = (reload->first + 1) % COX_RELOAD_WAITING_MAX;
    reload->count--;
  } else if (reload->look_caller[0] != '\0') {
    order->kind = COX_RELOAD_LOOK;
    order->follows = true;
    snprintf(order->caller, sizeof order->caller, "%s", reload->look_caller);
    reload->look_caller[0] = '\0';
  } else {
    return false;
  }
  return true;
}

/* The failures of a generation that is not live any more are over with it. */
static bool is_late(struct cox_reload *reload, const struct cox_reload_order *order) {
  return order->kind == COX_RELOAD_GIVE_UP && order->failed_number != atomic_load(&reload->options.generations->number);
}

static void wake(struct cox_reload *reload) { eventfd_write(reload->wake_fd, 1); }

static void wake_for_store(void *ctx) { wake(ctx); }

/* Until there is something to do; `order` says what. False: it is over. */
static bool await(struct cox_reload *reload, struct cox_reload_order *order) {
  for (;;) {
    *order = (struct cox_reload_order){.kind = COX_RELOAD_NOTHING};
    cox_mutex_lock(&reload->mutex);
    const bool is_over = reload->is_stopping, has_one = !is_over && next_locked(reload, order);
    cox_mutex_unlock(&reload->mutex);
    if (is_over) return false;
    if (has_one && !is_late(reload, order)) return true;
    if (has_one) continue;
    cox_reload_turn(reload);
    if (cox_watch_wait(&reload->watch, reload->wake_fd, cox_reload_due_us(reload))) {
      order->kind = COX_RELOAD_LOOK;
      snprintf(order->caller, sizeof order->caller, "an edit of the files");
      return true;
    }
    eventfd_t ignored;
    eventfd_read(reload->wake_fd, &ignored);
  }
}

static void run(void *arg) {
  struct cox_reload *const reload = arg;
  for (struct cox_reload_order order; await(reload, &order);) cox_reload_do(reload, &order);
}

void cox_reload_begin_load(struct cox_reload *reload) {
  cox_mutex_lock(&reload->mutex);
  reload->can_begin_again = true;
  cox_mutex_unlock(&reload->mutex);
}

bool cox_reload_end_load(struct cox_reload *reload) {
  cox_mutex_lock(&reload->mutex);
  const bool begins_again = atomic_load(&reload->is_left) && !reload->is_stopping;
  if (begins_again) atomic_store(&reload->is_left, false);
  reload->can_begin_again = false;
  cox_mutex_unlock(&reload->mutex);
  return begins_again;
}

/* Once for each load, or requests that come all the time would let none get to its end. */
static void leave_older_locked(struct cox_reload *reload) COX_REQUIRES(reload->mutex) {
  if (reload->can_begin_again) atomic_store(&reload->is_left, true);
  reload->can_begin_again = false;
}

static void set_running(struct cox_reload *reload, bool is_running) {
  cox_mutex_lock(&reload->mutex);
  reload->is_running = is_running;
  cox_mutex_unlock(&reload->mutex);
}

int cox_reload_start(struct cox_reload *reload, struct cox_broker *broker, struct cox_err *err) {
  reload->broker = broker;
  reload->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (reload->wake_fd < 0) return cox_err_set(err, COX_ESYS, "starting the watch over the scripts failed: %s", strerror(errno));
  if (reload->options.is_watching) cox_watch_init(&reload->watch, reload->options.folders);
  cox_kept_tell(&reload->kept, wake_for_store, reload);
  set_running(reload, true);
  const int rc = cox_thread_start(&reload->thread, "cox-reload", run, reload, err);
  if (rc != 0) set_running(reload, false);
  return rc;
}

void cox_reload_drive(struct cox_reload *reload, struct cox_broker *broker, const struct cox_reload_drive *drive) {
  reload->broker = broker;
  reload->drive = *drive;
  reload->kept.clock = reload->options.clock;
  reload->options.generations->attend = drive->attend;
  reload->options.generations->attend_ctx = drive->ctx;
}

void cox_reload_carry_out(struct cox_reload *reload, enum cox_order_kind kind, struct cox_scripts_request *request) {
  assert(reload->drive.attend != NULL && !reload->is_running);
  cox_reload_do(reload, &(struct cox_reload_order){.kind = COX_RELOAD_ASKED, .asked = kind, .request = request});
}

static void answer_stopped(struct cox_scripts_request *request) {
  struct cox_scripts_outcome outcome = {.status = COX_SCRIPTS_FAILED};
  cox_err_set(&outcome.err, COX_ESTOPPED, "the scripts were left as they are: the daemon is not running, or is stopping");
  request->done(request, &outcome);
}

void cox_reload_stop(struct cox_reload *reload) {
  cox_mutex_lock(&reload->mutex);
  reload->is_stopping = true;
  atomic_store(&reload->is_left, true);
  cox_mutex_unlock(&reload->mutex);
  if (reload->wake_fd >= 0) wake(reload);
  cox_generations_stop(reload->options.generations);
  cox_thread_join(&reload->thread);
  if (reload->broker != NULL && cox_reload_due_us(reload) != INT64_MAX) { /* the last moment */
    cox_kept_hasten(&reload->kept);
    cox_reload_turn(reload);
  }
  struct cox_reload_order order;
  for (bool has_one = true; has_one;) {
    cox_mutex_lock(&reload->mutex);
    order = (struct cox_reload_order){.kind = COX_RELOAD_NOTHING};
    reload->is_running = false;
    has_one = next_locked(reload, &order);
    cox_mutex_unlock(&reload->mutex);
    if (order.request != NULL) answer_stopped(order.request);
  }
}

/* ---- other threads ---- */

void cox_reload_ask(struct cox_reload *reload, enum cox_order_kind kind, struct cox_scripts_request *request) {
  cox_mutex_lock(&reload->mutex);
  const bool is_stopped = !reload->is_running || reload->is_stopping, is_full = reload->count == COX_RELOAD_WAITING_MAX;
  if (!is_stopped && !is_full) {
    const size_t place = (reload->first + reload->count++) % COX_RELOAD_WAITING_MAX;
    reload->orders[place].kind = kind;
    reload->orders[place].request = request;
    if (kind == COX_ORDER_RELOAD) leave_older_locked(reload);
  }
  cox_mutex_unlock(&reload->mutex);
  if (!is_stopped && !is_full) {
    wake(reload);
  } else if (is_stopped) {
    answer_stopped(request);
  } else {
    struct cox_scripts_outcome outcome = {.status = COX_SCRIPTS_FAILED};
    cox_err_set(&outcome.err, COX_EFULL, "the scripts were left as they are: %d requests wait already; try again later", COX_RELOAD_WAITING_MAX);
    request->done(request, &outcome);
  }
}

void cox_reload_look(struct cox_reload *reload, const char *caller) {
  cox_mutex_lock(&reload->mutex);
  snprintf(reload->look_caller, sizeof reload->look_caller, "%s", caller);
  leave_older_locked(reload);
  const bool is_running = reload->is_running;
  cox_mutex_unlock(&reload->mutex);
  if (is_running) wake(reload);
}

void cox_reload_follow(struct cox_reload *reload, json_t *(*folders)(void *ctx, struct cox_faults *faults), void *ctx) {
  cox_mutex_lock(&reload->mutex);
  reload->folders = folders;
  reload->folders_ctx = ctx;
  cox_mutex_unlock(&reload->mutex);
}

void cox_reload_give_up(struct cox_reload *reload, uint64_t number, const char *why) {
  cox_mutex_lock(&reload->mutex);
  snprintf(reload->failure, sizeof reload->failure, "%s", why);
  reload->failed_number = number;
  const bool is_running = reload->is_running;
  cox_mutex_unlock(&reload->mutex);
  if (is_running) wake(reload);
}
