#include "script/rejected.h"

#include <string.h>

#include "script/sources.h"

bool cox_rejected_init(struct cox_rejected *rejected) {
  cox_mutex_init(&rejected->mutex);
  rejected->list = json_array();
  return rejected->list != NULL;
}

void cox_rejected_fini(struct cox_rejected *rejected) {
  json_decref(rejected->list);
  cox_mutex_fini(&rejected->mutex);
}

json_t *cox_rejected_hold(struct cox_rejected *rejected) {
  cox_mutex_lock(&rejected->mutex);
  json_t *const list = json_incref(rejected->list);
  cox_mutex_unlock(&rejected->mutex);
  return list;
}

static void replace(struct cox_rejected *rejected, json_t *list) {
  cox_mutex_lock(&rejected->mutex);
  json_t *const old = rejected->list;
  rejected->list = list;
  cox_mutex_unlock(&rejected->mutex);
  json_decref(old);
}

void cox_rejected_set(struct cox_rejected *rejected, json_t *list) {
  if (json_is_array(list)) replace(rejected, json_incref(list));
}

/* Place of the entry, or the length of the list. */
static size_t find(const json_t *list, const char *hash) {
  size_t place = 0;
  for (; place < json_array_size(list); place++) {
    const char *const other = json_string_value(json_object_get(json_array_get(list, place), "hash"));
    if (other != NULL && strcmp(other, hash) == 0) break;
  }
  return place;
}

json_t *cox_rejected_find(struct cox_rejected *rejected, uint64_t scripts_hash) {
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(scripts_hash, hash);
  json_t *const list = cox_rejected_hold(rejected);
  json_t *const entry = json_incref(json_array_get(list, find(list, hash)));
  json_decref(list);
  return entry;
}

bool cox_rejected_has(struct cox_rejected *rejected, uint64_t scripts_hash) {
  json_t *const entry = cox_rejected_find(rejected, scripts_hash);
  json_decref(entry);
  return entry != NULL;
}

/* A copy without that hash. Only cox-reload changes the list, so nothing gets lost between the copy and its taking the place. */
static json_t *copy_without(struct cox_rejected *rejected, const char *hash) {
  json_t *const present = cox_rejected_hold(rejected), *const list = json_copy(present);
  json_decref(present);
  const size_t place = find(list, hash);
  if (place < json_array_size(list)) json_array_remove(list, place);
  return list;
}

void cox_rejected_add(struct cox_rejected *rejected, uint64_t scripts_hash, json_t *entry) {
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(scripts_hash, hash);
  json_t *const list = copy_without(rejected, hash);
  json_object_set_new(entry, "hash", json_string(hash));
  json_array_append_new(list, entry);
  if (json_array_size(list) > COX_REJECTED_MAX) json_array_remove(list, 0);
  replace(rejected, list);
}

void cox_rejected_remove(struct cox_rejected *rejected, uint64_t scripts_hash) {
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(scripts_hash, hash);
  replace(rejected, copy_without(rejected, hash));
}
