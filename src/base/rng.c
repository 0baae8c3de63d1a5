#include "base/rng.h"

#include <sys/random.h>
#include <time.h>

/* splitmix64: spreads one word of seed over the whole state (Steele, Lea and Flood 2014). */
static uint64_t splitmix(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

void cox_rng_init(struct cox_rng *rng, uint64_t seed) {
  for (int i = 0; i < 4; i++) rng->state[i] = splitmix(&seed);
}

uint64_t cox_rng_system_seed(void) {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) seed = (uint64_t)time(NULL);
  return seed;
}

static uint64_t rotate(uint64_t value, int count) { return (value << count) | (value >> (64 - count)); }

uint64_t cox_rng_next(struct cox_rng *rng) {
  uint64_t *const s = rng->state;
  const uint64_t result = rotate(s[1] * 5, 7) * 9;
  const uint64_t shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate(s[3], 45);
  return result;
}

uint64_t cox_rng_below(struct cox_rng *rng, uint64_t bound) { return bound == 0 ? 0 : cox_rng_next(rng) % bound; }

double cox_rng_unit(struct cox_rng *rng) { return (double)(cox_rng_next(rng) >> 11) * 0x1.0p-53; }
