#include "script/take_target.h"

#include <string.h>

#include "script/convert.h"
#include "script/vm.h"

static const char names_key;

struct making {
  const struct cox_target_taker *taker;
  struct cox_target *target;
  bool has_news; /* a text or a list that the last target has not */
};

/* Short strings are in a Lua state once: as long as it is kept, no other text has its address. */
static const char *keep_name(lua_State *L, const char *name) {
  const char *const kept = lua_pushstring(L, name);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  return kept;
}

void cox_target_taker_init(lua_State *L, struct cox_target_taker *taker) {
  lua_newtable(L);
  for (int i = 0; i < COX_TARGET_PARAMS; i++) taker->params[i] = keep_name(L, cox_target_param_name((enum cox_target_param)i));
  taker->status = keep_name(L, "status");
  taker->poc = keep_name(L, "poc");
  cox_vm_keep(L, &names_key);
}

void cox_target_taker_fini(struct cox_target_taker *taker) { cox_target_release(taker->last); }

/* ---- what needs no conversion ---- */

static bool is_text(lua_State *L, const json_t *value) {
  size_t len;
  const char *const text = lua_tolstring(L, -1, &len);
  return json_string_length(value) == len && memcmp(json_string_value(value), text, len) == 0;
}

/* Is the table on top of the stack a list of the same texts? Leaves it there. */
static bool is_list(lua_State *L, const json_t *last) {
  size_t count = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    const json_t *const item = json_array_get(last, count++);
    const bool is_same = lua_isinteger(L, -2) && lua_tointeger(L, -2) == (lua_Integer)count && lua_type(L, -1) == LUA_TSTRING &&
                         json_is_string(item) && is_text(L, item);
    lua_pop(L, is_same ? 1 : 2);
    if (!is_same) return false;
  }
  return count > 0 && count == json_array_size(last); /* an empty table may be none */
}

/* A new reference to the value on top of the stack; NULL: it is none of those, or there is no memory. */
static json_t *known_value(lua_State *L, json_t *last, bool *has_news) {
  switch (lua_type(L, -1)) {
    case LUA_TSTRING:
      if (json_is_string(last) && is_text(L, last)) return json_incref(last);
      *has_news = true;
      return NULL;
    case LUA_TNUMBER:
      if (!lua_isinteger(L, -1)) return NULL;
      if (json_is_integer(last) && json_integer_value(last) == lua_tointeger(L, -1)) return json_incref(last);
      return json_integer(lua_tointeger(L, -1));
    case LUA_TTABLE:
      if (json_is_array(last) && is_list(L, last)) return json_incref(last);
      *has_news = true;
      return NULL;
    default: return NULL;
  }
}

static bool is_name(lua_State *L, const char *name) { return lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), name) == 0; }

/* Of the pair on top of the stack. */
static bool take_known(void *arg, lua_State *L) {
  struct making *const making = arg;
  const struct cox_target_taker *const taker = making->taker;
  const struct cox_target *const last = taker->last;
  if (lua_type(L, -2) != LUA_TSTRING) return false;
  const char *const key = lua_tostring(L, -2);
  for (int i = 0; i < COX_TARGET_PARAMS; i++) {
    if (taker->params[i] != key) continue;
    making->target->params[i] = known_value(L, last != NULL ? last->params[i] : NULL, &making->has_news);
    return making->target->params[i] != NULL;
  }
  if (last == NULL) making->has_news = true;
  else if (key == taker->status && is_name(L, cox_status_name(last->status))) making->target->status = last->status;
  else if (key == taker->poc && is_name(L, cox_poc_name(last->poc))) making->target->poc = last->poc;
  else return false;
  return last != NULL;
}

static int set_field(void *arg, const char *name, json_t *value, struct cox_err *err) {
  struct making *const making = arg;
  return cox_target_set(making->target, name, value, err);
}

/* ---- the whole ---- */

static int take_reason(lua_State *L, int index, struct making *making, struct cox_err *err) {
  if (lua_isnoneornil(L, index)) return 0;
  const struct cox_target *const last = making->taker->last;
  lua_pushvalue(L, index);
  json_t *reason = lua_type(L, -1) == LUA_TSTRING ? known_value(L, last != NULL ? last->reason : NULL, &making->has_news) : NULL;
  lua_pop(L, 1);
  if (reason == NULL) reason = cox_convert_take(L, index, "reason", err);
  if (reason == NULL) return COX_EINVAL;
  if (!json_is_string(reason)) return cox_target_set(making->target, "reason", reason, err);
  json_decref(making->target->reason);
  making->target->reason = reason;
  return 0;
}

/* The next one is likely to be as this one. */
static void remember(struct cox_target_taker *taker, struct cox_target *target) {
  cox_target_release(taker->last);
  taker->last = cox_target_hold(target);
}

struct cox_target *cox_target_take(lua_State *L, int index, int reason, struct cox_target_taker *taker, struct cox_err *err) {
  struct making making = {.taker = taker, .target = cox_target_begin()};
  if (making.target == NULL) {
    cox_err_set(err, COX_ENOMEM, "target: out of memory");
    return NULL;
  }
  int rc = cox_convert_take_fields(L, index, "target", take_known, set_field, &making, err);
  if (rc == 0) rc = take_reason(L, reason, &making, err);
  if (rc == 0) rc = cox_target_check(making.target, err);
  if (rc == 0) {
    if (making.has_news) remember(taker, making.target);
    return making.target;
  }
  cox_target_release(making.target);
  return NULL;
}
