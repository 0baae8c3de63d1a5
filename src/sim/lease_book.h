/* What leases must do, told by a model that is too simple to be wrong: arrays and loops. Whoever drives the real ones writes into
 * the book what it asked and what it got; the book says what does not fit. A tie may be broken either way; which way it was is taken
 * over. Without slow start, ejections and affinity: those only choose among what is allowed here.
 *
 * The functions that return a text return NULL when all fits, else what does not. One thread.                                     */
#ifndef COX_SIM_LEASE_BOOK_H
#define COX_SIM_LEASE_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lease.h"

enum {
  COX_BOOK_NODES = 128,
  COX_BOOK_MODELS = 4,
  COX_BOOK_TENANTS = 8,
  COX_BOOK_LEASES = 512,
  COX_BOOK_WAITERS = 64,
  COX_BOOK_NONE = -1,
  COX_BOOK_TICK_US = 100000, /* a lease ends at the first turn that is in a later one of these than its time */
};

struct cox_book_node {
  char id[64], version[24]; /* "": none said */
  bool is_registered, is_serving;
  int model, count, max;
  uint64_t life; /* another one after each registration */
};

struct cox_book_lease {
  bool is_used, is_live;
  struct cox_lease_id id;
  int node;
  int64_t expires_us;
};

struct cox_book_waiter {
  bool is_waiting;
  int model, tenant;
  const struct cox_lease_ask *ask; /* borrowed while it waits */
};

/* Those who wait for one model: tenants in turn, each with its own queue. */
struct cox_book_ring {
  int tenant[COX_BOOK_TENANTS], tenants, turn; /* whose turn: index into tenant */
  int queue[COX_BOOK_TENANTS][COX_BOOK_WAITERS], length[COX_BOOK_TENANTS];
};

struct cox_book {
  struct cox_book_node nodes[COX_BOOK_NODES];
  struct cox_book_lease leases[COX_BOOK_LEASES];
  struct cox_book_waiter waiters[COX_BOOK_WAITERS];
  struct cox_book_ring rings[COX_BOOK_MODELS];
  int places; /* of the nodes, that were ever used */
  size_t live, waiting, next; /* next: place for a lease that is looked at first */
};

/* Number of the registered node of that id, or COX_BOOK_NONE. */
int cox_book_node(const struct cox_book *book, const char *id);
/* The node is there no more: its leases have ended. */
void cox_book_remove(struct cox_book *book, int node);

/* May the pick give that node? COX_BOOK_NONE: may it give none? */
bool cox_book_is_right(const struct cox_book *book, int node, const struct cox_lease_ask *ask, int model);
/* Does nobody wait for the model, or can none of those be served now? */
bool cox_book_is_served(const struct cox_book *book, int model);

/* A lease that was given without waiting: was it due, and of that node? */
const char *cox_book_grant(struct cox_book *book, struct cox_lease_id id, int node, const struct cox_lease_ask *ask, int model,
                           int64_t expires_us);
/* One of an earlier start, taken over: its limit does not count. */
const char *cox_book_adopt(struct cox_book *book, struct cox_lease_id id, int node, int64_t expires_us);
/* The lease of that id, live or ended; NULL: never seen, or forgotten since. */
struct cox_book_lease *cox_book_find(struct cox_book *book, struct cox_lease_id id);
void cox_book_end(struct cox_book *book, struct cox_book_lease *lease);
/* Ends what a turn at that moment ends; returns how many. */
size_t cox_book_expire(struct cox_book *book, int64_t now_us);

void cox_book_join(struct cox_book *book, int waiter, int model, int tenant, const struct cox_lease_ask *ask);
void cox_book_part(struct cox_book *book, int waiter);
/* `waiter` was given a lease: was it the next, and is the node right? `is_loose`: slots became free in an order that nobody knows,
 * so only what always holds is asked.                                                                                            */
const char *cox_book_serve(struct cox_book *book, int waiter, struct cox_lease_id id, int node, int64_t expires_us, bool is_loose);

#endif
