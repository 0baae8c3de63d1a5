#include "core/lease_tree.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 4, LINE_BYTES = 64 };

void cox_tree_fini(struct cox_lease_tree *tree) {
  free(tree->match);
  free(tree->places);
  free(tree->freed);
  *tree = (struct cox_lease_tree){0};
}

static uint64_t least_of(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  const uint64_t low = a < b ? a : b, high = c < d ? c : d;
  return low < high ? low : high;
}

/* Of four siblings. */
static struct cox_tree_match best_of(const struct cox_tree_match *four) {
  const uint64_t key = least_of(four[0].key, four[1].key, four[2].key, four[3].key);
  uint32_t ties = 0;
  for (int i = 0; i < WAYS; i++) ties += four[i].key == key ? four[i].ties : 0;
  return (struct cox_tree_match){key, ties};
}

static struct cox_tree_match best_of_places(const struct cox_tree_place *four) {
  const uint64_t key = least_of(four[0].key, four[1].key, four[2].key, four[3].key);
  uint32_t ties = 0;
  for (int i = 0; i < WAYS; i++) ties += four[i].key == key;
  return (struct cox_tree_match){key, key != COX_TREE_NONE ? ties : 0};
}

static void sum_up(struct cox_lease_tree *tree) {
  const uint32_t last = tree->capacity / WAYS;
  for (uint32_t i = 0; i < last; i++) tree->match[last + i] = best_of_places(&tree->places[WAYS * i]);
  for (uint32_t level = last / WAYS; level > 0; level /= WAYS) {
    for (uint32_t i = level; i < 2 * level; i++) tree->match[i] = best_of(&tree->match[WAYS * i]);
  }
}

static bool grow(struct cox_lease_tree *tree) {
  const uint32_t old = tree->capacity, capacity = old == 0 ? WAYS : old * WAYS;
  struct cox_lease_tree fresh = {.capacity = capacity, .used = tree->used, .frees = tree->frees};
  const size_t matches = capacity / 2 < WAYS ? WAYS : capacity / 2; /* as many bytes as whole lines have */
  fresh.match = aligned_alloc(LINE_BYTES, matches * sizeof *fresh.match);
  fresh.places = aligned_alloc(LINE_BYTES, capacity * sizeof *fresh.places);
  fresh.freed = malloc(capacity * sizeof *fresh.freed);
  if (fresh.match == NULL || fresh.places == NULL || fresh.freed == NULL) {
    cox_tree_fini(&fresh);
    return false;
  }
  if (old > 0) memcpy(fresh.places, tree->places, old * sizeof *fresh.places);
  if (tree->frees > 0) memcpy(fresh.freed, tree->freed, tree->frees * sizeof *fresh.freed);
  for (uint32_t i = old; i < capacity; i++) fresh.places[i] = (struct cox_tree_place){COX_TREE_NONE, NULL};
  sum_up(&fresh);
  cox_tree_fini(tree);
  *tree = fresh;
  return true;
}

uint32_t cox_tree_insert(struct cox_lease_tree *tree, void *item) {
  if (tree->frees == 0 && tree->used == tree->capacity && !grow(tree)) return UINT32_MAX;
  const uint32_t place = tree->frees > 0 ? tree->freed[--tree->frees] : tree->used++;
  tree->places[place].item = item;
  return place;
}

void cox_tree_remove(struct cox_lease_tree *tree, uint32_t place) {
  cox_tree_set(tree, place, COX_TREE_NONE);
  tree->places[place].item = NULL;
  tree->freed[tree->frees++] = place;
}

void cox_tree_set(struct cox_lease_tree *tree, uint32_t place, uint64_t key) {
  assert(place < tree->capacity);
  struct cox_tree_match *const match = tree->match;
  if (tree->places[place].key == key) return;
  tree->places[place].key = key;
  uint32_t i = (tree->capacity + place) / WAYS;
  match[i] = best_of_places(&tree->places[place / WAYS * WAYS]);
  for (i /= WAYS; i > 0; i /= WAYS) match[i] = best_of(&match[WAYS * i]);
}

uint64_t cox_tree_key(const struct cox_lease_tree *tree, uint32_t place) { return tree->places[place].key; }

struct cox_tree_match cox_tree_least(const struct cox_lease_tree *tree) {
  return tree->capacity > 0 ? tree->match[1] : (struct cox_tree_match){COX_TREE_NONE, 0};
}

/* Without branches: which way it goes is chance, so no processor could foresee it. */
void *cox_tree_nth(const struct cox_lease_tree *tree, uint32_t n) {
  const struct cox_tree_match *const match = tree->match;
  const uint64_t key = match[1].key;
  uint32_t i = 1;
  while (i < tree->capacity / WAYS) {
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
  const struct cox_tree_place *const four = &tree->places[WAYS * i - tree->capacity];
  uint32_t way = 0;
  for (uint32_t sum = 0, k = 0; k < WAYS - 1; k++) {
    sum += four[k].key == key;
    way += n >= sum;
  }
  return four[way].item;
}

void *cox_tree_at(const struct cox_lease_tree *tree, uint32_t place) { return place < tree->capacity ? tree->places[place].item : NULL; }
