/* `http` for jobs: requests to any address. What goes wrong on the way is a value, not an error: a job lives on. */
#include <lauxlib.h>
#include <string.h>

#include "script/api.h"
#include "script/request.h"
#include "script/sandbox.h"
#include "script/trust.h"

enum { BYTES = 1 << 20, BYTES_MAX = 16 << 20 };

#define GET_TIMEOUT_S 10.0
#define POST_TIMEOUT_S 30.0

static const char *const options[] = {"timeout_s", "max_bytes", NULL};

static int answered(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  struct cox_fiber *const fiber = cox_fiber_check(L);
  if (fiber->reply->class_ != COX_CLASS_NONE) return cox_request_push_failure(L, fiber->reply);
  cox_request_push_answer(L, fiber->reply);
  cox_guard_renew(&fiber->vm->guard); /* reading a large answer is our work, and it has its own limit */
  return 1;
}

static void check_url(lua_State *L, const char *url) {
  const bool is_http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
  if (!is_http || strpbrk(url, " \t\r\n") != NULL) luaL_error(L, "an address begins with http:// or https:// and has no spaces: \"%s\"", url);
}

/* Stack: url, body, options. */
static int request(lua_State *L, const char *method, double timeout_s) {
  struct cox_fiber *const fiber = cox_fiber_check(L);
  const char *const url = luaL_checkstring(L, 1);
  check_url(L, url);
  cox_request_check_options(L, 3, options);
  cox_request_set_body(L, fiber, 2);
  cox_request_set_text(L, &fiber->url, strdup(url));
  fiber->request = (struct cox_io_request){
      .kind = COX_IO_HTTP,
      .method = method,
      .url = fiber->url,
      .body = fiber->body,
      .body_len = fiber->body != NULL ? strlen(fiber->body) : 0,
      .timeout_ms = cox_request_timeout_ms(L, 3, timeout_s),
      .is_mutating = strcmp(method, "POST") == 0,
      .ca_file = cox_trust_file(fiber->owner->context->config, fiber->url),
      .response_max = cox_request_max_bytes(L, 3, BYTES, BYTES_MAX),
  };
  lua_settop(L, 0);
  return lua_yieldk(L, 0, 0, answered);
}

static int get(lua_State *L) {
  lua_settop(L, 2);
  lua_pushnil(L);
  lua_insert(L, 2);
  return request(L, "GET", GET_TIMEOUT_S);
}

static int post(lua_State *L) {
  lua_settop(L, 3);
  return request(L, "POST", POST_TIMEOUT_S);
}

static const struct cox_binding bindings[] = {
    {"get", get, "(url: string, options?: coxswain.HttpOptions) → coxswain.Answer?, coxswain.Failure?",
     "GET: { status, body, json? } of any status; nil and { class, message } when no whole answer came within options.timeout_s (10) and "
     "options.max_bytes (1 MiB)."},
    {"post", post, "(url: string, body?: table, options?: coxswain.HttpOptions) → coxswain.Answer?, coxswain.Failure?",
     "POST of a JSON body, on a connection of its own and never repeated; otherwise as get, with 30 s."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_http = {
    .name = "http", .help = "Requests to any address.", .contexts = COX_API_JOBS, .functions = bindings};

void cox_api_http_push(lua_State *L) { cox_bindings_push(L, bindings); }
