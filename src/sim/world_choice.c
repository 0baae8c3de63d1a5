/* Which scripts a start runs: each process makes them anew from the files and from the choice in its store. What must come of it is
 * foretold by rules written a second time, and the choice itself must be what the book says was live under that number.          */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world_private.h"

#define SURE_S 60 /* longer than commits that are stuck, one after the other */

static const char invariant_chosen[] = "a start runs the scripts that were chosen";

/* What must be live. */
struct foretold {
  bool is_refused; /* the files are broken, and nothing is known against them */
  int live, previous;
  uint64_t number, previous_number;
};

/* ---- the book ---- */

static uint64_t live_number(const struct cox_world *world) { return world->scripts.policy->generation(world->scripts.policy->ctx); }

void cox_world_choose(struct cox_world *world) {
  struct cox_world_exchange *const exchange = &world->exchange;
  exchange->sets[live_number(world) % COX_WORLD_SETS] = exchange->live;
  exchange->sure_us = world->now_us;
}

void cox_world_check_tally(struct cox_world *world, const json_t *args) {
  const uint64_t said = (uint64_t)json_integer_value(json_object_get(args, "n"));
  if (said == ++world->tally) return;
  cox_world_break(world, "jobs carry over what they save", NULL, "%s says %" PRIu64 " where %" PRIu64 " comes next", world->scripts.job, said,
                  world->tally);
}

/* Set of a kept entry {"generation", "hash"}, as its hash says; NO_SET: there is none. */
static int set_of(struct cox_world *world, const json_t *entry) {
  const char *const hash = json_string_value(json_object_get(entry, "hash"));
  for (unsigned i = 0; hash != NULL && i < world->scripts.edits; i++) {
    char text[COX_WORLD_HASH];
    if (world->scripts.hash(world->scripts.ctx, i, text) && strcmp(text, hash) == 0) return (int)i;
  }
  return COX_WORLD_NO_SET;
}

static uint64_t number_of(const json_t *entry) { return (uint64_t)json_integer_value(json_object_get(entry, "generation")); }

static void check_entry(struct cox_world *world, const json_t *choice, const char *name) {
  const json_t *const entry = json_object_get(choice, name);
  const int set = set_of(world, entry), was = world->exchange.sets[number_of(entry) % COX_WORLD_SETS];
  if (entry == NULL || set == was) return;
  cox_world_break(world, invariant_chosen, NULL, "the store calls set %d the %s one, generation %" PRIu64 "; that was set %d", set, name,
                  number_of(entry), was);
}

static json_t *stored_choice(const struct cox_world *world) {
  return json_object_get(json_object_get(world->disk.tables, "keep:scripts"), "choice");
}

bool cox_world_is_choice_stored(struct cox_world *world) {
  return set_of(world, json_object_get(stored_choice(world), "live")) == world->exchange.live;
}

/* A choice that had time enough to be stored, on a disk that took all it was given. */
void cox_world_check_choice(struct cox_world *world) {
  const int64_t sure_us = world->exchange.sure_us > world->disk.full_until_us ? world->exchange.sure_us : world->disk.full_until_us;
  if (world->now_us - sure_us < (int64_t)SURE_S * COX_WORLD_S || cox_world_is_choice_stored(world)) return;
  cox_world_break(world, invariant_chosen, NULL, "set %d has been live for %.0f s in which the disk refused nothing, and the store does not know of it",
                  world->exchange.live, (double)(world->now_us - sure_us) / 1e6);
}

/* ---- the rules ---- */

static bool is_rejected(struct cox_world *world, const json_t *choice, int set) {
  const json_t *const list = json_object_get(choice, "rejected");
  for (size_t i = 0; i < json_array_size(list); i++) {
    if (set_of(world, json_array_get(list, i)) == set) return true;
  }
  return false;
}

static struct foretold foretell(struct cox_world *world, const json_t *choice) {
  const json_t *const live = json_object_get(choice, "live"), *const previous = json_object_get(choice, "previous");
  const int edited = world->exchange.edited, chosen = set_of(world, live);
  const bool goes_on = chosen != COX_WORLD_NO_SET && (chosen == edited || is_rejected(world, choice, edited));
  if (goes_on) {
    return (struct foretold){.live = chosen, .number = number_of(live), .previous = set_of(world, previous), .previous_number = number_of(previous)};
  }
  const uint64_t last = (uint64_t)json_integer_value(json_object_get(choice, "last_number"));
  return (struct foretold){.is_refused = edited >= (int)world->scripts.good, .live = edited, .number = last + 1, .previous = chosen,
                           .previous_number = number_of(live)};
}

static void check_live(struct cox_world *world, const struct foretold *foretold) {
  json_t *const shown = world->scripts.exchange->show(world->scripts.exchange->ctx);
  const json_t *const previous = json_object_get(shown, "previous");
  const int live = set_of(world, shown), before = set_of(world, previous);
  const uint64_t number = live_number(world);
  if (live != foretold->live || number != foretold->number || before != foretold->previous || number_of(previous) != foretold->previous_number) {
    cox_world_break(world, invariant_chosen, NULL,
                    "set %d is live as generation %" PRIu64 " with %d (%" PRIu64 ") before it; chosen was %d (%" PRIu64 ") with %d (%" PRIu64 ")",
                    live, number, before, number_of(previous), foretold->live, foretold->number, foretold->previous, foretold->previous_number);
  }
  json_decref(shown);
}

/* ---- a start ---- */

/* The process does not come up with broken scripts: somebody puts good ones there, and it is started again. */
static void mend(struct cox_world *world) {
  struct cox_err err = {0};
  if (world->scripts.load(world->scripts.ctx, &err) == 0) {
    cox_world_break(world, invariant_chosen, NULL, "a start runs set %d, which is broken", world->exchange.edited);
  }
  world->exchange.edited = 0;
  world->scripts.edit(world->scripts.ctx, 0);
  cox_world_trace(world, "a start is refused: the scripts are broken; set 0 is put there");
}

int cox_world_scripts_load(struct cox_world *world) {
  struct cox_world_exchange *const exchange = &world->exchange;
  struct cox_err err = {0};
  json_t *const choice = json_incref(stored_choice(world));
  check_entry(world, choice, "live");
  check_entry(world, choice, "previous");
  if (choice != NULL) cox_world_check_choice(world); /* none: the first start of all */
  struct foretold foretold = foretell(world, choice);
  if (foretold.is_refused) {
    mend(world);
    foretold = foretell(world, choice);
  }
  json_decref(choice);
  const int rc = world->scripts.load(world->scripts.ctx, &err);
  if (rc != 0) {
    cox_world_break(world, invariant_chosen, NULL, "a start with set %d in the files does not come up with set %d: %s", exchange->edited,
                    foretold.live, err.text);
    return rc;
  }
  check_live(world, &foretold);
  exchange->live = foretold.live;
  exchange->previous = foretold.previous;
  exchange->previous_number = foretold.previous_number;
  cox_world_choose(world);
  cox_world_trace(world, "scripts: set %d is live as generation %" PRIu64 ", set %d was before it", foretold.live, foretold.number, foretold.previous);
  return 0;
}
