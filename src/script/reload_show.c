/* What people see of the generations. */
#include <stdio.h>
#include <string.h>

#include "script/reload.h"

static void set_hash(json_t *object, uint64_t hash) {
  char text[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(hash, text);
  json_object_set_new(object, "hash", json_string(text));
}

static json_t *folder_of(const struct cox_sources *sources, unsigned from) {
  json_t *const folder = json_array_get(sources->folders, from);
  return folder != NULL ? json_incref(folder) : json_string("?");
}

static json_t *shadows_of(const struct cox_sources *sources, const struct cox_source *source) {
  json_t *const list = json_array();
  for (unsigned i = 0; i < COX_SOURCES_FOLDERS_MAX; i++) {
    if ((source->shadows & (UINT32_C(1) << i)) != 0) json_array_append_new(list, folder_of(sources, i));
  }
  return list;
}

static json_t *files_json(const struct cox_sources *sources) {
  json_t *const list = json_array();
  for (size_t i = 0; i < sources->count; i++) {
    const struct cox_source *const source = &sources->list[i];
    if (source->is_trusted) continue;
    json_t *const file = json_pack("{ss, so, sI}", "path", source->name, "from", folder_of(sources, source->from), "size", (json_int_t)source->len);
    set_hash(file, source->hash);
    if (source->shadows != 0) json_object_set_new(file, "shadows", shadows_of(sources, source));
    json_array_append_new(list, file);
  }
  return list;
}

/* {name: fields} → [{"name", …}] in order of the names. */
static json_t *named_list(json_t *declared) {
  json_t *const list = json_array();
  const char *name;
  json_t *fields;
  json_object_foreach(declared, name, fields) {
    json_t *const entry = json_pack("{ss}", "name", name);
    json_object_update(entry, fields);
    json_array_append_new(list, entry);
  }
  return list;
}

static json_t *in_short(const struct cox_generation *generation) {
  json_t *const object = json_pack("{sI}", "generation", (json_int_t)generation->number);
  set_hash(object, generation->sources->scripts_hash);
  return object;
}

/* Takes `entry`. What could not be read has no hash. */
static json_t *rejected_json(struct cox_reload *reload, json_t *entry) {
  if (atomic_load(&reload->found_hash) != COX_RELOAD_UNREADABLE) return entry;
  json_t *const shown = json_copy(entry);
  json_object_set_new(shown, "hash", json_string("unreadable"));
  json_decref(entry);
  return shown;
}

json_t *cox_reload_show(struct cox_reload *reload) {
  struct cox_generation *const live = cox_generations_hold(reload->options.generations);
  struct cox_generation *const previous = cox_generations_hold_previous(reload->options.generations);
  char at[COX_CLOCK_TEXT];
  cox_clock_format(live->loaded_ms, at);
  json_t *const object = in_short(live);
  json_object_set_new(object, "loaded_at", json_string(at));
  json_object_set_new(object, "can_roll_back", json_boolean(previous != NULL));
  if (previous != NULL) json_object_set_new(object, "previous", in_short(previous));
  /* Why the folders' present content is not live; one that was rejected and corrected since is nobody's concern any more. */
  json_t *const rejected = cox_rejected_find(&reload->rejected, atomic_load(&reload->found_hash));
  if (rejected != NULL) json_object_set_new(object, "rejected", rejected_json(reload, rejected));
  struct cox_err err;
  if (cox_kept_is_failing(&reload->kept, &err)) json_object_set_new(object, "unstored", json_string(err.text));
  json_object_set(object, "folders", live->sources->folders);
  json_object_set_new(object, "files", files_json(live->sources));
  json_object_set_new(object, "commands", named_list(live->commands));
  json_object_set_new(object, "drivers", named_list(live->drivers));
  json_object_set_new(object, "jobs", named_list(live->jobs));
  cox_generation_release(live);
  cox_generation_release(previous);
  return object;
}

/* ---- differences ---- */

/* Of each script of `sources` that is not the same in `others`: its text, under `side`. */
static void add_texts(json_t *files, const struct cox_sources *sources, const struct cox_sources *others, const char *side) {
  for (size_t i = 0; i < sources->count; i++) {
    const struct cox_source *const source = &sources->list[i];
    const struct cox_source *const other = cox_sources_find(others, source->name, source->is_trusted);
    if (source->is_trusted || (other != NULL && other->hash == source->hash)) continue;
    json_t *entry = json_object_get(files, source->name);
    if (entry == NULL) json_object_set_new(files, source->name, entry = json_object());
    json_object_set_new(entry, side, json_stringn(source->text, source->len));
  }
}

json_t *cox_reload_difference(struct cox_reload *reload) {
  struct cox_generation *const live = cox_generations_hold(reload->options.generations);
  struct cox_generation *const previous = cox_generations_hold_previous(reload->options.generations);
  json_t *const files = json_object();
  if (previous != NULL) {
    add_texts(files, live->sources, previous->sources, "live");
    add_texts(files, previous->sources, live->sources, "previous");
  }
  cox_generation_release(live);
  cox_generation_release(previous);
  return json_pack("{so}", "files", files);
}
