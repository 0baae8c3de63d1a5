/* `log` for scripts: one line per fact, log.info("what", { key = value }). */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "script/api.h"
#include "script/sandbox.h"
#include "script/vm.h"

enum { LINES_MAX = 1000 /* of one call */, PAIRS_MAX = 8, KEY_BYTES = 32, VALUE_BYTES = 256 };

static const char *const subsystems[] = {"policy", "drivers", "jobs", "console"};

struct line {
  char text[PAIRS_MAX][2][VALUE_BYTES];
  const char *pairs[PAIRS_MAX * 2 + 1];
  int count;
};

static int by_key(const struct line *line, const char *key) {
  int place = line->count;
  while (place > 0 && strcmp(line->text[place - 1][0], key) > 0) place--;
  return place;
}

/* Sorted by key, so that equal facts give equal lines. */
static void collect(lua_State *L, struct line *line) {
  lua_pushnil(L);
  while (lua_next(L, 2) != 0 && line->count < PAIRS_MAX) {
    lua_pushvalue(L, -2);
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "%s", luaL_tolstring(L, -1, NULL));
    const int place = by_key(line, key);
    for (int i = line->count; i > place; i--) memcpy(line->text[i], line->text[i - 1], sizeof line->text[i]);
    snprintf(line->text[place][0], VALUE_BYTES, "%s", key);
    snprintf(line->text[place][1], VALUE_BYTES, "%s", luaL_tolstring(L, -3, NULL));
    line->count++;
    lua_pop(L, 4);
  }
}

static int write_line(lua_State *L, enum cox_log_level level) {
  const char *const message = luaL_checkstring(L, 1);
  struct cox_vm *const vm = cox_vm_of(L);
  if (!cox_log_enabled(level) || vm->is_quiet) return 0;
  if (vm->lines >= LINES_MAX) return 0;
  if (++vm->lines == LINES_MAX) {
    cox_log(COX_LOG_WARN, subsystems[vm->context], "a script logs without end: the rest of this call's lines is left out", "after",
            COX_LOG_INT(LINES_MAX), NULL);
    return 0;
  }
  struct line line = {.count = 0};
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    collect(L, &line);
  }
  for (int i = 0; i < line.count; i++) {
    line.pairs[2 * i] = line.text[i][0];
    line.pairs[2 * i + 1] = line.text[i][1];
  }
  cox_log_pairs(level, subsystems[vm->context], message, line.pairs);
  return 0;
}

static int debug(lua_State *L) { return write_line(L, COX_LOG_DEBUG); }
static int info(lua_State *L) { return write_line(L, COX_LOG_INFO); }
static int warn(lua_State *L) { return write_line(L, COX_LOG_WARN); }
static int error(lua_State *L) { return write_line(L, COX_LOG_ERROR); }

static const struct cox_binding bindings[] = {
    {"debug", debug, "(message: string, fields?: table)", "Writes a line that is shown only at log level debug."},
    {"info", info, "(message: string, fields?: table)", "Writes a line about something worth knowing."},
    {"warn", warn, "(message: string, fields?: table)", "Writes a line about something that went wrong and is being dealt with."},
    {"error", error, "(message: string, fields?: table)", "Writes a line about something that needs a person."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_log = {
    .name = "log", .help = "The daemon's log: one line per fact, up to 8 fields.", .contexts = COX_API_ALL, .functions = bindings};

void cox_api_log_push(lua_State *L) { cox_bindings_push(L, bindings); }
