#include "core/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/packed.h"

static const char *const names[COX_RECORD_KINDS] = {
    [COX_RECORD_START] = "start",       [COX_RECORD_STORE] = "store",     [COX_RECORD_COMMAND] = "command",
    [COX_RECORD_RELOAD] = "reload",     [COX_RECORD_NOTE] = "note",       [COX_RECORD_GAP] = "gap",
    [COX_RECORD_STATUS] = "status",     [COX_RECORD_ATTEMPT] = "attempt", [COX_RECORD_REGISTER] = "register",
    [COX_RECORD_UPDATE] = "update",     [COX_RECORD_REMOVE] = "remove",   [COX_RECORD_ADMIN] = "admin",
    [COX_RECORD_TARGET] = "target",     [COX_RECORD_EPISODE] = "episode", [COX_RECORD_DRIVER] = "driver",
    [COX_RECORD_FREED] = "freed",       [COX_RECORD_COUNTER] = "counter", [COX_RECORD_RESET] = "reset",
    [COX_RECORD_KEEP] = "keep",
};

const char *cox_record_kind_name(enum cox_record_kind kind) { return names[kind]; }

bool cox_record_kind_is_known(const char *name) {
  for (int kind = 0; kind < COX_RECORD_KEEP; kind++) {
    if (strcmp(names[kind], name) == 0) return true;
  }
  return false;
}

struct cox_record *cox_record_create(enum cox_record_kind kind, json_t *node_id) {
  struct cox_record *const record = malloc(sizeof *record);
  if (record == NULL) return NULL;
  memset(record, 0, sizeof *record);
  atomic_init(&record->references, 1);
  record->kind = kind;
  record->node_id = json_incref(node_id);
  return record;
}

struct cox_record *cox_record_hold(struct cox_record *record) {
  atomic_fetch_add_explicit(&record->references, 1, memory_order_relaxed);
  return record;
}

void cox_record_release(struct cox_record *record) {
  if (record == NULL || atomic_fetch_sub_explicit(&record->references, 1, memory_order_acq_rel) != 1) return;
  json_decref(record->node_id);
  json_decref(record->fields);
  json_decref(record->attempt.error);
  json_decref(record->status.reason);
  json_decref(record->driver.memory);
  free(record->command.name);
  free(record->command.why);
  cox_target_release(record->driver.applied);
  cox_target_release(record->target);
  free(record);
}

bool cox_record_is_state(const struct cox_record *record) {
  return record->kind >= COX_RECORD_REGISTER || (record->kind == COX_RECORD_ATTEMPT && record->has_driver);
}

bool cox_record_set(struct cox_record *record, const char *key, json_t *value) {
  if (record->fields == NULL) record->fields = json_object();
  if (record->fields == NULL) {
    json_decref(value);
    return false;
  }
  return json_object_set_new_nocheck(record->fields, key, value) == 0;
}

static void set_text(json_t *object, const char *key, const char *text) {
  json_object_set_new_nocheck(object, key, json_string_nocheck(text));
}

static void set_number(json_t *object, const char *key, int64_t number) {
  json_object_set_new_nocheck(object, key, json_integer(number));
}

json_t *cox_driver_part_json(const struct cox_driver_part *part) {
  json_t *const object = json_object();
  if (part->applied != NULL) json_object_set_new_nocheck(object, "applied", cox_target_json(part->applied, false));
  if (part->memory != NULL) json_object_set_new_nocheck(object, "memory", cox_unpacked(part->memory));
  if (part->unanswered.call[0] != '\0') {
    json_t *const unanswered = json_object();
    set_text(unanswered, "call", part->unanswered.call);
    set_number(unanswered, "at_ms", part->unanswered.at_ms);
    set_number(unanswered, "era", (int64_t)part->unanswered.mark.era);
    set_number(unanswered, "at_us", part->unanswered.mark.at_us);
    json_object_set_new_nocheck(object, "unanswered", unanswered);
  }
  return object;
}

/* That the reason is not told for want of memory breaks nothing. */
void cox_record_end(struct cox_record *record, enum cox_outcome outcome, const char *why) {
  free(record->command.why);
  record->command.why = why != NULL ? strdup(why) : NULL;
  record->command.outcome = outcome;
}

static void add_command(const struct cox_record *record, json_t *object) {
  static const char *const outcomes[] = {[COX_ANSWER_DONE] = "done", [COX_ANSWER_SKIPPED] = "skipped", [COX_ANSWER_ERROR] = "error"};
  json_object_set_new_nocheck(object, "name", json_string(record->command.name)); /* checked: texts may come from outside */
  json_object_set_new_nocheck(object, "caller", json_string(record->command.caller));
  set_text(object, "outcome", outcomes[record->command.outcome]);
  if (record->command.why == NULL) return;
  json_object_set_new_nocheck(object, record->command.outcome == COX_ANSWER_ERROR ? "error" : "reason", json_string(record->command.why));
}

static void add_attempt(const struct cox_record *record, json_t *object) {
  const struct cox_fence *const fence = &record->fence;
  json_t *const shown = json_object();
  set_number(shown, "term", (int64_t)fence->term);
  set_number(shown, "registration", (int64_t)fence->registration);
  set_number(shown, "generation", (int64_t)fence->generation);
  set_number(shown, "attempt", (int64_t)fence->attempt);
  json_object_set_new_nocheck(object, "fence", shown);
  if (record->target != NULL) {
    set_text(object, "status", cox_status_name(record->target->status));
    set_text(object, "poc_status", cox_poc_name(record->target->poc));
  }
  set_text(object, "outcome", record->attempt.class_ == COX_CLASS_NONE ? "succeeded" : cox_class_name(record->attempt.class_));
  set_number(object, "duration_ms", record->attempt.duration_ms);
  if (record->attempt.is_outdated) json_object_set_new_nocheck(object, "outdated", json_true());
  if (record->attempt.error != NULL) json_object_set_nocheck(object, "error", record->attempt.error);
}

static void add_status(const struct cox_record *record, json_t *object) {
  set_text(object, "from", cox_status_name(record->status.from));
  set_text(object, "to", cox_status_name(record->status.to));
  set_text(object, "poc_from", cox_poc_name(record->status.from_poc));
  set_text(object, "poc_to", cox_poc_name(record->status.to_poc));
  set_text(object, "by", record->status.is_probe ? "probe" : "attempt");
  if (record->status.reason != NULL) json_object_set_nocheck(object, "reason", record->status.reason);
}

static void add_target(const struct cox_record *record, json_t *object) {
  set_number(object, "generation", (int64_t)record->fence.generation);
  json_object_set_new_nocheck(object, "target", cox_target_json(record->target, true));
}

json_t *cox_record_json(const struct cox_record *record) {
  char time[COX_CLOCK_TEXT];
  json_t *const object = json_object();
  if (object == NULL) return NULL;
  cox_clock_format(record->wall_ms, time);
  set_number(object, "seq", (int64_t)record->seq);
  set_text(object, "time", time);
  set_text(object, "kind", names[record->kind]);
  if (record->node_id != NULL) json_object_set_nocheck(object, "node_id", record->node_id);
  if (record->kind == COX_RECORD_COMMAND) add_command(record, object);
  if (record->kind == COX_RECORD_ATTEMPT) add_attempt(record, object);
  if (record->kind == COX_RECORD_STATUS) add_status(record, object);
  if (record->kind == COX_RECORD_TARGET) add_target(record, object);
  if (record->has_driver) json_object_set_new_nocheck(object, "driver", cox_driver_part_json(&record->driver));
  if (record->fields != NULL) json_object_update(object, record->fields);
  return object;
}
