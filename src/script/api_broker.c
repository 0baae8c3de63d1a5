/* The `broker` of command handlers: what it reads comes from the transaction, what it does goes into it. */
#include <lauxlib.h>
#include <string.h>

#include "script/api.h"
#include "script/convert.h"
#include "script/policy.h"
#include "script/sandbox.h"

#define BROKER_TYPE "coxswain.Broker"

#define EXPIRES_MAX_S 253402300799.0 /* the end of year 9999: a later time has no RFC 3339 text */

static const char broker_key, world_key, skip_key;

static struct cox_txn *check_txn(lua_State *L) {
  luaL_checkudata(L, 1, BROKER_TYPE);
  return cox_policy_vm_check(L)->txn;
}

/* A text that jansson and C understand. */
static const char *check_text(lua_State *L, int index, const char *what) {
  size_t len;
  const char *const text = luaL_checklstring(L, index, &len);
  if (strlen(text) != len) luaL_error(L, "%s has a zero byte in it", what);
  return text;
}

/* ---- reading ---- */

static int next_node(lua_State *L) {
  struct cox_txn *const txn = cox_policy_vm_check(L)->txn;
  lua_Integer slot = lua_tointeger(L, lua_upvalueindex(1));
  const lua_Integer count = (lua_Integer)cox_txn_count(txn);
  for (; slot < count; slot++) {
    if (!cox_policy_node_push(L, lua_upvalueindex(2), (int)slot)) continue;
    lua_pushinteger(L, slot + 1);
    lua_replace(L, lua_upvalueindex(1));
    return 1;
  }
  return 0;
}

static int nodes(lua_State *L) {
  check_txn(L);
  lua_pushinteger(L, 0);
  cox_policy_nodes_push(L);
  lua_pushcclosure(L, next_node, 2);
  return 1;
}

static int push_node(lua_State *L, int slot) {
  cox_policy_nodes_push(L);
  return cox_policy_node_push(L, lua_gettop(L), slot) ? 1 : 0;
}

static int node(lua_State *L) {
  struct cox_txn *const txn = check_txn(L);
  const int slot = cox_txn_find(txn, check_text(L, 2, "a node's id"));
  return slot != COX_TXN_NONE ? push_node(L, slot) : 0;
}

static int block_hash(lua_State *L) {
  const char *const hash = cox_txn_block_hash(check_txn(L), luaL_checkinteger(L, 2));
  if (hash == NULL) return 0;
  lua_pushstring(L, hash);
  return 1;
}

static int node_count(lua_State *L) {
  struct cox_txn *const txn = check_txn(L);
  lua_pushinteger(L, cox_txn_node_count(txn, luaL_checkinteger(L, 2), check_text(L, 3, "a block's hash")));
  return 1;
}

/* ---- the world ---- */

static void push_new_world(lua_State *L, const struct cox_policy_vm *policy, json_t *world) {
  cox_vm_push_kept(L, &world_key); /* the old one, or nil */
  lua_createtable(L, 0, (int)json_object_size(world));
  const char *key;
  json_t *value;
  json_object_foreach(world, key, value) {
    /* What is the very same value as before keeps its table: with thousands of nodes this is what a block costs. */
    if (policy->world != NULL && json_object_get(policy->world, key) == value && lua_istable(L, -2)) lua_getfield(L, -2, key);
    else cox_convert_push_shared(L, value);
    lua_setfield(L, -2, key);
  }
  lua_remove(L, -2);
}

void cox_policy_world_push(lua_State *L) {
  struct cox_policy_vm *const policy = cox_policy_vm_check(L);
  json_t *const world = cox_txn_world(policy->txn);
  if (world == NULL) {
    lua_pushnil(L);
    return;
  }
  if (policy->world == world) {
    cox_vm_push_kept(L, &world_key);
    return;
  }
  push_new_world(L, policy, world);
  lua_pushvalue(L, -1);
  cox_vm_keep(L, &world_key);
  json_decref(policy->world);
  policy->world = json_incref(world);
}

static int set_world(lua_State *L) {
  struct cox_txn *const txn = check_txn(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct cox_err err;
  json_t *const world = cox_convert_take(L, 2, "world", &err);
  if (world == NULL) return luaL_error(L, "%s", err.text);
  const bool is_object = json_is_object(world);
  if (is_object) cox_txn_set_world(txn, world);
  json_decref(world);
  return is_object ? 0 : luaL_error(L, "the world must be a table with named fields");
}

/* ---- effects ---- */

/* The node of that table, checked; both return values are nil and a sentence when the core says no. */
static int put_node(lua_State *L, int (*put)(struct cox_txn *, json_t *, struct cox_err *)) {
  struct cox_txn *const txn = check_txn(L);
  struct cox_err err = {0};
  json_t *const object = cox_convert_take(L, 2, "node", &err);
  if (object == NULL) return cox_policy_refuse(L, COX_EINVAL, err.text);
  const int slot = put(txn, object, &err);
  json_decref(object);
  return slot >= 0 ? push_node(L, slot) : cox_policy_refuse(L, slot, err.text);
}

static int register_node(lua_State *L) { return put_node(L, cox_txn_register); }
static int update(lua_State *L) { return put_node(L, cox_txn_update); }

static int remove_node(lua_State *L) {
  struct cox_txn *const txn = check_txn(L);
  lua_pushboolean(L, cox_txn_remove(txn, check_text(L, 2, "a node's id")));
  return 1;
}

static int set_admin(lua_State *L) {
  struct cox_txn *const txn = check_txn(L);
  const char *const id = check_text(L, 2, "a node's id");
  luaL_checktype(L, 3, LUA_TBOOLEAN);
  struct cox_admin admin = {.is_enabled = lua_toboolean(L, 3) != 0, .epoch = luaL_checkinteger(L, 4)};
  const char *const reason = lua_isnoneornil(L, 5) ? NULL : check_text(L, 5, "a reason");
  const lua_Number expires_s = luaL_optnumber(L, 6, 0);
  if (!(expires_s >= 0 && expires_s <= EXPIRES_MAX_S)) return luaL_error(L, "expires_at must be seconds since 1970, at most %f", EXPIRES_MAX_S);
  admin.expires_ms = (int64_t)(expires_s * 1000 + 0.5);
  struct cox_err err;
  admin.reason = reason != NULL ? json_string(reason) : NULL;
  const int rc = cox_txn_set_admin(txn, id, &admin, &err);
  json_decref(admin.reason);
  if (rc != 0) return cox_policy_refuse(L, rc, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

static int request(lua_State *L, const char *what, int (*ask)(struct cox_txn *, const char *)) {
  struct cox_txn *const txn = check_txn(L);
  const char *const id = lua_isnoneornil(L, 2) ? NULL : check_text(L, 2, "a node's id");
  const int count = ask(txn, id);
  if (count >= 0) {
    lua_pushinteger(L, count);
    return 1;
  }
  char text[320];
  if (count == COX_ENOENT) lua_pushfstring(L, "%s: node %s is not registered", what, id);
  else lua_pushfstring(L, "%s failed: out of memory", what);
  snprintf(text, sizeof text, "%s", lua_tostring(L, -1));
  return cox_policy_refuse(L, count, text);
}

static int reconcile(lua_State *L) { return request(L, "reconcile", cox_txn_reconcile); }
static int probe(lua_State *L) { return request(L, "probe", cox_txn_probe); }

static int issue(lua_State *L) {
  struct cox_txn *const txn = check_txn(L);
  cox_txn_issue(txn, check_text(L, 2, "a command's name"));
  return 0;
}

static int skip(lua_State *L) {
  check_txn(L);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&skip_key);
  lua_pushstring(L, check_text(L, 2, "a reason"));
  return 2;
}

/* Is the first value the mark of a skip? For coxswain.handler. */
static int is_skip(lua_State *L) {
  lua_pushboolean(L, lua_touserdata(L, 2) == (void *)(uintptr_t)&skip_key);
  return 1;
}

static const struct cox_binding methods[] = {
    {"nodes", nodes, "() → fun(): coxswain.Node?", "Iterates over all nodes in the order of their numbers."},
    {"node", node, "(id: string) → coxswain.Node?", "The node of that id."},
    {"block_hash", block_hash, "(height: integer) → string?", "Hash of one of the last 256 blocks seen."},
    {"node_count", node_count, "(start_height: integer, start_hash: string) → integer",
     "How many parts the nonce space of that PoC episode has: fixed when its first PoC target is set."},
    {"set_world", set_world, "(world: coxswain.World)", "Replaces the world once the command is done."},
    {"register", register_node, "(node: table) → coxswain.Node?, string?, string?", "Registers a new node; nil, why not, and a code."},
    {"update", update, "(node: table) → coxswain.Node?, string?, string?", "Replaces the configuration of a registered node."},
    {"remove", remove_node, "(id: string) → boolean", "Unregisters a node; false: it was not registered."},
    {"set_admin", set_admin, "(id: string, enabled: boolean, epoch: integer, reason?: string, expires_at?: number) → true?, string?, string?",
     "Sets a node's admin state; from `expires_at` on, in seconds since 1970, the broker ends it with the command expire_admin_state."},
    {"reconcile", reconcile, "(id?: string) → integer?, string?, string?",
     "Ends backoffs; with an id also starts the attempt in flight anew. Returns the nodes triggered."},
    {"probe", probe, "(id?: string) → integer?, string?, string?", "Probes now. Returns the nodes triggered."},
    {"issue", issue, "(command: string)", "Names the command that is due: it runs next, when anything it decides from changed."},
    {"skip", skip, "(reason: string) → any, string", "To be returned: the command is skipped, with that reason."},
    {"is_skip", is_skip, "(value: any) → boolean", "Is that the mark that skip returns?"},
    {NULL, NULL, NULL, NULL},
};

static const struct cox_api_field fields[] = {
    {"world", "coxswain.World?", "nil before the first block"},
    {"participant", "coxswain.Participant?", "who we are on the chain; nil before the first block"},
    {"callback_url", "string?", "where ML nodes post PoC batches; nil before the first block"},
    {NULL, NULL, NULL},
};

const struct cox_api cox_api_broker = {.name = BROKER_TYPE,
                                       .help = "The broker of a command's handler. What it changes is applied when the handler has returned, all or nothing.",
                                       .contexts = COX_API_CLASS,
                                       .functions = methods,
                                       .fields = fields};

static void push_of_world(lua_State *L, const char *key) {
  cox_policy_world_push(L);
  if (lua_istable(L, -1)) lua_getfield(L, -1, key);
}

static int broker_index(lua_State *L) {
  luaL_checkudata(L, 1, BROKER_TYPE);
  const char *const key = luaL_checkstring(L, 2);
  if (lua_getfield(L, lua_upvalueindex(1), key) != LUA_TNIL) return 1;
  if (strcmp(key, "world") == 0) cox_policy_world_push(L);
  else if (strcmp(key, "participant") == 0 || strcmp(key, "callback_url") == 0) push_of_world(L, key);
  else return luaL_error(L, "the broker has no field %s: see scripts/README.md", key);
  return 1;
}

static int broker_newindex(lua_State *L) {
  return luaL_error(L, "the broker's fields cannot be set: not %s; use its methods", luaL_tolstring(L, 2, NULL));
}

void cox_policy_broker_push(lua_State *L) {
  cox_vm_push_kept(L, &broker_key);
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  lua_newuserdatauv(L, 0, 0);
  luaL_newmetatable(L, BROKER_TYPE);
  cox_bindings_push(L, methods);
  lua_pushcclosure(L, broker_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, broker_newindex);
  lua_setfield(L, -2, "__newindex");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  cox_vm_keep(L, &broker_key);
}
