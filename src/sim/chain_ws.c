#include "sim/chain_ws.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/queue.h"
#include "base/thread.h"
#include "sim/chain_ws_client.h"

enum { EVENTS_MAX = 64, ANNOUNCED_MAX = 1024, POLL_MAX_MS = 1000 };

enum order_kind { ADOPT, ANNOUNCE, MUTE, CLOSE };

struct order {
  struct cox_queue_link link;
  enum order_kind kind;
  struct cox_chain_ws_client *client; /* ADOPT */
  char *result;                       /* ANNOUNCE */
  uint16_t code;                      /* CLOSE; 0: cut */
};

struct cox_chain_ws {
  const struct cox_clock *clock;
  int64_t ping_us;
  int epoll_fd;
  struct cox_queue orders; /* bounded: connections by the HTTP server's limit, announcements by ANNOUNCED_MAX */
  struct cox_thread thread;
  struct cox_chain_ws_client *clients; /* the thread's own */
  atomic_bool is_stopping;
  atomic_bool is_muting; /* those that come are muted */
  atomic_uint waiting;   /* announcements in `orders` */
  atomic_ulong open, subscribed, adopted, sent, dropped;
};

/* ---- from any thread ---- */

static struct order *order_create(enum order_kind kind) {
  struct order *const order = calloc(1, sizeof *order);
  if (order != NULL) order->kind = kind;
  return order;
}

void cox_chain_ws_adopt(struct cox_chain_ws *ws, int fd, const void *extra, size_t extra_bytes, void (*end)(void *handle), void *handle) {
  struct cox_chain_ws_client *const client = cox_chain_ws_client_create(fd, extra, extra_bytes, end, handle);
  struct order *const order = client != NULL ? order_create(ADOPT) : NULL;
  if (order == NULL) {
    if (client != NULL) cox_chain_ws_client_destroy(client);
    else end(handle);
    return;
  }
  order->client = client;
  client->is_muted = atomic_load(&ws->is_muting);
  atomic_fetch_add(&ws->adopted, 1);
  atomic_fetch_add(&ws->open, 1);
  cox_queue_push(&ws->orders, &order->link);
}

bool cox_chain_ws_has_any(struct cox_chain_ws *ws) { return atomic_load(&ws->open) > 0; }

bool cox_chain_ws_announce(struct cox_chain_ws *ws, char *result) {
  struct order *const order = atomic_load(&ws->waiting) < ANNOUNCED_MAX ? order_create(ANNOUNCE) : NULL;
  if (order == NULL) {
    free(result);
    atomic_fetch_add(&ws->dropped, 1);
    return false;
  }
  order->result = result;
  atomic_fetch_add(&ws->waiting, 1);
  cox_queue_push(&ws->orders, &order->link);
  return true;
}

void cox_chain_ws_mute(struct cox_chain_ws *ws, bool is_lasting) {
  if (is_lasting) atomic_store(&ws->is_muting, true);
  struct order *const order = order_create(MUTE);
  if (order != NULL) cox_queue_push(&ws->orders, &order->link);
}

void cox_chain_ws_unmute(struct cox_chain_ws *ws) { atomic_store(&ws->is_muting, false); }

void cox_chain_ws_close(struct cox_chain_ws *ws, uint16_t code) {
  struct order *const order = order_create(CLOSE);
  if (order == NULL) return;
  order->code = code;
  cox_queue_push(&ws->orders, &order->link);
}

struct cox_chain_ws_counts cox_chain_ws_counts(struct cox_chain_ws *ws) {
  return (struct cox_chain_ws_counts){.open = atomic_load(&ws->open), .subscribed = atomic_load(&ws->subscribed),
                                      .adopted = atomic_load(&ws->adopted), .sent = atomic_load(&ws->sent),
                                      .dropped = atomic_load(&ws->dropped)};
}

/* ---- the thread ---- */

static void count(struct cox_chain_ws *ws) {
  unsigned long subscribed = 0;
  for (const struct cox_chain_ws_client *client = ws->clients; client != NULL; client = client->next) {
    if (client->subscription != NULL) subscribed++;
  }
  atomic_store(&ws->subscribed, subscribed);
}

static void let_go(struct cox_chain_ws *ws, struct cox_chain_ws_client *client) {
  cox_chain_ws_client_destroy(client);
  atomic_fetch_sub(&ws->open, 1);
}

static void adopt(struct cox_chain_ws *ws, struct cox_chain_ws_client *client) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
  client->heard_us = client->pinged_us = cox_clock_mono_us(ws->clock);
  if (epoll_ctl(ws->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0) {
    let_go(ws, client);
    return;
  }
  client->next = ws->clients;
  ws->clients = client;
  cox_chain_ws_client_read(client); /* what came with the handshake */
}

static void announce(struct cox_chain_ws *ws, const char *result) {
  for (struct cox_chain_ws_client *client = ws->clients; client != NULL; client = client->next) {
    if (cox_chain_ws_client_announce(client, result)) atomic_fetch_add(&ws->sent, 1);
  }
  atomic_fetch_sub(&ws->waiting, 1);
}

static void obey(struct cox_chain_ws *ws, struct order *order) {
  switch (order->kind) {
    case ADOPT: adopt(ws, order->client); break;
    case ANNOUNCE: announce(ws, order->result); break;
    case MUTE:
      for (struct cox_chain_ws_client *client = ws->clients; client != NULL; client = client->next) client->is_muted = true;
      break;
    case CLOSE:
      for (struct cox_chain_ws_client *client = ws->clients; client != NULL; client = client->next)
        cox_chain_ws_client_close(client, order->code, cox_clock_mono_us(ws->clock));
      break;
  }
  free(order->result);
  free(order);
}

static void obey_all(struct cox_chain_ws *ws) {
  for (struct cox_queue_link *link = cox_queue_take(&ws->orders); link != NULL;) {
    struct order *const order = COX_CONTAINER(link, struct order, link);
    link = link->next;
    obey(ws, order);
  }
}

/* Writes what is queued, keeps time-outs, and lets go of those that have ended. */
static void settle(struct cox_chain_ws *ws) {
  const int64_t now_us = cox_clock_mono_us(ws->clock);
  for (struct cox_chain_ws_client **at = &ws->clients; *at != NULL;) {
    struct cox_chain_ws_client *const client = *at;
    cox_chain_ws_client_tick(client, now_us, ws->ping_us);
    cox_chain_ws_client_write(client);
    if (client->has_ended) {
      *at = client->next;
      epoll_ctl(ws->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
      let_go(ws, client);
      continue;
    }
    const bool wants_write = cox_chain_ws_client_wants_write(client);
    if (wants_write != client->is_write_watched) {
      struct epoll_event event = {.events = EPOLLIN | (wants_write ? (uint32_t)EPOLLOUT : 0), .data.ptr = client};
      epoll_ctl(ws->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
      client->is_write_watched = wants_write;
    }
    at = &client->next;
  }
}

static int poll_ms(const struct cox_chain_ws *ws) {
  const int64_t ping_ms = ws->ping_us / 1000 / 10 + 1;
  return ws->clients == NULL || ping_ms > POLL_MAX_MS ? POLL_MAX_MS : (int)ping_ms;
}

static void run(void *arg) {
  struct cox_chain_ws *const ws = arg;
  while (!atomic_load(&ws->is_stopping)) {
    struct epoll_event events[EVENTS_MAX];
    const int ready = epoll_wait(ws->epoll_fd, events, EVENTS_MAX, poll_ms(ws));
    for (int i = 0; i < ready; i++) {
      struct cox_chain_ws_client *const client = events[i].data.ptr;
      if (client == NULL || (events[i].events & ~(uint32_t)EPOLLOUT) == 0) continue; /* the orders; or only room to write */
      client->heard_us = cox_clock_mono_us(ws->clock);
      cox_chain_ws_client_read(client);
    }
    obey_all(ws);
    count(ws); /* before a subscriber is told that it is one */
    settle(ws);
    count(ws);
  }
  obey_all(ws);
  while (ws->clients != NULL) {
    struct cox_chain_ws_client *const client = ws->clients;
    ws->clients = client->next;
    cox_chain_ws_client_close(client, 1001, 0);
    cox_chain_ws_client_write(client);
    let_go(ws, client);
  }
}

/* ---- life ---- */

static int start(struct cox_chain_ws *ws, struct cox_err *err) {
  if (cox_queue_init(&ws->orders, true, err) != 0) return COX_ESYS;
  ws->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (ws->epoll_fd < 0 || epoll_ctl(ws->epoll_fd, EPOLL_CTL_ADD, ws->orders.event_fd, &event) != 0)
    return cox_err_set(err, COX_ESYS, "making the event loop of the websockets failed: %s; is the limit of open files reached?",
                       strerror(errno));
  return cox_thread_start(&ws->thread, "cox-sim-ws", run, ws, err);
}

struct cox_chain_ws *cox_chain_ws_create(const struct cox_clock *clock, int64_t ping_ms, struct cox_err *err) {
  struct cox_chain_ws *const ws = calloc(1, sizeof *ws);
  if (ws == NULL) {
    cox_err_set(err, COX_ENOMEM, "making the websockets failed: out of memory");
    return NULL;
  }
  ws->clock = clock;
  ws->ping_us = ping_ms * 1000;
  ws->epoll_fd = ws->orders.event_fd = -1;
  if (start(ws, err) == 0) return ws;
  cox_chain_ws_destroy(ws);
  return NULL;
}

void cox_chain_ws_destroy(struct cox_chain_ws *ws) {
  if (ws == NULL) return;
  atomic_store(&ws->is_stopping, true);
  if (ws->thread.is_started) cox_queue_wake(&ws->orders);
  cox_thread_join(&ws->thread);
  cox_queue_fini(&ws->orders);
  if (ws->epoll_fd >= 0) close(ws->epoll_fd);
  free(ws);
}
