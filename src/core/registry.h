/* The shared state of the fleet, behind one read-write lock.
 *
 * cox-command writes nodes, targets, statuses and the world; cox-reconcile writes attempt records and backoffs, under the
 * same lock. As the only writer of its part, cox-command may read it without the lock. Held for short, bounded work only:
 * no I/O, no Lua, no callback.                                                                                         */
#ifndef COX_CORE_REGISTRY_H
#define COX_CORE_REGISTRY_H

#include <jansson.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/rng.h"
#include "core/node.h"

/* An attempt or probe whose node was removed, or an attempt whose node has moved: until it came back, the machine may still have a call open. */
struct cox_departing {
  uint64_t attempt, url_hash; /* hash 0: a probe, for which nobody waits */
  unsigned worker;
  bool is_cancelled;
};

enum { COX_BLOCKS_KEPT = 256, COX_HASH_TEXT_MAX = 130 };

struct cox_registry {
  struct cox_rwlock lock; /* guards everything below */
  struct cox_rng rng;
  struct cox_node **by_num; /* index is node_num; NULL: free */
  size_t num_count, num_capacity;
  int64_t *num_freed_at; /* per number: start height of the episode in which it was freed, INT64_MIN: never used in one */
  bool *num_may_return;  /* per number: the removal of its node is not stored yet and may be undone */
  size_t count;
  struct cox_buckets {
    struct cox_node **by_id, **by_registration, **by_url, **by_inference;
    size_t size; /* of each, a power of two */
  } buckets;
  uint64_t registrations, attempts; /* last numbers given out */
  struct cox_node *dirty_first, *dirty_last;
  uint64_t dirty_count, dirty_adds;
  const struct cox_clock *clock; /* NULL: how long nodes are dirty is not measured */
  struct cox_departing *departing;
  size_t departing_count, departing_capacity;
  json_t *world; /* NULL before the first block */
  int64_t world_at_us; /* when it was set, monotonic */
  struct {
    int64_t height;
    char hash[COX_HASH_TEXT_MAX];
  } blocks[COX_BLOCKS_KEPT];
  size_t block_next;
  struct { /* the PoC episode whose node count is fixed */
    bool is_set;
    int64_t height;
    char hash[COX_HASH_TEXT_MAX];
    int node_count;
  } episode;
  uint64_t episodes; /* begun in this process */
  bool is_armed; /* attempts may start */
  size_t in_flight; /* attempts and probes that have not come back */
};

int cox_registry_init(struct cox_registry *registry, uint64_t seed);
void cox_registry_fini(struct cox_registry *registry);

struct cox_node *cox_registry_find(const struct cox_registry *registry, const char *id);
struct cox_node *cox_registry_find_registration(const struct cox_registry *registry, uint64_t registration);
/* The first node whose management URL (is_poc) or inference URL has that hash; cox_node_url_next gives further ones. */
struct cox_node *cox_registry_find_url(const struct cox_registry *registry, uint64_t url_hash, bool is_poc);
struct cox_node *cox_node_url_next(const struct cox_node *node, bool is_poc);

/* Makes room for numbers < `nums` and one more node, so that the insert below cannot fail. Takes the lock. 0 or COX_ENOMEM. */
int cox_registry_reserve(struct cox_registry *registry, size_t nums) COX_EXCLUDES(registry->lock);
/* The node gets a registration number, unless it has one from before, and belongs to the registry; its `num` is set by the
 * caller.                                                                                                                   */
void cox_registry_insert_locked(struct cox_registry *registry, struct cox_node *node) COX_REQUIRES(registry->lock);
/* Takes it out of everything; the caller destroys it later, outside of the lock. An attempt in flight departs. */
void cox_registry_remove_locked(struct cox_registry *registry, struct cox_node *node) COX_REQUIRES(registry->lock);
/* Its addresses are others now. An attempt in flight departs from the old one. */
void cox_registry_move_locked(struct cox_registry *registry, struct cox_node *node, uint64_t url_hash, uint64_t inference_hash)
    COX_REQUIRES(registry->lock);
/* Lowest number that may be given to a new node, at least `from`: a number freed in the present episode is not, nor one whose node may
 * return.                                                                                                                          */
int cox_registry_free_num(const struct cox_registry *registry, int from);
/* The node that had that number and was just removed may return with it; or it will not. */
void cox_registry_hold_num_locked(struct cox_registry *registry, int num) COX_REQUIRES(registry->lock);
void cox_registry_let_num_go_locked(struct cox_registry *registry, int num) COX_REQUIRES(registry->lock);

void cox_registry_mark_locked(struct cox_registry *registry, struct cox_node *node) COX_REQUIRES(registry->lock);
void cox_registry_mark_all_locked(struct cox_registry *registry) COX_REQUIRES(registry->lock);
/* Oldest dirty node, taken out of the set; NULL: clean. */
struct cox_node *cox_registry_take_dirty_locked(struct cox_registry *registry) COX_REQUIRES(registry->lock);
/* Is a call of a removed registration to that machine still open? */
bool cox_registry_is_departing_locked(const struct cox_registry *registry, uint64_t url_hash) COX_REQUIRES_SHARED(registry->lock);
/* The attempt of a removed or moved node came back; marks whoever waits for the machine. False: no such attempt. */
bool cox_registry_departed_locked(struct cox_registry *registry, uint64_t attempt) COX_REQUIRES(registry->lock);

#endif
