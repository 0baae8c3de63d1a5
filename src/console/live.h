/* The live view of `demo` and `nodes --watch`: on a terminal it is redrawn in place, anywhere else it prints lines. */
#ifndef COX_CONSOLE_LIVE_H
#define COX_CONSOLE_LIVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cox_live;

/* Draws to `fd`, which it borrows. NULL: out of memory. */
struct cox_live *cox_live_create(int fd);
/* Shows nodes ([{"node","state"}], cox_broker_nodes_json) and world (cox_broker_world_json; NULL: not told); borrows both.
 * `now_ms` is the wall clock. One write for each frame, so that nothing flickers. False: nobody reads `fd` any more.        */
bool cox_live_update(struct cox_live *live, json_t *nodes, const json_t *world, int64_t now_ms);
/* Something else is written below: the last frame stays on the screen, and the next one begins below that. */
void cox_live_leave(struct cox_live *live);
/* Leaves the last frame on the screen, with the cursor below it. */
void cox_live_destroy(struct cox_live *live);

#endif
