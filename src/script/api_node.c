/* The `node` of policy and command handlers. One object per slot lives as long as the VM and is filled anew for each handler: with
 * 10 000 nodes, making them anew would cost more than deciding about them.                                                       */
#include <lauxlib.h>
#include <string.h>

#include "core/node_config.h"
#include "script/api.h"
#include "script/convert.h"
#include "script/policy.h"
#include "script/sandbox.h"

#define NODE_TYPE "coxswain.Node"

enum { CONFIG_UPVALUE = 1, MODELS_UPVALUE = 2, JSON_UPVALUES = 2, ADMIN_UPVALUE = 3, UPVALUES = 3 };

/* What the kept table of the admin state says, beside the texts. */
struct kept_admin {
  bool is_kept, is_enabled;
  int64_t epoch, expires_ms;
  struct cox_held *reason, *actor;
};

struct policy_node {
  const void *type; /* &nodes_key */
  struct cox_policy_vm *owner;
  int slot;
  uint64_t serial; /* of the handler it was filled for */
  struct cox_txn_node view;
  struct cox_held *held[JSON_UPVALUES]; /* what the cached tables were made of */
  struct kept_admin admin;
};

static const char nodes_key;

/* As luaL_checkudata, which looks names up: each field of each node comes by here. */
static struct policy_node *node_at(lua_State *L, int index) {
  struct policy_node *const node = lua_touserdata(L, index);
  const bool is_node = node != NULL && lua_rawlen(L, index) == sizeof *node && node->type == &nodes_key;
  return is_node ? node : luaL_checkudata(L, index, NODE_TYPE);
}

static struct policy_node *check_present(lua_State *L, struct policy_node *node) {
  const struct cox_policy_vm *const policy = node->owner;
  if (policy->txn == NULL) cox_policy_vm_check(L); /* says why not */
  if (node->serial != policy->serial) {
    luaL_error(L, "this node belongs to a command that has ended: get it anew with broker:node(id) or broker:nodes()");
  }
  return node;
}

static struct policy_node *check_node(lua_State *L) { return check_present(L, node_at(L, 1)); }

/* ---- fields ---- */

enum field {
  FIELD_ID = 1, /* 0 is no field */
  FIELD_NODE_NUM,
  FIELD_INTENDED_STATUS,
  FIELD_CURRENT_STATUS,
  FIELD_POC_INTENDED_STATUS,
  FIELD_POC_CURRENT_STATUS,
  FIELD_TARGET,
  FIELD_FAILURE_REASON,
  FIELD_EPOCH_MODELS,
  FIELD_PRESERVED,
  FIELD_ADMIN_STATE,
  FIELD_IS_OPERATIONAL,
  FIELD_CONFIG /* this and all further ones: of the configuration */
};

/* In the order of enum field. */
static const struct cox_api_field fields[] = {
    {"id", "string", "as configured"},
    {"node_num", "integer", "its number, from 0; PoC splits the nonce space by it"},
    {"intended_status", "string", "status of its target; UNKNOWN: it has none"},
    {"current_status", "string", "as the last attempt or probe left it"},
    {"poc_intended_status", "string", "IDLE, GENERATING or VALIDATING"},
    {"poc_current_status", "string", "IDLE, GENERATING or VALIDATING"},
    {"target", "coxswain.Target?", "what it should be now"},
    {"failure_reason", "string?", "why it is FAILED"},
    {"epoch_models", "coxswain.EpochModel[]?", "what it is to serve in this epoch"},
    {"preserved", "boolean", "it serves inference through the PoC of this epoch"},
    {"admin_state", "coxswain.AdminState", "whether an operator wants it to work"},
    {"is_operational", "boolean", "by the admin rule of policy/eligibility.lua"},
    {"host", "string", "as configured"},
    {"inference_port", "integer", "as configured"},
    {"poc_port", "integer", "as configured"},
    {"max_concurrent", "integer", "requests that it may serve at once"},
    {"models", "table<string, table>", "by id: { args }"},
    {"inference_segment", "string?", "as configured"},
    {"poc_segment", "string?", "as configured"},
    {"hardware", "table[]?", "list of { type, count }"},
    {"version", "string?", "as configured"},
    {"kind", "string", "its driver (\"mlnode\")"},
    {NULL, NULL, NULL},
};

/* The table made of `value`, made anew only when it is another one. */
static void push_cached(lua_State *L, struct policy_node *node, int place, json_t *value) {
  if (value == NULL) {
    lua_pushnil(L);
    return;
  }
  struct cox_held **const held = &node->held[place - 1];
  if (*held != NULL && (*held)->value == value) {
    lua_getiuservalue(L, 1, place);
    return;
  }
  cox_convert_push_shared(L, value);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, place);
  cox_vm_release(L, held);
  cox_vm_hold_json(L, held, value);
}

static void push_new_admin(lua_State *L, const struct cox_admin *admin) {
  lua_createtable(L, 0, 5);
  lua_pushboolean(L, admin->is_enabled);
  lua_setfield(L, -2, "enabled");
  lua_pushinteger(L, admin->epoch);
  lua_setfield(L, -2, "epoch");
  lua_pushstring(L, json_string_value(admin->reason)); /* NULL pushes nil */
  lua_setfield(L, -2, "reason");
  lua_pushstring(L, json_string_value(admin->actor));
  lua_setfield(L, -2, "actor");
  if (admin->expires_ms == 0) return;
  lua_pushnumber(L, (lua_Number)admin->expires_ms / 1000);
  lua_setfield(L, -2, "expires_at");
}

static bool is_held(const struct cox_held *held, const json_t *value) { return (held != NULL ? held->value : NULL) == value; }

static void hold(lua_State *L, struct cox_held **held, json_t *value) {
  cox_vm_release(L, held);
  if (value != NULL) cox_vm_hold_json(L, held, value);
}

static void push_admin(lua_State *L, struct policy_node *node) {
  const struct cox_admin *const admin = &node->view.admin;
  struct kept_admin *const kept = &node->admin;
  if (kept->is_kept && kept->is_enabled == admin->is_enabled && kept->epoch == admin->epoch && kept->expires_ms == admin->expires_ms &&
      is_held(kept->reason, admin->reason) && is_held(kept->actor, admin->actor)) {
    lua_getiuservalue(L, 1, ADMIN_UPVALUE);
    return;
  }
  kept->is_kept = false;
  push_new_admin(L, admin);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, ADMIN_UPVALUE);
  hold(L, &kept->reason, admin->reason);
  hold(L, &kept->actor, admin->actor);
  kept->is_enabled = admin->is_enabled;
  kept->epoch = admin->epoch;
  kept->expires_ms = admin->expires_ms;
  kept->is_kept = true;
}

static void push_target(lua_State *L, const struct cox_target *target) {
  if (target == NULL) {
    lua_pushnil(L);
    return;
  }
  struct cox_held **const held = cox_vm_push_holder(L);
  cox_convert_push_made(L, held, cox_target_json(target, true));
}

/* The rule is policy's own: policy/eligibility.lua. */
static void push_operational(lua_State *L) {
  cox_sandbox_require(L, "policy.eligibility");
  lua_getfield(L, -1, "is_operational");
  lua_pushvalue(L, 1);
  cox_policy_world_push(L);
  lua_call(L, 2, 1);
}

static void push_field(lua_State *L, struct policy_node *node, lua_Integer field) {
  const struct cox_txn_node *const view = &node->view;
  switch (field) {
    case FIELD_ID: lua_pushstring(L, json_string_value(view->id)); break;
    case FIELD_NODE_NUM: lua_pushinteger(L, view->node_num); break;
    case FIELD_INTENDED_STATUS: lua_pushstring(L, cox_status_name(view->intended)); break;
    case FIELD_CURRENT_STATUS: lua_pushstring(L, cox_status_name(view->current)); break;
    case FIELD_POC_INTENDED_STATUS: lua_pushstring(L, cox_poc_name(view->intended_poc)); break;
    case FIELD_POC_CURRENT_STATUS: lua_pushstring(L, cox_poc_name(view->current_poc)); break;
    case FIELD_TARGET: push_target(L, view->target); break;
    case FIELD_FAILURE_REASON: lua_pushstring(L, view->failure_reason); break; /* NULL pushes nil */
    case FIELD_EPOCH_MODELS: push_cached(L, node, MODELS_UPVALUE, view->epoch_models); break;
    case FIELD_PRESERVED: lua_pushboolean(L, view->is_preserved); break;
    case FIELD_ADMIN_STATE: push_admin(L, node); break;
    case FIELD_IS_OPERATIONAL: push_operational(L); break;
    default: /* of the configuration */
      push_cached(L, node, CONFIG_UPVALUE, view->config);
      lua_pushvalue(L, 2);
      lua_rawget(L, -2);
  }
}

/* ---- methods ---- */

static int intend(lua_State *L) {
  struct policy_node *const node = check_node(L);
  if (lua_type(L, 2) != LUA_TTABLE) {
    return luaL_error(L, "node %s: target: a table with a status is required, not a %s: a policy returns one, or nil and a reason",
                      json_string_value(node->view.id), luaL_typename(L, 2));
  }
  luaL_optstring(L, 3, NULL);
  struct cox_err err;
  const int rc = cox_txn_intend(node->owner->txn, node->slot, cox_target_take(L, 2, 3, &node->owner->targets, &err), &err);
  if (rc < 0) return luaL_error(L, "node %s: %s", json_string_value(node->view.id), err.text);
  if (rc > 0) cox_txn_read_target(node->owner->txn, node->slot, &node->view);
  lua_pushboolean(L, rc > 0);
  return 1;
}

static int config(lua_State *L) {
  struct policy_node *const node = check_node(L);
  cox_convert_push(L, node->view.config);
  lua_pushinteger(L, node->view.node_num);
  lua_setfield(L, -2, "node_num");
  return 1;
}

static const struct cox_binding methods[] = {
    {"intend", intend, "(target: coxswain.Target, reason?: string) → boolean",
     "Sets what the node should be; false: it is to be that already."},
    {"config", config, "() → table", "A copy of the node's configuration, with its node_num."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_node = {.name = NODE_TYPE,
                                     .help = "A node of policy and command handlers. It is good only inside of the handler that got it.",
                                     .contexts = COX_API_CLASS,
                                     .functions = methods,
                                     .fields = fields};

static int node_index(lua_State *L) {
  struct policy_node *const node = check_present(L, lua_touserdata(L, 1)); /* Lua alone calls it: nobody gets hold of the metatable */
  lua_pushvalue(L, 2);
  switch (lua_rawget(L, lua_upvalueindex(1))) {
    case LUA_TFUNCTION: return 1;
    case LUA_TNUMBER: push_field(L, node, lua_tointeger(L, -1)); return 1;
    default: return luaL_error(L, "a node has no field %s: see scripts/README.md", luaL_tolstring(L, 2, NULL));
  }
}

static int node_newindex(lua_State *L) {
  return luaL_error(L, "a node's fields cannot be set: not %s; use node:intend(target, reason)", luaL_tolstring(L, 2, NULL));
}

static int node_gc(lua_State *L) {
  struct policy_node *const node = lua_touserdata(L, 1);
  for (int i = 0; i < JSON_UPVALUES; i++) cox_vm_release(L, &node->held[i]);
  cox_vm_release(L, &node->admin.reason);
  cox_vm_release(L, &node->admin.actor);
  return 0;
}

static void push_metatable(lua_State *L) {
  if (!luaL_newmetatable(L, NODE_TYPE)) return;
  cox_bindings_push(L, methods);
  for (lua_Integer i = 0; fields[i].name != NULL; i++) {
    lua_pushinteger(L, i + 1);
    lua_setfield(L, -2, fields[i].name);
  }
  lua_pushcclosure(L, node_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, node_newindex);
  lua_setfield(L, -2, "__newindex");
  lua_pushcfunction(L, node_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

void cox_policy_nodes_push(lua_State *L) {
  cox_vm_push_kept(L, &nodes_key);
  if (lua_istable(L, -1)) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  cox_vm_keep(L, &nodes_key);
}

static struct policy_node *push_object(lua_State *L, struct cox_policy_vm *policy, int nodes, int slot) {
  if (lua_rawgeti(L, nodes, slot + 1) == LUA_TUSERDATA) return lua_touserdata(L, -1);
  lua_pop(L, 1);
  struct policy_node *const node = lua_newuserdatauv(L, sizeof *node, UPVALUES);
  *node = (struct policy_node){.type = &nodes_key, .owner = policy, .slot = slot};
  push_metatable(L);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawseti(L, nodes, slot + 1);
  return node;
}

bool cox_policy_node_push(lua_State *L, int nodes, int slot) {
  struct cox_policy_vm *const policy = cox_policy_vm_check(L);
  struct policy_node *const node = push_object(L, policy, nodes, slot);
  const bool is_there = cox_txn_read(policy->txn, slot, &node->view);
  node->serial = is_there ? policy->serial : 0;
  if (!is_there) lua_pop(L, 1);
  return is_there;
}
