/* A whole life of the broker in virtual time, decided by one seed: the real core and the real scripts on one thread, simulated
 * machines, network, chain and operators, and the faults of all of them. After every event a list of invariants is checked;
 * then the faults stop, and the fleet must converge.
 *
 *   world = cox_world_create(&options, &err);
 *   scripts = { begin = …(clock = cox_world_clock(world), config = cox_world_config(world))…, … }   the caller wires: this room knows no scripts
 *   cox_world_live(world, &scripts, &outcome);
 *   cox_world_destroy(world);
 *
 * The same options give the same life: nothing in it depends on addresses, on the order of hash tables, or on real time.      */
#ifndef COX_SIM_WORLD_H
#define COX_SIM_WORLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/broker.h"
#include "core/fiber.h"
#include "core/policy.h"
#include "core/scripts.h"

struct cox_world;

/* What may go wrong, each with a source of chance of its own: leaving one out does not change the others' dice. */
enum cox_world_family {
  COX_WORLD_NETWORK,   /* loss, delay, duplication, reset, refused, partitions */
  COX_WORLD_MACHINES,  /* nodes crash, restart, hang, lie, answer late or nonsense */
  COX_WORLD_CHAIN,     /* gaps, reorder, doubles, stalls, not synced, missing hashes */
  COX_WORLD_OPERATORS, /* they change nodes and send commands */
  COX_WORLD_CLOCK,     /* the wall clock jumps */
  COX_WORLD_RESTARTS,  /* the broker's process is killed and starts again */
  COX_WORLD_PACE,      /* loops and workers are late */
  COX_WORLD_DISK,      /* commits take long or fail, the disk is full */
  COX_WORLD_CLIENTS,   /* they acquire leases, renew, release, wait, die */
  COX_WORLD_SCRIPTS,   /* operators edit scripts, well or badly, and exchange them */
  COX_WORLD_FAMILIES
};
/* "network", …; NULL for a number beyond the last. */
const char *cox_world_family_name(unsigned family);

struct cox_world_options {
  uint64_t seed;
  unsigned machines;    /* 0: by the seed, 5 … 100 */
  double life_s;        /* virtual seconds of turmoil; 0: by the seed */
  unsigned without;     /* bits of families that are left out */
  FILE *trace;          /* every line of it is written there; NULL: only hashed */
  const char *trace_of; /* only lines that contain this; NULL: all */
};

enum { COX_WORLD_HASH = 17 };

struct cox_world_scripts {
  /* A process begins: makes the rest of this anew, with nothing loaded. */
  int (*begin)(void *ctx, struct cox_world_scripts *scripts, struct cox_err *err);
  /* After set_broker: loads what the files hold, or what the broker's store says was chosen. 0 or a code; may be tried again. */
  int (*load)(void *ctx, struct cox_err *err);
  const struct cox_policy *policy;
  const struct cox_fiber_ops *ops;
  void (*set_broker)(void *ctx, struct cox_broker *broker); /* a new broker is live, or NULL: none is */
  void *ctx;
  /* The exchange: answers before it returns, and calls cox_world_attend while it waits. */
  const struct cox_scripts *exchange;
  /* What its thread does unasked: when (monotonic; INT64_MAX: nothing), and does it if it is time. */
  int64_t (*due_us)(void *ctx);
  void (*turn)(void *ctx);
  /* From now on the files hold edit `which`: below `good` one that is accepted, 0 what is live first; then the broken ones. */
  void (*edit)(void *ctx, unsigned which);
  unsigned good, edits;
  unsigned draining; /* the good one whose targets wait for leases */
  const char *job; /* all of them have it: it counts its commands, which have its name, from 1 in `n`, over exchanges too */
  /* Of an edit's content, as people see it; false: there is none. */
  bool (*hash)(void *ctx, unsigned which, char text[COX_WORLD_HASH]);
};

struct cox_world_outcome {
  uint64_t hash;                   /* of the whole trace */
  uint64_t events, commands, attempts, probes, calls;
  uint64_t failures, cancels, stale, late_calls, processes; /* of attempts; calls that arrived after their caller had left */
  double virtual_s;                /* how long it lived */
  unsigned machines;
  bool has_failed;
  char invariant[48];              /* the one that broke */
  char text[1024];                 /* what was seen */
  char node[64];                   /* the node it is about, "" when it is about none */
  double at_s;                     /* virtual */
};

/* NULL with the reason in `err`. */
struct cox_world *cox_world_create(const struct cox_world_options *options, struct cox_err *err);
void cox_world_destroy(struct cox_world *world);
const struct cox_clock *cox_world_clock(const struct cox_world *world);
/* The configuration for jobs; borrowed. */
json_t *cox_world_config(const struct cox_world *world);
/* Once per world. Ends with the first broken invariant. */
void cox_world_live(struct cox_world *world, const struct cox_world_scripts *scripts, struct cox_world_outcome *outcome);
/* Inside of an exchange: the next thing happens. False: the process or the life is to end before the exchange. */
bool cox_world_attend(struct cox_world *world);
/* Last words when the process is about to die of a failed assertion: the last lines of the trace. Async-signal-unsafe; the
 * process ends anyway.                                                                                                   */
void cox_world_last_words(const struct cox_world *world, FILE *out);

/* The invariants that are checked after every event, by name; NULL ends the list. */
const char *const *cox_world_invariants(void);

#endif
