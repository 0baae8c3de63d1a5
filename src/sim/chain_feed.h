/* Which blocks are announced when, under the faults that reorder, double and drop them. Pure; for one thread at a time. */
#ifndef COX_SIM_CHAIN_FEED_H
#define COX_SIM_CHAIN_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/chain_faults.h"

enum { COX_CHAIN_HELD_MAX = 64, COX_CHAIN_COPIES_MAX = 16, COX_CHAIN_FEED_MAX = COX_CHAIN_HELD_MAX * COX_CHAIN_COPIES_MAX };

/* Start from a zeroed struct. */
struct cox_chain_feed {
  int64_t held[COX_CHAIN_HELD_MAX]; /* made, but kept back to be announced in reverse */
  size_t held_count;
};

/* A block of that height was made: fills `out` with the heights to announce now, in this order. Returns how many. */
size_t cox_chain_feed_next(struct cox_chain_feed *feed, const struct cox_chain_faults *faults, int64_t height, bool is_boundary,
                           int64_t out[COX_CHAIN_FEED_MAX]);

#endif
