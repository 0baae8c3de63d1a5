/* Where the network stands, read from the world of the broker (cox_broker_world_json). Absent fields are allowed: before
 * the first block the world is empty, and without an epoch there is no phase.                                              */
#ifndef COX_CONSOLE_PHASE_VIEW_H
#define COX_CONSOLE_PHASE_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cox_phase_view {
  bool has_block, has_epoch, is_synced;
  const char *phase, *command; /* borrowed; "" when unknown or none is due */
  int64_t height, epoch;
  bool has_first, has_next;
  int64_t first, next;   /* first block of this stretch, first block of the next one */
  const char *next_name; /* what begins there: a phase's name */
};

void cox_phase_view_read(const json_t *world, struct cox_phase_view *out);
/* A stage's block height ("poc_generation_end"); false: not known. */
bool cox_phase_view_stage(const json_t *world, const char *name, int64_t *height);

#endif
