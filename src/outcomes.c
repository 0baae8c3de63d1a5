#include "outcomes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/key.h"
#include "base/clock.h"
#include "base/log.h"

static const char table[] = "idempotency";
enum { NAME_MAX_BYTES = 512 };

/* "CALLER KEY": neither has a blank in it. */
static void write_name(char name[NAME_MAX_BYTES], const char *caller, const char *key) { snprintf(name, NAME_MAX_BYTES, "%s %s", caller, key); }

static int keep(void *ctx, const struct cox_key_record *record, void (*done)(void *arg, const struct cox_err *err), void *arg) {
  char name[NAME_MAX_BYTES], fingerprint[24];
  struct cox_err err;
  write_name(name, record->caller, record->key);
  snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, record->fingerprint);
  const struct cox_mark mark = cox_clock_mark(cox_clock_system());
  json_t *const value = json_pack("{ss, sI, sI, sI, si, ss%}", "fingerprint", fingerprint, "at_ms", (json_int_t)cox_clock_wall_ms(cox_clock_system()),
                                  "era", (json_int_t)mark.era, "at_us", (json_int_t)mark.at_us, "status", (int)record->status, "body", record->body,
                                  record->body_len);
  int rc = COX_EINVAL; /* the body is no text */
  if (value != NULL) rc = cox_broker_keep(ctx, table, name, value, done, arg, &err);
  if (rc != 0) {
    cox_log(COX_LOG_WARN, "api", "the outcome of an Idempotency-Key will not survive a restart", "caller", record->caller, "key", record->key,
            "reason", value != NULL ? err.text : "it is no UTF-8", NULL);
  }
  return rc;
}

static void forget(void *ctx, const char *caller, const char *key) {
  char name[NAME_MAX_BYTES];
  write_name(name, caller, key);
  cox_broker_keep(ctx, table, name, NULL, NULL, NULL, NULL); /* when it cannot now, the next start does it */
}

/* ---- start ---- */

static int64_t number_of(const json_t *outcome, const char *key) { return (int64_t)json_integer_value(json_object_get(outcome, key)); }

/* For their order only, which the clock may have muddled: whoever forgot an outcome too early would carry its command out again. */
static int64_t at_of(const json_t *outcome) { return number_of(outcome, "at_ms"); }

struct named {
  const char *name; /* borrowed from the table */
  const json_t *outcome;
};

static int compare_ages(const void *left, const void *right) {
  const int64_t one = at_of(((const struct named *)left)->outcome), other = at_of(((const struct named *)right)->outcome);
  return (one > other) - (one < other);
}

static void restore_one(struct cox_api *api, const struct named *kept) {
  char caller[NAME_MAX_BYTES];
  const char *const blank = strchr(kept->name, ' '), *const fingerprint = json_string_value(json_object_get(kept->outcome, "fingerprint"));
  const json_t *const body = json_object_get(kept->outcome, "body");
  if (blank == NULL || fingerprint == NULL || !json_is_string(body)) return;
  const struct cox_mark mark = {.era = (uint64_t)number_of(kept->outcome, "era"), .at_us = number_of(kept->outcome, "at_us")};
  snprintf(caller, sizeof caller, "%.*s", (int)(blank - kept->name), kept->name);
  const struct cox_key_record record = {
      .caller = caller,
      .key = blank + 1,
      .fingerprint = strtoull(fingerprint, NULL, 16),
      .status = (unsigned)number_of(kept->outcome, "status"),
      .body = json_string_value(body),
      .body_len = json_string_length(body),
      .age_ms = cox_clock_since_us(cox_clock_system(), mark) / 1000,
  };
  if (record.status >= 200 && record.status < 600) cox_api_restore_outcome(api, &record);
}

/* Those that are too old, or too many, are forgotten by the API as ever. */
static void restore(void *ctx, struct cox_api *api) {
  json_t *const all = cox_broker_kept_all(ctx, table);
  struct named *const list = calloc(json_object_size(all) + 1, sizeof *list);
  size_t count = 0;
  const char *name;
  json_t *outcome;
  if (list == NULL) goto out;
  json_object_foreach(all, name, outcome) list[count++] = (struct named){name, outcome};
  qsort(list, count, sizeof *list, compare_ages);
  for (size_t i = 0; i < count; i++) restore_one(api, &list[i]);
out:
  free(list);
  json_decref(all);
}

void cox_outcomes_use(struct cox_api_options *options, struct cox_broker *broker) {
  options->keep_outcome = keep;
  options->forget_outcome = forget;
  options->restore_outcomes = restore;
  options->keep_ctx = broker;
}
