#include "core/answer.h"

#include <stdlib.h>
#include <string.h>

void cox_answer_copy(struct cox_answer *to, const struct cox_answer *from) {
  *to = *from;
  to->reason = from->reason != NULL ? strdup(from->reason) : NULL;
  to->result = json_incref(from->result);
}

void cox_answer_fini(struct cox_answer *answer) {
  free(answer->reason);
  json_decref(answer->result);
  memset(answer, 0, sizeof *answer);
}

json_t *cox_answer_json(const struct cox_answer *answer) {
  static const char *const names[] = {"done", "skipped", "error"};
  json_t *const object = json_object();
  json_object_set_new(object, "status", json_string(names[answer->outcome]));
  if (answer->outcome == COX_ANSWER_SKIPPED && answer->reason != NULL) {
    json_object_set_new(object, "reason", json_string(answer->reason));
  }
  if (answer->outcome == COX_ANSWER_DONE && answer->result != NULL) json_object_set(object, "result", answer->result);
  if (answer->outcome == COX_ANSWER_ERROR) json_object_set_new(object, "error", json_string(answer->err.text));
  return object;
}
