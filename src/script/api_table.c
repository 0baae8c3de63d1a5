/* `table` for scripts. All of it is our own: the library's loops cannot be stopped (a __len may say 2^60), and its sort picks pivots
 * by the clock, so that equal items come out in another order each time. Items are read and written with their metamethods.       */
#include <lauxlib.h>
#include <lualib.h>

#include "script/api_libraries.h"
#include "script/vm.h"

enum { ITEMS_MAX = 1000000 };

/* ---- what all share ---- */

/* The length of the list at index 1, which may be any value that acts like one. */
static lua_Integer check_list(lua_State *L) {
  if (lua_type(L, 1) != LUA_TTABLE) {
    if (luaL_getmetafield(L, 1, "__len") == LUA_TNIL) luaL_checktype(L, 1, LUA_TTABLE);
    lua_pop(L, 1);
  }
  return luaL_len(L, 1);
}

static lua_Integer count_of(lua_State *L, lua_Integer first, lua_Integer last) {
  if (first > last) return 0;
  const lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)first;
  if (count >= ITEMS_MAX) luaL_error(L, "more than %d items are too many for one call of the table library", ITEMS_MAX);
  return (lua_Integer)count + 1;
}

/* ---- concat ---- */

static int concat(lua_State *L) {
  const lua_Integer len = check_list(L);
  size_t separator_len;
  const char *const separator = luaL_optlstring(L, 2, "", &separator_len);
  const lua_Integer first = luaL_optinteger(L, 3, 1), count = count_of(L, first, luaL_optinteger(L, 4, len));
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  for (lua_Integer i = 0; i < count; i++) {
    cox_guard_check(L);
    if (i > 0) luaL_addlstring(&out, separator, separator_len);
    lua_geti(L, 1, first + i);
    if (lua_isstring(L, -1) == 0) {
      return luaL_error(L, "invalid value (at index %I) in table for 'concat': a %s", (LUAI_UACINT)(first + i), luaL_typename(L, -1));
    }
    luaL_addvalue(&out);
  }
  luaL_pushresult(&out);
  return 1;
}

/* ---- insert, remove, move ---- */

/* Items `first` … `last` of the list at `from` go to `to` in the list at `into`, in the order that overlapping allows. */
static void move_items(lua_State *L, int from, lua_Integer first, lua_Integer count, int into, lua_Integer to) {
  const bool is_forward = to <= first || to >= first + count || lua_compare(L, from, into, LUA_OPEQ) == 0;
  for (lua_Integer i = 0; i < count; i++) {
    cox_guard_check(L);
    const lua_Integer place = is_forward ? i : count - 1 - i;
    lua_geti(L, from, first + place);
    lua_seti(L, into, to + place);
  }
}

static int insert(lua_State *L) {
  const lua_Integer len = check_list(L), end = (lua_Integer)((lua_Unsigned)len + 1);
  const int count = lua_gettop(L);
  if (count != 2 && count != 3) return luaL_error(L, "wrong number of arguments to 'insert'");
  const lua_Integer position = count == 2 ? end : luaL_checkinteger(L, 2);
  luaL_argcheck(L, (lua_Unsigned)position - 1 < (lua_Unsigned)end, 2, "position out of bounds");
  move_items(L, 1, position, count_of(L, position, len), 1, position + 1);
  lua_settop(L, count);
  lua_seti(L, 1, position);
  return 0;
}

static int remove_item(lua_State *L) {
  const lua_Integer len = check_list(L), position = luaL_optinteger(L, 2, len);
  if (position != len) luaL_argcheck(L, (lua_Unsigned)position - 1 <= (lua_Unsigned)len, 2, "position out of bounds");
  lua_geti(L, 1, position);
  if (position < len) move_items(L, 1, position + 1, count_of(L, position + 1, len), 1, position);
  lua_pushnil(L);
  lua_seti(L, 1, position < len ? len : position);
  return 1;
}

static int move(lua_State *L) {
  const lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
  const int into = lua_isnoneornil(L, 5) ? 1 : 5;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, into, LUA_TTABLE);
  const lua_Integer count = count_of(L, first, last);
  luaL_argcheck(L, count == 0 || to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
  move_items(L, 1, first, count, into, to);
  lua_pushvalue(L, into);
  return 1;
}

/* ---- pack, unpack ---- */

static int pack(lua_State *L) {
  const int count = lua_gettop(L);
  lua_createtable(L, count, 1);
  lua_insert(L, 1);
  for (int i = count; i > 0; i--) lua_rawseti(L, 1, i);
  lua_pushinteger(L, count);
  lua_setfield(L, 1, "n");
  return 1;
}

static int unpack(lua_State *L) {
  const lua_Integer first = luaL_optinteger(L, 2, 1);
  const lua_Integer last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
  if (first > last) return 0;
  const lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)first;
  if (count >= ITEMS_MAX || lua_checkstack(L, (int)count + 1) == 0) return luaL_error(L, "too many results to unpack");
  for (lua_Integer i = 0; i <= (lua_Integer)count; i++) {
    cox_guard_check(L);
    lua_geti(L, 1, first + i);
  }
  return (int)count + 1;
}

/* ---- sort: merges runs of 1, 2, 4, … items between two lists; stable, and no order of a comparator's can lead it astray ---- */

enum { SORT_ORDER = 2, SORT_FROM = 3, SORT_TO = 4 };

/* Must the item on top stand before the one below it? Pops neither. */
static bool is_before(lua_State *L) {
  if (lua_isnil(L, SORT_ORDER)) return lua_compare(L, -1, -2, LUA_OPLT) != 0;
  lua_pushvalue(L, SORT_ORDER);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -4);
  lua_call(L, 2, 1);
  const bool is_less = lua_toboolean(L, -1) != 0;
  lua_pop(L, 1);
  return is_less;
}

/* Items left … middle-1 and middle … right-1 of one list become one run of the other. */
static void merge(lua_State *L, int from, int to, lua_Integer left, lua_Integer middle, lua_Integer right) {
  lua_Integer a = left, b = middle;
  for (lua_Integer out = left; out < right; out++) {
    cox_guard_check(L);
    bool takes_right = a >= middle;
    if (!takes_right && b < right) {
      lua_rawgeti(L, from, a);
      lua_rawgeti(L, from, b);
      takes_right = is_before(L);
      lua_pop(L, 2);
    }
    lua_rawgeti(L, from, takes_right ? b++ : a++);
    lua_rawseti(L, to, out);
  }
}

static void merge_all(lua_State *L, lua_Integer count) {
  for (lua_Integer width = 1; width < count; width *= 2) {
    for (lua_Integer left = 1; left <= count; left += 2 * width) {
      const lua_Integer end = count + 1, middle = left + width < end ? left + width : end;
      merge(L, SORT_FROM, SORT_TO, left, middle, middle + width < end ? middle + width : end);
    }
    lua_pushvalue(L, SORT_FROM);
    lua_copy(L, SORT_TO, SORT_FROM);
    lua_replace(L, SORT_TO);
  }
}

static int sort(lua_State *L) {
  const lua_Integer count = count_of(L, 1, check_list(L));
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  if (count < 2) return 0;
  lua_createtable(L, (int)count, 0);
  lua_createtable(L, (int)count, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    cox_guard_check(L);
    lua_geti(L, 1, i);
    lua_rawseti(L, SORT_FROM, i);
  }
  merge_all(L, count);
  for (lua_Integer i = 1; i <= count; i++) {
    cox_guard_check(L);
    lua_rawgeti(L, SORT_FROM, i);
    lua_seti(L, 1, i);
  }
  return 0;
}

void cox_api_table_open(lua_State *L) {
  static const luaL_Reg own[] = {{"concat", concat}, {"insert", insert}, {"move", move},     {"pack", pack},
                                 {"remove", remove_item}, {"sort", sort}, {"unpack", unpack}, {NULL, NULL}};
  luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 1);
  luaL_setfuncs(L, own, 0);
  lua_pop(L, 1);
}
