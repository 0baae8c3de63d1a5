#include "script/kept.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define TABLE "scripts"
#define CHOICE "choice"
#define TEXT_START "text:"

enum { NAME_BYTES = 64, SLICE_US = 50000, SLICES = 40 };

int cox_kept_init(struct cox_kept *kept) {
  atomic_init(&kept->is_lost, false);
  cox_mutex_init(&kept->mutex);
  cox_cond_init(&kept->answered);
  kept->open = 0;
  kept->names = json_object();
  return kept->names != NULL ? 0 : COX_ENOMEM;
}

void cox_kept_fini(struct cox_kept *kept) {
  json_decref(kept->names);
  cox_cond_fini(&kept->answered);
  cox_mutex_fini(&kept->mutex);
}

/* Texts are kept once, whichever sets have them. */
static void name_text(char name[NAME_BYTES], const char *hash, size_t len) { snprintf(name, NAME_BYTES, TEXT_START "%s-%zu", hash, len); }

/* ---- reading ---- */

json_t *cox_kept_read(struct cox_kept *kept, struct cox_broker *broker) {
  json_t *const table = cox_broker_kept_all(broker, TABLE);
  const char *name;
  json_t *value;
  json_object_foreach(table, name, value) {
    if (strncmp(name, TEXT_START, strlen(TEXT_START)) == 0) json_object_set_new(kept->names, name, json_true());
  }
  json_t *const choice = json_incref(json_object_get(table, CHOICE));
  json_decref(table);
  return choice;
}

/* False with a fault: the store does not have it. */
static bool add_script(struct cox_broker *broker, struct cox_sources *sources, const json_t *file, struct cox_faults *faults) {
  char name[NAME_BYTES];
  const char *const path = json_string_value(json_object_get(file, "path")), *const shown = json_string_value(json_object_get(file, "shown"));
  const char *const hash = json_string_value(json_object_get(file, "hash"));
  if (path == NULL || shown == NULL || hash == NULL) {
    cox_faults_add(faults, NULL, 0, "the scripts kept in the store are not readable");
    return false;
  }
  name_text(name, hash, (size_t)json_integer_value(json_object_get(file, "size")));
  json_t *const text = cox_broker_kept(broker, TABLE, name);
  const unsigned from = (unsigned)json_integer_value(json_object_get(file, "from"));
  const bool is_good = json_is_string(text) &&
                       cox_sources_add(sources, path, shown, json_string_value(text), json_string_length(text), from);
  if (!is_good) cox_faults_add(faults, shown, 0, "the store does not have the text of this script");
  json_decref(text);
  return is_good;
}

struct cox_sources *cox_kept_sources(struct cox_broker *broker, const json_t *set, const char *library_dir, struct cox_faults *faults) {
  struct cox_sources *const sources = cox_sources_begin(json_object_get(set, "folders"));
  const json_t *const files = json_object_get(set, "files");
  if (sources == NULL) {
    cox_faults_add(faults, NULL, 0, "reading the scripts kept in the store failed: out of memory");
    return NULL;
  }
  for (size_t i = 0; i < json_array_size(files); i++) {
    if (add_script(broker, sources, json_array_get(files, i), faults)) continue;
    cox_sources_release(sources);
    return NULL;
  }
  return cox_sources_end(sources, library_dir, faults);
}

/* ---- writing ---- */

static void count(struct cox_kept *kept, int change) {
  cox_mutex_lock(&kept->mutex);
  kept->open += (unsigned)change;
  if (kept->open == 0) cox_cond_broadcast(&kept->answered);
  cox_mutex_unlock(&kept->mutex);
}

static void on_kept(void *arg, const struct cox_err *err) {
  struct cox_kept *const kept = arg;
  if (err != NULL) atomic_store(&kept->is_lost, true);
  count(kept, -1);
}

/* Takes `value`; NULL: forget it. */
static void keep(struct cox_kept *kept, struct cox_broker *broker, const char *name, json_t *value) {
  struct cox_err err;
  const bool is_forgotten = value == NULL;
  count(kept, 1);
  if (cox_broker_keep(broker, TABLE, name, value, on_kept, kept, &err) == 0) {
    if (strcmp(name, CHOICE) == 0) return;
    if (is_forgotten) json_object_del(kept->names, name);
    else json_object_set_new(kept->names, name, json_true());
  } else {
    count(kept, -1);
    atomic_store(&kept->is_lost, true);
    cox_log(COX_LOG_WARN, "reload", "the choice of scripts was not kept: a start may not know of it", "name", name, "reason", err.text, NULL);
  }
}

static json_t *file_json(const struct cox_source *source, char name[NAME_BYTES]) {
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(source->hash, hash);
  name_text(name, hash, source->len);
  return json_pack("{ss, ss, ss, sI, sI}", "path", source->name, "shown", source->path, "hash", hash, "size", (json_int_t)source->len, "from",
                   (json_int_t)source->from);
}

/* Describes a set and keeps its texts; their names go into `used`. */
static json_t *write_set(struct cox_kept *kept, struct cox_broker *broker, const struct cox_generation *generation, json_t *used) {
  const struct cox_sources *const sources = generation->sources;
  json_t *const files = json_array();
  for (size_t i = 0; i < sources->count; i++) {
    char name[NAME_BYTES];
    const struct cox_source *const source = &sources->list[i];
    if (source->is_trusted) continue; /* goes with the program, not with the choice */
    json_array_append_new(files, file_json(source, name));
    json_object_set_new(used, name, json_true());
    if (json_object_get(kept->names, name) == NULL) keep(kept, broker, name, json_stringn(source->text, source->len));
  }
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(sources->scripts_hash, hash);
  return json_pack("{sI, ss, sO, so}", "generation", (json_int_t)generation->number, "hash", hash, "folders", sources->folders, "files", files);
}

static void forget_unused(struct cox_kept *kept, struct cox_broker *broker, const json_t *used) {
  json_t *const names = json_copy(kept->names);
  const char *name;
  json_t *value;
  json_object_foreach(names, name, value) {
    if (json_object_get(used, name) == NULL) keep(kept, broker, name, NULL);
  }
  json_decref(names);
}

void cox_kept_write(struct cox_kept *kept, struct cox_broker *broker, const struct cox_generation *live,
                    const struct cox_generation *previous, json_t *rejected, uint64_t last_number) {
  if (atomic_exchange(&kept->is_lost, false)) json_object_clear(kept->names);
  json_t *const used = json_object(), *const choice = json_object();
  json_object_set_new(choice, "live", write_set(kept, broker, live, used));
  if (previous != NULL) json_object_set_new(choice, "previous", write_set(kept, broker, previous, used));
  json_object_set(choice, "rejected", rejected);
  json_object_set_new(choice, "last_number", json_integer((json_int_t)last_number));
  json_t *const present = cox_broker_kept(broker, TABLE, CHOICE);
  if (json_equal(present, choice) == 0) keep(kept, broker, CHOICE, json_incref(choice)); /* after the texts, before they are forgotten */
  forget_unused(kept, broker, used);
  json_decref(present);
  json_decref(choice);
  json_decref(used);
}

bool cox_kept_await(struct cox_kept *kept, const atomic_bool *is_left) {
  cox_mutex_lock(&kept->mutex);
  for (int i = 0; i < SLICES && kept->open > 0 && !atomic_load(is_left); i++) cox_cond_wait_us(&kept->answered, &kept->mutex, SLICE_US);
  const bool is_whole = kept->open == 0;
  cox_mutex_unlock(&kept->mutex);
  return is_whole && !atomic_load(&kept->is_lost);
}
