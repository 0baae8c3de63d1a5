/* Compiled scripts that are kept, for a program that makes the same script machines thousands of times (coxswain-sim). The daemon does
 * not use it: it compiles a text a handful of times, and what it loads is always text.                                             */
#ifndef COX_SCRIPT_CHUNKS_H
#define COX_SCRIPT_CHUNKS_H

#include <lua.h>

#include "script/sources.h"

/* From now on each text is compiled once. Only in programs with one thread; what was kept before is freed. */
void cox_chunks_keep(bool is_on);
/* Pushes the function of `source`, whose text without what Lua would not understand is given, or an error; a status of Lua. May throw. */
int cox_chunks_load(lua_State *L, const struct cox_source *source, const char *text, size_t len, const char *name);

#endif
