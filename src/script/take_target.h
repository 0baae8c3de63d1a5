/* Targets out of Lua tables. A phase command makes one for each node, and most of what is in it is what the node before got. */
#ifndef COX_SCRIPT_TAKE_TARGET_H
#define COX_SCRIPT_TAKE_TARGET_H

#include <lua.h>

#include "base/err.h"
#include "core/target.h"

/* The parameters of a target, and what else is a text in it. */
enum { COX_TARGET_KEY_STATUS = COX_TARGET_PARAMS, COX_TARGET_KEY_POC, COX_TARGET_KEYS, COX_TARGET_TEXT_REASON = COX_TARGET_PARAMS, COX_TARGET_TEXTS };

/* Of one policy VM. Texts of Lua are told apart by their addresses, which are good as long as Lua keeps the texts. */
struct cox_target_taker {
  const char *keys[COX_TARGET_KEYS];
  const char *statuses[COX_STATUS_COUNT], *pocs[COX_POC_COUNT]; /* NULL: no target has it */
  unsigned char order[COX_TARGET_KEYS]; /* in which the keys of the last table came: those of one constructor come alike */
  struct cox_target *last;              /* held: whose equal values are taken over; NULL: none */
  struct cox_target *bare[COX_STATUS_COUNT]; /* held: the last ones that say nothing but a status and why; NULL: none */
  json_t *reason;                       /* held: the last one; NULL: none */
  const char *texts[COX_TARGET_TEXTS];  /* that the texts in `last`, and `reason`, were made of; NULL: not known */
};

/* May throw. */
void cox_target_taker_init(lua_State *L, struct cox_target_taker *taker);
void cox_target_taker_fini(struct cox_target_taker *taker);
/* From the table at `index`, with the text at `reason` (may be nil). One reference, or NULL with why not in `err`; never throws. */
struct cox_target *cox_target_take(lua_State *L, int index, int reason, struct cox_target_taker *taker, struct cox_err *err);

#endif
