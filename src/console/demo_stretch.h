/* The three stretches of an epoch in which a node must reach a state, and whether it did. Pure functions. */
#ifndef COX_CONSOLE_DEMO_STRETCH_H
#define COX_CONSOLE_DEMO_STRETCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "console/phase_view.h"

enum { COX_STRETCH_GENERATE, COX_STRETCH_VALIDATE, COX_STRETCH_INFERENCE, COX_STRETCHES };

struct cox_stretch {
  int64_t epoch;
  int kind;
  int64_t first, end;    /* block heights: [first, end) */
  int64_t episode;       /* height of the epoch's PoC start */
  int64_t begin_ms;      /* wall clock, when it began; set by who watches */
};

/* When a height was seen. */
struct cox_look {
  int64_t height, at_ms;
};

/* People's name of a kind: "PoC Generate". */
const char *cox_stretch_name(int kind);
/* Stretches are numbered through all epochs, so that the next one is one higher. */
int64_t cox_stretch_number(const struct cox_stretch *stretch);
/* The stretch of that number; false: it belongs to another epoch than the world's, or the stages are not known. */
bool cox_stretch_read(const json_t *world, int64_t number, struct cox_stretch *out);
/* The stretch that the world's epoch is in at that height; false: none (before the first PoC). */
bool cox_stretch_at(const json_t *world, int64_t height, struct cox_stretch *out);
bool cox_stretch_is_over(const struct cox_stretch *stretch, const struct cox_phase_view *phase);

/* Does the node do what this stretch asks? */
bool cox_stretch_is_followed(const struct cox_stretch *stretch, const json_t *object, const json_t *world);
/* Did it until `deadline_ms`, by the notes about its attempts? For what happened between two looks. */
bool cox_stretch_was_followed(const struct cox_stretch *stretch, const json_t *object, const json_t *world, int64_t deadline_ms);
/* Why it does not, in words. */
void cox_stretch_cause(const struct cox_stretch *stretch, const json_t *object, char *text, size_t size);

/* About when a height came that lies between two looks (blocks come evenly). */
int64_t cox_look_time(const struct cox_look *before, const struct cox_look *after, int64_t height);

#endif
