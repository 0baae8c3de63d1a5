/* What the sandbox costs: phases.intent of the shipped policy in a sandboxed machine and in plain Lua, turn by turn. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"
#include "script/sandbox.h"
#include "script/vm.h"

enum { DECISIONS = 200000, ROUNDS = 15 };

/* The same in both: all cases of the policy, over and over. Returns the function that decides `count` times. */
static const char driver[] =
    "local phases = require 'policy.phases'\n"
    "local intent, cases = phases.intent, phases.cases\n"
    "local n = #cases\n"
    "return function(count)\n"
    "  for i = 0, count - 1 do\n"
    "    local case = cases[i % n + 1]\n"
    "    intent(case.node, case.world)\n"
    "  end\n"
    "end\n";

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void give_up(const char *why) {
  fprintf(stderr, "sandbox_bench: %s\n", why);
  exit(1);
}

/* ---- plain Lua ---- */

static lua_State *open_plain(void) {
  static const char prepare[] = "package.path = './lua/?.lua;./scripts/?.lua'\n"
                                "json = { array = function(list) return setmetatable(list or {}, {}) end }\n";
  lua_State *const L = luaL_newstate();
  luaL_openlibs(L);
  if (luaL_dostring(L, prepare) != LUA_OK || luaL_dostring(L, driver) != LUA_OK) give_up(lua_tostring(L, -1));
  return L;
}

static double run_plain(lua_State *L) {
  const double begin_s = now_s();
  lua_pushvalue(L, -1);
  lua_pushinteger(L, DECISIONS);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) give_up(lua_tostring(L, -1));
  return now_s() - begin_s;
}

/* ---- sandboxed ---- */

static const char function_key;

static int prepare_sandboxed(lua_State *L) {
  const struct cox_source source = {.name = (char *)(uintptr_t)"policy/bench.lua", .text = (char *)(uintptr_t)driver, .len = strlen(driver)};
  cox_sandbox_run(L, &source);
  cox_vm_keep(L, &function_key);
  return 0;
}

static int decide(lua_State *L) {
  cox_vm_push_kept(L, &function_key);
  lua_pushinteger(L, DECISIONS);
  lua_call(L, 1, 0);
  return 0;
}

static double run_sandboxed(struct cox_vm *vm) {
  struct cox_err err;
  const double begin_s = now_s();
  if (cox_vm_call(vm, decide, NULL, 1000, &err) != 0) give_up(err.text);
  return now_s() - begin_s;
}

int main(void) {
  struct cox_faults faults = {0};
  struct cox_err err;
  struct cox_sources *const sources = cox_sources_read("scripts", "lua", &faults);
  if (sources == NULL) give_up("run it in the project's folder");
  struct cox_vm *const vm = cox_vm_create(&(struct cox_vm_options){.context = COX_CONTEXT_POLICY, .sources = sources, .clock = cox_clock_system()}, &err);
  if (vm == NULL || cox_vm_call(vm, prepare_sandboxed, NULL, 1, &err) != 0) give_up(err.text);
  lua_State *const plain = open_plain();
  double plain_ns[ROUNDS], sandboxed_ns[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) { /* by turns: what else the machine does hits both */
    plain_ns[i] = run_plain(plain) / DECISIONS * 1e9;
    sandboxed_ns[i] = run_sandboxed(vm) / DECISIONS * 1e9;
  }
  bench_report("phase decision of a node, plain Lua", plain_ns, ROUNDS, "ns");
  bench_report("phase decision of a node, in the sandbox", sandboxed_ns, ROUNDS, "ns");
  /* Of the best: others' work only adds. (They are sorted now.) */
  bench_report_one("what the sandbox adds to a phase decision", (sandboxed_ns[0] / plain_ns[0] - 1) * 100, "%");
  lua_close(plain);
  cox_vm_destroy(vm);
  cox_sources_release(sources);
  cox_faults_fini(&faults);
  return 0;
}
