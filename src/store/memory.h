/* A store that forgets at the end of the process: for `store = ":memory:"`, the demo and tests. */
#ifndef COX_STORE_MEMORY_H
#define COX_STORE_MEMORY_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "core/store.h"

enum { COX_STORE_MEMORY_RECORDS = 16384 }; /* records kept for readers; older ones are dropped */

struct cox_store_memory;

/* NULL with the reason in `err`. */
struct cox_store_memory *cox_store_memory_create(struct cox_err *err);
void cox_store_memory_destroy(struct cox_store_memory *memory);
/* The core's interface to it; valid until destroy. Its `close` does nothing: destroy frees. */
const struct cox_store *cox_store_memory_store(struct cox_store_memory *memory);

#endif
