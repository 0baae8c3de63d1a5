/* "did you mean": the nearest of the known words, when it is near enough. */
#ifndef COX_CONSOLE_SUGGEST_H
#define COX_CONSOLE_SUGGEST_H

#include <stddef.h>

struct cox_suggestion {
  const char *word; /* what was typed */
  const char *best; /* NULL: nothing near */
  size_t distance;
};

/* Letters to change, add, leave out or swap with their neighbour; words over 32 bytes are far from everything. */
size_t cox_suggest_distance(const char *left, const char *right);
void cox_suggest_offer(struct cox_suggestion *suggestion, const char *known);

#endif
