#include "wallet/bech32.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 90, CHECKSUM = 6 };

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* BIP-173's polynomial over GF(32), fed with one value of five bits. */
static uint32_t step(uint32_t sum, unsigned value) {
  static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
  const uint32_t top = sum >> 25;
  sum = (sum & 0x1ffffff) << 5 ^ value;
  for (unsigned i = 0; i < 5; i++) {
    if ((top >> i & 1) != 0) sum ^= generator[i];
  }
  return sum;
}

static uint32_t begin(const char *prefix) {
  uint32_t sum = 1;
  for (const char *at = prefix; *at != '\0'; at++) sum = step(sum, (unsigned char)*at >> 5);
  sum = step(sum, 0);
  for (const char *at = prefix; *at != '\0'; at++) sum = step(sum, (unsigned char)*at & 31);
  return sum;
}

static bool is_prefix(const char *prefix) {
  const size_t length = strlen(prefix);
  if (length < 1 || length > 83) return false;
  for (size_t i = 0; i < length; i++) {
    if (prefix[i] < 33 || prefix[i] > 126 || (prefix[i] >= 'A' && prefix[i] <= 'Z')) return false;
  }
  return true;
}

bool cox_bech32_encode(const char *prefix, const unsigned char *bytes, size_t count, char out[COX_BECH32_TEXT]) {
  const size_t values = (count * 8 + 4) / 5; /* of five bits, the last one filled up with zeros */
  if (!is_prefix(prefix) || strlen(prefix) + 1 + values + CHECKSUM > TEXT_MAX) return false;
  char *at = out + snprintf(out, COX_BECH32_TEXT, "%s1", prefix);
  uint32_t sum = begin(prefix);
  for (size_t i = 0; i < values; i++) {
    unsigned value = 0;
    for (size_t bit = i * 5; bit < i * 5 + 5; bit++) {
      const unsigned one = bit / 8 < count ? (unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1u : 0;
      value = value << 1 | one;
    }
    sum = step(sum, value);
    *at++ = alphabet[value];
  }
  for (unsigned i = 0; i < CHECKSUM; i++) sum = step(sum, 0);
  sum ^= 1;
  for (unsigned i = 0; i < CHECKSUM; i++) *at++ = alphabet[sum >> 5 * (5 - i) & 31];
  *at = '\0';
  return true;
}

/* Small letters, one case only, printable, within the length. */
static bool normalise(const char *text, char out[COX_BECH32_TEXT]) {
  const size_t length = strlen(text);
  bool has_small = false, has_large = false;
  if (length < 8 || length > TEXT_MAX) return false;
  for (size_t i = 0; i < length; i++) {
    const char c = text[i];
    if (c < 33 || c > 126) return false;
    has_small = has_small || (c >= 'a' && c <= 'z');
    has_large = has_large || (c >= 'A' && c <= 'Z');
    out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
  }
  out[length] = '\0';
  return !(has_small && has_large);
}

bool cox_bech32_decode(const char *text, char prefix[COX_BECH32_TEXT], unsigned char bytes[COX_BECH32_BYTES], size_t *count) {
  char small[COX_BECH32_TEXT];
  if (!normalise(text, small)) return false;
  char *const one = strrchr(small, '1');
  if (one == NULL || one == small || strlen(one + 1) < CHECKSUM) return false;
  *one = '\0';
  memcpy(prefix, small, (size_t)(one - small) + 1);
  uint32_t sum = begin(prefix);
  const size_t values = strlen(one + 1) - CHECKSUM;
  unsigned held = 0, bits = 0;
  *count = 0;
  for (size_t i = 0; i < values + CHECKSUM; i++) {
    const char *const place = strchr(alphabet, one[1 + i]);
    if (place == NULL) return false;
    const unsigned value = (unsigned)(place - alphabet);
    sum = step(sum, value);
    if (i >= values) continue;
    held = (held << 5 | value) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[(*count)++] = (unsigned char)(held >> bits);
  }
  return sum == 1 && bits < 5 && (held & ((1u << bits) - 1)) == 0;
}
