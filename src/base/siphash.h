/* SipHash-2-4 (Aumasson and Bernstein 2012, CC0 reference): a keyed hash that cannot be predicted without its key. */
#ifndef COX_BASE_SIPHASH_H
#define COX_BASE_SIPHASH_H

#include <stdint.h>

struct cox_siphash_key {
  uint64_t k[2];
};

static inline uint64_t cox_siphash_rotate(uint64_t value, int count) { return (value << count) | (value >> (64 - count)); }

static inline void cox_siphash_round(uint64_t v[4]) {
  v[0] += v[1], v[1] = cox_siphash_rotate(v[1], 13) ^ v[0], v[0] = cox_siphash_rotate(v[0], 32);
  v[2] += v[3], v[3] = cox_siphash_rotate(v[3], 16) ^ v[2];
  v[0] += v[3], v[3] = cox_siphash_rotate(v[3], 21) ^ v[0];
  v[2] += v[1], v[1] = cox_siphash_rotate(v[1], 17) ^ v[2], v[2] = cox_siphash_rotate(v[2], 32);
}

/* Of one 64-bit word, in its little-endian bytes. */
static inline uint64_t cox_siphash_word(const struct cox_siphash_key *key, uint64_t word) {
  uint64_t v[4] = {key->k[0] ^ 0x736f6d6570736575ULL, key->k[1] ^ 0x646f72616e646f6dULL, key->k[0] ^ 0x6c7967656e657261ULL,
                   key->k[1] ^ 0x7465646279746573ULL};
  const uint64_t last = 8ULL << 56; /* the length of the message */
  v[3] ^= word;
  cox_siphash_round(v), cox_siphash_round(v);
  v[0] ^= word;
  v[3] ^= last;
  cox_siphash_round(v), cox_siphash_round(v);
  v[0] ^= last;
  v[2] ^= 0xff;
  for (int i = 0; i < 4; i++) cox_siphash_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
