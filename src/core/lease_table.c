/* The leases by id, spread over shards by their random part, and the wheels on which they expire. */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "core/lease_private.h"

enum { FIRST_SIZE = 64 };

static struct cox_lease_shard *shard_of(struct cox_leases *leases, struct cox_lease_id id) {
  return &leases->shards[(id.low >> 32) % COX_LEASE_SHARDS];
}

static struct cox_lease **bucket_of(const struct cox_lease_shard *shard, struct cox_lease_id id) {
  return &shard->buckets[(id.high ^ id.low >> 36) & (shard->size - 1)];
}

int cox_shards_init(struct cox_leases *leases, int64_t now_us) {
  for (int i = 0; i < COX_LEASE_SHARDS; i++) {
    struct cox_lease_shard *const shard = &leases->shards[i];
    cox_mutex_init(&shard->mutex);
    cox_wheel_init(&shard->wheel, COX_LEASE_TICK_US, now_us);
    shard->size = FIRST_SIZE;
    shard->buckets = calloc(FIRST_SIZE, sizeof(struct cox_lease *));
    if (shard->buckets == NULL) return COX_ENOMEM;
  }
  return 0;
}

void cox_shards_fini(struct cox_leases *leases) {
  for (int i = 0; i < COX_LEASE_SHARDS; i++) {
    struct cox_lease_shard *const shard = &leases->shards[i];
    for (size_t k = 0; shard->buckets != NULL && k < shard->size; k++) {
      for (struct cox_lease *lease = shard->buckets[k], *next; lease != NULL; lease = next) {
        next = lease->next;
        free(lease);
      }
    }
    free(shard->buckets);
    cox_mutex_fini(&shard->mutex);
  }
}

/* Too full a table is only slow: without memory it stays as it is. */
static void grow_locked(struct cox_lease_shard *shard) COX_REQUIRES(shard->mutex) {
  struct cox_lease **const old = shard->buckets, **const fresh = calloc(shard->size * 2, sizeof(struct cox_lease *));
  if (fresh == NULL) return;
  const size_t size = shard->size;
  shard->buckets = fresh;
  shard->size = size * 2;
  for (size_t i = 0; i < size; i++) {
    for (struct cox_lease *lease = old[i], *next; lease != NULL; lease = next) {
      next = lease->next;
      struct cox_lease **const bucket = bucket_of(shard, lease->id);
      lease->next = *bucket;
      *bucket = lease;
    }
  }
  free(old);
}

/* The link to it, or to the NULL at the end of its bucket. */
static struct cox_lease **find_locked(const struct cox_lease_shard *shard, struct cox_lease_id id) COX_REQUIRES(shard->mutex) {
  struct cox_lease **link = bucket_of(shard, id);
  while (*link != NULL && !cox_lease_id_equal((*link)->id, id)) link = &(*link)->next;
  return link;
}

static void link_locked(struct cox_lease_shard *shard, struct cox_lease *lease, int64_t expires_us) COX_REQUIRES(shard->mutex) {
  if (shard->count >= shard->size) grow_locked(shard);
  struct cox_lease **const bucket = bucket_of(shard, lease->id);
  lease->next = *bucket;
  *bucket = lease;
  shard->count++;
  cox_wheel_add(&shard->wheel, &lease->timer, expires_us);
}

int cox_shards_enter(struct cox_leases *leases, struct cox_lease_id id, struct cox_lease_node *node, uint32_t trial, bool is_adopted,
                     int64_t expires_us) {
  struct cox_lease *const lease = malloc(sizeof *lease);
  if (lease == NULL) return COX_ENOMEM;
  *lease = (struct cox_lease){.id = id, .node = node, .trial = trial, .is_adopted = is_adopted};
  struct cox_lease_shard *const shard = shard_of(leases, id);
  cox_mutex_lock_brief(&shard->mutex);
  const bool is_taken = is_adopted && *find_locked(shard, id) != NULL; /* our own ids are new by their making */
  if (!is_taken) link_locked(shard, lease, expires_us);
  cox_mutex_unlock(&shard->mutex);
  if (is_taken) free(lease);
  return is_taken ? COX_EBUSY : 0;
}

static void unlink_locked(struct cox_lease_shard *shard, struct cox_lease **link) COX_REQUIRES(shard->mutex) {
  struct cox_lease *const lease = *link;
  *link = lease->next;
  shard->count--;
  cox_wheel_remove(&lease->timer);
}

static enum cox_shard_found look_at(const struct cox_lease *lease) {
  if (lease == NULL) return COX_SHARD_NONE;
  if (lease->node == NULL || atomic_load_explicit(&lease->node->is_gone, memory_order_relaxed)) return COX_SHARD_ENDED;
  return COX_SHARD_FOUND;
}

/* A bug to be planted: it stays in the table, and so it can be released again. */
static struct cox_lease *twin_of(const struct cox_lease *lease) {
  struct cox_lease *const twin = cox_fault("lease_table.keeps_released") ? malloc(sizeof *twin) : NULL;
  if (twin != NULL) *twin = *lease;
  return twin;
}

struct cox_lease *cox_shards_leave(struct cox_leases *leases, struct cox_lease_id id, enum cox_shard_found *found) {
  struct cox_lease_shard *const shard = shard_of(leases, id);
  cox_mutex_lock_brief(&shard->mutex);
  struct cox_lease **const link = find_locked(shard, id);
  struct cox_lease *lease = *link;
  *found = look_at(lease);
  const bool is_live = lease != NULL && lease->node != NULL;
  struct cox_lease *const twin = is_live ? twin_of(lease) : NULL;
  if (twin != NULL) lease = twin;
  else if (is_live) unlink_locked(shard, link);
  else lease = NULL;
  cox_mutex_unlock(&shard->mutex);
  return lease;
}

void cox_shards_dispose(struct cox_leases *leases, struct cox_lease *lease, int64_t now_us) {
  const bool is_kept = lease->is_adopted && atomic_load(&leases->buried) < COX_LEASE_BURIED_MAX;
  if (!is_kept) {
    free(lease);
    return;
  }
  atomic_fetch_add(&leases->buried, 1);
  lease->node = NULL;
  struct cox_lease_shard *const shard = shard_of(leases, lease->id);
  cox_mutex_lock_brief(&shard->mutex);
  link_locked(shard, lease, now_us + COX_LEASE_BURIED_US);
  cox_mutex_unlock(&shard->mutex);
}

enum cox_shard_found cox_shards_renew(struct cox_leases *leases, struct cox_lease_id id, int64_t expires_us, const char *node_id,
                                      json_t **held_by) {
  struct cox_lease_shard *const shard = shard_of(leases, id);
  cox_mutex_lock_brief(&shard->mutex);
  struct cox_lease *const lease = *find_locked(shard, id);
  enum cox_shard_found found = look_at(lease);
  if (found == COX_SHARD_FOUND && node_id != NULL && strcmp(json_string_value(lease->node->id_text), node_id) != 0) {
    found = COX_SHARD_OTHER;
  } else if (found == COX_SHARD_FOUND) {
    cox_wheel_remove(&lease->timer);
    cox_wheel_add(&shard->wheel, &lease->timer, expires_us);
    if (held_by != NULL) *held_by = json_incref(lease->node->id_text);
  }
  cox_mutex_unlock(&shard->mutex);
  return found;
}

bool cox_shards_has(struct cox_leases *leases, struct cox_lease_id id) {
  struct cox_lease_shard *const shard = shard_of(leases, id);
  cox_mutex_lock_brief(&shard->mutex);
  const bool has = look_at(*find_locked(shard, id)) == COX_SHARD_FOUND;
  cox_mutex_unlock(&shard->mutex);
  return has;
}

struct cox_lease *cox_shards_expired(struct cox_leases *leases, size_t index, int64_t now_us, bool *has_more) {
  struct cox_lease_shard *const shard = &leases->shards[index];
  struct cox_lease *list = NULL;
  cox_mutex_lock_brief(&shard->mutex);
  struct cox_wheel_entry *due = cox_wheel_take(&shard->wheel, now_us);
  *has_more = due != NULL; /* one slot of the wheel at a time */
  while (due != NULL) {
    struct cox_lease *const lease = COX_CONTAINER(due, struct cox_lease, timer);
    due = cox_wheel_taken(due);
    unlink_locked(shard, find_locked(shard, lease->id));
    if (lease->node == NULL) {
      free(lease);
      atomic_fetch_sub(&leases->buried, 1);
      continue;
    }
    lease->next = list;
    list = lease;
  }
  cox_mutex_unlock(&shard->mutex);
  return list;
}

struct cox_lease *cox_shards_ghosts(struct cox_leases *leases, size_t index) {
  struct cox_lease_shard *const shard = &leases->shards[index];
  struct cox_lease *list = NULL;
  cox_mutex_lock_brief(&shard->mutex);
  for (size_t i = 0; i < shard->size; i++) {
    for (struct cox_lease **link = &shard->buckets[i]; *link != NULL;) {
      struct cox_lease *const lease = *link;
      if (lease->node == NULL || look_at(lease) == COX_SHARD_FOUND) {
        link = &lease->next;
        continue;
      }
      unlink_locked(shard, link);
      lease->next = list;
      list = lease;
    }
  }
  cox_mutex_unlock(&shard->mutex);
  return list;
}
