#include "base/fault.h"

#ifdef COX_TESTS

#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/lock.h"

struct point {
  const char *name;
  unsigned skip, count, visits;
};

atomic_bool cox_fault_is_armed = false;

static atomic_flag is_held = ATOMIC_FLAG_INIT; /* guards the rest; a spin lock, for locks themselves have points */
static struct point points[COX_FAULTS_ARMED_MAX];
static size_t point_count;

static void hold(void) {
  while (atomic_flag_test_and_set_explicit(&is_held, memory_order_acquire)) continue;
}

static void let_go(void) { atomic_flag_clear_explicit(&is_held, memory_order_release); }

static struct point *find_held(const char *name) {
  for (size_t i = 0; i < point_count; i++) {
    if (strcmp(points[i].name, name) == 0) return &points[i];
  }
  return NULL;
}

bool cox_fault_visit(const char *name) {
  hold();
  struct point *const point = find_held(name);
  bool is_hit = false;
  if (point != NULL) {
    const unsigned visit = point->visits++;
    is_hit = visit >= point->skip && (point->count == 0 || visit - point->skip < point->count);
  }
  let_go();
  return is_hit;
}

int cox_fault_arm(const char *name, unsigned skip, unsigned count) {
  hold();
  struct point *point = find_held(name);
  if (point == NULL && point_count < COX_FAULTS_ARMED_MAX) point = &points[point_count++];
  if (point != NULL) *point = (struct point){.name = name, .skip = skip, .count = count};
  atomic_store(&cox_fault_is_armed, point_count > 0);
  let_go();
  return point != NULL ? 0 : COX_EFULL;
}

unsigned cox_fault_visits(const char *name) {
  hold();
  const struct point *const point = find_held(name);
  const unsigned visits = point != NULL ? point->visits : 0;
  let_go();
  return visits;
}

void cox_fault_disarm(void) {
  hold();
  point_count = 0;
  atomic_store(&cox_fault_is_armed, false);
  let_go();
}

#else
typedef int cox_fault_none; /* ISO C wants a declaration in every file */
#endif
