#include "script/chunks.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

enum { SHELVES = 256, ROOM = 4096 };

/* What Lua made of a text, with its names and lines, so that errors read the same. */
struct chunk {
  struct chunk *next;
  char *name;
  uint64_t hash; /* of the text … */
  size_t source_len; /* … and its bytes */
  char *code;
  size_t len, capacity;
};

static struct {
  bool is_on;
  struct chunk *shelves[SHELVES];
} kept;

static struct chunk **shelf_of(const struct cox_source *source) { return &kept.shelves[source->hash % SHELVES]; }

static const struct chunk *find(const struct cox_source *source, const char *name) {
  for (const struct chunk *chunk = *shelf_of(source); chunk != NULL; chunk = chunk->next) {
    if (chunk->hash == source->hash && chunk->source_len == source->len && strcmp(chunk->name, name) == 0) return chunk;
  }
  return NULL;
}

static void release(struct chunk *chunk) {
  if (chunk == NULL) return;
  free(chunk->name);
  free(chunk->code);
  free(chunk);
}

static int write_piece(lua_State *L, const void *piece, size_t len, void *arg) {
  (void)L;
  struct chunk *const chunk = arg;
  if (chunk->len + len > chunk->capacity) {
    const size_t capacity = 2 * (chunk->len + len) + ROOM;
    char *const fresh = realloc(chunk->code, capacity);
    if (fresh == NULL) return 1;
    chunk->code = fresh;
    chunk->capacity = capacity;
  }
  if (len > 0) memcpy(chunk->code + chunk->len, piece, len);
  chunk->len += len;
  return 0;
}

/* Of the function on top. Without memory it is compiled again the next time. */
static void keep(lua_State *L, const struct cox_source *source, const char *name) {
  struct chunk *chunk = calloc(1, sizeof *chunk);
  if (chunk == NULL) return;
  chunk->name = strdup(name);
  chunk->hash = source->hash;
  chunk->source_len = source->len;
  if (chunk->name == NULL || lua_dump(L, write_piece, chunk, 0) != 0) goto out;
  chunk->next = *shelf_of(source);
  *shelf_of(source) = chunk;
  chunk = NULL;
out:
  release(chunk);
}

void cox_chunks_keep(bool is_on) {
  for (size_t i = 0; i < SHELVES; i++) {
    for (struct chunk *chunk = kept.shelves[i], *next; chunk != NULL; chunk = next) {
      next = chunk->next;
      release(chunk);
    }
    kept.shelves[i] = NULL;
  }
  kept.is_on = is_on;
}

int cox_chunks_load(lua_State *L, const struct cox_source *source, const char *text, size_t len, const char *name) {
  const struct chunk *const chunk = kept.is_on ? find(source, name) : NULL;
  if (chunk != NULL) return luaL_loadbufferx(L, chunk->code, chunk->len, name, "b"); /* our own dump, never anybody's bytes */
  const int rc = luaL_loadbufferx(L, text, len, name, "t");
  if (kept.is_on && rc == LUA_OK) keep(L, source, name);
  return rc;
}
