/* Nodes by model and version, and the pick: the least load relative to max_concurrent, a random one among equals. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/lease_private.h"
#include "core/version.h"

enum {
  AFFINITY_TRIES = 64, /* places a key may fall on before it is given up */
  AFFINITY_PERCENT = 125, /* of the mean load is what a node takes by affinity: consistent hashing with bounded loads (Mirrokni,
                             Thorup and Zadimoghaddam 2016) */
};

static struct cox_lease_model **model_bucket(struct cox_leases *leases, uint64_t hash) {
  return &leases->models[hash % COX_LEASE_MODEL_BUCKETS];
}

static struct cox_lease_model *find_model(struct cox_lease_model *model, uint64_t hash, const char *name) {
  while (model != NULL && (model->hash != hash || strcmp(model->name, name) != 0)) model = model->next;
  return model;
}

struct cox_lease_model *cox_index_model_locked(const struct cox_leases *leases, const char *name) {
  const uint64_t hash = cox_hash_text(name);
  return find_model(leases->models[hash % COX_LEASE_MODEL_BUCKETS], hash, name);
}

struct cox_lease_model *cox_index_make_model_locked(struct cox_leases *leases, const char *name) {
  struct cox_lease_model *const found = cox_index_model_locked(leases, name);
  if (found != NULL) return found;
  const size_t len = strlen(name) + 1;
  struct cox_lease_model *const model = calloc(1, sizeof *model + len);
  if (model == NULL) return NULL;
  model->hash = cox_hash_text(name);
  memcpy(model->name, name, len);
  struct cox_lease_model **const bucket = model_bucket(leases, model->hash);
  model->next = *bucket;
  *bucket = model;
  return model;
}

void cox_index_drop_model_locked(struct cox_leases *leases, struct cox_lease_model *model) {
  if (model->groups != NULL || model->waiters > 0) return;
  struct cox_lease_model **link = model_bucket(leases, model->hash);
  while (*link != model) link = &(*link)->next;
  *link = model->next;
  for (link = &leases->open; *link != NULL; link = &(*link)->next_open) {
    if (*link != model) continue;
    *link = model->next_open;
    break;
  }
  free(model->tenants);
  free(model);
}

/* ---- nodes by id ---- */

struct cox_lease_node *cox_index_find_locked(const struct cox_leases *leases, const char *id) {
  if (leases->by_id_size == 0) return NULL;
  const uint64_t hash = cox_hash_text(id);
  struct cox_lease_node *node = leases->by_id[hash & (leases->by_id_size - 1)];
  while (node != NULL && (node->id_hash != hash || strcmp(json_string_value(node->id_text), id) != 0)) node = node->next_by_id;
  return node;
}

static void link_by_id(struct cox_lease_node **by_id, size_t size, struct cox_lease_node *node) {
  struct cox_lease_node **const bucket = &by_id[node->id_hash & (size - 1)];
  node->next_by_id = *bucket;
  *bucket = node;
}

static bool make_room_locked(struct cox_leases *leases) COX_REQUIRES(COX_POOL) {
  if (leases->nodes < leases->by_id_size) return true;
  const size_t size = leases->by_id_size == 0 ? 64 : leases->by_id_size * 2;
  struct cox_lease_node **const by_id = calloc(size, sizeof(struct cox_lease_node *));
  if (by_id == NULL) return leases->by_id_size > 0; /* too full a table is only slow */
  for (struct cox_lease_node *node = leases->first; node != NULL; node = node->next) link_by_id(by_id, size, node);
  free(leases->by_id);
  leases->by_id = by_id;
  leases->by_id_size = size;
  return true;
}

bool cox_index_add_locked(struct cox_leases *leases, struct cox_lease_node *node) {
  if (!make_room_locked(leases)) return false;
  node->prev = leases->last;
  if (leases->last != NULL) leases->last->next = node;
  else leases->first = node;
  leases->last = node;
  leases->nodes++;
  link_by_id(leases->by_id, leases->by_id_size, node);
  return true;
}

void cox_index_remove_locked(struct cox_leases *leases, struct cox_lease_node *node) {
  if (node->prev != NULL) node->prev->next = node->next;
  else leases->first = node->next;
  if (node->next != NULL) node->next->prev = node->prev;
  else leases->last = node->prev;
  leases->nodes--;
  struct cox_lease_node **link = &leases->by_id[node->id_hash & (leases->by_id_size - 1)];
  while (*link != node) link = &(*link)->next_by_id;
  *link = node->next_by_id;
}

/* ---- groups ---- */

static bool is_version(const struct cox_lease_group *group, const char *version) {
  if (group->version == NULL || version == NULL) return group->version == version;
  return strcmp(group->version, version) == 0;
}

static struct cox_lease_group *make_group_locked(struct cox_leases *leases, const char *model_name, const char *version)
    COX_REQUIRES(COX_POOL) {
  struct cox_lease_model *const model = cox_index_make_model_locked(leases, model_name);
  if (model == NULL) return NULL;
  for (struct cox_lease_group *group = model->groups; group != NULL; group = group->next) {
    if (is_version(group, version)) return group;
  }
  struct cox_lease_group *const group = calloc(1, sizeof *group);
  if (group != NULL && version != NULL && (group->version = strdup(version)) == NULL) {
    free(group);
    return NULL;
  }
  if (group == NULL) return NULL;
  group->model = model;
  group->next = model->groups;
  model->groups = group;
  return group;
}

static void free_group(struct cox_lease_group *group) {
  cox_tree_fini(&group->tree);
  free(group->version);
  free(group);
}

static void drop_group_locked(struct cox_leases *leases, struct cox_lease_group *group) COX_REQUIRES(COX_POOL) {
  if (group->nodes > 0) return;
  struct cox_lease_model *const model = group->model;
  struct cox_lease_group **link = &model->groups;
  while (*link != group) link = &(*link)->next;
  *link = group->next;
  free_group(group);
  cox_index_drop_model_locked(leases, model);
}

bool cox_index_join_locked(struct cox_leases *leases, struct cox_lease_node *node, const char *model, const char *version) {
  struct cox_lease_group *const group = make_group_locked(leases, model, version);
  if (group == NULL) return false;
  if (group == node->group) return true;
  const uint32_t slot = cox_tree_insert(&group->tree, node);
  if (slot == UINT32_MAX) {
    drop_group_locked(leases, group);
    return false;
  }
  cox_index_part_locked(leases, node);
  node->group = group;
  node->slot = slot;
  group->nodes++;
  return true;
}

void cox_index_part_locked(struct cox_leases *leases, struct cox_lease_node *node) {
  struct cox_lease_group *const group = node->group;
  if (group == NULL) return;
  assert(!node->is_serving);
  cox_tree_remove(&group->tree, node->slot);
  group->nodes--;
  node->group = NULL;
  drop_group_locked(leases, group);
}

void cox_index_serve_locked(struct cox_leases *leases, struct cox_lease_node *node, bool is_serving) {
  struct cox_lease_group *const group = node->group;
  if (node->is_serving == is_serving) return;
  node->is_serving = is_serving;
  if (is_serving) {
    group->model->serving++;
    group->load += node->count;
    group->capacity += node->max;
  } else {
    group->model->serving--;
    group->load -= node->count;
    group->capacity -= node->max;
  }
  cox_index_rekey_locked(leases, node);
}

/* ---- the key of a node ---- */

/* count / max as a whole number: times 2^32 equal fractions give equal numbers, and different ones of limits up to 2^16 give
 * different ones. A node that warms up counts as smaller than it is.                                                        */
static uint64_t key_of(const struct cox_lease_node *node) {
  if (!node->is_serving || node->count >= node->max) return COX_TREE_NONE;
  if (node->breaker.state == COX_BREAKER_OPEN || (node->breaker.state == COX_BREAKER_HALF && node->breaker.has_trial)) return COX_TREE_NONE;
  if (node->count == 0) return 0; /* as the division below would say, which takes longer than all the rest */
  return ((uint64_t)node->count * COX_LEASE_WARM_STEPS << 32) / ((uint64_t)node->max * node->warmth);
}

void cox_index_rekey_locked(struct cox_leases *leases, struct cox_lease_node *node) {
  (void)leases;
  if (node->group != NULL) cox_tree_set(&node->group->tree, node->slot, key_of(node));
}

/* ---- the pick ---- */

static bool fits(const struct cox_lease_group *group, const struct cox_lease_ask *ask) {
  return cox_version_serves(group->version, ask->version, ask->accepts_earlier);
}

/* Of all nodes that fit, whatever their version: what they carry, and what they may. */
struct joint {
  uint64_t load, capacity;
};

static struct joint joint_of(const struct cox_lease_model *model, const struct cox_lease_ask *ask) {
  struct joint joint = {0, 0};
  for (const struct cox_lease_group *group = model->groups; group != NULL; group = group->next) {
    if (!fits(group, ask)) continue;
    joint.load += group->load;
    joint.capacity += group->capacity;
  }
  return joint;
}

/* May it take one more by affinity? Up to AFFINITY_PERCENT of its share of the load, rounded up. */
static bool is_below_bound(const struct joint *joint, const struct cox_lease_node *node) {
  const uint64_t share = (joint->load + 1) * node->max * AFFINITY_PERCENT, whole = joint->capacity * 100;
  return node->count < (share + whole - 1) / whole;
}

/* Whose part of the joint capacity the point lies in. A version that comes or goes moves at most about twice its own part. */
static const struct cox_lease_group *group_at(const struct cox_lease_model *model, const struct cox_lease_ask *ask, uint64_t point) {
  for (const struct cox_lease_group *group = model->groups; group != NULL; group = group->next) {
    if (!fits(group, ask)) continue;
    if (point < group->capacity) return group;
    point -= group->capacity;
  }
  return NULL;
}

/* The key falls on places until one may take it: a node that comes or goes moves only the keys that fell on its place. */
static struct cox_lease_node *by_affinity(const struct cox_lease_model *model, const struct cox_lease_ask *ask) {
  const struct joint joint = joint_of(model, ask);
  uint64_t hash = cox_hash_text(ask->affinity);
  for (int i = 0; i < AFFINITY_TRIES && joint.capacity > 0; i++) {
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdULL; /* murmur3's finaliser */
    hash ^= hash >> 33;
    const struct cox_lease_group *const group = group_at(model, ask, (hash >> 40) * joint.capacity >> 24);
    const uint32_t place = (uint32_t)(hash >> 20) & (group->tree.capacity - 1);
    struct cox_lease_node *const node = cox_tree_at(&group->tree, place);
    if (node == NULL || cox_tree_key(&group->tree, place) == COX_TREE_NONE) continue;
    if (is_below_bound(&joint, node)) return node;
  }
  return NULL;
}

static struct cox_lease_node *least_locked(struct cox_leases *leases, const struct cox_lease_model *model,
                                           const struct cox_lease_ask *ask) COX_REQUIRES(COX_POOL) {
  uint64_t key = COX_TREE_NONE;
  uint64_t ties = 0;
  for (const struct cox_lease_group *group = model->groups; group != NULL; group = group->next) {
    if (!fits(group, ask)) continue;
    const struct cox_tree_match least = cox_tree_least(&group->tree);
    if (least.key > key || least.key == COX_TREE_NONE) continue;
    ties = least.key == key ? ties + least.ties : least.ties;
    key = least.key;
  }
  if (ties == 0) return NULL;
  uint64_t n = ((cox_rng_next(&leases->rng) >> 32) * ties) >> 32;
  for (const struct cox_lease_group *group = model->groups;; group = group->next) {
    const struct cox_tree_match least = cox_tree_least(&group->tree);
    if (!fits(group, ask) || least.key != key) continue;
    if (n < least.ties) return cox_tree_nth(&group->tree, (uint32_t)n);
    n -= least.ties;
  }
}

/* Hides what is not wanted, or shows it again: so the rest of the pick need not know of it. */
static void hide_locked(struct cox_leases *leases, const struct cox_lease_ask *ask, bool is_hidden) COX_REQUIRES(COX_POOL) {
  for (size_t i = 0; i < ask->skips; i++) {
    struct cox_lease_node *const node = cox_index_find_locked(leases, ask->skip[i]);
    if (node == NULL || node->group == NULL) continue;
    if (is_hidden) cox_tree_set(&node->group->tree, node->slot, COX_TREE_NONE);
    else cox_index_rekey_locked(leases, node);
  }
}

static void take_locked(struct cox_leases *leases, struct cox_lease_node *node, struct cox_lease_slot *out) COX_REQUIRES(COX_POOL) {
  assert(node->is_serving && node->count < node->max);
  __builtin_prefetch(node->place, 1);
  node->count++;
  node->group->load++;
  cox_lease_tally_locked(leases, &leases->active, 1);
  leases->held++;
  *out = (struct cox_lease_slot){.node = node, .place = node->place, .number = leases->minted++};
  atomic_fetch_add_explicit(&node->place->references, 1, memory_order_relaxed);
  if (node->breaker.state == COX_BREAKER_HALF) {
    cox_breaker_send_trial(&node->breaker, &leases->rules, cox_clock_mono_us(leases->clock));
    if (++node->trial == 0) node->trial = 1;
    out->trial = node->trial;
  }
  cox_index_rekey_locked(leases, node);
}

bool cox_index_pick_locked(struct cox_leases *leases, struct cox_lease_model *model, const struct cox_lease_ask *ask,
                           struct cox_lease_slot *out) {
  if (ask->skips > 0) hide_locked(leases, ask, true);
  struct cox_lease_node *node = ask->affinity != NULL ? by_affinity(model, ask) : NULL;
  if (node == NULL) node = least_locked(leases, model, ask);
  if (node != NULL) take_locked(leases, node, out);
  if (ask->skips > 0) hide_locked(leases, ask, false);
  return node != NULL;
}

bool cox_index_has_free_locked(const struct cox_leases *leases, const struct cox_lease_model *model) {
  (void)leases;
  for (const struct cox_lease_group *group = model->groups; group != NULL; group = group->next) {
    if (cox_tree_least(&group->tree).key != COX_TREE_NONE) return true;
  }
  return false;
}

void cox_index_fini(struct cox_leases *leases) {
  for (int i = 0; i < COX_LEASE_MODEL_BUCKETS; i++) {
    for (struct cox_lease_model *model = leases->models[i], *next; model != NULL; model = next) {
      next = model->next;
      assert(model->waiters == 0);
      for (struct cox_lease_group *group = model->groups, *after; group != NULL; group = after) {
        after = group->next;
        free_group(group);
      }
      free(model->tenants);
      free(model);
    }
  }
  free(leases->by_id);
}
