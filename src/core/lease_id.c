#include "core/lease_id.h"

void cox_mint_init(struct cox_lease_mint *mint, uint32_t start, void (*random)(void *ctx, void *bytes, size_t count), void *ctx) {
  *mint = (struct cox_lease_mint){.start = start};
  random(ctx, &mint->name, sizeof mint->name);
  random(ctx, &mint->check, sizeof mint->check);
}

static uint32_t check_of(const struct cox_lease_mint *mint, uint64_t name) { return (uint32_t)cox_siphash_word(&mint->check, name); }

struct cox_lease_id cox_mint_id(const struct cox_lease_mint *mint, uint64_t number) {
  const uint64_t name = cox_siphash_word(&mint->name, number);
  return (struct cox_lease_id){(uint64_t)mint->start << 32 | name >> 32, name << 32 | check_of(mint, name)};
}

bool cox_mint_is_own(const struct cox_lease_mint *mint, struct cox_lease_id id) {
  return cox_lease_id_start(id) == mint->start && (uint32_t)id.low == check_of(mint, id.high << 32 | id.low >> 32);
}

uint32_t cox_lease_id_start(struct cox_lease_id id) { return (uint32_t)(id.high >> 32); }

void cox_lease_id_format(struct cox_lease_id id, char out[COX_LEASE_ID_TEXT]) {
  static const char digits[] = "0123456789abcdef";
  for (int i = 0; i < 16; i++) {
    out[i] = digits[id.high >> (60 - 4 * i) & 15];
    out[16 + i] = digits[id.low >> (60 - 4 * i) & 15];
  }
  out[32] = '\0';
}

static int digit_of(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

bool cox_lease_id_parse(const char *text, struct cox_lease_id *out) {
  uint64_t half[2] = {0, 0};
  for (int i = 0; i < 32; i++) {
    const int digit = digit_of(text[i]); /* the end of the text is no digit */
    if (digit < 0) return false;
    half[i / 16] = half[i / 16] << 4 | (uint64_t)digit;
  }
  if (text[32] != '\0') return false;
  *out = (struct cox_lease_id){half[0], half[1]};
  return true;
}
