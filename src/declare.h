/* The declared nodes: brings the broker's set to what the configuration says, at the start and at SIGHUP. */
#ifndef COX_DECLARE_H
#define COX_DECLARE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "core/broker.h"

struct cox_declared {
  size_t added, updated, removed;
  size_t missing; /* left the list and were kept */
};

/* `applied` is an object {<node id>: entry as last applied} that the caller keeps from call to call; it is brought up to
 * date. Only fields whose value differs from that entry are applied, so what was changed over the API since stays; a node
 * removed over the API stays removed until its entry changes. Nodes that left `nodes` are removed only when `prunes`.
 * Waits for all answers: the broker must run. Not for cox-command. Every refusal is one fault.                          */
void cox_declare_nodes(struct cox_broker *broker, json_t *applied, json_t *nodes, bool prunes, struct cox_declared *counts,
                       struct cox_faults *faults);

/* Keeps what changed from `before` to `applied` in the broker's table "declared", and waits until it is stored. */
void cox_declare_keep(struct cox_broker *broker, json_t *before, json_t *applied, struct cox_faults *faults);

#endif
