#include "script/take_target.h"

#include <string.h>

#include "script/convert.h"
#include "script/vm.h"

static const char names_key;

struct making {
  struct cox_target_taker *taker;
  struct cox_target target;
  int step;      /* pairs so far */
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
  for (int i = 0; i < COX_TARGET_TEXTS; i++) { /* first: there is room for a text at each of these places, for ever */
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, i + 1);
  }
  for (int i = 0; i < COX_TARGET_PARAMS; i++) taker->keys[i] = keep_name(L, cox_target_param_name((enum cox_target_param)i));
  taker->keys[COX_TARGET_KEY_STATUS] = keep_name(L, "status");
  taker->keys[COX_TARGET_KEY_POC] = keep_name(L, "poc");
  for (int i = 0; i < COX_STATUS_COUNT; i++) {
    if (i != COX_STATUS_UNKNOWN && i != COX_STATUS_FAILED) taker->statuses[i] = keep_name(L, cox_status_name((enum cox_status)i));
  }
  for (int i = 0; i < COX_POC_COUNT; i++) taker->pocs[i] = keep_name(L, cox_poc_name((enum cox_poc)i));
  cox_vm_keep(L, &names_key);
}

void cox_target_taker_fini(struct cox_target_taker *taker) {
  cox_target_release(taker->last);
  for (int i = 0; i < COX_STATUS_COUNT; i++) cox_target_release(taker->bare[i]);
  json_decref(taker->reason);
}

/* ---- what needs no conversion ---- */

static bool is_text(lua_State *L, const json_t *value) {
  size_t len;
  const char *const text = lua_tolstring(L, -1, &len);
  return json_string_length(value) == len && memcmp(json_string_value(value), text, len) == 0;
}

/* Is the text on top of the stack the same as `last`, which is the text of that place? Then its address says so from now on. */
static bool is_last_text(lua_State *L, struct cox_target_taker *taker, int place, const json_t *last) {
  const char *const text = lua_tostring(L, -1);
  if (!json_is_string(last)) return false;
  if (taker->texts[place] == text) return true;
  if (!is_text(L, last)) return false;
  cox_vm_push_kept(L, &names_key);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, place + 1); /* there is room: never throws */
  lua_pop(L, 1);
  taker->texts[place] = text;
  return true;
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

static json_t *known_text(lua_State *L, struct making *making, int place, json_t *last) {
  if (is_last_text(L, making->taker, place, last)) return json_incref(last);
  making->taker->texts[place] = NULL;
  making->has_news = true;
  return NULL;
}

/* A new reference to the value on top of the stack; NULL: it is none of those, or there is no memory. */
static json_t *known_value(lua_State *L, struct making *making, int place) {
  json_t *const last = making->taker->last != NULL ? making->taker->last->params[place] : NULL;
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: return known_text(L, making, place, last);
    case LUA_TNUMBER:
      if (!lua_isinteger(L, -1) || !cox_target_takes_integer((enum cox_target_param)place, lua_tointeger(L, -1))) return NULL;
      if (json_is_integer(last) && json_integer_value(last) == lua_tointeger(L, -1)) return json_incref(last);
      return json_integer(lua_tointeger(L, -1));
    case LUA_TTABLE:
      if (json_is_array(last) && is_list(L, last)) return json_incref(last);
      making->has_news = true;
      return NULL;
    default: return NULL;
  }
}

/* Which of the names the value on top of the stack is; -1: none of them. */
static int find_name(lua_State *L, const char *const *names, int count) {
  const char *const name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  for (int i = 0; name != NULL && i < count; i++) {
    if (names[i] == name) return i;
  }
  return -1;
}

static bool take_name(lua_State *L, struct making *making, int key) {
  const struct cox_target_taker *const taker = making->taker;
  const bool is_status = key == COX_TARGET_KEY_STATUS;
  const int value = is_status ? find_name(L, taker->statuses, COX_STATUS_COUNT) : find_name(L, taker->pocs, COX_POC_COUNT);
  if (value < 0) return false;
  if (is_status) making->target.status = (enum cox_status)value;
  else making->target.poc = (enum cox_poc)value;
  return true;
}

/* Which key the text is, COX_TARGET_KEYS: none. */
static int find_key(struct cox_target_taker *taker, const char *text, int step) {
  if (step >= COX_TARGET_KEYS) return COX_TARGET_KEYS;
  if (taker->keys[taker->order[step]] == text) return taker->order[step];
  int key = 0;
  while (key < COX_TARGET_KEYS && taker->keys[key] != text) key++;
  if (key < COX_TARGET_KEYS) taker->order[step] = (unsigned char)key;
  return key;
}

/* Of the pair on top of the stack. */
static bool take_known(void *arg, lua_State *L) {
  struct making *const making = arg;
  if (lua_type(L, -2) != LUA_TSTRING) return false;
  const int key = find_key(making->taker, lua_tostring(L, -2), making->step++);
  if (key >= COX_TARGET_PARAMS) return key < COX_TARGET_KEYS && take_name(L, making, key);
  making->target.params[key] = known_value(L, making, key);
  return making->target.params[key] != NULL;
}

static int set_field(void *arg, const char *name, json_t *value, struct cox_err *err) {
  struct making *const making = arg;
  return cox_target_set(&making->target, name, value, err);
}

/* ---- the whole ---- */

/* The next one is likely to have the same. */
static void remember_reason(struct cox_target_taker *taker, json_t *reason) {
  json_decref(taker->reason);
  taker->reason = json_incref(reason);
  taker->texts[COX_TARGET_TEXT_REASON] = NULL;
}

static int take_reason(lua_State *L, int index, struct making *making, struct cox_err *err) {
  if (lua_isnoneornil(L, index)) return 0;
  struct cox_target_taker *const taker = making->taker;
  lua_pushvalue(L, index);
  const bool is_last = lua_type(L, -1) == LUA_TSTRING && is_last_text(L, taker, COX_TARGET_TEXT_REASON, taker->reason);
  lua_pop(L, 1);
  json_t *const reason = is_last ? json_incref(taker->reason) : cox_convert_take(L, index, "reason", err);
  if (reason == NULL) return COX_EINVAL;
  const bool is_good = json_is_string(reason) && json_string_length(reason) <= COX_TARGET_REASON_BYTES_MAX;
  if (!is_good) return cox_target_set(&making->target, "reason", reason, err);
  if (!is_last) remember_reason(taker, reason);
  json_decref(making->target.reason);
  making->target.reason = reason;
  return 0;
}

static bool is_bare(const struct cox_target *target) {
  for (int i = 0; i < COX_TARGET_PARAMS; i++) {
    if (target->params[i] != NULL) return false;
  }
  return true;
}

/* By the values' addresses. */
static bool is_same(const struct cox_target *left, const struct cox_target *right) {
  return left != NULL && left->status == right->status && left->poc == right->poc && left->drain_s == right->drain_s &&
         left->reason == right->reason && memcmp(left->params, right->params, sizeof left->params) == 0;
}

/* Of two that are not the same: is it more than another number? */
static bool is_news(const struct cox_target *last, const struct cox_target *made) {
  return last == NULL || last->status != made->status || last->poc != made->poc || last->reason != made->reason;
}

static void replace(struct cox_target **slot, struct cox_target *target) {
  cox_target_release(*slot);
  *slot = cox_target_hold(target);
}

/* One that was made before when it says the very same, else a new one; the next one is likely to be as this one. */
static struct cox_target *share(struct making *making) {
  struct cox_target_taker *const taker = making->taker;
  struct cox_target *const made = &making->target;
  struct cox_target **const slot = is_bare(made) ? &taker->bare[made->status] : &taker->last;
  if (is_same(*slot, made)) return cox_target_hold(*slot);
  const bool is_kept = making->has_news || slot != &taker->last || is_news(taker->last, made);
  struct cox_target *const target = cox_target_share(made);
  if (target != NULL && is_kept) replace(slot, target);
  return target;
}

struct cox_target *cox_target_take(lua_State *L, int index, int reason, struct cox_target_taker *taker, struct cox_err *err) {
  struct making making = {.taker = taker, .target = COX_TARGET_NOTHING};
  struct cox_target *target = NULL;
  int rc = cox_convert_take_fields(L, index, "target", take_known, set_field, &making, err);
  if (rc == 0) rc = take_reason(L, reason, &making, err);
  if (rc == 0) rc = cox_target_check(&making.target, err);
  if (rc == 0) target = share(&making);
  if (rc == 0 && target == NULL) cox_err_set(err, COX_ENOMEM, "target: out of memory");
  cox_target_drop(&making.target);
  return target;
}
