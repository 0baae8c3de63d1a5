/* Seeded chance (xoshiro256**, Blackman and Vigna 2018, public domain algorithm). Not for secrets. */
#ifndef COX_BASE_RNG_H
#define COX_BASE_RNG_H

#include <stdint.h>

struct cox_rng {
  uint64_t state[4];
};

void cox_rng_init(struct cox_rng *rng, uint64_t seed);
/* Seed from the system's entropy. */
uint64_t cox_rng_system_seed(void);
uint64_t cox_rng_next(struct cox_rng *rng);
/* Uniform in [0, bound); bound 0 gives 0. */
uint64_t cox_rng_below(struct cox_rng *rng, uint64_t bound);
/* Uniform in [0, 1). */
double cox_rng_unit(struct cox_rng *rng);

#endif
