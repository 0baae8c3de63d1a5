/* Every fact of a world as a line: hashed, so that two lives can be compared, the last ones kept for the report. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "sim/world_private.h"

static uint64_t hash_of(uint64_t hash, const char *text) {
  for (; *text != '\0'; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL; /* FNV-1a */
  return (hash ^ '\n') * 0x100000001b3ULL;
}

void cox_world_trace(struct cox_world *world, const char *format, ...) {
  char *const line = world->ring[world->lines++ % COX_WORLD_RING];
  const int head = snprintf(line, COX_WORLD_LINE, "%5" PRId64 ".%06" PRId64 " ", world->now_us / COX_WORLD_S, world->now_us % COX_WORLD_S);
  va_list args;
  va_start(args, format);
  vsnprintf(line + head, COX_WORLD_LINE - (size_t)head, format, args);
  va_end(args);
  world->hash = hash_of(world->hash, line);
  const char *const only = world->options.trace_of;
  if (world->options.trace != NULL && (only == NULL || strstr(line, only) != NULL)) fprintf(world->options.trace, "%s\n", line);
}

/* As much of a text as a line has room for. */
struct cut {
  char text[COX_WORLD_LINE];
  size_t len;
};

/* Ends the dump when it is full: the rest would not be seen. */
static int take_piece(const char *piece, size_t len, void *arg) {
  struct cut *const cut = arg;
  const size_t room = sizeof cut->text - 1 - cut->len, taken = len < room ? len : room;
  memcpy(cut->text + cut->len, piece, taken);
  cut->len += taken;
  return taken < len ? -1 : 0;
}

void cox_world_trace_json(struct cox_world *world, const char *what, const json_t *json) {
  struct cut cut;
  cut.len = 0;
  json_dump_callback(json, take_piece, &cut, JSON_COMPACT | JSON_SORT_KEYS);
  cut.text[cut.len] = '\0';
  cox_world_trace(world, "%s %s", what, cut.text);
}

void cox_world_last_words(const struct cox_world *world, FILE *out) {
  if (world == NULL) return;
  const uint64_t first = world->lines > COX_WORLD_RING ? world->lines - COX_WORLD_RING : 0;
  for (uint64_t i = first; i < world->lines; i++) fprintf(out, "%s\n", world->ring[i % COX_WORLD_RING]);
}
