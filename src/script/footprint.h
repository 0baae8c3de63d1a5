/* What the scripts look like from outside, in one number: it is another one after a file was written, came, went or was exchanged.
 * For looking again and again where the system cannot tell of changes by itself.                                                  */
#ifndef COX_SCRIPT_FOOTPRINT_H
#define COX_SCRIPT_FOOTPRINT_H

#include <jansson.h>
#include <stdint.h>

/* Of every *.lua that would be read from `folders` (a list of texts). Nothing is opened but folders, at most as many as are read. */
uint64_t cox_footprint_of(const json_t *folders);

#endif
