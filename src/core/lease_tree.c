#include "core/lease_tree.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 4, LINE_BYTES = 64 };

void cox_tree_fini(struct cox_lease_tree *tree) {
  free(tree->match);
  free(tree->items);
  free(tree->freed);
  *tree = (struct cox_lease_tree){0};
}

/* Of four siblings. */
static struct cox_tree_match best_of(const struct cox_tree_match *four) {
  const uint64_t low = four[0].key < four[1].key ? four[0].key : four[1].key;
  const uint64_t high = four[2].key < four[3].key ? four[2].key : four[3].key;
  const uint64_t key = low < high ? low : high;
  uint32_t ties = 0;
  for (int i = 0; i < WAYS; i++) ties += four[i].key == key ? four[i].ties : 0;
  return (struct cox_tree_match){key, ties};
}

static bool grow(struct cox_lease_tree *tree) {
  const uint32_t old = tree->capacity, capacity = old == 0 ? WAYS : old * WAYS;
  struct cox_tree_match *const match = aligned_alloc(LINE_BYTES, 2 * (size_t)capacity * sizeof *match);
  void **const items = calloc(capacity, sizeof *items);
  uint32_t *const freed = malloc(capacity * sizeof *freed);
  if (match == NULL || items == NULL || freed == NULL) {
    free(match);
    free(items);
    free(freed);
    return false;
  }
  for (uint32_t i = 0; i < capacity; i++) {
    match[capacity + i] = i < old ? tree->match[old + i] : (struct cox_tree_match){COX_TREE_NONE, 0};
  }
  for (uint32_t level = capacity / WAYS; level > 0; level /= WAYS) {
    for (uint32_t i = level; i < 2 * level; i++) match[i] = best_of(&match[WAYS * i]);
  }
  if (old > 0) memcpy(items, tree->items, old * sizeof *items);
  if (tree->frees > 0) memcpy(freed, tree->freed, tree->frees * sizeof *freed);
  const uint32_t used = tree->used, frees = tree->frees;
  cox_tree_fini(tree);
  *tree = (struct cox_lease_tree){.match = match, .items = items, .capacity = capacity, .used = used, .freed = freed, .frees = frees};
  return true;
}

uint32_t cox_tree_insert(struct cox_lease_tree *tree, void *item) {
  if (tree->frees == 0 && tree->used == tree->capacity && !grow(tree)) return UINT32_MAX;
  const uint32_t place = tree->frees > 0 ? tree->freed[--tree->frees] : tree->used++;
  tree->items[place] = item;
  return place;
}

void cox_tree_remove(struct cox_lease_tree *tree, uint32_t place) {
  cox_tree_set(tree, place, COX_TREE_NONE);
  tree->items[place] = NULL;
  tree->freed[tree->frees++] = place;
}

void cox_tree_set(struct cox_lease_tree *tree, uint32_t place, uint64_t key) {
  assert(place < tree->capacity);
  struct cox_tree_match *const match = tree->match;
  uint32_t i = tree->capacity + place;
  if (match[i].key == key) return;
  match[i] = (struct cox_tree_match){key, key != COX_TREE_NONE};
  for (i /= WAYS; i > 0; i /= WAYS) match[i] = best_of(&match[WAYS * i]);
}

uint64_t cox_tree_key(const struct cox_lease_tree *tree, uint32_t place) { return tree->match[tree->capacity + place].key; }

struct cox_tree_match cox_tree_least(const struct cox_lease_tree *tree) {
  return tree->capacity > 0 ? tree->match[1] : (struct cox_tree_match){COX_TREE_NONE, 0};
}

/* Without branches: which way it goes is chance, so no processor could foresee it. */
void *cox_tree_nth(const struct cox_lease_tree *tree, uint32_t n) {
  const struct cox_tree_match *const match = tree->match;
  const uint64_t key = match[1].key;
  uint32_t i = 1;
  while (i < tree->capacity) {
    const struct cox_tree_match *const four = &match[WAYS * i];
    uint32_t passed = 0, way = 0;
    for (uint32_t sum = 0, k = 0; k < WAYS - 1; k++) {
      sum += four[k].key == key ? four[k].ties : 0;
      way += n >= sum;
      passed = n >= sum ? sum : passed;
    }
    n -= passed;
    i = WAYS * i + way;
  }
  return tree->items[i - tree->capacity];
}

void *cox_tree_at(const struct cox_lease_tree *tree, uint32_t place) { return place < tree->capacity ? tree->items[place] : NULL; }
