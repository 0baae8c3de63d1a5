/* Names of leases: 128 bits that carry the start number of the process which gave them out (32), and 96 that nobody can guess.
 *
 * Of the 96, 64 are a keyed hash of a counter and 32 a keyed hash over everything before: so the process recognises what it gave
 * out without keeping it. An id that is its own and not alive has ended; a made-up one is unknown. The keys are secrets of the
 * process, drawn once from the source of randomness.                                                                            */
#ifndef COX_CORE_LEASE_ID_H
#define COX_CORE_LEASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

struct cox_lease_id {
  uint64_t high, low; /* start number, 32 bits of the name | 32 bits of the name, check */
};

enum { COX_LEASE_ID_TEXT = 33 };

struct cox_lease_mint {
  struct cox_siphash_key name, check;
  uint32_t start;
};

void cox_mint_init(struct cox_lease_mint *mint, uint32_t start, void (*random)(void *ctx, void *bytes, size_t count), void *ctx);
/* The one of that number, which is given out once. */
struct cox_lease_id cox_mint_id(const struct cox_lease_mint *mint, uint64_t number);
/* Did this process give it out? */
bool cox_mint_is_own(const struct cox_lease_mint *mint, struct cox_lease_id id);

uint32_t cox_lease_id_start(struct cox_lease_id id);
/* 32 lower-case hex digits. */
void cox_lease_id_format(struct cox_lease_id id, char out[COX_LEASE_ID_TEXT]);
/* Either case; false: not 32 hex digits. */
bool cox_lease_id_parse(const char *text, struct cox_lease_id *out);
static inline bool cox_lease_id_equal(struct cox_lease_id left, struct cox_lease_id right) {
  return left.high == right.high && left.low == right.low;
}

#endif
