/* Console sessions in Lua: a VM of its own for each, in the sandbox, with lua/coxswain/console.lua in it. */
#ifndef COX_SCRIPT_CONSOLE_H
#define COX_SCRIPT_CONSOLE_H

#include <jansson.h>

#include "base/clock.h"
#include "core/broker.h"
#include "core/console.h"
#include "script/sources.h"

/* What all sessions share; outlives them. Its functions are called on any thread. */
struct cox_console_context {
  struct cox_broker *broker;
  const struct cox_clock *clock;
  struct cox_sources *(*hold_sources)(void *ctx); /* of the live generation: one reference */
  json_t *(*commands)(void *ctx);
  void *ctx;
  double line_budget_s; /* 0: 5 */
};

struct cox_console cox_console_make(struct cox_console_context *context);

#endif
