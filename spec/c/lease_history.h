/* Is what clients saw of leases possible? A history of calls with their moments is searched for an order in which each call took
 * effect at one moment between its begin and its end, and each answer is right at that moment (linearizability: Herlihy and Wing
 * 1990; the search is Wing and Gong's of 1993 with Lowe's memory of 2017). The object is a set of nodes, each of which may be
 * leased so often at a time; a lease that nobody releases or renews ends once its time is over.                              */
#ifndef SPEC_LEASE_HISTORY_H
#define SPEC_LEASE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEASE_NODES_MAX = 8, LEASE_NONE = -1 };

enum lease_call { LEASE_UNUSED, LEASE_ACQUIRE, LEASE_RENEW, LEASE_RELEASE };
enum lease_answer {
  LEASE_OPEN, /* none came: the client died; the call may take effect at any time, or never */
  LEASE_OK,
  LEASE_BUSY, /* acquire: all nodes are full */
  LEASE_GONE  /* renew, release: it has ended */
};

struct lease_op {
  enum lease_call call;
  enum lease_answer answer;
  int64_t from_us, to_us; /* sent, answered */
  unsigned lease;         /* each acquire has a number of its own; renew and release name one */
  int node;               /* acquire that is OK */
  int64_t ttl_us;         /* acquire, renew */
};

struct lease_rules {
  int nodes;
  int capacity[LEASE_NODES_MAX];
  int64_t late_us; /* a lease may live so much longer than its time, never less */
};

/* In any order. False: no such order exists. Aborts when memory is out. */
bool lease_history_is_possible(const struct lease_rules *rules, const struct lease_op *ops, size_t count);

#endif
