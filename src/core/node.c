#include "core/node.h"

#include <stdlib.h>
#include <string.h>

#include "core/node_config.h"

uint64_t cox_hash_text(const char *text) {
  uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a offset basis and prime for 64 bits */
  for (; *text != '\0'; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
  return hash;
}

uint64_t cox_node_url_hash(const json_t *config) {
  char url[COX_URL_MAX];
  cox_node_config_url(config, true, url);
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
  node->url_hash = cox_node_url_hash(config);
  node->admin.is_enabled = true;
  return node;
}

void cox_node_destroy(struct cox_node *node) {
  if (node == NULL) return;
  json_decref(node->id);
  json_decref(node->config);
  json_decref(node->admin.reason);
  json_decref(node->failure_reason);
  json_decref(node->last_failure);
  json_decref(node->memory);
  cox_target_release(node->target);
  cox_target_release(node->applied);
  cox_target_release(node->flight.target);
  json_decref(node->flight.note);
  for (int i = 0; i < COX_NODE_NOTES; i++) json_decref(node->notes[i].error);
  free(node);
}

bool cox_node_is_converged(const struct cox_node *node) {
  if (node->target == NULL) return true;
  return node->is_settled && node->current == node->target->status && node->current_poc == node->target->poc &&
         cox_target_equal(node->applied, node->target);
}

const char *cox_node_id(const struct cox_node *node) { return json_string_value(node->id); }
