/* What the console reads from one node object of the API ({"node","state"}). Nothing in it is trusted: a field of another
 * type counts as absent.                                                                                                   */
#ifndef COX_CONSOLE_NODE_VIEW_H
#define COX_CONSOLE_NODE_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "console/table.h"

enum { COX_STATE_TEXT = 48 };

struct cox_node_view {
  const char *id;                  /* borrowed from the object, never NULL */
  char intended[COX_STATE_TEXT];   /* "INFERENCE", "POC/GENERATING"; "-": nothing is intended yet */
  char current[COX_STATE_TEXT];
  bool has_target, is_converged;   /* without a target a node is converged, as for the broker */
  bool is_failed, is_enabled;
  int64_t admin_epoch;
  int64_t admin_ends_at_ms; /* 0: it does not end by itself */
  const char *failure, *reason;    /* why it failed, why this is intended; borrowed, "" when there is none */
  const char *doing;               /* what the broker does about it, in words */
  int64_t attempt, attempt_at_ms;  /* in flight; 0: none */
  char attempt_to[COX_STATE_TEXT];
  bool is_cancelled;
  int64_t status_at_ms, next_at_ms; /* 0: never, none waits */
};

void cox_node_view_read(const json_t *object, struct cox_node_view *out);
/* Text at `key` of an object, "" when it is absent or no text; borrowed. */
const char *cox_node_view_text(const json_t *object, const char *key);
/* "POC/GENERATING": the status, and the PoC status when it says anything. */
void cox_node_view_state(const json_t *object, const char *status_key, const char *poc_key, char out[COX_STATE_TEXT]);
/* How its current status is drawn. */
enum cox_style cox_node_view_style(const struct cox_node_view *view);

/* The table of the fleet, for `nodes` and the live view. */
enum { COX_NODE_COLUMNS = 7 };
extern const struct cox_column cox_node_columns[COX_NODE_COLUMNS];
bool cox_node_view_add_row(const struct cox_node_view *view, int64_t now_ms, struct cox_table *table);

#endif
