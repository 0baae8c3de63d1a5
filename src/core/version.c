#include "core/version.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { DIGITS_MAX = 9 };

/* Reads the numbers; returns what stands behind them, or NULL: no version. */
static const char *read_numbers(const char *text, uint32_t number[3]) {
  number[0] = number[1] = number[2] = 0;
  if (*text == 'v' || *text == 'V') text++;
  for (int i = 0; i < 3; i++) {
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX) return NULL;
    for (size_t k = 0; k < digits; k++) number[i] = number[i] * 10 + (uint32_t)(text[k] - '0');
    text += digits;
    if (*text != '.' || i == 2) break;
    text++;
  }
  return text;
}

static bool is_tail(const char *text) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
  if (*text == '-') {
    const size_t len = strspn(text + 1, letters);
    if (len == 0) return false;
    text += 1 + len;
  }
  if (*text == '+') {
    const size_t len = strspn(text + 1, letters);
    if (len == 0) return false;
    text += 1 + len;
  }
  return *text == '\0';
}

bool cox_version_is_good(const char *text) {
  uint32_t number[3];
  const char *const tail = read_numbers(text, number);
  return tail != NULL && is_tail(tail);
}

static int compare_numbers(uint64_t left, uint64_t right) { return (left > right) - (left < right); }

/* One identifier of a pre-release: numbers by value and below words, words by their bytes (semver 11.4). */
static int compare_part(const char *left, size_t left_len, const char *right, size_t right_len) {
  const bool is_left = strspn(left, "0123456789") >= left_len, is_right = strspn(right, "0123456789") >= right_len;
  if (is_left != is_right) return is_left ? -1 : 1;
  if (is_left) {
    while (left_len > 1 && *left == '0') left++, left_len--;
    while (right_len > 1 && *right == '0') right++, right_len--;
    if (left_len != right_len) return left_len < right_len ? -1 : 1;
  }
  const int order = strncmp(left, right, left_len < right_len ? left_len : right_len);
  return order != 0 ? order : compare_numbers(left_len, right_len);
}

static int compare_pre(const char *left, const char *right) {
  for (;;) {
    const size_t left_len = strcspn(left, ".+"), right_len = strcspn(right, ".+");
    const int order = compare_part(left, left_len, right, right_len);
    if (order != 0) return order;
    left += left_len;
    right += right_len;
    if (*left != '.' || *right != '.') return (*left == '.') - (*right == '.');
    left++;
    right++;
  }
}

int cox_version_compare(const char *left, const char *right) {
  uint32_t left_number[3], right_number[3];
  const char *const left_tail = read_numbers(left, left_number), *const right_tail = read_numbers(right, right_number);
  for (int i = 0; i < 3; i++) {
    const int order = compare_numbers(left_number[i], right_number[i]);
    if (order != 0) return order;
  }
  const bool is_left = *left_tail == '-', is_right = *right_tail == '-'; /* a pre-release is below its release */
  if (!is_left || !is_right) return (int)is_right - (int)is_left;
  return compare_pre(left_tail + 1, right_tail + 1);
}

bool cox_version_serves(const char *has, const char *wanted, bool accepts_earlier) {
  if (wanted == NULL) return true;
  if (has == NULL) return false;
  if (strcmp(has, wanted) == 0) return true;
  if (!cox_version_is_good(has) || !cox_version_is_good(wanted)) return false;
  const int order = cox_version_compare(has, wanted);
  return order == 0 || (accepts_earlier && order < 0);
}
