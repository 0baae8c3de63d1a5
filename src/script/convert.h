/* Plain values between Lua and jansson. Exact: integers stay integers, 3.0 stays a float. */
#ifndef COX_SCRIPT_CONVERT_H
#define COX_SCRIPT_CONVERT_H

#include <jansson.h>
#include <lua.h>

#include "base/err.h"

enum { COX_CONVERT_DEPTH_MAX = 64 };

/* Pushes a new Lua value; may throw (memory). null becomes nil in objects and json.null in lists. Empty lists are marked, so
 * that they stay lists on the way back.                                                                                      */
void cox_convert_push(lua_State *L, const json_t *value);
/* As cox_convert_push for a table that stands for `value` as long as nobody changes it: cox_convert_take gives back the very
 * same json value for it, at no cost. For large values that travel through a handler unchanged.                              */
void cox_convert_push_shared(lua_State *L, json_t *value);
/* The value at `index` as a new reference; never throws. NULL with "what: where" in `err`: functions, cycles, keys that are no
 * text, bad UTF-8, nan. nil and json.null become null.                                                                       */
json_t *cox_convert_take(lua_State *L, int index, const char *what, struct cox_err *err);
/* Marks the table at `index` as a list. */
void cox_convert_mark_list(lua_State *L, int index);
/* Pushes json.null. */
void cox_convert_push_null(lua_State *L);

#endif
