/* A broker under a fake clock, with handlers written in C and a transport that only collects. One thread drives all. */
#ifndef SPEC_FAKE_CORE_H
#define SPEC_FAKE_CORE_H

#include <stdatomic.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "core/broker.h"
#include "core/txn.h"

enum { FAKE_MAX = 4096 };

struct fake {
  _Atomic(int64_t) now_us; /* the store's thread reads it, too */
  double probe_interval_s; /* not above 0: none */
  struct cox_clock clock;
  struct cox_policy policy;
  struct cox_transport transport;
  struct cox_store store;
  struct cox_broker *broker;
  uint64_t generation; /* of the policy */
  double limit_s;      /* of every driver */
  struct cox_lease_options leases;
  struct cox_attempt *open[FAKE_MAX]; /* handed over, not given back */
  bool is_cancelled[FAKE_MAX];
  size_t opens;
  size_t started, started_probes;
  json_t *served;  /* names of the handlers that ran, in order */
  json_t *records; /* state records that the store was given */
  struct cox_answer last; /* of the last command sent by fake_send */
  int answers;
};

/* Probes are off unless `probe_interval_s` > 0. */
struct fake *fake_create(double probe_interval_s);
void fake_destroy(struct fake *fake);
/* Begins anew with an empty broker that is decided for by another policy. */
void fake_use_policy(struct fake *fake, const struct cox_policy *policy, json_t *participant, const char *callback_url);
/* Begins anew with a broker that has what that store holds; NULL: our own again. 0, or the reason why not. */
int fake_use_store(struct fake *fake, const struct cox_store *store, struct cox_err *err);
/* Both loops until neither has anything to do. */
void fake_run(struct fake *fake);
/* Moves the clock on and runs. */
void fake_pass_time(struct fake *fake, double seconds);
/* Sends a command, runs, returns its answer's outcome; `args` is jansson's pack format. The answer stays in fake->last. */
enum cox_outcome fake_send(struct fake *fake, const char *name, json_t *args);
/* Registers node <id> with ports from `port`. */
void fake_register(struct fake *fake, const char *id, int port);
json_t *fake_node(const char *id, int port);
/* Sends a synced block whose due command sets no intents: attempts may start from now on. */
void fake_arm(struct fake *fake);
/* Sets the target of one node. */
void fake_intend(struct fake *fake, const char *id, json_t *target);
/* The open attempt of a node, NULL: none. */
struct cox_attempt *fake_open(struct fake *fake, const char *id);
bool fake_is_cancelled(struct fake *fake, const char *id);
/* Ends the open attempt of a node and runs. */
void fake_finish(struct fake *fake, const char *id, enum cox_class class_, const char *error);
/* Gives one open attempt back without running. */
void fake_give_back(struct fake *fake, size_t index, enum cox_class class_, const char *error);
/* A field of the node's state, as text. Lives until the next call. */
const char *fake_state(struct fake *fake, const char *id, const char *key);
/* Registers node1 and brings it to INFERENCE with model m. */
void fake_serving(struct fake *fake);
json_t *fake_target(const char *status, const char *poc);

#endif
