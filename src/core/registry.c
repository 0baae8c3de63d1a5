#include "core/registry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 64 };

/* Registrations count up; mixing spreads them over the buckets (Fibonacci hashing, Knuth 6.4). */
static size_t registration_bucket(const struct cox_registry *registry, uint64_t registration) {
  return (size_t)((registration * 0x9e3779b97f4a7c15ULL) >> 20) & (registry->buckets - 1);
}

int cox_registry_init(struct cox_registry *registry, uint64_t seed) {
  memset(registry, 0, sizeof *registry);
  registry->buckets = FIRST_BUCKETS;
  registry->by_id = calloc(FIRST_BUCKETS, sizeof(struct cox_node *));
  registry->by_registration = calloc(FIRST_BUCKETS, sizeof(struct cox_node *));
  if (registry->by_id == NULL || registry->by_registration == NULL) {
    free(registry->by_id);
    free(registry->by_registration);
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
  free(registry->by_id);
  free(registry->by_registration);
  free(registry->departing);
  json_decref(registry->world);
  cox_rwlock_fini(&registry->lock);
}

struct cox_node *cox_registry_find(const struct cox_registry *registry, const char *id) {
  const uint64_t hash = cox_hash_text(id);
  struct cox_node *node = registry->by_id[hash & (registry->buckets - 1)];
  while (node != NULL && (node->id_hash != hash || strcmp(cox_node_id(node), id) != 0)) node = node->next_by_id;
  return node;
}

struct cox_node *cox_registry_find_registration(const struct cox_registry *registry, uint64_t registration) {
  struct cox_node *node = registry->by_registration[registration_bucket(registry, registration)];
  while (node != NULL && node->registration != registration) node = node->next_by_registration;
  return node;
}

static void link_buckets(struct cox_registry *registry, struct cox_node *node) {
  struct cox_node **const by_id = &registry->by_id[node->id_hash & (registry->buckets - 1)];
  node->next_by_id = *by_id;
  *by_id = node;
  struct cox_node **const by_registration = &registry->by_registration[registration_bucket(registry, node->registration)];
  node->next_by_registration = *by_registration;
  *by_registration = node;
}

static void relink_locked(struct cox_registry *registry, struct cox_node **by_id, struct cox_node **by_registration,
                          size_t buckets) COX_REQUIRES(registry->lock) {
  registry->by_id = by_id;
  registry->by_registration = by_registration;
  registry->buckets = buckets;
  for (size_t i = 0; i < registry->num_count; i++) {
    if (registry->by_num[i] != NULL) link_buckets(registry, registry->by_num[i]);
  }
}

static int grow_buckets(struct cox_registry *registry) {
  const size_t buckets = registry->buckets * 2;
  struct cox_node **const by_id = calloc(buckets, sizeof *by_id);
  struct cox_node **const by_registration = calloc(buckets, sizeof *by_registration);
  if (by_id == NULL || by_registration == NULL) {
    free(by_id);
    free(by_registration);
    return COX_ENOMEM;
  }
  struct cox_node **const old_by_id = registry->by_id;
  struct cox_node **const old_by_registration = registry->by_registration;
  cox_rwlock_write(&registry->lock);
  relink_locked(registry, by_id, by_registration, buckets);
  cox_rwlock_write_unlock(&registry->lock);
  free(old_by_id);
  free(old_by_registration);
  return 0;
}

static int grow_nums(struct cox_registry *registry, size_t nums) {
  size_t capacity = registry->num_capacity == 0 ? 16 : registry->num_capacity;
  while (capacity < nums) capacity *= 2;
  struct cox_node **const by_num = calloc(capacity, sizeof(struct cox_node *));
  int64_t *const freed = calloc(capacity, sizeof(int64_t));
  if (by_num == NULL || freed == NULL) {
    free(by_num);
    free(freed);
    return COX_ENOMEM;
  }
  for (size_t i = 0; i < capacity; i++) freed[i] = i < registry->num_count ? registry->num_freed_at[i] : INT64_MIN;
  if (registry->num_count > 0) memcpy(by_num, registry->by_num, registry->num_count * sizeof(struct cox_node *));
  struct cox_node **const old = registry->by_num;
  int64_t *const old_freed = registry->num_freed_at;
  cox_rwlock_write(&registry->lock);
  registry->by_num = by_num;
  registry->num_freed_at = freed;
  registry->num_capacity = capacity;
  cox_rwlock_write_unlock(&registry->lock);
  free(old);
  free(old_freed);
  return 0;
}

int cox_registry_reserve(struct cox_registry *registry, size_t nums) {
  if (nums > registry->num_capacity && grow_nums(registry, nums) != 0) return COX_ENOMEM;
  while (nums > registry->buckets) {
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
  node->registration = ++registry->registrations;
  link_buckets(registry, node);
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
}

static void depart_locked(struct cox_registry *registry, struct cox_departing departing) COX_REQUIRES(registry->lock) {
  if (registry->departing_count == registry->departing_capacity) {
    const size_t capacity = registry->departing_capacity == 0 ? 16 : registry->departing_capacity * 2;
    struct cox_departing *const list = realloc(registry->departing, capacity * sizeof *list);
    if (list == NULL) abort(); /* losing it could open two mutating calls to one machine */
    registry->departing = list;
    registry->departing_capacity = capacity;
  }
  registry->departing[registry->departing_count++] = departing;
}

void cox_registry_remove_locked(struct cox_registry *registry, struct cox_node *node) {
  struct cox_node **link = &registry->by_id[node->id_hash & (registry->buckets - 1)];
  while (*link != node) link = &(*link)->next_by_id;
  *link = node->next_by_id;
  link = &registry->by_registration[registration_bucket(registry, node->registration)];
  while (*link != node) link = &(*link)->next_by_registration;
  *link = node->next_by_registration;
  unlink_dirty_locked(registry, node);
  registry->by_num[node->num] = NULL;
  registry->num_freed_at[node->num] = registry->episode.is_set ? registry->episode.height : INT64_MIN;
  while (registry->num_count > 0 && registry->by_num[registry->num_count - 1] == NULL &&
         registry->num_freed_at[registry->num_count - 1] == INT64_MIN) {
    registry->num_count--;
  }
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
    const bool is_held = freed_at != INT64_MIN && registry->episode.is_set && freed_at == registry->episode.height;
    if (registry->by_num[num] == NULL && !is_held) break;
  }
  return (int)num;
}

void cox_registry_mark_locked(struct cox_registry *registry, struct cox_node *node) {
  if (node->is_dirty) return;
  node->is_dirty = true;
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
    for (size_t num = 0; num < registry->num_count; num++) {
      struct cox_node *const node = registry->by_num[num];
      if (node != NULL && node->url_hash == url_hash) cox_registry_mark_locked(registry, node);
    }
    return true;
  }
  return false;
}
