#include "core/status.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static const char *const status_names[COX_STATUS_COUNT] = {"UNKNOWN", "INFERENCE", "POC", "TRAINING", "STOPPED", "FAILED"};
static const char *const poc_names[COX_POC_COUNT] = {"IDLE", "GENERATING", "VALIDATING"};
static const char *const class_names[COX_CLASS_COUNT] = {"none",   "refused", "resolve",    "reset",  "timeout",  "conflict",
                                                         "server", "client",  "bad_answer", "script", "cancelled"};

const char *cox_status_name(enum cox_status status) {
  assert(status < COX_STATUS_COUNT);
  return status_names[status];
}

const char *cox_poc_name(enum cox_poc poc) {
  assert(poc < COX_POC_COUNT);
  return poc_names[poc];
}

const char *cox_class_name(enum cox_class class_) {
  assert(class_ < COX_CLASS_COUNT);
  return class_names[class_];
}

/* Index of `text` in `names`, or -1. */
static int find(const char *const *names, int count, const char *text) {
  for (int i = 0; text != NULL && i < count; i++) {
    if (strcmp(names[i], text) == 0) return i;
  }
  return -1;
}

bool cox_status_parse(const char *text, enum cox_status *out) {
  const int i = find(status_names, COX_STATUS_COUNT, text);
  if (i >= 0) *out = (enum cox_status)i;
  return i >= 0;
}

bool cox_poc_parse(const char *text, enum cox_poc *out) {
  const int i = find(poc_names, COX_POC_COUNT, text);
  if (i >= 0) *out = (enum cox_poc)i;
  return i >= 0;
}

bool cox_class_parse(const char *text, enum cox_class *out) {
  const int i = find(class_names, COX_CLASS_COUNT, text);
  if (i >= 0) *out = (enum cox_class)i;
  return i >= 0;
}
