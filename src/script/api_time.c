/* `time` for scripts: the broker's clock, and sleeping for those that may wait. */
#include <lauxlib.h>

#include "script/api.h"
#include "script/fiber.h"
#include "script/sandbox.h"
#include "script/vm.h"

#define SLEEP_MAX_S 86400.0

static int now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)cox_clock_wall_ms(cox_vm_of(L)->clock) / 1000);
  return 1;
}

static int monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)cox_clock_mono_us(cox_vm_of(L)->clock) / 1e6);
  return 1;
}

static int woken(lua_State *L, int status, lua_KContext context) {
  (void)L;
  (void)status;
  (void)context;
  return 0;
}

int cox_fiber_sleep(lua_State *L, lua_Number seconds) {
  struct cox_fiber *const fiber = cox_fiber_check(L);
  if (!(seconds >= 0 && seconds <= SLEEP_MAX_S)) return luaL_error(L, "seconds must be from 0 to 86400, not %f", seconds);
  fiber->request = (struct cox_io_request){.kind = COX_IO_SLEEP, .sleep_ms = (int64_t)(seconds * 1000)};
  return lua_yieldk(L, 0, 0, woken);
}

static int sleep_job(lua_State *L) { return cox_fiber_sleep(L, luaL_checknumber(L, 1)); }

static const struct cox_binding everywhere[] = {
    {"now", now, "() → number", "Seconds since 1970 (UTC) by the broker's clock."},
    {"monotonic", monotonic, "() → number",
     "Seconds since some moment, by a clock that nobody sets: for how long something took, within one run of the daemon."},
    {NULL, NULL, NULL, NULL},
};

static const struct cox_binding in_jobs[] = {
    {"sleep", sleep_job, "(seconds: number)", "Waits; other jobs and attempts go on meanwhile."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_time = {.name = "time", .help = "The broker's clock.", .contexts = COX_API_ALL, .functions = everywhere};
const struct cox_api cox_api_time_jobs = {
    .name = "time", .help = "Waiting, for those who may.", .contexts = COX_API_JOBS, .functions = in_jobs};

void cox_api_time_push(lua_State *L) {
  cox_bindings_push(L, everywhere);
  if (cox_vm_of(L)->context == COX_CONTEXT_JOBS) cox_bindings_add(L, in_jobs);
}
