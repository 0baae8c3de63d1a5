#include "script/generations.h"

#include <assert.h>

#include "core/broker.h"
#include "script/state.h"

enum { FLIP_MS = 10000 /* for cox-command to come to it: many times what any handler may take */ };

void cox_generations_init(struct cox_generations *generations) {
  cox_mutex_init(&generations->mutex);
  cox_cond_init(&generations->cond);
}

void cox_generations_fini(struct cox_generations *generations) {
  assert(generations->candidate == NULL && generations->left == NULL);
  cox_generation_release(generations->live);
  cox_generation_release(generations->previous);
  cox_cond_fini(&generations->cond);
  cox_mutex_fini(&generations->mutex);
}

void cox_generations_begin(struct cox_generations *generations, struct cox_generation *live, struct cox_generation *previous) {
  generations->live = live;
  generations->previous = previous;
  atomic_store(&generations->number, live->number);
}

static struct cox_generation *hold_locked(struct cox_generations *generations, struct cox_generation *one)
    COX_REQUIRES(generations->mutex) {
  (void)generations;
  return one != NULL ? cox_generation_hold(one) : NULL;
}

struct cox_generation *cox_generations_hold(struct cox_generations *generations) {
  cox_mutex_lock_brief(&generations->mutex);
  struct cox_generation *const held = hold_locked(generations, generations->live);
  cox_mutex_unlock(&generations->mutex);
  return held;
}

struct cox_generation *cox_generations_hold_previous(struct cox_generations *generations) {
  cox_mutex_lock(&generations->mutex);
  struct cox_generation *const held = hold_locked(generations, generations->previous);
  cox_mutex_unlock(&generations->mutex);
  return held;
}

/* ---- cox-reload ---- */

static bool is_over(enum cox_flip_state state) { return state == COX_FLIP_SETTLED || state == COX_FLIP_REFUSED; }

/* On the one thread of a world all that happens until cox-command has done it happens in here. */
static void attend(struct cox_generations *generations) {
  for (bool goes_on = true; goes_on;) {
    cox_mutex_lock(&generations->mutex);
    const bool is_open = !is_over(generations->state);
    cox_mutex_unlock(&generations->mutex);
    goes_on = is_open && generations->attend(generations->attend_ctx);
  }
}

/* Waits for its end. When nobody has begun with it in time, it is taken back. */
static void wait_locked(struct cox_generations *generations) COX_REQUIRES(generations->mutex) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + FLIP_MS * INT64_C(1000);
  while (!is_over(generations->state)) {
    const int64_t left_us = end_us - cox_clock_mono_us(cox_clock_system());
    const bool gives_up = generations->is_stopping || left_us <= 0;
    if (gives_up && generations->state == COX_FLIP_ASKED) return;
    if (gives_up) cox_cond_wait(&generations->cond, &generations->mutex); /* it has begun, so its end comes */
    else cox_cond_wait_us(&generations->cond, &generations->mutex, left_us);
  }
}

static int outcome_locked(struct cox_generations *generations, struct cox_err *err) COX_REQUIRES(generations->mutex) {
  if (generations->state == COX_FLIP_SETTLED) return 0;
  if (generations->state == COX_FLIP_REFUSED) {
    if (err != NULL) *err = generations->refusal;
    return generations->refusal.code;
  }
  if (generations->is_stopping) return cox_err_set(err, COX_ESTOPPED, "the scripts were not exchanged: the daemon is stopping");
  return cox_err_set(err, COX_ETIME, "the scripts were not exchanged: the command loop did not come to it within %d s; the present ones go on",
                     FLIP_MS / 1000);
}

int cox_generations_flip(struct cox_generations *generations, struct cox_generation *candidate, bool keeps_left,
                         struct cox_generation *previous, struct cox_broker *broker, struct cox_err *err) {
  cox_generation_rest(candidate);
  cox_mutex_lock(&generations->mutex);
  assert(generations->state == COX_FLIP_NONE);
  generations->candidate = candidate;
  generations->state = COX_FLIP_ASKED;
  atomic_store(&generations->is_asked, true);
  cox_mutex_unlock(&generations->mutex);
  cox_broker_turn(broker);
  if (generations->attend != NULL) attend(generations);
  cox_mutex_lock(&generations->mutex);
  if (generations->attend == NULL) wait_locked(generations);
  const int rc = outcome_locked(generations, err);
  struct cox_generation *left = generations->left, *refused = generations->candidate, *forgotten = previous;
  generations->left = generations->candidate = NULL;
  if (rc == 0) {
    forgotten = generations->previous;
    generations->previous = keeps_left ? left : previous;
  }
  generations->state = COX_FLIP_NONE;
  atomic_store(&generations->is_asked, false);
  cox_mutex_unlock(&generations->mutex);
  if (left != NULL) cox_generation_retire(left); /* here and not on cox-command: a large heap takes its time */
  if (!keeps_left) cox_generation_release(left);
  cox_generation_release(refused);
  cox_generation_release(forgotten);
  return rc;
}

void cox_generations_stop(struct cox_generations *generations) {
  cox_mutex_lock(&generations->mutex);
  generations->is_stopping = true;
  cox_cond_broadcast(&generations->cond);
  cox_mutex_unlock(&generations->mutex);
}

/* ---- cox-command ---- */

/* No lock is held: this runs Lua. The two are nobody else's while they are tried. */
static int carry_over(struct cox_generation *from, struct cox_generation *to, struct cox_err *err) {
  const int rc = cox_state_carry(from->policy, to->policy, err);
  cox_generation_rest(rc == 0 ? from : to); /* the one that cox-reload will free */
  return rc;
}

static void take_locked(struct cox_generations *generations) COX_REQUIRES(generations->mutex) {
  generations->left = generations->live;
  generations->live = generations->candidate;
  generations->candidate = NULL;
  generations->state = COX_FLIP_TAKEN;
  atomic_store(&generations->number, generations->live->number);
}

static bool try_flip(struct cox_generations *generations) {
  struct cox_err err = {0};
  const int rc = carry_over(generations->live, generations->candidate, &err);
  if (rc != 0) err.code = COX_ESCRIPT; /* the scripts' own time was over, not that of the flip */
  cox_mutex_lock(&generations->mutex);
  if (rc == 0) {
    take_locked(generations);
  } else {
    generations->refusal = err;
    generations->state = COX_FLIP_REFUSED;
    cox_cond_broadcast(&generations->cond);
  }
  cox_mutex_unlock(&generations->mutex);
  return rc == 0;
}

bool cox_generations_turn(struct cox_generations *generations) {
  if (!atomic_load_explicit(&generations->is_asked, memory_order_acquire)) return false;
  cox_mutex_lock(&generations->mutex);
  const bool begins = generations->state == COX_FLIP_ASKED;
  if (begins) generations->state = COX_FLIP_TRIED;
  if (generations->state == COX_FLIP_TAKEN) {
    generations->state = COX_FLIP_SETTLED;
    cox_cond_broadcast(&generations->cond);
  }
  cox_mutex_unlock(&generations->mutex);
  return begins && try_flip(generations);
}
