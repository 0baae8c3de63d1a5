#include "sim/fleet_shard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

enum { EVENTS_MAX = 256, BACKLOG = 4096, LINES_MAX = 1 << 20 };
enum { EVENT_WAKE, EVENT_HTTP, EVENT_LISTENER, EVENT_LINE };

static uint64_t event_of(uint32_t kind, uint32_t value) { return (uint64_t)kind << 32 | value; }

static int watch(struct cox_fleet_shard *shard, int fd, uint32_t events, uint64_t what) {
  struct epoll_event event = {.events = events, .data.u64 = what};
  return epoll_ctl(shard->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int cox_fleet_shard_watch_line(struct cox_fleet_shard *shard, int fd) {
  return watch(shard, fd, EPOLLRDHUP, event_of(EVENT_LINE, (uint32_t)fd));
}

void cox_fleet_shard_forget_line(struct cox_fleet_shard *shard, int fd) { epoll_ctl(shard->epoll_fd, EPOLL_CTL_DEL, fd, NULL); }

/* ---- timers ---- */

void cox_fleet_shard_arm(struct cox_fleet_shard *shard, int64_t at_us, uint64_t what) {
  if (cox_timers_add(&shard->timers, at_us, what, COX_TIMER_LOOK) != 0) shard->has_lost = true;
}

static void run_timers(struct cox_fleet_shard *shard) {
  while (cox_timers_next(&shard->timers) <= shard->now_us) {
    const struct cox_timer timer = cox_timers_pop(&shard->timers);
    if (timer.registration < shard->seat_count) {
      struct cox_fleet_seat *const seat = &shard->seats[timer.registration];
      if (seat->armed_us <= shard->now_us) seat->armed_us = INT64_MAX;
      cox_fleet_seat_settle(shard, seat);
    } else {
      struct cox_fleet_exchange *const exchange = shard->lines[timer.registration - shard->seat_count].exchange;
      if (exchange != NULL) cox_fleet_exchange_drip(shard, exchange);
    }
  }
}

/* ---- listeners ---- */

/* A listener that is shut down keeps its port, so that nobody else can take it before it listens again. */
static void close_listeners(struct cox_fleet_shard *shard, struct cox_fleet_seat *seat) {
  for (int which = 0; which < 2; which++) {
    if (seat->listen_fd[which] < 0) continue;
    epoll_ctl(shard->epoll_fd, EPOLL_CTL_DEL, seat->listen_fd[which], NULL);
    shutdown(seat->listen_fd[which], SHUT_RDWR);
  }
}

static int open_listeners(struct cox_fleet_shard *shard, struct cox_fleet_seat *seat) {
  for (uint32_t which = 0; which < 2; which++) {
    const int fd = seat->listen_fd[which];
    if (fd < 0) continue;
    if (listen(fd, BACKLOG) != 0) return -1;
    if (watch(shard, fd, EPOLLIN, event_of(EVENT_LISTENER, (uint32_t)(seat - shard->seats) * 2 + which)) != 0) return -1;
  }
  return 0;
}

/* Calls that wait are ended by the node itself. */
static void reset_idle_lines(struct cox_fleet_shard *shard, const struct cox_fleet_seat *seat) {
  for (int fd = seat->first_line; fd >= 0; fd = shard->lines[fd].next) {
    if (shard->lines[fd].exchange == NULL) cox_fleet_reset_socket(fd);
  }
}

static void follow_process(struct cox_fleet_shard *shard, struct cox_fleet_seat *seat, bool is_listening, unsigned starts) {
  if (is_listening == seat->is_listening && starts == seat->starts) return;
  if (!is_listening || starts != seat->starts) reset_idle_lines(shard, seat);
  seat->starts = starts;
  if (is_listening == seat->is_listening) return;
  seat->is_listening = is_listening;
  if (!is_listening) {
    close_listeners(shard, seat);
  } else if (open_listeners(shard, seat) != 0) {
    cox_log(COX_LOG_ERROR, "sim", "a node cannot listen again", "port", COX_LOG_INT(seat->port[0]), "why", strerror(errno), NULL);
  }
}

void cox_fleet_seat_settle(struct cox_fleet_shard *shard, struct cox_fleet_seat *seat) {
  struct cox_fleet_call *answered = NULL, **tail = &answered, *call;
  cox_mutex_lock(&shard->mutex);
  while ((call = cox_fleet_node_answered(seat->node, shard->now_us)) != NULL) {
    *tail = call;
    tail = &call->next;
  }
  const int64_t next_us = cox_fleet_node_next_us(seat->node);
  const bool is_listening = cox_fleet_node_is_listening(seat->node);
  const unsigned starts = cox_fleet_node_starts(seat->node);
  cox_mutex_unlock(&shard->mutex);
  while ((call = answered) != NULL) {
    answered = call->next;
    call->next = NULL;
    cox_fleet_exchange_answered(shard, call);
  }
  follow_process(shard, seat, is_listening, starts);
  if (next_us >= seat->armed_us) return;
  seat->armed_us = next_us;
  cox_fleet_shard_arm(shard, next_us, (uint64_t)(seat - shard->seats));
}

/* ---- connections ---- */

/* No descriptor is left: the connection is taken and closed, or epoll would report it for ever. */
static void turn_away(struct cox_fleet_shard *shard, int listen_fd) {
  if (!shard->has_complained) {
    shard->has_complained = true;
    cox_log(COX_LOG_WARN, "sim", "connections are turned away: the limit of open files is reached (ulimit -n)", NULL);
  }
  close(shard->spare_fd);
  const int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0) close(fd);
  shard->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void admit(struct cox_fleet_shard *shard, struct cox_fleet_seat *seat, int fd, bool is_inference, const struct sockaddr_in *peer) {
  if (fd >= shard->line_count) {
    close(fd);
    return;
  }
  /* It enters the seat's list when the server says that it began: a failure here closes the socket and tells nobody. */
  shard->lines[fd] = (struct cox_fleet_line){.seat = seat, .previous = -1, .next = -1, .is_inference = is_inference};
  MHD_add_connection(shard->daemon, fd, (const struct sockaddr *)peer, sizeof *peer);
}

/* One at a time: the listener is reported again while others wait, which costs less than to ask in vain each time. */
static void accept_one(struct cox_fleet_shard *shard, uint32_t which) {
  struct cox_fleet_seat *const seat = &shard->seats[which / 2];
  const int listen_fd = seat->listen_fd[which % 2];
  struct sockaddr_in peer = {0};
  socklen_t size = sizeof peer;
  if (!seat->is_listening) return;
  const int fd = accept4(listen_fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    admit(shard, seat, fd, which % 2 == 1, &peer);
  } else if (errno == EMFILE || errno == ENFILE) {
    turn_away(shard, listen_fd);
  }
}

/* ---- the loop ---- */

static void settle_all(struct cox_fleet_shard *shard) {
  for (unsigned i = shard->first_seat; i < shard->seat_count; i += shard->step) cox_fleet_seat_settle(shard, &shard->seats[i]);
}

/* Faults are rare: a walk over all seats is cheap enough. */
static void apply_faults(struct cox_fleet_shard *shard) {
  uint64_t count;
  if (read(shard->wake_fd, &count, sizeof count) < 0) assert(errno == EAGAIN);
  cox_mutex_lock(&shard->mutex);
  const uint64_t asked = shard->asked;
  cox_mutex_unlock(&shard->mutex);
  for (unsigned i = shard->first_seat; i < shard->seat_count; i += shard->step) {
    struct cox_fleet_seat *const seat = &shard->seats[i];
    cox_mutex_lock(&shard->mutex);
    const bool is_dirty = seat->is_dirty;
    seat->is_dirty = false;
    cox_mutex_unlock(&shard->mutex);
    if (is_dirty) cox_fleet_seat_settle(shard, seat);
  }
  MHD_run(shard->daemon); /* resets reach the other side before the caller goes on */
  cox_mutex_lock(&shard->mutex);
  shard->applied = asked;
  cox_cond_broadcast(&shard->cond);
  cox_mutex_unlock(&shard->mutex);
}

static int timeout_ms(struct cox_fleet_shard *shard) {
  MHD_UNSIGNED_LONG_LONG http_ms;
  int64_t least = INT_MAX;
  if (MHD_get_timeout(shard->daemon, &http_ms) == MHD_YES) least = http_ms < INT_MAX ? (int64_t)http_ms : INT_MAX;
  if (shard->has_lost && least > 10) least = 10;
  const int64_t next_us = cox_timers_next(&shard->timers);
  if (next_us == INT64_MAX) return least == INT_MAX ? -1 : (int)least;
  const int64_t left_ms = (next_us - cox_clock_mono_us(shard->clock) + 999) / 1000;
  if (left_ms < least) least = left_ms > 0 ? left_ms : 0;
  return (int)least;
}

static void dispatch(struct cox_fleet_shard *shard, uint64_t what) {
  const uint32_t value = (uint32_t)what;
  switch (what >> 32) {
  case EVENT_WAKE:
    apply_faults(shard);
    break;
  case EVENT_LISTENER:
    accept_one(shard, value);
    break;
  case EVENT_LINE:
    if (shard->lines[value].exchange != NULL) cox_fleet_exchange_hang_up(shard, shard->lines[value].exchange);
    break;
  default: /* EVENT_HTTP: MHD_run follows anyway */
    break;
  }
}

static void turn(struct cox_fleet_shard *shard) {
  struct epoll_event events[EVENTS_MAX];
  const int count = epoll_wait(shard->epoll_fd, events, EVENTS_MAX, timeout_ms(shard));
  shard->now_us = cox_clock_mono_us(shard->clock);
  for (int i = 0; i < count; i++) dispatch(shard, events[i].data.u64);
  if (shard->has_lost) {
    shard->has_lost = false;
    for (unsigned i = shard->first_seat; i < shard->seat_count; i += shard->step) shard->seats[i].armed_us = INT64_MAX;
    settle_all(shard);
  }
  run_timers(shard);
  MHD_run(shard->daemon);
}

static void shut(struct cox_fleet_shard *shard) {
  for (unsigned i = shard->first_seat; i < shard->seat_count; i += shard->step) {
    close_listeners(shard, &shard->seats[i]);
    for (int fd = shard->seats[i].first_line; fd >= 0; fd = shard->lines[fd].next) {
      cox_fleet_reset_socket(fd);
      /* A daemon with suspended connections cannot be stopped: this resumes it. */
      if (shard->lines[fd].exchange != NULL) cox_fleet_exchange_hang_up(shard, shard->lines[fd].exchange);
    }
  }
  MHD_run(shard->daemon);
  MHD_stop_daemon(shard->daemon);
  shard->daemon = NULL;
}

static void run(void *arg) {
  struct cox_fleet_shard *const shard = arg;
  while (!atomic_load(&shard->is_stopping)) turn(shard);
  shut(shard);
}

/* ---- start and stop ---- */

static void fini(struct cox_fleet_shard *shard) {
  if (shard->daemon != NULL) MHD_stop_daemon(shard->daemon);
  shard->daemon = NULL;
  if (shard->wake_fd >= 0) close(shard->wake_fd);
  if (shard->epoll_fd >= 0) close(shard->epoll_fd);
  if (shard->spare_fd >= 0) close(shard->spare_fd);
  free(shard->lines);
  cox_timers_fini(&shard->timers);
  cox_cond_fini(&shard->cond);
  cox_mutex_fini(&shard->mutex);
}

/* One line for each descriptor there can be. */
static int make_lines(struct cox_fleet_shard *shard, struct cox_err *err) {
  struct rlimit files = {.rlim_cur = LINES_MAX};
  getrlimit(RLIMIT_NOFILE, &files);
  shard->line_count = files.rlim_cur < LINES_MAX ? (int)files.rlim_cur : LINES_MAX;
  shard->lines = calloc((size_t)shard->line_count, sizeof *shard->lines);
  return shard->lines != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "preparing the fleet's HTTP server failed: out of memory");
}

static int open_all(struct cox_fleet_shard *shard, struct cox_err *err) {
  shard->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  shard->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  shard->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  shard->daemon = cox_fleet_exchange_daemon(shard);
  const union MHD_DaemonInfo *const info = shard->daemon == NULL ? NULL : MHD_get_daemon_info(shard->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  if (shard->wake_fd < 0 || shard->epoll_fd < 0 || info == NULL || watch(shard, shard->wake_fd, EPOLLIN, event_of(EVENT_WAKE, 0)) != 0 ||
      watch(shard, info->epoll_fd, EPOLLIN, event_of(EVENT_HTTP, 0)) != 0) {
    return cox_err_set(err, COX_ESYS, "preparing the fleet's HTTP server failed: %s; raise the limit of open files (ulimit -n)",
                       strerror(errno));
  }
  for (unsigned i = shard->first_seat; i < shard->seat_count; i += shard->step) {
    struct cox_fleet_seat *const seat = &shard->seats[i];
    if (open_listeners(shard, seat) != 0) {
      return cox_err_set(err, COX_ESYS, "listening for node%u on port %u%s failed: %s; choose another --port", i + 1, seat->port[0],
                         seat->listen_fd[1] < 0 ? "" : " and its inference port", strerror(errno));
    }
    seat->is_listening = true;
  }
  return 0;
}

int cox_fleet_shard_start(struct cox_fleet_shard *shard, unsigned index, struct cox_err *err) {
  shard->wake_fd = shard->epoll_fd = shard->spare_fd = -1;
  cox_mutex_init(&shard->mutex);
  cox_cond_init(&shard->cond);
  shard->now_us = cox_clock_mono_us(shard->clock);
  char name[] = "cox-mlnodes-0";
  name[sizeof name - 2] = (char)('0' + index);
  int rc = make_lines(shard, err);
  if (rc == 0) rc = open_all(shard, err);
  if (rc == 0) rc = cox_thread_start(&shard->thread, name, run, shard, err);
  if (rc != 0) fini(shard);
  return rc;
}

static void wake(struct cox_fleet_shard *shard) {
  const uint64_t one = 1;
  const ssize_t written = write(shard->wake_fd, &one, sizeof one);
  assert(written == (ssize_t)sizeof one);
}

void cox_fleet_shard_stop(struct cox_fleet_shard *shard) {
  if (!shard->thread.is_started) return;
  atomic_store(&shard->is_stopping, true);
  wake(shard);
  cox_thread_join(&shard->thread);
  fini(shard);
}

void cox_fleet_shard_apply(struct cox_fleet_shard *shard) {
  cox_mutex_lock(&shard->mutex);
  const uint64_t ticket = ++shard->asked;
  cox_mutex_unlock(&shard->mutex);
  wake(shard);
  cox_mutex_lock(&shard->mutex);
  while (shard->applied < ticket) cox_cond_wait(&shard->cond, &shard->mutex);
  cox_mutex_unlock(&shard->mutex);
}
