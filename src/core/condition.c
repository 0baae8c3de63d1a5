#include "core/condition.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "core/json_text.h"
#include "core/registry.h"

char *cox_hex_write(char *at, uint64_t number) {
  static const char digits[] = "0123456789abcdef";
  int shift = 60;
  while (shift > 0 && number >> shift == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) *at++ = digits[number >> shift & 15];
  return at;
}

void cox_node_tag_of(const struct cox_node *node, const char *config, size_t len, char tag[COX_TAG_MAX]) {
  char *at = cox_hex_write(tag, node->registration);
  *at++ = '-';
  at = cox_hex_write(at, node->generation);
  *at++ = '-';
  *cox_hex_write(at, cox_hash_bytes(config, len)) = '\0';
}

void cox_node_tag(const struct cox_node *node, char tag[COX_TAG_MAX]) {
  struct cox_buf text = {0};
  const bool is_whole = cox_json_add(&text, node->config) && text.len > 0;
  cox_node_tag_of(node, is_whole ? text.data : "", is_whole ? text.len - 1 : 0, tag); /* without memory it fits none */
  cox_buf_fini(&text);
}

int cox_condition_copy(struct cox_condition *out, const struct cox_condition *from) {
  *out = (struct cox_condition){.kind = from->kind};
  if (from->kind == COX_CONDITION_NONE) return 0;
  out->node_id = strdup(from->node_id);
  out->tags = from->tags != NULL ? strdup(from->tags) : NULL;
  if (out->node_id != NULL && (from->tags == NULL || out->tags != NULL)) return 0;
  cox_condition_fini(out);
  return COX_ENOMEM;
}

void cox_condition_fini(struct cox_condition *condition) {
  free(condition->node_id);
  free(condition->tags);
  *condition = (struct cox_condition){0};
}

static bool has_tag(const char *tags, const char *tag) {
  const size_t len = strlen(tag);
  for (const char *at = tags; at != NULL && *at != '\0'; at = strchr(at, ' ') != NULL ? strchr(at, ' ') + 1 : NULL) {
    if (strncmp(at, tag, len) == 0 && (at[len] == ' ' || at[len] == '\0')) return true;
  }
  return false;
}

int cox_condition_check(const struct cox_condition *condition, const struct cox_registry *registry, struct cox_err *err) {
  if (condition->kind == COX_CONDITION_NONE) return 0;
  const char *const id = condition->node_id;
  const struct cox_node *const node = cox_registry_find(registry, id);
  if (condition->kind == COX_CONDITION_ABSENT) {
    if (node == NULL) return 0;
    return cox_err_set(err, COX_EMATCH, "node %.200s is registered already, and If-None-Match: * asks for a new one: nothing was changed",
                       id);
  }
  if (node == NULL) {
    return cox_err_set(err, COX_EMATCH, "node %.200s is not registered, and If-Match asks for one that is: nothing was changed", id);
  }
  char tag[COX_TAG_MAX];
  cox_node_tag(node, tag);
  if (condition->kind == COX_CONDITION_EXISTS || has_tag(condition->tags, tag)) return 0;
  return cox_err_set(err, COX_EMATCH, "node %.200s has changed since you read it: nothing was changed; read it again, look what is new, and "
                     "repeat your change with its present ETag", id);
}
