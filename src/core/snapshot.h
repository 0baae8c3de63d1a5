/* The inside of what readers see, shared by its two renderings: snapshot.c (values) and snapshot_text.c (text). */
#ifndef COX_CORE_SNAPSHOT_H
#define COX_CORE_SNAPSHOT_H

#include "core/engine.h"

struct cox_snapshot {
  struct cox_node *nodes; /* copies that hold their parts */
  struct cox_lease_look *leases; /* of each */
  size_t count;
  json_t *world;
  bool is_armed;
  int64_t now_us;
};

/* All nodes, or the one of that id. False: out of memory. */
bool cox_snapshot_take(struct cox_broker *broker, const char *id, struct cox_snapshot *snapshot) COX_EXCLUDES(broker->registry.lock);
void cox_snapshot_release(struct cox_snapshot *snapshot);
/* How leases see that node of the snapshot. */
const struct cox_lease_look *cox_snapshot_lease(const struct cox_node *node, const struct cox_snapshot *snapshot);
/* Why it is leased, or why not. Static, or in `text`. */
const char *cox_snapshot_why(const struct cox_lease_look *lease, const struct cox_snapshot *snapshot, char *text, size_t size);
/* One sentence: what the broker is doing about this node, and why. Static, or in `text`. */
const char *cox_snapshot_doing(const struct cox_node *node, const struct cox_snapshot *snapshot, char *text, size_t size);

#endif
