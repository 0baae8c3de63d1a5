/* What the bindings that ask for I/O share: options, bodies, answers, failures. All may throw. */
#ifndef COX_SCRIPT_REQUEST_H
#define COX_SCRIPT_REQUEST_H

#include <lua.h>

#include "script/fiber.h"

/* A number of seconds from the option of that name (0.001 … 86400) in milliseconds; `index` may hold nil. */
int64_t cox_request_timeout_ms(lua_State *L, int index, double fallback_s);
/* options.max_bytes from 1 to `most`. */
size_t cox_request_max_bytes(lua_State *L, int index, size_t fallback, size_t most);
/* Any field of the options that is not among `known` (NULL-terminated) is an error. */
void cox_request_check_options(lua_State *L, int index, const char *const *known);
/* Takes an owned text (NULL: out of memory) into a place of the fiber. */
void cox_request_set_text(lua_State *L, char **place, char *text);
/* The table at `index` as JSON text into fiber->body; nil: none. */
void cox_request_set_body(lua_State *L, struct cox_fiber *fiber, int index);
/* Pushes { status, body, json? }. */
void cox_request_push_answer(lua_State *L, const struct cox_io_reply *reply);
/* Pushes nil and { class, message, status? }; returns 2. */
int cox_request_push_failure(lua_State *L, const struct cox_io_reply *reply);

#endif
