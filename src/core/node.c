#include "core/node.h"

#include <stdlib.h>
#include <string.h>

#include "core/node_config.h"

uint64_t cox_hash_text(const char *text) {
  uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a offset basis and prime for 64 bits */
  for (; *text != '\0'; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
  return hash;
}

uint64_t cox_hash_bytes(const char *bytes, size_t count) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ count;
  for (; count > 0; bytes += count < 8 ? count : 8, count -= count < 8 ? count : 8) {
    uint64_t word = 0;
    memcpy(&word, bytes, count < 8 ? count : 8);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

uint64_t cox_node_url_hash(const json_t *config, bool is_poc) {
  char url[COX_URL_MAX];
  cox_node_config_url(config, is_poc, url);
  return cox_hash_text(url);
}

struct cox_node *cox_node_create(json_t *config) {
  struct cox_node *const node = calloc(1, sizeof *node);
  if (node == NULL) {
    json_decref(config);
    return NULL;
  }
  node->config = config;
  node->id = json_incref(json_object_get(config, "id"));
  node->id_hash = cox_hash_text(json_string_value(node->id));
  node->url_hash = cox_node_url_hash(config, true);
  node->inference_hash = cox_node_url_hash(config, false);
  node->admin.is_enabled = true;
  return node;
}

void cox_node_hold_parts(struct cox_node *copy) {
  json_incref(copy->id);
  json_incref(copy->config);
  cox_admin_hold(&copy->admin);
  json_incref(copy->failure_reason);
  json_incref(copy->last_failure);
  json_incref(copy->memory);
  cox_target_hold(copy->target);
  cox_target_hold(copy->applied);
  cox_target_hold(copy->flight.target);
  json_incref(copy->flight.note);
  for (int i = 0; i < COX_NODE_NOTES; i++) json_incref(copy->notes[i].error);
}

void cox_node_release_parts(struct cox_node *copy) {
  json_decref(copy->id);
  json_decref(copy->config);
  cox_admin_fini(&copy->admin);
  json_decref(copy->failure_reason);
  json_decref(copy->last_failure);
  json_decref(copy->memory);
  cox_target_release(copy->target);
  cox_target_release(copy->applied);
  cox_target_release(copy->flight.target);
  json_decref(copy->flight.note);
  for (int i = 0; i < COX_NODE_NOTES; i++) json_decref(copy->notes[i].error);
}

void cox_node_destroy(struct cox_node *node) {
  if (node == NULL) return;
  cox_node_release_parts(node);
  free(node);
}

static bool has_reached(const struct cox_node *node) { return node->is_settled && cox_target_equal(node->applied, node->target); }

bool cox_node_is_converged(const struct cox_node *node) {
  if (node->target == NULL) return true;
  return has_reached(node) && node->current == node->target->status && node->current_poc == node->target->poc;
}

bool cox_node_needs_attempt(const struct cox_node *node) {
  if (cox_node_is_converged(node)) return false;
  return node->failed_by != COX_FAILED_BY_PROBE || !has_reached(node);
}

bool cox_node_set_status(struct cox_node *node, enum cox_status status, enum cox_poc poc, int64_t now_ms) {
  if (node->current == status && node->current_poc == poc) return false;
  node->current = status;
  node->current_poc = poc;
  node->status_at_ms = now_ms;
  return true;
}

const char *cox_node_id(const struct cox_node *node) { return json_string_value(node->id); }
