/* All blocks of one Lua state in one list. A state can so be dropped without asking Lua: lua_close walks every object of a
 * full heap while the command loop waits, and a torn state (guard.h) cannot be closed at all.                           */
#ifndef COX_SCRIPT_HEAP_H
#define COX_SCRIPT_HEAP_H

#include <stddef.h>

struct cox_heap_block;

struct cox_heap {
  struct cox_heap_block *first;
};

/* As realloc, and free for a new size of 0. NULL: no memory, or freed. */
void *cox_heap_resize(struct cox_heap *heap, void *old, size_t new_size);
/* Frees everything. */
void cox_heap_fini(struct cox_heap *heap);

#endif
