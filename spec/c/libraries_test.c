/* Our own string matching and table library against the real ones: the same calls in both, on seeded random arguments. */
#include "fake_core.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "script/vm.h"

enum { PATTERN_CASES = 400000, TABLE_CASES = 40000, RESULTS_MAX = 40, SORTED_MAX = 300 };

static struct cox_rng rng;
static uint64_t seed;

static size_t below(size_t bound) { return (size_t)cox_rng_below(&rng, bound); }

/* ---- running one call in two states ---- */

struct both {
  lua_State *ours, *real;
  const char *what; /* for the message of a difference */
  char shown[512];
};

static void print_escaped(const char *text, size_t len) {
  for (size_t i = 0; i < len; i++) print_error(text[i] >= 32 && text[i] < 127 ? "%c" : "\\x%02x", (unsigned char)text[i]);
}

static void print_value(lua_State *L, int index) {
  size_t len;
  const char *const text = luaL_tolstring(L, index, &len);
  print_error("  %s ", luaL_typename(L, index < 0 ? index - 1 : index));
  print_escaped(text, len);
  print_error("\n");
  lua_pop(L, 1);
}

static bool are_same(lua_State *a, lua_State *b, int index) {
  if (lua_type(a, index) != lua_type(b, index)) return false;
  switch (lua_type(a, index)) {
    case LUA_TNIL: return true;
    case LUA_TBOOLEAN: return lua_toboolean(a, index) == lua_toboolean(b, index);
    case LUA_TNUMBER:
      return lua_isinteger(a, index) == lua_isinteger(b, index) && lua_tonumber(a, index) == lua_tonumber(b, index);
    case LUA_TSTRING: {
      size_t a_len, b_len;
      const char *const a_text = lua_tolstring(a, index, &a_len), *const b_text = lua_tolstring(b, index, &b_len);
      return a_len == b_len && memcmp(a_text, b_text, a_len) == 0;
    }
    default: return true; /* compared by what it holds */
  }
}

/* Stack of both: function, arguments. Fails the test when the outcomes differ. Leaves the results; false: both raised. */
static bool call_both(struct both *both, int arguments, const char *what) {
  const int a = lua_pcall(both->ours, arguments, LUA_MULTRET, 0), b = lua_pcall(both->real, arguments, LUA_MULTRET, 0);
  bool is_same = a == b;
  if (is_same && a == LUA_OK) {
    is_same = lua_gettop(both->ours) == lua_gettop(both->real);
    for (int i = 1; is_same && i <= lua_gettop(both->ours); i++) is_same = are_same(both->ours, both->real, i);
  }
  if (!is_same) {
    print_error("seed %llu, %s:\nours (%d)\n", (unsigned long long)seed, what, a);
    for (int i = 1; i <= lua_gettop(both->ours); i++) print_value(both->ours, i);
    print_error("real (%d)\n", b);
    for (int i = 1; i <= lua_gettop(both->real); i++) print_value(both->real, i);
    print_error("called with: ");
    print_escaped(both->shown, strlen(both->shown));
    print_error("\n");
    fail();
  }
  return a == LUA_OK;
}

static void clear(struct both *both) {
  lua_settop(both->ours, 0);
  lua_settop(both->real, 0);
}

static void push_function(struct both *both, const char *library, const char *name) {
  lua_State *const states[] = {both->ours, both->real};
  for (int i = 0; i < 2; i++) {
    lua_getglobal(states[i], library);
    lua_getfield(states[i], -1, name);
    lua_remove(states[i], -2);
  }
}

static void push_text(struct both *both, const char *text, size_t len) {
  lua_pushlstring(both->ours, text, len);
  lua_pushlstring(both->real, text, len);
}

static void push_integer(struct both *both, lua_Integer value) {
  lua_pushinteger(both->ours, value);
  lua_pushinteger(both->real, value);
}

/* ---- patterns ---- */

struct bytes {
  char text[256];
  size_t len;
};

static void add(struct bytes *out, const char *text, size_t len) {
  memcpy(out->text + out->len, text, len);
  out->len += len;
}

static void make_subject(struct bytes *out) {
  static const char alphabet[] = "aaabbbc1 ()_]-^$%.\n\xc3";
  out->len = 0;
  for (size_t i = below(18); i > 0; i--) {
    const size_t place = below(sizeof alphabet); /* the zero byte too */
    add(out, &alphabet[place], 1);
  }
}

static void make_pattern(struct bytes *out) {
  static const char *const pieces[] = {
      "a",    "b",    "c",    "1",   ".",    "%a",   "%d",   "%s",  "%w",      "%A",    "%S",     "%p",   "%z",  "%x",  "%c",   "%u",
      "%g",   "%l",   "[ab]", "[^a]", "[a-c]", "[%a_]", "[]]", "[^]]", "[a-]",  "[%]]",  "[^%s]",  "[-a]", "[a-%z]", "[c-a]", "%b()", "%bab",
      "%baa", "%f[a]", "%f[^b]", "%f[%w]", "%f[%z]", "%.", "%%", "%(",  "%]",  "x",     " ",      "(a)",  "(.-)", "(%a*)", "(()b)", "%1",
  };
  static const char *const wild[] = {"(", ")", "()", "%1", "%2", "%3", "%0", "%9", "^", "$", "*", "+", "-", "?", "%", "[", "]", "%f", "%b", "%ba", "[%", "[^", "[a-"};
  static const char *const suffixes[] = {"*", "+", "-", "?"};
  out->len = 0;
  if (below(6) == 0) add(out, "^", 1);
  for (size_t i = below(7); i > 0; i--) {
    const bool is_wild = below(6) == 0;
    const char *const piece = is_wild ? wild[below(sizeof wild / sizeof *wild)] : pieces[below(sizeof pieces / sizeof *pieces)];
    add(out, piece, strlen(piece));
    if (below(3) == 0) add(out, suffixes[below(4)], 1);
    if (below(40) == 0) add(out, "", 1);
  }
  if (below(6) == 0) add(out, "$", 1);
}

static void make_replacement(struct bytes *out) {
  static const char *const pieces[] = {"%0", "%1", "%2", "%%", "x", "", "%", "%9", "%a", "yy"};
  out->len = 0;
  for (size_t i = below(4); i > 0; i--) {
    const char *const piece = pieces[below(below(3) == 0 ? 10 : 6)];
    add(out, piece, strlen(piece));
  }
}

/* For gsub: something for some matches, nothing for others, and now and then what is not allowed. */
static int replace(lua_State *L) {
  size_t len;
  luaL_tolstring(L, 1, &len);
  if (len % 3 == 0) return 0;
  if (len == 7) lua_newtable(L);
  else lua_pushfstring(L, "<%d:%s>", lua_gettop(L) - 1, lua_tostring(L, -1));
  return 1;
}

static void push_replacement(struct both *both) {
  struct bytes text;
  switch (below(4)) {
    case 0:
      lua_pushcfunction(both->ours, replace);
      lua_pushcfunction(both->real, replace);
      return;
    case 1: {
      lua_State *const states[] = {both->ours, both->real};
      for (int i = 0; i < 2; i++) {
        lua_createtable(states[i], 0, 4);
        lua_pushliteral(states[i], "[A]");
        lua_setfield(states[i], -2, "a");
        lua_pushboolean(states[i], 0);
        lua_setfield(states[i], -2, "b");
        lua_pushinteger(states[i], 12);
        lua_rawseti(states[i], -2, 1); /* of a position */
        lua_newtable(states[i]);
        lua_setfield(states[i], -2, "ab");
      }
      return;
    }
    default: make_replacement(&text); push_text(both, text.text, text.len);
  }
}

static void iterate_both(struct both *both) {
  for (int i = 0; i < RESULTS_MAX; i++) {
    lua_State *const states[] = {both->ours, both->real};
    for (int k = 0; k < 2; k++) lua_settop(states[k], 1);
    lua_pushvalue(both->ours, 1);
    lua_pushvalue(both->real, 1);
    if (!call_both(both, 0, "gmatch's function") || lua_gettop(both->ours) == 1) return;
  }
}

static void compare_pattern(struct both *both) {
  static const char *const names[] = {"find", "match", "gsub", "gmatch"};
  const size_t kind = below(4);
  struct bytes subject, pattern;
  make_subject(&subject);
  make_pattern(&pattern);
  snprintf(both->shown, sizeof both->shown, "%s(%.*s, %.*s)", names[kind], (int)subject.len, subject.text, (int)pattern.len, pattern.text);
  push_function(both, "string", names[kind]);
  push_text(both, subject.text, subject.len);
  push_text(both, pattern.text, pattern.len);
  if (kind == 2) push_replacement(both);
  const bool has_number = below(4) == 0;
  if (has_number) push_integer(both, (lua_Integer)below(30) - 12);
  if (call_both(both, 2 + (kind == 2) + has_number, names[kind]) && kind == 3) iterate_both(both);
  clear(both);
}

/* ---- tables ---- */

static void push_list(struct both *both, size_t len) {
  lua_State *const states[] = {both->ours, both->real};
  for (int i = 0; i < 2; i++) lua_createtable(states[i], (int)len, 0);
  for (size_t i = 1; i <= len; i++) {
    const lua_Integer value = (lua_Integer)below(50);
    for (int k = 0; k < 2; k++) {
      if (value % 7 == 0) lua_pushfstring(states[k], "%d", (int)value);
      else lua_pushinteger(states[k], value);
      lua_rawseti(states[k], -2, (lua_Integer)i);
    }
  }
}

/* Both tables at index 1 hold the same at -3 … len + 4. */
static void compare_lists(struct both *both, lua_Integer len, const char *what) {
  for (lua_Integer i = -3; i <= len + 4; i++) {
    lua_rawgeti(both->ours, 1, i);
    lua_rawgeti(both->real, 1, i);
    if (!are_same(both->ours, both->real, -1)) {
      print_error("seed %llu, %s: item %lld differs\n", (unsigned long long)seed, what, (long long)i);
      fail();
    }
    lua_pop(both->ours, 1);
    lua_pop(both->real, 1);
  }
}

static lua_Integer position(size_t len) { return (lua_Integer)below(len + 5) - 2; }

static void compare_table(struct both *both) {
  static const char *const names[] = {"insert", "remove", "move", "concat", "unpack", "pack"};
  const size_t kind = below(6), len = below(12);
  push_list(both, len);
  push_function(both, "table", names[kind]);
  lua_pushvalue(both->ours, 1);
  lua_pushvalue(both->real, 1);
  int arguments = 1;
  if (kind == 3 && below(2) == 0) {
    push_text(both, ", ", 2);
    arguments++;
  }
  const size_t numbers = below(kind == 2 ? 5 : 4);
  for (size_t i = 0; i < numbers; i++) push_integer(both, position(len));
  snprintf(both->shown, sizeof both->shown, "%s of %zu items with %zu numbers", names[kind], len, numbers);
  call_both(both, arguments + (int)numbers, names[kind]);
  compare_lists(both, (lua_Integer)len, names[kind]);
  clear(both);
}

static int is_greater(lua_State *L) {
  lua_pushboolean(L, lua_tonumber(L, 1) > lua_tonumber(L, 2));
  return 1;
}

static void compare_sort(struct both *both) {
  const size_t len = below(SORTED_MAX);
  lua_State *const states[] = {both->ours, both->real};
  for (int i = 0; i < 2; i++) lua_createtable(states[i], (int)len, 0);
  for (size_t i = 1; i <= len; i++) {
    const lua_Integer value = (lua_Integer)below(1000);
    for (int k = 0; k < 2; k++) {
      lua_pushinteger(states[k], value);
      lua_rawseti(states[k], -2, (lua_Integer)i);
    }
  }
  push_function(both, "table", "sort");
  lua_pushvalue(both->ours, 1);
  lua_pushvalue(both->real, 1);
  const bool has_order = below(2) == 0;
  for (int i = 0; i < 2 && has_order; i++) lua_pushcfunction(states[i], is_greater);
  snprintf(both->shown, sizeof both->shown, "sort of %zu", len);
  call_both(both, 1 + has_order, "sort");
  compare_lists(both, (lua_Integer)len, "sort");
  clear(both);
}

/* ---- specs ---- */

static int compare_patterns(lua_State *L) {
  struct both *const both = lua_touserdata(L, 1);
  lua_settop(L, 0);
  both->ours = L;
  for (int i = 0; i < PATTERN_CASES; i++) compare_pattern(both);
  return 0;
}

static int compare_tables(lua_State *L) {
  struct both *const both = lua_touserdata(L, 1);
  lua_settop(L, 0);
  both->ours = L;
  for (int i = 0; i < TABLE_CASES; i++) compare_table(both);
  for (int i = 0; i < TABLE_CASES / 40; i++) compare_sort(both);
  return 0;
}

static void compare(lua_CFunction function) {
  struct cox_faults faults = {0};
  struct cox_err err;
  struct cox_sources *const sources = cox_sources_read("scripts", "lua", &faults);
  struct cox_vm *const vm = cox_vm_create(&(struct cox_vm_options){.context = COX_CONTEXT_DRIVERS, .sources = sources, .clock = cox_clock_system()}, &err);
  struct both both = {.real = luaL_newstate()};
  luaL_openlibs(both.real);
  const char *const given = getenv("COX_SEED");
  seed = given != NULL ? strtoull(given, NULL, 10) : 20240607;
  cox_rng_init(&rng, seed);
  if (cox_vm_call(vm, function, &both, 1000, &err) != 0) fail_msg("%s", err.text);
  lua_close(both.real);
  cox_vm_destroy(vm);
  cox_sources_release(sources);
  cox_faults_fini(&faults);
}

static void patterns_match_as_the_real_library_matches(void **state) {
  (void)state;
  compare(compare_patterns);
}

static void the_table_library_does_what_the_real_one_does(void **state) {
  (void)state;
  compare(compare_tables);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(patterns_match_as_the_real_library_matches),
      cmocka_unit_test(the_table_library_does_what_the_real_one_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
