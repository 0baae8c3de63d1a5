#include "core/attempt.h"

#include <stdlib.h>

struct cox_attempt *cox_attempt_create(enum cox_attempt_kind kind) {
  struct cox_attempt *const attempt = calloc(1, sizeof *attempt);
  if (attempt != NULL) attempt->kind = kind;
  return attempt;
}

void cox_attempt_destroy(struct cox_attempt *attempt) {
  if (attempt == NULL) return;
  json_decref(attempt->node);
  json_decref(attempt->memory);
  cox_target_release(attempt->target);
  cox_target_release(attempt->applied);
  json_decref(attempt->result.memory);
  free(attempt->result.error);
  free(attempt->result.seen_model);
  free(attempt);
}
