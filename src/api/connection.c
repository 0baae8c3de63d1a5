#include "api/connection.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/wait.h"
#include "base/clock.h"

enum {
  HEARD_MAX = 64, /* hang-ups per turn of the waker; the others come at the next */
  FREE_PART = 8   /* one in so many is not kept for long */
};

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

void cox_connections_init(struct cox_connections *connections, size_t connections_max, int64_t request_us, int64_t send_us) {
  cox_mutex_init(&connections->mutex);
  connections->kept_max = connections_max - 1 - (connections_max - 1) / FREE_PART;
  atomic_init(&connections->kept, 0);
  connections->first = NULL;
  connections->is_stopped = false;
  connections->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
  connections->request_us = request_us;
  connections->send_us = send_us;
}

void cox_connections_fini(struct cox_connections *connections) {
  assert(connections->first == NULL);
  if (connections->hangup_fd >= 0) close(connections->hangup_fd);
  cox_mutex_fini(&connections->mutex);
}

bool cox_connections_may_keep(const struct cox_connections *connections) {
  return atomic_load_explicit(&connections->kept, memory_order_relaxed) < connections->kept_max;
}

static void count_kept(struct cox_connection *connection, bool is_kept) {
  if (is_kept == connection->is_kept) return;
  connection->is_kept = is_kept;
  if (is_kept) atomic_fetch_add_explicit(&connection->owner->kept, 1, memory_order_relaxed);
  else atomic_fetch_sub_explicit(&connection->owner->kept, 1, memory_order_relaxed);
}

/* The deadline first: a sweep that still sees the old phase then sees a deadline that is not reached. */
static void set_phase(struct cox_connection *connection, enum cox_phase phase, int64_t deadline_us) {
  count_kept(connection, phase == COX_PHASE_WAITING || deadline_us == INT64_MAX);
  atomic_store(&connection->deadline_us, deadline_us);
  atomic_store(&connection->phase, (int)phase);
}

/* shutdown(2) does not wait, and under the lock the number cannot have become another connection's. */
static void overdue_locked(struct cox_connections *connections, struct cox_connection *connection)
    COX_REQUIRES(connections->mutex) {
  (void)connections;
  if (atomic_load(&connection->phase) != COX_PHASE_WAITING) shutdown(connection->fd, SHUT_RDWR);
  else if (connection->wait != NULL) cox_wait_finish(connection->wait, COX_WAIT_EXPIRED);
}

void cox_connections_sweep(struct cox_connections *connections) {
  const int64_t now = now_us();
  cox_mutex_lock(&connections->mutex);
  for (struct cox_connection *connection = connections->first; connection != NULL; connection = connection->next) {
    if (atomic_load(&connection->deadline_us) <= now) overdue_locked(connections, connection);
  }
  cox_mutex_unlock(&connections->mutex);
}

void cox_connection_watch(struct cox_connection *connection) {
  struct cox_connections *const connections = connection->owner;
  struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = connection};
  cox_mutex_lock(&connections->mutex);
  if (connection->wait != NULL && !connection->is_watched) {
    connection->is_watched = epoll_ctl(connections->hangup_fd, EPOLL_CTL_ADD, connection->fd, &event) == 0;
  }
  cox_mutex_unlock(&connections->mutex);
}

static void unwatch_locked(struct cox_connections *connections, struct cox_connection *connection) COX_REQUIRES(connections->mutex) {
  if (connection->is_watched) epoll_ctl(connections->hangup_fd, EPOLL_CTL_DEL, connection->fd, NULL);
  connection->is_watched = false;
}

/* Asked for under the lock (it does not wait): whatever comes is still watched, so the connection is there. */
void cox_connections_hear(struct cox_connections *connections) {
  struct epoll_event events[HEARD_MAX];
  cox_mutex_lock(&connections->mutex);
  const int count = epoll_wait(connections->hangup_fd, events, HEARD_MAX, 0);
  for (int i = 0; i < count; i++) {
    struct cox_connection *const connection = events[i].data.ptr;
    if (connection->wait != NULL) cox_wait_finish(connection->wait, COX_WAIT_GONE);
  }
  cox_mutex_unlock(&connections->mutex);
}

void cox_connections_stop(struct cox_connections *connections) {
  cox_mutex_lock(&connections->mutex);
  connections->is_stopped = true;
  for (struct cox_connection *connection = connections->first; connection != NULL; connection = connection->next) {
    if (connection->wait != NULL) cox_wait_finish(connection->wait, COX_WAIT_STOPPED);
  }
  cox_mutex_unlock(&connections->mutex);
}

static void write_address(const struct sockaddr *from, char *out, size_t size) {
  if (from->sa_family == AF_INET) inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)from)->sin_addr, out, (socklen_t)size);
  if (from->sa_family == AF_INET6) inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, out, (socklen_t)size);
}

/* Without its credentials it is a stranger's. */
static void look_at_peer(struct cox_connection *connection) {
  struct ucred peer = {0};
  socklen_t len = sizeof peer;
  connection->is_local = getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0;
  connection->uid = peer.uid;
}

struct cox_connection *cox_connection_open(struct cox_connections *connections, int fd, const struct sockaddr *from) {
  struct cox_connection *const connection = calloc(1, sizeof *connection);
  if (connection == NULL) return NULL;
  connection->owner = connections;
  connection->fd = fd;
  if (from != NULL) write_address(from, connection->address, sizeof connection->address);
  if (from != NULL && from->sa_family == AF_UNIX) look_at_peer(connection);
  cox_connection_receive(connection);
  cox_mutex_lock(&connections->mutex);
  connection->next = connections->first;
  if (connection->next != NULL) connection->next->prev = connection;
  connections->first = connection;
  cox_mutex_unlock(&connections->mutex);
  return connection;
}

void cox_connection_close(struct cox_connection *connection) {
  if (connection == NULL) return;
  struct cox_connections *const connections = connection->owner;
  count_kept(connection, false);
  cox_mutex_lock(&connections->mutex);
  assert(connection->wait == NULL && connection->holding == NULL);
  if (connection->prev != NULL) connection->prev->next = connection->next;
  else connections->first = connection->next;
  if (connection->next != NULL) connection->next->prev = connection->prev;
  cox_mutex_unlock(&connections->mutex);
  free(connection);
}

void cox_connection_receive(struct cox_connection *connection) {
  set_phase(connection, COX_PHASE_RECEIVING, now_us() + connection->owner->request_us);
}

void cox_connection_rest(struct cox_connection *connection) {
  if (connection->is_holding) set_phase(connection, COX_PHASE_RECEIVING, INT64_MAX);
  else cox_connection_receive(connection);
}

void cox_connection_wait(struct cox_connection *connection, struct cox_wait *wait, int64_t deadline_us) {
  struct cox_connections *const connections = connection->owner;
  set_phase(connection, COX_PHASE_WAITING, deadline_us);
  cox_mutex_lock(&connections->mutex);
  connection->wait = wait;
  if (connections->is_stopped) cox_wait_finish(wait, COX_WAIT_STOPPED);
  cox_mutex_unlock(&connections->mutex);
}

void cox_connection_awake(struct cox_connection *connection) {
  struct cox_connections *const connections = connection->owner;
  cox_mutex_lock(&connections->mutex);
  connection->wait = NULL;
  unwatch_locked(connections, connection);
  cox_mutex_unlock(&connections->mutex);
}

void cox_connection_send(struct cox_connection *connection) {
  set_phase(connection, COX_PHASE_SENDING, now_us() + connection->owner->send_us);
}
