#include "core/lease_tree.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 8 };

void cox_tree_fini(struct cox_lease_tree *tree) {
  free(tree->match);
  free(tree->items);
  free(tree->freed);
  *tree = (struct cox_lease_tree){0};
}

static struct cox_tree_match better(struct cox_tree_match left, struct cox_tree_match right) {
  const uint64_t key = left.key < right.key ? left.key : right.key;
  return (struct cox_tree_match){key, (left.key == key ? left.ties : 0) + (right.key == key ? right.ties : 0)};
}

static bool grow(struct cox_lease_tree *tree) {
  const uint32_t old = tree->capacity, capacity = old == 0 ? FIRST_CAPACITY : old * 2;
  struct cox_tree_match *const match = malloc(2 * (size_t)capacity * sizeof *match);
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
  for (uint32_t i = capacity - 1; i > 0; i--) match[i] = better(match[2 * i], match[2 * i + 1]);
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
  for (i /= 2; i > 0; i /= 2) match[i] = better(match[2 * i], match[2 * i + 1]);
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
    const struct cox_tree_match left = match[2 * i];
    const uint32_t ties = left.key == key ? left.ties : 0, goes_right = n >= ties;
    n -= goes_right * ties;
    i = 2 * i + goes_right;
  }
  return tree->items[i - tree->capacity];
}

void *cox_tree_at(const struct cox_lease_tree *tree, uint32_t place) { return place < tree->capacity ? tree->items[place] : NULL; }
