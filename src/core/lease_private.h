/* The inside of the leases.
 *
 * Two kinds of locks. The pool's guards nodes, models and waiters: who may be given, how busy each is, who is next. The shards'
 * guard the leases by id and their expiry. No thread holds both: acquire takes a slot in the pool, then enters the lease into
 * its shard; release takes it out of its shard, then gives the slot back. The registry's lock may be held when the pool's is
 * taken (a push), never the other way round.
 *
 * A node outlives its registration for as long as leases of it are in a shard: each is one of its `count`.                    */
#ifndef COX_CORE_LEASE_PRIVATE_H
#define COX_CORE_LEASE_PRIVATE_H

#include "base/clock.h"
#include "base/lock.h"
#include "base/rng.h"
#include "core/breaker.h"
#include "core/engine.h"
#include "core/lease.h"
#include "core/lease_push.h"
#include "core/lease_tree.h"

enum {
  COX_LEASE_SHARDS = 16,
  COX_LEASE_MODEL_BUCKETS = 256,
  COX_LEASE_TENANT_BUCKETS = 64,
  COX_LEASE_TICK_US = 100000,      /* expiry is found so late at most, and the turn that finds it comes once per tick */
  COX_LEASE_WAIT_TICK_US = 10000,  /* same for waiters' deadlines */
  COX_LEASE_WARM_STEPS = 10,
  COX_LEASE_BURIED_MAX = 131072,   /* adopted leases that ended and are remembered: their ids do not say it */
  COX_LEASE_BURIED_US = 61000000,
  COX_LEASE_BATCH = 64,            /* waiters served under one hold of the lock */
  COX_LEASE_RECORDS_MAX = 1024,
  COX_LEASE_HEADS_MAX = 256,       /* tenants looked at for one slot; the others at the next turn */
};

/* What one model is served with by nodes of one version. */
struct cox_lease_group {
  struct cox_lease_group *next;
  struct cox_lease_model *model;
  char *version; /* NULL: none said */
  struct cox_lease_tree tree;
  size_t nodes;  /* that have a place here */
  uint64_t load, capacity; /* of those that serve: live leases, sum of max_concurrent */
};

/* Waiters of one tenant for one model, oldest first; it lives as long as there are any. */
struct cox_lease_tenant {
  struct cox_lease_tenant *prev, *next; /* ring of the model */
  struct cox_lease_tenant *next_by_name;
  struct cox_lease_model *model;
  uint64_t hash;
  struct cox_lease_wait *first, *last;
  char name[];
};

struct cox_lease_model {
  struct cox_lease_model *next;
  struct cox_lease_model *next_open; /* of those with is_open */
  uint64_t hash;
  struct cox_lease_group *groups;
  size_t serving, ejected; /* nodes that serve it; those of them that are ejected */
  size_t waiters;
  struct cox_lease_tenant *turn; /* whose turn it is; NULL: nobody waits */
  struct cox_lease_tenant **tenants; /* buckets; NULL until somebody waits */
  bool is_open; /* a slot may be free for those that wait */
  char name[];
};

/* What a pick and a release touch stands first: with thousands of nodes each line of it has to come from far. */
struct cox_lease_node {
  struct cox_lease_place *place;  /* written under the registry's write lock and the pool's, as all that is marked with two */
  struct cox_lease_group *group;  /* two; NULL: it never served */
  uint32_t slot;                  /* in the group's tree */
  uint32_t count, max;
  uint32_t trial;                 /* number of the last one */
  uint8_t warmth;                 /* COX_LEASE_WARM_STEPS: warm */
  uint8_t bar;                    /* two; enum cox_lease_bar */
  bool is_serving, is_draining;   /* two */
  bool is_ejected, is_warming;    /* it is in that list */
  atomic_bool is_gone;            /* removed: its leases have ended; set under the pool's lock */
  struct cox_breaker breaker;     /* its state begins in the first line too */
  json_t *id_text;                /* fixed, as the next two */
  uint64_t registration, id_hash;
  int64_t ready_us;
  struct cox_lease_node *prev, *next; /* of all, in order of registration */
  struct cox_lease_node *next_by_id;
  struct cox_lease_node *next_ejected, *next_warming;
} __attribute__((aligned(64)));

struct cox_lease {
  struct cox_wheel_entry timer;
  struct cox_lease *next; /* of its bucket */
  struct cox_lease_id id;
  struct cox_lease_node *node; /* one of its count; NULL: it ended, and its id alone is kept */
  uint32_t trial; /* 0: none */
  bool is_adopted;
};

struct cox_lease_shard {
  struct cox_mutex mutex; /* guards the rest */
  struct cox_lease **buckets;
  size_t size, count; /* size: a power of two */
  struct cox_wheel wheel;
  char apart[64]; /* the next shard's lock is on another line */
};

enum { COX_LEASE_SLAB = 128 };

/* Nodes stand side by side: scattered over the heap each would cost a look into the page tables. */
struct cox_lease_slab {
  struct cox_lease_slab *next;
  struct cox_lease_node *nodes; /* COX_LEASE_SLAB of them */
};

struct cox_leases {
  struct cox_lease_options options; /* defaults filled in */
  const struct cox_clock *clock;
  struct cox_breaker_rules rules;
  int64_t slow_start_us, started_us;
  atomic_int_fast64_t wall_offset_ms; /* wall clock less monotonic, as of the last turn */
  struct cox_lease_mint mint; /* fixed once the first lease is given */

  /* The pool's: guards everything down to the shards. What every pick and release writes stands right behind it, on as few lines as
   * can be: they follow the lock from one processor to the other. What is only read stands before, on lines of its own.         */
  struct cox_mutex mutex __attribute__((aligned(64)));
  size_t held; /* live leases and the slots of removed nodes */
  /* Figures: written under the lock (cox_lease_tally_locked), read by anybody without it. */
  atomic_size_t active, waiters, ejected_count; /* live leases; requests that wait; nodes that are ejected */
  bool is_stopped;
  bool is_ticking; /* the next turn comes by itself */
  bool is_limited; /* waiters were not served because there are too many leases */
  uint64_t minted; /* numbers of leases that were given out */
  struct cox_rng rng;
  atomic_size_t counts[COX_LEASE_COUNTS];
  struct cox_lease_node *first, *last;
  size_t nodes;
  struct cox_lease_slab *slabs;        /* of nodes */
  struct cox_lease_node *spare;        /* in them, linked by `next` */
  struct cox_lease_block *block;       /* where the next place stands; NULL: in a new one */
  struct cox_lease_node **by_id;
  size_t by_id_size;
  struct cox_lease_model *models[COX_LEASE_MODEL_BUCKETS];
  struct cox_lease_model *open;
  struct cox_lease_node *ejected, *warming;
  int64_t warm_at_us; /* the next look at those that warm up */
  struct cox_wheel waits;
  uint64_t *drained; /* registrations whose last lease ended while they drain */
  size_t drained_count, drained_capacity;
  json_t *records; /* ejections and their ends on their way to the journal, at most COX_LEASE_RECORDS_MAX; NULL: none */
  size_t records_lost;

  struct cox_lease_shard shards[COX_LEASE_SHARDS];
  atomic_size_t buried;
  atomic_bool has_work;   /* a turn is wanted at once */
  atomic_size_t ghosts;   /* removed nodes that still have leases: each turn looks for those, because one whose slot was taken before its
                           * node went may come into its shard after */
};

#define COX_POOL leases->mutex

/* Its writers exclude each other, so no addition has to be atomic: that would cost a pick as much as all of its counting. */
static inline void cox_lease_tally_locked(struct cox_leases *leases, atomic_size_t *figure, long change) COX_REQUIRES(COX_POOL) {
  (void)leases;
  atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + (size_t)change, memory_order_relaxed);
}
static inline void cox_lease_count_locked(struct cox_leases *leases, enum cox_lease_count count) COX_REQUIRES(COX_POOL) {
  cox_lease_tally_locked(leases, &leases->counts[count], 1);
}

/* lease_table.c */
int cox_shards_init(struct cox_leases *leases, int64_t now_us);
void cox_shards_fini(struct cox_leases *leases);
/* Takes the slot of `node`. COX_ENOMEM, or COX_EBUSY (an adopted id that is there already): the slot is still the caller's. */
int cox_shards_enter(struct cox_leases *leases, struct cox_lease_id id, struct cox_lease_node *node, uint32_t trial, bool is_adopted,
                     int64_t expires_us);
enum cox_shard_found {
  COX_SHARD_NONE,
  COX_SHARD_FOUND,
  COX_SHARD_ENDED, /* released, expired, or its node was removed */
  COX_SHARD_OTHER  /* another node's */
};
/* Takes it out: it and its slot are the caller's, also those of a removed node. NULL: nothing to take. */
struct cox_lease *cox_shards_leave(struct cox_leases *leases, struct cox_lease_id id, enum cox_shard_found *found);
/* Takes the lease, without its slot: it is freed, or remembered as ended when its id does not say so. */
void cox_shards_dispose(struct cox_leases *leases, struct cox_lease *lease, int64_t now_us);
/* `node_id` NULL: whichever node's; `held_by` gets a reference to the id of its node, or may be NULL. */
enum cox_shard_found cox_shards_renew(struct cox_leases *leases, struct cox_lease_id id, int64_t expires_us, const char *node_id,
                                      json_t **held_by);
bool cox_shards_has(struct cox_leases *leases, struct cox_lease_id id);
/* Leases whose time is up, or whose node was removed, taken out: a list linked by `next`, the caller's as above. */
struct cox_lease *cox_shards_expired(struct cox_leases *leases, size_t shard, int64_t now_us, bool *has_more);
struct cox_lease *cox_shards_ghosts(struct cox_leases *leases, size_t shard);

/* lease_index.c */
struct cox_lease_node *cox_index_find_locked(const struct cox_leases *leases, const char *id) COX_REQUIRES(COX_POOL);
struct cox_lease_model *cox_index_model_locked(const struct cox_leases *leases, const char *name) COX_REQUIRES(COX_POOL);
/* Same, made when it is not there; NULL: out of memory. */
struct cox_lease_model *cox_index_make_model_locked(struct cox_leases *leases, const char *name) COX_REQUIRES(COX_POOL);
/* Frees it when nothing needs it. */
void cox_index_drop_model_locked(struct cox_leases *leases, struct cox_lease_model *model) COX_REQUIRES(COX_POOL);
/* Its load, limit or health changed. */
void cox_index_rekey_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL);
/* Takes a slot. False: none is free that fits. */
bool cox_index_pick_locked(struct cox_leases *leases, struct cox_lease_model *model, const struct cox_lease_ask *ask,
                                             struct cox_lease_slot *out) COX_REQUIRES(COX_POOL);
/* Is any slot of that model free, for whomever? */
bool cox_index_has_free_locked(const struct cox_leases *leases, const struct cox_lease_model *model) COX_REQUIRES(COX_POOL);
bool cox_index_add_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL);
void cox_index_remove_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL);
/* Into the group of that model and version, out of the one it is in. It must not serve. False: out of memory. */
bool cox_index_join_locked(struct cox_leases *leases, struct cox_lease_node *node, const char *model, const char *version)
    COX_REQUIRES(COX_POOL);
void cox_index_part_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL);
/* It may be given, or no more. */
void cox_index_serve_locked(struct cox_leases *leases, struct cox_lease_node *node, bool is_serving) COX_REQUIRES(COX_POOL);
/* Models and groups; the nodes are freed before. */
void cox_index_fini(struct cox_leases *leases);

/* lease_place.c */
/* With one reference; NULL: out of memory. */
struct cox_lease_place *cox_lease_place_create_locked(struct cox_leases *leases, json_t *config) COX_REQUIRES(COX_POOL);
/* Any thread; NULL is allowed. */
void cox_lease_place_release(struct cox_lease_place *place);
/* No more places are made; those that grants hold live on. */
void cox_lease_places_end(struct cox_leases *leases);

/* lease_health.c */
/* How a request went. */
void cox_health_feed_locked(struct cox_leases *leases, struct cox_lease_node *node, enum cox_lease_outcome outcome, bool is_trial,
                            int64_t now_us) COX_REQUIRES(COX_POOL);
/* Fewer nodes serve the model: too many may be ejected now. */
void cox_health_check_share_locked(struct cox_leases *leases, struct cox_lease_model *model, int64_t now_us) COX_REQUIRES(COX_POOL);
/* Ejections that are over, and nodes that have become warmer. Returns how many. */
size_t cox_health_turn_locked(struct cox_leases *leases, int64_t now_us) COX_REQUIRES(COX_POOL);
/* It leaves the list of the ejected for whatever reason. */
void cox_health_forget_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL);
/* It is as warm as any: it leaves the list of those that warm up. */
void cox_health_cool_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL);
/* It just became ready. */
void cox_health_warm_locked(struct cox_leases *leases, struct cox_lease_node *node, int64_t now_us) COX_REQUIRES(COX_POOL);

/* lease_wait.c */
int cox_waits_enter_locked(struct cox_leases *leases, struct cox_lease_model *model, struct cox_lease_wait *wait, int64_t deadline_us)
    COX_REQUIRES(COX_POOL);
void cox_waits_leave_locked(struct cox_leases *leases, struct cox_lease_wait *wait) COX_REQUIRES(COX_POOL);
/* Gives free slots of the model to those that wait, at most COX_LEASE_BATCH: a list linked by `next`, to be ended without the
 * lock by cox_waits_end.                                                                                                       */
struct cox_lease_wait *cox_waits_serve_locked(struct cox_leases *leases, struct cox_lease_model *model) COX_REQUIRES(COX_POOL);
/* Enters the leases and calls `done` of each. */
void cox_waits_end(struct cox_broker *broker, struct cox_lease_wait *list);
/* A slot of the model may be free: a turn serves it. */
void cox_waits_open_locked(struct cox_leases *leases, struct cox_lease_model *model) COX_REQUIRES(COX_POOL);

/* lease.c */
/* Enters the lease; takes the slot, also when it fails (COX_ENOMEM). */
int cox_lease_enter(struct cox_broker *broker, const struct cox_lease_slot *slot, int64_t ttl_ms, struct cox_lease_grant *grant);
/* Gives a slot back. Returns waiters that got it, for cox_waits_end. */
struct cox_lease_wait *cox_lease_end_locked(struct cox_leases *leases, struct cox_lease_node *node, enum cox_lease_outcome outcome,
                                            uint32_t trial, int64_t now_us) COX_REQUIRES(COX_POOL);

/* lease_pool.c */
/* Zeroed; NULL: out of memory. */
struct cox_lease_node *cox_lease_node_alloc_locked(struct cox_leases *leases) COX_REQUIRES(COX_POOL);
void cox_lease_node_free_locked(struct cox_leases *leases, struct cox_lease_node *node) COX_REQUIRES(COX_POOL);
/* An ejection or its end, for journal and log. */
void cox_lease_notice_locked(struct cox_leases *leases, const struct cox_lease_node *node, const char *op, const char *reason)
    COX_REQUIRES(COX_POOL);

/* lease_push.c */
/* Does the configuration or the epoch data of any node name the model? Takes the registry's read lock. */
bool cox_lease_is_named(struct cox_broker *broker, const char *model);

#endif
