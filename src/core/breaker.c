#include "core/breaker.h"

enum { FORGIVEN_TIMES = 4 /* healthy for so many of the longest ejections: the next one is a first one again */, DOUBLINGS_MAX = 20 };

bool cox_breaker_failed(struct cox_breaker *breaker, const struct cox_breaker_rules *rules, bool is_trial) {
  if (is_trial && breaker->state == COX_BREAKER_HALF) {
    breaker->has_trial = false;
    return true;
  }
  if (breaker->state != COX_BREAKER_CLOSED) return false; /* a request from before the ejection */
  if (breaker->failures < rules->failures_max) breaker->failures++;
  return breaker->failures >= rules->failures_max;
}

static void become_closed(struct cox_breaker *breaker, int64_t now_us) {
  breaker->state = COX_BREAKER_CLOSED;
  breaker->failures = 0;
  breaker->has_trial = false;
  breaker->closed_us = now_us;
}

bool cox_breaker_succeeded(struct cox_breaker *breaker, bool is_trial, int64_t now_us) {
  if (breaker->state == COX_BREAKER_CLOSED) breaker->failures = 0;
  if (!is_trial || breaker->state != COX_BREAKER_HALF) return false;
  become_closed(breaker, now_us);
  return true;
}

void cox_breaker_neutral(struct cox_breaker *breaker, bool is_trial) {
  if (is_trial && breaker->state == COX_BREAKER_HALF) breaker->has_trial = false;
}

void cox_breaker_eject(struct cox_breaker *breaker, const struct cox_breaker_rules *rules, int64_t now_us) {
  if (breaker->ejections > 0 && breaker->state == COX_BREAKER_CLOSED && now_us - breaker->closed_us > FORGIVEN_TIMES * rules->most_us) {
    breaker->ejections = 0;
  }
  int64_t length_us = rules->first_us;
  for (unsigned i = 0; i < breaker->ejections && i < DOUBLINGS_MAX && length_us < rules->most_us; i++) length_us *= 2;
  if (length_us > rules->most_us) length_us = rules->most_us;
  breaker->state = COX_BREAKER_OPEN;
  breaker->until_us = now_us + length_us;
  breaker->ejections++;
  breaker->has_trial = false;
}

void cox_breaker_try(struct cox_breaker *breaker) {
  breaker->state = COX_BREAKER_HALF;
  breaker->has_trial = false;
}

void cox_breaker_send_trial(struct cox_breaker *breaker, const struct cox_breaker_rules *rules, int64_t now_us) {
  breaker->has_trial = true;
  breaker->until_us = now_us + rules->most_us;
}

bool cox_breaker_turn(struct cox_breaker *breaker, int64_t now_us) {
  const bool waits = breaker->state == COX_BREAKER_OPEN || (breaker->state == COX_BREAKER_HALF && breaker->has_trial);
  if (!waits || breaker->until_us > now_us) return false;
  cox_breaker_try(breaker);
  return true;
}

void cox_breaker_pardon(struct cox_breaker *breaker, int64_t now_us) { become_closed(breaker, now_us); }
