/* Whether an operator wants a node to work: said by whom, why, and for how long. */
#ifndef COX_CORE_ADMIN_H
#define COX_CORE_ADMIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cox_admin {
  bool is_enabled;
  int64_t epoch;      /* in which it was said */
  int64_t expires_ms; /* on the wall clock: from then on it no longer holds (expiry.c); 0: it holds until something else is said */
  json_t *reason;     /* string, held; NULL: none was given */
  json_t *actor;      /* string, held: the caller of the command; NULL: nobody has said anything yet */
};

/* Releases what it holds. */
void cox_admin_fini(struct cox_admin *admin);
/* Takes a reference to what it holds: for copies of the struct. */
void cox_admin_hold(struct cox_admin *copy);
bool cox_admin_is_over(const struct cox_admin *admin, int64_t wall_ms);
/* {"enabled", "epoch", "reason"?, "actor"?, "expires_at"?}: how it is shown, recorded and stored. Sets the keys in `object`; false:
 * out of memory.                                                                                                               */
bool cox_admin_write(const struct cox_admin *admin, json_t *object);
/* The same back. What is absent or no such value is not said. Holds its texts. */
void cox_admin_read(struct cox_admin *out, const json_t *object);

#endif
