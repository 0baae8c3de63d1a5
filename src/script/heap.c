#include "script/heap.h"

#include <stdlib.h>

/* Stands before each block; as large as the strictest alignment asks. */
struct cox_heap_block {
  _Alignas(max_align_t) struct cox_heap_block *previous;
  struct cox_heap_block *next;
};

static void link_block(struct cox_heap *heap, struct cox_heap_block *block) {
  block->previous = NULL;
  block->next = heap->first;
  if (heap->first != NULL) heap->first->previous = block;
  heap->first = block;
}

static void unlink_block(struct cox_heap *heap, const struct cox_heap_block *block) {
  if (block->previous != NULL) block->previous->next = block->next;
  else heap->first = block->next;
  if (block->next != NULL) block->next->previous = block->previous;
}

/* It has moved: its neighbours follow. */
static void relink_block(struct cox_heap *heap, struct cox_heap_block *block) {
  if (block->previous != NULL) block->previous->next = block;
  else heap->first = block;
  if (block->next != NULL) block->next->previous = block;
}

void *cox_heap_resize(struct cox_heap *heap, void *old, size_t new_size) {
  struct cox_heap_block *const block = old != NULL ? (struct cox_heap_block *)old - 1 : NULL;
  if (new_size == 0) {
    if (block == NULL) return NULL;
    unlink_block(heap, block);
    free(block);
    return NULL;
  }
  struct cox_heap_block *const fresh = realloc(block, sizeof *fresh + new_size);
  if (fresh == NULL) return NULL;
  if (block == NULL) link_block(heap, fresh);
  else relink_block(heap, fresh);
  return fresh + 1;
}

void cox_heap_fini(struct cox_heap *heap) {
  for (struct cox_heap_block *block = heap->first, *next; block != NULL; block = next) {
    next = block->next;
    free(block);
  }
  heap->first = NULL;
}
