#include "script/failures.h"

#include <stdio.h>
#include <string.h>

enum { YOUNG_MAX = 3 };

const char *const cox_failures_commands[COX_FAILURES_COMMANDS] = {"start_poc", "init_validate", "inference_up_all"};

static bool is_failure(const struct cox_answer *answer) {
  const int code = answer->err.code;
  return answer->outcome == COX_ANSWER_ERROR && (code == COX_ESCRIPT || code == COX_ETIME || code == COX_ENOMEM);
}

static bool is_too_bad_a_start(struct cox_failures *failures, bool has_failed) {
  const unsigned max = failures->young_max != 0 ? failures->young_max : YOUNG_MAX;
  if (failures->calls >= max) return false;
  failures->calls++;
  failures->failed += has_failed;
  return failures->failed == max;
}

static unsigned *row_of(struct cox_failures *failures, const char *command) {
  for (int i = 0; i < COX_FAILURES_COMMANDS; i++) {
    if (strcmp(command, cox_failures_commands[i]) == 0) return &failures->in_row[i];
  }
  return NULL;
}

bool cox_failures_is_phase_command(const char *command) {
  for (int i = 0; i < COX_FAILURES_COMMANDS; i++) {
    if (strcmp(command, cox_failures_commands[i]) == 0) return true;
  }
  return false;
}

bool cox_failures_note(struct cox_failures *failures, uint64_t number, const char *command, bool is_rerun, const struct cox_answer *answer,
                       char why[COX_FAILURES_TEXT]) {
  if (failures->number != number) *failures = (struct cox_failures){.young_max = failures->young_max, .number = number};
  const bool has_failed = is_failure(answer), is_bad_start = !is_rerun && is_too_bad_a_start(failures, has_failed);
  unsigned *const row = row_of(failures, command);
  if (row != NULL) *row = has_failed ? *row + 1 : 0;
  if (row != NULL && *row >= COX_FAILURES_IN_ROW) {
    *row = 0;
    snprintf(why, COX_FAILURES_TEXT, "%s failed %d times in a row: %.400s", command, COX_FAILURES_IN_ROW, answer->err.text);
    return true;
  }
  if (is_bad_start) snprintf(why, COX_FAILURES_TEXT, "its first %u calls failed: %.400s", failures->calls, answer->err.text);
  return is_bad_start;
}
