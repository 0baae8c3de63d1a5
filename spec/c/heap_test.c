/* The memory of a Lua state: blocks of any size that grow, shrink and go, and the end of all at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "script/heap.h"

enum { BLOCKS = 300, STEPS = 30000, LARGEST = 3000 };

struct block {
  unsigned char *bytes; /* NULL: none */
  size_t size;
  unsigned char mark;
};

static void check(const struct block *block, size_t count) {
  for (size_t i = 0; i < count; i++) assert_int_equal(block->bytes[i], block->mark);
}

/* Half of them as small as Lua's mostly are. */
static size_t any_size(struct cox_rng *rng) { return 1 + (size_t)cox_rng_below(rng, cox_rng_below(rng, 2) == 0 ? 100 : LARGEST); }

static void resize(struct cox_heap *heap, struct block *block, size_t size) {
  const size_t kept = block->size < size ? block->size : size;
  unsigned char *const bytes = cox_heap_resize(heap, block->bytes, block->size, size);
  assert_int_equal((uintptr_t)bytes % _Alignof(max_align_t), 0);
  if (size > 0) assert_non_null(bytes);
  block->bytes = bytes;
  if (block->size > 0) check(block, kept);
  block->size = size;
  if (size > 0) memset(bytes, block->mark, size);
}

static void blocks_keep_what_is_in_them_whatever_others_do(void **state) {
  (void)state;
  static struct block blocks[BLOCKS];
  struct cox_heap heap = {0};
  struct cox_rng rng;
  const uint64_t seed = cox_rng_system_seed();
  print_message("seed %llu\n", (unsigned long long)seed);
  cox_rng_init(&rng, seed);
  for (size_t i = 0; i < BLOCKS; i++) blocks[i].mark = (unsigned char)(i * 7 + 1);
  for (int i = 0; i < STEPS; i++) {
    struct block *const block = &blocks[cox_rng_below(&rng, BLOCKS)];
    if (block->bytes != NULL) check(block, block->size);
    resize(&heap, block, cox_rng_below(&rng, 4) == 0 ? 0 : any_size(&rng));
  }
  for (size_t i = 0; i < BLOCKS; i++) {
    if (blocks[i].bytes != NULL) check(&blocks[i], blocks[i].size);
  }
  cox_heap_fini(&heap); /* those that are left go with it: the leak sanitizer watches */
  cox_heap_fini(&heap);
}

static void what_is_given_back_is_used_again(void **state) {
  (void)state;
  struct cox_heap heap = {0};
  if (COX_HEAP_SMALL_MAX == 0) skip(); /* each block is by itself under the address sanitizer */
  for (int i = 0; i < 100000; i++) {
    void *const block = cox_heap_resize(&heap, NULL, 0, 48);
    assert_null(cox_heap_resize(&heap, block, 48, 0));
  }
  void *const first = cox_heap_resize(&heap, NULL, 0, 48);
  cox_heap_resize(&heap, first, 48, 0);
  assert_ptr_equal(cox_heap_resize(&heap, NULL, 0, 41), first); /* of the same step */
  cox_heap_fini(&heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_keep_what_is_in_them_whatever_others_do),
      cmocka_unit_test(what_is_given_back_is_used_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
