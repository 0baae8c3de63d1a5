/* Targets out of Lua tables. A phase command makes one for each node, and most of what is in it is what the node before got. */
#ifndef COX_SCRIPT_TAKE_TARGET_H
#define COX_SCRIPT_TAKE_TARGET_H

#include <lua.h>

#include "base/err.h"
#include "core/target.h"

/* Of one policy VM. */
struct cox_target_taker {
  const char *params[COX_TARGET_PARAMS], *status, *poc; /* Lua's own texts: a key is known by its address */
  struct cox_target *last; /* held: whose equal values are taken over; NULL: none */
};

/* May throw. */
void cox_target_taker_init(lua_State *L, struct cox_target_taker *taker);
void cox_target_taker_fini(struct cox_target_taker *taker);
/* From the table at `index`, with the text at `reason` (may be nil). One reference, or NULL with why not in `err`; never throws. */
struct cox_target *cox_target_take(lua_State *L, int index, int reason, struct cox_target_taker *taker, struct cox_err *err);

#endif
