/* `string` for scripts: the library with everything that can run long replaced. Semantics and errors are those of the manual. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "script/api_libraries.h"
#include "script/pattern.h"
#include "script/vm.h"

enum {
  RESULT_BYTES_MAX = COX_VM_STRING_BYTES_MAX,
  FORMAT_ARGS_MAX = 250,
  QUOTED_BYTES_MAX = 256 * 1024,   /* of %q: a control character costs a printf */
  PACK_FORMAT_BYTES_MAX = 4096,
  PACK_FILL_BYTES_MAX = 1024 * 1024, /* what "c" asks for */
};

/* ---- matching ---- */

struct matching {
  struct cox_matcher matcher;
  struct cox_choice choices[COX_PATTERN_CHOICES_INLINE];
  bool is_anchored;
  int first; /* the byte that every match begins with, -1: not known */
};

/* Most patterns begin with a character that stands for itself: where it is not, there is no match, and nothing to try. */
static int first_byte(const char *pattern, size_t len) {
  if (len == 0 || strchr("^$*+?.([%-)", pattern[0]) != NULL) return -1; /* also for a zero byte */
  if (len > 1 && pattern[1] != '\0' && strchr("*?-", pattern[1]) != NULL) return -1;
  return (unsigned char)pattern[0];
}

/* The next place from `at` on where a match may begin; NULL: none is left. */
static const char *next_place(const struct matching *matching, const char *at) {
  const char *const end = matching->matcher.subject_end;
  if (at > end) return NULL;
  return matching->first < 0 ? at : memchr(at, matching->first, (size_t)(end - at));
}

static bool is_cut(void *arg) { return cox_guard_is_cut(arg); }

/* For the subject and the pattern at stack indices 1 and 2. May push the memory for a large pattern. */
static void prepare(lua_State *L, struct matching *matching, bool has_anchor) {
  size_t subject_len, pattern_len;
  const char *const subject = luaL_checklstring(L, 1, &subject_len), *pattern = luaL_checklstring(L, 2, &pattern_len);
  const char *const pattern_end = pattern + pattern_len;
  matching->is_anchored = has_anchor && *pattern == '^';
  if (matching->is_anchored) pattern++;
  matching->first = matching->is_anchored ? -1 : first_byte(pattern, (size_t)(pattern_end - pattern));
  struct cox_matcher *const m = &matching->matcher;
  m->subject = subject;
  m->subject_end = subject + subject_len;
  m->pattern = pattern;
  m->pattern_end = pattern_end;
  m->error = NULL;
  m->error_index = -1;
  m->steps = m->next_look = 0;
  m->is_cut = is_cut;
  m->arg = &cox_vm_of(L)->guard;
  m->choices_max = cox_pattern_choices(pattern, (size_t)(pattern_end - pattern));
  m->choices = matching->choices;
  if (m->choices_max > COX_PATTERN_CHOICES_INLINE) m->choices = lua_newuserdatauv(L, m->choices_max * sizeof *m->choices, 0);
}

static void raise_error(lua_State *L, const struct cox_matcher *m) {
  if (m->error == cox_pattern_cut) cox_guard_check(L);
  if (m->error_index < 0) luaL_error(L, "%s", m->error);
  luaL_error(L, "%s %%%d in pattern", m->error, m->error_index);
}

static const char *match_at(lua_State *L, struct cox_matcher *m, const char *at) {
  const char *const end = cox_pattern_match(m, at);
  if (m->error != NULL) raise_error(L, m);
  return end;
}

/* Pushes capture `index`; without any, 0 is the whole match `start` … `end`. */
static void push_capture(lua_State *L, const struct cox_matcher *m, int index, const char *start, const char *end) {
  if (index >= m->level) {
    if (index != 0) luaL_error(L, "invalid capture index %%%d", index + 1);
    lua_pushlstring(L, start, (size_t)(end - start));
    return;
  }
  const struct cox_capture *const capture = &m->captures[index];
  if (capture->len == COX_CAPTURE_OPEN) luaL_error(L, "unfinished capture");
  if (capture->len == COX_CAPTURE_POSITION) lua_pushinteger(L, capture->start - m->subject + 1);
  else lua_pushlstring(L, capture->start, (size_t)capture->len);
}

/* All captures; the whole match when there is none and it is wanted. */
static int push_captures(lua_State *L, const struct cox_matcher *m, const char *start, const char *end, bool wants_whole) {
  const int count = m->level == 0 && wants_whole ? 1 : m->level;
  luaL_checkstack(L, count, "too many captures");
  for (int i = 0; i < count; i++) push_capture(L, m, i, start, end);
  return count;
}

/* The offset that the optional position at `index` means; beyond the end: more than `len`. */
static size_t check_start(lua_State *L, int index, size_t len) {
  const lua_Integer position = luaL_optinteger(L, index, 1);
  if (position > 0) return (lua_Unsigned)position - 1;
  if (position == 0 || position < -(lua_Integer)len) return 0;
  return len - (size_t)-position;
}

/* ---- find, match ---- */

static bool is_plain(const char *pattern, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (pattern[i] != '\0' && strchr("^$*+?.([%-", pattern[i]) != NULL) return false;
  }
  return true;
}

static int find_plainly(lua_State *L, const char *subject, size_t len, size_t start, const char *wanted, size_t wanted_len) {
  const char *const found = memmem(subject + start, len - start, wanted, wanted_len);
  if (found == NULL) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, found - subject + 1);
  lua_pushinteger(L, found - subject + (lua_Integer)wanted_len);
  return 2;
}

static int search(lua_State *L, bool is_find) {
  size_t len, pattern_len;
  const char *const subject = luaL_checklstring(L, 1, &len), *const pattern = luaL_checklstring(L, 2, &pattern_len);
  const size_t start = check_start(L, 3, len);
  if (start > len) {
    lua_pushnil(L);
    return 1;
  }
  if (is_find && (lua_toboolean(L, 4) != 0 || is_plain(pattern, pattern_len))) {
    return find_plainly(L, subject, len, start, pattern, pattern_len);
  }
  struct matching matching;
  struct cox_matcher *const m = &matching.matcher;
  prepare(L, &matching, true);
  for (const char *at = subject + start; (at = next_place(&matching, at)) != NULL; at++) {
    const char *const end = match_at(L, m, at);
    if (end == NULL && matching.is_anchored) break;
    if (end == NULL) continue;
    if (!is_find) return push_captures(L, m, at, end, true);
    lua_pushinteger(L, at - subject + 1);
    lua_pushinteger(L, end - subject);
    return 2 + push_captures(L, m, at, end, false);
  }
  lua_pushnil(L);
  return 1;
}

static int find(lua_State *L) { return search(L, true); }
static int match(lua_State *L) { return search(L, false); }

/* ---- gmatch ---- */

enum { GMATCH_SUBJECT = 1, GMATCH_PATTERN, GMATCH_NEXT, GMATCH_LAST, GMATCH_VALUES = GMATCH_LAST };

/* Upvalues: subject, pattern, where to look next, where the last match ended (an empty one there would be found for ever). */
static int next_match(lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(GMATCH_SUBJECT));
  lua_pushvalue(L, lua_upvalueindex(GMATCH_PATTERN));
  struct matching matching;
  struct cox_matcher *const m = &matching.matcher;
  prepare(L, &matching, false);
  const char *const last = m->subject + lua_tointeger(L, lua_upvalueindex(GMATCH_LAST));
  const char *at = m->subject + lua_tointeger(L, lua_upvalueindex(GMATCH_NEXT));
  for (; (at = next_place(&matching, at)) != NULL; at++) {
    const char *const end = match_at(L, m, at);
    if (end == NULL || end == last) continue;
    lua_pushinteger(L, end - m->subject);
    lua_pushvalue(L, -1);
    lua_replace(L, lua_upvalueindex(GMATCH_NEXT));
    lua_replace(L, lua_upvalueindex(GMATCH_LAST));
    return push_captures(L, m, at, end, true);
  }
  return 0;
}

static int gmatch(lua_State *L) {
  size_t len;
  luaL_checklstring(L, 1, &len);
  luaL_checkstring(L, 2);
  const size_t start = check_start(L, 3, len);
  lua_settop(L, 2);
  lua_pushinteger(L, (lua_Integer)(start > len ? len + 1 : start));
  lua_pushinteger(L, -1); /* none yet */
  lua_pushcclosure(L, next_match, GMATCH_VALUES);
  return 1;
}

/* ---- gsub ---- */

/* Adds the replacement text at index 3, with its %0 … %9. */
static void add_text(lua_State *L, luaL_Buffer *out, const struct cox_matcher *m, const char *start, const char *end) {
  size_t len;
  const char *p = lua_tolstring(L, 3, &len);
  const char *const last = p + len;
  for (; p < last; p++) {
    if (*p != '%') {
      luaL_addchar(out, *p);
      continue;
    }
    p++;
    const char digit = p < last ? *p : '\0';
    if (digit == '%') {
      luaL_addchar(out, digit);
    } else if (digit == '0') {
      luaL_addlstring(out, start, (size_t)(end - start));
    } else if (digit >= '1' && digit <= '9') {
      if (digit - '1' >= m->level && digit != '1') luaL_error(L, "invalid capture index %%%d in replacement string", digit - '0');
      push_capture(L, m, digit - '1', start, end);
      luaL_tolstring(L, -1, NULL);
      lua_remove(L, -2);
      luaL_addvalue(out);
    } else {
      luaL_error(L, "invalid use of '%%' in replacement string");
    }
  }
}

/* Adds what the table or function at index 3 makes of the match. False: it stays. */
static bool add_looked_up(lua_State *L, luaL_Buffer *out, const struct cox_matcher *m, const char *start, const char *end) {
  if (lua_type(L, 3) == LUA_TTABLE) {
    push_capture(L, m, 0, start, end);
    lua_gettable(L, 3);
  } else {
    lua_pushvalue(L, 3);
    lua_call(L, push_captures(L, m, start, end, true), 1);
  }
  if (lua_toboolean(L, -1) == 0) {
    lua_pop(L, 1);
    luaL_addlstring(out, start, (size_t)(end - start));
    return false;
  }
  if (lua_isstring(L, -1) == 0) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(out);
  return true;
}

static bool add_replacement(lua_State *L, luaL_Buffer *out, const struct cox_matcher *m, const char *start, const char *end) {
  const int type = lua_type(L, 3);
  if (type == LUA_TTABLE || type == LUA_TFUNCTION) return add_looked_up(L, out, m, start, end);
  add_text(L, out, m, start, end);
  return true;
}

static int gsub(lua_State *L) {
  size_t len;
  const char *at = luaL_checklstring(L, 1, &len), *last = NULL;
  const int type = lua_type(L, 3);
  luaL_checkstring(L, 2);
  luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE || type == LUA_TFUNCTION, 3,
                   "string/function/table");
  const lua_Integer count_max = luaL_optinteger(L, 4, (lua_Integer)len + 1);
  lua_Integer count = 0;
  bool is_changed = false;
  struct matching matching;
  struct cox_matcher *const m = &matching.matcher;
  lua_settop(L, 3);
  prepare(L, &matching, true);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  while (count < count_max) {
    cox_guard_check(L);
    const char *const place = next_place(&matching, at);
    if (place == NULL) break; /* the rest is added below */
    luaL_addlstring(&out, at, (size_t)(place - at));
    at = place;
    const char *const end = match_at(L, m, at);
    if (end != NULL && end != last) {
      count++;
      is_changed = add_replacement(L, &out, m, at, end) || is_changed;
      at = last = end;
    } else if (at < m->subject_end) {
      luaL_addchar(&out, *at++);
    } else {
      break;
    }
    if (matching.is_anchored) break;
  }
  if (is_changed) {
    luaL_addlstring(&out, at, (size_t)(m->subject_end - at));
    luaL_pushresult(&out);
  } else {
    lua_pushvalue(L, 1);
  }
  lua_pushinteger(L, count);
  return 2;
}

/* ---- making long strings ---- */

/* Doubles what is there already: a byte sixteen million times over is as quick as one copy. */
static void fill(char *out, size_t unit, size_t total) {
  for (size_t done = unit; done < total; done *= 2) memcpy(out + done, out, done < total - done ? done : total - done);
}

static int repeat(lua_State *L) {
  size_t len, separator_len;
  const char *const text = luaL_checklstring(L, 1, &len);
  const lua_Integer count = luaL_checkinteger(L, 2);
  const char *const separator = luaL_optlstring(L, 3, "", &separator_len);
  const size_t unit = len + separator_len;
  if (count <= 0 || unit == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  if ((lua_Unsigned)count > RESULT_BYTES_MAX / unit) {
    return luaL_error(L, "string.rep: the result would be longer than %d MiB", RESULT_BYTES_MAX / 1024 / 1024);
  }
  const size_t total = unit * (size_t)count - separator_len;
  luaL_Buffer out;
  char *const bytes = luaL_buffinitsize(L, &out, total + separator_len);
  memcpy(bytes, text, len);
  memcpy(bytes + len, separator, separator_len);
  fill(bytes, unit, total);
  luaL_pushresultsize(&out, total);
  return 1;
}

/* The library's own function, right in this frame: it takes the arguments as they are and has no upvalues. */
static int call_original(lua_State *L) { return lua_tocfunction(L, lua_upvalueindex(1))(L); }

static int format(lua_State *L) {
  size_t total;
  const char *const pattern = luaL_checklstring(L, 1, &total);
  const int count = lua_gettop(L);
  if (count > FORMAT_ARGS_MAX) return luaL_error(L, "string.format: more than %d values", FORMAT_ARGS_MAX);
  for (int i = 2; i <= count; i++) total += lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
  if (total <= QUOTED_BYTES_MAX) return call_original(L);
  if (strstr(pattern, "%q") != NULL) {
    return luaL_error(L, "string.format: more than %d KiB are too long for %%q", QUOTED_BYTES_MAX / 1024);
  }
  if (total > RESULT_BYTES_MAX) return luaL_error(L, "string.format: the result would be longer than %d MiB", RESULT_BYTES_MAX / 1024 / 1024);
  return call_original(L);
}

/* pack, packsize, unpack: their work follows from the format. */
static int packing(lua_State *L) {
  size_t len;
  const char *const pattern = luaL_checklstring(L, 1, &len);
  if (len > PACK_FORMAT_BYTES_MAX) return luaL_error(L, "a packing format has at most %d bytes", PACK_FORMAT_BYTES_MAX);
  size_t bytes = 0;
  for (size_t i = 0; i < len; i++) {
    if (pattern[i] != 'c') continue;
    size_t number = 0;
    for (; pattern[i + 1] >= '0' && pattern[i + 1] <= '9' && number <= PACK_FILL_BYTES_MAX; i++) number = number * 10 + (size_t)(pattern[i + 1] - '0');
    bytes += number;
    if (bytes > PACK_FILL_BYTES_MAX) return luaL_error(L, "a packing format asks for more than %d bytes with c", PACK_FILL_BYTES_MAX);
  }
  return call_original(L);
}

void cox_api_string_open(lua_State *L) {
  static const luaL_Reg own[] = {{"find", find}, {"gmatch", gmatch}, {"gsub", gsub}, {"match", match}, {"rep", repeat}, {NULL, NULL}};
  luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 1);
  luaL_setfuncs(L, own, 0);
  cox_libraries_wrap(L, "format", format);
  cox_libraries_wrap(L, "pack", packing);
  cox_libraries_wrap(L, "packsize", packing);
  cox_libraries_wrap(L, "unpack", packing);
  lua_pushnil(L);
  lua_setfield(L, -2, "dump");
  lua_pushliteral(L, ""); /* getmetatable("") must not hand out the library that all scripts share */
  lua_getmetatable(L, -1);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 3);
}
