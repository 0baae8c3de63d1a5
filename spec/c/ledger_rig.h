/* A broker of fake_core on a manual_store, asked by specs of what waits for the store. */
#ifndef SPEC_LEDGER_RIG_H
#define SPEC_LEDGER_RIG_H

#include "fake_core.h"

extern struct fake *ledger_fake;
int ledger_setup(void **state);
int ledger_teardown(void **state); /* a spec that ended the broker leaves NULL */

struct ledger_question {
  bool is_answered;
  enum cox_outcome outcome;
  struct cox_err err;
};

/* Takes the answer for the question that `arg` is. */
void ledger_answered(void *arg, const struct cox_answer *answer);
/* Sends it (`args` is taken) and runs; it may stay unanswered. */
void ledger_send(struct ledger_question *question, const char *name, json_t *args);
/* The same, committed and done. */
void ledger_must(const char *name, json_t *args);
void ledger_add(const char *id, int port);
/* It was answered: undone, or not accepted, because of the store that manual_burn set on fire. */
void ledger_refused(const struct ledger_question *question);
/* The durable state as text, without what counts up and never goes back; the caller's. */
char *ledger_image(void);
/* Arguments of commands. */
json_t *ledger_admin(const char *id, bool is_enabled);
json_t *ledger_intent(const char *id, json_t *target);
json_t *ledger_named(const char *id);

#endif
