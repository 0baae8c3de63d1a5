/* The `node` of drivers: HTTP to this one node, notes that outlive the attempt, and a deadline that can be pushed out. */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/node_config.h"
#include "core/packed.h"
#include "script/api.h"
#include "script/convert.h"
#include "script/fiber.h"
#include "script/request.h"
#include "script/sandbox.h"

enum { RESPONSE_BYTES_MAX = 256 * 1024, PATH_BYTES_MAX = 4096, BODY_SHOWN = 160, MEMORY_UPVALUE = 1, CONFIG_UPVALUE = 2, APPLIED_UPVALUE = 3 };

#define NODE_TYPE "coxswain.DriverNode"
#define GET_TIMEOUT_S 10.0
#define POST_TIMEOUT_S 30.0
#define TIMEOUT_MAX_S 86400.0

static struct cox_fiber *check_node(lua_State *L) {
  struct cox_fiber *const *const held = luaL_checkudata(L, 1, NODE_TYPE);
  struct cox_fiber *const fiber = cox_fiber_check(L);
  if (*held != fiber) luaL_error(L, "this node belongs to an attempt that has ended");
  return fiber;
}

/* ---- requests ---- */

/* Raises { class, message, status? }. */
static int raise(lua_State *L, enum cox_class class_, int http_status, const char *text) {
  lua_createtable(L, 0, 3);
  lua_pushstring(L, cox_class_name(class_));
  lua_setfield(L, -2, "class");
  lua_pushstring(L, text);
  lua_setfield(L, -2, "message");
  if (http_status != 0) {
    lua_pushinteger(L, http_status);
    lua_setfield(L, -2, "status");
  }
  return lua_error(L);
}

static void set_url(lua_State *L, struct cox_fiber *fiber, const char *path, int options) {
  bool is_inference = false;
  if (lua_istable(L, options) && lua_getfield(L, options, "base") != LUA_TNIL) {
    const char *const base = luaL_checkstring(L, -1);
    is_inference = strcmp(base, "inference") == 0;
    if (!is_inference && strcmp(base, "poc") != 0) luaL_error(L, "base must be \"poc\" or \"inference\", not \"%s\"", base);
  }
  if (strlen(path) > PATH_BYTES_MAX) luaL_error(L, "a path has at most %d bytes", PATH_BYTES_MAX);
  if (path[0] != '/' || strpbrk(path, " \r\n") != NULL) luaL_error(L, "a path begins with / and has no spaces: \"%s\"", path);
  char base[COX_URL_MAX];
  cox_node_config_url(fiber->attempt->node, !is_inference, base);
  const size_t size = strlen(base) + strlen(path) + 1;
  cox_request_set_text(L, &fiber->url, malloc(size));
  snprintf(fiber->url, size, "%s%s", base, path);
}

static bool is_accepted(lua_State *L, int options, int status) {
  bool is_found = false;
  if (!lua_istable(L, options) || lua_getfield(L, options, "accept") != LUA_TTABLE) return false;
  const size_t count = lua_rawlen(L, -1);
  for (size_t i = 1; i <= count && !is_found; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i);
    is_found = lua_tointeger(L, -1) == status;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return is_found;
}

static enum cox_class class_of(int status) {
  if (status == 409) return COX_CLASS_CONFLICT;
  return status >= 500 ? COX_CLASS_SERVER : COX_CLASS_CLIENT;
}

/* What a body says, on one line, for people: the text of "detail" or "message", else its beginning. */
static void shorten(lua_State *L, int answer, const struct cox_io_reply *reply, char out[BODY_SHOWN + 8]) {
  const char *text = reply->body;
  if (lua_getfield(L, answer, "json") == LUA_TTABLE) {
    static const char *const names[] = {"detail", "message", "error"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      lua_getfield(L, -1, names[i]);
      if (lua_type(L, -1) == LUA_TSTRING) text = lua_tostring(L, -1); /* the table holds it */
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  size_t len = 0;
  for (; text[len] != '\0' && len < BODY_SHOWN; len++) out[len] = (unsigned char)text[len] < 0x20 ? ' ' : text[len];
  while (len > 0 && text[len] != '\0' && ((unsigned char)text[len] & 0xc0) == 0x80) len--; /* no half character */
  snprintf(out + len, 8, "%s", text[len] != '\0' ? "…" : "");
}

static bool says_error(lua_State *L, int answer) {
  bool is_error = false;
  if (lua_getfield(L, answer, "json") == LUA_TTABLE) {
    is_error = lua_getfield(L, -1, "status") == LUA_TSTRING && strcmp(lua_tostring(L, -1), "ERROR") == 0;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return is_error;
}

/* Not the node's own word, but that of a gateway in front of it, which had no good answer from it. */
static bool is_of_gateway(const struct cox_io_reply *reply) {
  return reply->class_ == COX_CLASS_NONE && (reply->http_status == 502 || reply->http_status == 503 || reply->http_status == 504);
}

/* A call that certainly never arrived leaves the node as it was; any other without an answer of the node's may have done its work. */
static void note_reply(struct cox_fiber *fiber, const struct cox_io_reply *reply) {
  struct cox_result *const result = &fiber->attempt->result;
  const bool is_answered = reply->class_ == COX_CLASS_NONE && !is_of_gateway(reply);
  if (is_answered) result->has_answered = true;
  if (!fiber->request.is_mutating) return;
  const bool is_unsent = reply->class_ == COX_CLASS_REFUSED || reply->class_ == COX_CLASS_RESOLVE || reply->class_ == COX_CLASS_SCRIPT;
  if (is_unsent) result->unanswered = fiber->before;
  else if (is_answered) result->unanswered.call[0] = '\0';
}

/* Stack: node, path, body, options. */
static int answered(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  struct cox_fiber *const fiber = cox_fiber_check(L);
  const struct cox_io_reply *const reply = fiber->reply;
  note_reply(fiber, reply);
  if (reply->class_ != COX_CLASS_NONE) return raise(L, reply->class_, 0, reply->error != NULL ? reply->error : cox_class_name(reply->class_));
  lua_settop(L, 4);
  cox_request_push_answer(L, reply);
  const int http_status = reply->http_status;
  char shown[BODY_SHOWN + 8], text[COX_URL_MAX + 400];
  if (http_status >= 300 && !is_accepted(L, 4, http_status)) {
    shorten(L, 5, reply, shown);
    snprintf(text, sizeof text, "%s %s was answered %d%s%s", fiber->request.method, fiber->request.url, http_status,
             shown[0] != '\0' ? ": " : "", shown);
    return raise(L, class_of(http_status), http_status, text);
  }
  if (http_status == 200 && says_error(L, 5)) {
    shorten(L, 5, reply, shown);
    snprintf(text, sizeof text, "%s %s was answered 200 with status ERROR: %s", fiber->request.method, fiber->request.url, shown);
    return raise(L, COX_CLASS_SERVER, http_status, text);
  }
  lua_settop(L, 5);
  return 1;
}

static void note_call(struct cox_fiber *fiber, const char *method, const char *path) {
  struct cox_unanswered *const unanswered = &fiber->attempt->result.unanswered;
  fiber->before = *unanswered;
  snprintf(unanswered->call, sizeof unanswered->call, "%s %s", method, path);
  unanswered->at_ms = cox_clock_wall_ms(fiber->vm->clock);
  unanswered->mark = cox_clock_mark(fiber->vm->clock);
}

/* Stack: node, path, body, options. */
static int request(lua_State *L, const char *method) {
  struct cox_fiber *const fiber = check_node(L);
  const char *const path = luaL_checkstring(L, 2);
  const bool is_post = strcmp(method, "POST") == 0;
  if (is_post && fiber->attempt->kind == COX_ATTEMPT_PROBE) return luaL_error(L, "a probe only looks: POST %s is not allowed in it", path);
  if (!lua_isnoneornil(L, 4)) luaL_checktype(L, 4, LUA_TTABLE);
  set_url(L, fiber, path, 4);
  cox_request_set_body(L, fiber, 3);
  const int64_t timeout_ms = cox_request_timeout_ms(L, 4, is_post ? POST_TIMEOUT_S : GET_TIMEOUT_S);
  if (is_post) note_call(fiber, method, path);
  fiber->request = (struct cox_io_request){
      .kind = COX_IO_HTTP,
      .method = method,
      .url = fiber->url,
      .body = fiber->body,
      .body_len = fiber->body != NULL ? strlen(fiber->body) : 0,
      .timeout_ms = timeout_ms,
      .is_mutating = is_post,
      .is_fresh = is_post && fiber->is_in_doubt,
      .response_max = RESPONSE_BYTES_MAX,
  };
  lua_settop(L, 4);
  return lua_yieldk(L, 0, 0, answered);
}

static int node_get(lua_State *L) {
  lua_settop(L, 3);
  lua_pushnil(L);
  lua_insert(L, 3);
  return request(L, "GET");
}

static int node_post(lua_State *L) {
  lua_settop(L, 4);
  return request(L, "POST");
}

/* ---- the rest of the node ---- */

static int node_sleep(lua_State *L) {
  check_node(L);
  return cox_fiber_sleep(L, luaL_checknumber(L, 2));
}

static int node_extend(lua_State *L) {
  struct cox_fiber *const fiber = check_node(L);
  const lua_Number seconds = luaL_checknumber(L, 2);
  const char *const reason = luaL_checkstring(L, 3);
  if (!(seconds > 0 && seconds <= TIMEOUT_MAX_S)) return luaL_error(L, "seconds must be greater than 0 and at most 86400");
  struct cox_attempt *const attempt = fiber->attempt;
  int64_t at_us = cox_clock_mono_us(fiber->vm->clock) + (int64_t)(seconds * 1e6);
  if (at_us > attempt->deadline_max_us) at_us = attempt->deadline_max_us;
  if (at_us <= attempt->deadline_us) return 0; /* never drawn in */
  attempt->deadline_us = at_us;
  struct cox_broker *const broker = fiber->owner->context->broker;
  if (broker != NULL) cox_broker_extended(broker, &attempt->fence, at_us, reason);
  return 0;
}

static int node_fail(lua_State *L) {
  luaL_checkudata(L, 1, NODE_TYPE);
  const char *const name = luaL_checkstring(L, 2);
  const char *const text = luaL_checkstring(L, 3);
  enum cox_class class_;
  if (!cox_class_parse(name, &class_) || class_ == COX_CLASS_NONE) return luaL_error(L, "unknown class \"%s\" of failure", name);
  return raise(L, class_, 0, text);
}

static const struct cox_binding methods[] = {
    {"get", node_get, "(path: string, options?: coxswain.RequestOptions) → coxswain.Answer",
     "GET; raises a coxswain.Failure without an answer, or with one of status 300 and more that is not in options.accept."},
    {"post", node_post, "(path: string, body?: table, options?: coxswain.RequestOptions) → coxswain.Answer",
     "POST, on a connection of its own and never repeated; raises as get does."},
    {"sleep", node_sleep, "(seconds: number)", "Waits within this attempt."},
    {"extend", node_extend, "(seconds: number, reason: string)",
     "Pushes the attempt's deadline out to that many seconds from now; the node's state shows the reason."},
    {"fail", node_fail, "(class: string, message: string)", "Ends the attempt as failed, with that class for the backoff."},
    {NULL, NULL, NULL, NULL},
};

static const struct cox_api_field fields[] = {
    {"id", "string", "as configured"},
    {"config", "table", "the node's configuration"},
    {"poc_url", "string", "its management address"},
    {"inference_url", "string", "its inference address"},
    {"memory", "table", "notes of plain values, kept from attempt to attempt however one ends"},
    {"applied", "coxswain.Target?", "the last target reached"},
    {"unanswered", "coxswain.Unanswered?", "the last state-changing call that was sent and not answered by the node; 502, 503 and 504 are the word of a gateway before it"},
    {NULL, NULL, NULL},
};

const struct cox_api cox_api_driver_node = {.name = NODE_TYPE,
                                            .help = "The node of a driver. An attempt may be cancelled at every wait: write notes before a call whose effect may stay.",
                                            .contexts = COX_API_CLASS,
                                            .functions = methods,
                                            .fields = fields};

static void push_url(lua_State *L, const struct cox_fiber *fiber, bool is_poc) {
  char url[COX_URL_MAX];
  cox_node_config_url(fiber->attempt->node, is_poc, url);
  lua_pushstring(L, url);
}

static void push_unanswered(lua_State *L, const struct cox_fiber *fiber) {
  const struct cox_unanswered *const unanswered = &fiber->attempt->result.unanswered;
  if (unanswered->call[0] == '\0') {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, 0, 2);
  lua_pushstring(L, unanswered->call);
  lua_setfield(L, -2, "call");
  lua_pushnumber(L, (lua_Number)cox_clock_since_us(fiber->vm->clock, unanswered->mark) / 1e6);
  lua_setfield(L, -2, "age_s");
}

/* Made when it is asked for the first time, and kept. */
static void push_lazily(lua_State *L, const struct cox_fiber *fiber, int place) {
  if (lua_getiuservalue(L, 1, place) != LUA_TNIL) return;
  lua_pop(L, 1);
  if (place == CONFIG_UPVALUE) {
    cox_convert_push(L, fiber->attempt->node);
  } else if (fiber->attempt->applied == NULL) {
    lua_pushnil(L);
    return;
  } else {
    struct cox_held **const held = cox_vm_push_holder(L);
    cox_convert_push_made(L, held, cox_target_json(fiber->attempt->applied, false));
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, place);
}

static int node_index(lua_State *L) {
  struct cox_fiber *const fiber = *(struct cox_fiber **)luaL_checkudata(L, 1, NODE_TYPE);
  const char *const key = luaL_checkstring(L, 2);
  if (fiber == NULL) return luaL_error(L, "this node belongs to an attempt that has ended");
  lua_settop(L, 2);
  if (lua_getfield(L, lua_upvalueindex(1), key) != LUA_TNIL) return 1;
  if (strcmp(key, "memory") == 0) lua_getiuservalue(L, 1, MEMORY_UPVALUE);
  else if (strcmp(key, "config") == 0) push_lazily(L, fiber, CONFIG_UPVALUE);
  else if (strcmp(key, "applied") == 0) push_lazily(L, fiber, APPLIED_UPVALUE);
  else if (strcmp(key, "unanswered") == 0) push_unanswered(L, fiber);
  else if (strcmp(key, "poc_url") == 0) push_url(L, fiber, true);
  else if (strcmp(key, "inference_url") == 0) push_url(L, fiber, false);
  else if (strcmp(key, "id") == 0) lua_pushstring(L, json_string_value(json_object_get(fiber->attempt->node, "id")));
  else return luaL_error(L, "a driver's node has no field %s", key);
  return 1;
}

static int node_newindex(lua_State *L) {
  return luaL_error(L, "a driver's node has no field to set but node.memory's own: not %s", luaL_tolstring(L, 2, NULL));
}

static void push_metatable(lua_State *L) {
  if (!luaL_newmetatable(L, NODE_TYPE)) return;
  cox_bindings_push(L, methods);
  lua_pushcclosure(L, node_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, node_newindex);
  lua_setfield(L, -2, "__newindex");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

static void push_memory(lua_State *L, json_t *packed) {
  struct cox_held **const held = cox_vm_push_holder(L);
  json_t *const memory = cox_unpacked(packed);
  cox_vm_take_json(L, held, memory);
  if (json_is_object(memory)) cox_convert_push(L, memory);
  else lua_newtable(L);
  cox_vm_release(L, held);
  lua_remove(L, -2);
}

void cox_driver_node_push(lua_State *L, struct cox_fiber *fiber) {
  struct cox_fiber **const held = lua_newuserdatauv(L, sizeof *held, 3);
  *held = fiber;
  push_metatable(L);
  lua_setmetatable(L, -2);
  push_memory(L, fiber->attempt->memory);
  lua_setiuservalue(L, -2, MEMORY_UPVALUE);
  lua_pushvalue(L, -1);
  fiber->node_reference = luaL_ref(L, LUA_REGISTRYINDEX);
}

json_t *cox_driver_node_end(struct cox_fiber *fiber) {
  if (fiber->node_reference == LUA_NOREF || fiber->vm->is_lost) return NULL;
  lua_State *const L = fiber->vm->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, fiber->node_reference);
  struct cox_fiber **const held = lua_touserdata(L, -1);
  lua_getiuservalue(L, -1, MEMORY_UPVALUE);
  struct cox_err err;
  json_t *const memory = cox_convert_take(L, -1, "node.memory", &err);
  lua_pop(L, 2);
  *held = NULL; /* whoever kept the object learns that it is over */
  if (memory == NULL) {
    cox_log(COX_LOG_WARN, "drivers", "a driver's notes could not be kept", "node",
            json_string_value(json_object_get(fiber->attempt->node, "id")), "error", err.text, NULL);
  }
  return cox_packed(memory);
}

/* ---- probes ---- */

static const char *text_field(lua_State *L, const char *name) {
  cox_vm_push_field(L, -1, name); /* raw, as nothing protects us here */
  const char *const text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1); /* the table holds it */
  return text;
}

void cox_driver_take_probe(lua_State *L, struct cox_fiber *fiber) {
  struct cox_result *const result = &fiber->attempt->result;
  if (lua_type(L, -1) != LUA_TTABLE) {
    cox_fiber_fail(fiber, COX_CLASS_SCRIPT, 0, "the driver's probe must return a table { status, ready }");
    return;
  }
  const char *const status = text_field(L, "status");
  const char *const poc = text_field(L, "poc");
  const char *const model = text_field(L, "model");
  if (!cox_status_parse(status, &result->seen) || (poc != NULL && !cox_poc_parse(poc, &result->seen_poc))) {
    cox_fiber_fail(fiber, COX_CLASS_SCRIPT, 0, "the driver's probe returned a status or poc that is none of the known ones");
    return;
  }
  result->has_seen_poc = poc != NULL;
  cox_vm_push_field(L, -1, "ready");
  const bool is_good = lua_isboolean(L, -1) || lua_isnil(L, -1);
  result->is_ready = lua_toboolean(L, -1) != 0;
  lua_pop(L, 1);
  if (!is_good) {
    cox_fiber_fail(fiber, COX_CLASS_SCRIPT, 0, "the driver's probe returned a `ready` that is neither true nor false");
    return;
  }
  if (model != NULL) result->seen_model = strdup(model);
}
