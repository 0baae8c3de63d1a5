#include "sim/chain_accept.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* SHA-1 (FIPS 180-4) of at most 119 bytes: two blocks. It guards nothing here, it only shows that the server knows the protocol;
 * for that a library is not worth its weight.                                                                                  */
enum { BLOCK_BYTES = 64, DIGEST_BYTES = 20, KEY_LENGTH = 24 };

static uint32_t rotate(uint32_t value, int count) { return (value << count) | (value >> (32 - count)); }

static void take_block(uint32_t state[5], const uint8_t block[BLOCK_BYTES]) {
  uint32_t w[80];
  for (int i = 0; i < 16; i++) {
    w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
  }
  for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (int i = 0; i < 80; i++) {
    uint32_t f = b ^ c ^ d, k = 0xCA62C1D6;
    if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
    else if (i < 40) k = 0x6ED9EBA1;
    else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
    const uint32_t next = rotate(a, 5) + f + e + k + w[i];
    e = d, d = c, c = rotate(b, 30), b = a, a = next;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

static void sha1(const char *text, size_t length, uint8_t digest[DIGEST_BYTES]) {
  uint8_t padded[2 * BLOCK_BYTES] = {0};
  const size_t bytes = length + 9 <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
  memcpy(padded, text, length);
  padded[length] = 0x80;
  padded[bytes - 2] = (uint8_t)(length * 8 >> 8);
  padded[bytes - 1] = (uint8_t)(length * 8);
  uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  for (size_t at = 0; at < bytes; at += BLOCK_BYTES) take_block(state, padded + at);
  for (int i = 0; i < DIGEST_BYTES; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 20 bytes are 27 characters and one "=". */
static void base64(const uint8_t digest[DIGEST_BYTES], char out[COX_CHAIN_ACCEPT_BYTES]) {
  for (int i = 0, k = 0; i < DIGEST_BYTES; i += 3) {
    const uint32_t triple = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | (i + 2 < DIGEST_BYTES ? digest[i + 2] : 0);
    for (int shift = 18; shift >= 0; shift -= 6) out[k++] = alphabet[triple >> shift & 63];
  }
  out[27] = '=';
  out[28] = '\0';
}

bool cox_chain_accept(const char *key, char out[COX_CHAIN_ACCEPT_BYTES]) {
  if (strlen(key) != KEY_LENGTH || strspn(key, alphabet) != KEY_LENGTH - 2 || strcmp(key + KEY_LENGTH - 2, "==") != 0) return false;
  char text[KEY_LENGTH + 37];
  const int length = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  uint8_t digest[DIGEST_BYTES];
  sha1(text, (size_t)length, digest);
  base64(digest, out);
  return true;
}
