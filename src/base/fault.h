/* Named points at which a spec makes our own code go wrong on purpose. Only in builds with the tests (COX_TESTS); elsewhere
 * the question is the constant false and costs nothing.
 *
 *   if (!cox_fault("registry.misses_mark")) mark(node);          a classic bug, which the simulator must find
 *   if (cox_fault("registry.grow")) return COX_ENOMEM;           a call that fails once
 *
 * A name is the file's noun and what happens. Process-wide on purpose, as the log is: a point is deep inside of code that
 * knows nothing of specs.                                                                                              */
#ifndef COX_BASE_FAULT_H
#define COX_BASE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>

#ifdef COX_TESTS

enum { COX_FAULTS_ARMED_MAX = 16 };

/* Is any point armed? Read before the names are compared. */
extern atomic_bool cox_fault_is_armed;
/* Counts the visit. */
bool cox_fault_visit(const char *name);
#define cox_fault(name) (atomic_load_explicit(&cox_fault_is_armed, memory_order_relaxed) && cox_fault_visit(name))

/* From the next visit on: `skip` visits pass, then `count` are hit (0: all). Arming again begins anew. The name is borrowed.
 * 0 or COX_EFULL. Any thread.                                                                                             */
int cox_fault_arm(const char *name, unsigned skip, unsigned count);
/* Visits since it was armed; 0 when it is not. */
unsigned cox_fault_visits(const char *name);
/* Disarms all. */
void cox_fault_disarm(void);

#else
#define cox_fault(name) false
#endif

#endif
