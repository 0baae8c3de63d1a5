/* `broker` for jobs: they change things as everybody else does, by commands. */
#include <lauxlib.h>

#include "script/api.h"
#include "script/convert.h"
#include "script/fiber.h"
#include "script/sandbox.h"
#include "script/vm.h"

static int refuse(lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

static int answered(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  const struct cox_io_reply *const reply = cox_fiber_check(L)->reply;
  if (reply->class_ != COX_CLASS_NONE) return refuse(L, reply->error);
  cox_convert_push(L, reply->answer);
  return 1;
}

static int command(lua_State *L) {
  struct cox_fiber *const fiber = cox_fiber_check(L);
  const char *const name = luaL_checkstring(L, 1);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  struct cox_err err = {0};
  json_t *const args = lua_isnil(L, 2) ? json_object() : cox_convert_take(L, 2, "args", &err);
  if (args == NULL) return luaL_error(L, "broker.command %s: %s", name, err.text);
  json_decref(fiber->args);
  fiber->args = args;
  fiber->request = (struct cox_io_request){.kind = COX_IO_COMMAND, .command = name, .args = args};
  return lua_yieldk(L, 0, 0, answered);
}

enum { SLICE = 64, NOTE_MAX_BYTES = 16 * 1024 };

static struct cox_broker *check_broker(lua_State *L, const char *what) {
  struct cox_fiber_vm *const owner = cox_vm_of(L)->owner;
  if (owner == NULL || owner->context->broker == NULL) luaL_error(L, "%s: there is no broker here", what);
  return owner->context->broker;
}

/* The journal shows the fields beside its own, so those keep their meaning. */
static const char *taken_field(const json_t *fields) {
  static const char *const taken[] = {"seq", "time", "kind", "node_id", NULL};
  const char *const *name = taken;
  while (*name != NULL && json_object_get(fields, *name) == NULL) name++;
  return *name;
}

static int note(lua_State *L) {
  struct cox_broker *const broker = check_broker(L, "broker.note");
  const char *const node_id = luaL_optstring(L, 2, NULL);
  luaL_checktype(L, 1, LUA_TTABLE);
  struct cox_err err = {0};
  json_t *const fields = cox_convert_take(L, 1, "fields", &err);
  if (fields == NULL) return luaL_error(L, "broker.note: %s", err.text);
  const char *wrong = json_is_object(fields) ? taken_field(fields) : "without names";
  if (wrong == NULL && json_dumpb(fields, NULL, 0, JSON_COMPACT) > NOTE_MAX_BYTES) wrong = "longer than 16 KiB together";
  if (wrong != NULL) {
    json_decref(fields);
    return luaL_error(L, "broker.note: its fields must not be %s", wrong);
  }
  if (cox_broker_note(broker, "note", node_id, fields, &err) != 0) return refuse(L, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

/* The next entry of a walk over all nodes. Upvalues: node number to go on from, the slice that was read last, place in it. */
static int next_node(lua_State *L) {
  struct cox_fiber_vm *const owner = cox_vm_of(L)->owner;
  lua_Integer place = lua_tointeger(L, lua_upvalueindex(3)) + 1;
  if (lua_type(L, lua_upvalueindex(2)) != LUA_TTABLE || place > (lua_Integer)lua_rawlen(L, lua_upvalueindex(2))) {
    int from = (int)lua_tointeger(L, lua_upvalueindex(1));
    json_t *const slice = cox_broker_nodes_slice_json(owner->context->broker, &from, SLICE);
    cox_convert_push_shared(L, slice);
    json_decref(slice);
    lua_replace(L, lua_upvalueindex(2));
    lua_pushinteger(L, from);
    lua_replace(L, lua_upvalueindex(1));
    place = 1;
  }
  lua_pushinteger(L, place);
  lua_replace(L, lua_upvalueindex(3));
  lua_rawgeti(L, lua_upvalueindex(2), place); /* nil behind the last */
  return 1;
}

static int nodes(lua_State *L) {
  check_broker(L, "broker.nodes");
  lua_pushinteger(L, 0);
  lua_pushnil(L);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, next_node, 3);
  return 1;
}

static const struct cox_binding bindings[] = {
    {"command", command, "(name: string, args?: table) → coxswain.CommandAnswer?, string?",
     "Sends a command and waits for its answer { status, reason?, result?, error? }; nil and why when it could not be sent."},
    {"nodes", nodes, "() → fun(): coxswain.NodeEntry?",
     "Walks over all nodes: `for entry in broker.nodes() do`, with entry.node (configuration) and entry.state. Sleep now and then when there are many."},
    {"note", note, "(fields: table, node_id?: string) → true?, string?",
     "Writes a line of the journal, about a node or none; nil and why when too many are on their way. Does not wait."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_job_broker = {
    .name = "broker", .help = "The broker as jobs see it: they read, and change things by commands.", .contexts = COX_API_JOBS, .functions = bindings};

void cox_api_job_push(lua_State *L) { cox_bindings_push(L, bindings); }
