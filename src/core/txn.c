#include "core/txn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "core/node_config.h"
#include "core/txn_private.h"

static size_t registered(const struct cox_txn *txn) { return txn->broker->registry.num_count; }

/* What this transaction does to a slot; NULL: nothing so far. */
static struct cox_change *change_of(const struct cox_txn *txn, int slot) {
  return (size_t)slot < txn->capacity ? txn->changes[slot] : NULL;
}

/* NULL: out of memory. */
static struct cox_change *new_change(struct cox_txn *txn) {
  struct cox_change_block *block = txn->blocks;
  if (block == NULL || block->used == COX_CHANGES_MAX) {
    block = malloc(sizeof *block);
    if (block == NULL) return NULL;
    block->older = txn->blocks;
    block->used = 0;
    txn->blocks = block;
  }
  return &block->changes[block->used++];
}

/* Same, made when there is none yet. NULL: out of memory. */
static struct cox_change *touch(struct cox_txn *txn, int slot) {
  const size_t index = (size_t)slot;
  if (index >= txn->capacity) {
    size_t capacity = txn->capacity == 0 ? registered(txn) + 1 : txn->capacity * 2;
    if (capacity <= index) capacity = index + 1;
    struct cox_change **const changes = realloc(txn->changes, capacity * sizeof(struct cox_change *));
    if (changes == NULL) return NULL;
    memset(changes + txn->capacity, 0, (capacity - txn->capacity) * sizeof(struct cox_change *));
    txn->changes = changes;
    txn->capacity = capacity;
  }
  if (txn->changes[index] != NULL) return txn->changes[index];
  struct cox_change *const change = new_change(txn);
  if (change == NULL) return NULL;
  *change = (struct cox_change){.slot = slot, .prev = txn->last};
  if (txn->last != NULL) txn->last->next = change;
  else txn->first = change;
  txn->last = change;
  txn->changes[index] = change;
  return change;
}

/* The registered node of a slot, or the one this transaction registers. NULL: none, or removed. */
static struct cox_node *node_of(const struct cox_txn *txn, int slot) {
  assert(slot >= 0);
  const struct cox_change *const change = change_of(txn, slot);
  if (change != NULL && change->fresh != NULL) return change->fresh;
  if (change != NULL && change->is_removed) return NULL;
  return (size_t)slot < registered(txn) ? txn->broker->registry.by_num[slot] : NULL;
}

static json_t *world_of(const struct cox_txn *txn) {
  return txn->world != NULL ? txn->world : txn->broker->registry.world;
}

size_t cox_txn_count(struct cox_txn *txn) { return txn->end > registered(txn) ? txn->end : registered(txn); }

/* Of a node that is not removed. */
static struct cox_target *target_of(const struct cox_txn *txn, int slot, const struct cox_node *node) {
  const struct cox_change *const change = change_of(txn, slot);
  return change != NULL && change->target != NULL ? change->target : node->target;
}

static const struct cox_world_nodes *world_nodes(struct cox_txn *txn) {
  const json_t *const world = world_of(txn);
  if (txn->world_nodes.world != world) {
    txn->world_nodes = (struct cox_world_nodes){.world = world,
                                                .epoch_models = json_object_get(world, "epoch_models"),
                                                .preserved = json_object_get(world, "preserved")};
  }
  return &txn->world_nodes;
}

static void read_world(struct cox_txn *txn, struct cox_txn_node *out) {
  const struct cox_world_nodes *const nodes = world_nodes(txn);
  const char *const id = nodes->epoch_models != NULL || nodes->preserved != NULL ? json_string_value(out->id) : NULL;
  out->epoch_models = json_object_get(nodes->epoch_models, id);
  out->is_preserved = json_is_true(json_object_get(nodes->preserved, id));
}

static void read_target(struct cox_target *target, struct cox_txn_node *out) {
  out->target = target;
  out->intended = target != NULL ? target->status : COX_STATUS_UNKNOWN;
  out->intended_poc = target != NULL ? target->poc : COX_POC_IDLE;
}

bool cox_txn_read(struct cox_txn *txn, int slot, struct cox_txn_node *out) {
  const struct cox_node *const node = node_of(txn, slot);
  if (node == NULL) return false;
  const struct cox_change *const change = change_of(txn, slot);
  *out = (struct cox_txn_node){
      .id = node->id,
      .node_num = node->num,
      .config = change != NULL && change->config != NULL ? change->config : node->config,
      .admin = change != NULL && change->has_admin ? change->admin : node->admin,
      .current = node->current,
      .current_poc = node->current_poc,
      .failure_reason = json_string_value(node->failure_reason),
  };
  read_target(target_of(txn, slot, node), out);
  read_world(txn, out);
  return true;
}

void cox_txn_read_target(struct cox_txn *txn, int slot, struct cox_txn_node *out) {
  const struct cox_node *const node = node_of(txn, slot);
  if (node != NULL) read_target(target_of(txn, slot, node), out);
}

int cox_txn_find(struct cox_txn *txn, const char *id) {
  for (const struct cox_change *change = txn->end > 0 ? txn->first : NULL; change != NULL; change = change->next) {
    if (change->fresh != NULL && strcmp(cox_node_id(change->fresh), id) == 0) return change->slot;
  }
  const struct cox_node *const node = cox_registry_find(&txn->broker->registry, id);
  if (node == NULL || node_of(txn, node->num) == NULL) return COX_TXN_NONE;
  return node->num;
}

json_t *cox_txn_world(struct cox_txn *txn) { return world_of(txn); }

void cox_txn_set_world(struct cox_txn *txn, json_t *world) {
  json_t *const full = json_copy(world);
  const struct cox_broker *const broker = txn->broker;
  if (broker->options.participant != NULL) json_object_set(full, "participant", broker->options.participant);
  if (broker->callback_url != NULL) json_object_set(full, "callback_url", broker->callback_url);
  json_decref(txn->world);
  txn->world = full;
  txn->world_nodes.world = NULL; /* the new one may be where an old one was */
}

const char *cox_txn_block_hash(struct cox_txn *txn, int64_t height) {
  const json_t *const world = txn->world;
  if (world != NULL && json_integer_value(json_object_get(world, "height")) == height) {
    const char *const hash = json_string_value(json_object_get(world, "hash"));
    if (hash != NULL) return hash;
  }
  for (int i = 0; i < COX_BLOCKS_KEPT; i++) {
    if (txn->broker->registry.blocks[i].height == height) return txn->broker->registry.blocks[i].hash;
  }
  return NULL;
}

static int highest_num(struct cox_txn *txn) {
  int highest = (int)cox_txn_count(txn) - 1;
  while (highest >= 0 && node_of(txn, highest) == NULL) highest--;
  return highest;
}

/* What a hasty hand would write: those that can take part now. */
static int dispatched_count(struct cox_txn *txn) {
  int count = 0;
  for (size_t i = 0; i < registered(txn); i++) {
    const struct cox_node *const node = node_of(txn, (int)i);
    if (node != NULL && node->is_settled) count++;
  }
  return count;
}

int cox_txn_node_count(struct cox_txn *txn, int64_t block_height, const char *block_hash) {
  if (cox_fault("txn.counts_dispatched")) return dispatched_count(txn);
  const struct cox_registry *const registry = &txn->broker->registry;
  if (registry->episode.is_set && registry->episode.height == block_height && block_hash != NULL &&
      strcmp(registry->episode.hash, block_hash) == 0) {
    return registry->episode.node_count;
  }
  return highest_num(txn) + 1;
}

int cox_txn_intend(struct cox_txn *txn, int slot, struct cox_target *target, struct cox_err *err) {
  if (target == NULL) return err->code;
  const struct cox_node *const node = node_of(txn, slot);
  if (node == NULL) {
    cox_target_release(target);
    return cox_err_set(err, COX_ENOENT, "setting an intent failed: the node was removed");
  }
  const struct cox_target *const now = target_of(txn, slot, node);
  if (cox_target_equal(target, now)) {
    cox_target_release(target);
    return 0;
  }
  struct cox_change *const change = touch(txn, slot);
  if (change == NULL) {
    cox_target_release(target);
    return cox_err_set(err, COX_ENOMEM, "setting the intent of node %s failed: out of memory", cox_node_id(node));
  }
  cox_target_release(change->target);
  change->target = target;
  return 1;
}

/* The node of a slot as it will be, when it has that URL and another id; NULL: it has not. */
static const char *holder_at(const struct cox_txn *txn, int slot, uint64_t url_hash, bool is_poc, const char *id) {
  const struct cox_node *const node = node_of(txn, slot);
  if (node == NULL || strcmp(cox_node_id(node), id) == 0) return NULL;
  const struct cox_change *const change = change_of(txn, slot);
  const json_t *const config = change != NULL ? change->config : NULL;
  const uint64_t has = config != NULL ? cox_node_url_hash(config, is_poc) : is_poc ? node->url_hash : node->inference_hash;
  return has == url_hash ? cox_node_id(node) : NULL;
}

/* The other node that has that URL, NULL: none. */
static const char *other_at(const struct cox_txn *txn, uint64_t url_hash, bool is_poc, const char *id) {
  const struct cox_node *node = cox_registry_find_url(&txn->broker->registry, url_hash, is_poc);
  for (; node != NULL; node = cox_node_url_next(node, is_poc)) {
    const char *const holder = holder_at(txn, node->num, url_hash, is_poc, id);
    if (holder != NULL) return holder;
  }
  for (const struct cox_change *change = txn->first; change != NULL; change = change->next) {
    if (change->fresh == NULL && change->config == NULL) continue;
    const char *const holder = holder_at(txn, change->slot, url_hash, is_poc, id);
    if (holder != NULL) return holder;
  }
  return NULL;
}

static json_t *accepted_config(struct cox_txn *txn, json_t *object, struct cox_err *err) {
  json_t *const config = cox_node_config_create(object, err);
  if (config == NULL) return NULL;
  const char *const id = json_string_value(json_object_get(config, "id"));
  static const char *const ports[] = {"inference_port", "poc_port"};
  for (int is_poc = 1; is_poc >= 0; is_poc--) {
    const char *const other = other_at(txn, cox_node_url_hash(config, is_poc != 0), is_poc != 0, id);
    if (other == NULL) continue;
    cox_err_set(err, COX_EINVAL, "node %s: node %s has the same host and %s already; give one of them another address", id, other,
                ports[is_poc]);
    json_decref(config);
    return NULL;
  }
  return config;
}

/* The lowest number free for a new node, also of those this transaction registers. */
static int free_num(struct cox_txn *txn) {
  int num = cox_registry_free_num(&txn->broker->registry, 0);
  while (change_of(txn, num) != NULL && change_of(txn, num)->fresh != NULL) {
    num = cox_registry_free_num(&txn->broker->registry, num + 1);
  }
  return num;
}

int cox_txn_register(struct cox_txn *txn, json_t *object, struct cox_err *err) {
  json_t *const config = accepted_config(txn, object, err);
  if (config == NULL) return COX_EINVAL;
  const char *const id = json_string_value(json_object_get(config, "id"));
  if (cox_txn_find(txn, id) != COX_TXN_NONE) {
    cox_err_set(err, COX_EINVAL, "node %s is registered already: change it with update_node", id);
    json_decref(config);
    return COX_EINVAL;
  }
  struct cox_node *const node = cox_node_create(config);
  if (node == NULL) return cox_err_set(err, COX_ENOMEM, "registering a node failed: out of memory");
  node->num = free_num(txn);
  node->generation = 1;
  if (world_of(txn) != NULL) node->admin.epoch = json_integer_value(json_object_get(world_of(txn), "epoch"));
  struct cox_change *const change = touch(txn, node->num);
  if (change == NULL) {
    cox_node_destroy(node);
    return cox_err_set(err, COX_ENOMEM, "registering a node failed: out of memory");
  }
  change->fresh = node;
  if ((size_t)node->num >= txn->end) txn->end = (size_t)node->num + 1;
  return node->num;
}

int cox_txn_update(struct cox_txn *txn, json_t *object, struct cox_err *err) {
  json_t *const config = accepted_config(txn, object, err);
  if (config == NULL) return COX_EINVAL;
  const char *const id = json_string_value(json_object_get(config, "id"));
  const int slot = cox_txn_find(txn, id);
  int rc = slot;
  if (slot == COX_TXN_NONE) {
    rc = cox_err_set(err, COX_ENOENT, "node %s is not registered: add it with register_node", id);
    json_decref(config);
    return rc;
  }
  struct cox_change *const change = touch(txn, slot);
  if (change == NULL) {
    cox_err_set(err, COX_ENOMEM, "updating node %s failed: out of memory", id);
    json_decref(config); /* `id` is in it */
    return COX_ENOMEM;
  }
  json_decref(change->config);
  change->config = config;
  return rc;
}

bool cox_txn_remove(struct cox_txn *txn, const char *id) {
  const int slot = cox_txn_find(txn, id);
  if (slot == COX_TXN_NONE) return false;
  struct cox_change *const change = touch(txn, slot);
  if (change == NULL) return false;
  if (change->fresh != NULL) { /* registered by this very transaction: as if it never was */
    cox_node_destroy(change->fresh);
    change->fresh = NULL;
  } else {
    change->is_removed = true;
  }
  return true;
}

int cox_txn_set_admin(struct cox_txn *txn, const char *id, const struct cox_admin *admin, struct cox_err *err) {
  const int slot = cox_txn_find(txn, id);
  if (slot == COX_TXN_NONE) return cox_err_set(err, COX_ENOENT, "node %s is not registered", id);
  struct cox_change *const change = touch(txn, slot);
  if (change == NULL) return cox_err_set(err, COX_ENOMEM, "changing the admin state of node %s failed: out of memory", id);
  if (change->has_admin) cox_admin_fini(&change->admin);
  change->has_admin = true;
  change->admin = *admin;
  change->admin.reason = json_incref(admin->reason);
  change->admin.actor = txn->caller != NULL ? json_string(txn->caller) : NULL;
  return 0;
}

void cox_txn_issue(struct cox_txn *txn, const char *name) {
  if (txn->issued == NULL) txn->issued = json_array();
  json_array_append_new(txn->issued, json_string(name));
}

static int request(struct cox_txn *txn, const char *id, bool is_probe) {
  if (id == NULL) {
    if (is_probe) txn->probes_all = true;
    else txn->reconciles_all = true;
    const size_t slots = cox_txn_count(txn);
    int count = 0;
    for (size_t i = 0; i < slots; i++) count += node_of(txn, (int)i) != NULL;
    return count;
  }
  const int slot = cox_txn_find(txn, id);
  if (slot == COX_TXN_NONE) return COX_ENOENT;
  struct cox_change *const change = touch(txn, slot);
  if (change == NULL) return COX_ENOMEM;
  if (is_probe) change->wants_probe = true;
  else change->wants_restart = true;
  return 1;
}

int cox_txn_reconcile(struct cox_txn *txn, const char *id) { return request(txn, id, false); }
int cox_txn_probe(struct cox_txn *txn, const char *id) { return request(txn, id, true); }
