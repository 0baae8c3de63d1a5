/* A loaded set of scripts: sources, what they declare, and the policy VM built from them. Everything but the VM is immutable, and it
 * is shared: whoever holds a reference may read it on any thread.                                                                 */
#ifndef COX_SCRIPT_GENERATION_H
#define COX_SCRIPT_GENERATION_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "core/policy.h"
#include "core/status.h"
#include "script/policy.h"
#include "script/sources.h"

struct cox_generation {
  atomic_uint references;
  uint64_t number; /* from 1 */
  int64_t loaded_ms; /* wall clock */
  struct cox_sources *sources;
  json_t *commands, *drivers, *jobs; /* {name: plain fields of its file} */
  struct cox_policy_vm *policy;      /* of the thread that has it now: cox-reload while it is made, cox-command while it is live; NULL after */
  const struct cox_clock *clock;
  size_t memory_max;
};

struct cox_generation_options {
  const struct cox_clock *clock;
  size_t memory_max; /* of each VM */
  uint64_t number;
  const atomic_bool *is_left; /* true: nobody wants it any more, and what was made of it is worth nothing; until it rests. NULL: no such thing */
};

/* Runs, checks and tries everything; holds `sources`. One reference, or NULL with every fault in `faults`. */
struct cox_generation *cox_generation_create(const struct cox_generation_options *options, struct cox_sources *sources,
                                             struct cox_faults *faults);
/* One that is only there to go back to: sources and number. NULL: out of memory. */
struct cox_generation *cox_generation_create_bare(const struct cox_generation_options *options, struct cox_sources *sources);
struct cox_generation *cox_generation_hold(struct cox_generation *generation);
void cox_generation_release(struct cox_generation *generation);
/* From the policy VM's owner: another thread may be its owner next. */
void cox_generation_rest(struct cox_generation *generation);
/* Frees the policy VM, which must rest: the generation is kept only to go back to. */
void cox_generation_retire(struct cox_generation *generation);
/* cox-command: a fresh policy VM from the same sources, after one overran its limits. */
void cox_generation_renew_policy(struct cox_generation *generation);
/* 0 or COX_ENOENT. */
int cox_generation_lookup(const struct cox_generation *generation, const char *name, enum cox_priority *priority);
/* Seconds that the driver may need (UNKNOWN: for a probe); 0: no such driver or status. */
double cox_generation_limit_s(const struct cox_generation *generation, const char *kind, enum cox_status status);

#endif
