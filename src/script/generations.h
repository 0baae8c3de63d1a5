/* The generations that there are: the live one, the one before it, and the one that wants to go live. cox-command alone exchanges the
 * live one, between two commands; everybody else holds it for as long as it is read.
 *
 * A flip goes over three steps of cox-command: asked (by cox-reload), taken (the new one is live and the command that is due runs), and
 * settled (that command is over), so that whoever asked for it sees what came of it.                                                */
#ifndef COX_SCRIPT_GENERATIONS_H
#define COX_SCRIPT_GENERATIONS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/lock.h"
#include "script/generation.h"

struct cox_broker;

enum cox_flip_state { COX_FLIP_NONE, COX_FLIP_ASKED, COX_FLIP_TRIED, COX_FLIP_TAKEN, COX_FLIP_SETTLED, COX_FLIP_REFUSED };

struct cox_generations {
  atomic_uint_fast64_t number; /* of the live one; 0: none */
  atomic_bool is_asked;        /* cox-command has something to do; the rest says what */
  atomic_size_t alive;         /* sources that somebody holds: for tests */
  struct cox_mutex mutex;      /* guards the rest */
  struct cox_cond cond;        /* a flip was settled or refused, or is not waited for any more */
  struct cox_generation *live; /* written by cox-command, which may so read it without the lock */
  struct cox_generation *previous; /* to go back to; without a policy VM; NULL: none */
  enum cox_flip_state state;
  struct cox_generation *candidate; /* ASKED … TRIED */
  struct cox_generation *left;      /* TAKEN, SETTLED: what was live before */
  struct cox_err refusal;           /* REFUSED */
  bool is_stopping;
  bool (*attend)(void *ctx); /* a world with one thread: who waits for a flip lets cox-command go on with it; false: no more. NULL: threads */
  void *attend_ctx;
};

void cox_generations_init(struct cox_generations *generations);
void cox_generations_fini(struct cox_generations *generations);
/* Before any thread: the first live one, and the one to go back to (may be NULL). Takes both. */
void cox_generations_begin(struct cox_generations *generations, struct cox_generation *live, struct cox_generation *previous);
/* Any thread: a reference; NULL: none is live yet. */
struct cox_generation *cox_generations_hold(struct cox_generations *generations);
struct cox_generation *cox_generations_hold_previous(struct cox_generations *generations);

/* cox-reload: makes the candidate (taken) the live one, and waits until cox-command has done it and the command due has run. `previous`
 * (taken, may be NULL) is what can be gone back to afterwards: NULL with `keeps_left`, the one that was left. 0; COX_ESCRIPT: it did not
 * take over the state of the present one; COX_ETIME: cox-command did not get to it; COX_ESTOPPED.                                      */
int cox_generations_flip(struct cox_generations *generations, struct cox_generation *candidate, bool keeps_left,
                         struct cox_generation *previous, struct cox_broker *broker, struct cox_err *err);
/* cox-command, as policy->turn. `has_flipped`: the present call made another one live. */
bool cox_generations_turn(struct cox_generations *generations);
/* Any thread: who waits for a flip gives up, and no other begins. */
void cox_generations_stop(struct cox_generations *generations);

#endif
