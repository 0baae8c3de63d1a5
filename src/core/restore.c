/* The durable state as a start finds it → a registry. What is read here was written by this program, perhaps an older one, and
 * kept by a database that checks itself: what does not fit is a reason not to start, never one to begin empty.              */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/durable.h"
#include "core/node_config.h"
#include "core/packed.h"

static json_t *row(const json_t *tables, const char *table, const char *name) {
  return json_object_get(json_object_get(tables, table), name);
}

static int64_t number(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

static int refuse(const char *id, const char *what, const struct cox_err *why, struct cox_err *err) {
  return cox_err_set(err, COX_EINVAL, "the stored %s of node %s cannot be read: %s", what, id, why->text[0] != '\0' ? why->text : "it is not whole");
}

/* NULL stays NULL. False: it is there and is no target. */
static bool read_target(json_t *object, struct cox_target **out, struct cox_err *why) {
  *out = NULL;
  if (object == NULL) return true;
  *out = cox_target_create(json_copy(object), NULL, why);
  return *out != NULL;
}

static int read_driver(const char *id, const json_t *value, struct cox_node *node, struct cox_err *err) {
  struct cox_err why = {0};
  if (!read_target(json_object_get(value, "applied"), &node->applied, &why)) return refuse(id, "applied target", &why, err);
  node->memory = cox_packed(json_incref(json_object_get(value, "memory")));
  const json_t *const unanswered = json_object_get(value, "unanswered");
  const char *const call = json_string_value(json_object_get(unanswered, "call"));
  if (call == NULL) return 0;
  snprintf(node->unanswered.call, sizeof node->unanswered.call, "%s", call);
  node->unanswered.at_ms = number(unanswered, "at_ms");
  node->unanswered.mark = (struct cox_mark){.era = (uint64_t)number(unanswered, "era"), .at_us = number(unanswered, "at_us")};
  return 0;
}

static int read_parts(const char *id, const json_t *tables, struct cox_node *node, struct cox_err *err) {
  const json_t *const admin = row(tables, "admin", id), *const target = row(tables, "target", id);
  struct cox_err why = {0};
  if (admin != NULL) cox_admin_read(&node->admin, admin);
  if (!read_target(json_object_get(target, "target"), &node->target, &why)) return refuse(id, "target", &why, err);
  const uint64_t generation = (uint64_t)number(target, "generation");
  if (generation > node->generation) node->generation = generation;
  return read_driver(id, row(tables, "driver", id), node, err);
}

static struct cox_node *read_node(const char *id, const json_t *value, const json_t *tables, struct cox_err *err) {
  struct cox_err why = {0};
  json_t *const config = cox_node_config_create(json_object_get(value, "node"), &why);
  const int64_t num = number(value, "node_num"), registration = number(value, "registration");
  struct cox_node *const node = config != NULL ? cox_node_create(config) : NULL;
  if (node == NULL || num < 0 || num > INT32_MAX / 2 || registration < 1 || strcmp(cox_node_id(node), id) != 0) {
    cox_node_destroy(node);
    refuse(id, "configuration", &why, err);
    return NULL;
  }
  node->num = (int)num;
  node->registration = (uint64_t)registration;
  node->generation = 1;
  if (read_parts(id, tables, node, err) == 0) return node;
  cox_node_destroy(node);
  return NULL;
}

/* Numbers above the last node that an episode still holds back need their place, too. */
static size_t nums_of(const json_t *tables) {
  size_t nums = 0;
  const char *name;
  json_t *value;
  json_object_foreach(json_object_get(tables, "node"), name, value) {
    if (number(value, "node_num") >= (int64_t)nums) nums = (size_t)number(value, "node_num") + 1;
  }
  json_object_foreach(json_object_get(tables, "freed"), name, value) {
    const size_t num = strtoul(name, NULL, 10);
    if (num < INT32_MAX / 2 && num >= nums) nums = num + 1;
  }
  return nums;
}

static void read_episode(struct cox_registry *registry, const json_t *tables) {
  const char *name;
  json_t *value;
  json_object_foreach(json_object_get(tables, "freed"), name, value) {
    const size_t num = strtoul(name, NULL, 10);
    if (num >= registry->num_capacity || registry->by_num[num] != NULL) continue;
    registry->num_freed_at[num] = json_integer_value(value);
    if (num >= registry->num_count) registry->num_count = num + 1;
  }
  const json_t *const episode = row(tables, "episode", "current");
  const char *const hash = json_string_value(json_object_get(episode, "hash"));
  if (hash == NULL) return;
  registry->episode.is_set = true;
  registry->episode.height = number(episode, "height");
  registry->episode.node_count = (int)number(episode, "node_count");
  snprintf(registry->episode.hash, sizeof registry->episode.hash, "%s", hash);
}

static int insert(struct cox_registry *registry, struct cox_node *node, struct cox_err *err) {
  const size_t num = (size_t)node->num;
  if (num < registry->num_count && registry->by_num[num] != NULL) {
    return cox_err_set(err, COX_EINVAL, "the stored nodes %s and %s have the same number", cox_node_id(registry->by_num[num]), cox_node_id(node));
  }
  cox_rwlock_write(&registry->lock);
  cox_registry_insert_locked(registry, node);
  cox_rwlock_write_unlock(&registry->lock);
  return 0;
}

int cox_durable_restore(struct cox_registry *registry, const json_t *tables, struct cox_err *err) {
  const size_t nums = nums_of(tables), count = json_object_size(json_object_get(tables, "node"));
  const char *id;
  json_t *value;
  if (cox_registry_reserve(registry, nums > count ? nums : count) != 0) {
    return cox_err_set(err, COX_ENOMEM, "reading the stored nodes failed: out of memory for %zu of them", count);
  }
  json_object_foreach(json_object_get(tables, "node"), id, value) {
    struct cox_node *const node = read_node(id, value, tables, err);
    if (node == NULL) return COX_EINVAL;
    const int rc = insert(registry, node, err);
    if (rc == 0) continue;
    cox_node_destroy(node);
    return rc;
  }
  const uint64_t registrations = (uint64_t)json_integer_value(row(tables, "counter", "registrations"));
  if (registrations > registry->registrations) registry->registrations = registrations;
  read_episode(registry, tables);
  return 0;
}
