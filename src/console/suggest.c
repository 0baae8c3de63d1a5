#include "console/suggest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { WORD_MAX = 32 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t cox_suggest_distance(const char *left, const char *right) {
  const size_t m = strlen(left), n = strlen(right);
  if (m > WORD_MAX || n > WORD_MAX) return SIZE_MAX;
  size_t rows[WORD_MAX + 1][WORD_MAX + 1]; /* optimal string alignment: a swap of neighbours counts once */
  for (size_t i = 0; i <= m; i++) {
    for (size_t k = 0; k <= n; k++) {
      if (i == 0 || k == 0) {
        rows[i][k] = i + k;
        continue;
      }
      const size_t changed = rows[i - 1][k - 1] + (left[i - 1] != right[k - 1]);
      rows[i][k] = least(changed, least(rows[i - 1][k], rows[i][k - 1]) + 1);
      const int is_swap = i > 1 && k > 1 && left[i - 1] == right[k - 2] && left[i - 2] == right[k - 1];
      if (is_swap) rows[i][k] = least(rows[i][k], rows[i - 2][k - 2] + 1);
    }
  }
  return rows[m][n];
}

void cox_suggest_offer(struct cox_suggestion *suggestion, const char *known) {
  const size_t length = strlen(suggestion->word);
  if (length == 0) return;
  const bool is_beginning = length >= 2 && strncmp(suggestion->word, known, length) == 0;
  const size_t distance = is_beginning ? 1 : cox_suggest_distance(suggestion->word, known);
  if (distance > 2 || distance * 2 > length) return;
  if (suggestion->best != NULL && distance >= suggestion->distance) return;
  suggestion->best = known;
  suggestion->distance = distance;
}
