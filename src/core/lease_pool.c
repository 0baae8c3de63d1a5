/* The life of the leases as a whole: made, turned, stopped. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/lease_private.h"

static void system_random(void *ctx, void *bytes, size_t count) {
  (void)ctx;
  for (size_t done = 0; done < count;) {
    const ssize_t got = getrandom((char *)bytes + done, count - done, 0);
    if (got > 0) done += (size_t)got;
  }
}

static double seconds_or(double value, double fallback) { return value == 0 ? fallback : value; }

static void fill_defaults(struct cox_leases *leases) {
  struct cox_lease_options *const options = &leases->options;
  if (options->start_number == 0) options->start_number = (uint32_t)(cox_clock_wall_ms(leases->clock) / 1000);
  if (options->max == 0) options->max = COX_LEASE_MAX;
  if (options->waiters_max == 0) options->waiters_max = COX_LEASE_WAITERS_MAX;
  if (options->eject_after == 0) options->eject_after = 5;
  options->eject_share = options->eject_share < 0 ? 0 : seconds_or(options->eject_share, 0.5);
  if (options->random == NULL) options->random = system_random;
  leases->slow_start_us = (int64_t)(seconds_or(options->slow_start_s, 10) * 1e6);
  leases->rules = (struct cox_breaker_rules){
      .failures_max = options->eject_after,
      .first_us = (int64_t)(seconds_or(options->eject_s[0], 10) * 1e6),
      .most_us = (int64_t)(seconds_or(options->eject_s[1], 300) * 1e6),
  };
}

static void take_wall(struct cox_leases *leases, int64_t at_us) {
  atomic_store(&leases->wall_offset_ms, cox_clock_wall_ms(leases->clock) - at_us / 1000);
}

struct cox_leases *cox_leases_create(const struct cox_lease_options *options, const struct cox_clock *clock, uint64_t seed) {
  struct cox_leases *const leases = aligned_alloc(_Alignof(struct cox_leases), sizeof *leases);
  if (leases == NULL) return NULL;
  memset(leases, 0, sizeof *leases);
  leases->options = *options;
  leases->clock = clock;
  fill_defaults(leases);
  leases->started_us = cox_clock_mono_us(clock);
  take_wall(leases, leases->started_us);
  cox_mutex_init(&leases->mutex);
  cox_rng_init(&leases->rng, seed);
  cox_mint_init(&leases->mint, leases->options.start_number, leases->options.random, leases->options.random_ctx);
  cox_wheel_init(&leases->waits, COX_LEASE_WAIT_TICK_US, leases->started_us);
  if (cox_shards_init(leases, leases->started_us) == 0) return leases;
  cox_leases_destroy(leases);
  return NULL;
}

void cox_leases_begin(struct cox_leases *leases, uint32_t start_number) {
  assert(leases->minted == 0);
  if (start_number != 0) leases->options.start_number = leases->mint.start = start_number;
}

static bool add_slab_locked(struct cox_leases *leases) COX_REQUIRES(COX_POOL) {
  struct cox_lease_slab *const slab = malloc(sizeof *slab);
  struct cox_lease_node *const nodes = aligned_alloc(_Alignof(struct cox_lease_node), COX_LEASE_SLAB * sizeof *nodes);
  if (slab == NULL || nodes == NULL) {
    free(slab);
    free(nodes);
    return false;
  }
  *slab = (struct cox_lease_slab){leases->slabs, nodes};
  leases->slabs = slab;
  for (int i = 0; i < COX_LEASE_SLAB; i++) {
    nodes[i].next = leases->spare;
    leases->spare = &nodes[i];
  }
  return true;
}

struct cox_lease_node *cox_lease_node_alloc_locked(struct cox_leases *leases) {
  if (leases->spare == NULL && !add_slab_locked(leases)) return NULL;
  struct cox_lease_node *const node = leases->spare;
  leases->spare = node->next;
  memset(node, 0, sizeof *node);
  return node;
}

void cox_lease_node_free_locked(struct cox_leases *leases, struct cox_lease_node *node) {
  cox_lease_place_release(node->place);
  json_decref(node->id_text);
  node->next = leases->spare;
  leases->spare = node;
}

static void free_nodes(struct cox_leases *leases) {
  cox_mutex_lock(&leases->mutex);
  for (struct cox_lease_node *node = leases->first, *next; node != NULL; node = next) {
    next = node->next;
    cox_lease_node_free_locked(leases, node);
  }
  cox_mutex_unlock(&leases->mutex);
  for (struct cox_lease_slab *slab = leases->slabs, *next; slab != NULL; slab = next) {
    next = slab->next;
    free(slab->nodes);
    free(slab);
  }
}

/* Nodes that were removed and still have leases are reachable only by those: ending them frees them. */
static void end_ghosts(struct cox_leases *leases) {
  for (size_t i = 0; i < COX_LEASE_SHARDS; i++) {
    for (struct cox_lease *lease = cox_shards_ghosts(leases, i), *next; lease != NULL; lease = next) {
      next = lease->next;
      cox_mutex_lock_brief(&leases->mutex);
      struct cox_lease_wait *const list = cox_lease_end_locked(leases, lease->node, COX_LEASE_UNSAID, 0, 0);
      cox_mutex_unlock(&leases->mutex);
      assert(list == NULL);
      free(lease);
    }
  }
}

void cox_leases_destroy(struct cox_leases *leases) {
  if (leases == NULL) return;
  assert(leases->waiters == 0);
  if (leases->shards[COX_LEASE_SHARDS - 1].buckets != NULL) end_ghosts(leases);
  free_nodes(leases);
  cox_lease_places_end(leases);
  cox_index_fini(leases);
  cox_shards_fini(leases);
  json_decref(leases->records);
  free(leases->drained);
  cox_mutex_fini(&leases->mutex);
  free(leases);
}

/* ---- journal ---- */

void cox_lease_notice_locked(struct cox_leases *leases, const struct cox_lease_node *node, const char *op, const char *reason) {
  if (leases->records == NULL) leases->records = json_array();
  if (json_array_size(leases->records) >= COX_LEASE_RECORDS_MAX) {
    leases->records_lost++;
    return;
  }
  json_array_append_new(leases->records, json_pack("{ss, sO, ss}", "op", op, "node_id", node->id_text, "reason", reason));
  atomic_store(&leases->has_work, true);
}

json_t *cox_lease_take_records(struct cox_broker *broker) {
  struct cox_leases *const leases = broker->leases;
  cox_mutex_lock_brief(&leases->mutex);
  json_t *const records = leases->records;
  const size_t lost = leases->records_lost;
  leases->records = NULL;
  leases->records_lost = 0;
  cox_mutex_unlock(&leases->mutex);
  if (lost > 0) json_array_append_new(records, json_pack("{ss, sI}", "op", "gap", "count", (json_int_t)lost));
  return records;
}

size_t cox_lease_take_drained(struct cox_broker *broker, uint64_t *out, size_t max) {
  struct cox_leases *const leases = broker->leases;
  cox_mutex_lock_brief(&leases->mutex);
  size_t count = 0;
  while (count < max && leases->drained_count > 0) out[count++] = leases->drained[--leases->drained_count];
  cox_mutex_unlock(&leases->mutex);
  return count;
}

bool cox_lease_has_work(const struct cox_broker *broker) { return atomic_load_explicit(&broker->leases->has_work, memory_order_relaxed); }

/* ---- the turn ---- */

/* Ends what was taken out of a shard, in holds of a bounded length. Returns how many. */
static size_t end_all(struct cox_broker *broker, struct cox_lease *lease, int64_t now_us) {
  struct cox_leases *const leases = broker->leases;
  size_t count = 0;
  while (lease != NULL) {
    struct cox_lease *const next = lease->next;
    struct cox_lease_node *const node = lease->node;
    const uint32_t trial = lease->trial;
    cox_shards_dispose(leases, lease, now_us);
    cox_mutex_lock_brief(&leases->mutex);
    if (!atomic_load(&node->is_gone)) cox_lease_count_locked(leases, COX_LEASE_EXPIRED);
    struct cox_lease_wait *const list = cox_lease_end_locked(leases, node, COX_LEASE_UNSAID, trial, now_us);
    cox_mutex_unlock(&leases->mutex);
    cox_waits_end(broker, list);
    count++;
    lease = next;
  }
  return count;
}

static size_t expire(struct cox_broker *broker, int64_t now_us) {
  size_t count = 0;
  for (size_t i = 0; i < COX_LEASE_SHARDS; i++) {
    bool has_more;
    do {
      struct cox_lease *const list = cox_shards_expired(broker->leases, i, now_us, &has_more);
      count += end_all(broker, list, now_us);
    } while (has_more);
  }
  if (atomic_load(&broker->leases->ghosts) == 0) return count;
  for (size_t i = 0; i < COX_LEASE_SHARDS; i++) count += end_all(broker, cox_shards_ghosts(broker->leases, i), now_us);
  return count;
}

/* Takes out waiters, as a list for cox_waits_end. */
static struct cox_lease_wait *overdue_locked(struct cox_leases *leases, int64_t now_us) COX_REQUIRES(COX_POOL) {
  struct cox_lease_wait *list = NULL;
  for (struct cox_wheel_entry *due = cox_wheel_take(&leases->waits, now_us); due != NULL;) {
    struct cox_lease_wait *const wait = COX_CONTAINER(due, struct cox_lease_wait, timer);
    due = cox_wheel_taken(due);
    cox_waits_leave_locked(leases, wait);
    wait->rc = COX_ETIME;
    cox_lease_count_locked(leases, COX_LEASE_TIMED_OUT);
    wait->next = list;
    list = wait;
  }
  return list;
}

static size_t end_overdue(struct cox_broker *broker, int64_t now_us) {
  struct cox_leases *const leases = broker->leases;
  size_t count = 0;
  struct cox_lease_wait *list;
  do {
    cox_mutex_lock_brief(&leases->mutex);
    list = overdue_locked(leases, now_us);
    cox_mutex_unlock(&leases->mutex);
    for (const struct cox_lease_wait *wait = list; wait != NULL; wait = wait->next) count++;
    cox_waits_end(broker, list);
  } while (list != NULL);
  return count;
}

/* Too many leases kept waiters of every model away: now there is room again. */
static void unlimit_locked(struct cox_leases *leases) COX_REQUIRES(COX_POOL) {
  if (!leases->is_limited || leases->held >= leases->options.max) return;
  leases->is_limited = false;
  for (int i = 0; i < COX_LEASE_MODEL_BUCKETS; i++) {
    for (struct cox_lease_model *model = leases->models[i]; model != NULL; model = model->next) cox_waits_open_locked(leases, model);
  }
}

static struct cox_lease_model *take_open_locked(struct cox_leases *leases) COX_REQUIRES(COX_POOL) {
  struct cox_lease_model *const model = leases->open;
  if (model == NULL) return NULL;
  leases->open = model->next_open;
  model->next_open = NULL;
  model->is_open = false;
  return model;
}

/* Models whose waiters may find a slot. One that could not be served to its end opens again: its turn is the next one, or the loop
 * of one that is served in full batches.                                                                                        */
static size_t serve_open(struct cox_broker *broker) {
  struct cox_leases *const leases = broker->leases;
  size_t count = 0, rounds = 0;
  cox_mutex_lock_brief(&leases->mutex);
  unlimit_locked(leases);
  for (const struct cox_lease_model *model = leases->open; model != NULL; model = model->next_open) rounds++;
  while (rounds > 0) {
    struct cox_lease_model *const model = take_open_locked(leases);
    if (model == NULL) break;
    struct cox_lease_wait *const list = cox_waits_serve_locked(leases, model);
    size_t served = 0;
    for (const struct cox_lease_wait *wait = list; wait != NULL; wait = wait->next) served++;
    cox_mutex_unlock(&leases->mutex);
    cox_waits_end(broker, list);
    count += served;
    if (served < COX_LEASE_BATCH) rounds--;
    cox_mutex_lock_brief(&leases->mutex);
  }
  cox_mutex_unlock(&leases->mutex);
  return count;
}

/* When the next turn is due by itself. */
static int64_t plan_locked(struct cox_leases *leases, int64_t now_us) COX_REQUIRES(COX_POOL) {
  if (leases->waiters > 0) return now_us + COX_LEASE_WAIT_TICK_US;
  leases->is_ticking = leases->held > 0 || leases->ejected != NULL || leases->warming != NULL || atomic_load(&leases->buried) > 0;
  return leases->is_ticking ? now_us + COX_LEASE_TICK_US : INT64_MAX;
}

size_t cox_lease_turn(struct cox_broker *broker, int64_t *next_us) {
  struct cox_leases *const leases = broker->leases;
  const int64_t now_us = cox_clock_mono_us(leases->clock);
  atomic_store(&leases->has_work, false);
  take_wall(leases, now_us);
  size_t count = expire(broker, now_us) + end_overdue(broker, now_us);
  cox_mutex_lock_brief(&leases->mutex);
  cox_health_turn_locked(leases, now_us);
  cox_mutex_unlock(&leases->mutex);
  count += serve_open(broker);
  cox_mutex_lock_brief(&leases->mutex);
  const bool has_records = leases->records != NULL;
  *next_us = plan_locked(leases, now_us);
  cox_mutex_unlock(&leases->mutex);
  if (has_records) cox_commands_wake(&broker->commands);
  return count;
}

void cox_lease_stop(struct cox_broker *broker) {
  struct cox_leases *const leases = broker->leases;
  struct cox_lease_wait *list = NULL;
  cox_mutex_lock_brief(&leases->mutex);
  leases->is_stopped = true;
  for (int i = 0; i < COX_LEASE_MODEL_BUCKETS; i++) {
    for (struct cox_lease_model *model = leases->models[i], *next; model != NULL; model = next) {
      next = model->next; /* the model goes with its last waiter when nothing serves it */
      for (size_t left = model->waiters; left > 0; left--) {
        struct cox_lease_wait *const wait = model->turn->first;
        cox_waits_leave_locked(leases, wait);
        wait->rc = COX_ESTOPPED;
        wait->next = list;
        list = wait;
      }
    }
  }
  cox_mutex_unlock(&leases->mutex);
  cox_waits_end(broker, list);
}

/* ---- figures ---- */

const char *cox_lease_count_name(enum cox_lease_count count) {
  static const char *const names[COX_LEASE_COUNTS] = {"granted", "granted_late", "busy",     "timed_out", "full",    "unknown_model",
                                                      "cancelled", "renewed",    "adopted", "released",  "expired", "ejected"};
  return names[count];
}

void cox_lease_stats(struct cox_broker *broker, struct cox_lease_stats *out) {
  struct cox_leases *const leases = broker->leases;
  *out = (struct cox_lease_stats){
      .active = atomic_load_explicit(&leases->active, memory_order_relaxed),
      .waiters = atomic_load_explicit(&leases->waiters, memory_order_relaxed),
      .ejected = atomic_load_explicit(&leases->ejected_count, memory_order_relaxed),
  };
  for (int i = 0; i < COX_LEASE_COUNTS; i++) out->counts[i] = atomic_load_explicit(&leases->counts[i], memory_order_relaxed);
}
