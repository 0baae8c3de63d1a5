/* Which of many numbered places has the least key, and a random one of those that share it: a tournament tree of four branches, so
 * that the siblings of a level share one line of the cache. Setting a key and drawing cost O(log n); nothing is ever scanned.    */
#ifndef COX_CORE_LEASE_TREE_H
#define COX_CORE_LEASE_TREE_H

#include <stddef.h>
#include <stdint.h>

#define COX_TREE_NONE UINT64_MAX /* key of a place that cannot be drawn */

struct cox_lease_tree {
  struct cox_tree_match {
    uint64_t key;  /* least below here */
    uint32_t ties; /* places below that have it; 0 with COX_TREE_NONE */
  } * match;       /* [1] is the root, [4i] … [4i + 3] are below [i]; below the last level, at [capacity / 4], are the places */
  struct cox_tree_place {
    uint64_t key;
    void *item;    /* NULL: free. Beside its key, so that a draw among thousands fetches one line for both */
  } * places;      /* `capacity` of them, a power of 4 */
  uint32_t capacity, used;
  uint32_t *freed; /* places given back */
  uint32_t frees;
};

/* Zeroed is empty. */
void cox_tree_fini(struct cox_lease_tree *tree);
/* A place for the item, with key COX_TREE_NONE; UINT32_MAX: out of memory. */
uint32_t cox_tree_insert(struct cox_lease_tree *tree, void *item);
void cox_tree_remove(struct cox_lease_tree *tree, uint32_t place);
void cox_tree_set(struct cox_lease_tree *tree, uint32_t place, uint64_t key);
uint64_t cox_tree_key(const struct cox_lease_tree *tree, uint32_t place);
/* Least key and how many have it. */
struct cox_tree_match cox_tree_least(const struct cox_lease_tree *tree);
/* The n-th of those with the least key, n < ties. */
void *cox_tree_nth(const struct cox_lease_tree *tree, uint32_t n);
/* The item at a place, NULL: none. */
void *cox_tree_at(const struct cox_lease_tree *tree, uint32_t place);

#endif
