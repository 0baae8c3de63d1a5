/* Contents of scripts that were refused, or left for the ones before: they are not tried again unless somebody asks for it. Any thread. */
#ifndef COX_SCRIPT_REJECTED_H
#define COX_SCRIPT_REJECTED_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"

enum { COX_REJECTED_MAX = 8 };

struct cox_rejected {
  struct cox_mutex mutex; /* guards the rest */
  json_t *list;           /* [{"hash","reason","faults"?}], the last one is the newest; replaced, never changed */
};

/* False: out of memory. */
bool cox_rejected_init(struct cox_rejected *rejected);
void cox_rejected_fini(struct cox_rejected *rejected);
/* Takes a list over that was kept (borrowed; anything else than a list is left). */
void cox_rejected_set(struct cox_rejected *rejected, json_t *list);
/* A new reference to the list. */
json_t *cox_rejected_hold(struct cox_rejected *rejected);
/* A new reference to the entry of that content; NULL: it is not among them. */
json_t *cox_rejected_find(struct cox_rejected *rejected, uint64_t scripts_hash);
bool cox_rejected_has(struct cox_rejected *rejected, uint64_t scripts_hash);
/* Takes `entry`, {"reason","faults"?}. Beyond the limit the oldest is forgotten. */
void cox_rejected_add(struct cox_rejected *rejected, uint64_t scripts_hash, json_t *entry);
void cox_rejected_remove(struct cox_rejected *rejected, uint64_t scripts_hash);

#endif
