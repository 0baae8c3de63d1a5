/* Makes one call fail: an allocation, or a call of the system or of a library. Only in programs that are linked with --wrap for them
 * (SPEC_WRAPS in spec/CMakeLists.txt); the linker then puts the functions of failing_memory.c and failing_calls.c in their places.
 * Any thread.                                                                                                                      */
#ifndef SPEC_FAILING_H
#define SPEC_FAILING_H

#include <stdbool.h>

/* ---- memory: malloc and all that is made of it, in our own code, in jansson and in Lua ---- */

/* Once, before anything else. */
void failing_memory_begin(void);
/* Counts anew; the k-th allocation from now on fails, and no other. 0: none. */
void failing_memory(long k);
/* Since then. */
long failing_memory_count(void);
/* Allocated and not freed. */
long failing_memory_live(void);
/* Writes where the one that failed was asked for: addresses for addr2line. */
void failing_memory_tell(void);
/* The calling thread's allocations are not counted and do not fail: for what a spec itself needs. Calls may be nested. */
void failing_memory_pause(void);
void failing_memory_resume(void);

/* ---- calls ---- */

/* Counts anew; the k-th call of that name (NULL: none) fails, as it would in reality. */
void failing_call(const char *name, long k);
/* Was it reached? */
bool failing_call_was_hit(void);
/* Calls of that name since then. */
long failing_call_count(const char *name);
/* All names; ended by NULL. */
const char *const *failing_call_names(void);

#endif
