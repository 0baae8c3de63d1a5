/* A store that commits and fails when the spec says so. */
#ifndef SPEC_MANUAL_STORE_H
#define SPEC_MANUAL_STORE_H

#include "fake_core.h"

#include "core/store.h"

enum { MANUAL_HELD_MAX = 70000 };

extern struct manual_store {
  struct cox_store store;
  struct cox_batch *held[MANUAL_HELD_MAX]; /* appended and not committed, oldest first */
  size_t count, appended, settled;
  bool is_shut, is_full;
  size_t refused; /* for being full */
  void (*is_back)(void *arg);
  void *arg;
} manual;

/* Empty, and working. */
void manual_reset(void);
/* Commits the oldest `count`. */
void manual_commit(size_t count);
/* Lets the broker run, and commits, until nothing is held. */
void manual_commit_all(struct fake *f);
/* Everything that is held fails; the core hears of the first before the others when `is_halting`. */
void manual_burn(struct fake *f, bool is_halting);
/* It works again. */
void manual_put_out(struct fake *f);

#endif
