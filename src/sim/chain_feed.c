#include "sim/chain_feed.h"

#include <assert.h>

static bool is_dropped(const struct cox_chain_faults *faults, int64_t height, bool is_boundary) {
  const struct cox_chain_setting drop = cox_chain_faults_get(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_DROP);
  if (drop.is_on && height % drop.value == 0) return true;
  return is_boundary && cox_chain_faults_get(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_DROP_BOUNDARIES).is_on;
}

size_t cox_chain_feed_next(struct cox_chain_feed *feed, const struct cox_chain_faults *faults, int64_t height, bool is_boundary,
                           int64_t out[COX_CHAIN_FEED_MAX]) {
  const struct cox_chain_setting reorder = cox_chain_faults_get(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_REORDER);
  const struct cox_chain_setting twice = cox_chain_faults_get(faults, COX_CHAIN_ANY_ROUTE, COX_CHAIN_DOUBLE);
  const size_t batch = reorder.is_on ? (size_t)reorder.value : 1;
  const int64_t copies = twice.is_on ? twice.value : 1;
  assert(batch <= COX_CHAIN_HELD_MAX && copies <= COX_CHAIN_COPIES_MAX);
  if (!is_dropped(faults, height, is_boundary)) {
    assert(feed->held_count < COX_CHAIN_HELD_MAX);
    feed->held[feed->held_count++] = height;
  }
  if (feed->held_count < batch) return 0;
  size_t count = 0;
  for (size_t i = 0; i < feed->held_count; i++) {
    const int64_t next = feed->held[reorder.is_on ? feed->held_count - 1 - i : i];
    for (int64_t k = 0; k < copies; k++) out[count++] = next;
  }
  feed->held_count = 0;
  return count;
}
