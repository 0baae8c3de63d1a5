/* A loaded set of scripts: sources, what they declare, and the policy VM built from them. Everything but the VM is immutable. */
#ifndef COX_SCRIPT_GENERATION_H
#define COX_SCRIPT_GENERATION_H

#include <jansson.h>
#include <stdint.h>

#include "core/policy.h"
#include "core/status.h"
#include "script/policy.h"
#include "script/sources.h"

struct cox_generation {
  uint64_t number; /* from 1 */
  struct cox_sources *sources;
  json_t *commands, *drivers, *jobs; /* {name: plain fields of its file} */
  struct cox_policy_vm *policy;      /* cox-command's, once the generation is live */
  const struct cox_clock *clock;
  size_t memory_max;
};

struct cox_generation_options {
  const char *scripts_dir, *library_dir;
  const struct cox_clock *clock;
  size_t memory_max; /* of each VM */
  uint64_t number;
};

/* Reads, runs, checks and tries everything; NULL with every fault in `faults`. */
struct cox_generation *cox_generation_create(const struct cox_generation_options *options, struct cox_faults *faults);
void cox_generation_destroy(struct cox_generation *generation);
/* cox-command: a fresh policy VM from the same sources, after one overran its limits. */
void cox_generation_renew_policy(struct cox_generation *generation);
/* 0 or COX_ENOENT. */
int cox_generation_lookup(const struct cox_generation *generation, const char *name, enum cox_priority *priority);
/* Seconds that the driver may need (UNKNOWN: for a probe); 0: no such driver or status. */
double cox_generation_limit_s(const struct cox_generation *generation, const char *kind, enum cox_status status);

#endif
