#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill(struct cox_err *err, int code, const char *file, int line, const char *format, va_list args) {
  err->code = code;
  err->line = line;
  snprintf(err->file, sizeof err->file, "%s", file != NULL ? file : "");
  vsnprintf(err->text, sizeof err->text, format, args);
}

int cox_err_set(struct cox_err *err, int code, const char *format, ...) {
  if (err != NULL) {
    va_list args;
    va_start(args, format);
    fill(err, code, NULL, 0, format, args);
    va_end(args);
  }
  return code;
}

int cox_err_at(struct cox_err *err, int code, const char *file, int line, const char *format, ...) {
  if (err != NULL) {
    va_list args;
    va_start(args, format);
    fill(err, code, file, line, format, args);
    va_end(args);
  }
  return code;
}

enum { LOOKED_AT_MAX = 64 }; /* the newest: what is the same comes from the same files */

static bool is_equal(const struct cox_err *left, const struct cox_err *right) {
  return left->line == right->line && strcmp(left->file, right->file) == 0 && strcmp(left->text, right->text) == 0;
}

void cox_faults_add(struct cox_faults *faults, const char *file, int line, const char *format, ...) {
  if (faults == NULL) return;
  if (faults->count == faults->capacity) {
    const size_t capacity = faults->capacity == 0 ? 8 : faults->capacity * 2;
    struct cox_err *list = realloc(faults->list, capacity * sizeof *list);
    if (list == NULL) return;
    faults->list = list;
    faults->capacity = capacity;
  }
  va_list args;
  va_start(args, format);
  struct cox_err *const fresh = &faults->list[faults->count];
  fill(fresh, COX_EINVAL, file, line, format, args);
  va_end(args);
  size_t i = faults->count > LOOKED_AT_MAX ? faults->count - LOOKED_AT_MAX : 0;
  while (i < faults->count && !is_equal(&faults->list[i], fresh)) i++;
  if (i == faults->count) faults->count++;
}

void cox_faults_fini(struct cox_faults *faults) {
  free(faults->list);
  memset(faults, 0, sizeof *faults);
}
