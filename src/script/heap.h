/* The memory of one Lua state. It can be dropped without asking Lua: lua_close walks every object of a full heap while the
 * command loop waits, and a torn state (guard.h) cannot be closed at all.
 *
 * Small blocks, nearly all of a script's, are cut from pieces and go back to lists by size: a third of the time of malloc, no
 * header per object, and nothing that other threads' blocks could be mixed with. Pieces stay until the end.                 */
#ifndef COX_SCRIPT_HEAP_H
#define COX_SCRIPT_HEAP_H

#include <stddef.h>

enum {
  COX_HEAP_STEP = 16, /* bytes: sizes are rounded up to it */
#if defined(__SANITIZE_ADDRESS__)
  COX_HEAP_SMALL_MAX = 0, /* each block by itself, so that the sanitizer sees what is used after its end */
#else
  COX_HEAP_SMALL_MAX = 512,
#endif
  COX_HEAP_PIECE_BYTES = 32 * 1024,
};

struct cox_heap_block; /* a large one */
struct cox_heap_piece;

struct cox_heap {
  void *free[COX_HEAP_SMALL_MAX / COX_HEAP_STEP + 1]; /* by size; each begins with the address of the next */
  char *next, *end;                                   /* what is left of the last piece */
  struct cox_heap_piece *pieces;
  struct cox_heap_block *large;
};

/* As realloc, and free for a new size of 0; `old_size` is what `old` was asked for with. NULL: no memory, or freed. */
void *cox_heap_resize(struct cox_heap *heap, void *old, size_t old_size, size_t new_size);
/* Frees everything. */
void cox_heap_fini(struct cox_heap *heap);

#endif
