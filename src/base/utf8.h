/* UTF-8 as readers of JSON take it: nothing overlong, no halves of UTF-16 pairs, nothing above U+10FFFF. */
#ifndef COX_BASE_UTF8_H
#define COX_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the character at `text`, of which there are `left` bytes (or fewer, and a NUL); 0: it is none. */
static inline size_t cox_utf8_bytes(const char *text, size_t left) {
  const unsigned char *const p = (const unsigned char *)text;
  const size_t bytes = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
  if (bytes > left) return 0;
  for (size_t i = 1; i < bytes; i++) {
    if ((p[i] & 0xc0) != 0x80) return 0;
  }
  if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)) return 0;
  if ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) return 0;
  return bytes;
}

#endif
