/* Keeps requests away from a node whose requests do not come through, until one trial has. A value without a lock: what owns
 * it guards it. Pure: time comes in, nothing is called.                                                                     */
#ifndef COX_CORE_BREAKER_H
#define COX_CORE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum cox_breaker_state {
  COX_BREAKER_CLOSED,
  COX_BREAKER_OPEN, /* ejected until `until_us` */
  COX_BREAKER_HALF  /* one request at a time, until one succeeds; a trial that says nothing until `until_us` is not waited for any more */
};

struct cox_breaker {
  enum cox_breaker_state state;
  unsigned failures;  /* in a row, while closed */
  unsigned ejections; /* since it was healthy for long: each doubles the time of the next */
  int64_t until_us;
  int64_t closed_us; /* when it closed last */
  bool has_trial;
};

struct cox_breaker_rules {
  unsigned failures_max;     /* in a row until it is ejected */
  int64_t first_us, most_us; /* how long the first ejection lasts, and the longest */
};

/* A request failed (transport error or time-out). True: the node is to be ejected, if the share of ejected nodes allows it
 * (cox_breaker_eject). `is_trial`: it was the trial.                                                                         */
bool cox_breaker_failed(struct cox_breaker *breaker, const struct cox_breaker_rules *rules, bool is_trial);
/* A request succeeded. True: it closed. */
bool cox_breaker_succeeded(struct cox_breaker *breaker, bool is_trial, int64_t now_us);
/* It ended in a way that says nothing about the node. */
void cox_breaker_neutral(struct cox_breaker *breaker, bool is_trial);
void cox_breaker_eject(struct cox_breaker *breaker, const struct cox_breaker_rules *rules, int64_t now_us);
/* The time of an ejection is over: HALF. */
void cox_breaker_try(struct cox_breaker *breaker);
/* In HALF: a request goes there, and decides. It has as long as the longest ejection to end. */
void cox_breaker_send_trial(struct cox_breaker *breaker, const struct cox_breaker_rules *rules, int64_t now_us);
/* True: the time of an ejection is over, or the trial's, and requests may go there again. */
bool cox_breaker_turn(struct cox_breaker *breaker, int64_t now_us);
/* Too many are ejected: this one serves again. */
void cox_breaker_pardon(struct cox_breaker *breaker, int64_t now_us);

#endif
