/* A stand-in for the room that loads scripts (core/scripts.h): answers what it was told to, at once or when it is let go. */
#ifndef SPEC_FAKE_SCRIPTS_H
#define SPEC_FAKE_SCRIPTS_H

#include <jansson.h>
#include <stddef.h>

#include "base/lock.h"
#include "core/scripts.h"

struct fake_scripts {
  struct cox_scripts scripts; /* what is tested gets this */
  struct cox_mutex mutex;     /* guards everything below */
  struct cox_scripts_outcome next; /* owned result */
  bool is_holding;                 /* requests wait until fake_scripts_let_go */
  struct cox_scripts_request *waiting;
  size_t asked;                    /* requests so far */
  char what[16], caller[64], dir[256]; /* of the last one; dir "": NULL */
};

void fake_scripts_init(struct fake_scripts *fake);
/* Lets everything go. */
void fake_scripts_fini(struct fake_scripts *fake);
/* From now on all are answered so; takes `result` (may be NULL). */
void fake_scripts_answer(struct fake_scripts *fake, enum cox_scripts_status status, json_t *result, int code, const char *why);
/* Refused, with one fault in policy/phases.lua, line 3, and one without a place. */
void fake_scripts_refuse(struct fake_scripts *fake);
void fake_scripts_hold(struct fake_scripts *fake);
/* Answers everything that waits, and holds no longer. */
void fake_scripts_let_go(struct fake_scripts *fake);
/* Until so many requests have come; 60 s at most. False: they did not. */
bool fake_scripts_wait(struct fake_scripts *fake, size_t asked);

#endif
