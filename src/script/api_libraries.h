/* The standard libraries as scripts get them: what can run long in C is bounded, what reaches out of the machine is gone, and what
 * would make policy impure is refused. Each function opens one library into the state's real globals; all may throw.             */
#ifndef COX_SCRIPT_API_LIBRARIES_H
#define COX_SCRIPT_API_LIBRARIES_H

#include <lua.h>
#include <stdint.h>

void cox_api_string_open(lua_State *L);
void cox_api_table_open(lua_State *L);
void cox_api_coroutine_open(lua_State *L);
/* `seed` is for math.random of drivers and jobs; policy has none. */
void cox_api_math_open(lua_State *L, uint64_t seed);
/* pairs, pcall, setmetatable and the like. */
void cox_api_base_open(lua_State *L);

/* Puts `wrapper` around function `name` of the table on top; it finds the original in its first upvalue. */
void cox_libraries_wrap(lua_State *L, const char *name, lua_CFunction wrapper);

#endif
