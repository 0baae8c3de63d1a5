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

/* Plain, so that it can be kept. */
static int mark(lua_State *L) {
  const struct cox_mark made = cox_clock_mark(cox_vm_of(L)->clock);
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)made.era);
  lua_setfield(L, -2, "era");
  lua_pushinteger(L, (lua_Integer)made.at_us);
  lua_setfield(L, -2, "at_us");
  return 1;
}

/* What is no mark becomes one of no era. */
static struct cox_mark read_mark(lua_State *L) {
  const struct cox_mark none = {.era = UINT64_MAX};
  if (!lua_istable(L, 1)) return none;
  lua_getfield(L, 1, "era");
  lua_getfield(L, 1, "at_us");
  if (!lua_isinteger(L, -2) || !lua_isinteger(L, -1)) return none;
  return (struct cox_mark){.era = (uint64_t)lua_tointeger(L, -2), .at_us = lua_tointeger(L, -1)};
}

static int since(lua_State *L) {
  if (lua_isnoneornil(L, 1)) return luaL_argerror(L, 1, "a mark of time.mark expected");
  const struct cox_mark given = read_mark(L);
  lua_pushnumber(L, (lua_Number)cox_clock_since_us(cox_vm_of(L)->clock, given) / 1e6);
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
    {"mark", mark, "() → table", "This moment as a plain value, to be kept in node.memory or by a job's save: time.since tells how long ago it was."},
    {"since", since, "(mark: any) → number",
     "Seconds since a mark, whatever the clock was set to, over restarts of the daemon. When its machine has started anew since, and of what is no "
     "mark (a note of an older script), only what is certain: the seconds since this daemon began."},
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
