#include "script/convert.h"

#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/vm.h"

static const char list_key, shared_key;

enum { PATH_BYTES = 200, VALUE_BYTES = 64 /* about what jansson needs for one */ };

void cox_convert_push_null(lua_State *L) { lua_pushlightuserdata(L, NULL); }

/* ---- to Lua ---- */

static void push_list_mark(lua_State *L) {
  cox_vm_push_kept(L, &list_key);
  if (lua_type(L, -1) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushboolean(L, 0); /* a script that got hold of it could give all lists a finalizer */
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -1);
  cox_vm_keep(L, &list_key);
}

static bool is_marked_list(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  cox_vm_push_kept(L, &list_key);
  const bool is_marked = lua_rawequal(L, -1, -2) != 0;
  lua_pop(L, 2);
  return is_marked;
}

void cox_convert_mark_list(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (is_marked_list(L, index)) return;
  if (lua_getmetatable(L, index)) luaL_error(L, "a table with a metatable of its own cannot be marked as a list");
  push_list_mark(L);
  lua_setmetatable(L, index);
}

static void push_list(lua_State *L, const json_t *list) {
  const size_t len = json_array_size(list);
  lua_createtable(L, (int)len, 0);
  for (size_t i = 0; i < len; i++) {
    const json_t *const item = json_array_get(list, i);
    if (json_is_null(item)) cox_convert_push_null(L);
    else cox_convert_push(L, item);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  if (len == 0) cox_convert_mark_list(L, -1);
}

static void push_object(lua_State *L, json_t *object) {
  lua_createtable(L, 0, (int)json_object_size(object));
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    if (json_is_null(value)) continue;
    lua_pushstring(L, key);
    cox_convert_push(L, value);
    lua_rawset(L, -3);
  }
}

void cox_convert_push(lua_State *L, const json_t *value) {
  luaL_checkstack(L, 8, "a value is nested too deeply");
  switch (value != NULL ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT: push_object(L, (json_t *)(uintptr_t)value); break;
    case JSON_ARRAY: push_list(L, value); break;
    case JSON_STRING: lua_pushlstring(L, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER: lua_pushinteger(L, json_integer_value(value)); break;
    case JSON_REAL: lua_pushnumber(L, json_real_value(value)); break;
    case JSON_TRUE: lua_pushboolean(L, 1); break;
    case JSON_FALSE: lua_pushboolean(L, 0); break;
    case JSON_NULL: lua_pushnil(L); break;
  }
}

static void push_shared_table(lua_State *L) {
  cox_vm_push_kept(L, &shared_key);
  if (lua_type(L, -1) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k"); /* a table that nobody has any more lets go of its json value */
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  cox_vm_keep(L, &shared_key);
}

void cox_convert_push_made(lua_State *L, struct cox_held **held, json_t *value) {
  cox_vm_take_json(L, held, value);
  cox_convert_push_shared(L, value);
  cox_vm_release(L, held);
  lua_remove(L, -2);
}

void cox_convert_push_shared(lua_State *L, json_t *value) {
  cox_convert_push(L, value);
  if (!lua_istable(L, -1)) return;
  push_shared_table(L);
  lua_pushvalue(L, -2);
  struct cox_held **const held = cox_vm_push_holder(L);
  cox_vm_hold_json(L, held, value);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* ---- to jansson; nothing here throws ---- */

/* One step on the way to the value at hand; put into words only when something is wrong with it. */
struct step {
  const char *key; /* NULL: an index */
  size_t index;
};

struct taking {
  struct cox_guard *guard;
  struct cox_err *err;
  const char *what;
  size_t bytes; /* so far */
  bool is_told; /* why not stands in `err`; else it was memory */
  int depth;
  struct step path[COX_CONVERT_DEPTH_MAX + 2];
};

static json_t *fail(struct taking *taking, const char *why) {
  char path[PATH_BYTES] = "";
  size_t len = 0;
  for (int i = 0; i < taking->depth && len < sizeof path - 1; i++) {
    const struct step *const step = &taking->path[i];
    const char *const dot = len > 0 || taking->what[0] != '\0' ? "." : "";
    const int more = step->key != NULL ? snprintf(path + len, sizeof path - len, "%s%.60s", dot, step->key)
                                       : snprintf(path + len, sizeof path - len, "[%zu]", step->index);
    if (more > 0) len += (size_t)more;
  }
  cox_err_set(taking->err, COX_EINVAL, "%s%s %s", taking->what, path, why);
  taking->is_told = true;
  return NULL;
}

static json_t *take(lua_State *L, int index, struct taking *taking);

static json_t *shared_of(lua_State *L, int index) {
  cox_vm_push_kept(L, &shared_key);
  json_t *value = NULL;
  if (lua_istable(L, -1)) {
    lua_pushvalue(L, index);
    lua_rawget(L, -2);
    struct cox_held *const *const held = lua_touserdata(L, -1);
    if (held != NULL && *held != NULL) value = json_incref((*held)->value);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return value;
}

static json_t *take_list(lua_State *L, int index, size_t len, struct taking *taking) {
  json_t *const list = json_array();
  struct step *const step = &taking->path[taking->depth++];
  step->key = NULL;
  for (step->index = 1; step->index <= len; step->index++) {
    lua_rawgeti(L, index, (lua_Integer)step->index);
    json_t *const item = take(L, lua_gettop(L), taking);
    lua_pop(L, 1);
    if (item == NULL || json_array_append_new(list, item) != 0) {
      json_decref(list);
      return NULL;
    }
  }
  taking->depth--;
  return list;
}

/* Of the pair on top of the stack; NULL: something is wrong with it. */
static json_t *take_pair(lua_State *L, const char **name, struct taking *taking) {
  if (lua_type(L, -2) != LUA_TSTRING) return fail(taking, "must be a list (1, 2, 3 …) or have names as keys, not both");
  size_t key_len;
  const char *const key = lua_tolstring(L, -2, &key_len);
  taking->path[taking->depth++].key = key;
  if (strlen(key) != key_len) return fail(taking, "has a zero byte in its name");
  json_t *const value = take(L, lua_gettop(L), taking);
  if (value == NULL) return NULL;
  *name = key;
  taking->depth--;
  return value;
}

static bool add_pair(json_t *object, const char *name, json_t *value, struct taking *taking) {
  if (json_object_set_new(object, name, value) == 0) return true;
  taking->path[taking->depth++].key = name;
  return fail(taking, "has a name that is not UTF-8, or there is no memory for it") != NULL;
}

static json_t *take_object(lua_State *L, int index, struct taking *taking) {
  json_t *object = json_object();
  if (object == NULL) return NULL;
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    const char *name;
    json_t *const value = take_pair(L, &name, taking);
    if (value == NULL || !add_pair(object, name, value, taking)) {
      json_decref(object);
      lua_pop(L, 2);
      return NULL;
    }
    lua_pop(L, 1);
  }
  return object;
}

static json_t *take_table(lua_State *L, int index, struct taking *taking) {
  if (taking->depth >= COX_CONVERT_DEPTH_MAX || !lua_checkstack(L, 8)) return fail(taking, "is nested too deeply (a table inside of itself?)");
  json_t *const shared = shared_of(L, index);
  if (shared != NULL) return shared;
  const size_t len = lua_rawlen(L, index);
  if (len == 0) return is_marked_list(L, index) ? json_array() : take_object(L, index, taking);
  size_t keys = 0;
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    keys++;
    lua_pop(L, 1);
  }
  if (keys != len) return fail(taking, "must be a list (1, 2, 3 …) or have names as keys, not both");
  return take_list(L, index, len, taking);
}

static json_t *take(lua_State *L, int index, struct taking *taking) {
  taking->bytes += VALUE_BYTES;
  if (lua_type(L, index) == LUA_TSTRING) taking->bytes += lua_rawlen(L, index);
  if (taking->bytes > COX_CONVERT_BYTES_MAX) return fail(taking, "is too large: more than 32 MiB as plain data");
  if (cox_guard_is_cut(taking->guard)) return fail(taking, "could not be converted within the time budget");
  switch (lua_type(L, index)) {
    case LUA_TNIL: return json_null();
    case LUA_TBOOLEAN: return json_boolean(lua_toboolean(L, index));
    case LUA_TTABLE: return take_table(L, index, taking);
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, index) == NULL) return json_null();
      break;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) return json_integer(lua_tointeger(L, index));
      if (isfinite(lua_tonumber(L, index))) return json_real(lua_tonumber(L, index));
      return fail(taking, "must be a finite number");
    case LUA_TSTRING: {
      size_t len;
      const char *const text = lua_tolstring(L, index, &len);
      json_t *const value = json_stringn(text, len);
      return value != NULL ? value : fail(taking, "must be text in UTF-8 (or there is no memory for it)");
    }
    default: break;
  }
  char why[64];
  snprintf(why, sizeof why, "must be plain data, not a %s", lua_typename(L, lua_type(L, index)));
  return fail(taking, why);
}

/* Its path is filled as it is walked: clearing it would cost more than most values. */
static void begin(struct taking *taking, lua_State *L, const char *what, struct cox_err *err) {
  struct cox_vm *const vm = cox_vm_of(L);
  taking->guard = &vm->guard;
  taking->err = err;
  taking->what = what;
  taking->bytes = 0;
  taking->depth = 0;
  taking->is_told = false;
}

int cox_convert_take_fields(lua_State *L, int index, const char *what, cox_convert_know_fn *know, cox_convert_set_fn *set, void *arg,
                            struct cox_err *err) {
  struct taking taking;
  begin(&taking, L, what, err);
  index = lua_absindex(L, index);
  if (!lua_checkstack(L, 8)) return cox_err_set(err, COX_EINVAL, "%s is nested too deeply", what);
  int rc = 0;
  lua_pushnil(L);
  while (rc == 0 && lua_next(L, index) != 0) {
    if (know(arg, L)) {
      lua_pop(L, 1);
      continue;
    }
    const char *name;
    json_t *const value = take_pair(L, &name, &taking);
    if (value == NULL && !taking.is_told) cox_err_set(err, COX_ENOMEM, "%s could not be converted: out of memory", what);
    rc = value != NULL ? set(arg, name, value, err) : err->code;
    lua_pop(L, 1);
  }
  if (rc != 0) lua_pop(L, 1);
  return rc;
}

json_t *cox_convert_take(lua_State *L, int index, const char *what, struct cox_err *err) {
  struct taking taking;
  begin(&taking, L, what, err);
  if (!lua_checkstack(L, 8)) return fail(&taking, "is nested too deeply");
  json_t *const value = take(L, lua_absindex(L, index), &taking);
  if (value == NULL && !taking.is_told) cox_err_set(err, COX_ENOMEM, "%s could not be converted: out of memory", what);
  return value;
}

/* ---- to text ---- */

struct text {
  struct cox_guard *guard;
  char *bytes;
  size_t len, capacity;
};

static int append(const char *bytes, size_t len, void *arg) {
  struct text *const text = arg;
  if (text->len + len >= COX_CONVERT_TEXT_BYTES_MAX || cox_guard_is_cut(text->guard)) return -1;
  if (text->len + len >= text->capacity) {
    const size_t capacity = (text->len + len + 64) * 2;
    char *const grown = realloc(text->bytes, capacity);
    if (grown == NULL) return -1;
    text->bytes = grown;
    text->capacity = capacity;
  }
  memcpy(text->bytes + text->len, bytes, len);
  text->len += len;
  text->bytes[text->len] = '\0';
  return 0;
}

char *cox_convert_text(lua_State *L, const json_t *value, bool is_sorted, const char *what, struct cox_err *err) {
  struct text text = {.guard = &cox_vm_of(L)->guard};
  const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | (is_sorted ? JSON_SORT_KEYS : 0);
  if (json_dump_callback(value, append, &text, flags) == 0) return text.bytes;
  free(text.bytes);
  cox_err_set(err, COX_EINVAL, "%s could not be written: longer than %d MiB, or no memory or time was left", what,
              COX_CONVERT_TEXT_BYTES_MAX / 1024 / 1024);
  return NULL;
}
