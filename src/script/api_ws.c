/* `ws` for jobs: websockets. A connection belongs to the script that opened it, and is closed with it at the latest. */
#include <lauxlib.h>
#include <string.h>

#include "script/api.h"
#include "script/request.h"
#include "script/sandbox.h"
#include "script/trust.h"

enum { BYTES = 8 << 20, BYTES_MAX = 64 << 20 };

#define CONNECTION_TYPE "coxswain.Connection"
#define CONNECT_TIMEOUT_S 10.0
#define SEND_TIMEOUT_S 10.0
#define PING_TIMEOUT_S 5.0
#define WAIT_MAX_S 86400.0

static const char *const options[] = {"timeout_s", "max_bytes", NULL};

struct connection {
  uint64_t socket; /* its number; 0: closed */
};

static void push_metatable(lua_State *L);

/* ---- ws.connect ---- */

static int connected(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  const struct cox_io_reply *const reply = cox_fiber_check(L)->reply;
  if (reply->class_ != COX_CLASS_NONE) return cox_request_push_failure(L, reply);
  struct connection *const connection = lua_newuserdatauv(L, sizeof *connection, 0);
  connection->socket = reply->socket;
  push_metatable(L);
  lua_setmetatable(L, -2);
  return 1;
}

static int connect(lua_State *L) {
  lua_settop(L, 2);
  struct cox_fiber *const fiber = cox_fiber_check(L);
  const char *const url = luaL_checkstring(L, 1);
  const char *const colon = strstr(url, "://");
  const size_t scheme = colon != NULL ? (size_t)(colon - url) : 0;
  const bool is_known = (scheme == 2 && strncmp(url, "ws", 2) == 0) || (scheme == 3 && strncmp(url, "wss", 3) == 0) ||
                        (scheme == 4 && strncmp(url, "http", 4) == 0) || (scheme == 5 && strncmp(url, "https", 5) == 0);
  if (!is_known || strpbrk(url, " \t\r\n") != NULL) return luaL_error(L, "an address begins with ws:// or wss:// and has no spaces: \"%s\"", url);
  cox_request_check_options(L, 2, options);
  cox_request_set_text(L, &fiber->url, strdup(url));
  fiber->request = (struct cox_io_request){.kind = COX_IO_SOCKET_OPEN,
                                           .method = "CONNECT",
                                           .url = fiber->url,
                                           .ca_file = cox_trust_file(fiber->owner->context->config, fiber->url),
                                           .timeout_ms = cox_request_timeout_ms(L, 2, CONNECT_TIMEOUT_S),
                                           .response_max = cox_request_max_bytes(L, 2, BYTES, BYTES_MAX)};
  lua_settop(L, 0);
  return lua_yieldk(L, 0, 0, connected);
}

/* ---- connections ---- */

static int refuse(lua_State *L, const struct cox_io_reply *reply) {
  lua_pushnil(L);
  lua_pushstring(L, reply->error != NULL ? reply->error : cox_class_name(reply->class_));
  return 2;
}

static int is_done(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  const struct cox_io_reply *const reply = cox_fiber_check(L)->reply;
  if (reply->class_ != COX_CLASS_NONE) return refuse(L, reply);
  lua_pushboolean(L, 1);
  return 1;
}

static int closed(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  ((struct connection *)lua_touserdata(L, 1))->socket = 0;
  return 0;
}

static int received(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  const struct cox_io_reply *const reply = cox_fiber_check(L)->reply;
  if (reply->class_ != COX_CLASS_NONE) return refuse(L, reply);
  lua_pushlstring(L, reply->body, reply->body_len);
  return 1;
}

static struct connection *check(lua_State *L) { return luaL_checkudata(L, 1, CONNECTION_TYPE); }

static int64_t wait_ms(lua_State *L, int index, lua_Number fallback_s) {
  const lua_Number seconds = luaL_optnumber(L, index, fallback_s);
  luaL_argcheck(L, seconds >= 0 && seconds <= WAIT_MAX_S, index, "seconds must be from 0 to 86400");
  return (int64_t)(seconds * 1000);
}

static int ask(lua_State *L, struct cox_io_request request, lua_KFunction answered) {
  struct cox_fiber *const fiber = cox_fiber_check(L);
  const struct connection *const connection = check(L);
  request.socket = connection->socket;
  fiber->request = request;
  return lua_yieldk(L, 0, 0, answered); /* the arguments stay on the stack, and so in memory */
}

static int connection_send(lua_State *L) {
  size_t count;
  const char *const text = luaL_checklstring(L, 2, &count);
  luaL_argcheck(L, count <= BYTES_MAX, 2, "a message has at most 64 MiB");
  int64_t timeout_ms = wait_ms(L, 3, SEND_TIMEOUT_S);
  if (timeout_ms == 0) timeout_ms = 1;
  return ask(L, (struct cox_io_request){.kind = COX_IO_SOCKET_SEND, .body = text, .body_len = count, .timeout_ms = timeout_ms}, is_done);
}

static int connection_receive(lua_State *L) {
  luaL_checknumber(L, 2);
  return ask(L, (struct cox_io_request){.kind = COX_IO_SOCKET_RECEIVE, .timeout_ms = wait_ms(L, 2, 0)}, received);
}

static int connection_ping(lua_State *L) {
  int64_t timeout_ms = wait_ms(L, 2, PING_TIMEOUT_S);
  if (timeout_ms == 0) timeout_ms = 1;
  return ask(L, (struct cox_io_request){.kind = COX_IO_SOCKET_PING, .timeout_ms = timeout_ms}, is_done);
}

static int connection_close(lua_State *L) {
  struct connection *const connection = check(L);
  if (connection->socket == 0) return 0;
  return ask(L, (struct cox_io_request){.kind = COX_IO_SOCKET_CLOSE}, closed);
}

static const struct cox_binding methods[] = {
    {"send", connection_send, "(text: string, timeout_s?: number) → boolean?, string?", "Sends a text message; nil and why when the connection has ended."},
    {"receive", connection_receive, "(timeout_s: number) → string?, string?",
     "The next message. nil and \"timeout\" when none came within that time (0: none is there now), nil and another sentence when the connection has ended."},
    {"ping", connection_ping, "(timeout_s?: number) → boolean?, string?",
     "Asks for a sign of life: true when one came within that time (5 s), or when a message waits to be received."},
    {"close", connection_close, "()", "Closes the connection; closing a closed one does nothing."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_connection = {
    .name = CONNECTION_TYPE, .help = "An open websocket. It is closed with its script at the latest.", .contexts = COX_API_CLASS, .functions = methods};

static void push_metatable(lua_State *L) {
  if (!luaL_newmetatable(L, CONNECTION_TYPE)) return;
  cox_bindings_push(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

static const struct cox_binding bindings[] = {
    {"connect", connect, "(url: string, options?: coxswain.HttpOptions) → coxswain.Connection?, coxswain.Failure?",
     "Opens a websocket within options.timeout_s (10), for messages of at most options.max_bytes (8 MiB); nil and { class, message, status? }."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_ws = {.name = "ws", .help = "Websockets.", .contexts = COX_API_JOBS, .functions = bindings};

void cox_api_ws_push(lua_State *L) { cox_bindings_push(L, bindings); }
