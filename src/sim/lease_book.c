#include "sim/lease_book.h"

#include <string.h>

#include "core/version.h"

int cox_book_node(const struct cox_book *book, const char *id) {
  for (int i = 0; i < book->places; i++) {
    if (book->nodes[i].is_registered && strcmp(book->nodes[i].id, id) == 0) return i;
  }
  return COX_BOOK_NONE;
}

void cox_book_remove(struct cox_book *book, int node) {
  for (int i = 0; book->nodes[node].count > 0 && i < COX_BOOK_LEASES; i++) {
    if (book->leases[i].is_live && book->leases[i].node == node) cox_book_end(book, &book->leases[i]);
  }
  book->nodes[node].is_registered = book->nodes[node].is_serving = false;
}

/* ---- the pick ---- */

static bool fits(const struct cox_book_node *node, const struct cox_lease_ask *ask, int model) {
  if (!node->is_registered || !node->is_serving || node->model != model || node->count >= node->max) return false;
  for (size_t i = 0; i < ask->skips; i++) {
    if (strcmp(ask->skip[i], node->id) == 0) return false;
  }
  return cox_version_serves(node->version[0] != '\0' ? node->version : NULL, ask->version, ask->accepts_earlier);
}

static bool is_less(const struct cox_book_node *left, const struct cox_book_node *right) {
  return left->count * right->max < right->count * left->max;
}

bool cox_book_is_right(const struct cox_book *book, int chosen, const struct cox_lease_ask *ask, int model) {
  bool has_any = false;
  for (int i = 0; i < book->places; i++) {
    if (!fits(&book->nodes[i], ask, model)) continue;
    has_any = true;
    if (chosen != COX_BOOK_NONE && is_less(&book->nodes[i], &book->nodes[chosen])) return false;
  }
  return chosen == COX_BOOK_NONE ? !has_any : fits(&book->nodes[chosen], ask, model);
}

/* ---- leases ---- */

/* An id that was taken over, ended and was forgotten may be taken over again. */
static const char *keep(struct cox_book *book, struct cox_lease_id id, int node, int64_t expires_us) {
  struct cox_book_lease *const before = cox_book_find(book, id);
  if (before != NULL && before->is_live) return "an id was given out twice";
  if (before != NULL) before->is_used = false;
  for (int tries = 0; tries < COX_BOOK_LEASES; tries++) {
    struct cox_book_lease *const place = &book->leases[book->next++ % COX_BOOK_LEASES];
    if (place->is_live) continue;
    *place = (struct cox_book_lease){.is_used = true, .is_live = true, .id = id, .node = node, .expires_us = expires_us};
    book->nodes[node].count++;
    book->live++;
    return NULL;
  }
  return "the book is full";
}

const char *cox_book_grant(struct cox_book *book, struct cox_lease_id id, int node, const struct cox_lease_ask *ask, int model,
                           int64_t expires_us) {
  if (node == COX_BOOK_NONE) return "a node was given that is not registered";
  if (book->rings[model].tenants > 0) return "it was given a slot though others wait";
  if (!fits(&book->nodes[node], ask, model)) return "a node was given that does not serve it, or is full";
  if (!cox_book_is_right(book, node, ask, model)) return "a node was given that is busier than another";
  return keep(book, id, node, expires_us);
}

const char *cox_book_adopt(struct cox_book *book, struct cox_lease_id id, int node, int64_t expires_us) {
  if (node == COX_BOOK_NONE) return "it was taken over on a node that is not registered";
  return keep(book, id, node, expires_us);
}

struct cox_book_lease *cox_book_find(struct cox_book *book, struct cox_lease_id id) {
  for (int i = 0; i < COX_BOOK_LEASES; i++) {
    if (book->leases[i].is_used && cox_lease_id_equal(book->leases[i].id, id)) return &book->leases[i];
  }
  return NULL;
}

void cox_book_end(struct cox_book *book, struct cox_book_lease *lease) {
  if (!lease->is_live) return;
  lease->is_live = false;
  book->nodes[lease->node].count--;
  book->live--;
}

size_t cox_book_expire(struct cox_book *book, int64_t now_us) {
  size_t count = 0;
  for (int i = 0; book->live > 0 && i < COX_BOOK_LEASES; i++) {
    struct cox_book_lease *const lease = &book->leases[i];
    if (!lease->is_live || now_us / COX_BOOK_TICK_US <= lease->expires_us / COX_BOOK_TICK_US) continue;
    cox_book_end(book, lease);
    count++;
  }
  return count;
}

/* ---- who waits ---- */

void cox_book_join(struct cox_book *book, int waiter, int model, int tenant, const struct cox_lease_ask *ask) {
  struct cox_book_ring *const ring = &book->rings[model];
  if (ring->length[tenant] == 0) { /* at the end of the round: before the one whose turn it is */
    for (int i = ring->tenants; i > ring->turn; i--) ring->tenant[i] = ring->tenant[i - 1];
    ring->tenant[ring->turn] = tenant;
    ring->tenants++;
    if (ring->tenants > 1) ring->turn = (ring->turn + 1) % ring->tenants;
  }
  ring->queue[tenant][ring->length[tenant]++] = waiter;
  book->waiters[waiter] = (struct cox_book_waiter){.is_waiting = true, .model = model, .tenant = tenant, .ask = ask};
  book->waiting++;
}

static void drop_tenant(struct cox_book_ring *ring, int tenant) {
  int place = 0;
  while (ring->tenant[place] != tenant) place++;
  ring->tenants--;
  for (int i = place; i < ring->tenants; i++) ring->tenant[i] = ring->tenant[i + 1];
  if (place < ring->turn) ring->turn--;
  if (ring->turn >= ring->tenants) ring->turn = 0;
}

void cox_book_part(struct cox_book *book, int waiter) {
  struct cox_book_waiter *const who = &book->waiters[waiter];
  if (!who->is_waiting) return;
  struct cox_book_ring *const ring = &book->rings[who->model];
  int at = 0;
  while (ring->queue[who->tenant][at] != waiter) at++;
  ring->length[who->tenant]--;
  for (; at < ring->length[who->tenant]; at++) ring->queue[who->tenant][at] = ring->queue[who->tenant][at + 1];
  who->is_waiting = false;
  book->waiting--;
  if (ring->length[who->tenant] == 0) drop_tenant(ring, who->tenant);
}

/* The next of the ring that can use what is free, with the turn behind it; COX_BOOK_NONE: nobody can. */
static int next_of(const struct cox_book *book, int model, int *turn) {
  const struct cox_book_ring *const ring = &book->rings[model];
  *turn = ring->turn;
  for (int tries = ring->tenants; tries > 0; tries--) {
    const int waiter = ring->queue[ring->tenant[*turn]][0];
    *turn = (*turn + 1) % ring->tenants;
    if (!cox_book_is_right(book, COX_BOOK_NONE, book->waiters[waiter].ask, model)) return waiter;
  }
  return COX_BOOK_NONE;
}

bool cox_book_is_served(const struct cox_book *book, int model) {
  int turn;
  return next_of(book, model, &turn) == COX_BOOK_NONE;
}

static const char *must_be_next(struct cox_book *book, int waiter, int node) {
  const struct cox_book_waiter *const who = &book->waiters[waiter];
  int turn;
  if (next_of(book, who->model, &turn) != waiter) return "it was given a slot though it was another's turn";
  if (!cox_book_is_right(book, node, who->ask, who->model)) return "it was given a node that is busier than another";
  book->rings[who->model].turn = turn;
  return NULL;
}

static const char *must_be_first(struct cox_book *book, int waiter) {
  const struct cox_book_waiter *const who = &book->waiters[waiter];
  struct cox_book_ring *const ring = &book->rings[who->model];
  if (ring->queue[who->tenant][0] != waiter) return "it was given a slot before an earlier one of its tenant";
  int place = 0;
  while (ring->tenant[place] != who->tenant) place++;
  ring->turn = (place + 1) % ring->tenants;
  return NULL;
}

const char *cox_book_serve(struct cox_book *book, int waiter, struct cox_lease_id id, int node, int64_t expires_us, bool is_loose) {
  const struct cox_book_waiter *const who = &book->waiters[waiter];
  if (!who->is_waiting) return "it was given a slot though it does not wait";
  if (node == COX_BOOK_NONE) return "it was given a node that is not registered";
  if (!fits(&book->nodes[node], who->ask, who->model)) return "it was given a node that does not serve it, or is full";
  const char *const why = is_loose ? must_be_first(book, waiter) : must_be_next(book, waiter, node);
  if (why != NULL) return why;
  cox_book_part(book, waiter);
  return keep(book, id, node, expires_us);
}
