#include "core/registry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

enum { FIRST_BUCKETS = 64, DEPARTING_PER_NODE = 2 };

/* Registrations count up; mixing spreads them over the buckets (Fibonacci hashing, Knuth 6.4). */
static uint64_t registration_hash(uint64_t registration) { return (registration * 0x9e3779b97f4a7c15ULL) >> 20; }

static bool make_buckets(struct cox_buckets *buckets, size_t size) {
  *buckets = (struct cox_buckets){
      .by_id = calloc(size, sizeof(struct cox_node *)),
      .by_registration = calloc(size, sizeof(struct cox_node *)),
      .by_url = calloc(size, sizeof(struct cox_node *)),
      .by_inference = calloc(size, sizeof(struct cox_node *)),
      .size = size,
  };
  return buckets->by_id != NULL && buckets->by_registration != NULL && buckets->by_url != NULL && buckets->by_inference != NULL;
}

static void free_buckets(struct cox_buckets *buckets) {
  free(buckets->by_id);
  free(buckets->by_registration);
  free(buckets->by_url);
  free(buckets->by_inference);
}

int cox_registry_init(struct cox_registry *registry, uint64_t seed) {
  memset(registry, 0, sizeof *registry);
  if (!make_buckets(&registry->buckets, FIRST_BUCKETS)) {
    free_buckets(&registry->buckets);
    return COX_ENOMEM;
  }
  cox_rwlock_init(&registry->lock);
  cox_rng_init(&registry->rng, seed);
  for (int i = 0; i < COX_BLOCKS_KEPT; i++) registry->blocks[i].height = -1;
  return 0;
}

void cox_registry_fini(struct cox_registry *registry) {
  for (size_t i = 0; i < registry->num_count; i++) cox_node_destroy(registry->by_num[i]);
  free(registry->by_num);
  free(registry->num_freed_at);
  free(registry->num_may_return);
  free_buckets(&registry->buckets);
  free(registry->departing);
  json_decref(registry->world);
  cox_rwlock_fini(&registry->lock);
}

struct cox_node *cox_registry_find(const struct cox_registry *registry, const char *id) {
  const uint64_t hash = cox_hash_text(id);
  struct cox_node *node = registry->buckets.by_id[hash & (registry->buckets.size - 1)];
  while (node != NULL && (node->id_hash != hash || strcmp(cox_node_id(node), id) != 0)) node = node->next_by_id;
  return node;
}

struct cox_node *cox_registry_find_registration(const struct cox_registry *registry, uint64_t registration) {
  struct cox_node *node = registry->buckets.by_registration[registration_hash(registration) & (registry->buckets.size - 1)];
  while (node != NULL && node->registration != registration) node = node->next_by_registration;
  return node;
}

static uint64_t url_of(const struct cox_node *node, bool is_poc) { return is_poc ? node->url_hash : node->inference_hash; }

static struct cox_node *first_with(struct cox_node *node, uint64_t url_hash, bool is_poc) {
  while (node != NULL && url_of(node, is_poc) != url_hash) node = is_poc ? node->next_by_url : node->next_by_inference;
  return node;
}

struct cox_node *cox_registry_find_url(const struct cox_registry *registry, uint64_t url_hash, bool is_poc) {
  const size_t place = (size_t)url_hash & (registry->buckets.size - 1);
  return first_with(is_poc ? registry->buckets.by_url[place] : registry->buckets.by_inference[place], url_hash, is_poc);
}

struct cox_node *cox_node_url_next(const struct cox_node *node, bool is_poc) {
  return first_with(is_poc ? node->next_by_url : node->next_by_inference, url_of(node, is_poc), is_poc);
}

#define LINK(buckets, table, hash, node, next)                                                  \
  do {                                                                                          \
    struct cox_node **const first = &(buckets)->table[(size_t)(hash) & ((buckets)->size - 1)];  \
    (node)->next = *first;                                                                      \
    *first = (node);                                                                            \
  } while (0)

#define UNLINK(buckets, table, hash, node, next)                                                \
  do {                                                                                          \
    struct cox_node **link = &(buckets)->table[(size_t)(hash) & ((buckets)->size - 1)];         \
    while (*link != (node)) link = &(*link)->next;                                              \
    *link = (node)->next;                                                                       \
  } while (0)

static void link_urls(struct cox_buckets *buckets, struct cox_node *node) {
  LINK(buckets, by_url, node->url_hash, node, next_by_url);
  LINK(buckets, by_inference, node->inference_hash, node, next_by_inference);
}

static void unlink_urls(struct cox_buckets *buckets, struct cox_node *node) {
  UNLINK(buckets, by_url, node->url_hash, node, next_by_url);
  UNLINK(buckets, by_inference, node->inference_hash, node, next_by_inference);
}

static void link_buckets(struct cox_buckets *buckets, struct cox_node *node) {
  LINK(buckets, by_id, node->id_hash, node, next_by_id);
  LINK(buckets, by_registration, registration_hash(node->registration), node, next_by_registration);
  link_urls(buckets, node);
}

static void unlink_buckets(struct cox_buckets *buckets, struct cox_node *node) {
  UNLINK(buckets, by_id, node->id_hash, node, next_by_id);
  UNLINK(buckets, by_registration, registration_hash(node->registration), node, next_by_registration);
  unlink_urls(buckets, node);
}

static void depart_locked(struct cox_registry *registry, struct cox_departing departing) COX_REQUIRES(registry->lock) {
  for (size_t i = 0; i < registry->departing_count; i++) {
    if (registry->departing[i].attempt != departing.attempt) continue;
    registry->departing[i].is_cancelled = departing.is_cancelled; /* it moved before: it is still at its first machine */
    return;
  }
  assert(registry->departing_count < registry->departing_capacity); /* losing it could open two mutating calls to one machine */
  registry->departing[registry->departing_count++] = departing;
}

void cox_registry_move_locked(struct cox_registry *registry, struct cox_node *node, uint64_t url_hash, uint64_t inference_hash) {
  const struct cox_in_flight *const flight = &node->flight;
  if (flight->attempt != 0 && node->url_hash != url_hash) { /* its calls stay open at the old address; the node itself cancels it */
    depart_locked(registry, (struct cox_departing){flight->attempt, node->url_hash, flight->worker, true});
  }
  unlink_urls(&registry->buckets, node);
  node->url_hash = url_hash;
  node->inference_hash = inference_hash;
  link_urls(&registry->buckets, node);
}

static void relink_locked(struct cox_registry *registry, const struct cox_buckets *buckets) COX_REQUIRES(registry->lock) {
  registry->buckets = *buckets;
  for (size_t i = 0; i < registry->num_count; i++) {
    if (registry->by_num[i] != NULL) link_buckets(&registry->buckets, registry->by_num[i]);
  }
}

static int grow_buckets(struct cox_registry *registry) {
  struct cox_buckets fresh, old = registry->buckets;
  if (!make_buckets(&fresh, old.size * 2)) {
    free_buckets(&fresh);
    return COX_ENOMEM;
  }
  cox_rwlock_write(&registry->lock);
  relink_locked(registry, &fresh);
  cox_rwlock_write_unlock(&registry->lock);
  free_buckets(&old);
  return 0;
}

static int grow_nums(struct cox_registry *registry, size_t nums) {
  size_t capacity = registry->num_capacity == 0 ? 16 : registry->num_capacity;
  while (capacity < nums) capacity *= 2;
  struct cox_node **const by_num = calloc(capacity, sizeof(struct cox_node *));
  int64_t *const freed = calloc(capacity, sizeof(int64_t));
  bool *const may_return = calloc(capacity, sizeof(bool));
  if (by_num == NULL || freed == NULL || may_return == NULL) {
    free(by_num);
    free(freed);
    free(may_return);
    return COX_ENOMEM;
  }
  for (size_t i = 0; i < capacity; i++) freed[i] = i < registry->num_count ? registry->num_freed_at[i] : INT64_MIN;
  if (registry->num_count > 0) {
    memcpy(by_num, registry->by_num, registry->num_count * sizeof(struct cox_node *));
    memcpy(may_return, registry->num_may_return, registry->num_count * sizeof(bool));
  }
  struct cox_node **const old = registry->by_num;
  int64_t *const old_freed = registry->num_freed_at;
  bool *const old_may_return = registry->num_may_return;
  cox_rwlock_write(&registry->lock);
  registry->by_num = by_num;
  registry->num_freed_at = freed;
  registry->num_may_return = may_return;
  registry->num_capacity = capacity;
  cox_rwlock_write_unlock(&registry->lock);
  free(old);
  free(old_freed);
  free(old_may_return);
  return 0;
}

/* Each node that is registered may depart with an attempt and a probe, also when its registration is undone: then it is too late to
 * ask for memory. A departure takes a node away, so the sum holds until the next registration.                                    */
static int grow_departing(struct cox_registry *registry, size_t nums) {
  const size_t needed = registry->departing_count + DEPARTING_PER_NODE * nums;
  if (needed <= registry->departing_capacity) return 0;
  size_t capacity = registry->departing_capacity == 0 ? 16 : registry->departing_capacity;
  while (capacity < needed) capacity *= 2;
  struct cox_departing *const list = malloc(capacity * sizeof *list), *const old = registry->departing;
  if (list == NULL) return COX_ENOMEM;
  cox_rwlock_write(&registry->lock);
  if (registry->departing_count > 0) memcpy(list, old, registry->departing_count * sizeof *list);
  registry->departing = list;
  registry->departing_capacity = capacity;
  cox_rwlock_write_unlock(&registry->lock);
  free(old);
  return 0;
}

int cox_registry_reserve(struct cox_registry *registry, size_t nums) {
  if (nums > registry->num_capacity && grow_nums(registry, nums) != 0) return COX_ENOMEM;
  if (grow_departing(registry, nums) != 0) return COX_ENOMEM;
  while (nums > registry->buckets.size) {
    if (grow_buckets(registry) != 0) return COX_ENOMEM;
  }
  return 0;
}

void cox_registry_insert_locked(struct cox_registry *registry, struct cox_node *node) {
  const size_t num = (size_t)node->num;
  assert(num < registry->num_capacity && (num >= registry->num_count || registry->by_num[num] == NULL));
  if (num >= registry->num_count) registry->num_count = num + 1;
  registry->by_num[num] = node;
  registry->num_freed_at[num] = INT64_MIN;
  registry->num_may_return[num] = false;
  if (node->registration == 0) node->registration = registry->registrations + 1; /* else it was here before */
  if (node->registration > registry->registrations) registry->registrations = node->registration;
  link_buckets(&registry->buckets, node);
  registry->count++;
  cox_registry_mark_locked(registry, node);
}

static void unlink_dirty_locked(struct cox_registry *registry, struct cox_node *node) COX_REQUIRES(registry->lock) {
  if (!node->is_dirty) return;
  if (node->dirty_prev != NULL) node->dirty_prev->dirty_next = node->dirty_next;
  else registry->dirty_first = node->dirty_next;
  if (node->dirty_next != NULL) node->dirty_next->dirty_prev = node->dirty_prev;
  else registry->dirty_last = node->dirty_prev;
  node->dirty_prev = node->dirty_next = NULL;
  node->is_dirty = false;
  registry->dirty_count--;
}

/* Numbers behind the last node that nothing is known of. */
static void forget_last_nums_locked(struct cox_registry *registry) COX_REQUIRES(registry->lock) {
  for (; registry->num_count > 0; registry->num_count--) {
    const size_t last = registry->num_count - 1;
    if (registry->by_num[last] != NULL || registry->num_freed_at[last] != INT64_MIN || registry->num_may_return[last]) return;
  }
}

void cox_registry_hold_num_locked(struct cox_registry *registry, int num) {
  const size_t nums = (size_t)num + 1;
  registry->num_may_return[num] = true;
  if (registry->num_count < nums) registry->num_count = nums;
}

void cox_registry_let_num_go_locked(struct cox_registry *registry, int num) {
  registry->num_may_return[num] = false;
  forget_last_nums_locked(registry);
}

void cox_registry_remove_locked(struct cox_registry *registry, struct cox_node *node) {
  unlink_buckets(&registry->buckets, node);
  unlink_dirty_locked(registry, node);
  registry->by_num[node->num] = NULL;
  registry->num_freed_at[node->num] = registry->episode.is_set ? registry->episode.height : INT64_MIN;
  forget_last_nums_locked(registry);
  registry->count--;
  const struct cox_in_flight *const flight = &node->flight;
  if (flight->attempt != 0) {
    depart_locked(registry, (struct cox_departing){flight->attempt, node->url_hash, flight->worker, flight->is_cancelled});
  }
  if (node->probe != 0) { /* reads only, so nobody has to wait for it: no machine */
    depart_locked(registry, (struct cox_departing){node->probe, 0, node->probe_worker, node->is_probe_cancelled});
  }
}

int cox_registry_free_num(const struct cox_registry *registry, int from) {
  size_t num = (size_t)from;
  for (; num < registry->num_count; num++) {
    const int64_t freed_at = registry->num_freed_at[num];
    const bool is_held = !cox_fault("registry.reuses_number") && freed_at != INT64_MIN && registry->episode.is_set && freed_at == registry->episode.height;
    if (registry->by_num[num] == NULL && !is_held && !registry->num_may_return[num]) break;
  }
  return (int)num;
}

void cox_registry_mark_locked(struct cox_registry *registry, struct cox_node *node) {
  if (node->is_dirty) return;
  node->is_dirty = true;
  node->dirty_at_us = registry->clock != NULL ? cox_clock_mono_us(registry->clock) : 0;
  registry->dirty_count++;
  registry->dirty_adds++;
  node->dirty_prev = registry->dirty_last;
  node->dirty_next = NULL;
  if (registry->dirty_last != NULL) registry->dirty_last->dirty_next = node;
  else registry->dirty_first = node;
  registry->dirty_last = node;
}

void cox_registry_mark_all_locked(struct cox_registry *registry) {
  for (size_t i = 0; i < registry->num_count; i++) {
    if (registry->by_num[i] != NULL) cox_registry_mark_locked(registry, registry->by_num[i]);
  }
}

struct cox_node *cox_registry_take_dirty_locked(struct cox_registry *registry) {
  struct cox_node *const node = registry->dirty_first;
  if (node != NULL) unlink_dirty_locked(registry, node);
  return node;
}

bool cox_registry_is_departing_locked(const struct cox_registry *registry, uint64_t url_hash) {
  if (cox_fault("registry.forgets_departing")) return false;
  for (size_t i = 0; i < registry->departing_count; i++) {
    if (registry->departing[i].url_hash == url_hash) return true;
  }
  return false;
}

bool cox_registry_departed_locked(struct cox_registry *registry, uint64_t attempt) {
  for (size_t i = 0; i < registry->departing_count; i++) {
    if (registry->departing[i].attempt != attempt) continue;
    const uint64_t url_hash = registry->departing[i].url_hash;
    registry->departing[i] = registry->departing[--registry->departing_count];
    if (url_hash == 0) return true;
    for (struct cox_node *node = cox_registry_find_url(registry, url_hash, true); node != NULL; node = cox_node_url_next(node, true)) {
      cox_registry_mark_locked(registry, node);
    }
    return true;
  }
  return false;
}
