/* What scripts can see: an allowlist of globals, a copy for each file, with an error for every unknown one; read-only libraries;
 * and `require` for the script folder and the trusted library alone. All functions here may throw: only inside of a protected
 * call.                                                                                                                      */
#ifndef COX_SCRIPT_SANDBOX_H
#define COX_SCRIPT_SANDBOX_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "script/sources.h"

/* Opens the libraries and the bindings of the VM's context; `seed` is of math.random where there is one. */
void cox_sandbox_open(lua_State *L, uint64_t seed);
/* Compiles a script and leaves it as a function, with the sandbox's globals. */
void cox_sandbox_load(lua_State *L, const struct cox_source *source);
/* Runs a script and leaves what it returned on the stack; its globals are the sandbox's. */
void cox_sandbox_run(lua_State *L, const struct cox_source *source);
/* `require(name)` from C: leaves the module. */
void cox_sandbox_require(lua_State *L, const char *name);
/* Replaces the table on top by a read-only view of it (pairs and # work). */
void cox_sandbox_freeze(lua_State *L);
/* The table that the read-only view at `index` shows; false, and nothing pushed: it is none. It must not get into a script's hands. */
bool cox_sandbox_push_frozen(lua_State *L, int index);

/* One function of a binding table; tables are ended by a NULL name, and stand in the order of the manual: help and type
 * files are made from them.                                                                                             */
struct cox_binding {
  const char *name;
  lua_CFunction function;
  const char *signature; /* "(name, args?) → answer" */
  const char *help;      /* one sentence */
};
/* Pushes a new table with them. */
void cox_bindings_push(lua_State *L, const struct cox_binding *bindings);
/* Adds them to the table on top. */
void cox_bindings_add(lua_State *L, const struct cox_binding *bindings);
/* Pops a value: a global of all files that are run from now on. */
void cox_sandbox_set_global(lua_State *L, const char *name);

/* The bindings, one file each; each pushes its table. */
void cox_api_json_push(lua_State *L);
void cox_api_log_push(lua_State *L);
void cox_api_time_push(lua_State *L);
void cox_api_job_push(lua_State *L); /* `broker` of jobs */
void cox_api_http_push(lua_State *L);
void cox_api_ws_push(lua_State *L);
void cox_api_wallet_push(lua_State *L);

#endif
