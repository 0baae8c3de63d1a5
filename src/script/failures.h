/* When do handlers fail so often that the scripts are to be left? cox-command only. */
#ifndef COX_SCRIPT_FAILURES_H
#define COX_SCRIPT_FAILURES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/answer.h"

enum { COX_FAILURES_COMMANDS = 3, COX_FAILURES_IN_ROW = 3, COX_FAILURES_TEXT = 512 };

struct cox_failures {
  unsigned young_max;                       /* so many first calls of a generation, all failed, are enough; 0: 3 */
  uint64_t number;                          /* the generation that is counted */
  unsigned calls, failed;                   /* of its handlers; counted up to young_max */
  unsigned in_row[COX_FAILURES_COMMANDS];   /* of each phase command, at any age */
};

extern const char *const cox_failures_commands[COX_FAILURES_COMMANDS]; /* the phase commands */
bool cox_failures_is_phase_command(const char *command);

/* A handler of that generation has answered; `is_rerun`: the one that every exchange runs, which was tried before and so proves nothing
 * about a new generation. True: it is enough, and `why` says so. Only runtime errors and overruns of time or memory
 * are failures; a refusal in words is none.                                                                                        */
bool cox_failures_note(struct cox_failures *failures, uint64_t number, const char *command, bool is_rerun, const struct cox_answer *answer,
                       char why[COX_FAILURES_TEXT]);

#endif
