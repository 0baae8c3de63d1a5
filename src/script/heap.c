#include "script/heap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct cox_heap_piece {
  _Alignas(max_align_t) struct cox_heap_piece *next;
};

/* Stands before each large block; as large as the strictest alignment asks. */
struct cox_heap_block {
  _Alignas(max_align_t) struct cox_heap_block *previous;
  struct cox_heap_block *next;
};

/* ---- small blocks ---- */

static bool is_small(size_t size) { return size <= COX_HEAP_SMALL_MAX; }
static size_t steps_of(size_t size) { return (size + COX_HEAP_STEP - 1) / COX_HEAP_STEP; }

static bool add_piece(struct cox_heap *heap) {
  struct cox_heap_piece *const piece = malloc(COX_HEAP_PIECE_BYTES);
  if (piece == NULL) return false;
  piece->next = heap->pieces;
  heap->pieces = piece;
  heap->next = (char *)(piece + 1);
  heap->end = (char *)piece + COX_HEAP_PIECE_BYTES;
  return true;
}

static void give(struct cox_heap *heap, void *block, size_t steps) {
  memcpy(block, &heap->free[steps], sizeof(void *));
  heap->free[steps] = block;
}

static void *take(struct cox_heap *heap, size_t steps) {
  void *const block = heap->free[steps];
  if (block != NULL) {
    memcpy(&heap->free[steps], block, sizeof(void *));
    return block;
  }
  const size_t size = steps * COX_HEAP_STEP;
  if ((size_t)(heap->end - heap->next) < size) {
    const size_t rest = (size_t)(heap->end - heap->next) / COX_HEAP_STEP;
    if (rest > 0) give(heap, heap->next, rest);
    heap->next = heap->end;
    if (!add_piece(heap)) return NULL;
  }
  void *const fresh = heap->next;
  heap->next += size;
  return fresh;
}

/* ---- large blocks ---- */

static void unlink_block(struct cox_heap *heap, const struct cox_heap_block *block) {
  if (block->previous != NULL) block->previous->next = block->next;
  else heap->large = block->next;
  if (block->next != NULL) block->next->previous = block->previous;
}

/* It is new or has moved: its neighbours follow. */
static void link_block(struct cox_heap *heap, struct cox_heap_block *block) {
  if (block->previous != NULL) block->previous->next = block;
  else heap->large = block;
  if (block->next != NULL) block->next->previous = block;
}

static void *resize_large(struct cox_heap *heap, void *old, size_t new_size) {
  struct cox_heap_block *const block = old != NULL ? (struct cox_heap_block *)old - 1 : NULL;
  struct cox_heap_block *const fresh = realloc(block, sizeof *fresh + new_size);
  if (fresh == NULL) return NULL;
  if (block == NULL) *fresh = (struct cox_heap_block){.next = heap->large};
  link_block(heap, fresh);
  return fresh + 1;
}

/* ---- both ---- */

static void release(struct cox_heap *heap, void *old, size_t old_size) {
  if (old == NULL) return;
  if (is_small(old_size)) {
    give(heap, old, steps_of(old_size));
    return;
  }
  struct cox_heap_block *const block = (struct cox_heap_block *)old - 1;
  unlink_block(heap, block);
  free(block);
}

void *cox_heap_resize(struct cox_heap *heap, void *old, size_t old_size, size_t new_size) {
  if (new_size == 0) {
    release(heap, old, old_size);
    return NULL;
  }
  const bool was_small = old != NULL && is_small(old_size);
  if (was_small && is_small(new_size) && steps_of(old_size) == steps_of(new_size)) return old;
  if (!was_small && !is_small(new_size)) return resize_large(heap, old, new_size);
  void *const fresh = is_small(new_size) ? take(heap, steps_of(new_size)) : resize_large(heap, NULL, new_size);
  if (fresh == NULL || old == NULL) return fresh;
  memcpy(fresh, old, old_size < new_size ? old_size : new_size);
  release(heap, old, old_size);
  return fresh;
}

void cox_heap_fini(struct cox_heap *heap) {
  for (struct cox_heap_block *block = heap->large, *next; block != NULL; block = next) {
    next = block->next;
    free(block);
  }
  for (struct cox_heap_piece *piece = heap->pieces, *next; piece != NULL; piece = next) {
    next = piece->next;
    free(piece);
  }
  *heap = (struct cox_heap){.large = NULL};
}
