/* Every fact of a world as a line: hashed, so that two lives can be compared, the last ones kept for the report. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world_private.h"

static uint64_t hash_of(uint64_t hash, const char *text) {
  for (; *text != '\0'; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL; /* FNV-1a */
  return (hash ^ '\n') * 0x100000001b3ULL;
}

void cox_world_trace(struct cox_world *world, const char *format, ...) {
  char *const line = world->ring[world->lines++ % COX_WORLD_RING];
  const int head = snprintf(line, COX_WORLD_LINE, "%12.6f ", (double)world->now_us / 1e6);
  va_list args;
  va_start(args, format);
  vsnprintf(line + head, COX_WORLD_LINE - (size_t)head, format, args);
  va_end(args);
  world->hash = hash_of(world->hash, line);
  const char *const only = world->options.trace_of;
  if (world->options.trace != NULL && (only == NULL || strstr(line, only) != NULL)) fprintf(world->options.trace, "%s\n", line);
}

void cox_world_trace_json(struct cox_world *world, const char *what, const json_t *json) {
  char *const text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
  cox_world_trace(world, "%s %s", what, text);
  free(text);
}

void cox_world_last_words(const struct cox_world *world, FILE *out) {
  if (world == NULL) return;
  const uint64_t first = world->lines > COX_WORLD_RING ? world->lines - COX_WORLD_RING : 0;
  for (uint64_t i = first; i < world->lines; i++) fprintf(out, "%s\n", world->ring[i % COX_WORLD_RING]);
}
