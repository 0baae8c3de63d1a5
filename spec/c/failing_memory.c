#include "failing.h"

#include <errno.h>
#include <execinfo.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long count, live, fails_at;
static _Thread_local int pauses;
static void *place[24];
static int places;

/* ---- what the linker puts in the place of the others ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *old);
char *__real_realpath(const char *path, char *out);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *old);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
char *__wrap_realpath(const char *path, char *out);
int __wrap_vasprintf(char **out, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fails(void) {
  if (pauses > 0 || atomic_fetch_add(&count, 1) + 1 != atomic_load(&fails_at)) return false;
  places = backtrace(place, 24);
  errno = ENOMEM;
  return true;
}

static void *counted(void *made) {
  if (made != NULL) atomic_fetch_add(&live, 1);
  return made;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : counted(__real_malloc(size)); }
void *__wrap_calloc(size_t items, size_t size) { return fails() ? NULL : counted(__real_calloc(items, size)); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) { return fails() ? NULL : counted(__real_aligned_alloc(alignment, size)); }

void *__wrap_realloc(void *old, size_t size) {
  if (fails()) return NULL;
  void *const fresh = __real_realloc(old, size);
  return old == NULL ? counted(fresh) : fresh;
}

void __wrap_free(void *old) {
  if (old != NULL) atomic_fetch_sub(&live, 1);
  __real_free(old);
}

char *__wrap_strndup(const char *text, size_t most) {
  const size_t len = strnlen(text, most);
  char *const copy = __wrap_malloc(len + 1);
  if (copy == NULL) return NULL;
  memcpy(copy, text, len);
  copy[len] = '\0';
  return copy;
}

char *__wrap_strdup(const char *text) { return __wrap_strndup(text, strlen(text)); }

char *__wrap_realpath(const char *path, char *out) {
  if (out != NULL) return __real_realpath(path, out);
  char found[PATH_MAX];
  return __real_realpath(path, found) != NULL ? __wrap_strdup(found) : NULL;
}

int __wrap_vasprintf(char **out, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int len = vsnprintf(NULL, 0, format, again);
  va_end(again);
  *out = len >= 0 ? __wrap_malloc((size_t)len + 1) : NULL;
  return *out != NULL ? vsnprintf(*out, (size_t)len + 1, format, args) : -1;
}

int __wrap_asprintf(char **out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int len = __wrap_vasprintf(out, format, args);
  va_end(args);
  return len;
}

/* ---- for specs ---- */

void failing_memory_begin(void) {
  places = backtrace(place, 1); /* the first time it loads a library, with memory of its own */
  json_set_alloc_funcs(__wrap_malloc, __wrap_free);
}

void failing_memory_tell(void) { backtrace_symbols_fd(place, places, 2); }

void failing_memory(long k) {
  atomic_store(&count, 0);
  atomic_store(&fails_at, k);
}

long failing_memory_count(void) { return atomic_load(&count); }
long failing_memory_live(void) { return atomic_load(&live); }
void failing_memory_pause(void) { pauses++; }
void failing_memory_resume(void) { pauses--; }
