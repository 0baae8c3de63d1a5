/* Values that many nodes have and few look at, kept as their text: a seventh of what the value itself takes in memory. */
#ifndef COX_CORE_PACKED_H
#define COX_CORE_PACKED_H

#include <jansson.h>

/* Takes `value` (may be NULL); a string with its text. The value as it is when there is no memory for that. */
json_t *cox_packed(json_t *value);
/* The value again, a new reference. NULL: there was none, or out of memory. */
json_t *cox_unpacked(json_t *packed);

#endif
