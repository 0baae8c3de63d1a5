/* Plain values between Lua and jansson. Exact: integers stay integers, 3.0 stays a float. */
#ifndef COX_SCRIPT_CONVERT_H
#define COX_SCRIPT_CONVERT_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>

#include "base/err.h"

enum {
  COX_CONVERT_DEPTH_MAX = 64,
  COX_CONVERT_BYTES_MAX = 32 * 1024 * 1024, /* of what becomes of one value outside of the VM's memory */
  COX_CONVERT_TEXT_BYTES_MAX = 8 * 1024 * 1024,
};

/* Asked first, with key and value on top of the stack, which it leaves there: true when it took the value without a conversion. */
typedef bool cox_convert_know_fn(void *arg, lua_State *L);
/* 0, or a code with the reason in `err`. */
typedef int cox_convert_set_fn(void *arg, const char *name, json_t *value, struct cox_err *err);

/* Pushes a new Lua value; may throw (memory). null becomes nil in objects and json.null in lists. Empty lists are marked, so
 * that they stay lists on the way back.                                                                                      */
void cox_convert_push(lua_State *L, const json_t *value);
/* As cox_convert_push for a table that stands for `value` as long as nobody changes it: cox_convert_take gives back the very
 * same json value for it, at no cost. For large values that travel through a handler unchanged.                              */
void cox_convert_push_shared(lua_State *L, json_t *value);
struct cox_held;
/* The same for a value that was just made: takes it, whatever throws. `held` is on top of the stack (cox_vm_push_holder, called before
 * the value was made) and goes.                                                                                                     */
void cox_convert_push_made(lua_State *L, struct cox_held **held, json_t *value);
/* The value at `index` as a new reference; never throws. NULL with "what: where" in `err`: functions, cycles, keys that are no
 * text, bad UTF-8, nan, too much of it. nil and json.null become null. When the call's time is up it is also NULL; after
 * clean-up, cox_guard_check then raises that.                                                                                 */
json_t *cox_convert_take(lua_State *L, int index, const char *what, struct cox_err *err);
/* Each pair of the table at `index` goes to `set`, which takes the value, unless `know` knows it; ends with the first that `set` refuses,
 * with what it says. As cox_convert_take otherwise: 0, or a code with the reason.                                                  */
int cox_convert_take_fields(lua_State *L, int index, const char *what, cox_convert_know_fn *know, cox_convert_set_fn *set, void *arg,
                            struct cox_err *err);
/* The value as JSON text on one line, to be freed; keys sorted when asked. Never throws: NULL when memory or time is used up, or the
 * text would be longer than COX_CONVERT_TEXT_BYTES_MAX, with the reason in `err`.                                                  */
char *cox_convert_text(lua_State *L, const json_t *value, bool is_sorted, const char *what, struct cox_err *err);
/* Marks the table at `index` as a list; throws when it has a metatable of its own. */
void cox_convert_mark_list(lua_State *L, int index);
/* Pushes json.null. */
void cox_convert_push_null(lua_State *L);

#endif
