#include "script/kept.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define TABLE "scripts"
#define CHOICE "choice"
#define TEXT_START "text:"

enum { NAME_BYTES = 64, SLICE_US = 50000 };

void cox_kept_init(struct cox_kept *kept, const struct cox_clock *clock) {
  *kept = (struct cox_kept){.clock = clock};
  cox_mutex_init(&kept->mutex);
  cox_cond_init(&kept->answered);
}

void cox_kept_fini(struct cox_kept *kept) {
  cox_cond_fini(&kept->answered);
  cox_mutex_fini(&kept->mutex);
}

void cox_kept_tell(struct cox_kept *kept, void (*wake)(void *ctx), void *ctx) {
  cox_mutex_lock(&kept->mutex);
  kept->wake = wake;
  kept->wake_ctx = ctx;
  cox_mutex_unlock(&kept->mutex);
}

/* Texts are kept once, whichever sets have them. */
static void name_text(char name[NAME_BYTES], const char *hash, size_t len) { snprintf(name, NAME_BYTES, TEXT_START "%s-%zu", hash, len); }

/* ---- reading ---- */

json_t *cox_kept_read(struct cox_broker *broker) { return cox_broker_kept(broker, TABLE, CHOICE); }

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

/* ---- what is to be written ---- */

static json_t *file_json(const struct cox_source *source, char name[NAME_BYTES]) {
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(source->hash, hash);
  name_text(name, hash, source->len);
  return json_pack("{ss, ss, ss, sI, sI}", "path", source->name, "shown", source->path, "hash", hash, "size", (json_int_t)source->len, "from",
                   (json_int_t)source->from);
}

/* Describes a set; its texts go into `texts`. */
static json_t *set_json(const struct cox_generation *generation, json_t *texts) {
  const struct cox_sources *const sources = generation->sources;
  json_t *const files = json_array();
  for (size_t i = 0; i < sources->count; i++) {
    char name[NAME_BYTES];
    const struct cox_source *const source = &sources->list[i];
    if (source->is_trusted) continue; /* goes with the program, not with the choice */
    json_array_append_new(files, file_json(source, name));
    if (json_object_get(texts, name) == NULL) json_object_set_new(texts, name, json_stringn(source->text, source->len));
  }
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(sources->scripts_hash, hash);
  return json_pack("{sI, ss, sO, so}", "generation", (json_int_t)generation->number, "hash", hash, "folders", sources->folders, "files", files);
}

/* {name: value} → what of it `present` does not have, and null for each that is not wanted any more. */
static json_t *changes_to(const json_t *wanted, json_t *present) {
  json_t *const changes = json_object();
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)wanted, name, value) {
    const json_t *const old = json_object_get(present, name);
    const bool is_text = strncmp(name, TEXT_START, strlen(TEXT_START)) == 0; /* the name tells what is in it */
    if (old == NULL || (!is_text && !json_equal(old, value))) json_object_set(changes, name, value);
  }
  json_object_foreach(present, name, value) {
    if (json_object_get(wanted, name) == NULL) json_object_set_new(changes, name, json_null());
  }
  return changes;
}

/* ---- writing ---- */

/* The store has refused one. True: people are to be told. */
static bool note_failure_locked(struct cox_kept *kept, const struct cox_err *err) COX_REQUIRES(kept->mutex) {
  const bool is_news = !kept->is_failing;
  kept->is_owed = kept->is_failing = true;
  kept->retry_at_us = cox_clock_mono_us(kept->clock) + kept->pause_us;
  kept->pause_us *= 2;
  if (kept->pause_us > COX_KEPT_RETRY_MAX_MS * INT64_C(1000)) kept->pause_us = COX_KEPT_RETRY_MAX_MS * INT64_C(1000);
  snprintf(kept->why, sizeof kept->why, "%.500s", err->text);
  return is_news;
}

static bool note_success_locked(struct cox_kept *kept) COX_REQUIRES(kept->mutex) {
  const bool is_news = kept->is_failing && !kept->is_owed; /* else it is another one by now, which comes next */
  if (is_news) kept->is_failing = false;
  kept->retry_at_us = 0;
  kept->pause_us = COX_KEPT_RETRY_MS * 1000;
  return is_news;
}

/* Any thread: the store's answer. */
static void on_kept(void *arg, const struct cox_err *err) {
  struct cox_kept *const kept = arg;
  cox_mutex_lock(&kept->mutex);
  kept->is_open = false;
  const bool is_news = err != NULL ? note_failure_locked(kept, err) : note_success_locked(kept), is_owed = kept->is_owed;
  void (*const wake)(void *ctx) = kept->wake;
  void *const ctx = kept->wake_ctx;
  cox_broker_show_unstored_scripts(kept->broker, kept->is_failing);
  cox_cond_broadcast(&kept->answered);
  cox_mutex_unlock(&kept->mutex);
  if (is_news && err != NULL) {
    cox_log(COX_LOG_ERROR, "reload", "the choice of scripts is not stored: a start would not know of it", "reason", err->text, "next",
            "it is tried again until it is", NULL);
  } else if (is_news) {
    cox_log(COX_LOG_WARN, "reload", "the choice of scripts is stored now", NULL);
  }
  if (is_owed && wake != NULL) wake(ctx);
}

/* False: one is on its way, and this one is owed. */
static bool begin(struct cox_kept *kept, struct cox_broker *broker) {
  cox_mutex_lock(&kept->mutex);
  kept->broker = broker;
  const bool can = !kept->is_open;
  kept->is_owed = !can;
  kept->is_open = true;
  if (kept->pause_us == 0) kept->pause_us = COX_KEPT_RETRY_MS * 1000;
  cox_mutex_unlock(&kept->mutex);
  return can;
}

/* What is there already need not be written: a start finds it all, when nobody has edited anything. */
static void write_changes(struct cox_kept *kept, struct cox_broker *broker, const json_t *wanted) {
  json_t *const present = cox_broker_kept_all(broker, TABLE), *const changes = changes_to(wanted, present);
  struct cox_err err = {0};
  int rc = 0;
  if (json_object_size(changes) == 0) on_kept(kept, NULL);
  else rc = cox_broker_keep_all(broker, TABLE, changes, on_kept, kept, &err);
  if (rc != 0) on_kept(kept, &err);
  json_decref(changes);
  json_decref(present);
}

void cox_kept_write(struct cox_kept *kept, struct cox_broker *broker, const struct cox_generation *live,
                    const struct cox_generation *previous, json_t *rejected, uint64_t last_number) {
  if (!begin(kept, broker)) return;
  json_t *const wanted = json_object(), *const choice = json_object();
  json_object_set_new(choice, "live", set_json(live, wanted));
  if (previous != NULL) json_object_set_new(choice, "previous", set_json(previous, wanted));
  json_object_set(choice, "rejected", rejected);
  json_object_set_new(choice, "last_number", json_integer((json_int_t)last_number));
  json_object_set_new(wanted, CHOICE, choice);
  write_changes(kept, broker, wanted);
  json_decref(wanted);
}

int64_t cox_kept_due_us(struct cox_kept *kept) {
  cox_mutex_lock(&kept->mutex);
  const int64_t due_us = kept->is_owed && !kept->is_open ? kept->retry_at_us : INT64_MAX;
  cox_mutex_unlock(&kept->mutex);
  return due_us;
}

static void retry_at(struct cox_kept *kept, int64_t at_us) {
  cox_mutex_lock(&kept->mutex);
  kept->retry_at_us = at_us;
  cox_mutex_unlock(&kept->mutex);
}

void cox_kept_put_off(struct cox_kept *kept) { retry_at(kept, cox_clock_mono_us(kept->clock) + COX_KEPT_LOOK_MS * 1000); }
void cox_kept_hasten(struct cox_kept *kept) { retry_at(kept, 0); }

bool cox_kept_await(struct cox_kept *kept, int64_t end_us, const atomic_bool *is_left) {
  cox_mutex_lock(&kept->mutex);
  while (kept->is_open && !atomic_load(is_left) && cox_clock_mono_us(cox_clock_system()) < end_us) {
    cox_cond_wait_us(&kept->answered, &kept->mutex, SLICE_US);
  }
  const bool is_answered = !kept->is_open;
  cox_mutex_unlock(&kept->mutex);
  return is_answered;
}

bool cox_kept_is_failing(struct cox_kept *kept, struct cox_err *err) {
  cox_mutex_lock(&kept->mutex);
  const bool is_so = kept->is_failing;
  if (is_so) {
    cox_err_set(err, COX_EDEGRADED, "the choice of scripts is not stored: a start would not know of it. It is tried again until it is; the reason: %.500s",
                kept->why);
  }
  cox_mutex_unlock(&kept->mutex);
  return is_so;
}
